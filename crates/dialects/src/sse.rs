//! Server-sent events, pushed in as they arrive.
//!
//! The scanner takes bytes split anywhere, ends a line at LF, CRLF or CR, joins
//! several `data:` lines by LF, skips comments, and holds at most `cap` bytes of
//! one event: a larger one is dropped as a whole and counted, and the stream
//! goes on. Source: WHATWG HTML, "Server-sent events", interpretation of a stream.

use memchr::memchr2;

/// Enough for an image in base64 inside one event.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// One event. Its name is empty when the stream gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub event: &'a str,
    pub data: &'a [u8],
}

/// A bounded scanner over one stream.
pub struct Frames {
    cap: usize,
    /// A line whose end has not arrived.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    event: String,
    /// The last byte was CR: a LF that follows belongs to it.
    after_cr: bool,
    is_first_line: bool,
    /// The current event is over the cap: nothing of it is kept.
    is_overflowing: bool,
    dropped: u64,
}

impl Frames {
    pub fn new(cap: usize) -> Frames {
        Frames {
            cap,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            event: String::new(),
            after_cr: false,
            is_first_line: true,
            is_overflowing: false,
            dropped: 0,
        }
    }

    /// Calls `on` for each event these bytes complete.
    pub fn push(&mut self, mut bytes: &[u8], mut on: impl FnMut(Frame<'_>)) {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = memchr2(b'\n', b'\r', bytes) {
            if self.line.is_empty() && !self.is_overflowing {
                self.take_line(&bytes[..end], &mut on);
            } else {
                self.hold(&bytes[..end]);
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, &mut on);
                self.line = line;
                self.line.clear();
            }
            let is_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if is_cr {
                self.after_cr = bytes.is_empty();
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        self.hold(bytes);
    }

    /// At the end of the stream: an event whose blank line never came is still
    /// told, because providers end with a bare `data: [DONE]`.
    pub fn finish(&mut self, mut on: impl FnMut(Frame<'_>)) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, &mut on);
        }
        self.take_line(b"", &mut on);
    }

    /// Events dropped because they were over the cap.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.line.len() + self.data.len() + bytes.len() > self.cap {
            self.is_overflowing = true;
            // One byte stays, so that the line does not look blank.
            self.line.truncate(1);
            if self.line.is_empty() && !bytes.is_empty() {
                self.line.push(b':');
            }
            self.data.clear();
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn take_line(&mut self, line: &[u8], on: &mut impl FnMut(Frame<'_>)) {
        let mut line = line;
        if self.is_first_line {
            self.is_first_line = false;
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            if self.is_overflowing {
                self.dropped += 1;
            } else if self.has_data {
                on(Frame { event: &self.event, data: &self.data });
            }
            self.data.clear();
            self.event.clear();
            (self.has_data, self.is_overflowing) = (false, false);
            return;
        }
        if self.is_overflowing {
            return;
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" if self.data.len() + value.len() > self.cap => {
                self.is_overflowing = true;
                self.data.clear();
            }
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.event.clear();
                let name = String::from_utf8_lossy(&value[..value.len().min(128)]);
                self.event.push_str(&name);
            }
            _ => {}
        }
    }
}

impl Default for Frames {
    fn default() -> Frames {
        Frames::new(EVENT_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]], cap: usize) -> (Vec<(String, String)>, u64) {
        let mut frames = Frames::new(cap);
        let mut seen = Vec::new();
        let mut on =
            |f: Frame<'_>| seen.push((f.event.to_string(), String::from_utf8_lossy(f.data).into_owned()));
        chunks.iter().for_each(|c| frames.push(c, &mut on));
        frames.finish(&mut on);
        (seen, frames.dropped())
    }

    const STREAM: &[u8] = b"\xef\xbb\xbf: hi\r\n\r\ndata: one\ndata:two\r\rdata\n\nevent: ping\rdata: {}\r\n\r\nid: 3\nretry: 5\n\ndata: \xc3\xa9\n\nevent: x\n\ndata: [DONE]";

    #[test]
    fn lines_end_three_ways_and_data_lines_join() {
        let want = [("", "one\ntwo"), ("", ""), ("ping", "{}"), ("", "é"), ("", "[DONE]")];
        let want: Vec<_> = want.iter().map(|(e, d)| (e.to_string(), d.to_string())).collect();
        assert_eq!(read(&[STREAM], 100).0, want);
    }

    #[test]
    fn every_single_split_reads_the_same() {
        let whole = read(&[STREAM], 100);
        for at in 0..=STREAM.len() {
            assert_eq!(read(&[&STREAM[..at], &STREAM[at..]], 100), whole, "split at {at}");
        }
        let drip: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(read(&drip, 100), whole);
    }

    #[test]
    fn an_event_over_the_cap_is_dropped_and_the_stream_goes_on() {
        let long = format!(
            "data: {}\n\ndata: ok\n\ndata: {}\ndata: {}\n\ndata: fine\n\n",
            "x".repeat(50),
            "y".repeat(9),
            "z".repeat(9)
        );
        for size in [1, 3, 7, 1000] {
            let chunks: Vec<&[u8]> = long.as_bytes().chunks(size).collect();
            let (seen, dropped) = read(&chunks, 16);
            let data: Vec<_> = seen.iter().map(|(_, d)| d.as_str()).collect();
            assert_eq!((data, dropped), (vec!["ok", "fine"], 2), "chunks of {size}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_bytes_panic_and_no_split_matters(text in "(data: ?[a-z{]{0,6}|event: b|:|\r|\n|\r\n|\n\n|x){0,24}", cuts in prop::collection::vec(0usize..200, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(read(&parts, 1000), read(&[bytes], 1000));
        }
    }
}
