//! What a grammar lets through, the readers understand: a model that knows
//! nothing writes turns in every family, and every call in them fits.

use chat::{Event, Format, Part, Response};
use constrain::Piece;
use scheduler::Random;

use super::*;
use crate::parse::{MARKS, SplitOptions, Splitter};

const WEATHER: &str = r#"{"type":"object","properties":{"city":{"type":"string","maxLength":8},
    "days":{"type":"integer","minimum":1,"maximum":5}},"required":["city"],"additionalProperties":false}"#;
const FAMILIES: [Family; 8] = [
    Family::Hermes,
    Family::Xml,
    Family::Llama,
    Family::Mistral { args: false },
    Family::Mistral { args: true },
    Family::DeepSeek { fenced: true },
    Family::DeepSeek { fenced: false },
    Family::Harmony,
];

fn tool(name: &str, parameters: &str, strict: Option<bool>) -> Tool {
    Tool { name: name.into(), description: None, parameters: Some(parameters.into()), strict }
}

fn request(strict: Option<bool>) -> Request {
    let mut request = Request::new("m");
    request.tools = vec![tool("weather", WEATHER, strict), tool("now", "{\"properties\":{}}", None)];
    request
}

/// Bytes, a few words, and the marks: as tokens of their own, or as text.
fn vocabulary(marks: bool) -> (Vec<Piece>, Vec<u32>) {
    let text = |t: &str| Piece::Text(t.as_bytes().to_vec());
    let mut pieces: Vec<Piece> = (0..=255u8).map(|b| Piece::Text(vec![b])).collect();
    pieces.extend(
        ["\": ", "\"}", "}}", "<tool", "_call>", "[TOOL", "<|chan", "<｜tool", "weather", "{\"name\": \""]
            .map(text),
    );
    pieces.extend(MARKS.map(|m| if marks { Piece::Mark(m.into()) } else { text(m) }));
    let end = pieces.len() as u32;
    pieces.push(Piece::Mark("<|im_end|>".into()));
    (pieces, vec![end])
}

/// Any allowed token; more and more those that end something. `None`: not ended.
fn draw(pieces: &[Piece], ends: &[u32], mut state: Box<dyn Constraint>, seed: u64) -> Option<String> {
    let mut random = Random::new(seed, 0);
    let mut words = vec![0u32; pieces.len().div_ceil(32)];
    let mut out = Vec::new();
    for step in 0..300u32 {
        words.fill(0);
        state.allow(&mut words).expect("something may follow");
        let allowed: Vec<u32> =
            (0..pieces.len() as u32).filter(|t| words[*t as usize / 32] >> (t % 32) & 1 == 1).collect();
        let mut from = &allowed[..];
        let closing = |t: &&u32| match &pieces[**t as usize] {
            Piece::Mark(_) => true,
            Piece::Text(b) => b.len() > 3 || matches!(b[0], b'"' | b'}' | b']' | b'/'),
        };
        let closers: Vec<u32> = allowed.iter().filter(closing).copied().collect();
        if !closers.is_empty() && random.next_u32() % 100 < 30 + step / 3 {
            from = &closers;
        }
        let ended: Vec<u32> = allowed.iter().filter(|t| ends.contains(t)).copied().collect();
        if !ended.is_empty() && random.next_u32() % 100 < 20 {
            from = &ended;
        }
        let token = from[random.next_u32() as usize % from.len()];
        state.accept(token).expect("it was allowed");
        if ends.contains(&token) {
            return Some(String::from_utf8(out).expect("text is UTF-8"));
        }
        match &pieces[token as usize] {
            Piece::Text(bytes) => out.extend(bytes),
            Piece::Mark(text) => out.extend(text.as_bytes()),
        }
    }
    None
}

fn read(request: &Request, family: Family, think: Think, text: &str) -> Vec<Part> {
    let options = SplitOptions {
        family,
        thinking: think != Think::Never,
        starts_thinking: think == Think::Opened,
        tools: known(request),
        json: request.format != Format::Text,
        ..SplitOptions::default()
    };
    let mut splitter = Splitter::new(0, options);
    let mut events: Vec<Event> = Vec::new();
    splitter.push(text, &mut events);
    splitter.finish(&mut events);
    let mut response = Response::default();
    events.into_iter().for_each(|e| response.push(e));
    response.choices.pop().map(|c| c.parts).unwrap_or_default()
}

