//! A model lent to a collection: what makes its vectors, or orders what was found.
//!
//! Each batch of texts is a request of its own, of whoever puts or asks, and walks the
//! journey like any other from the fourth step on: granted, judged, paid for, screened,
//! cleared for its target, recorded. So a document goes to no provider that its labels
//! keep it from, and what embedding it costs is its team's, with a record that says what for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chat::{EmbedInput, EmbedRequest, RerankRequest};
use net::server::{Response, ResponseBody};
use policy::Principal;
use report::Report;
use retrieval::{Embed, Embedded, Rank};
use store::Spent;
use units::{Labels, RequestId, Usd};

use crate::account::Arrival;
use crate::journey::Stop;
use crate::leaf::Salts;
use crate::{Gateway, Surface, Worker, decode, embed, headers};

/// Whoever may ask models, as a collection's embedder. It blocks: for threads that may.
pub struct Lent {
    pub gateway: Arc<Gateway>,
    pub principal: Principal,
    /// The user that the principal says it acts for.
    pub on_behalf_of: Option<String>,
    /// For the record.
    pub purpose: String,
    /// What was asked so far.
    spent: Mutex<Vec<Spent>>,
}

impl Embed for Lent {
    fn embed(&self, model: &str, labels: &Labels, texts: &[String]) -> Result<Embedded, Report> {
        let request = EmbedRequest {
            model: model.to_owned(),
            input: texts.iter().cloned().map(EmbedInput::Text).collect(),
            dimensions: None,
            base64: false,
            user: None,
        };
        let body = dialects::openai::embeddings::encode(model, &request).body;
        let (answer, made_by) = self.ask(Surface::Embed, labels, body, None)?;
        let response = dialects::openai::embeddings::decode_response(&answer);
        Ok(Embedded { made_by, vectors: response.map_err(Report::from)?.vectors })
    }

    fn spent(&self) -> Vec<Spent> {
        self.noted().clone()
    }
}

impl Rank for Lent {
    fn rank(
        &self,
        model: &str,
        labels: &Labels,
        question: &str,
        passages: &[String],
        deadline_ms: u32,
    ) -> Result<Vec<f32>, Report> {
        let request = RerankRequest {
            model: model.to_owned(),
            query: question.to_owned(),
            documents: passages.to_vec(),
            top_n: None,
            return_documents: false,
        };
        let deadline = Duration::from_millis(deadline_ms.into());
        let body = dialects::rerank::encode(&request);
        let (answer, _) = self.ask(Surface::Rerank, labels, body, Some(deadline))?;
        let mut scores = vec![f32::NAN; passages.len()];
        for (index, score) in dialects::rerank::decode_response(&answer).map_err(Report::from)? {
            if let Some(place) = scores.get_mut(index as usize) {
                *place = score;
            }
        }
        Ok(scores)
    }

    fn spent(&self) -> Vec<Spent> {
        self.noted().clone()
    }
}

impl Lent {
    pub fn new(
        gateway: Arc<Gateway>,
        principal: Principal,
        on_behalf_of: Option<String>,
        purpose: String,
    ) -> Lent {
        Lent { gateway, principal, on_behalf_of, purpose, spent: Mutex::default() }
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Vec<Spent>> {
        // A list that somebody's panic left is a whole list.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a request came to; one that was dropped stays at nothing, and its record says more.
    fn note(&self, request: RequestId, surface: Surface, answer: &Response) {
        let cost = answer.headers.get(headers::COST).and_then(|cost| cost.to_str().ok()?.parse().ok());
        let usage = match &answer.body {
            ResponseBody::Full(body) => dialects::usage_of(surface.dialect(), body).usage,
            _ => None,
        };
        let tokens = usage.map_or(0, |usage| chat::Axis::ALL.iter().map(|axis| usage.get(*axis)).sum());
        if let Some(spent) = self.noted().iter_mut().find(|spent| spent.request == request) {
            (spent.cost, spent.tokens) = (cost.unwrap_or(Usd::ZERO), tokens);
        }
    }

    /// The answer's body, and by what it was made.
    fn ask(
        &self,
        surface: Surface,
        labels: &Labels,
        body: Bytes,
        deadline: Option<Duration>,
    ) -> Result<(Bytes, String), Report> {
        // A loop and connections of its own: a worker's stay on the worker's thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| {
            Report::new("CT0005", "a model could not be asked for a collection").because(e.to_string())
        })?;
        let client = net::Client::new(net::client::Config::default());
        let worker = Worker { gateway: Arc::clone(&self.gateway), client };
        runtime.block_on(async {
            let walking = self.walk(&worker, surface, labels, body);
            match deadline {
                None => walking.await,
                // Dropped, it is settled as abandoned, and the model computes no further.
                Some(deadline) => tokio::time::timeout(deadline, walking).await.unwrap_or_else(|_| {
                    let late = format!("the model took longer than {} ms", deadline.as_millis());
                    Err(Report::new("EN0013", late))
                }),
            }
        })
    }

    async fn walk(
        &self,
        worker: &Worker,
        surface: Surface,
        labels: &Labels,
        body: Bytes,
    ) -> Result<(Bytes, String), Report> {
        let gateway = &worker.gateway;
        if let Some(Err(report)) = gateway.required_log.as_ref().map(|log| log.required()) {
            return Err(report);
        }
        policy::allows(&self.principal, surface.action()).map_err(|denied| denied.report())?;
        let mut arrival = Arrival::within(gateway, surface, labels.clone(), self.on_behalf_of.clone());
        arrival.salts = Salts::of(&gateway.keys, self.principal.team);
        let from = runtime::clock::monotonic_us();
        let asked = decode::written(&mut arrival, body)?;
        arrival.step("lend", from, self.purpose.clone());
        let stage = if surface == Surface::Rerank { "rerank" } else { "embed" };
        let spent = Spent { stage: stage.into(), request: arrival.id, tokens: 0, cost: Usd::ZERO };
        self.noted().push(spent);
        match embed::walk(worker, &mut arrival, self.principal.clone(), asked).await {
            Ok((response, made_by)) => {
                self.note(arrival.id, surface, &response);
                match response.body {
                    ResponseBody::Full(body) => Ok((body, made_by)),
                    _ => Err(Report::new(
                        "UP0004",
                        "the target answered a request for vectors or scores with a stream",
                    )),
                }
            }
            Err(Stop::Refused(report)) => Err(report),
            Err(Stop::Failed(admitted, report)) => {
                // Settled like any other; nobody reads the answer.
                let answer = headers::failure(admitted, &arrival, report.clone()).await;
                self.note(arrival.id, surface, &answer);
                Err(report)
            }
        }
    }
}
