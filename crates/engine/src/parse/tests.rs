//! Golden conversations of each family, and cuts anywhere.

use std::path::Path;
use std::sync::Arc;

use chat::{Event, Part, Response};
use proptest::prelude::*;

use super::*;

/// The tools that the golden files call.
fn tools() -> Arc<[Known]> {
    let known = |name: &str, texts: &[&str]| Known {
        name: name.into(),
        texts: texts.iter().map(|t| (*t).into()).collect(),
    };
    [known("get_weather", &["city"]), known("search", &["query"]), known("write_file", &["path", "text"])]
        .into()
}

fn options(family: Family, starts_thinking: bool) -> SplitOptions {
    SplitOptions {
        family,
        thinking: true,
        starts_thinking,
        tools: tools(),
        one_call: false,
        json: false,
        id_prefix: "c".into(),
    }
}

/// What a stream comes to: its text, thinking and calls in order.
fn fold(events: Vec<Event>) -> Vec<Part> {
    let mut response = Response::default();
    events.into_iter().for_each(|e| response.push(e));
    response.choices.pop().map(|c| c.parts).unwrap_or_default()
}

/// Splits `text` in pieces that end at `cuts`, which are character borders.
fn split(options: SplitOptions, text: &str, cuts: &[usize]) -> Vec<Part> {
    let mut splitter = Splitter::new(0, options);
    let (mut events, mut at) = (Vec::new(), 0);
    for cut in cuts.iter().copied().chain([text.len()]) {
        splitter.push(&text[at..cut], &mut events);
        at = cut;
    }
    splitter.finish(&mut events);
    fold(events)
}

fn borders(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).skip(1).collect()
}

fn write(parts: &[Part]) -> String {
    let mut out = String::new();
    for part in parts {
        out.push_str(&match part {
            Part::Text(text) => format!("text {text:?}\n"),
            Part::Reasoning { text, .. } => format!("reasoning {text:?}\n"),
            Part::ToolCall { id, name, arguments } => format!("call {id} {name} {arguments}\n"),
            other => format!("{other:?}\n"),
        });
    }
    out
}

/// A file holds cases: a title after `=== `, what the model wrote, `---`, the parts.
fn check(file: &str, family: Family) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/calls").join(file);
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    let mut actual = String::new();
    for case in golden.split("=== ").filter(|c| !c.trim().is_empty()) {
        let (title, rest) = case.split_once('\n').expect("a title has a line");
        let input = rest.split_once("\n---\n").map_or(rest.trim_end_matches('\n'), |(input, _)| input);
        let opened = title.contains("(thinking)");
        let whole = split(options(family, opened), input, &[]);
        let each = split(options(family, opened), input, &borders(input));
        assert_eq!(whole, each, "{title}: a character at a time");
        actual.push_str(&format!("=== {title}\n{input}\n---\n{}\n", write(&whole)));
    }
    expect_test::expect_file![path].assert_eq(&actual);
}

#[test]
fn golden_hermes() {
    check("hermes.txt", Family::Hermes);
}
#[test]
fn golden_xml() {
    check("xml.txt", Family::Xml);
}
#[test]
fn golden_llama() {
    check("llama.txt", Family::Llama);
}
#[test]
fn golden_mistral() {
    check("mistral.txt", Family::Mistral { args: true });
}
#[test]
fn golden_deepseek() {
    check("deepseek.txt", Family::DeepSeek { fenced: true });
}
#[test]
fn golden_harmony() {
    check("harmony.txt", Family::Harmony);
}

