use chat::{
    Event, Finish, Format, Image, Message, Part, Reasoning, Request, Role, Sampling, Tier, TokenLogprob,
    Tool, ToolChoice, TopLogprob, Usage, UsageSource,
};
use engine::{BannedTexts, Caller, Error, Health, Stats};
use proptest::prelude::*;
use scheduler::{BlockKey, Standing, Tenant};
use units::Micros;

use super::*;

/// One request with something in every field.
fn request() -> Request {
    Request {
        model: "guide".into(),
        messages: vec![
            Message::text(Role::System, "be brief"),
            Message {
                role: Role::User,
                parts: vec![
                    Part::Text("grüße".into()),
                    Part::Image(Image::Url { url: "https://a/b".into(), detail: Some("low".into()) }),
                    Part::Image(Image::Inline {
                        media_type: "image/png".into(),
                        data: "AAAA".into(),
                        detail: None,
                    }),
                    Part::ToolResult {
                        id: "c".into(),
                        parts: vec![Part::Refusal("no".into())],
                        is_error: true,
                    },
                    Part::Reasoning { text: "hm".into(), signature: Some("s".into()) },
                    Part::ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() },
                ],
                name: Some("ann".into()),
            },
        ],
        tools: vec![Tool {
            name: "f".into(),
            description: None,
            parameters: Some("{}".into()),
            strict: Some(true),
        }],
        tool_choice: ToolChoice::Named("f".into()),
        parallel_tool_calls: Some(false),
        sampling: Sampling {
            temperature: Some(0.5),
            seed: Some(-7),
            logit_bias: vec![(2, -100.0)],
            ..Sampling::default()
        },
        max_tokens: Some(9),
        stop: vec!["\n".into()],
        n: 2,
        logprobs: Some(5),
        format: Format::JsonSchema { name: "x".into(), schema: "{}".into(), strict: None },
        reasoning: Some(Reasoning::Budget(100)),
        stream: true,
        stream_usage: true,
        user: Some("u".into()),
        tier: Tier::Other("gold".into()),
        echo: true,
        suffix: Some("end".into()),
    }
}

fn events() -> Vec<Event> {
    let mut usage = Usage::default().with(chat::Axis::Input, 3).with(chat::Axis::Reasoning, u64::MAX);
    usage.claimed_pico_usd = Some(-1);
    usage.source = UsageSource::Estimated;
    let top = TopLogprob { token: "b".into(), bytes: None, logprob: -2.0 };
    vec![
        Event::Start { id: "i".into(), model: "m".into(), created: -1 },
        Event::Text { choice: 0, text: "a".into() },
        Event::Reasoning { choice: 1, text: "b".into() },
        Event::Signature { choice: 1, signature: "s".into() },
        Event::Refusal { choice: 1, text: "no".into() },
        Event::ToolStart { choice: 0, index: 3, id: "c".into(), name: "f".into() },
        Event::ToolArguments { choice: 0, index: 3, fragment: "{".into() },
        Event::Logprobs {
            choice: 0,
            tokens: vec![TokenLogprob {
                token: "a".into(),
                bytes: Some(vec![0xff, 0]),
                logprob: -0.5,
                top: vec![top],
            }],
        },
        Event::Finish { choice: 0, reason: Finish::Other("odd".into()), stop: Some("\n".into()) },
        Event::Usage(usage),
        Event::Tier(Tier::Flex),
        Event::Failed { kind: "EN0012".into(), message: "it ended".into(), retriable: true },
    ]
}

fn settings() -> Settings {
    Settings {
        n_ctx: Some(4096),
        n_seq_max: 8,
        threads: 2,
        memory_max_bytes: None,
        queue_max: 256,
        token_gap_us: 200_000,
        kv_memory_bytes: 1 << 28,
        flash: Some(false),
    }
}

fn downs() -> Vec<Down> {
    let deadline = Some(Micros(-5));
    let caller = Caller {
        tenant: u128::MAX,
        weight: 3,
        scope: 1,
        deadline,
        adapter: 2,
        pinned_messages: 1,
        banned: None,
    };
    let blocks = Some(vec![(BlockKey(7), 4096)]);
    vec![
        Down::Open { version: VERSION, path: "/a/ü.gguf".into(), settings: settings(), blocks },
        Down::Submit { id: 1, raw: true, caller, banned: Some(u128::MAX), request: request() },
        Down::Cancel { id: u64::MAX },
        Down::Credit { id: 1, events: 16 },
        Down::Embed { id: 2, texts: vec!["a".into(), String::new()] },
        Down::Count { id: 3, request: request() },
        Down::CountText { id: 4, text: "x".into() },
        Down::Adapter { id: 5, path: "b.gguf".into(), scale: 0.5 },
        Down::Ban { texts: BannedTexts::new(vec![b"one".to_vec(), vec![0xff, 0]]).expect("two texts") },
        Down::Unban { id: 6 },
        Down::Loaded { block: Some(Blob(vec![1, 2, 3])) },
        Down::Saved { dropped: vec![BlockKey(u128::MAX)] },
        Down::Close {},
        Down::Rerank { id: 7, query: "q".into(), documents: vec!["d".into()] },
    ]
}

