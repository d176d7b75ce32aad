//! Identity providers at work: their keys fetched and kept, their tokens
//! believed, and the key found that a token stands for.
//!
//! What is declared of them is immutable: another file is another [`Issuers`],
//! which goes on with the keys of those that stay as they were.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use identity::{Claims, Config, Grant, Issuer, KeySet, METADATA_BYTES_MAX, Metadata, Refused, Unverified};
use net::client::{Client, Origin, Reach, Request, Timeouts};
use net::{HeaderMap, HeaderValue, header};
use policy::{Clearance, Denied, Errand, Principal};
use report::{Report, Retry};
use store::Role;
use units::Micros;

use crate::Gateway;

const CLEARED: Clearance = Clearance::errand(Errand::Identity);

/// How long keys are taken for the newest.
const FRESH_US: i64 = 3600 * 1_000_000;
/// How long they are used when no newer ones can be had: a provider that is
/// down must not end everybody's work, nor a key that it has withdrawn live for ever.
const STALE_US: i64 = 24 * FRESH_US;
/// A token with an unknown key makes us look again, but not more often: whoever
/// sends such tokens would else make us call the provider as often as they like.
const LOOK_AGAIN_US: i64 = 60 * 1_000_000;

/// Who a token stands for, when there is no key for them yet.
#[derive(Clone, Debug)]
pub struct Person {
    /// `issuer#subject`.
    pub subject: String,
    /// What the issuer calls them, if it has checked that.
    pub name: Option<String>,
    pub team: String,
    pub role: Role,
}

/// Gives people keys: a write, so the caller waits on a blocking thread.
pub trait Seats: Send + Sync {
    /// Makes the key of a person in a team, or brings its role up to date, and
    /// puts it in force.
    ///
    /// # Errors
    /// As the person is told.
    fn seat(&self, person: &Person, now: Micros) -> Result<(), Report>;
}

/// The declared providers.
pub struct Issuers {
    pub config: Config,
    kept: Vec<Arc<Kept>>,
    seats: Arc<dyn Seats>,
}

/// Where an issuer's endpoints are, and its keys.
type Found = (Arc<Metadata>, Arc<KeySet>);

#[derive(Default)]
struct Kept {
    known: Mutex<Known>,
    /// One fetch at a time; whoever waits finds what it fetched.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    found: Option<Found>,
    at: Micros,
    failures: u32,
    /// Not before, after failures.
    retry: Micros,
}

impl Issuers {
    pub fn new(config: Config, seats: Arc<dyn Seats>) -> Issuers {
        let kept = config.issuers.iter().map(|_| Arc::default()).collect();
        Issuers { config, kept, seats }
    }

    /// What is declared now, in their place.
    pub fn renewed(&self, config: Config) -> Issuers {
        let kept = |issuer: &Issuer| {
            let before = self.config.issuers.iter().position(|before| before == issuer);
            before.map_or_else(Arc::default, |at| Arc::clone(&self.kept[at]))
        };
        let kept = config.issuers.iter().map(kept).collect();
        Issuers { config, kept, seats: Arc::clone(&self.seats) }
    }

    /// Who sends this bearer token.
    ///
    /// # Errors
    /// ID0008 for a token that is not believed, ID0009 for one that stands for
    /// nobody, ID0010 when its issuer cannot be asked.
    pub async fn bearer(
        &self,
        gateway: &Gateway,
        client: &Client,
        token: &str,
        now: Micros,
    ) -> Result<Principal, Report> {
        let read = Unverified::read(token).map_err(|r| r.report())?;
        let issuer = read.issuer().ok().and_then(|url| self.config.issuer(url));
        let index = issuer.ok_or_else(|| Refused::Issuer.report())?;
        let issuer = &self.config.issuers[index];
        let check = |keys: &KeySet| read.verify(issuer, keys, &self.config.resource, now);
        let claims = self.verified(client, index, now, check).await?;
        let found = match issuer.grant(&claims) {
            // Nobody of the directory's groups: then a key that somebody made for this subject.
            None => gateway.snapshot.load().directory.subject(&claims.subject, None, now),
            Some(grant) => self.seated(gateway, &claims, grant, now).await?,
        };
        let found = match &claims.actor {
            None => found,
            // The key is the actor's, made for it by hand: what it does is its own to pay.
            Some(actor) => found.and_then(|person| {
                let actor = gateway.snapshot.load().directory.subject(actor, None, now)?;
                actor.on_behalf_of(&person)
            }),
        };
        let mut principal = found.map_err(|denied| denied.report())?;
        // Of a token that names an actor the groups are the person's, and the key is not theirs.
        if claims.actor.is_none() {
            principal.groups = claims.groups.iter().map(|group| group.as_str().into()).collect();
        }
        principal.expires = Some(principal.expires.map_or(claims.expires, |at| at.min(claims.expires)));
        Ok(principal)
    }

