//! The events of one request, as far as the child may be ahead of their reader.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use chat::Event;
use engine::Error;
use tokio::sync::{mpsc, oneshot};

use super::shared::{Call, Figures, Shared};
use crate::WINDOW;
use crate::wire::Down;

/// Credit is given back in portions, a message each.
const PORTION: u32 = 16;

/// Dropping it cancels the request, accepted or not.
pub(crate) struct Answer {
    id: u64,
    events: mpsc::Receiver<Event>,
    figures: Arc<Figures>,
    prompt_tokens: u32,
    /// Events taken since credit was given last.
    taken: u32,
    shared: Arc<Shared>,
}

impl Answer {
    /// Asks, and waits until the child has accepted.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        message: impl FnOnce(u64) -> Down,
    ) -> Result<Answer, Error> {
        let (accept, accepted) = oneshot::channel();
        // One more than may come, for the failure of a child that died.
        let (sender, events) = mpsc::channel(WINDOW + 1);
        let figures = Arc::<Figures>::default();
        let call = Call::Stream { accepted: Some(accept), events: sender, figures: Arc::clone(&figures) };
        let id = shared.begin(call)?;
        let shared = Arc::clone(shared);
        let mut answer = Answer { id, events, figures, prompt_tokens: 0, taken: 0, shared };
        answer.shared.offer(&message(id))?;
        answer.prompt_tokens = accepted.await.unwrap_or_else(|_| Err(answer.shared.death()))?;
        Ok(answer)
    }

    pub(crate) async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.taken += 1;
        if self.taken == PORTION {
            self.taken = 0;
            self.shared.outbox.send(&Down::Credit { id: self.id, events: PORTION });
        }
        Some(event)
    }
    pub(crate) fn prompt_tokens(&self) -> u32 {
        self.prompt_tokens
    }
    pub(crate) fn busy_us(&self) -> u64 {
        self.figures.busy_us.load(Relaxed)
    }
    pub(crate) fn withheld(&self) -> u64 {
        self.figures.withheld.load(Relaxed)
    }
    pub(crate) fn death(&self) -> Error {
        self.shared.death()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Not when it has ended: the child has forgotten it, too.
        if self.shared.forget(self.id) {
            self.shared.outbox.send(&Down::Cancel { id: self.id });
        }
    }
}
