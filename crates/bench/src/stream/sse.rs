//! Server-sent events as two servers write them, one line at a time.
//!
//! Only what a bench must know is read from an event: whether text came, what
//! the usage says, whether it is the end or an error.

use serde_json::Value;

/// One event of a streamed completion or chat.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Text of this many bytes.
    Text(usize),
    /// Tokens of the answer, as the server counts them.
    Usage {
        completion_tokens: u64,
    },
    Done,
    /// The server's own words.
    Error(String),
}

/// Cuts a stream of bytes into events, wherever the network cut it.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
}

/// An event line longer than this is not one of a bench's short answers.
const LINE_MAX: usize = 1 << 20;

impl Reader {
    /// Adds bytes and returns the events that they complete, in order.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.last() == Some(&b'\n') {
                read_line(&self.line, &mut events);
                self.line.clear();
            } else if self.line.len() > LINE_MAX {
                events.push(Event::Error("an event longer than a megabyte".into()));
                self.line.clear();
            }
        }
        events
    }
}

/// `data:` and llama-server's `error:`; comments, names and blank lines say nothing.
fn read_line(line: &[u8], events: &mut Vec<Event>) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n']);
    if let Some(data) = text.strip_prefix("data:") {
        read_data(data.trim_start(), events);
    } else if let Some(error) = text.strip_prefix("error:") {
        events.push(Event::Error(clip(error.trim_start())));
    }
}

fn read_data(data: &str, events: &mut Vec<Event>) {
    if data == "[DONE]" {
        events.push(Event::Done);
        return;
    }
    let Ok(value) = serde_json::from_str::<Value>(data) else {
        events.push(Event::Error(format!("not JSON: {}", clip(data))));
        return;
    };
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        events.push(Event::Error(clip(&error.to_string())));
        return;
    }
    if let Some(choice) = value.pointer("/choices/0") {
        let text = choice.get("text").or_else(|| choice.pointer("/delta/content"));
        let bytes = text.and_then(Value::as_str).map_or(0, str::len);
        if bytes > 0 {
            events.push(Event::Text(bytes));
        }
    }
    if let Some(tokens) = value.pointer("/usage/completion_tokens").and_then(Value::as_u64) {
        events.push(Event::Usage { completion_tokens: tokens });
    }
}

pub fn clip(text: &str) -> String {
    text.chars().take(240).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LLAMA: &str = "data: {\"choices\":[{\"text\":\"efi\",\"index\":0,\"finish_reason\":null}],\"object\":\"text_completion\"}\n\n\
        data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"length\"}],\"usage\":{\"completion_tokens\":6,\"prompt_tokens\":5}}\n\n\
        data: [DONE]\n\n";
    const OURS: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"efi\",\"finish_reason\":null}],\"usage\":null}\r\n\r\n\
        : bedplate-cost 0.000002\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\ndata: [DONE]\n\n";

    fn read(text: &str) -> Vec<Event> {
        Reader::default().push(text.as_bytes())
    }

    #[test]
    fn both_servers_are_read_alike() {
        let expected = [Event::Text(3), Event::Usage { completion_tokens: 6 }, Event::Done];
        assert_eq!(read(LLAMA), expected);
        assert_eq!(read(OURS), expected);
    }

    #[test]
    fn a_chat_delta_is_text_and_its_role_is_not() {
        let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n";
        let text = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n";
        assert_eq!(read(role), []);
        assert_eq!(read(text), [Event::Text(2)]);
    }

    #[test]
    fn an_error_within_a_stream_is_an_error() {
        let both = "data: {\"error\":{\"message\":\"Context size has been exceeded.\"}}\nerror: {\"code\":500}\ndata: {cut\n";
        let events = read(both);
        assert_eq!(events.len(), 3);
        assert!(events.iter().all(|event| matches!(event, Event::Error(_))), "{events:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn where_the_network_cuts_does_not_matter(cuts in proptest::collection::vec(0usize..300, 0..12)) {
            let mut reader = Reader::default();
            let (mut events, mut rest) = (Vec::new(), OURS.as_bytes());
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                events.extend(reader.push(head));
                rest = tail;
            }
            events.extend(reader.push(rest));
            prop_assert_eq!(events, read(OURS));
        }
    }
}
