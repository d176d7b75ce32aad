//! The journey of a request, step by step; each step is the file of its name.
//!
//! One order differs from the list in DESIGN: the key is checked before the
//! body is read, so that a stranger cannot make us hold 32 MiB (decision 001).
//! And memory and retrieval stand before the guards, so that they read what these found.

use net::server::{Request, Response};

use crate::account::{Admitted, Arrival};
use crate::cache::{self, Looked};
use crate::{
    Surface, Worker, admit, decode, dispatch, embed, headers, identify, list, memory, plan, prepare,
    retrieve, screen, stream, tools,
};
use report::Report;

/// Why a journey ended before its answer.
pub(crate) enum Stop {
    /// Before admission: nothing was reserved, nothing is owed.
    Refused(Report),
    /// After it: the account is settled as failed.
    Failed(Admitted, Report),
}

impl From<Report> for Stop {
    fn from(report: Report) -> Stop {
        Stop::Refused(report)
    }
}

/// Answers one request of the data plane.
pub async fn travel(worker: Worker, surface: Surface, request: Request) -> Response {
    let mut arrival = Arrival::new(&worker.gateway, surface, &request);
    if let Some(Err(report)) = worker.gateway.required_log.as_ref().map(|log| log.required()) {
        return headers::refusal(&worker.gateway, &arrival, &report);
    }
    let result = match surface {
        Surface::Generate(_) => generate(&worker, &mut arrival, request).await,
        Surface::Embed | Surface::Rerank => embed::embed(&worker, &mut arrival, request).await,
        Surface::CountTokens => list::count_tokens(&worker, &mut arrival, request).await,
        Surface::Mcp => tools::door::answer(&worker, &mut arrival, request).await.map_err(Stop::from),
        Surface::Graph => tools::graph::answer(&worker, &mut arrival, request).await.map_err(Stop::from),
        Surface::ListModels | Surface::ShowModel => list::models(&worker, &mut arrival, request).await,
    };
    match result {
        Ok(response) => response,
        Err(Stop::Refused(report)) => headers::refusal(&worker.gateway, &arrival, &report),
        Err(Stop::Failed(admitted, report)) => headers::failure(admitted, &arrival, report).await,
    }
}

async fn generate(worker: &Worker, arrival: &mut Arrival, request: Request) -> Result<Response, Stop> {
    let principal = identify::identify(worker, arrival, &request).await?;
    let asked = decode::decode(arrival, request).await?;
    let admitted = admit::admit(&worker.gateway, arrival, principal, &asked)?;
    let (admitted, asked) = memory::recall(admitted, asked).await?;
    let (admitted, asked) = retrieve::retrieve(admitted, asked).await?;
    let screened = screen::screen(worker, admitted, asked).await?;
    let mut prepared = match cache::look_up(prepare::prepare(worker, screened).await?).await? {
        Looked::Hit(prepared, answer) => return stream::again(worker, prepared, *answer).await,
        Looked::Miss(prepared) => prepared,
    };
    let plan = plan::plan(&mut prepared);
    let reply = dispatch::dispatch(worker, &mut prepared, &plan).await;
    stream::stream(worker, prepared, reply).await
}
