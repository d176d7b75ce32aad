//! `<｜tool▁calls▁begin｜>` and calls in marks of their own: DeepSeek. V3 and R1
//! write `function`, the name and fenced JSON; V3.1 the name and bare JSON.

use constrain::Item;

use super::Call;
use super::json::{End, Scan, arguments};
use super::marked::{Calls, Found};

const CALLS: (&str, &str) = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>");
const CALL: (&str, &str) = ("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>");
const SEPARATOR: &str = "<｜tool▁sep｜>";
const FENCE: &str = "```";
/// Longest head that is waited for.
const HEAD_MAX: usize = 512;

#[derive(Debug, Default)]
pub(super) struct DeepSeek {
    scan: Scan,
    /// Where the value ended, until the closing mark is seen.
    whole: Option<usize>,
}

/// The name of the call, and where its arguments begin; `Ok(None)`: more decides.
fn head(body: &str) -> Result<Option<(&str, usize)>, ()> {
    let Some((kind, after)) = body.split_once(SEPARATOR) else {
        return if body.len() > HEAD_MAX + SEPARATOR.len() { Err(()) } else { Ok(None) };
    };
    if kind.len() > HEAD_MAX {
        return Err(());
    }
    let start = body.len() - after.len();
    if kind.trim() != "function" {
        let name = kind.trim();
        return if name.is_empty() || name.contains(char::is_whitespace) {
            Err(())
        } else {
            Ok(Some((name, start)))
        };
    }
    let Some((name, rest)) = after.split_once('\n') else {
        return if after.len() > HEAD_MAX { Err(()) } else { Ok(None) };
    };
    if name.len() > HEAD_MAX {
        return Err(());
    }
    let fenced = rest.trim_start();
    if fenced.is_empty() || (fenced.len() < FENCE.len() && FENCE.starts_with(fenced)) {
        return Ok(None);
    }
    let Some(json) = fenced.strip_prefix(FENCE) else {
        return Ok(Some((name.trim(), body.len() - fenced.len())));
    };
    match json.find(|c: char| !c.is_ascii_alphabetic()) {
        Some(at) if at <= HEAD_MAX => Ok(Some((name.trim(), body.len() - json.len() + at))),
        None if json.len() <= HEAD_MAX => Ok(None),
        _ => Err(()),
    }
}

impl DeepSeek {
    fn look(&mut self, body: &str, end: bool) -> Found {
        let (name, start) = match head(body) {
            Err(()) => return Found::Not,
            Ok(None) => return Found::More,
            Ok(Some(head)) => head,
        };
        let text = &body[start..];
        let at = match self.whole.map_or_else(|| self.scan.end(text), End::At) {
            End::More => return Found::More,
            End::Not => return Found::Not,
            End::At(at) => at,
        };
        self.whole = Some(at);
        let mut rest = text[at..].trim_start();
        rest = rest.strip_prefix(FENCE).unwrap_or(rest).trim_start();
        let len = if rest.starts_with(CALL.1) {
            body.len() - rest.len() + CALL.1.len()
        } else if CALL.1.starts_with(rest) || FENCE.starts_with(rest) {
            if !end {
                return Found::More;
            }
            body.len()
        } else {
            return Found::Not;
        };
        match arguments(&text[..at]) {
            Some(arguments) if !name.is_empty() => {
                Found::Calls(vec![(name.to_owned(), arguments)], CALL.0.len() + len)
            }
            _ => Found::Not,
        }
    }
}

impl Calls for DeepSeek {
    fn opens(&self) -> &'static [&'static str] {
        &[CALLS.0, CALL.0, CALLS.1]
    }

    fn find(&mut self, text: &str, end: bool) -> Found {
        // The marks around all calls say nothing by themselves.
        for mark in [CALLS.0, CALLS.1] {
            if text.starts_with(mark) {
                return Found::Calls(Vec::new(), mark.len());
            }
        }
        let found = self.look(&text[CALL.0.len()..], end);
        if found != Found::More {
            self.reset();
        }
        found
    }
    fn reset(&mut self) {
        *self = DeepSeek::default();
    }
}

pub(super) fn turn(calls: &[Call], most: usize, must: bool, fenced: bool) -> Vec<Item> {
    let body = |call: &Call| {
        let schema = Item::Json(call.schema.clone());
        let mark = |mark: &str| Item::Mark(mark.into());
        let text = |text: String| Item::Text(text);
        if fenced {
            let kind = text("function".into());
            let head = text(format!("{}\n```json\n", call.name));
            vec![mark(CALL.0), kind, mark(SEPARATOR), head, schema, text("\n```".into()), mark(CALL.1)]
        } else {
            vec![mark(CALL.0), text(call.name.clone()), mark(SEPARATOR), schema, mark(CALL.1)]
        }
    };
    let separator = if fenced { "\n" } else { "" };
    let item = vec![Item::OneOf(calls.iter().map(body).collect())];
    let list = Item::Repeat { item, separator: separator.into(), min: 1, max: most };
    let close = Item::Mark(CALLS.1.into());
    if must {
        return vec![Item::Mark(CALLS.0.into()), list, close];
    }
    // A call without the marks around it is read as well, so text has none.
    let free = Item::Free { without: vec![CALLS.0.into(), CALL.0.into()], not_first: None };
    let open = Item::Until { mark: CALLS.0.into(), without: vec![CALL.0.into()] };
    let calls = vec![open, list, close];
    vec![Item::OneOf(vec![calls, vec![free]])]
}