fn ups() -> Vec<Up> {
    let errors = [
        Error::TooLong { prompt: 9, context: 8 },
        Error::QueueFull { queued: 2, max: 1 },
        Error::Failed("f".into()),
        Error::Unsupported("u".into()),
        Error::Schema("s".into()),
        Error::Contradiction("c".into()),
        Error::Template("t".into()),
        Error::Model { path: "p".into(), source: gguf::Error::Told("cut".into()) },
        Error::Memory { need: 2, have: 1 },
        Error::Crashed("x".into()),
        Error::Late,
    ];
    let board = Board {
        stats: Stats { kv_used: 3, busy_us: u64::MAX, ..Stats::default() },
        health: Health::Stalled { for_us: 9 },
        tenants: vec![(Tenant(5), Standing { jobs: 2, waiting: 1, served: 2 })],
    };
    let mut ups = vec![
        Up::Progress { done: 0.25 },
        Up::Accepted { id: 1, prompt_tokens: 7 },
        Up::Events { id: 1, busy_us: 12, withheld: 2, events: events() },
        Up::End { id: 1, busy_us: 13 },
        Up::Vectors { id: 2, vectors: vec![(vec![0.5, -0.5], 3)] },
        Up::Scores { id: 2, scores: vec![(0.5, 9)] },
        Up::Number { id: 3, number: u32::MAX },
        Up::Board { board },
        Up::Load { key: BlockKey(1) },
        Up::Save { key: BlockKey(2), block: Blob(Vec::new()) },
    ];
    ups.extend(errors.into_iter().map(|error| Up::Failed { id: 9, error }));
    ups
}

fn returns<M: Wire + PartialEq + std::fmt::Debug>(message: &M) {
    let frame = encode(message);
    assert_eq!(&decode::<M>(&frame).expect("it is read"), message);
    for end in 0..frame.len() {
        assert!(decode::<M>(&frame[..end]).is_err(), "cut at {end} of {}: {message:?}", frame.len());
    }
    let longer = [&frame[..], &[0]].concat();
    assert!(decode::<M>(&longer).is_err(), "{message:?}");
}

#[test]
fn every_message_comes_back_and_no_part_of_one_is_a_message() {
    downs().iter().for_each(returns);
    ups().iter().for_each(returns);
}

/// The version must be raised when this changes: the bytes of one message of each side.
#[test]
fn the_format_of_this_version_is_fixed() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let event = Event::Text { choice: 1, text: "hi".into() };
    let up = Up::Events { id: 300, busy_us: 5, withheld: 3, events: vec![event] };
    assert_eq!(hex(&encode(&up)), "05ac020503010101026869");
    assert_eq!(hex(&encode(&Down::Credit { id: 1, events: 16 })), "040110");
    assert_eq!(VERSION, 3);
}

#[test]
fn trap_x4_a_message_that_bans_texts_shows_none_of_them() {
    let texts = BannedTexts::new(vec![b"hunter2-secret".to_vec()]).expect("a text");
    let shown = format!("{:?}", Down::Ban { texts });
    assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
}

#[test]
fn nesting_ends_before_the_stack_does() {
    let mut part = Part::Text("x".into());
    for _ in 0..1_000 {
        part = Part::ToolResult { id: String::new(), parts: vec![part], is_error: false };
    }
    let mut request = Request::new("m");
    request.messages.push(Message { role: Role::User, parts: vec![part], name: None });
    let frame = encode(&Down::Count { id: 1, request });
    assert!(decode::<Down>(&frame).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_is_read_is_written_alike(mut frame in proptest::collection::vec(any::<u8>(), 0..200), tag in 0u8..15) {
        if let Some(first) = frame.first_mut() {
            *first = tag;
        }
        fuzz(&frame);
    }

    #[test]
    fn a_flipped_byte_panics_nothing(at in any::<prop::sample::Index>(), by in 1u8.., which in any::<prop::sample::Index>()) {
        let mut frames: Vec<Vec<u8>> = downs().iter().map(encode).collect();
        frames.extend(ups().iter().map(encode));
        let mut frame = frames.swap_remove(which.index(frames.len()));
        let at = at.index(frame.len());
        frame[at] ^= by;
        fuzz(&frame);
    }
}
