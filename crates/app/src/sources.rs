//! Declared sources of collections, opened with their keys; and the task that reads them in time.

use std::sync::Arc;
use std::time::Duration;

use context::source::Source;
use control::Plane;
use manifest::KeyFrom;
use report::Report;
use runtime::{Shutdown, TaskKind};

/// How often it is looked for sources whose time has come: the shortest interval is a minute.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Opens a source. Each kind has its edge; what they need of the host is found here.
pub fn open(
    store: &dyn store::Store,
    collection: &str,
    source: &manifest::Source,
) -> Result<Box<dyn Source>, Report> {
    let hint = || format!("`bedplate collection set-key {collection} --source {}`", source.name);
    let key = source.key.as_ref().map(|key| secret(store, key).map_err(|why| undeclared(why).hint(hint())));
    let key = key.transpose()?;
    sources::open(&source.name, &source.kind, key.as_deref(), &source.timeouts)
}

fn undeclared(why: String) -> Report {
    Report::new("CX0014", "the source cannot be asked as it is declared").because(why)
}

fn secret(store: &dyn store::Store, key: &KeyFrom) -> Result<String, String> {
    match key {
        KeyFrom::Environment(variable) => cli::environment(variable)
            .ok_or_else(|| format!("its key should be in ${variable}, which is not set")),
        KeyFrom::Store(name) => {
            let bytes = store.secret(name).map_err(|e| e.to_string())?;
            let bytes = bytes.ok_or_else(|| format!("its key should be in the store as \"{name}\""))?;
            String::from_utf8(bytes).map_err(|_| "its stored key is not text".to_owned())
        }
    }
}

/// Reads sources when their time has come, until the drain.
pub fn watch(plane: Arc<Plane>, shutdown: Shutdown) {
    runtime::spawn(TaskKind::Log, "collection.sources", async move {
        while !shutdown.is_draining() {
            let looking = Arc::clone(&plane);
            let looked = tokio::task::spawn_blocking(move || looking.sync_due(runtime::clock::now()));
            if let Ok(Err(why)) = looked.await {
                observe::warn!("sources.not_looked_at", code = why.code.0, why = why.sentence().as_str());
            }
            tokio::select! {
                () = shutdown.draining() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    });
}
