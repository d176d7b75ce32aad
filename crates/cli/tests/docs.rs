//! Every `bedplate` command of the documents exists, with the flags shown.

use std::path::{Path, PathBuf};

#[test]
fn every_command_in_the_documents_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository").to_owned();
    let mut documents = Vec::new();
    for folder in ["docs", "models", "examples", "crates"] {
        markdown(&root.join(folder), &mut documents);
    }
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"] {
        documents.push(root.join(name));
    }
    let tree = cli::tree();
    let mut wrong = Vec::new();
    for document in documents {
        let Ok(text) = std::fs::read_to_string(&document) else { continue };
        for (line, words) in commands(&text) {
            if let Err(why) = exists(&tree, &words) {
                let place = document.strip_prefix(&root).unwrap_or(&document).display().to_string();
                wrong.push(format!("{place}:{line}: `bedplate {}`: {why}", words.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        if path.is_dir() {
            // What a model is trained on also says what does not exist.
            if !path.ends_with("corpus") && !path.ends_with("target") {
                markdown(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
}

/// Lines of fenced blocks that begin with `bedplate` (or `$ bedplate`), and
/// inline code that does; not below a heading that says "not there yet".
fn commands(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut fenced = false;
    let mut later = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) {
            let heading = heading.to_ascii_lowercase();
            later = ["not there yet", "not yet", "later"].iter().any(|words| heading.contains(words));
        }
        if later {
            continue;
        }
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let pieces: Vec<&str> = if fenced {
            vec![line.trim().trim_start_matches("$ ")]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        for piece in pieces {
            let piece = piece.split(" # ").next().unwrap_or(piece);
            if let Some(rest) = piece.strip_prefix("bedplate ") {
                let end = rest.find(['|', '>', '<', ';', '&', '#']).unwrap_or(rest.len());
                // `<placeholder>` ends the part that can be checked.
                found.push((index + 1, rest[..end].split_whitespace().map(str::to_owned).collect()));
            }
        }
    }
    found
}

fn exists(tree: &clap::Command, words: &[String]) -> Result<(), String> {
    let mut here = tree.clone();
    here.build();
    let mut words = words.iter().peekable();
    while let Some(word) = words.peek() {
        match here.find_subcommand(word.as_str()) {
            Some(next) => here = next.clone(),
            None => break,
        }
        words.next();
    }
    if here.has_subcommands() {
        match words.peek() {
            Some(word) if !word.starts_with(['-', '.']) && !word.contains('|') => {
                return Err(format!("`{}` has no `{word}`", here.get_name()));
            }
            _ => {}
        }
    }
    for word in words {
        let Some(flag) = word.strip_prefix("--") else { continue };
        let flag = flag.split('=').next().unwrap_or(flag).trim_end_matches([',', '.', ']', ')', '"']);
        if flag.is_empty() || flag == "help" || flag == "version" {
            continue;
        }
        let known = here.get_arguments().any(|a| a.get_long() == Some(flag));
        if !known {
            return Err(format!("`{}` has no --{flag}", here.get_name()));
        }
    }
    Ok(())
}