/// Whether a call is one of the tools' and its arguments fit.
fn fits(part: &Part) -> bool {
    let Part::ToolCall { name, arguments, .. } = part else { return true };
    let value: Value = serde_json::from_str(arguments).expect("arguments are JSON");
    let fields = value.as_object().expect("arguments are an object");
    match name.as_str() {
        "weather" => {
            fields.get("city").and_then(Value::as_str).is_some_and(|c| c.chars().count() <= 8)
                && fields.get("days").is_none_or(|d| d.as_i64().is_some_and(|d| (1..=5).contains(&d)))
                && fields.keys().all(|k| k == "city" || k == "days")
        }
        "now" => true,
        _ => false,
    }
}

/// Draws turns of every family, with and without marks and thinking.
fn turns(request: &Request, check: impl Fn(&[Part], &str, Family)) {
    let mut ended = 0;
    for marks in [true, false] {
        let (pieces, ends) = vocabulary(marks);
        let vocabulary = Vocabulary::new(pieces.clone(), &ends).expect("it ends");
        for family in FAMILIES {
            for think in [Think::Never, Think::Maybe, Think::Opened] {
                let held = constraint(request, family, think, &vocabulary)
                    .unwrap_or_else(|e| panic!("{family:?} {think:?} {marks}: {e}"));
                for seed in 0..4 {
                    let Some(text) = draw(&pieces, &ends, held.fork(), seed) else { continue };
                    ended += 1;
                    check(&read(request, family, think, &text), &text, family);
                }
            }
        }
    }
    assert!(ended > 80, "{ended} turns ended");
}

fn calls(parts: &[Part]) -> usize {
    parts.iter().filter(|p| matches!(p, Part::ToolCall { .. })).count()
}
fn said(parts: &[Part]) -> bool {
    parts.iter().any(|p| matches!(p, Part::Text(_)))
}

#[test]
fn a_required_call_is_made_and_fits() {
    let mut request = request(None);
    request.tool_choice = ToolChoice::Required;
    turns(&request, |parts, text, family| {
        assert!(calls(parts) >= 1 && !said(parts) && parts.iter().all(fits), "{family:?} {text:?} {parts:?}");
    });
}

#[test]
fn a_named_call_is_the_only_one() {
    let mut request = request(Some(true));
    request.tool_choice = ToolChoice::Named("weather".into());
    turns(&request, |parts, text, family| {
        let one = parts.iter().any(|p| matches!(p, Part::ToolCall { name, .. } if name == "weather"));
        assert!(one && calls(parts) == 1 && parts.iter().all(fits), "{family:?} {text:?} {parts:?}");
    });
}

#[test]
fn a_strict_tool_is_called_with_what_fits_or_not_at_all() {
    let mut request = request(Some(true));
    request.parallel_tool_calls = Some(false);
    turns(&request, |parts, text, family| {
        assert!(calls(parts) <= 1 && parts.iter().all(fits), "{family:?} {text:?} {parts:?}");
    });
}

#[test]
fn a_format_holds_after_the_thinking() {
    let mut request = Request::new("m");
    request.format = Format::JsonSchema { name: "w".into(), schema: WEATHER.into(), strict: Some(true) };
    turns(&request, |parts, text, family| {
        let Some(Part::Text(answer)) = parts.last() else { panic!("{family:?} {text:?}") };
        let call = Part::ToolCall { id: String::new(), name: "weather".into(), arguments: answer.clone() };
        assert!(fits(&call), "{family:?} {text:?}");
    });
}

/// Three digits, one of `/-`, and letters to the end.
const CODE: &str = "[0-9]{3}(/|\\/|-)[a-z]{1,4}";

