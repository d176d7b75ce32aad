//! `explain`: one request, whole.

use api::{List, Record, RecordSummary};
use report::Report;

use super::show;
use crate::Failure;
use crate::client::{Server, encode};
use crate::explain;

pub(super) fn explain(server: &Server, request: &str, json: bool) -> Result<(), Failure> {
    let record: Record = server.get(&format!("/api/v1/records/{}", encode(&named(server, request)?)))?;
    show(json, &record, explain::render);
    Ok(())
}

/// The id of a request that may be called `last`.
pub(super) fn named(server: &Server, request: &str) -> Result<String, Failure> {
    if request != "last" {
        return Ok(request.to_owned());
    }
    let newest: List<RecordSummary> = server.get("/api/v1/records?limit=1")?;
    match newest.data.into_iter().next() {
        Some(record) => Ok(record.id),
        None => Err(Report::new("ST0008", "no request was recorded yet").into()),
    }
}
