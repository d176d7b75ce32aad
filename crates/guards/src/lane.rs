//! A hold with what its findings are about: its place, and what stands instead.

use crate::hold::{Hit, Hold, Piece, Watch};
use crate::vault::Vault;
use crate::verdict::{Action, Finding, Kind, Place, Verdict};

/// One text under guard.
pub(crate) struct Lane {
    pub hold: Hold,
    pub place: Place,
    /// Whether the text inside stands in a JSON string.
    pub json: bool,
    /// Something of it was replaced.
    pub altered: bool,
    /// Replaced stretches, for what follows the text token by token.
    pub replaced: Vec<(u64, u64)>,
    pub keep_replaced: bool,
}

/// What a region becomes.
pub(crate) enum Exchange<'a> {
    /// Requests: values go into the vault.
    Keep(&'a mut Vault),
    /// Answers: values come out of it.
    Restore(&'a Vault),
}

impl Lane {
    pub fn new(place: Place) -> Lane {
        let json = matches!(place, Place::ToolArguments { .. });
        Lane {
            hold: Hold::default(),
            place,
            json,
            altered: false,
            replaced: Vec::new(),
            keep_replaced: false,
        }
    }

    /// Takes text; what may go on is appended to `out`.
    pub fn push(
        &mut self,
        watches: &[Watch],
        text: &str,
        exchange: &mut Exchange<'_>,
        verdict: &mut Verdict,
        out: &mut String,
    ) {
        self.run(watches, exchange, verdict, out, |hold, give| hold.push(watches, text.as_bytes(), give));
    }
    pub fn pause(
        &mut self,
        watches: &[Watch],
        exchange: &mut Exchange<'_>,
        verdict: &mut Verdict,
        out: &mut String,
    ) {
        self.run(watches, exchange, verdict, out, |hold, give| hold.pause(watches, give));
    }
    pub fn finish(
        &mut self,
        watches: &[Watch],
        exchange: &mut Exchange<'_>,
        verdict: &mut Verdict,
        out: &mut String,
    ) {
        self.run(watches, exchange, verdict, out, |hold, give| hold.finish(watches, give));
    }

    fn run(
        &mut self,
        watches: &[Watch],
        exchange: &mut Exchange<'_>,
        verdict: &mut Verdict,
        out: &mut String,
        act: impl FnOnce(&mut Hold, &mut dyn FnMut(Piece<'_>)),
    ) {
        let before = self.hold.scanned();
        let (json, keep) = (self.json, self.keep_replaced);
        let (altered, replaced) = (&mut self.altered, &mut self.replaced);
        let mut released = 0;
        act(&mut self.hold, &mut |piece| match piece {
            Piece::Text(text) => {
                released += text.len() as u64;
                out.push_str(&String::from_utf8_lossy(text));
            }
            Piece::More(count) => {
                if let Some(last) = replaced.last_mut() {
                    last.1 += count;
                }
            }
            Piece::Region { text, hit } => {
                *altered = true;
                if keep {
                    replaced.push((hit.end - text.len() as u64, hit.end));
                }
                let instead = instead(watches, &hit, text, exchange);
                if json {
                    escape(&instead, out);
                } else {
                    out.push_str(&instead);
                }
            }
        });
        verdict.scanned += self.hold.scanned() - before;
        verdict.released += released;
        self.report(watches, verdict);
    }

    /// Tells what was found, without what lies inside something found that is
    /// treated as strictly.
    fn report(&mut self, watches: &[Watch], verdict: &mut Verdict) {
        let undecided = self.hold.pending(watches);
        let mut hits: Vec<Hit> = std::mem::take(&mut self.hold.hits);
        // What could still grow is told when it is whole.
        let (mut whole, later): (Vec<Hit>, Vec<Hit>) =
            hits.drain(..).partition(|hit| hit.end <= undecided || self.hold.is_blocked());
        self.hold.hits = later;
        whole.sort_by_key(|h| (h.start, std::cmp::Reverse(h.end), h.watch, h.rule));
        let inside = |a: &Hit, b: &Hit| b.start <= a.start && a.end <= b.end && a.action <= b.action;
        let outer: Vec<Hit> = whole
            .iter()
            .enumerate()
            .filter(|(i, hit)| {
                !whole.iter().enumerate().any(|(j, other)| {
                    let same = hit.start == other.start && hit.end == other.end && hit.action == other.action;
                    *i != j && inside(hit, other) && (!same || j < *i)
                })
            })
            .map(|(_, hit)| *hit)
            .collect();
        for hit in outer {
            let kind = watches[hit.watch].kind(&hit);
            if kind == Kind::Placeholder {
                continue;
            }
            verdict.add(Finding {
                kind,
                rule: watches[hit.watch].machine.rules[hit.rule].name,
                detector: watches[hit.watch].machine.detector,
                place: self.place.clone(),
                span: hit.start..hit.end,
                action: hit.action,
                score: 1.0,
            });
        }
    }
}

/// What stands in a region's place.
fn instead(watches: &[Watch], hit: &Hit, text: &[u8], exchange: &mut Exchange<'_>) -> String {
    let kind = watches[hit.watch].kind(hit);
    if hit.action == Action::Tokenise
        && let Ok(text) = std::str::from_utf8(text)
    {
        let value = match exchange {
            Exchange::Keep(vault) => vault.keep(kind, text),
            Exchange::Restore(vault) => vault.value(text.as_bytes()).map(str::to_owned),
        };
        if let Some(value) = value {
            return value;
        }
    }
    mask(kind).to_owned()
}

/// One word in brackets: no rule finds anything in it, and JSON needs no escapes.
pub(crate) const fn mask(kind: Kind) -> &'static str {
    match kind {
        Kind::Placeholder => "[removed]",
        Kind::Card => "[card]",
        Kind::Iban => "[iban]",
        Kind::NationalId => "[national id]",
        Kind::Email => "[email]",
        Kind::Phone => "[phone]",
        Kind::Ip => "[ip]",
        Kind::Url => "[url]",
        Kind::DriverLicence => "[licence]",
        Kind::VendorSecret | Kind::KnownSecret | Kind::Canary => "[secret]",
        Kind::PrivateKey => "[private key]",
        Kind::Token => "[token]",
        Kind::ConnectionString => "[connection string]",
        _ => "[removed]",
    }
}

/// A value as it stands inside a JSON string.
fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
}
