//! `collection watch`: keeps a collection as a folder is.
//!
//! It looks again and again. That misses nothing on any file system, network shares
//! included, and costs a `stat` for each file; what the kernel tells of changes is lost
//! when its queue is full. A file is sent when two looks see it alike, so that one that is
//! being written is not sent in half.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use api::DocumentChange;
use context::parse::{Declared, Limits, format};
use report::Report;
use serde_json::json;

use super::{Found, Target, documents, find, path_of, put, refused_with, sentence, sha256};
use crate::client::{Server, encode};
use crate::duration::seconds;
use crate::{Failure, args};

/// What a file looks like from outside.
type Look = (u64, Option<SystemTime>);

/// A document as the collection has it.
struct Known {
    id: String,
    hash: String,
    batch: String,
}

struct Watch<'w> {
    server: &'w Server,
    args: &'w args::CollectionWatch,
    target: Target,
    json: bool,
    /// What was seen at the last look, by source.
    seen: BTreeMap<String, Look>,
    /// What has been dealt with: sent, refused or left out.
    done: BTreeMap<String, Look>,
    /// Documents of the collection, by source.
    known: BTreeMap<String, Known>,
    failed: bool,
}

pub(super) fn run(server: &Server, args: &args::CollectionWatch, json: bool) -> Result<ExitCode, Failure> {
    let interval = Duration::from_secs(seconds("--interval", &args.interval)?);
    if !args.folder.is_dir() {
        return Err(Report::new("CL0010", format!("{} is no folder", args.folder.display()))
            .hint("`bedplate collection ingest` puts single files")
            .into());
    }
    let target = Target {
        name: args.name.clone(),
        acl: args.acl.clone(),
        labels: args.labels.clone(),
        prefix: args.prefix.clone(),
    };
    let known = documents(server, &args.name)?.into_iter();
    let known = known.map(|d| (d.source, Known { id: d.id, hash: d.hash, batch: d.batch })).collect();
    let mut watch = Watch {
        server,
        args,
        target,
        json,
        seen: BTreeMap::new(),
        done: BTreeMap::new(),
        known,
        failed: false,
    };
    if args.once {
        watch.look(true)?;
        return Ok(if watch.failed { ExitCode::from(1) } else { ExitCode::SUCCESS });
    }
    let shutdown = server.on_signals()?;
    let mut first = true;
    while !shutdown.is_draining() {
        match watch.look(first) {
            Ok(()) => {}
            // The server is away for a while, or a folder is: the next look finds out.
            Err(why) if !first => watch.say("waiting", "", &sentence(&why)),
            Err(why) => return Err(why),
        }
        first = false;
        server.pause_until(&shutdown, interval);
    }
    watch.say("stopped", "", "");
    Ok(ExitCode::SUCCESS)
}

