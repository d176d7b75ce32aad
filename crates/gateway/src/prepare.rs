//! Step 6: what the target will be asked.
//!
//! A feature's own words come before the client's. No cache, memory or
//! retrieval exists in this version, and `bedplate-cache` says `miss`.

use guards::StreamGuard;

use crate::account::Admitted;
use crate::decode::Asked;
use crate::journey::Stop;
use crate::screen::Screened;
use crate::tools;

/// A request ready to be dispatched: the only thing that [`crate::dispatch`] takes.
pub(crate) struct Prepared {
    pub admitted: Admitted,
    pub asked: Asked,
}

pub(crate) fn prepare(screened: Screened) -> Result<Prepared, Stop> {
    let (mut admitted, mut asked, vault) = screened.into_parts();
    let chats = !admitted.surface.encodes();
    if let Some(feature) = admitted.route.feature.clone().filter(|f| chats && f.prompt.is_some())
        && let Err(report) = asked.rewrite(|request| feature.prepend(request))
    {
        return Err(Stop::Failed(admitted, report));
    }
    let shield = admitted.route.shield.clone().unwrap_or_default();
    // Vectors and scores have no words to look at.
    if chats && (shield.looks_at_output() || !vault.is_empty()) {
        let logprobs = asked.decoded().is_ok_and(|d| d.request.logprobs.is_some());
        admitted.guard = Some(Box::new(StreamGuard::new(&shield, vault, logprobs)));
    }
    if chats && asked.envelope.has_tools && !admitted.snapshot.tools.clients.is_empty() {
        match asked.decoded() {
            Ok(decoded) => admitted.watch = tools::watch::watch(&admitted, &decoded.request),
            Err(report) => return Err(Stop::Failed(admitted, report)),
        }
    }
    Ok(Prepared { admitted, asked })
}
