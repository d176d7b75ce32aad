//! Does what the server asks: a task for each request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chat::{Event, Request};
use engine::{BannedTexts, Caller, Engine, Error, Generation, Health};
use runtime::task::Task;
use runtime::{TaskKind, spawn};
use tokio::sync::{Semaphore, mpsc};

use crate::WINDOW;
use crate::outbox::Outbox;
use crate::wire::{Board, Down, Up};

/// How often the board is looked at, and how many looks without a change pass
/// before it is sent all the same.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 10;
/// Most events in one message.
const TOGETHER: usize = 32;

struct Serving {
    engine: Engine,
    outbox: Arc<Outbox>,
    live: Mutex<HashMap<u64, Live>>,
    /// What answers must not say, by the ids that requests name.
    bans: Mutex<HashMap<u128, Arc<BannedTexts>>>,
}

/// A request under way.
struct Live {
    task: Task,
    /// Events that may still be sent.
    credit: Arc<Semaphore>,
}

pub(super) fn serve(
    engine: Engine,
    outbox: &Arc<Outbox>,
    mut asks: mpsc::Receiver<Down>,
) -> std::io::Result<()> {
    // Two for what is short, a few more for rendering and tokenizing prompts.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let tasks = builder.worker_threads(2).max_blocking_threads(4).enable_time().build()?;
    let outbox = Arc::clone(outbox);
    let serving = Arc::new(Serving { engine, outbox, live: Mutex::default(), bans: Mutex::default() });
    tasks.block_on(async {
        let board = spawn(TaskKind::Log, "board", show(Arc::clone(&serving)));
        while let Some(ask) = asks.recv().await {
            if matches!(ask, Down::Close {}) {
                break;
            }
            serving.take(ask);
        }
        board.abort();
        board.ended().await;
        let live: Vec<Live> = std::mem::take(&mut *serving.live()).into_values().collect();
        for Live { task, .. } in live {
            task.abort();
            task.ended().await;
        }
    });
    // Waits for prompts that are being tokenized, too.
    drop(tasks);
    // The engine's thread puts away what it keeps, by way of the outbox.
    drop(serving);
    Ok(())
}

impl Serving {
    fn live(&self) -> MutexGuard<'_, HashMap<u64, Live>> {
        self.live.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn bans(&self) -> MutexGuard<'_, HashMap<u128, Arc<BannedTexts>>> {
        self.bans.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn take(self: &Arc<Serving>, ask: Down) {
        match ask {
            Down::Cancel { id } => {
                if let Some(live) = self.live().remove(&id) {
                    live.task.abort();
                }
            }
            Down::Credit { id, events } => {
                if let Some(live) = self.live().get(&id) {
                    live.credit.add_permits(events as usize);
                }
            }
            Down::Submit { id, raw, mut caller, banned, request } => {
                if let Some(named) = banned {
                    caller.banned = self.bans().get(&named).cloned();
                    if caller.banned.is_none() {
                        // Never without what it must not say.
                        let error = Error::Failed("it was not told what the answer must not say".into());
                        self.outbox.send(&Up::Failed { id, error });
                        return;
                    }
                }
                let credit = Arc::new(Semaphore::new(WINDOW));
                let (serving, permits) = (Arc::clone(self), Arc::clone(&credit));
                self.start(id, credit, async move {
                    serving.generate(id, raw, caller, request, &permits).await;
                });
            }
            Down::Embed { id, texts } => self.one(id, async move |serving| {
                let vectors = serving.engine.embed(texts).await?;
                Ok(Up::Vectors { id, vectors })
            }),
            Down::Rerank { id, query, documents } => self.one(id, async move |serving| {
                let queued = blocking(&serving, move |e| Ok(e.rerank(&query, &documents))).await?;
                Ok(Up::Scores { id, scores: queued.await? })
            }),
            Down::Adapter { id, path, scale } => self.one(id, async move |serving| {
                let number = serving.engine.add_adapter(&path, scale).await?;
                Ok(Up::Number { id, number })
            }),
            Down::Count { id, request } => self.one(id, async move |serving| {
                let number = blocking(&serving, move |e| e.count_tokens(&request)).await?;
                Ok(Up::Number { id, number })
            }),
            Down::CountText { id, text } => self.one(id, async move |serving| {
                let number = blocking(&serving, move |e| e.count_embed_tokens(&text)).await?;
                Ok(Up::Number { id, number })
            }),
            Down::Ban { texts } => {
                self.bans().insert(texts.id(), texts);
            }
            Down::Unban { id } => {
                self.bans().remove(&id);
            }
            // The first belongs to the start, the others are the reader's.
            Down::Open { .. } | Down::Loaded { .. } | Down::Saved { .. } | Down::Close {} => {}
        }
    }

