//! `audit witness`: cosigns a log's checkpoint after checking that it continues
//! what this witness saw before. Run it from another machine, every few minutes:
//! whoever rewrites the log then has to have rewritten it before the last run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::audit::tile::{Path as TilePath, TileNodes, Tiles};
use ::audit::{Checkpoint, Error, Hash, Kind, Note, Signer, Verifier, cosign, open, proof};
use api::{AddCosignature, AuditCheckpoint, AuditKey};
use report::Report;
use serde::{Deserialize, Serialize};

use super::{public_key, unwritten};
use crate::Failure;
use crate::args::{AuditWitness, Global};
use crate::client::Server;
use crate::commands::show;
use crate::table::grouped;

/// What this witness has cosigned: the last checkpoint of each log.
#[derive(Default, Serialize, Deserialize)]
struct Seen {
    logs: BTreeMap<String, SeenLog>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SeenLog {
    key: String,
    note: String,
}

/// What it did.
#[derive(Serialize)]
struct Witnessed {
    witness: String,
    /// The witness's public key, for those who verify receipts.
    key: String,
    origin: String,
    size: u64,
    /// What it had seen before; absent the first time.
    seen_before: Option<u64>,
}

pub(super) fn run(global: &Global, args: &AuditWitness) -> Result<(), Failure> {
    let server = Server::new(&Global { url: args.server.clone(), ..global.clone() })?;
    let signer = key_file(&args.key, &args.name)?;
    let seen_path = beside(&args.key, ".seen");
    let mut seen = read_seen(&seen_path)?;

    let text = server.text("/audit/checkpoint")?;
    let note = Note::parse(&text).map_err(|e| e.report())?;
    let origin = note.text.lines().next().unwrap_or_default().to_owned();
    let known = seen.logs.get(&origin).cloned();
    let key = log_key(&server, args, known.as_ref())?;
    let (checkpoint, _) = open(&note, &key, &[]).map_err(|e| e.report())?;
    let before = match &known {
        None => None,
        Some(known) => {
            let old = Note::parse(&known.note).map_err(|e| e.report())?;
            let (old, _) = open(&old, &key, &[]).map_err(|e| e.report())?;
            if let Err(why) = continues(&server, &old, &checkpoint)? {
                return Err(split(&args.key, &why, &known.note, &text));
            }
            Some(old.size)
        }
    };
    // Remembered before it is said: a witness that forgets would sign both views.
    let log = SeenLog { key: key.to_string(), note: text };
    seen.logs.insert(origin.clone(), log);
    write_seen(&seen_path, &seen)?;
    let time_s = runtime::clock::now().seconds().max(0) as u64;
    let add = AddCosignature {
        size: checkpoint.size,
        key: signer.verifier().to_string(),
        signature: cosign(&note, &signer, time_s).to_string(),
    };
    let _: AuditCheckpoint = server.post("/api/v1/audit/cosignatures", &add)?;
    let done = Witnessed {
        witness: signer.verifier().name().to_owned(),
        key: signer.verifier().to_string(),
        origin,
        size: checkpoint.size,
        seen_before: before,
    };
    show(global.json, &done, |d| {
        let since = match d.seen_before {
            None => "seen for the first time".to_owned(),
            Some(size) => format!("continues the {} leaves seen before", grouped(size)),
        };
        format!("cosigned {} leaves of {}: {since}\n  key  {}", grouped(d.size), d.origin, d.key)
    });
    Ok(())
}

/// The key given, the one known from before (which must be the same), or at the
/// first time the one that the server names.
fn log_key(server: &Server, args: &AuditWitness, known: Option<&SeenLog>) -> Result<Verifier, Failure> {
    let known = known.map(|k| public_key(&k.key)).transpose()?;
    let given = args.log_key.as_deref().map(public_key).transpose()?;
    match (given, known) {
        (Some(given), Some(known)) if given != known => {
            Err(Report::new("AU0002", "the log's key is not the one that this witness knows")
                .because(format!("it knows {known}"))
                .into())
        }
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => {
            let key: AuditKey = server.get("/api/v1/audit/key")?;
            eprintln!("trusting the key that the server names, this first time: {}", key.key);
            public_key(&key.key)
        }
    }
}

/// Whether the new checkpoint contains the old one; if not, why.
fn continues(server: &Server, old: &Checkpoint, new: &Checkpoint) -> Result<Result<(), String>, Failure> {
    if new.size < old.size {
        return Ok(Err(format!("it had {} leaves and now has {}", old.size, new.size)));
    }
    let tiles = Remote { server, failed: RefCell::default() };
    let nodes = TileNodes::new(&tiles, new.size);
    let proof = proof::consistency(&nodes, old.size, new.size);
    if let Some(failure) = tiles.failed.take() {
        return Err(failure);
    }
    let proof = proof.map_err(|e| e.report())?;
    let verified = proof::verify_consistency(old.size, &old.root, new.size, &new.root, &proof);
    Ok(verified
        .map_err(|_| format!("its first {} leaves are no longer the ones that it signed before", old.size)))
}

/// Both views, kept: each is signed by the log, so together they convict it.
fn split(key: &Path, why: &str, old: &str, new: &str) -> Failure {
    let mut report = Report::new("AU0004", format!("the log shows two views: {why}"))
        .hint("keep both checkpoints; nothing was cosigned");
    let path = beside(key, ".split");
    match write_private(&path, format!("{old}\n\n{new}").as_bytes()) {
        Ok(()) => report = report.at(path.display().to_string()),
        Err(error) => report = report.because(format!("{}: {error}", path.display())),
    }
    report.into()
}

/// The tiles of a server. What went wrong on the way is kept apart from damage.
struct Remote<'a> {
    server: &'a Server,
    failed: RefCell<Option<Failure>>,
}

