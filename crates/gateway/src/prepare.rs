//! Step 6: what the target will be asked.
//!
//! A feature's own words come before the client's, and its tools are offered
//! beside the client's. Passages stand in the request already ([`crate::retrieve`]);
//! whether it has been answered before is asked next ([`crate::cache`]).

use report::Report;

use crate::account::Admitted;
use crate::decode::Asked;
use crate::journey::Stop;
use crate::screen::{Screened, output_guard};
use crate::{Worker, rounds, tools};

/// A request ready to be dispatched: the only thing that [`crate::dispatch`] takes.
pub(crate) struct Prepared {
    pub admitted: Admitted,
    pub asked: Asked,
}

pub(crate) async fn prepare(worker: &Worker, screened: Screened) -> Result<Prepared, Stop> {
    let (mut admitted, mut asked, vault) = screened.into_parts();
    let shield = admitted.route.shield.clone().unwrap_or_default();
    // Vectors and scores have no words to look at.
    if !admitted.surface.encodes() {
        admitted.guard = output_guard(&shield, vault, &asked);
        if let Err(report) = converse(worker, &mut admitted, &mut asked).await {
            return Err(Stop::Failed(admitted, report));
        }
    }
    Ok(Prepared { admitted, asked })
}

async fn converse(worker: &Worker, admitted: &mut Admitted, asked: &mut Asked) -> Result<(), Report> {
    if let Some(feature) = admitted.route.feature.clone() {
        if feature.prompt.is_some() {
            asked.rewrite(|request| feature.prepend(request))?;
        }
        if !feature.tools.is_empty() {
            rounds::begin(worker, admitted, asked, &feature).await?;
        }
    }
    if asked.envelope.has_tools && !admitted.snapshot.tools.clients.is_empty() {
        admitted.watch = tools::watch::watch(admitted, &asked.decoded()?.request);
    }
    Ok(())
}
