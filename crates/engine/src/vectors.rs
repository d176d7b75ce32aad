//! Vectors and scores: texts that a model reads whole, between two steps of its chats.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use scheduler::Token;
use tokio::sync::oneshot;

use crate::worker::{Command, EmbedJob, EmbedPlace, Scores, Vectors};
use crate::{Engine, Error};

type Reading = oneshot::Receiver<Result<Vectors, Error>>;

impl Engine {
    /// Vectors of length 1, and the tokens of each text, in order.
    pub fn embed(&self, texts: Vec<String>) -> impl Future<Output = Result<Vectors, Error>> + Send + 'static {
        let reading = self.queue_texts(&texts);
        async move { read(reading?).await }
    }

    /// Tokens that [`Engine::embed`] will count for a text.
    pub fn count_embed_tokens(&self, text: &str) -> Result<u32, Error> {
        Ok(self.inner().model.tokenize(text, true, false)?.len() as u32)
    }

    /// How well each document answers the query, and the tokens of each pair, in
    /// order. From 0 to 1 for a head of one number, whose logistic function it
    /// is: the order is the model's own, the scale is that of the field's APIs.
    pub fn rerank(
        &self,
        query: &str,
        documents: &[String],
    ) -> impl Future<Output = Result<Scores, Error>> + Send + use<> {
        let reading = self.queue_pairs(query, documents);
        async move {
            read(reading?).await?.into_iter().map(|(head, tokens)| Ok((score(&head)?, tokens))).collect()
        }
    }

    fn queue_texts(&self, texts: &[String]) -> Result<Reading, Error> {
        let inner = self.inner();
        if !inner.info.can_embed {
            return Err(Error::Unsupported(format!("model \"{}\" gives no vectors", inner.info.name)));
        }
        self.queue(texts.iter().map(|text| inner.model.tokenize(text, true, false)))
    }

    fn queue_pairs(&self, query: &str, documents: &[String]) -> Result<Reading, Error> {
        let inner = self.inner();
        let Some(pairing) = &inner.pairing else {
            return Err(Error::Unsupported(format!("model \"{}\" ranks no documents", inner.info.name)));
        };
        let query = inner.model.tokenize(query, false, false)?;
        self.queue(documents.iter().map(|document| {
            let document = inner.model.tokenize(document, false, false)?;
            Ok(pairing.pair(&query, &document))
        }))
    }

    fn queue(&self, texts: impl Iterator<Item = Result<Vec<Token>, Error>>) -> Result<Reading, Error> {
        let inner = self.inner();
        let (queued, max) = (inner.board.embedding.load(Ordering::Relaxed) as usize, inner.queue_max);
        if queued >= max {
            return Err(Error::QueueFull { queued, max });
        }
        let place = EmbedPlace::take(&inner.board);
        let mut tokens = VecDeque::new();
        for text in texts {
            let text = text?;
            let (prompt, context) = (text.len() as u32, inner.embed_max);
            if prompt > context {
                return Err(Error::TooLong { prompt, context });
            }
            if prompt == 0 {
                return Err(Error::Unsupported("an empty text has no vector".into()));
            }
            tokens.push_back(text);
        }
        let (reply, receiver) = oneshot::channel();
        let job = EmbedJob { texts: tokens, done: Vec::new(), reply, _place: place };
        let ended = |_| Error::Failed("the engine's thread ended".into());
        inner.commands.send(Command::Embed(job)).map_err(ended)?;
        Ok(receiver)
    }
}

async fn read(reading: Reading) -> Result<Vectors, Error> {
    reading.await.unwrap_or_else(|_| Err(Error::Failed("the engine's thread ended".into())))
}

/// A head of one number is a logit; one of several has its probabilities, of
/// which the first is that of "yes".
fn score(head: &[f32]) -> Result<f32, Error> {
    let score = match head {
        [logit] => 1.0 / (1.0 + (-logit).exp()),
        [yes, ..] => *yes,
        [] => f32::NAN,
    };
    if score.is_finite() { Ok(score) } else { Err(Error::Failed("the model gave no score".into())) }
}