fn is_code(text: &str) -> bool {
    let (digits, rest) = text.split_at_checked(3).unwrap_or_default();
    let letters = rest.strip_prefix(['/', '-']).unwrap_or_default();
    digits.bytes().all(|b| b.is_ascii_digit())
        && (1..=4).contains(&letters.len())
        && letters.bytes().all(|b| b.is_ascii_lowercase())
}

#[test]
fn a_regular_expression_holds_after_the_thinking_and_beside_tools() {
    let mut alone = Request::new("m");
    alone.format = Format::Regex(CODE.into());
    turns(&alone, |parts, text, family| {
        let Some(Part::Text(answer)) = parts.last() else { panic!("{family:?} {text:?}") };
        assert!(is_code(answer.trim()), "{family:?} {text:?}");
    });
    let beside = Request { format: alone.format, ..request(None) };
    turns(&beside, |parts, text, family| {
        let fit = |part: &Part| match part {
            Part::Text(answer) => is_code(answer.trim()),
            other => fits(other),
        };
        assert!(parts.iter().all(fit), "{family:?} {text:?} {parts:?}");
    });
}

#[test]
fn beside_tools_a_format_is_a_call_or_the_answer() {
    let mut request = request(None);
    request.format = Format::JsonObject;
    turns(&request, |parts, text, family| {
        let answer = parts.iter().find_map(|p| match p {
            Part::Text(t) => Some(t),
            _ => None,
        });
        let is_object = |t: &String| serde_json::from_str::<Value>(t).is_ok_and(|v| v.is_object());
        assert!(parts.iter().all(fits) && answer.is_none_or(is_object), "{family:?} {text:?} {parts:?}");
        assert!(calls(parts) > 0 || answer.is_some(), "{family:?} {text:?}");
    });
}

#[test]
fn what_cannot_be_held_is_refused_by_name() {
    let (pieces, ends) = vocabulary(true);
    let vocabulary = Vocabulary::new(pieces, &ends).expect("it ends");
    let held = |request: &Request, family| constraint(request, family, Think::Never, &vocabulary);
    let hard = r#"{"type":"object","properties":{"a":{"not":{"type":"string"}}}}"#;

    let mut strict = request(None);
    strict.tools = vec![tool("f", hard, Some(true))];
    match held(&strict, Family::Hermes) {
        Err(Error::Schema(why)) => assert!(why.contains("\"not\" at #/properties/a"), "{why}"),
        other => panic!("{other:?}"),
    }
    // One that is not strict takes any object.
    strict.tools[0].strict = None;
    strict.tool_choice = ToolChoice::Required;
    held(&strict, Family::Hermes).expect("it is held to an object");
    // A family without a form of calls has none to force.
    assert!(matches!(held(&strict, Family::Unknown), Err(Error::Unsupported(_))));

    let mut format = Request::new("m");
    format.format = Format::JsonSchema { name: "w".into(), schema: "{\"enum\":[]}".into(), strict: None };
    assert!(matches!(held(&format, Family::Unknown), Err(Error::Contradiction(_))));
    assert!(!asks(&Request::new("m")) && !asks(&request(None)));

    let refused = |format: Format, tools: bool, think| {
        let base = if tools { request(None) } else { Request::new("m") };
        constraint(&Request { format, ..base }, Family::Hermes, think, &vocabulary).map(|_| ())
    };
    let lark = || Format::Grammar("start: \"yes\" | \"no\"".into());
    assert_eq!(refused(lark(), false, Think::Never), Ok(()));
    for (tools, think) in [(true, Think::Never), (false, Think::Maybe)] {
        assert!(matches!(refused(lark(), tools, think), Err(Error::Unsupported(_))));
    }
    for bad in ["(", "a\\", "(?=a)b", "[", "*"] {
        for think in [Think::Never, Think::Opened] {
            assert!(
                matches!(refused(Format::Regex(bad.into()), false, think), Err(Error::Schema(_))),
                "{bad}"
            );
        }
    }
    assert!(matches!(
        refused(Format::Grammar("no start".into()), false, Think::Never),
        Err(Error::Schema(_))
    ));

    let mut nobody = request(None);
    nobody.tool_choice = ToolChoice::Named("other".into());
    assert!(matches!(check(&nobody), Err(Error::Unsupported(_))));
}
