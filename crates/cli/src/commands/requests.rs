//! `explain`: one request, whole.

use api::{List, Record, RecordSummary};
use report::Report;

use super::show;
use crate::Failure;
use crate::client::{Server, encode};
use crate::explain;

pub(super) fn explain(server: &Server, request: &str, json: bool) -> Result<(), Failure> {
    let id = if request == "last" {
        let newest: List<RecordSummary> = server.get("/api/v1/records?limit=1")?;
        match newest.data.into_iter().next() {
            Some(record) => record.id,
            None => return Err(Report::new("ST0008", "no request was recorded yet").into()),
        }
    } else {
        request.to_owned()
    };
    let record: Record = server.get(&format!("/api/v1/records/{}", encode(&id)))?;
    show(json, &record, explain::render);
    Ok(())
}
