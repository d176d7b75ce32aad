//! `Guard`: what is looked for in requests and answers, and what is done about it.

use report::Report;

use crate::read::{Fields, text};

#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// In force for every model, whether or not the model names it.
    pub default: bool,
    pub on: Side,
    /// Personal data by the name of its kind.
    pub personal: Vec<(&'static str, GuardAction)>,
    /// Credentials in vendors' formats.
    pub secrets: GuardAction,
    /// Secrets that this deployment holds.
    pub known: GuardAction,
    /// Marks planted in system prompts.
    pub canaries: GuardAction,
    pub canary_texts: Vec<String>,
    pub deny: Vec<GuardDeny>,
    pub injection: Option<Injection>,
    pub limits: Option<GuardLimits>,
    pub remote: Option<RemoteGuard>,
    pub release: Option<GuardRelease>,
}

/// Phrases that must not pass.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardDeny {
    pub phrases: Vec<String>,
    pub action: GuardAction,
    /// In answers: judged by the sentence, under the release budget.
    pub soft: bool,
}

/// How much of an answer waits for the verdict of soft rules, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardRelease {
    pub bytes: Option<u32>,
    pub ms: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Input,
    Output,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GuardAction {
    #[default]
    Allow,
    Flag,
    RouteLocal,
    Tokenise,
    Mask,
    Block,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Injection {
    pub action: GuardAction,
    /// Thousandths of the score.
    pub threshold: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GuardLimits {
    pub input_characters: Option<u64>,
    pub output_characters: Option<u64>,
    pub scripts: Vec<&'static str>,
    pub action: GuardAction,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RemoteGuard {
    pub url: String,
    /// It may lie at a private address.
    pub allow_private: bool,
    pub timeout_ms: u32,
    pub fail_open: bool,
    pub action: GuardAction,
}

/// The kinds of personal data, as crate `guards` names them.
pub const PERSONAL: [&str; 8] =
    ["card", "iban", "nationalId", "email", "phone", "ip", "url", "driverLicence"];

/// The scripts a limit can name.
pub const SCRIPTS: [&str; 11] = [
    "latin",
    "greek",
    "cyrillic",
    "hebrew",
    "arabic",
    "devanagari",
    "thai",
    "han",
    "kana",
    "hangul",
    "other",
];

const ACTIONS: [(&str, GuardAction); 6] = [
    ("allow", GuardAction::Allow),
    ("flag", GuardAction::Flag),
    ("route-local", GuardAction::RouteLocal),
    ("tokenise", GuardAction::Tokenise),
    ("mask", GuardAction::Mask),
    ("block", GuardAction::Block),
];

/// A stream that keeps more, or for longer, is no stream to its reader.
const RELEASE_BYTES_MAX: u64 = 16 << 10;
const RELEASE_MS_MAX: u64 = 5_000;

/// What a score or a limit can lead to: there is no stretch of text to replace.
const WHOLE: [(&str, GuardAction); 4] = [ACTIONS[0], ACTIONS[1], ACTIONS[2], ACTIONS[5]];

impl GuardAction {
    pub fn name(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("allow", |(name, _)| name)
    }
}

pub(crate) fn read(fields: &mut Fields) -> Option<Guard> {
    let default = fields.boolean("default").unwrap_or(false);
    let sides = [("input", Side::Input), ("output", Side::Output), ("both", Side::Both)];
    let on = fields.choice("on", &sides).unwrap_or(Side::Both);
    let personal = fields.open_map("personal").map(personal).unwrap_or_default();
    let mut action = |name| fields.choice(name, &ACTIONS).unwrap_or_default();
    let (secrets, known) = (action("secrets"), action("knownSecrets"));
    let canaries = action("canaries");
    let canary_texts = phrases(fields, "canaryTexts", 64);
    let deny = deny(fields);
    let injection = fields.open_map("injection").map(injection);
    let limits = fields.open_map("limits").and_then(limits);
    let remote = match fields.open_map("remote") {
        Some(remote) => Some(self::remote(remote)?),
        None => None,
    };
    let release = fields.open_map("release").map(release);
    let guard = Guard {
        default,
        on,
        personal,
        secrets,
        known,
        canaries,
        canary_texts,
        deny,
        injection,
        limits,
        remote,
        release,
    };
    if guard.does_nothing() {
        fields.problems.missing(
            "spec",
            fields.at,
            "a guard looks for something: `personal`, `secrets`, `knownSecrets`, `canaries`, `deny`, `injection`, `limits` or `remote`",
        );
    }
    Some(guard)
}

impl Guard {
    fn does_nothing(&self) -> bool {
        let allow = GuardAction::Allow;
        self.personal.iter().all(|(_, action)| *action == allow)
            && [self.secrets, self.known, self.canaries].iter().all(|a| *a == allow)
            && self.deny.is_empty()
            && self.injection.is_none()
            && self.limits.is_none()
            && self.remote.is_none()
    }
}

/// `all` first, then what is said of one kind.
fn personal(mut fields: Fields) -> Vec<(&'static str, GuardAction)> {
    let all = fields.choice("all", &ACTIONS).unwrap_or_default();
    let kinds = PERSONAL.map(|kind| (kind, fields.choice(kind, &ACTIONS).unwrap_or(all)));
    fields.finish();
    kinds.into_iter().filter(|(_, action)| *action != GuardAction::Allow).collect()
}

fn phrases(fields: &mut Fields, name: &'static str, most: usize) -> Vec<String> {
    let path = fields.path_of(name);
    let problems = fields.problems;
    let nodes = fields.list(name, most).unwrap_or(&[]);
    let read = nodes.iter().filter_map(|node| {
        let phrase = text(node, &path, problems)?;
        let sound = (3..=256).contains(&phrase.trim().len());
        if !sound {
            problems.wrong(&path, node, "a phrase of 3 to 256 bytes");
        }
        sound.then_some(phrase)
    });
    read.collect()
}

fn release(mut fields: Fields) -> GuardRelease {
    let mut number = |name, most| fields.number(name, 0, most).and_then(|n| u32::try_from(n).ok());
    let (bytes, ms) = (number("bytes", RELEASE_BYTES_MAX), number("ms", RELEASE_MS_MAX));
    fields.finish();
    GuardRelease { bytes, ms }
}

fn deny(fields: &mut Fields) -> Vec<GuardDeny> {
    let problems = fields.problems;
    let mut lists = Vec::new();
    for (index, node) in fields.list("deny", 16).unwrap_or(&[]).iter().enumerate() {
        let Some(mut list) = Fields::open(node, &format!("spec.deny[{index}]"), problems) else { continue };
        let phrases = phrases(&mut list, "phrases", 1000);
        let soft = list.boolean("soft").unwrap_or(false);
        // A verdict that may come late replaces nothing.
        let actions = if soft { &WHOLE[..] } else { &ACTIONS[..] };
        let action = list.choice("action", actions).unwrap_or(GuardAction::Block);
        if !list.has("phrases") {
            problems.missing(
                &list.path_of("phrases"),
                list.at,
                "name at least one: `phrases: [project bluebird]`",
            );
        }
        list.finish();
        lists.push(GuardDeny { phrases, action, soft });
    }
    lists
}

fn injection(mut fields: Fields) -> Injection {
    let action = fields.choice("action", &WHOLE).unwrap_or(GuardAction::Flag);
    let threshold = thousandths(&mut fields).unwrap_or(500);
    fields.finish();
    Injection { action, threshold }
}

/// A score from 0 to 1 with at most three digits, exact.
fn thousandths(fields: &mut Fields) -> Option<u32> {
    struct Score(u32);
    impl std::str::FromStr for Score {
        type Err = &'static str;
        fn from_str(text: &str) -> Result<Score, Self::Err> {
            let (whole, part) = text.split_once('.').unwrap_or((text, ""));
            let sound = part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
            let whole: u32 = whole.parse().map_err(|_| "no number")?;
            let part: u32 = format!("{part:0<3}").parse().map_err(|_| "no number")?;
            let score = whole.saturating_mul(1000).saturating_add(part);
            if sound && score <= 1000 { Ok(Score(score)) } else { Err("out of bounds") }
        }
    }
    fields.parsed::<Score>("threshold", "a number from 0 to 1 with at most three digits").map(|s| s.0)
}

fn limits(mut fields: Fields) -> Option<GuardLimits> {
    let input_characters = fields.number("inputCharacters", 1, 1 << 32);
    let output_characters = fields.number("outputCharacters", 1, 1 << 32);
    let path = fields.path_of("scripts");
    let problems = fields.problems;
    let mut scripts = Vec::new();
    for node in fields.list("scripts", SCRIPTS.len()).unwrap_or(&[]) {
        let Some(word) = text(node, &path, problems) else { continue };
        match SCRIPTS.iter().find(|s| **s == word) {
            Some(script) => scripts.push(*script),
            None => problems.wrong(&path, node, format!("one of `{}`", SCRIPTS.join("`, `"))),
        }
    }
    let action = fields.choice("action", &WHOLE).unwrap_or(GuardAction::Block);
    fields.finish();
    Some(GuardLimits { input_characters, output_characters, scripts, action })
}

fn remote(mut fields: Fields) -> Option<RemoteGuard> {
    let url = fields.text("url");
    let allow_private = fields.boolean("allowPrivate").unwrap_or(false);
    let timeout_ms = fields.number("timeoutMs", 1, 30_000).unwrap_or(1_000) as u32;
    let fail_open = fields.choice("onFailure", &[("open", true), ("closed", false)]);
    let action = fields.choice("action", &WHOLE).unwrap_or(GuardAction::Block);
    for (name, hint) in [
        ("url", "the detector's address: `url: http://127.0.0.1:8900/detect`"),
        ("onFailure", "say what counts when it does not answer: `open` lets it pass, `closed` blocks"),
    ] {
        if !fields.has(name) {
            fields.problems.missing(&fields.path_of(name), fields.at, hint);
        }
    }
    let http = url.as_deref().is_none_or(|u| u.starts_with("http://") || u.starts_with("https://"));
    if !http {
        fields.problems.push(
            Report::new("MF0009", format!("`{}` is no http or https URL", fields.path_of("url")))
                .at(fields.problems.place(fields.at)),
        );
    }
    fields.finish();
    Some(RemoteGuard { url: url?, allow_private, timeout_ms, fail_open: fail_open?, action })
}
