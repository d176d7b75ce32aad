//! Text that may become part of a page.
//!
//! There are two ways in: a template, which is `&'static str` and so ours, and
//! values, which are escaped. A name cannot become markup by forgetting a call.

/// Longest value that is shown; what is cut is marked. A note of a provider may
/// be as long as its body, a page need not be.
const VALUE_CHARS: usize = 600;

/// A page being written.
#[derive(Debug, Default)]
pub(crate) struct Html(String);

impl Html {
    pub fn new() -> Html {
        Html(String::with_capacity(16 << 10))
    }

    /// Markup of ours.
    pub fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    /// A template whose every `{}` is replaced by the next value, escaped for
    /// text and for attributes in double quotes.
    pub fn put(&mut self, template: &'static str, values: &[&str]) -> &mut Html {
        let mut parts = template.split("{}");
        self.0.push_str(parts.next().unwrap_or_default());
        let mut values = values.iter();
        for part in parts {
            debug_assert!(values.len() > 0, "a value for every place of {template}");
            escape(&mut self.0, values.next().copied().unwrap_or_default());
            self.0.push_str(part);
        }
        debug_assert!(values.len() == 0, "a place for every value of {template}");
        self
    }

    /// Markup already written by another `Html`.
    pub fn add(&mut self, other: Html) -> &mut Html {
        self.0.push_str(&other.0);
        self
    }

    pub fn finish(self) -> String {
        self.0
    }
}

fn escape(out: &mut String, value: &str) {
    for (index, c) in value.chars().enumerate() {
        if index == VALUE_CHARS {
            out.push('…');
            return;
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if deceives(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// Characters that are not shown but change how others are: controls, and the
/// marks that reverse or embed a direction and so let one name look like another.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(value: &str) -> String {
        let mut html = Html::new();
        html.put("{}", &[value]);
        html.finish()
    }

    #[test]
    fn a_value_stays_text_in_every_place() {
        assert_eq!(shown("<script>"), "&lt;script&gt;");
        assert_eq!(shown(r#"" onload='x' &amp;"#), "&quot; onload=&#39;x&#39; &amp;amp;");
        assert_eq!(shown("{}"), "{}", "a value is not a template");
    }

    #[test]
    fn characters_that_hide_or_reverse_are_replaced() {
        assert_eq!(shown("a\u{202e}b\0c\u{1b}[31m"), "a\u{fffd}b\u{fffd}c\u{fffd}[31m");
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let text = shown(&"é".repeat(5000));
        assert_eq!(text.chars().count(), VALUE_CHARS + 1);
        assert!(text.ends_with('…'));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_value_brings_markup(value in "\\PC*") {
            prop_assert!(!shown(&value).contains(['<', '>', '"', '\'']));
        }
    }
}
