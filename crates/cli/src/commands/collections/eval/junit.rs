//! The results as JUnit XML: a case for each question, and one for the whole.

use super::{Evaluated, Outcome};

/// Of a question, as a name.
const NAME_CHARS: usize = 200;

/// A question fails when nothing relevant was found, or something planted was.
pub(super) fn text(all: &Evaluated, outcomes: &[Outcome<'_>], min_ndcg: Option<f64>) -> String {
    let suite = format!("collection eval {}", all.collection);
    let mut cases = vec![whole(all, min_ndcg)];
    cases.extend(outcomes.iter().map(|outcome| {
        let failure = if outcome.both.recall == 0.0 {
            Some(format!("nothing relevant is among the first {}", all.k))
        } else if outcome.both.poisoned > 0.0 {
            Some(format!("something planted is among the first {}", all.k))
        } else {
            None
        };
        (outcome.question.query.clone(), failure)
    }));
    let failures = cases.iter().filter(|(_, failure)| failure.is_some()).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\">\n",
        escaped(&suite),
        cases.len()
    );
    for (name, failure) in &cases {
        let name: String = name.chars().take(NAME_CHARS).collect();
        text.push_str(&format!("<testcase classname=\"{}\" name=\"{}\"", escaped(&suite), escaped(&name)));
        match failure {
            None => text.push_str("/>\n"),
            Some(why) => text.push_str(&format!("><failure message=\"{}\"/></testcase>\n", escaped(why))),
        }
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

fn whole(all: &Evaluated, min_ndcg: Option<f64>) -> (String, Option<String>) {
    let name = format!("nDCG@{} of both arms is {:.3}", all.k, all.both.ndcg);
    let short =
        min_ndcg.filter(|least| all.both.ndcg < *least).map(|least| format!("{least:.3} is asked for"));
    let worse = all.worse.then(|| format!("the better arm alone has {:.3} more", -all.gain));
    (name, short.or(worse))
}

/// As an attribute; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(' '),
            '\u{0}'..'\u{20}' | '\u{FFFE}' | '\u{FFFF}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_question_says_is_text_and_never_markup() {
        assert_eq!(escaped("a < b & \"c\"\n\u{1}d"), "a &lt; b &amp; &quot;c&quot; d");
    }
}