#[test]
fn the_template_names_the_family() {
    for (template, family) in [
        ("{{ '<tool_call>\\n' }}{{ tool_call.arguments | tojson }}", Family::Hermes),
        ("<tool_call>\\n<function=' + name + '>\\n<parameter=", Family::Xml),
        ("<|start_header_id|>{\"name\": function name, \"parameters\": dictionary}", Family::Llama),
        ("{{- \"<|python_tag|>\" }}", Family::Llama),
        ("[AVAILABLE_TOOLS][TOOL_CALLS][{", Family::Mistral { args: false }),
        ("[TOOL_CALLS]' + name + '[ARGS]' + arguments", Family::Mistral { args: true }),
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>\\n```json\\n",
            Family::DeepSeek { fenced: true },
        ),
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>'+name+'<｜tool▁sep｜>",
            Family::DeepSeek { fenced: false },
        ),
        ("<|start|>assistant<|channel|>final<|message|>", Family::Harmony),
        ("<|im_start|>", Family::Unknown),
    ] {
        assert_eq!(Family::of(template), family, "{template}");
    }
}

#[test]
fn only_one_call_when_parallel_calls_are_off() {
    let one = "<tool_call>{\"name\":\"search\",\"arguments\":{}}</tool_call>";
    let options = SplitOptions { one_call: true, ..options(Family::Hermes, false) };
    assert_eq!(split(options, &format!("{one}\n{one}"), &[]).len(), 1);
}

#[test]
fn marks_mean_nothing_to_models_that_do_not_use_them() {
    let text = "a <think> b <tool_call> ";
    assert_eq!(split(SplitOptions::default(), text, &borders(text)), [Part::Text(text.into())]);
}

#[test]
fn thinking_is_told_while_it_lasts() {
    let mut splitter = Splitter::new(0, options(Family::Hermes, true));
    let mut events = Vec::new();
    splitter.push("hm", &mut events);
    assert!(splitter.is_thinking() && events == [Event::Reasoning { choice: 0, text: "hm".into() }]);
    splitter.push("</think>so", &mut events);
    assert!(!splitter.is_thinking() && !splitter.called());
}

#[test]
fn a_long_call_costs_one_look_at_each_byte() {
    let text = format!(
        "<tool_call>{{\"name\":\"write_file\",\"arguments\":{{\"text\":\"{}\"}}}}</tool_call>",
        "x}".repeat(200_000)
    );
    for family in [Family::Hermes, Family::Xml] {
        assert_eq!(split(options(family, false), &text, &borders(&text)).len(), 1);
    }
}

/// Found by fuzzing: once a body is no JSON, it is none when more of it comes.
#[test]
fn a_body_that_is_no_json_ends_at_the_first_mark() {
    let text = "<|channel|>commentary to=functions.search<|message|>1{\"q\" x<|end|>\"}<|end|>";
    let whole = split(options(Family::Harmony, false), text, &[]);
    assert_eq!(split(options(Family::Harmony, false), text, &borders(text)), whole);
}

const FAMILIES: [Family; 8] = [
    Family::Unknown,
    Family::Hermes,
    Family::Xml,
    Family::Llama,
    Family::Mistral { args: true },
    Family::DeepSeek { fenced: true },
    Family::DeepSeek { fenced: false },
    Family::Harmony,
];

/// Pieces that calls are made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "{\"name\": \"search\", \"arguments\": {\"a\": 1}}",
        "{\"name\":\"get_weather\",\"parameters\":{}}",
        "[TOOL_CALLS]",
        "[",
        "]",
        "[ARGS]",
        "[CALL_ID]",
        "search",
        "{\"q\": \"}\"}",
        "<function=search>",
        "<parameter=query>",
        "</parameter>",
        "</function>",
        "<|python_tag|>",
        ";",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "function",
        "<｜tool▁sep｜>",
        "\n```json\n",
        "\n```",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
        "<|start|>",
        "<|channel|>",
        "analysis",
        "commentary to=functions.search ",
        "<|constrain|>json",
        "<|message|>",
        "<|end|>",
        "<|call|>",
        "final",
        " ",
        "\n",
        "a",
        "é",
        "{",
        "}",
        "\"",
        "\\",
        "<",
        "<|",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..14).prop_map(|w| w.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_cut_never_matters(text in pieces(), cuts in proptest::collection::vec(0usize..200, 0..8), opened: bool) {
        for family in FAMILIES {
            let whole = split(options(family, opened), &text, &[]);
            prop_assert_eq!(&split(options(family, opened), &text, &borders(&text)), &whole, "{:?}", family);
            let mut at: Vec<usize> = borders(&text).into_iter().filter(|b| cuts.contains(b)).collect();
            at.sort_unstable();
            prop_assert_eq!(&split(options(family, opened), &text, &at), &whole, "{:?}", family);
        }
    }

    #[test]
    fn what_is_told_as_a_call_is_json(text in pieces()) {
        for family in FAMILIES {
            for part in split(options(family, false), &text, &[]) {
                if let Part::ToolCall { name, arguments, .. } = part {
                    prop_assert!(!name.is_empty());
                    let value: serde_json::Value = serde_json::from_str(&arguments).expect("it is JSON");
                    prop_assert!(value.is_object());
                }
            }
        }
    }
}
