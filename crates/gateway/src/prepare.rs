//! Step 6: what the target will be asked.
//!
//! No cache, prompt template, memory or retrieval exists in this version:
//! what the client asked is what the target gets, and `bedplate-cache` says
//! `miss`.

use crate::account::Admitted;
use crate::decode::Asked;
use crate::screen::Screened;

/// A request ready to be dispatched: the only thing that [`crate::dispatch`] takes.
pub(crate) struct Prepared {
    pub admitted: Admitted,
    pub asked: Asked,
}

pub(crate) fn prepare(screened: Screened, asked: Asked) -> Prepared {
    Prepared { admitted: screened.into_admitted(), asked }
}
