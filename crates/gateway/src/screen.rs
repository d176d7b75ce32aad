//! Step 5: what the request carries is looked at before it goes anywhere.
//!
//! No guard is registered in this version; the step exists so that the one
//! place where input is screened is already on the only path there is. Its
//! evidence, [`Screened`], is what the next step takes.

use crate::account::Admitted;
use crate::decode::Asked;
use crate::journey::Stop;

/// A request that its guards let pass.
pub(crate) struct Screened(Admitted);

pub(crate) fn screen(admitted: Admitted, _asked: &Asked) -> Result<Screened, Stop> {
    Ok(Screened(admitted))
}

impl Screened {
    pub fn into_admitted(self) -> Admitted {
        self.0
    }
}
