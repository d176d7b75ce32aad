//! `sources` of a `Collection`: what the server reads by itself, and how what it brings in is
//! graded.
//!
//! Where it reads stands here and nowhere else: no request names an address, and what a source
//! names leads nowhere else (TRAPS X2).

use std::collections::BTreeSet;

use report::Report;
use store::documents::Acl;
use units::Labels;

use crate::document::object_name;
use crate::kinds::provider::{KeyFrom, Timeouts, address, base_url, key, timeouts};
use crate::kinds::{collection, labels};
use crate::read::{Fields, text};

/// One place where documents come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Unique in its collection.
    pub name: String,
    pub kind: SourceKind,
    pub key: Option<KeyFrom>,
    pub timeouts: Timeouts,
    /// Seconds between two readings; `None`: it is read when somebody asks.
    pub every_s: Option<u64>,
    /// Who reads what it brings in; `None`: as the collection says.
    pub acl: Option<Acl>,
    /// Beside the collection's.
    pub labels: Labels,
    /// Nothing of it is found until somebody releases it.
    pub quarantine: bool,
    /// What it has no more stays.
    pub keep: bool,
    /// The team's key that pays for embedding what is read without anybody asking.
    pub payer: Option<String>,
}

/// Where it reads.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    Feed(Feed),
    Pages(Pages),
    Bucket(Bucket),
}

/// RSS or Atom.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    pub url: String,
    pub allow_private: bool,
    /// Read what entries lead to, within the feed's own origin.
    pub follow: bool,
}

/// A list of addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Pages {
    pub urls: Vec<String>,
    pub allow_private: bool,
}

/// A bucket of S3, or of what speaks like it, by its path.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// `https://s3.eu-central-1.amazonaws.com`
    pub url: String,
    pub allow_private: bool,
    pub bucket: String,
    /// What keys begin with; empty: anything.
    pub prefix: String,
    pub region: String,
}

/// Sources of one collection.
const SOURCES_MAX: usize = 64;
/// Addresses of one list.
const URLS_MAX: usize = 1_000;
const MINUTE_S: u64 = 60;
const MONTH_S: u64 = 31 * 86_400;

impl SourceKind {
    pub const fn name(&self) -> &'static str {
        match self {
            SourceKind::Feed(_) => "feed",
            SourceKind::Pages(_) => "pages",
            SourceKind::Bucket(_) => "bucket",
        }
    }
    /// As a person recognises it.
    pub fn address(&self) -> String {
        match self {
            SourceKind::Feed(feed) => feed.url.clone(),
            SourceKind::Pages(pages) => match &pages.urls[..] {
                [one] => one.clone(),
                all => format!("{} and {} more", all.first().map_or("", String::as_str), all.len() - 1),
            },
            SourceKind::Bucket(b) => format!("{}/{}/{}", b.url, b.bucket, b.prefix),
        }
    }
    /// All that says where it reads: what a release is of.
    pub fn place(&self) -> String {
        match self {
            SourceKind::Feed(feed) => format!("feed\n{}\n{}", feed.url, feed.follow),
            SourceKind::Pages(pages) => format!("pages\n{}", pages.urls.join("\n")),
            SourceKind::Bucket(b) => format!("bucket\n{}\n{}\n{}", b.url, b.bucket, b.prefix),
        }
    }
}

/// All of a collection; `quarantine`: what those that say nothing of it are.
pub(crate) fn all(fields: &mut Fields, quarantine: bool) -> Vec<Source> {
    let problems = fields.problems;
    let Some(nodes) = fields.list("sources", SOURCES_MAX) else { return Vec::new() };
    let mut sources: Vec<Source> = Vec::new();
    let mut names = BTreeSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let path = fields.path_of(&format!("sources[{index}]"));
        let Some(source) = Fields::open(node, &path, problems).and_then(|f| one(f, quarantine)) else {
            continue;
        };
        if names.insert(source.name.clone()) {
            sources.push(source);
        } else {
            let report = Report::new("MF0012", format!("the source \"{}\" is declared twice", source.name));
            problems.push(report.at(problems.place(node.at)));
        }
    }
    sources
}

fn one(mut fields: Fields, quarantine: bool) -> Option<Source> {
    let (at, problems) = (fields.at, fields.problems);
    let path = fields.path_of("name");
    if !fields.has("name") {
        problems.missing(&path, at, "say what it is called: `name: handbook`");
    }
    let name = fields.take("name").and_then(|node| {
        let name = text(node, &path, problems)?;
        if !object_name(&name) {
            problems.wrong(&path, node, "1 to 63 lower-case letters, digits, `.`, `_` and `-`");
        }
        object_name(&name).then_some(name)
    });
    let kind = kind(&mut fields);
    let every_s = every(&mut fields);
    let acl = collection::acl(&mut fields);
    let labels = labels::of_data(&mut fields);
    let quarantine = fields.boolean("quarantine").unwrap_or(quarantine);
    let keep = fields.boolean("keep").unwrap_or(false);
    let payer = fields.text("payer");
    let timeouts = fields.open_map("timeouts").map(timeouts).unwrap_or_default();
    fields.finish();
    let (kind, key) = kind?;
    Some(Source { name: name?, kind, key, timeouts, every_s, acl, labels, quarantine, keep, payer })
}

