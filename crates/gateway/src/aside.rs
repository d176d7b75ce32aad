//! What stands before the question and is not the user's word: passages of documents,
//! and what was said before.
//!
//! It stands in the user's last message, because models and providers want roles to take
//! turns, in parts of its own. Each is told apart by one marker for the request, 128
//! random bits that nothing which was stored can have written: so the model sees where
//! data begins and ends, and the tool gate, the cache and the memory see the conversation
//! without it.

use bytes::{Bytes, BytesMut};
use chat::{Message, Part, Role};
use serde_json::{Map, Value};

use crate::account::Account;

/// The parts of a request that are nobody's word.
pub(crate) struct Aside {
    marker: String,
    texts: Vec<String>,
}

impl Aside {
    pub fn new() -> Aside {
        let random: [u8; 16] = runtime::random::bytes();
        Aside { marker: random.iter().map(|byte| format!("{byte:02x}")).collect(), texts: Vec::new() }
    }

    /// What every line begins with that is ours.
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// Puts a block that has the marker before the last thing that the user said. `texts`
    /// are what of it others wrote.
    pub fn put(&mut self, request: &mut chat::Request, block: String, texts: impl Iterator<Item = String>) {
        debug_assert!(block.contains(&self.marker), "or nobody could tell it apart");
        self.texts.extend(texts);
        let last = request
            .messages
            .iter()
            .rposition(|m| m.role == Role::User && m.parts.iter().any(|p| text(p).is_some()));
        match last {
            Some(at) => request.messages[at].parts.insert(0, Part::Text(block)),
            None => request.messages.push(Message::text(Role::User, block)),
        }
    }

    /// The conversation as the user and others wrote it, and what was put before it apart.
    pub fn apart(&self, messages: &[Message]) -> (Vec<Message>, &[String]) {
        let mut own = messages.to_vec();
        for message in &mut own {
            message.parts.retain(|part| text(part).is_none_or(|text| !text.contains(&self.marker)));
        }
        (own, &self.texts)
    }
}

/// What the user said last, of a conversation without what was put before it.
pub(crate) fn question(messages: &[Message]) -> Option<String> {
    let said = messages.iter().rev().filter(|m| m.role == Role::User).find_map(|message| {
        let texts: Vec<&str> = message.parts.iter().filter_map(text).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    });
    said.filter(|text| !text.trim().is_empty())
}

pub(crate) fn text(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text),
        _ => None,
    }
}

/// What the answer says beside itself, in the field `bedplate`.
pub(crate) struct Told(String);

impl Told {
    /// `None`: nothing was put before the question, and nothing is kept.
    pub fn of(account: &Account) -> Option<Told> {
        let mut fields = Map::new();
        if let Some(cited) = &account.cited {
            fields.insert("citations".into(), cited.json());
        }
        if let Some(recalled) = &account.recalled {
            fields.insert("recalled".into(), recalled.json());
        }
        if let Some(keeping) = &account.keeping {
            fields.insert("remembered".into(), keeping.json());
        }
        (!fields.is_empty()).then(|| Told(Value::Object(fields).to_string()))
    }

    /// A whole answer with the field at its end. `body` is a JSON object.
    pub fn splice(&self, body: &Bytes) -> Bytes {
        let text = body.trim_ascii_end();
        let Some(open) = text.strip_suffix(b"}") else { return body.clone() };
        let comma = if open.trim_ascii_end().ends_with(b"{") { "" } else { "," };
        let mut whole = BytesMut::with_capacity(text.len() + self.0.len() + 16);
        whole.extend_from_slice(open);
        whole.extend_from_slice(format!("{comma}\"bedplate\":{}}}", self.0).as_bytes());
        whole.freeze()
    }

    /// The same beside a stream: a comment, which clients pass over.
    pub fn comment(&self) -> Bytes {
        Bytes::from(format!(": bedplate {}\n\n", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_where_it_comes_from_at_its_end() {
        let told = Told(r#"{"citations":[]}"#.into());
        for (body, whole) in [
            (r#"{"id":"x"}"#, r#"{"id":"x","bedplate":{"citations":[]}}"#),
            ("{\"id\":\"x\"}\n", r#"{"id":"x","bedplate":{"citations":[]}}"#),
            ("{ }", r#"{ "bedplate":{"citations":[]}}"#),
        ] {
            assert_eq!(told.splice(&Bytes::from_static(body.as_bytes())), whole);
        }
        assert_eq!(told.comment(), ": bedplate {\"citations\":[]}\n\n");
    }

    #[test]
    fn what_stands_before_the_question_is_not_the_users_words() {
        let mut request = chat::Request::new("m");
        request.messages = vec![
            Message::text(Role::User, "first"),
            Message::text(Role::Assistant, "answer"),
            Message::text(Role::User, "how many days?"),
        ];
        assert_eq!(question(&request.messages).as_deref(), Some("how many days?"));
        let mut aside = Aside::new();
        let (said, passage) = (format!("{} said", aside.marker()), format!("{} passage", aside.marker()));
        aside.put(&mut request, said.clone(), ["said".to_owned()].into_iter());
        aside.put(&mut request, passage.clone(), ["passage".to_owned()].into_iter());
        let parts: Vec<&str> = request.messages[2].parts.iter().filter_map(text).collect();
        assert_eq!(parts, [passage.as_str(), said.as_str(), "how many days?"]);
        let (own, others) = aside.apart(&request.messages);
        assert_eq!(own[2].parts, [Part::Text("how many days?".into())]);
        assert_eq!(
            (others, question(&own).as_deref()),
            (&["said".into(), "passage".into()][..], Some("how many days?"))
        );
        assert_ne!(aside.marker(), Aside::new().marker());
    }
}
