//! What was read, as events of one choice.

use chat::Event;

/// Collects events. White space at the end of a text is kept until something
/// follows it: a mark swallows it, a word does not.
pub(super) struct Sink {
    choice: u32,
    one_call: bool,
    id_prefix: String,
    calls: u32,
    events: Vec<Event>,
    /// White space before the next text is dropped: after a mark.
    trim: bool,
    /// White space of the kind of text that came last.
    held: String,
    reasoning: bool,
}

impl Sink {
    pub(super) fn new(choice: u32, one_call: bool, id_prefix: String, trim: bool) -> Sink {
        let (events, held) = (Vec::new(), String::new());
        Sink { choice, one_call, id_prefix, calls: 0, events, trim, held, reasoning: trim }
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls
    }
    pub(super) fn drain(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    /// Text in which nothing is looked for.
    pub(super) fn verbatim(&mut self, text: &str) {
        self.emit(false, text.to_owned());
    }
    pub(super) fn text(&mut self, text: &str) {
        self.say(false, text);
    }
    pub(super) fn reasoning(&mut self, text: &str) {
        self.say(true, text);
    }

    /// A mark was read: white space around it belongs to nothing.
    pub(super) fn mark(&mut self) {
        self.held.clear();
        self.trim = true;
    }

    /// A call was read. Calls that the client does not want are dropped.
    pub(super) fn call(&mut self, name: String, arguments: String) {
        self.mark();
        let (choice, index) = (self.choice, self.calls);
        if self.one_call && index > 0 {
            return;
        }
        self.calls += 1;
        let id = format!("{}{choice}{index:02}", self.id_prefix);
        self.events.push(Event::ToolStart { choice, index, id, name });
        self.events.push(Event::ToolArguments { choice, index, fragment: arguments });
    }

    pub(super) fn finish(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.emit(self.reasoning, held);
    }

    fn say(&mut self, reasoning: bool, text: &str) {
        let text = if self.trim { text.trim_start() } else { text };
        if text.is_empty() {
            return;
        }
        self.trim = false;
        if reasoning != self.reasoning {
            self.held.clear();
            self.reasoning = reasoning;
        }
        let end = text.trim_end().len();
        if end == 0 {
            self.held.push_str(text);
            return;
        }
        let mut whole = std::mem::take(&mut self.held);
        whole.push_str(&text[..end]);
        self.held.push_str(&text[end..]);
        self.emit(reasoning, whole);
    }

    fn emit(&mut self, reasoning: bool, text: String) {
        if text.is_empty() {
            return;
        }
        let choice = self.choice;
        self.events.push(match reasoning {
            true => Event::Reasoning { choice, text },
            false => Event::Text { choice, text },
        });
    }
}
