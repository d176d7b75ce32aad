//! People sign in with their company's account: in a browser by the code flow,
//! in a terminal by the device flow. Both end as the key of the person.
//!
//! The server speaks to the provider in both, so that a client's secret and a
//! device's code never leave it, and a terminal needs to know one address only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use control::Visitor;
use gateway::issuers::{Issuers, post_form};
use identity::{Attempt, Callback, Claims, Device, DeviceAnswer, Issuer, Tokens, Unverified};
use net::percent_decode;
use policy::Principal;
use report::{Report, Retry};
use units::Micros;

use crate::front::Front;

/// How long somebody may take at the provider's pages.
const ATTEMPT_US: i64 = 600 * 1_000_000;
/// Sign-ins under way at once; one more takes the place of the oldest.
const ATTEMPTS_MAX: usize = 1_000;
/// A working day: how long a terminal stays signed in.
pub const SIGN_IN_US: i64 = 12 * 3600 * 1_000_000;

/// Sign-ins under way.
#[derive(Default)]
pub struct SignIns {
    browsers: Mutex<HashMap<String, (Attempt, Micros)>>,
    terminals: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    device: Device,
    until: Micros,
    /// When the provider may be asked again.
    next: Micros,
}

/// What a terminal is told to show.
#[derive(serde::Serialize)]
pub struct Shown {
    pub id: String,
    pub user_code: String,
    pub verification_uri: String,
    pub verification_uri_complete: Option<String>,
    pub expires_in: u64,
    pub interval: u64,
}

/// Whether a terminal's person is done.
pub enum Polled {
    Pending { interval: u64 },
    Done(Box<Principal>),
}

fn failed(why: impl Into<String>) -> Report {
    Report::new("ID0011", "the sign-in did not succeed")
        .because(why)
        .hint("begin again; an admin sees the reason in the server's log")
}

/// The provider that people sign in by, as it is declared now.
struct Provider {
    issuers: Arc<Issuers>,
    index: usize,
}

impl Provider {
    fn parts(&self) -> (&Issuers, usize, &Issuer, &str) {
        let issuer = &self.issuers.config.issuers[self.index];
        // Who people sign in by is found by having one.
        (&self.issuers, self.index, issuer, issuer.client_id.as_deref().unwrap_or_default())
    }
}

fn provider(front: &Front) -> Result<Provider, Report> {
    let found = front.worker.gateway.issuers.load_full().and_then(|issuers| {
        let index = issuers.config.sign_in()?;
        Some(Provider { issuers, index })
    });
    found.ok_or_else(|| {
        failed("no identity provider is declared that people sign in by")
            .hint("`bedplate serve --identity FILE`, with a client_id")
    })
}

pub fn is_offered(front: &Front) -> bool {
    provider(front).is_ok()
}

/// Begins one in a browser: where to send it, and the state for its cookie.
pub async fn begin(front: &Front, now: Micros) -> Result<(String, String), Report> {
    let provider = provider(front)?;
    let (issuers, index, issuer, _) = provider.parts();
    let (metadata, _) = issuers.known(&front.worker.client, index, now, false).await?;
    let attempt = Attempt::new(&runtime::random::bytes());
    let callback = console::path::SIGNED_IN;
    let url = identity::authorization_url(&issuers.config, issuer, &metadata, &attempt, callback)
        .ok_or_else(|| failed("the identity provider has no authorization endpoint"))?;
    let state = attempt.state.clone();
    let mut under_way = lock(&front.sign_ins.browsers);
    make_room(&mut under_way, now, |(_, until)| *until);
    under_way.insert(state.clone(), (attempt, now.plus_us(ATTEMPT_US)));
    Ok((url, state))
}

