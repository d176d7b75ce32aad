//! `Provider`: a party that serves models, and how it is reached.
//!
//! The URL stands here and nowhere else: no request can name one (TRAPS X2),
//! and plain `http` or a private address must be asked for by name.

use report::Report;

use crate::kinds::labels::{self, PlaceLabels};
use crate::read::{Fields, names_secret, text};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// An entry of `providers.toml`, which gives what is left out here.
    pub catalog: Option<String>,
    pub dialect: Option<Dialect>,
    /// `scheme://host[:port][/path]`, without a trailing slash.
    pub base_url: Option<String>,
    /// `None`: the catalogue's own environment variable, or no key.
    pub key: Option<KeyFrom>,
    /// It may resolve to a private or loopback address, and may be plain `http`.
    pub allow_private: bool,
    pub timeouts: Timeouts,
    /// Retries before the first byte, per target.
    pub retries: Option<u32>,
    /// Sent with every request; never secrets.
    pub headers: Vec<(String, String)>,
    /// Added to every URL; never secrets.
    pub query: Vec<(String, String)>,
    /// Where it stands and what it may be sent.
    pub labels: PlaceLabels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

/// Where the key is kept, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFrom {
    /// An environment variable of the server.
    Environment(String),
    /// A name in the encrypted store.
    Store(String),
}

/// Milliseconds; `None` leaves the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// DNS, TCP and TLS.
    pub connect_ms: Option<u64>,
    /// From the request's last byte to the answer's first.
    pub first_byte_ms: Option<u64>,
    /// Between two bytes of the answer.
    pub idle_ms: Option<u64>,
    /// Of the whole attempt.
    pub total_ms: Option<u64>,
}

/// The provider that the embedded engine is.
pub(crate) const LOCAL: &str = "local";

pub(crate) fn read(fields: &mut Fields) -> Option<Provider> {
    let problems = fields.problems;
    let at = fields.at;
    let catalog = fields.text("catalog");
    let dialect = fields.choice("dialect", &[("openai", Dialect::OpenAi), ("anthropic", Dialect::Anthropic)]);
    let allow_private = fields.boolean("allowPrivate").unwrap_or(false);
    let base_url = fields.take("baseUrl").and_then(|node| base_url(node, allow_private, "baseUrl", fields));
    if !(fields.has("catalog") || fields.has("dialect") && fields.has("baseUrl")) {
        problems.missing(
            if fields.has("dialect") { "spec.baseUrl" } else { "spec.catalog" },
            at,
            "name a `catalog` entry (`bedplate provider list` shows them), or give both `dialect` and `baseUrl`",
        );
    }
    let key = key(fields);
    let timeouts = fields.open_map("timeouts").map(timeouts).unwrap_or_default();
    let retries = fields.number("retries", 0, 10).map(|n| n as u32);
    let headers = fields.words("headers");
    for (name, _) in &headers {
        if !header_name(name) {
            problems.push(
                Report::new("MF0009", format!("`spec.headers` names \"{}\"", crate::yaml::clip(name)))
                    .at(problems.place(at))
                    .because("a header's name has letters, digits and `-`, and is not set by Bedplate itself (host, content-length, ...)"),
            );
        }
    }
    let query = fields.words("query");
    let labels = labels::of_place(fields);
    Some(Provider {
        catalog,
        dialect,
        base_url,
        key,
        allow_private,
        timeouts,
        retries,
        headers,
        query,
        labels,
    })
}

pub(crate) fn timeouts(mut fields: Fields) -> Timeouts {
    const HOUR_MS: u64 = 3_600_000;
    let read = Timeouts {
        connect_ms: fields.number("connectMs", 1, HOUR_MS),
        first_byte_ms: fields.number("firstByteMs", 1, HOUR_MS),
        idle_ms: fields.number("idleMs", 1, HOUR_MS),
        total_ms: fields.number("totalMs", 1, 24 * HOUR_MS),
    };
    fields.finish();
    read
}

