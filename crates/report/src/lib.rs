//! The shape of an error: what, where, why, what next.
//!
//! Every crate has its own small `Error`; a [`Report`] is what a person or a
//! client is shown. It carries a stable [`Code`] with a page in `docs/errors/`,
//! who must act ([`Blame`]), whether a retry can help ([`Retry`]), and the
//! number that mattered. Dialects render it in the client's own envelope.

mod codes;

pub use codes::CODES;

use std::fmt;

/// A stable error code: two letters for the crate, four digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Code(pub &'static str);

/// Who must act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// The caller: the same request will fail again.
    Client,
    /// This process or its operator.
    Us,
    /// The provider behind us.
    Upstream,
}

/// Whether trying again can help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    Never,
    /// At once, or with the client's own backoff.
    Yes,
    /// Not before this many seconds.
    After(u32),
}

/// What the error is like, which decides the HTTP status and each dialect's error type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// 400
    Invalid,
    /// 400, with the dialect's own name for an over-long prompt
    ContextLength,
    /// 401
    Unauthenticated,
    /// 402: budgets. Not 429, which client libraries retry by themselves.
    OverBudget,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    Method,
    /// 409
    Conflict,
    /// 413
    TooLarge,
    /// 415
    MediaType,
    /// 429
    RateLimited,
    /// 500
    Internal,
    /// 502
    BadUpstream,
    /// 503
    Unavailable,
    /// 504
    Timeout,
}

impl Class {
    pub const fn status(self) -> u16 {
        match self {
            Class::Invalid | Class::ContextLength => 400,
            Class::Unauthenticated => 401,
            Class::OverBudget => 402,
            Class::Forbidden => 403,
            Class::NotFound => 404,
            Class::Method => 405,
            Class::Conflict => 409,
            Class::TooLarge => 413,
            Class::MediaType => 415,
            Class::RateLimited => 429,
            Class::Internal => 500,
            Class::BadUpstream => 502,
            Class::Unavailable => 503,
            Class::Timeout => 504,
        }
    }
}

/// One entry of the registry: what is fixed about a code.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub code: Code,
    pub class: Class,
    pub blame: Blame,
    /// A short title; the page's heading.
    pub title: &'static str,
}

/// An error as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub code: Code,
    pub class: Class,
    pub blame: Blame,
    pub retry: Retry,
    /// What happened, lowercase, with the number that mattered.
    pub what: String,
    /// Where: a file and line, a field of the request, a target.
    pub at: Option<String>,
    /// Why.
    pub because: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Report {
    /// A report of a registered code; unregistered codes are a bug that
    /// `cargo xtask tidy` and this function's test find.
    pub fn new(code: &'static str, what: impl Into<String>) -> Report {
        let entry = entry(code);
        let (class, blame) = entry.map_or((Class::Internal, Blame::Us), |e| (e.class, e.blame));
        let retry = match class {
            Class::RateLimited | Class::BadUpstream | Class::Unavailable | Class::Timeout => Retry::Yes,
            _ => Retry::Never,
        };
        Report {
            code: Code(code),
            class,
            blame,
            retry,
            what: what.into(),
            at: None,
            because: None,
            hint: None,
        }
    }
    pub fn at(mut self, at: impl Into<String>) -> Report {
        self.at = Some(at.into());
        self
    }
    pub fn because(mut self, because: impl Into<String>) -> Report {
        self.because = Some(because.into());
        self
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Report {
        self.hint = Some(hint.into());
        self
    }
    pub fn retry(mut self, retry: Retry) -> Report {
        self.retry = retry;
        self
    }
    pub fn status(&self) -> u16 {
        self.class.status()
    }
    /// One line, for an API envelope: `what (at): because; hint`.
    pub fn sentence(&self) -> String {
        let mut s = self.what.clone();
        for (open, part) in [(" at ", &self.at), (": ", &self.because), ("; ", &self.hint)] {
            if let Some(part) = part {
                s.push_str(open);
                s.push_str(part);
            }
        }
        s
    }
}

impl fmt::Display for Report {
    /// As a terminal shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code.0, self.what)?;
        if let Some(at) = &self.at {
            write!(f, "\n  --> {at}")?;
        }
        if let Some(because) = &self.because {
            write!(f, "\n  because: {because}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// The registry's entry for a code.
pub fn entry(code: &str) -> Option<&'static Entry> {
    CODES.binary_search_by(|e| e.code.0.cmp(code)).ok().map(|i| &CODES[i])
}

/// The texts of an error and of all its causes, joined by `: `; at most 2,000 characters.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    match text.char_indices().nth(2000) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sorted_and_well_formed() {
        for pair in CODES.windows(2) {
            assert!(pair[0].code.0 < pair[1].code.0, "{} before {}", pair[0].code.0, pair[1].code.0);
        }
        for e in CODES {
            let (letters, digits) = e.code.0.split_at(2);
            assert!(letters.bytes().all(|b| b.is_ascii_uppercase()), "{}", e.code.0);
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", e.code.0);
        }
    }

    #[test]
    fn a_report_reads_without_colour() {
        let report =
            Report::new("ID0001", "no API key was sent").hint("send it as `authorization: Bearer bp-...`");
        assert_eq!(
            report.to_string(),
            "error[ID0001]: no API key was sent\nhint: send it as `authorization: Bearer bp-...`"
        );
        assert_eq!(report.status(), 401);
    }
}