impl Watch<'_> {
    /// One look. At the first one, files are taken as they are.
    fn look(&mut self, first: bool) -> Result<(), Failure> {
        let files = find(&self.target, std::slice::from_ref(&self.args.folder))?;
        let files: Vec<Found> = files.into_iter().filter(|f| !is_temporary(&f.file)).collect();
        let mut seen = BTreeMap::new();
        for item in &files {
            // It may be gone since it was listed.
            let Ok(meta) = std::fs::metadata(&item.file) else { continue };
            let look = (meta.len(), meta.modified().ok());
            seen.insert(item.source.clone(), look);
            let still = first || self.seen.get(&item.source) == Some(&look);
            if still && self.done.get(&item.source) != Some(&look) {
                self.send(item, look)?;
            }
        }
        if !self.args.keep_removed {
            self.remove(&seen, first)?;
        }
        self.seen = seen;
        Ok(())
    }

    fn send(&mut self, item: &Found, look: Look) -> Result<(), Failure> {
        let max = Limits::default().bytes as u64;
        let refused = if look.0 > max {
            Some(format!("it has {} bytes; {max} are read at most", look.0))
        } else {
            None
        };
        let content = match refused {
            Some(_) => Vec::new(),
            // Gone or not to be read: the next look sees.
            None => match std::fs::read(&item.file) {
                Ok(content) => content,
                Err(_) => return Ok(()),
            },
        };
        let refused = refused.or_else(|| {
            let declared = Declared { media_type: None, name: Some(&item.source) };
            format(declared, &content).err().map(|why| why.to_string())
        });
        if let Some(why) = refused {
            self.done.insert(item.source.clone(), look);
            self.say("left out", &item.source, &why);
            return Ok(());
        }
        let hash = sha256(&content);
        let regrades = !self.args.acl.is_empty() || self.args.labels.is_some();
        if !regrades && self.known.get(&item.source).is_some_and(|known| known.hash == hash) {
            self.done.insert(item.source.clone(), look);
            return Ok(());
        }
        match put(self.server, &self.target, item, content) {
            Ok(change) => {
                if change.change != "unchanged" {
                    self.changed(&change);
                }
                self.keep(item, &change, hash);
            }
            Err(why) if refused_with(&why, &["CX", "GW0004", "ST0011"]) => {
                self.failed = true;
                self.say("failed", &item.source, &sentence(&why));
            }
            Err(why) => return Err(why),
        }
        self.done.insert(item.source.clone(), look);
        Ok(())
    }

    fn keep(&mut self, item: &Found, change: &DocumentChange, hash: String) {
        let known = Known { id: change.id.clone(), hash, batch: item.batch.clone() };
        self.known.insert(item.source.clone(), known);
    }

    /// Removes what this folder brought in and has no more, if two looks missed it. An
    /// empty folder is more often one that is not mounted than one that was emptied.
    fn remove(&mut self, seen: &BTreeMap<String, Look>, first: bool) -> Result<(), Failure> {
        let batch = super::batch_of(&self.args.folder);
        let gone = |source: &String, known: &Known| {
            known.batch == batch && source.starts_with(&self.target.prefix) && !seen.contains_key(source)
        };
        let gone = self.known.iter().filter(|(source, known)| gone(source, known));
        let gone: Vec<(String, String)> =
            gone.map(|(source, known)| (source.clone(), known.id.clone())).collect();
        if gone.is_empty() {
            return Ok(());
        }
        if seen.is_empty() {
            if first || !self.seen.is_empty() {
                self.say("waiting", "", "the folder is empty: nothing is removed");
            }
            return Ok(());
        }
        for (source, id) in gone {
            if self.seen.contains_key(&source) && !first {
                continue;
            }
            let path = format!("{}/documents/{}", path_of(&self.args.name), encode(&id));
            match self.server.delete::<DocumentChange>(&path) {
                Ok(change) => self.changed(&change),
                // Somebody else was quicker.
                Err(why) if refused_with(&why, &["CT0003"]) => {}
                Err(why) => return Err(why),
            }
            self.known.remove(&source);
            self.done.remove(&source);
        }
        Ok(())
    }

    fn changed(&self, change: &DocumentChange) {
        if self.json {
            return line(&json!(change).to_string());
        }
        let gone = match change.answers_invalidated {
            0 => String::new(),
            answers => format!("; {}", super::cached(answers)),
        };
        line(&format!(
            "{} {} (version {}, {} parts{gone})",
            change.change, change.source, change.version, change.chunks
        ));
        change.notes.iter().for_each(|note| line(&format!("note {}: {note}", change.source)));
    }

    fn say(&self, what: &str, source: &str, why: &str) {
        if self.json {
            return line(&json!({ "change": what, "source": source, "because": why }).to_string());
        }
        let words: Vec<&str> = [what, source].into_iter().filter(|word| !word.is_empty()).collect();
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        line(&format!("{}{why}", words.join(" ")));
    }
}

/// At once, also into a pipe; whoever listened may be gone.
fn line(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// What editors, office programs and downloads leave while they work.
fn is_temporary(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    name.ends_with('~')
        || name.starts_with("~$")
        || name.starts_with('#')
        || matches!(
            ending.as_str(),
            "tmp" | "temp" | "part" | "partial" | "crdownload" | "swp" | "swx" | "lock"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_leave_while_they_work_is_not_watched() {
        for name in ["a.md~", "~$plan.docx", "#a.md#", "b.pdf.part", "c.TMP", ".x/d.swp"] {
            assert!(is_temporary(Path::new(name)), "{name}");
        }
        for name in ["a.md", "tmp", "party.pdf", "locksmith.txt"] {
            assert!(!is_temporary(Path::new(name)), "{name}");
        }
    }
}