pub(crate) fn key(fields: &mut Fields) -> Option<KeyFrom> {
    let both = fields.has("keyEnv") && fields.has("keySecret");
    if both {
        fields.problems.push(
            Report::new("MF0013", "`keyEnv` and `keySecret` are both given")
                .at(fields.problems.place(fields.at))
                .hint("keep one: the key comes from the environment or from the encrypted store"),
        );
    }
    let environment =
        named(fields, "keyEnv", "the name of an environment variable: letters, digits and `_`", |b| {
            b.is_ascii_alphanumeric() || b == b'_'
        });
    let stored =
        named(fields, "keySecret", "the name of a stored secret: letters, digits, `_`, `-` and `.`", |b| {
            b.is_ascii_alphanumeric() || b"_-.".contains(&b)
        });
    environment.map(KeyFrom::Environment).or(stored.map(KeyFrom::Store))
}

fn named(fields: &mut Fields, name: &'static str, expected: &str, allowed: fn(u8) -> bool) -> Option<String> {
    let node = fields.take(name)?;
    let path = fields.path_of(name);
    let value = text(node, &path, fields.problems)?;
    if (1..=128).contains(&value.len()) && value.bytes().all(allowed) {
        return Some(value);
    }
    // Not repeated: a pasted key fails exactly here.
    fields.problems.push(
        Report::new("MF0009", format!("`{path}` is not a name"))
            .at(fields.problems.place(node.at))
            .because(format!("it must be {expected}"))
            .hint("it names where the key is kept; it is not the key"),
    );
    None
}

pub(crate) fn base_url(node: &Node, allow_private: bool, name: &str, fields: &Fields) -> Option<String> {
    let url = address(node, allow_private, &fields.path_of(name), false, fields)?;
    Some(url.trim_end_matches('/').to_owned())
}

/// An address that is asked; `query`: it may have one, in which no secret stands.
pub(crate) fn address(
    node: &Node,
    allow_private: bool,
    path: &str,
    query: bool,
    fields: &Fields,
) -> Option<String> {
    let url = text(node, path, fields.problems)?;
    let refuse = |because: &str, hint: &str| {
        let report = Report::new("MF0009", format!("`{path}` is not accepted"))
            .at(fields.problems.place(node.at))
            .because(because.to_owned());
        fields.problems.push(if hint.is_empty() { report } else { report.hint(hint.to_owned()) });
        None
    };
    let (plain, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return refuse("it must begin with `https://` or `http://`", ""),
    };
    if plain && !allow_private {
        return refuse(
            "plain `http` shows the key to everyone on the way",
            "use `https://`, or write `allowPrivate: true` for a machine of your own network",
        );
    }
    let (place, asked) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, _) = place.split_once('/').unwrap_or((place, ""));
    let shows = asked.split('&').any(|pair| names_secret(pair.split('=').next().unwrap_or_default()));
    if authority.contains('@') || shows {
        fields.problems.secret(path, node.at);
        return None;
    }
    let printable = url.bytes().all(|b| b.is_ascii_graphic());
    let host = authority
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok())
        .map_or(authority, |(h, _)| h);
    let host_is_sane = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b))
        && (host.starts_with('[') || !host.contains(':'));
    if !printable || !host_is_sane || url.contains(['#', '\\']) || url.contains('?') && !query {
        return match query {
            true => refuse("it must be scheme, host, optional port, path and query, without fragment", ""),
            false => refuse(
                "it must be scheme, host, optional port and path, without query or fragment",
                "put query parameters under `query`",
            ),
        };
    }
    Some(url)
}

fn header_name(name: &str) -> bool {
    const OURS: [&str; 8] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "content-type",
        "accept",
        "upgrade",
        "te",
    ];
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !OURS.contains(&name.to_ascii_lowercase().as_str())
}
