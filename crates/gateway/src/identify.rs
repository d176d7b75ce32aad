//! Step 3: who asks, and whether such a one may ask that at all. The action comes
//! from the matched surface, never from its path (TRAPS X1).

use net::server::Request;
use policy::{Denied, Principal};
use report::Report;
use units::Micros;

use crate::Worker;
use crate::account::Arrival;
use crate::leaf::Salts;
use crate::tools::tokens::CallerToken;

/// The principal of the key in `authorization: Bearer` or `x-api-key`, or of the
/// client's certificate.
pub(crate) async fn identify(
    worker: &Worker,
    arrival: &mut Arrival,
    request: &Request,
) -> Result<Principal, Report> {
    let from = runtime::clock::monotonic_us();
    let principal = who(worker, request, arrival.at).await?;
    policy::allows(&principal, arrival.surface.action()).map_err(|denied| denied.report())?;
    known(worker, arrival, &principal)?;
    // Verified: `who` believes such a text for nothing else.
    let token = presented(request).filter(|sent| identity::looks_like_a_token(sent));
    arrival.token = token.map(CallerToken::new);
    arrival.salts = Salts::of(&worker.gateway.keys, principal.team);
    arrival.step("identify", from, String::new());
    Ok(principal)
}

/// Policies decide for an agent and the user it acts for: they must know the
/// user. Whoever came by a token just now may be newer than the arrival's
/// snapshot.
fn known(worker: &Worker, arrival: &mut Arrival, principal: &Principal) -> Result<(), Report> {
    let Some(user) = principal.acting_for else { return Ok(()) };
    if arrival.snapshot.world.user_name(user).is_none() {
        arrival.snapshot = worker.gateway.snapshot.load_full();
    }
    if arrival.snapshot.world.user_name(user).is_none() {
        let denied = Denied::Actor { why: "policies know no such user" };
        return Err(denied.report());
    }
    Ok(())
}

/// Who sent a request, whatever it is for.
///
/// Keys and certificates from the snapshot alone: a database that is down never
/// becomes an authentication error (TRAPS R3). A token waits for its issuer's
/// keys when they are not known yet, and the first of a person for the key that
/// it is given. What was sent counts before the certificate of the connection,
/// which many clients of one proxy may share.
///
/// # Errors
/// As a client is told.
pub async fn who(worker: &Worker, request: &Request, now: Micros) -> Result<Principal, Report> {
    let Worker { gateway, client } = worker;
    let found = match (presented(request), &request.spiffe_id) {
        (Some(token), _) if identity::looks_like_a_token(token) => {
            let issuers = gateway.issuers.load_full();
            let Some(issuers) = issuers else { return Err(identity::Refused::Issuer.report()) };
            return issuers.bearer(gateway, client, token, now).await;
        }
        (Some(key), _) => gateway.snapshot.load().directory.identify(key, now),
        (None, Some(id)) => gateway.snapshot.load().directory.subject(id, None, now),
        (None, None) => Err(Denied::NoKey),
    };
    found.map_err(|denied| denied.report())
}

/// The key as sent. Query strings are not looked at: they end up in logs (TRAPS X4).
pub fn presented(request: &Request) -> Option<&str> {
    let bearer = request.header(net::header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| request.header("x-api-key")).filter(|key| !key.is_empty())
}
