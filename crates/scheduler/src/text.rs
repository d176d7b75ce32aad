//! From the bytes of tokens to text that may be shown.
//!
//! Tokens end anywhere: inside a character, inside a stop text. The stream
//! holds back exactly the bytes that could still become a character and the
//! text that could still become a stop, and nothing more, so that a reader
//! sees each word as soon as it is certain. The result does not depend on how
//! the bytes were split: a stop counts at the first place where one is complete.

/// One choice's text.
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    stops: Vec<String>,
    /// The start of a character: at most three bytes.
    partial: Vec<u8>,
    /// Text that could be the start of a stop.
    held: String,
}

impl TextStream {
    /// Empty stops are ignored.
    pub fn new(stops: Vec<String>) -> TextStream {
        TextStream { stops: stops.into_iter().filter(|s| !s.is_empty()).collect(), ..TextStream::default() }
    }

    /// Adds a token's bytes. Returns the text that is now certain, and the stop
    /// that was met, after which the stream is over.
    pub fn push(&mut self, bytes: &[u8]) -> (String, Option<String>) {
        self.decode(bytes);
        if let Some((start, stop)) = self.stop_in_held() {
            let stop = stop.to_owned();
            self.held.truncate(start);
            self.partial.clear();
            return (std::mem::take(&mut self.held), Some(stop));
        }
        let keep = self.possible_stop();
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// The text that was held back when nothing follows; a cut character is U+FFFD.
    pub fn finish(&mut self) -> String {
        if !self.partial.is_empty() {
            self.partial.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        std::mem::take(&mut self.held)
    }

    /// Whether nothing is held back.
    pub fn is_settled(&self) -> bool {
        self.held.is_empty() && self.partial.is_empty()
    }

    fn decode(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            match std::str::from_utf8(&self.partial[at..]) {
                Ok(text) => {
                    self.held.push_str(text);
                    self.partial.clear();
                    return;
                }
                Err(e) => {
                    let good = at + e.valid_up_to();
                    self.held.push_str(
                        std::str::from_utf8(&self.partial[at..good]).expect("from_utf8 found it valid"),
                    );
                    match e.error_len() {
                        Some(bad) => {
                            self.held.push(char::REPLACEMENT_CHARACTER);
                            at = good + bad;
                        }
                        None => {
                            self.partial.drain(..good);
                            return;
                        }
                    }
                }
            }
        }
    }

    /// The stop that is complete first, the longest of those; and where it starts.
    fn stop_in_held(&self) -> Option<(usize, &str)> {
        self.stops
            .iter()
            .filter_map(|stop| {
                self.held.find(stop.as_str()).map(|start| (start + stop.len(), start, stop.as_str()))
            })
            .min()
            .map(|(_, start, stop)| (start, stop))
    }

    /// Bytes at the end of the held text that a stop could begin with.
    fn possible_stop(&self) -> usize {
        let longest = |stop: &String| {
            let most = (stop.len() - 1).min(self.held.len());
            (1..=most).rev().find(|n| {
                let at = self.held.len() - n;
                self.held.is_char_boundary(at) && stop.as_bytes().starts_with(&self.held.as_bytes()[at..])
            })
        };
        self.stops.iter().filter_map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pushes `bytes` in pieces that end at `cuts`.
    fn run(stops: &[&str], bytes: &[u8], cuts: &[usize]) -> (String, Option<String>) {
        let mut stream = TextStream::new(stops.iter().map(|s| (*s).to_owned()).collect());
        let (mut text, mut at) = (String::new(), 0);
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            if cut < at {
                continue;
            }
            let (more, stop) = stream.push(&bytes[at..cut]);
            text.push_str(&more);
            if stop.is_some() {
                return (text, stop);
            }
            at = cut;
        }
        text.push_str(&stream.finish());
        (text, None)
    }

    #[test]
    fn a_stop_is_found_at_every_split() {
        let text = "héllo wörld STOP and more";
        for a in 0..text.len() {
            for b in a..text.len() {
                let got = run(&["STOP", "wörld!"], text.as_bytes(), &[a, b]);
                assert_eq!(got, ("héllo wörld ".to_owned(), Some("STOP".to_owned())), "{a} {b}");
            }
        }
    }

    #[test]
    fn only_what_could_become_a_stop_is_held() {
        let mut s = TextStream::new(vec!["</end>".into()]);
        assert_eq!(s.push(b"a </"), ("a ".into(), None));
        assert_eq!(s.push(b"b>"), ("</b>".into(), None));
        assert_eq!(s.push(b"<</en"), ("<".into(), None));
        assert_eq!(s.push(b"d>x"), (String::new(), Some("</end>".into())));
    }

    #[test]
    fn a_cut_character_is_held_and_a_broken_one_replaced() {
        let mut s = TextStream::new(vec![]);
        assert_eq!(s.push(&[0xe2, 0x82]), (String::new(), None));
        assert!(!s.is_settled());
        assert_eq!(s.push(&[0xac, b'!']), ("€!".into(), None));
        assert_eq!(s.push(&[0xff, b'a']), ("\u{fffd}a".into(), None));
        assert_eq!(s.push(&[0xf0, 0x9f]), (String::new(), None));
        assert_eq!(s.finish(), "\u{fffd}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn the_split_never_matters(
            text in "[abc€ ]{0,24}",
            stops in proptest::collection::vec("[abc€]{1,4}", 0..4),
            mut cuts in proptest::collection::vec(0usize..40, 0..12),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            cuts.retain(|c| *c <= text.len());
            cuts.sort_unstable();
            let whole = run(&stops, text.as_bytes(), &[]);
            prop_assert_eq!(&run(&stops, text.as_bytes(), &cuts), &whole);
            let each: Vec<usize> = (0..text.len()).collect();
            prop_assert_eq!(&run(&stops, text.as_bytes(), &each), &whole);
            prop_assert!(whole.1.is_some() || whole.0 == text);
        }

        #[test]
        fn any_bytes_split_anyhow_are_the_same_text(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            mut cuts in proptest::collection::vec(0usize..40, 0..12),
        ) {
            cuts.retain(|c| *c <= bytes.len());
            cuts.sort_unstable();
            prop_assert_eq!(run(&[], &bytes, &cuts).0, run(&[], &bytes, &[]).0);
        }
    }
}