    /// The key of a person in the team that their groups lead to.
    async fn seated(
        &self,
        gateway: &Gateway,
        claims: &Claims,
        grant: &Grant,
        now: Micros,
    ) -> Result<Result<Principal, Denied>, Report> {
        let find = || gateway.snapshot.load().directory.seat(&claims.subject, &grant.team, grant.role, now);
        match find() {
            Err(Denied::NoSeat { many: false }) => {}
            found => return Ok(found),
        }
        self.seat(claims, grant, now).await?;
        Ok(find())
    }

    /// Makes or renews the key of somebody who was verified.
    ///
    /// # Errors
    /// As the person is told.
    pub async fn seat(&self, claims: &Claims, grant: &Grant, now: Micros) -> Result<(), Report> {
        let person = Person {
            subject: claims.subject.clone(),
            name: claims.name.clone(),
            team: grant.team.clone(),
            role: grant.role,
        };
        let seats = Arc::clone(&self.seats);
        let made = tokio::task::spawn_blocking(move || seats.seat(&person, now)).await;
        made.unwrap_or_else(|_| Err(Report::new("CT0005", "the key of the person could not be made")))
    }

    /// Runs a check with the issuer's keys, and once more with newer ones if the
    /// token's key is not among them.
    ///
    /// # Errors
    /// ID0008, ID0010.
    pub async fn verified(
        &self,
        client: &Client,
        issuer: usize,
        now: Micros,
        check: impl Fn(&KeySet) -> Result<Claims, Refused>,
    ) -> Result<Claims, Report> {
        let (_, keys) = self.known(client, issuer, now, false).await?;
        let refused = match check(&keys) {
            Err(Refused::UnknownKey) => {
                let (_, newer) = self.known(client, issuer, now, true).await?;
                check(&newer)
            }
            checked => checked,
        };
        refused.map_err(|r| r.report())
    }

    /// What is known of an issuer, fetched when it is not known or old;
    /// `unknown`: a key was asked for that is not there.
    ///
    /// # Errors
    /// ID0010.
    pub async fn known(
        &self,
        client: &Client,
        issuer: usize,
        now: Micros,
        unknown: bool,
    ) -> Result<Found, Report> {
        let kept = &self.kept[issuer];
        if let Some(found) = kept.usable(now, unknown) {
            return found;
        }
        let _one = kept.fetching.lock().await;
        if let Some(found) = kept.usable(now, unknown) {
            return found;
        }
        let fetched = fetch(client, &self.config.issuers[issuer]).await;
        kept.remember(fetched, now)
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no code panics while it holds what is known")
    }

    /// What may be used without asking; `None`: ask.
    fn usable(&self, now: Micros, unknown: bool) -> Option<Result<Found, Report>> {
        let known = self.lock();
        let age = now.0.saturating_sub(known.at.0);
        match &known.found {
            Some(found) if age < if unknown { LOOK_AGAIN_US } else { FRESH_US } => Some(Ok(found.clone())),
            Some(found) if known.retry > now && age < STALE_US => Some(Ok(found.clone())),
            _ if known.retry > now => {
                Some(Err(unreachable("it did not answer a moment ago").retry(Retry::After(1))))
            }
            _ => None,
        }
    }

    fn remember(&self, fetched: Result<(Metadata, KeySet), String>, now: Micros) -> Result<Found, Report> {
        let mut known = self.lock();
        match fetched {
            Ok((metadata, keys)) => {
                let found = (Arc::new(metadata), Arc::new(keys));
                *known = Known { found: Some(found.clone()), at: now, ..Known::default() };
                Ok(found)
            }
            Err(why) => {
                // 1, 2, 4 ... 64 seconds.
                known.retry = now.plus_us(1_000_000 << known.failures.min(6));
                known.failures = known.failures.saturating_add(1);
                observe::warn!("issuer.failed", code = "ID0010", why = why.as_str());
                let age = now.0.saturating_sub(known.at.0);
                known.found.clone().filter(|_| age < STALE_US).ok_or_else(|| unreachable(&why))
            }
        }
    }
}

fn unreachable(why: &str) -> Report {
    Report::new("ID0010", "the identity provider could not be asked").because(why.to_owned())
}

async fn fetch(client: &Client, issuer: &Issuer) -> Result<(Metadata, KeySet), String> {
    let bytes = get(client, issuer, &Metadata::url(issuer)).await?;
    let metadata = Metadata::parse(issuer, &bytes).map_err(|why| format!("its metadata: {why}"))?;
    let keys = get(client, issuer, &metadata.jwks).await?;
    Ok((metadata, KeySet::parse(&keys).map_err(|why| format!("its keys: {why}"))?))
}

/// The declared address of an issuer, or one that its metadata names: public
/// unless it was declared to be inside, and never followed elsewhere (TRAPS X2).
fn place(issuer: &Issuer, url: &str) -> Result<(Origin, net::uri::PathAndQuery), String> {
    let reach = if issuer.inside { Reach::Private } else { Reach::Public };
    Origin::split(url, reach).map_err(|e| report::chain(&e))
}