/// Ends one in a browser. `cookie` is the state that it was begun with: whoever
/// is sent here with the answer to another one's sign-in has not.
pub async fn finish(
    front: &Front,
    query: &str,
    cookie: Option<&str>,
    now: Micros,
) -> Result<Principal, Report> {
    let provider = provider(front)?;
    let (issuers, index, issuer, client_id) = provider.parts();
    let pairs: Vec<(String, String)> = query
        .split('&')
        .take(16)
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (percent_decode(name), percent_decode(&value.replace('+', " "))))
        .collect();
    let answer =
        Callback::read(&pairs).ok_or_else(|| failed("the answer of the identity provider is not one"))?;
    if cookie != Some(answer.state.as_str()) {
        return Err(failed("it was begun in another browser, or too long ago"));
    }
    // Once, whatever comes of it.
    let begun = lock(&front.sign_ins.browsers).remove(&answer.state);
    let (attempt, _) =
        begun.filter(|(_, until)| *until > now).ok_or_else(|| failed("it was begun too long ago"))?;
    if answer.issuer.as_ref().is_some_and(|from| *from != issuer.url) {
        return Err(failed("another identity provider answered"));
    }
    let code = answer.code.map_err(|error| failed(format!("the identity provider says {error}")))?;
    let (metadata, _) = issuers.known(&front.worker.client, index, now, false).await?;
    let endpoint = metadata.token.as_deref().ok_or_else(|| failed("the provider has no token endpoint"))?;
    let redirect = format!("{}{}", issuers.config.resource, console::path::SIGNED_IN);
    let form = with_secret(
        issuer,
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &redirect),
            ("client_id", client_id),
            ("code_verifier", &attempt.verifier),
        ],
    )?;
    let bytes = post_form(&front.worker.client, issuer, endpoint, None, form).await.map_err(failed)?;
    let tokens = Tokens::parse(&bytes).map_err(|e| failed(format!("the identity provider says {e}")))?;
    person(front, &tokens, Some(&attempt.nonce), now).await
}

/// Begins one in a terminal.
pub async fn begin_device(front: &Front, now: Micros) -> Result<Shown, Report> {
    let provider = provider(front)?;
    let (issuers, index, issuer, client_id) = provider.parts();
    let (metadata, _) = issuers.known(&front.worker.client, index, now, false).await?;
    let endpoint = metadata.device.as_deref().ok_or_else(|| failed("the provider has no device flow"))?;
    let form = with_secret(issuer, &[("client_id", client_id), ("scope", &issuer.scopes.join(" "))])?;
    let bytes = post_form(&front.worker.client, issuer, endpoint, None, form).await.map_err(failed)?;
    let device = Device::parse(&bytes).map_err(|e| failed(format!("the identity provider says {e}")))?;
    let id: String = runtime::random::bytes::<32>().iter().map(|b| format!("{b:02x}")).collect();
    let shown = Shown {
        id: id.clone(),
        user_code: device.user_code.clone(),
        verification_uri: device.verification_uri.clone(),
        verification_uri_complete: device.verification_uri_complete.clone(),
        expires_in: device.expires_s,
        interval: device.interval_s,
    };
    let mut waiting = lock(&front.sign_ins.terminals);
    make_room(&mut waiting, now, |w| w.until);
    let until = now.plus_us(device.expires_s as i64 * 1_000_000);
    waiting.insert(id, Waiting { device, until, next: now });
    Ok(shown)
}

