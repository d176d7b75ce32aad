//! What the guards of an answer ask somebody outside, while the answer goes on.

use std::pin::Pin;

use guards::Question;

use crate::account::Account;
use crate::{Worker, screen};

/// One score for each remote detector; `None` for one that gave none in time.
pub(crate) type Scores = Vec<Option<f32>>;

/// One question at a time, beside the stream that it is about. Dropped, nobody waits
/// for its answer.
pub(crate) struct Asking {
    worker: Worker,
    running: Option<Running>,
}

struct Running {
    question: Question,
    scores: Pin<Box<dyn Future<Output = Scores>>>,
}

impl Asking {
    pub fn new(worker: &Worker) -> Asking {
        Asking { worker: worker.clone(), running: None }
    }

    /// Asks what the guards want to know next, unless something is being asked.
    /// Whether something is.
    pub fn begin(&mut self, account: &mut Account) -> bool {
        if self.running.is_none()
            && let Some(question) = account.guard.as_mut().and_then(|guard| guard.question())
        {
            let (worker, asked) = (self.worker.clone(), question.clone());
            let (detectors, labels) = (account.route.detectors.clone(), account.labels.clone());
            let scores = async move {
                let mut scores = Scores::with_capacity(asked.remotes.len());
                for remote in &asked.remotes {
                    scores.push(screen::ask(&worker, &detectors, &labels, remote, &asked.text).await);
                }
                scores
            };
            self.running = Some(Running { question, scores: Box::pin(scores) });
        }
        self.running.is_some()
    }

    /// The answer to what is being asked; without end while nothing is. Dropping the
    /// future loses nothing.
    pub async fn answer(&mut self) -> (Question, Scores) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let scores = running.scores.as_mut().await;
        let Running { question, .. } = self.running.take().expect("it was there a line above");
        (question, scores)
    }
}