    /// A question with one answer.
    fn one<F>(self: &Arc<Serving>, id: u64, work: impl FnOnce(Arc<Serving>) -> F + Send + 'static)
    where
        F: Future<Output = Result<Up, Error>> + Send + 'static,
    {
        let serving = Arc::clone(self);
        self.start(id, Arc::new(Semaphore::new(0)), async move {
            let answer = work(Arc::clone(&serving)).await;
            let answer = answer.unwrap_or_else(|error| Up::Failed { id, error });
            if !serving.outbox.send(&answer) {
                let error = Error::Failed("the answer is too large to be sent".into());
                serving.outbox.send(&Up::Failed { id, error });
            }
        });
    }

    fn start(
        self: &Arc<Serving>,
        id: u64,
        credit: Arc<Semaphore>,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let serving = Arc::clone(self);
        // Held until it is in the map: its end takes it out again.
        let mut live = self.live();
        let task = spawn(TaskKind::Log, "request", async move {
            work.await;
            serving.live().remove(&id);
        });
        live.insert(id, Live { task, credit });
    }

    async fn generate(
        self: &Arc<Serving>,
        id: u64,
        raw: bool,
        caller: Caller,
        request: Request,
        credit: &Semaphore,
    ) {
        let submitted = blocking(self, move |engine| match raw {
            true => engine.complete_as(&request, &caller),
            false => engine.submit_as(&request, &caller),
        });
        let mut generation = match submitted.await {
            Ok(generation) => generation,
            Err(error) => {
                self.outbox.send(&Up::Failed { id, error });
                return;
            }
        };
        self.outbox.send(&Up::Accepted { id, prompt_tokens: generation.prompt_tokens() });
        loop {
            let Ok(permit) = credit.acquire().await else { return };
            permit.forget();
            let Some(first) = generation.next().await else { break };
            let mut events = vec![first];
            // What is there already goes along.
            while events.len() < TOGETHER
                && let Ok(permit) = credit.try_acquire()
            {
                let Some(event) = at_once(&mut generation).await else { break };
                permit.forget();
                events.push(event);
            }
            if matches!(events.last(), Some(Event::Usage(_) | Event::Failed { .. })) {
                // Before the last event: who has read it finds the cells free.
                self.outbox.send(&Up::Board { board: self.look() });
            }
            let (busy_us, withheld) = (generation.busy_us(), generation.withheld());
            self.outbox.send(&Up::Events { id, busy_us, withheld, events });
        }
        self.outbox.send(&Up::End { id, busy_us: generation.busy_us() });
    }

    fn look(&self) -> Board {
        let engine = &self.engine;
        Board { stats: engine.stats(), health: engine.health(), tenants: engine.tenants() }
    }
}

/// The next event if it has come; the end comes again when it is waited for.
async fn at_once(generation: &mut Generation) -> Option<Event> {
    tokio::select! {
        biased;
        event = generation.next() => event,
        () = std::future::ready(()) => None,
    }
}

/// Renders and tokenizes where it holds up no other request's events.
async fn blocking<T: Send + 'static>(
    serving: &Arc<Serving>,
    work: impl FnOnce(&Engine) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let serving = Arc::clone(serving);
    let done = tokio::task::spawn_blocking(move || work(&serving.engine)).await;
    done.unwrap_or_else(|panic| Err(Error::Failed(format!("the prompt could not be prepared: {panic}"))))
}

/// Tells where the engine stands, as it changes.
async fn show(serving: Arc<Serving>) {
    let mut shown: Option<Board> = None;
    let mut looks = 0;
    let mut pause = tokio::time::interval(LOOK);
    loop {
        pause.tick().await;
        let board = serving.look();
        looks += 1;
        // A dead engine's thread never comes back: the server starts another process.
        let dead = board.health == Health::Dead;
        if dead {
            eprintln!("engine-process: the engine's thread ended");
            crate::launch::end_now();
        }
        if shown.as_ref() != Some(&board) || looks >= LOOKS {
            looks = 0;
            serving.outbox.send(&Up::Board { board: board.clone() });
            shown = Some(board);
        }
    }
}