fn kind(fields: &mut Fields) -> Option<(SourceKind, Option<KeyFrom>)> {
    const KINDS: [(&str, Read); 3] = [("feed", feed), ("pages", pages), ("bucket", bucket)];
    let mut given = KINDS.into_iter().filter(|(name, _)| fields.has(name));
    let only = given.next().filter(|_| given.next().is_none());
    let opened = only.and_then(|(name, read)| Some((fields.open_map(name)?, read)));
    if only.is_none() {
        let hint = "write one of `feed: { url }`, `pages: { urls }` and `bucket: { url, bucket }`";
        fields.problems.missing(&fields.path_of("feed"), fields.at, hint);
    }
    // Known keys, whichever was given.
    KINDS.into_iter().for_each(|(name, _)| {
        fields.take(name);
    });
    let (mut found, read) = opened?;
    let key = key(&mut found);
    let kind = read(&mut found);
    if let (Some(SourceKind::Pages(pages)), Some(_)) = (&kind, &key) {
        one_place(pages, &found);
    }
    found.finish();
    Some((kind?, key))
}

/// Reads the map of one kind.
type Read = fn(&mut Fields) -> Option<SourceKind>;

fn feed(fields: &mut Fields) -> Option<SourceKind> {
    let allow_private = fields.boolean("allowPrivate").unwrap_or(false);
    let follow = fields.boolean("follow").unwrap_or(false);
    let path = fields.path_of("url");
    let url = match fields.take("url") {
        Some(node) => address(node, allow_private, &path, true, fields),
        None => {
            fields.problems.missing(&path, fields.at, "write where the feed is");
            None
        }
    };
    Some(SourceKind::Feed(Feed { url: url?, allow_private, follow }))
}

fn pages(fields: &mut Fields) -> Option<SourceKind> {
    let allow_private = fields.boolean("allowPrivate").unwrap_or(false);
    let nodes = fields.list("urls", URLS_MAX).unwrap_or_default();
    let read = nodes.iter().enumerate().map(|(index, node)| {
        let path = fields.path_of(&format!("urls[{index}]"));
        address(node, allow_private, &path, true, fields)
    });
    let urls: Option<Vec<String>> = read.collect();
    if nodes.is_empty() {
        let hint = "write which pages: `urls: [https://...]`";
        fields.problems.missing(&fields.path_of("urls"), fields.at, hint);
        return None;
    }
    Some(SourceKind::Pages(Pages { urls: urls?, allow_private }))
}

/// A key is for one place, and would be shown to all of them.
fn one_place(pages: &Pages, fields: &Fields) {
    let place = |url: &String| url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/").to_ascii_lowercase();
    let places: BTreeSet<String> = pages.urls.iter().map(place).collect();
    if places.len() > 1 {
        fields.problems.push(
            Report::new("MF0014", format!("a key would be shown to {} places", places.len()))
                .at(fields.problems.place(fields.at))
                .because("what is read with a key is read from one scheme, host and port")
                .hint("declare a source for each place"),
        );
    }
}

fn bucket(fields: &mut Fields) -> Option<SourceKind> {
    let allow_private = fields.boolean("allowPrivate").unwrap_or(false);
    let url = match fields.take("url") {
        Some(node) => base_url(node, allow_private, "url", fields),
        None => {
            let hint = "write where it is asked: `url: https://s3.eu-central-1.amazonaws.com`";
            fields.problems.missing(&fields.path_of("url"), fields.at, hint);
            None
        }
    };
    if !fields.has("bucket") {
        fields.problems.missing(&fields.path_of("bucket"), fields.at, "write what the bucket is called");
    }
    let bucket = word(fields, "bucket");
    let region = if fields.has("region") { word(fields, "region") } else { Some("us-east-1".into()) };
    let prefix = fields.text("prefix").unwrap_or_default();
    Some(SourceKind::Bucket(Bucket { url: url?, allow_private, bucket: bucket?, prefix, region: region? }))
}

/// The name of a bucket or of a region.
fn word(fields: &mut Fields, name: &'static str) -> Option<String> {
    let path = fields.path_of(name);
    let node = fields.take(name)?;
    let word = text(node, &path, fields.problems)?;
    let sound = (1..=255).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && word.as_bytes()[0].is_ascii_alphanumeric();
    if !sound {
        fields.problems.wrong(&path, node, "letters, digits, `.`, `_` and `-`");
    }
    sound.then_some(word)
}

/// `30m`, `1h`, `7d`: a minute to a month.
fn every(fields: &mut Fields) -> Option<u64> {
    let path = fields.path_of("every");
    let node = fields.take("every")?;
    let word = text(node, &path, fields.problems)?;
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &word[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 0,
    };
    let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    let sound = seconds.filter(|seconds| (MINUTE_S..=MONTH_S).contains(seconds));
    if sound.is_none() {
        fields.problems.wrong(&path, node, "a time from `1m` to `31d`, such as `30m`, `1h` or `7d`");
    }
    sound
}