/// Asks whether a terminal's person is done, no more often than the provider allows.
pub async fn poll_device(front: &Front, id: &str, now: Micros) -> Result<Polled, Report> {
    let provider = provider(front)?;
    let (issuers, index, issuer, client_id) = provider.parts();
    let (code, interval) = {
        let mut waiting = lock(&front.sign_ins.terminals);
        let gone = || failed("it was begun too long ago, or is done");
        let one = waiting.get_mut(id).filter(|w| w.until > now).ok_or_else(gone)?;
        let interval = one.device.interval_s;
        if one.next > now {
            return Ok(Polled::Pending { interval });
        }
        one.next = now.plus_us(interval as i64 * 1_000_000);
        (one.device.device_code.clone(), interval)
    };
    let (metadata, _) = issuers.known(&front.worker.client, index, now, false).await?;
    let endpoint = metadata.token.as_deref().ok_or_else(|| failed("the provider has no token endpoint"))?;
    let form = with_secret(
        issuer,
        &[
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", &code),
            ("client_id", client_id),
        ],
    )?;
    let bytes = post_form(&front.worker.client, issuer, endpoint, None, form).await.map_err(failed)?;
    match DeviceAnswer::parse(&bytes) {
        DeviceAnswer::Pending => Ok(Polled::Pending { interval }),
        DeviceAnswer::SlowDown => {
            let mut waiting = lock(&front.sign_ins.terminals);
            // RFC 8628 3.5: five seconds more, from now on.
            let slower = waiting.get_mut(id).map_or(interval, |w| {
                w.device.interval_s = (w.device.interval_s + 5).min(60);
                w.device.interval_s
            });
            Ok(Polled::Pending { interval: slower })
        }
        DeviceAnswer::Refused(error) => {
            lock(&front.sign_ins.terminals).remove(id);
            Err(failed(format!("the identity provider says {error}")))
        }
        DeviceAnswer::Tokens(tokens) => {
            lock(&front.sign_ins.terminals).remove(id);
            person(front, &tokens, None, now).await.map(|who| Polled::Done(Box::new(who)))
        }
    }
}

/// The key of whom these tokens are about.
async fn person(
    front: &Front,
    tokens: &Tokens,
    nonce: Option<&str>,
    now: Micros,
) -> Result<Principal, Report> {
    let provider = provider(front)?;
    let (issuers, index, issuer, client_id) = provider.parts();
    let read = Unverified::read(&tokens.id_token).map_err(|r| failed(r.to_string()))?;
    let check = |keys: &identity::KeySet| read.verify_sign_in(issuer, keys, client_id, nonce, now);
    let claims: Claims = issuers.verified(&front.worker.client, index, now, check).await?;
    let nobody = || {
        Report::new("ID0009", "who asks is known and has no key here")
            .because("none of their groups is mapped to a team")
            .hint("an operator maps groups in the file of `serve --identity`")
    };
    let grant = issuer.grant(&claims).ok_or_else(nobody)?;
    issuers.seat(&claims, grant, now).await?;
    let directory = &front.worker.gateway.snapshot.load().directory;
    let who = directory.seat(&claims.subject, &grant.team, grant.role, now).map_err(|d| d.report())?;
    observe::info!("login", key = who.key_name.as_ref(), team = who.team_name.as_ref());
    Ok(who)
}

/// The secret of a confidential client goes into the body, from the environment.
fn with_secret(issuer: &Issuer, fields: &[(&str, &str)]) -> Result<String, Report> {
    let Some(name) = &issuer.client_secret_env else { return Ok(identity::form(fields)) };
    let secret = cli::environment(name)
        .ok_or_else(|| failed(format!("${name} is not set in the server's environment")))?;
    let mut fields = fields.to_vec();
    fields.push(("client_secret", &secret));
    Ok(identity::form(&fields))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while it holds the sign-ins")
}

fn make_room<T>(under_way: &mut HashMap<String, T>, now: Micros, until: impl Fn(&T) -> Micros) {
    under_way.retain(|_, one| until(one) > now);
    if under_way.len() >= ATTEMPTS_MAX
        && let Some(oldest) = under_way.iter().min_by_key(|(_, one)| until(one)).map(|(id, _)| id.clone())
    {
        under_way.remove(&oldest);
    }
}

/// Gives the visitors of the data plane their keys.
pub struct Registrar(pub Arc<control::Plane>);

impl gateway::issuers::Seats for Registrar {
    fn seat(&self, person: &gateway::issuers::Person, now: Micros) -> Result<(), Report> {
        let visitor = Visitor {
            subject: &person.subject,
            name: person.name.as_deref(),
            team: &person.team,
            role: person.role,
        };
        self.0.seat(&visitor, now).map(drop)
    }
}