impl Tiles for &Remote<'_> {
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, Error> {
        let path = TilePath::Hashes { level, index, width };
        match self.server.bytes(&format!("/audit/tile/{path}")) {
            Ok(bytes) => Hash::split(&bytes).ok_or_else(|| Error::Damaged(format!("tile {path} is cut"))),
            Err(failure) => {
                *self.failed.borrow_mut() = Some(failure);
                Err(Error::Damaged(format!("tile {path} was not answered")))
            }
        }
    }
}

/// The witness's private key, made at its first use.
fn key_file(path: &Path, name: &str) -> Result<Signer, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let signer = Signer::parse(&text).map_err(|e| e.report().at(path.display().to_string()))?;
            if signer.verifier().kind() != Kind::Witness {
                return Err(Report::new("AU0003", "the key is a log's, not a witness's").into());
            }
            Ok(signer)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let signer =
                Signer::new(name, Kind::Witness, runtime::random::bytes()).map_err(|e| e.report())?;
            write_private(path, signer.secret_text().as_bytes()).map_err(|e| unwritten(path, &e))?;
            eprintln!("made {}: keep it on this machine only", path.display());
            Ok(signer)
        }
        Err(error) => Err(Report::new("CL0004", format!("{} cannot be read", path.display()))
            .because(error.to_string())
            .into()),
    }
}

fn read_seen(path: &Path) -> Result<Seen, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
            let what = format!("{} does not say what this witness has seen", path.display());
            Report::new("AU0003", what)
                .because(e.to_string())
                .hint("restore it: without it this witness cannot notice a rewritten past")
                .into()
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Seen::default()),
        Err(error) => Err(Report::new("CL0004", format!("{} cannot be read", path.display()))
            .because(error.to_string())
            .into()),
    }
}

fn write_seen(path: &Path, seen: &Seen) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(seen)
        .map_err(|e| Report::new("CL0004", "what was seen cannot be written").because(e.to_string()))?;
    write_private(path, &bytes).map_err(|e| unwritten(path, &e))
}

/// Whole or not at all, and durable: what a witness remembers is its word.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = beside(path, ".new");
    let _ = std::fs::remove_file(&new);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::File::open(parent)?.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
