//! Step 6: what the target will be asked.
//!
//! A feature's own words come before the client's. No cache, memory or
//! retrieval exists in this version, and `bedplate-cache` says `miss`.

use crate::Surface;
use crate::account::Admitted;
use crate::decode::Asked;
use crate::journey::Stop;
use crate::screen::Screened;

/// A request ready to be dispatched: the only thing that [`crate::dispatch`] takes.
pub(crate) struct Prepared {
    pub admitted: Admitted,
    pub asked: Asked,
}

pub(crate) fn prepare(screened: Screened, mut asked: Asked) -> Result<Prepared, Stop> {
    let admitted = screened.into_admitted();
    let chats = admitted.surface != Surface::Embed;
    if let Some(feature) = admitted.route.feature.clone().filter(|f| chats && f.prompt.is_some())
        && let Err(report) = asked.rewrite(|request| feature.prepend(request))
    {
        return Err(Stop::Failed(admitted, report));
    }
    Ok(Prepared { admitted, asked })
}