/// Sign-ins per address and minute: somebody who mistypes needs five, a program
/// that guesses needs many more; behind one proxy sit many people.
const PER_MINUTE: u32 = 60;
/// Addresses remembered; beyond it a new minute begins for all.
const ADDRESSES_MAX: usize = 10_000;

/// How often an address has tried.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<std::net::IpAddr, (i64, u32)>>);

impl Throttle {
    /// # Errors
    /// ID0012.
    pub fn admit(&self, address: std::net::IpAddr, now: Micros) -> Result<(), Report> {
        let minute = now.0.div_euclid(60_000_000);
        let mut tries = lock(&self.0);
        if tries.len() >= ADDRESSES_MAX {
            tries.clear();
        }
        let (at, count) = tries.entry(address).or_default();
        if *at != minute {
            (*at, *count) = (minute, 0);
        }
        *count += 1;
        if *count <= PER_MINUTE {
            return Ok(());
        }
        let wait = 60 - now.0.div_euclid(1_000_000).rem_euclid(60);
        Err(Report::new("ID0012", "too many sign-ins from this address")
            .because(format!("the limit is {PER_MINUTE} a minute"))
            .retry(Retry::After(wait as u32)))
    }
}

/// Leaves of refused sign-ins in a minute. Whoever tries may be anybody: without
/// a bound they would fill the log, and with it the disk.
const REFUSALS_PER_MINUTE: u64 = 60;

/// Sign-ins that were refused: which of them are written down.
#[derive(Default)]
pub struct Refusals(Mutex<Refused>);

#[derive(Default)]
struct Refused {
    minute: i64,
    written: u64,
    /// Not written, since the last that was.
    more: u64,
}

impl Refusals {
    /// Whether this one is written down, with how many others since the last.
    fn admit(&self, now: Micros) -> Option<u64> {
        let minute = now.0.div_euclid(60_000_000);
        let mut refused = lock(&self.0);
        if refused.minute != minute {
            (refused.minute, refused.written) = (minute, 0);
        }
        if refused.written >= REFUSALS_PER_MINUTE {
            refused.more = refused.more.saturating_add(1);
            return None;
        }
        refused.written += 1;
        Some(std::mem::take(&mut refused.more))
    }
}

/// Writes down that a sign-in was refused, unless many were in this minute. A
/// provider that could not be asked refused nobody.
pub fn refused(front: &Front, door: control::Door, report: &Report, now: Micros) {
    if report.code.0 != "ID0010"
        && let Some(more) = front.refusals.admit(now)
    {
        front.plane.sign_in_refused(door, report, more, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_sign_ins_are_written_so_often_a_minute_and_the_rest_is_counted() {
        let refusals = Refusals::default();
        let written = |second: i64| refusals.admit(Micros(second * 1_000_000));
        for _ in 0..REFUSALS_PER_MINUTE {
            assert_eq!(written(60), Some(0));
        }
        for _ in 0..1_000 {
            assert_eq!(written(61), None);
        }
        assert_eq!((written(120), written(121)), (Some(1_000), Some(0)));
    }

    #[test]
    fn an_address_has_so_many_tries_a_minute() {
        let throttle = Throttle::default();
        let (a, b) = ("10.0.0.1".parse().expect("an address"), "10.0.0.2".parse().expect("an address"));
        for _ in 0..PER_MINUTE {
            throttle.admit(a, Micros(60_000_000)).expect("a try");
        }
        let report = throttle.admit(a, Micros(61_000_000)).expect_err("one too many");
        assert_eq!((report.code.0, report.retry), ("ID0012", Retry::After(59)));
        throttle.admit(b, Micros(61_000_000)).expect("another address");
        throttle.admit(a, Micros(120_000_000)).expect("another minute");
    }
}
