//! From pieces of text at places to lines and paragraphs, in the order of the content.

/// A stretch of text that was set at once.
#[derive(Clone, Debug)]
pub struct Run {
    pub text: String,
    /// Along the direction of writing, in points: where it begins and ends.
    pub start: f64,
    pub end: f64,
    /// Across it: the place of its line.
    pub line: f64,
    /// The direction of writing, of length 1.
    pub direction: (f64, f64),
    /// Of its letters, in points.
    pub size: f64,
}

#[derive(Debug, PartialEq)]
pub struct Paragraph {
    pub text: String,
    pub size: f64,
}

/// How far apart two letters of one word are at most, in sizes.
const LETTER_GAP: f64 = 0.15;
/// How far two lines of one paragraph are apart at most, in sizes.
const LINE_GAP: f64 = 1.7;

pub fn paragraphs(runs: &[Run]) -> Vec<Paragraph> {
    let mut all: Vec<Paragraph> = Vec::new();
    let mut before: Option<&Run> = None;
    for run in runs {
        match (before, all.last_mut()) {
            (Some(before), Some(paragraph)) if same_line(before, run) => {
                let gap = run.start - before.end > LETTER_GAP * run.size;
                let spaced =
                    before.text.ends_with(char::is_whitespace) || run.text.starts_with(char::is_whitespace);
                if gap && !spaced {
                    paragraph.text.push(' ');
                }
                paragraph.text.push_str(&run.text);
            }
            (Some(before), Some(paragraph)) if same_paragraph(before, run) => {
                next_line(&mut paragraph.text, run)
            }
            _ => all.push(Paragraph { text: run.text.clone(), size: run.size }),
        }
        before = Some(run);
    }
    all.retain(|paragraph| !paragraph.text.trim().is_empty());
    all
}

fn same_line(before: &Run, run: &Run) -> bool {
    let size = before.size.max(run.size);
    turned_alike(before, run) && (before.line - run.line).abs() < size * 0.5 && run.start > before.end - size
}

fn same_paragraph(before: &Run, run: &Run) -> bool {
    let down = before.line - run.line;
    let sizes = (before.size / run.size.max(0.01)).max(run.size / before.size.max(0.01));
    turned_alike(before, run) && down > 0.0 && down < run.size.max(before.size) * LINE_GAP && sizes < 1.15
}

fn turned_alike(before: &Run, run: &Run) -> bool {
    before.direction.0 * run.direction.0 + before.direction.1 * run.direction.1 > 0.99
}

/// A word that is cut at the end of a line is one word.
fn next_line(text: &mut String, run: &Run) {
    let cut = text.strip_suffix('-').is_some_and(|rest| rest.ends_with(char::is_alphabetic));
    if cut && run.text.starts_with(char::is_lowercase) {
        text.pop();
    } else {
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push_str(&run.text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, start: f64, line: f64, size: f64) -> Run {
        let end = start + text.chars().count() as f64 * size / 2.0;
        Run { text: text.into(), start, end, line, direction: (1.0, 0.0), size }
    }

    #[test]
    fn runs_become_words_lines_and_paragraphs() {
        let runs = [
            run("Leave", 72.0, 700.0, 18.0),
            run("Every", 72.0, 670.0, 10.0),
            run("body", 101.0, 670.0, 10.0),
            run("has twen-", 72.0, 658.0, 10.0),
            run("ty days.", 72.0, 646.0, 10.0),
            run("Ask in writing.", 72.0, 610.0, 10.0),
        ];
        let texts: Vec<String> = paragraphs(&runs).into_iter().map(|p| p.text).collect();
        assert_eq!(texts, ["Leave", "Every body\nhas twenty days.", "Ask in writing."]);
    }
}
