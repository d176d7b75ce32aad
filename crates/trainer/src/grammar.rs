//! Texts from templates: `{one|other}` chooses, `@list` draws from a list.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// A generator with a seed: the same numbers on every machine (xorshift64*).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    pub fn below(&mut self, most: usize) -> usize {
        (self.next() >> 33) as usize % most.max(1)
    }
    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// The word lists.
pub type Lists = BTreeMap<String, Vec<String>>;

/// The lines of a file, without comments and empty ones.
pub fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("# ")).collect()
}

/// `name: one | two`, a list to a line.
pub fn lists(text: &str) -> Result<Lists> {
    let list = |line: &str| -> Result<(String, Vec<String>)> {
        let (name, words) = line.split_once(':').with_context(|| format!("no colon in {line:?}"))?;
        Ok((name.to_owned(), words.split('|').map(|w| w.trim().to_owned()).collect()))
    };
    lines(text).into_iter().map(list).collect()
}

/// One text of a template.
pub fn expand(template: &str, lists: &Lists, chance: &mut Chance) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '@']) {
        out.push_str(&rest[..at]);
        if rest[at..].starts_with('{') {
            let (inside, after) =
                group(&rest[at + 1..]).with_context(|| format!("open group in {template:?}"))?;
            let choice = *chance.pick(&inside);
            out.push_str(&expand(choice, lists, chance)?);
            rest = after;
        } else {
            let name = rest[at + 1..].split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
            // An address, not a list.
            let is_address = name.is_empty() || out.ends_with(char::is_alphanumeric);
            match lists.get(name).filter(|_| !is_address) {
                Some(words) => out.push_str(chance.pick(words.as_slice()).as_str()),
                None if is_address => {
                    out.push('@');
                    out.push_str(name);
                }
                None => bail!("no list {name:?} for {template:?}"),
            }
            rest = &rest[at + 1 + name.len()..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The choices of a group that was opened, and what follows it.
fn group(text: &str) -> Option<(Vec<&str>, &str)> {
    let (mut depth, mut from, mut choices) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                choices.push(&text[from..at]);
                return Some((choices, &text[at + 1..]));
            }
            '}' => depth -= 1,
            '|' if depth == 0 => {
                choices.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gives_the_same_texts_for_the_same_seed() {
        let lists = lists("who: Ann | Bo").unwrap();
        let text = |seed| expand("{Hi|Hello {dear|}} @who, a@b", &lists, &mut Chance::new(seed)).unwrap();
        assert_eq!(text(7), text(7));
        let all: std::collections::BTreeSet<String> = (0..200).map(text).collect();
        assert_eq!(all.len(), 6);
        assert!(all.contains("Hello dear Bo, a@b"));
    }
}
