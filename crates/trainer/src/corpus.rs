//! The training texts: made from the templates in `corpus/`, which were written
//! for this repository. No text of any data set is in them.

use anyhow::Result;

use crate::grammar::{Chance, Lists, expand, lines, lists};

/// Families of attacks, and their templates.
pub const ATTACKS: [(&str, &str); 9] = [
    ("dual", include_str!("../corpus/attack/dual.txt")),
    ("encoded", include_str!("../corpus/attack/encoded.txt")),
    ("extract", include_str!("../corpus/attack/extract.txt")),
    ("fiction", include_str!("../corpus/attack/fiction.txt")),
    ("mode", include_str!("../corpus/attack/mode.txt")),
    ("override", include_str!("../corpus/attack/override.txt")),
    ("persona", include_str!("../corpus/attack/persona.txt")),
    ("pressure", include_str!("../corpus/attack/pressure.txt")),
    ("tooltext", include_str!("../corpus/attack/tooltext.txt")),
];

/// Harmless texts; `hard` ones use the words of attacks.
pub const BENIGN: [(&str, &str); 5] = [
    ("delicate", include_str!("../corpus/benign/delicate.txt")),
    ("documents", include_str!("../corpus/benign/documents.txt")),
    ("hard", include_str!("../corpus/benign/hard.txt")),
    ("prose", include_str!("../corpus/benign/prose.txt")),
    ("requests", include_str!("../corpus/benign/requests.txt")),
];

const WORDS: &str = include_str!("../corpus/words.txt");

/// Part of a text, and whether it is an attack.
pub type Part = (String, bool);

pub struct Corpus {
    lists: Lists,
    chance: Chance,
}

impl Corpus {
    pub fn new(seed: u64) -> Result<Corpus> {
        Ok(Corpus { lists: lists(WORDS)?, chance: Chance::new(seed) })
    }

    /// An attack of a family: a few of its sentences, sometimes with others
    /// around it. `others`: families that may be mixed in.
    pub fn attack(&mut self, family: &str, others: &[&str]) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        if self.chance.one_in(4) {
            for _ in 0..=self.chance.below(3) {
                parts.push((self.benign_line(None)?, false));
            }
        }
        let most = if self.chance.one_in(4) { 14 } else { 5 };
        for _ in 0..=self.chance.below(most) {
            let from =
                if self.chance.one_in(4) && !others.is_empty() { *self.chance.pick(others) } else { family };
            parts.push((self.line(&ATTACKS, from)?, true));
        }
        if self.chance.one_in(4) {
            parts.push((self.benign_line(None)?, false));
        }
        Ok(parts)
    }

    /// A harmless text of one kind.
    pub fn benign(&mut self, kind: &str) -> Result<Vec<Part>> {
        let most = if kind == "documents" { 8 } else { 4 };
        let mut parts = vec![(self.benign_line(Some(kind))?, false)];
        if self.chance.one_in(2) {
            let most = if self.chance.one_in(5) { 3 * most } else { most };
            for _ in 0..self.chance.below(most) {
                let kind = if self.chance.one_in(3) { None } else { Some(kind) };
                parts.push((self.benign_line(kind)?, false));
            }
        }
        Ok(parts)
    }

    fn benign_line(&mut self, kind: Option<&str>) -> Result<String> {
        let kind = match kind {
            Some(kind) => kind,
            None => self.chance.pick(&BENIGN).0,
        };
        self.line(&BENIGN, kind)
    }

    fn line(&mut self, files: &[(&str, &str)], name: &str) -> Result<String> {
        let text = files.iter().find(|(n, _)| *n == name).map_or("", |(_, text)| text);
        let lines: Vec<&str> = lines(text);
        expand(self.chance.pick::<&str>(&lines), &self.lists, &mut self.chance)
    }
}
