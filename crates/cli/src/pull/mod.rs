//! `model pull`: a model file from a hub into the data directory.
//!
//! The order is what makes it safe to interrupt and to distrust: ask the hub
//! for size and digest, check the room, append to `<name>.part` (a `Range`
//! guarded by `If-Range` resumes it), compare the SHA-256, check the GGUF
//! header (TRAPS X7), and only then rename into place. Whatever has the final
//! name was complete, was what the hub announced, and can be loaded.

mod hub;
mod part;
mod reference;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use net::client::{Config, Reach};
use report::Report;
use serde::Serialize;

use crate::args::Pull;
use crate::client::runtime;
use crate::commands::header;
use crate::table::bytes;
use crate::{Failure, Progress, data_dir, environment, failure};
use hub::Hub;
use part::Part;
use reference::Reference;

/// Left free on the disk for the store: a full disk refuses requests.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// A model in its place.
#[derive(Debug, Serialize)]
pub(crate) struct Pulled {
    /// As a manifest's `local.file` names it.
    pub file: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: String,
    /// The hub announced a digest and it matched.
    pub verified: bool,
    pub architecture: String,
    /// Bytes that an earlier run had fetched.
    pub resumed_bytes: u64,
    /// It was there already.
    pub already: bool,
}

impl Pulled {
    pub fn render(&self) -> String {
        format!(
            "{}{}\n  {}, {}, sha256 {}{}\n\nto serve it:\n\
             apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: my-model }}\nspec:\n  targets:\n    - local: {{ file: {} }}\n",
            if self.already { "already there: " } else { "" },
            self.path.display(),
            bytes(self.bytes),
            self.architecture,
            self.sha256,
            if self.verified { "" } else { " (the hub announced none to compare with)" },
            self.file
        )
    }
}

pub(crate) fn run(args: &Pull) -> Result<Pulled, Failure> {
    let reference: Reference = args.reference.parse()?;
    let hub = Hub {
        base: environment("BEDPLATE_HUB").unwrap_or_else(|| "https://huggingface.co".to_owned()),
        // Somebody who names a mirror may name one of their own network; the default hub is public.
        reach: if environment("BEDPLATE_HUB").is_some() { Reach::Private } else { Reach::Public },
        token: environment("HF_TOKEN"),
    };
    let folder = data_dir(args.data.clone())?.join("models");
    runtime()?.block_on(pull(
        &hub,
        &reference,
        &folder,
        args.quota_gb.map(|gb| gb.saturating_mul(1_000_000_000)),
    ))
}

pub(crate) async fn pull(
    hub: &Hub,
    reference: &Reference,
    folder: &Path,
    quota_bytes: Option<u64>,
) -> Result<Pulled, Failure> {
    let client = net::Client::new(Config::default());
    let announced = hub.announced(&client, reference).await?;
    let path = folder.join(reference.path());
    let file = reference.path().display().to_string();
    if let Ok(meta) = path.metadata()
        && announced.bytes == Some(meta.len())
    {
        let sha256 = part::digest(&path).map_err(|e| failure::file("read", &path, &e))?;
        if announced.sha256.as_deref().is_none_or(|want| want == sha256) {
            let header = accept(&path)?;
            let verified = announced.sha256.is_some();
            return Ok(Pulled {
                file,
                path,
                bytes: meta.len(),
                sha256,
                verified,
                architecture: header.arch().to_owned(),
                resumed_bytes: 0,
                already: true,
            });
        }
    }
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(|e| failure::file("create", parent, &e))?;
    let mut part =
        Part::open(&path, announced.etag.as_deref()).map_err(|e| failure::file("write", &path, &e))?;
    let resumed_bytes = part.len();
    room(folder, announced.bytes, part.len(), quota_bytes)?;
    fetch(&client, hub, reference, &announced, &mut part).await?;
    let (sha256, bytes) = part.finish().map_err(|e| failure::file("write", &path, &e))?;
    let part_path = part.path().to_owned();
    let wrong_length = announced.bytes.is_some_and(|want| want != bytes);
    let wrong_digest = announced.sha256.as_deref().is_some_and(|want| want != sha256);
    if wrong_length || wrong_digest {
        part.discard();
        let want = announced.sha256.as_deref().unwrap_or("-");
        return Err(Report::new("CL0005", format!("{file} is not what the hub announced"))
            .because(format!(
                "announced {} bytes with sha256 {want}, received {bytes} with {sha256}",
                announced.bytes.map_or("?".to_owned(), |b| b.to_string())
            ))
            .hint("what was received is deleted; run the same command again")
            .into());
    }
    let header = match accept(&part_path) {
        Ok(header) => header,
        Err(failure) => {
            part.discard();
            return Err(failure);
        }
    };
    part.rename(&path).map_err(|e| failure::file("write", &path, &e))?;
    Ok(Pulled {
        file,
        path,
        bytes,
        sha256,
        verified: announced.sha256.is_some(),
        architecture: header.arch().to_owned(),
        resumed_bytes: if part.was_restarted() { 0 } else { resumed_bytes },
        already: false,
    })
}

