//! The tokens that tool servers are sent: one for each caller and server, got
//! from the identity provider that gave the caller theirs.
//!
//! What a caller came with goes to nobody but its own issuer, which the host
//! declares ([`crate::issuers`]); a manifest only names it. Doubt is a refusal: a
//! call whose token could not be had is not made with another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use identity::{Exchange, Unverified};
use net::HeaderValue;
use report::Report;
use units::Micros;

use super::ToolServer;
use crate::Gateway;
use crate::issuers::post_form;

/// How a server's tokens are got, and as whom it is called.
pub struct Tokens {
    pub exchange: Exchange,
    pub call_as: CallAs,
}

/// As whom a tool server is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAs {
    /// Its caller; whoever came without a token may not call it.
    Caller,
    /// This deployment.
    Server,
    /// Its caller, or this deployment for whoever came without a token.
    CallerOrServer,
}

/// The token that a request came with, after it was verified. Without `Debug`.
#[derive(Clone)]
pub(crate) struct CallerToken(Arc<str>);

impl CallerToken {
    pub fn new(token: &str) -> CallerToken {
        CallerToken(token.into())
    }
}

/// Who wants something of a server.
#[derive(Clone, Copy)]
pub(crate) enum Caller<'a> {
    /// Ourselves: what a server offers is the same for everybody, and asked once.
    Nobody,
    /// Somebody, with the token that they came with, if they did.
    Somebody(Option<&'a CallerToken>),
}

/// Whose credential it is: equal for equal tokens of a caller, zeros for our one key.
pub(super) type Holder = [u8; 32];

/// What a server is sent for one caller. Without `Debug`.
#[derive(Clone)]
pub(super) struct Credential {
    pub header: HeaderValue,
    pub holder: Holder,
    /// For the record: as whom, by what, for whom.
    pub words: Arc<str>,
    until: Micros,
}

/// Tokens that are kept, each behind a lock of its own: whoever waits for it
/// finds what another got.
#[derive(Default)]
pub(super) struct Purse(Mutex<HashMap<Holder, Slot>>);

type Slot = Arc<tokio::sync::Mutex<Option<Credential>>>;

/// Tokens that are kept at once; a token is a kilobyte or two.
const KEPT_MAX: usize = 4096;
/// The longest that one is kept: what a provider takes back is noticed within this.
const KEPT_S: u64 = 3600;
/// How long before its end it is no longer used: a call may take as long.
const MARGIN_S: u64 = 30;

impl Purse {
    fn slot(&self, holder: Holder, now: Micros) -> Slot {
        let mut kept = self.0.lock().expect("no code panics while it holds the tokens");
        if kept.len() >= KEPT_MAX && !kept.contains_key(&holder) {
            // One that somebody waits for stays; the others are got again.
            kept.retain(|_, slot| {
                slot.try_lock().map_or(true, |t| t.as_ref().is_some_and(|t| now < t.until))
            });
            if kept.len() >= KEPT_MAX {
                kept.retain(|_, slot| slot.try_lock().is_err());
            }
        }
        Arc::clone(kept.entry(holder).or_default())
    }

    /// The server did not take it.
    pub fn forget(&self, holder: &Holder) {
        self.0.lock().expect("no code panics while it holds the tokens").remove(holder);
    }
}

/// What a server is sent, beside its own headers; `None`: nothing.
///
/// # Errors
/// TG0012 when no token can be had, TG0013 when there is none to exchange, ID0010.
pub(super) async fn credential(
    client: &net::Client,
    gateway: &Gateway,
    server: &ToolServer,
    caller: Caller<'_>,
) -> Result<Option<Credential>, Report> {
    let Some(tokens) = &server.tokens else { return Ok(None) };
    let subject = match (caller, tokens.call_as) {
        (Caller::Nobody, _) | (_, CallAs::Server) | (Caller::Somebody(None), CallAs::CallerOrServer) => None,
        (Caller::Somebody(Some(token)), CallAs::Caller | CallAs::CallerOrServer) => Some(&*token.0),
        (Caller::Somebody(None), CallAs::Caller) => {
            return Err(impersonal(
                server,
                "an API key or a certificate has no token that could be exchanged",
            ));
        }
    };
    let now = runtime::clock::now();
    let holder = tokens.exchange.digest(subject);
    let slot = gateway.tools.purse.slot(holder, now);
    let mut kept = slot.lock().await;
    if let Some(kept) = kept.as_ref().filter(|kept| now < kept.until) {
        return Ok(Some(kept.clone()));
    }
    *kept = None;
    let fresh = fetch(client, gateway, server, &tokens.exchange, subject, holder).await?;
    Ok(Some(kept.insert(fresh).clone()))
}