async fn get(client: &Client, issuer: &Issuer, url: &str) -> Result<bytes::Bytes, String> {
    let (origin, path) = place(issuer, url)?;
    let response = client.send(&CLEARED, &origin, Request::get(path), &patience()).await;
    read(response).await.and_then(|(status, bytes)| match status {
        200 => Ok(bytes),
        other => Err(format!("{origin} answered with status {other}")),
    })
}

/// Posts a form to an endpoint of an issuer, as the client that `authorization`
/// says, where it is not said in the form: what it answers, whatever the status.
///
/// # Errors
/// Why there is no answer.
pub async fn post_form(
    client: &Client,
    issuer: &Issuer,
    url: &str,
    authorization: Option<HeaderValue>,
    form: String,
) -> Result<bytes::Bytes, String> {
    let (origin, path) = place(issuer, url)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(authorization) = authorization {
        headers.insert(header::AUTHORIZATION, authorization);
    }
    let request = Request::post(path, headers, vec![form.into()]);
    let response = client.send(&CLEARED, &origin, request, &patience()).await;
    // Errors of OAuth are answers with status 400.
    read(response).await.map(|(_, bytes)| bytes)
}

async fn read(response: Result<net::client::Response, net::Error>) -> Result<(u16, bytes::Bytes), String> {
    let response = response.map_err(|e| report::chain(&e))?;
    let status = response.status.as_u16();
    let bytes = response.read_all(METADATA_BYTES_MAX).await.map_err(|e| report::chain(&e))?;
    Ok((status, bytes))
}

/// Somebody waits.
fn patience() -> Timeouts {
    let five = Duration::from_secs(5);
    Timeouts { connect: five, first_byte: five, idle: five, total: Some(Duration::from_secs(10)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> (Metadata, KeySet) {
        let metadata =
            Metadata { jwks: "https://a/k".into(), authorization: None, token: None, device: None };
        (metadata, KeySet::default())
    }

    fn at(seconds: i64) -> Micros {
        Micros(seconds * 1_000_000)
    }

    struct Nobody;

    impl Seats for Nobody {
        fn seat(&self, _: &Person, _: Micros) -> Result<(), Report> {
            Ok(())
        }
    }

    #[test]
    fn another_file_keeps_what_is_known_of_the_issuers_that_stay() {
        let config = |issuers: &[(&str, &str)]| {
            let mut text = "resource = \"https://us\"\n".to_owned();
            for (url, algorithm) in issuers {
                text.push_str(&format!("[[issuer]]\nurl = \"{url}\"\nalgorithms = [\"{algorithm}\"]\n"));
            }
            Config::parse(&text, "f").expect("a config")
        };
        let before =
            Issuers::new(config(&[("https://a", "RS256"), ("https://b", "RS256")]), Arc::new(Nobody));
        for kept in &before.kept {
            kept.remember(Ok(parts()), at(1000)).expect("known");
        }
        let after =
            before.renewed(config(&[("https://c", "RS256"), ("https://b", "RS256"), ("https://a", "ES256")]));
        let known: Vec<bool> = after.kept.iter().map(|kept| kept.usable(at(1001), false).is_some()).collect();
        assert_eq!(known, [false, true, false], "one that is declared otherwise begins anew");
    }

    #[test]
    fn keys_are_kept_and_a_strange_token_makes_us_look_once_a_minute() {
        let kept = Kept::default();
        assert!(kept.usable(at(1000), false).is_none(), "nothing is known");
        kept.remember(Ok(parts()), at(1000)).expect("known");
        assert!(kept.usable(at(1000 + 3599), false).is_some());
        assert!(kept.usable(at(1000 + 3600), false).is_none(), "an hour is old");
        assert!(kept.usable(at(1059), true).is_some(), "trap X10: not as often as a stranger likes");
        assert!(kept.usable(at(1060), true).is_none());
    }

    #[test]
    fn a_provider_that_is_down_is_asked_ever_less_often_and_its_keys_go_on_for_a_day() {
        let kept = Kept::default();
        for (failure, wait) in [1, 2, 4, 8, 16, 32, 64, 64].into_iter().enumerate() {
            let now = at(10_000 * (failure as i64 + 1));
            let report = kept.remember(Err("down".into()), now).err().expect("nothing is known");
            assert_eq!(report.code.0, "ID0010");
            assert!(kept.usable(Micros(now.0 + wait * 1_000_000 - 1), false).is_some_and(|r| r.is_err()));
            assert!(kept.usable(Micros(now.0 + wait * 1_000_000), false).is_none(), "after {wait} s");
        }
        kept.remember(Ok(parts()), at(100_000)).expect("known");
        let day = 24 * 3600;
        assert!(kept.remember(Err("down".into()), at(100_000 + day - 1)).is_ok(), "for a day");
        assert!(kept.remember(Err("down".into()), at(100_000 + day)).is_err(), "and no longer");
    }
}