/// Our own check of the header, before any loader sees the file.
fn accept(path: &Path) -> Result<gguf::Header, Failure> {
    let refused = |why: String| {
        Failure::from(
            Report::new("CL0009", "the file is not a model that may be loaded")
                .at(path.display().to_string())
                .because(why)
                .hint("it was not accepted; does the reference name a .gguf file?"),
        )
    };
    let header = header(path).map_err(refused)?;
    gguf::check_model(&header).map_err(|e| refused(e.to_string()))?;
    Ok(header)
}

/// The disk and the quota must hold what is still to come.
fn room(folder: &Path, total: Option<u64>, have: u64, quota_bytes: Option<u64>) -> Result<(), Failure> {
    let Some(total) = total else { return Ok(()) };
    let to_come = total.saturating_sub(have);
    let no_room = |what: String, because: String| {
        Failure::from(Report::new("CL0006", what).at(folder.display().to_string()).because(because))
    };
    if let Some(quota) = quota_bytes {
        let used = used_bytes(folder, 0);
        if used.saturating_add(to_come) > quota {
            return Err(no_room(
                format!("the quota of {} does not hold {} more", bytes(quota), bytes(to_come)),
                format!("models take {} already", bytes(used)),
            ));
        }
    }
    if let Ok(disk) = rustix::fs::statvfs(folder) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < to_come.saturating_add(FREE_BYTES_MIN) {
            return Err(no_room(
                format!("the disk does not hold {} more", bytes(to_come)),
                format!(
                    "{} are free, of which {} stay free for the store",
                    bytes(free),
                    bytes(FREE_BYTES_MIN)
                ),
            ));
        }
    }
    Ok(())
}

fn used_bytes(folder: &Path, depth: u32) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() && depth < 8 => used_bytes(&entry.path(), depth + 1),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .fold(0, u64::saturating_add)
}

/// Attempts that may fail before the download is given up; each resumes.
const ATTEMPTS_MAX: u32 = 5;

async fn fetch(
    client: &net::Client,
    hub: &Hub,
    reference: &Reference,
    announced: &hub::Announced,
    part: &mut Part,
) -> Result<(), Failure> {
    let mut progress = Progress::bytes(reference.file.clone(), part.len(), announced.bytes);
    let mut failed = 0;
    loop {
        if announced.bytes.is_some_and(|total| part.len() == total) && part.len() > 0 {
            return Ok(());
        }
        let before = part.len();
        match hub.fetch(client, reference, announced, part, &mut progress).await {
            Ok(()) => return Ok(()),
            // A connection that broke: go on where it stopped, as long as something arrived.
            Err(hub::Broken::Connection(failure)) => {
                failed = if part.len() > before { 0 } else { failed + 1 };
                if failed >= ATTEMPTS_MAX {
                    return Err(failure);
                }
            }
            Err(hub::Broken::Final(failure)) => return Err(failure),
        }
    }
}
