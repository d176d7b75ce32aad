//! `memory`: what you said before, and what is known from it. Yours alone.

use std::io::Write;

use api::{Conversation, ForgetMemory, Forgotten, List, RememberedFact, RememberedTurn, SearchMemory};
use report::Report;

use super::show;
use crate::client::{Server, encode};
use crate::table::{grouped, short_time, table};
use crate::{Failure, args};

/// Turns of a page of an export.
const PAGE: usize = 1_000;

pub(super) fn run(server: &Server, command: args::Memory, json: bool) -> Result<(), Failure> {
    match command {
        args::Memory::List { limit } => {
            let all: List<Conversation> = server.get(&format!("/api/v1/memory?limit={limit}"))?;
            show(json, &all, |all| conversation_table(&all.data));
        }
        args::Memory::Search { query, conversation, limit } => {
            let asked = SearchMemory { query, conversation, limit: Some(limit) };
            let found: List<RememberedTurn> = server.post("/api/v1/memory/search", &asked)?;
            show(json, &found, |found| turns_text(&found.data));
        }
        args::Memory::Facts { valid, known } => {
            let mut path = "/api/v1/memory/facts?limit=1000".to_owned();
            for (name, time) in [("valid", valid), ("known", known)] {
                if let Some(time) = time {
                    path.push_str(&format!("&{name}={}", encode(&time)));
                }
            }
            let facts: List<RememberedFact> = server.get(&path)?;
            show(json, &facts, |facts| fact_table(&facts.data));
        }
        args::Memory::Audit => {
            let facts: List<RememberedFact> = server.get("/api/v1/memory/audit?limit=1000")?;
            show(json, &facts, |facts| audit_text(&facts.data));
        }
        args::Memory::Forget(args) => forget(server, args, json)?,
        args::Memory::Export => export(server)?,
    }
    Ok(())
}

fn forget(server: &Server, args: args::MemoryForget, json: bool) -> Result<(), Failure> {
    if args.conversation.is_none() && !args.everything {
        return Err(Report::new("CL0010", "what to forget is not said")
            .hint("name a conversation (`bedplate memory list` shows them), or write `--everything`")
            .into());
    }
    let wanted = ForgetMemory { conversation: args.conversation, everything: args.everything };
    let gone: Forgotten = server.post("/api/v1/memory/forget", &wanted)?;
    show(json, &gone, |gone| {
        format!(
            "forgotten: {} turns, {} facts, and {} cached answers that rested on them",
            grouped(gone.turns),
            grouped(gone.facts),
            grouped(gone.answers)
        )
    });
    Ok(())
}

/// JSON lines already, whatever `--json` says: a turn each, then a fact each.
fn export(server: &Server) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let page = server.text(&format!("/api/v1/memory/export?limit={PAGE}{after}"))?;
        print!("{page}");
        let mut turns = 0;
        for line in page.lines() {
            let value: serde_json::Value =
                serde_json::from_str(line).map_err(|e| server.unreadable(&e.to_string()))?;
            if let Some(id) = value["turn"]["id"].as_str() {
                turns += 1;
                after = format!("&after={}", encode(id));
            }
        }
        if turns < PAGE {
            // Whoever reads from a pipe has all of it before the process ends.
            let _ = std::io::stdout().flush();
            return Ok(());
        }
    }
}

fn conversation_table(all: &[Conversation]) -> String {
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|c| vec![c.name.clone(), grouped(c.turns), short_time(&c.began), short_time(&c.last)])
        .collect();
    table(&["CONVERSATION", ">TURNS", "BEGAN", "LAST"], &rows)
}

fn turns_text(turns: &[RememberedTurn]) -> String {
    let mut text = String::new();
    for turn in turns {
        text.push_str(&format!(
            "{} {}, {} ({})\n",
            short_time(&turn.at),
            turn.speaker,
            turn.conversation,
            turn.id
        ));
        turn.text.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    if turns.is_empty() {
        text.push_str("nothing that you said has these words\n");
    }
    text
}

fn fact_table(facts: &[RememberedFact]) -> String {
    let rows: Vec<Vec<String>> = facts
        .iter()
        .map(|f| {
            vec![
                f.about.clone(),
                f.relation.clone(),
                f.value.clone(),
                short_time(&f.valid_from),
                f.conversation.clone(),
            ]
        })
        .collect();
    table(&["ABOUT", "RELATION", "VALUE", "SINCE", "CONVERSATION"], &rows)
}

fn audit_text(facts: &[RememberedFact]) -> String {
    let mut text = String::new();
    for f in facts {
        let until = match (&f.replaced, &f.valid_to) {
            (Some(by), _) => format!("until {}, when {} took its place", short_time(&by.at), by.by),
            (None, Some(to)) => format!("until {}", short_time(to)),
            (None, None) => "it holds".into(),
        };
        text.push_str(&format!(
            "{} {} {}\n    fact {}, from {}, {until}; recorded {}\n    said in {}, turn {}, bytes {} to {}: {}\n",
            f.about,
            f.relation,
            f.value,
            f.id,
            short_time(&f.valid_from),
            short_time(&f.recorded),
            f.conversation,
            f.turn,
            f.start,
            f.end,
            f.said.as_deref().unwrap_or_default()
        ));
    }
    if facts.is_empty() {
        text.push_str("no facts; ask with `learn` to have them kept\n");
    }
    text
}
