//! The seam: one type for an engine here and an engine there.

use std::path::Path;

use chat::{Event, Request};
use engine::{Caller, Error, Health, ModelInfo, Options, Scores, Stats, Vectors};
use scheduler::{Standing, Tenant};

use crate::launch::Place;
use crate::remote::{Answer, Remote};

/// A loaded model. Cheap to clone; it is freed when the last clone is gone.
#[derive(Clone)]
pub enum Engine {
    Here(engine::Engine),
    There(Remote),
}

/// One request's answer as it is computed. Dropping it cancels the request.
pub struct Generation {
    source: Source,
    /// Its usage or a failure has been told: what comes after is the end.
    ended: bool,
}

enum Source {
    Here(engine::Generation),
    There(Answer),
}

impl Engine {
    /// Loads a model, in this process or in a new one. Blocks. `progress` is
    /// called with 0 to 1 on this thread and ends the load by returning `false`.
    ///
    /// # Errors
    /// As [`engine::Engine::open`], and when the process cannot be started or ends.
    pub fn open_with(
        place: &Place,
        path: &Path,
        options: Options,
        progress: impl FnMut(f32) -> bool + 'static,
    ) -> Result<Engine, Error> {
        match place {
            Place::Here => engine::Engine::open_with(path, options, progress).map(Engine::Here),
            Place::Child(launch) => Remote::open(launch, path, &options, progress).map(Engine::There),
        }
    }

    pub fn info(&self) -> &ModelInfo {
        match self {
            Engine::Here(engine) => engine.info(),
            Engine::There(remote) => remote.info(),
        }
    }

    /// Of the engine's own process.
    pub fn process(&self) -> Option<u32> {
        match self {
            Engine::Here(_) => None,
            Engine::There(remote) => Some(remote.process()),
        }
    }

    /// Tokens of a chat's prompt, exactly.
    pub async fn count_tokens(&self, request: &Request) -> Result<u32, Error> {
        match self {
            Engine::Here(engine) => engine.count_tokens(request),
            Engine::There(remote) => remote.count_tokens(request).await,
        }
    }

    /// Validates and queues a chat.
    pub async fn submit_as(&self, request: &Request, caller: &Caller) -> Result<Generation, Error> {
        Ok(Generation::new(match self {
            Engine::Here(engine) => Source::Here(engine.submit_as(request, caller)?),
            Engine::There(remote) => Source::There(remote.submit(request, caller, false).await?),
        }))
    }

    /// The same without the chat template.
    pub async fn complete_as(&self, request: &Request, caller: &Caller) -> Result<Generation, Error> {
        Ok(Generation::new(match self {
            Engine::Here(engine) => Source::Here(engine.complete_as(request, caller)?),
            Engine::There(remote) => Source::There(remote.submit(request, caller, true).await?),
        }))
    }

    /// Loads a LoRA adapter, whose file must have been checked; its number for [`Caller::adapter`].
    pub async fn add_adapter(&self, path: &Path, scale: f32) -> Result<u32, Error> {
        match self {
            Engine::Here(engine) => engine.add_adapter(path, scale).await,
            Engine::There(remote) => remote.add_adapter(path, scale).await,
        }
    }

    /// Vectors of length 1, and the tokens of each text, in order.
    pub async fn embed(&self, texts: Vec<String>) -> Result<Vectors, Error> {
        match self {
            Engine::Here(engine) => engine.embed(texts).await,
            Engine::There(remote) => remote.embed(texts).await,
        }
    }

    /// How well each document answers the query, and the tokens of each pair, in order.
    pub async fn rerank(&self, query: &str, documents: &[String]) -> Result<Scores, Error> {
        match self {
            Engine::Here(engine) => engine.rerank(query, documents).await,
            Engine::There(remote) => remote.rerank(query, documents).await,
        }
    }

    /// Tokens that [`Engine::embed`] will count for a text.
    pub async fn count_embed_tokens(&self, text: &str) -> Result<u32, Error> {
        match self {
            Engine::Here(engine) => engine.count_embed_tokens(text),
            Engine::There(remote) => remote.count_embed_tokens(text).await,
        }
    }

    /// Of an engine there: as it was at most a tenth of a second ago.
    pub fn stats(&self) -> Stats {
        match self {
            Engine::Here(engine) => engine.stats(),
            Engine::There(remote) => remote.board().stats,
        }
    }

    /// Tenants that have requests, or had lately, and what they have had.
    pub fn tenants(&self) -> Vec<(Tenant, Standing)> {
        match self {
            Engine::Here(engine) => engine.tenants(),
            Engine::There(remote) => remote.board().tenants,
        }
    }

    /// Looked at from outside: it need not answer.
    pub fn health(&self) -> Health {
        match self {
            Engine::Here(engine) => engine.health(),
            Engine::There(remote) => remote.health(),
        }
    }

    /// Why it is dead, when it is.
    pub fn death(&self) -> Option<Error> {
        match self {
            Engine::Here(engine) if engine.health() == Health::Dead => Some(thread_ended()),
            Engine::Here(_) => None,
            Engine::There(remote) => remote.death(),
        }
    }
}

impl Generation {
    fn new(source: Source) -> Generation {
        Generation { source, ended: false }
    }

    /// The next event; `None` after the last, which is the usage, or a failure
    /// whose kind is the code of the error.
    pub async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = match &mut self.source {
            Source::Here(generation) => generation.next().await,
            Source::There(answer) => answer.next().await,
        };
        let event = event.unwrap_or_else(|| failure(&self.why()));
        self.ended = matches!(event, Event::Usage(_) | Event::Failed { .. });
        Some(event)
    }

    pub fn prompt_tokens(&self) -> u32 {
        match &self.source {
            Source::Here(generation) => generation.prompt_tokens(),
            Source::There(answer) => answer.prompt_tokens(),
        }
    }

    /// Engine time of this request so far, in microseconds.
    pub fn busy_us(&self) -> u64 {
        match &self.source {
            Source::Here(generation) => generation.busy_us(),
            Source::There(answer) => answer.busy_us(),
        }
    }

    /// How often the likeliest token was kept from the choices that are over, for
    /// what it would have said.
    pub fn withheld(&self) -> u64 {
        match &self.source {
            Source::Here(generation) => generation.withheld(),
            Source::There(answer) => answer.withheld(),
        }
    }

    fn why(&self) -> Error {
        match &self.source {
            Source::Here(_) => thread_ended(),
            Source::There(answer) => answer.death(),
        }
    }
}

fn thread_ended() -> Error {
    Error::Failed("the engine's thread ended".into())
}

/// An error as the last event of an answer.
fn failure(error: &Error) -> Event {
    Event::Failed { kind: error.report().code.0.into(), message: error.to_string(), retriable: true }
}
