//! E-mail addresses, IP addresses and URLs.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::said;
use crate::machine::{Rule, Sight, is_word};
use crate::verdict::Kind;

pub(super) fn email() -> Vec<(&'static str, Rule)> {
    let rule = Rule { name: "email", kind: Kind::Email, check: None };
    vec![(
        r"\b[A-Za-z0-9_][A-Za-z0-9._%+'-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,6}[A-Za-z]{2,24}\b",
        rule,
    )]
}

pub(super) fn ip() -> Vec<(&'static str, Rule)> {
    let rule = |name, check| Rule { name, kind: Kind::Ip, check: Some(check) };
    vec![
        (r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b", rule("ipv4", is_ipv4)),
        (r"(?i)\b[0-9a-f]{1,4}(?::{1,2}[0-9a-f]{1,4}){2,7}\b", rule("ipv6", is_ipv6)),
    ]
}

/// An address of somebody: not this machine, not a version number.
fn is_ipv4(sight: &Sight<'_>) -> bool {
    let Some(address) = text(sight).parse::<Ipv4Addr>().ok() else { return false };
    let longer = |b: u8| b == b'.' || is_word(b);
    let part_of_more = sight.before.last().is_some_and(|b| longer(*b));
    let nobody = address.is_loopback() || address.is_unspecified() || address.is_broadcast();
    !part_of_more && !nobody && !said(sight, &["version", "release", "v", "firmware"])
}

fn is_ipv6(sight: &Sight<'_>) -> bool {
    // Times (`12:30:45`) and MAC addresses have neither eight groups nor a double colon.
    let near = |side: Option<u8>| side == Some(b':');
    !near(sight.before.last().copied())
        && !near(sight.next)
        && text(sight).parse::<Ipv6Addr>().is_ok_and(|a| !a.is_loopback() && !a.is_unspecified())
}

fn text<'a>(sight: &Sight<'a>) -> &'a str {
    std::str::from_utf8(sight.text).unwrap_or_default()
}

pub(super) fn url() -> Vec<(&'static str, Rule)> {
    let rule = |name, check| Rule { name, kind: Kind::Url, check };
    // The last character is none that ends a sentence or closes a bracket.
    let with_scheme =
        r#"(?i)\b(?:https?|ftp)://[A-Z0-9][A-Z0-9._~:@%-]{2,255}(?:[/?#][!-~&&[^\s<>"'`\\{}|^]]*)?"#;
    vec![
        (with_scheme, rule("url", Some(ends_well))),
        (
            r#"(?i)\bwww\.[A-Z0-9-]{1,63}(?:\.[A-Z0-9-]{1,63}){1,5}(?:[/?#][!-~&&[^\s<>"'`\\{}|^]]*)?"#,
            rule("www", Some(ends_well)),
        ),
    ]
}

fn ends_well(sight: &Sight<'_>) -> bool {
    let last = sight.text.last().copied().unwrap_or_default();
    let middle = |b: u8| b.is_ascii_alphanumeric() || b"-_/%&=+#~$@".contains(&b);
    let goes_on = sight.next.is_some_and(middle);
    !b".,;:!?)]'*".contains(&last) && !goes_on
}
