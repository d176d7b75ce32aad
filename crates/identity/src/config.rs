//! The file of `bedplate serve --identity`: which identity providers are
//! believed, and who is what here because of them.
//!
//! A file on the host and no manifest: whom to believe about everybody is not
//! for a key of the control API to change, however many rights it has (decision
//! 016). It is TOML, as our other tables are, and read as strictly as manifests.

use std::collections::BTreeSet;

use report::Report;
use serde::Deserialize;
use store::Role;

use crate::{Algorithm, Claims};

const ISSUERS_MAX: usize = 16;
const GRANTS_MAX: usize = 1_000;

/// Everything about identity providers.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Our own address, as people and tokens name it: what `aud` must say, where
    /// sign-ins return to. Without a trailing slash.
    pub resource: String,
    pub issuers: Vec<Issuer>,
}

/// One identity provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// Exactly as its tokens say `iss`.
    pub url: String,
    /// What its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// Who we are to it; absent: people do not sign in by it, its tokens are taken only.
    pub client_id: Option<String>,
    /// The variable of the environment with our secret; absent: a public client, by PKCE alone.
    pub client_secret_env: Option<String>,
    /// Whether its address may be a private one, and plain HTTP.
    pub inside: bool,
    /// The claim that names people here.
    pub name_claim: String,
    pub groups_claim: String,
    pub scopes: Vec<String>,
    /// The first that fits decides.
    pub grants: Vec<Grant>,
}

/// Who is what.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// `None`: everybody.
    pub group: Option<String>,
    pub team: String,
    pub role: Role,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    resource: String,
    #[serde(default)]
    issuer: Vec<IssuerTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerTable {
    url: String,
    algorithms: Vec<String>,
    client_id: Option<String>,
    client_secret_env: Option<String>,
    #[serde(default)]
    inside: bool,
    #[serde(default = "email")]
    name_claim: String,
    #[serde(default = "groups")]
    groups_claim: String,
    #[serde(default = "scopes")]
    scopes: Vec<String>,
    #[serde(default)]
    grant: Vec<GrantTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantTable {
    group: Option<String>,
    #[serde(default)]
    everyone: bool,
    team: String,
    role: String,
}

fn email() -> String {
    "email".into()
}
fn groups() -> String {
    "groups".into()
}
fn scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(String::from).into()
}

impl Config {
    /// Reads the file's text; `name` is what its problems are told of.
    ///
    /// # Errors
    /// CL0014, with the line where there is one.
    pub fn parse(text: &str, name: &str) -> Result<Config, Report> {
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let at = line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
            Report::new("CL0014", "the identity file cannot be used")
                .at(at)
                .because(e.message().trim().to_owned())
        })?;
        let wrong = |at: String, why: String| {
            Report::new("CL0014", "the identity file cannot be used").at(format!("{name}: {at}")).because(why)
        };
        let resource = file.resource.trim_end_matches('/').to_owned();
        if !is_address(&resource) {
            return Err(wrong(
                "resource".into(),
                format!("\"{resource:.100}\" is not an http or https address"),
            ));
        }
        if file.issuer.len() > ISSUERS_MAX {
            return Err(wrong("issuer".into(), format!("there are more than {ISSUERS_MAX}")));
        }
        let mut urls = BTreeSet::new();
        let mut issuers = Vec::new();
        for table in file.issuer {
            let at = format!("issuer \"{:.100}\"", table.url);
            let issuer = Issuer::of(table).map_err(|why| wrong(at.clone(), why))?;
            if !urls.insert(issuer.url.clone()) {
                return Err(wrong(at, "it is declared twice".into()));
            }
            issuers.push(issuer);
        }
        Ok(Config { resource, issuers })
    }

    pub fn issuer(&self, url: &str) -> Option<usize> {
        self.issuers.iter().position(|i| i.url == url)
    }
    /// The one that people sign in by.
    pub fn sign_in(&self) -> Option<usize> {
        self.issuers.iter().position(|i| i.client_id.is_some())
    }
    /// Whether our own address is one that browsers come to by TLS.
    pub fn is_tls(&self) -> bool {
        self.resource.starts_with("https://")
    }
    /// What an `Origin` header of our own pages says: the address without its path.
    pub fn origin(&self) -> &str {
        let host = self.resource.find("://").map_or(0, |at| at + 3);
        self.resource[host..].find('/').map_or(&self.resource, |path| &self.resource[..host + path])
    }
}

