//! `plan`, `diff`, `apply`, `status`: what is declared, and what is in force.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use api::{Plan, PlanAction, Status};
use report::Report;

use super::show;
use crate::Failure;
use crate::args::{self, Declared};
use crate::client::Server;
use crate::failure;
use crate::table::{bytes, grouped};

pub(super) fn plan(server: &Server, args: &Declared, json: bool, whole: bool) -> Result<ExitCode, Failure> {
    let plan = post(server, "plan", args.prune, &args.files)?;
    show(json, &plan, |plan| render(plan, whole));
    Ok(ExitCode::from(if plan.changed { 2 } else { 0 }))
}

pub(super) fn apply(server: &Server, args: &Declared, json: bool) -> Result<(), Failure> {
    let plan = post(server, "apply", args.prune, &args.files)?;
    show(json, &plan, |plan| format!("{}\napplied as generation {}", render(plan, false), plan.generation));
    Ok(())
}

pub(super) fn status(server: &Server, args: &args::Status, json: bool) -> Result<ExitCode, Failure> {
    if args.files.is_empty() {
        let status: Status = server.get("/api/v1/status")?;
        show(json, &status, render_status);
        return Ok(ExitCode::SUCCESS);
    }
    let plan = post(server, "plan", false, &args.files)?;
    show(json, &plan, |plan| {
        let lines: Vec<String> = plan
            .steps
            .iter()
            .map(|step| {
                let state = match step.action {
                    PlanAction::Create => "absent",
                    PlanAction::Update => "differs",
                    PlanAction::Delete => "not declared",
                    PlanAction::Unchanged => "in force",
                };
                format!("{state:12}  {} {}", step.kind, step.name)
            })
            .collect();
        lines.join("\n")
    });
    Ok(ExitCode::from(u8::from(plan.changed)))
}

/// Sends the manifests; an error of the server then names the file, not the stream.
fn post(server: &Server, verb: &str, prune: bool, paths: &[PathBuf]) -> Result<Plan, Failure> {
    let path = format!("/api/v1/{verb}{}", if prune { "?prune=true" } else { "" });
    post_to(server, &path, paths).map(|(plan, _)| plan)
}

/// As [`post`], to any path; also says where the lines of the stream came from.
pub(super) fn post_to<T: serde::de::DeserializeOwned>(
    server: &Server,
    path: &str,
    paths: &[PathBuf],
) -> Result<(T, Stream), Failure> {
    let stream = Stream::read(paths)?;
    let answer = server
        .post_yaml(path, stream.text.clone())
        .map_err(|failure| failure.relocated(|at| stream.place(at)))?;
    Ok((answer, stream))
}

/// Many files as one stream of documents.
#[derive(Default)]
pub(crate) struct Stream {
    text: String,
    /// Where each document came from: its first line here, its file, its first line there.
    origins: Vec<(usize, String, usize)>,
}

impl Stream {
    /// Reads every file, and checks each on its own first. What the server adds are references.
    fn read(paths: &[PathBuf]) -> Result<Stream, Failure> {
        let mut stream = Stream::default();
        let mut reports = Vec::new();
        for path in files(paths)? {
            let (name, text) = if path == Path::new("-") {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(|e| failure::file("read", &path, &e))?;
                ("standard input".to_owned(), text)
            } else {
                let text = std::fs::read_to_string(&path).map_err(|e| failure::file("read", &path, &e))?;
                (path.display().to_string(), text)
            };
            if let Err(found) = stream.add(&name, &text) {
                reports.extend(found);
            }
        }
        if !reports.is_empty() {
            return Err(reports.into());
        }
        if stream.text.is_empty() {
            return Err(Report::new("CL0004", "there is no manifest in what -f names").into());
        }
        Ok(stream)
    }

    pub(crate) fn add(&mut self, name: &str, text: &str) -> Result<(), Vec<Report>> {
        for document in manifest::parse(text, name)? {
            self.text.push_str("---\n");
            let here = self.text.matches('\n').count() + 1;
            let before = text.find(&document.text).unwrap_or(0);
            let there = text[..before].matches('\n').count() + 1;
            self.origins.push((here, name.to_owned(), there));
            self.text.push_str(&document.text);
            self.text.push('\n');
        }
        Ok(())
    }

    /// `the request:19:3` as `models.yaml:7:3`; `None` for what is no line of the stream.
    pub(crate) fn place(&self, at: &str) -> Option<String> {
        let rest = at.strip_prefix("the request:")?;
        let (line, column) = rest.split_once(':').map_or((rest, None), |(line, column)| (line, Some(column)));
        let line: usize = line.parse().ok()?;
        let (here, file, there) = self.origins.iter().rev().find(|(here, ..)| *here <= line)?;
        let place = format!("{file}:{}", there + line - here);
        Some(column.map_or(place.clone(), |column| format!("{place}:{column}")))
    }
}

/// Folders are read with their sub-folders, in the order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        walk(path, 0, &mut files)?;
    }
    Ok(files)
}

fn walk(path: &Path, depth: u32, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > 16 {
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(|e| failure::file("read", path, &e))?;
    let mut entries: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    entries.sort();
    for entry in entries {
        let manifest = entry.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if manifest || entry.is_dir() {
            walk(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

/// One line per object, its changed fields below; `whole` also shows what stays.
pub(crate) fn render(plan: &Plan, whole: bool) -> String {
    let mut lines = Vec::new();
    let mut counts = [0usize; 4];
    for step in &plan.steps {
        let (sign, slot) = match step.action {
            PlanAction::Create => ('+', 0),
            PlanAction::Update => ('~', 1),
            PlanAction::Delete => ('-', 2),
            PlanAction::Unchanged => ('=', 3),
        };
        counts[slot] += 1;
        if slot == 3 && !whole {
            continue;
        }
        lines.push(format!("{sign} {} {}", step.kind, step.name));
        for change in &step.changes {
            let path = change.path.strip_prefix("spec.").unwrap_or(&change.path);
            lines.push(match (&change.from, &change.to) {
                (Some(from), Some(to)) => format!("    {path}: {from} -> {to}"),
                (None, Some(to)) => format!("    {path}: {to}"),
                (Some(from), None) => format!("    {path}: {from} -> (removed)"),
                (None, None) => continue,
            });
        }
    }
    let [create, update, delete, unchanged] = counts;
    lines.push(format!("{create} to create, {update} to update, {delete} to delete, {unchanged} unchanged"));
    lines.join("\n")
}

fn render_status(status: &Status) -> String {
    let mut text = format!(
        "{} (version {}, up {} s, generation {})\n\
         roles      {}\n\
         store      {}\n\
         declared   models {}, providers {}, teams {}, live keys {}\n\
         requests   {} so far, {} now\n\
         today      {} USD\n\
         memory     {}\n",
        status.state,
        status.version,
        status.uptime_seconds,
        status.generation,
        status.roles.join(" "),
        status.store,
        status.models,
        status.providers,
        status.teams,
        status.live_keys,
        grouped(status.requests_total),
        status.requests_in_flight,
        status.spent_today_usd,
        bytes(status.rss_bytes),
    );
    if let Some(engine) = &status.engine {
        text.push_str(&format!(
            "engine     {}, {} threads, {} tokens of context, {} in memory, {} running, {} waiting\n",
            engine.model,
            engine.threads,
            engine.context_tokens,
            bytes(engine.memory_bytes),
            engine.running,
            engine.waiting
        ));
    }
    text
}