async fn fetch(
    client: &net::Client,
    gateway: &Gateway,
    server: &ToolServer,
    exchange: &Exchange,
    subject: Option<&str>,
    holder: Holder,
) -> Result<Credential, Report> {
    let refused = |why: String| {
        Report::new("TG0012", format!("no token for the tool server \"{}\" could be had", server.name))
            .because(why)
    };
    let issuers = gateway.issuers.load_full();
    let declared = issuers.as_ref().and_then(|i| Some((i, i.config.issuer(&exchange.issuer)?)));
    let Some((issuers, index)) = declared else {
        let why = format!("the identity provider {:.200} is not declared here", exchange.issuer);
        return Err(refused(why).hint("declare it in the file of `bedplate serve --identity`"));
    };
    let issuer = &issuers.config.issuers[index];
    if let Some(token) = subject {
        // Verified when it came in; shown to its own issuer alone.
        let read = Unverified::read(token).map_err(|r| r.report())?;
        if read.issuer().map_err(|r| r.report())? != issuer.url {
            return Err(impersonal(server, "its caller's token is of another identity provider"));
        }
    }
    let now = runtime::clock::now();
    let (metadata, _) = issuers.known(client, index, now, false).await?;
    let endpoint = metadata.token.as_deref();
    let endpoint = endpoint.ok_or_else(|| refused("its identity provider has no token endpoint".into()))?;
    let mut authorization = HeaderValue::from_str(&exchange.authorization())
        .map_err(|_| refused("our name there cannot stand in a header".into()))?;
    authorization.set_sensitive(true);
    let body = exchange.body(subject);
    let answer = post_form(client, issuer, endpoint, Some(authorization), body).await.map_err(refused)?;
    let granted = exchange
        .read(&answer, subject)
        .map_err(|why| refused(format!("the identity provider said: {why}")).hint(HINT))?;
    let mut header = HeaderValue::from_str(&format!("Bearer {}", *granted.token))
        .map_err(|_| refused("the token cannot stand in a header".into()))?;
    header.set_sensitive(true);
    let how =
        if subject.is_some() { "its caller, by token exchange" } else { "ourselves, by client credentials" };
    let words = format!("as {how} at {:.200} for {:.200}", issuer.url, exchange.target());
    Ok(Credential { header, holder, words: words.into(), until: until(now, granted.expires_s) })
}

const HINT: &str =
    "allow this client the grants `token-exchange` and `client_credentials` for that audience there";

fn impersonal(server: &ToolServer, why: &'static str) -> Report {
    Report::new("TG0013", format!("the tool server \"{}\" is called as whoever signed in", server.name))
        .because(why)
        .hint("call with a token of the identity provider; or the manifest says `as: caller-or-server`")
}

/// How long a token is used.
fn until(now: Micros, expires_s: u64) -> Micros {
    let kept = expires_s.min(KEPT_S);
    let used = kept - MARGIN_S.min(kept / 2);
    now.plus_us(i64::try_from(used).unwrap_or_default() * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(holder: Holder, until: i64) -> Credential {
        Credential { header: HeaderValue::from_static("x"), holder, words: "".into(), until: Micros(until) }
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end_and_an_hour_at_most() {
        let after = |expires_s| until(Micros(0), expires_s).0 / 1_000_000;
        assert_eq!([0, 1, 10, 60, 600, 7200, u64::MAX].map(after), [0, 1, 5, 30, 570, 3570, 3570]);
    }

    #[test]
    fn the_purse_is_bounded_and_what_somebody_waits_for_stays() {
        let purse = Purse::default();
        let holder = |n: usize| {
            let mut holder = [0; 32];
            holder[..8].copy_from_slice(&n.to_le_bytes());
            holder
        };
        let waiting = purse.slot(holder(0), Micros(1));
        let _one = waiting.try_lock().expect("nobody else has it");
        for n in 1..2 * KEPT_MAX {
            let slot = purse.slot(holder(n), Micros(1));
            // Every other one is over already.
            *slot.try_lock().expect("free") = Some(credential(holder(n), n as i64 % 2 * 9));
        }
        let kept = purse.0.lock().expect("sound");
        assert!(kept.len() <= KEPT_MAX && kept.contains_key(&holder(0)), "{}", kept.len());
    }
}
