//! URLs in texts.

/// Top-level domains that a client makes a link of without a scheme.
const BARE: [&str; 34] = [
    "ai", "app", "biz", "br", "ch", "cn", "co", "com", "de", "dev", "edu", "eu", "fr", "gov", "in", "info",
    "io", "it", "jp", "link", "me", "mobi", "net", "nl", "online", "org", "page", "ru", "shop", "site",
    "top", "uk", "us", "xyz",
];

/// Every link of a text, as written: with a scheme, with `www.`, or a bare
/// host that clients turn into a link.
pub(crate) fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c.is_control() || "<>\"'`()[]{}|\\^*,;".contains(c))
        .map(|token| token.trim_matches(|c| ".!?:=".contains(c)))
        .filter(|token| !token.is_empty() && url(token).is_some())
}

/// The form in which URLs are compared: without `http(s)://`, `www.` and a
/// trailing slash, host in lower case; path, query and fragment as they are.
/// `None`: not a URL, or one that hides its host (user info, other schemes).
pub(crate) fn url(value: &str) -> Option<String> {
    let (rest, told) = match scheme(value) {
        Some((name, rest)) if name.eq_ignore_ascii_case("http") || name.eq_ignore_ascii_case("https") => {
            (rest, true)
        }
        Some((name, _)) => return Some(format!("{}:{value}", name.to_ascii_lowercase())),
        None => (value, false),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let bare = host.len() >= 4 && host.is_char_boundary(4) && host[..4].eq_ignore_ascii_case("www.");
    let host = if bare { &host[4..] } else { host };
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | ':' | '_' | '[' | ']');
    let named = host.contains('.') && !host.starts_with('.') && !host.contains("..");
    let clear = !host.is_empty() && host.chars().all(plain);
    if !(clear && (told || named && (bare || linked(host)))) {
        // With user info a URL still is one; it only never equals another.
        return (told && host.contains('@')).then(|| format!("userinfo:{value}"));
    }
    let path = if path == "/" { "" } else { path };
    Some(format!("{}{path}", host.trim_end_matches('.').to_lowercase()))
}

fn scheme(value: &str) -> Option<(&str, &str)> {
    let (name, rest) = value.split_once("://")?;
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    (letters && name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)).then_some((name, rest))
}

fn linked(host: &str) -> bool {
    let host = host.split(':').next().unwrap_or_default();
    host.rsplit_once('.').is_some_and(|(_, top)| BARE.iter().any(|b| top.eq_ignore_ascii_case(b)))
}