impl Issuer {
    fn of(table: IssuerTable) -> Result<Issuer, String> {
        if !is_address(&table.url) || table.url.contains(['#', '?']) {
            return Err("its url is not an http or https address".into());
        }
        if table.url.starts_with("http://") && !table.inside {
            return Err("its url is plain http, which takes `inside = true`".into());
        }
        let mut algorithms = Vec::new();
        for name in &table.algorithms {
            algorithms.push(Algorithm::named(name).ok_or_else(|| {
                let known: Vec<&str> = Algorithm::ALL.map(Algorithm::name).into();
                format!("\"{name:.20}\" is none of the algorithms {}", known.join(", "))
            })?);
        }
        if algorithms.is_empty() {
            return Err("it names no algorithm".into());
        }
        if table.client_secret_env.is_some() && table.client_id.is_none() {
            return Err("it has a client_secret_env and no client_id".into());
        }
        if table.client_id.is_some() && !table.scopes.iter().any(|s| s == "openid") {
            return Err("its scopes lack \"openid\"".into());
        }
        if table.grant.len() > GRANTS_MAX {
            return Err(format!("it has more than {GRANTS_MAX} grants"));
        }
        let grants = table.grant.into_iter().map(Grant::of).collect::<Result<_, _>>()?;
        Ok(Issuer {
            url: table.url,
            algorithms,
            client_id: table.client_id,
            client_secret_env: table.client_secret_env,
            inside: table.inside,
            name_claim: table.name_claim,
            groups_claim: table.groups_claim,
            scopes: table.scopes,
            grants,
        })
    }

    /// The team and role of somebody; `None`: verified, and nobody here.
    pub fn grant(&self, claims: &Claims) -> Option<&Grant> {
        self.grants.iter().find(|g| g.group.as_ref().is_none_or(|group| claims.groups.contains(group)))
    }
}

impl Grant {
    fn of(table: GrantTable) -> Result<Grant, String> {
        if table.group.is_some() == table.everyone {
            return Err("a grant says either `group` or `everyone = true`".into());
        }
        let role = Role::ALL.into_iter().find(|r| r.name() == table.role).ok_or_else(|| {
            let known: Vec<&str> = Role::ALL.map(Role::name).into();
            format!("\"{:.40}\" is none of the roles {}", table.role, known.join(", "))
        })?;
        if role == Role::Agent {
            return Err("people are no agents: an agent has a key, and acts for a person".into());
        }
        Ok(Grant { group: table.group, team: table.team, role })
    }
}

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains('@'))
        && text.len() <= 512
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
resource = "https://bedplate.acme.example/"

[[issuer]]
url = "https://login.acme.example"
algorithms = ["RS256", "ES256"]
client_id = "bedplate"

[[issuer.grant]]
group = "ml-platform"
team = "platform"
role = "operator"

[[issuer.grant]]
everyone = true
team = "search"
role = "developer"
"#;

    fn claims(groups: &[&str]) -> Claims {
        Claims {
            subject: "s".into(),
            name: None,
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            actor: None,
            expires: units::Micros(0),
        }
    }

    #[test]
    fn the_first_grant_that_fits_decides() {
        let config = Config::parse(GOOD, "identity.toml").unwrap();
        assert_eq!(
            (config.resource.as_str(), config.origin()),
            ("https://bedplate.acme.example", "https://bedplate.acme.example")
        );
        let issuer = &config.issuers[0];
        let role = |groups: &[&str]| issuer.grant(&claims(groups)).map(|g| (g.team.as_str(), g.role));
        assert_eq!(role(&["a", "ml-platform"]), Some(("platform", Role::Operator)));
        assert_eq!(role(&["ml-platform-guests"]), Some(("search", Role::Developer)));
        let only = Config::parse(&GOOD[..GOOD.rfind("[[issuer.grant]]").unwrap()], "f").unwrap();
        assert_eq!(only.issuers[0].grant(&claims(&["b"])), None);
    }

    #[test]
    fn what_is_misspelt_or_unsafe_is_refused_with_its_place() {
        let refused = |from: &str, to: &str| {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            Config::parse(&text, "identity.toml").unwrap_err().to_string()
        };
        let misspelt = refused("client_id", "clientid");
        assert!(misspelt.contains("identity.toml:7") && misspelt.contains("client_id"), "{misspelt}");
        for (from, to, why) in [
            ("RS256", "HS256", "none of the algorithms"),
            ("RS256", "none", "none of the algorithms"),
            ("https://login", "http://login", "inside"),
            ("https://login.", "ftp://login.", "not an http"),
            ("operator", "god", "none of the roles"),
            ("\"operator\"", "\"agent\"", "no agents"),
            ("everyone = true\n", "", "either `group` or"),
            ("[\"RS256\", \"ES256\"]", "[]", "no algorithm"),
        ] {
            let said = refused(from, to);
            assert!(said.contains("CL0014") && said.contains(why), "{from} -> {to}: {said}");
        }
    }
}
