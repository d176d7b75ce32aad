//! Server-sent events, as they arrive in pieces.

/// Collects bytes until whole events are there. At most 1 MiB is kept.
#[derive(Default)]
pub(crate) struct Events {
    pending: Vec<u8>,
}

/// What a stream says.
pub(crate) enum Event<'t> {
    Data(&'t str),
    /// A line that clients ignore; Bedplate states the cost of a stream in one.
    Comment(&'t str),
}

const PENDING_MAX: usize = 1 << 20;

impl Events {
    /// Takes a piece and hands over every event and comment that it completes.
    pub fn push(&mut self, piece: &[u8], mut event: impl FnMut(Event)) {
        self.pending.extend_from_slice(piece);
        while let Some((end, skip)) = blank_line(&self.pending) {
            let block: Vec<u8> = self.pending.drain(..end + skip).take(end).collect();
            let text = String::from_utf8_lossy(&block);
            let data: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(|data| data.strip_prefix(' ').unwrap_or(data))
                .collect();
            text.lines()
                .filter_map(|line| line.strip_prefix(':'))
                .for_each(|c| event(Event::Comment(c.trim())));
            if !data.is_empty() {
                event(Event::Data(&data.join("\n")));
            }
        }
        if self.pending.len() > PENDING_MAX {
            self.pending.clear();
        }
    }
}

/// Where an event ends, and how long the empty line behind it is.
fn blank_line(bytes: &[u8]) -> Option<(usize, usize)> {
    let lf = bytes.windows(2).position(|w| w == b"\n\n").map(|at| (at, 2));
    let crlf = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| (at, 4));
    match (lf, crlf) {
        (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &[u8] =
        b"event: a\ndata: {\"x\":1}\n\n: comment\n\ndata: two\r\ndata: lines\r\n\r\ndata:[DONE]\n\ndata: half";

    proptest! {
        #[test]
        fn every_split_yields_the_same_events(cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut events = Events::default();
            let mut seen = Vec::new();
            for pair in cuts.windows(2) {
                events.push(&STREAM[pair[0]..pair[1]], |event| seen.push(match event {
                    Event::Data(data) => data.to_owned(),
                    Event::Comment(comment) => format!(": {comment}"),
                }));
            }
            prop_assert_eq!(seen, ["{\"x\":1}", ": comment", "two\nlines", "[DONE]"]);
        }
    }
}
