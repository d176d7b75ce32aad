//! Step 3: who asks.

use net::server::Request;
use policy::Principal;
use report::Report;

use crate::account::Arrival;

/// The principal of the key in `authorization: Bearer` or `x-api-key`.
///
/// From the snapshot alone: a database that is down never becomes an
/// authentication error (TRAPS R3).
pub(crate) fn identify(arrival: &mut Arrival, request: &Request) -> Result<Principal, Report> {
    let from = runtime::clock::monotonic_us();
    let presented = presented(request).ok_or_else(|| {
        Report::new("ID0001", "no API key was sent")
            .hint("send `authorization: Bearer <key>` or `x-api-key: <key>`; `bedplate key create` makes one")
    })?;
    let principal =
        arrival.snapshot.directory.identify(presented, arrival.at).map_err(|denied| denied.report())?;
    arrival.step("identify", from, String::new());
    Ok(principal)
}

/// The key as sent. Query strings are not looked at: they end up in logs (TRAPS X4).
pub fn presented(request: &Request) -> Option<&str> {
    let bearer = request.header(net::header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| request.header("x-api-key")).filter(|key| !key.is_empty())
}
