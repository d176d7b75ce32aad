//! `cargo xtask train injection`: the weights of the injection sensor.
//!
//! Texts are generated from templates under a fixed seed, so that the file that
//! is built in can be made again byte for byte: `--check` says whether it is.

mod corpus;
mod grammar;
mod learn;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use corpus::{ATTACKS, BENIGN, Corpus, Part};

#[derive(Parser)]
#[command(name = "trainer")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train the injection sensor and write its weights.
    Injection {
        /// Compare with the weights that are there instead of writing them.
        #[arg(long)]
        check: bool,
        /// Leave a family of attacks out of the training, and say how much of it is found.
        #[arg(long, value_name = "FAMILY")]
        without: Option<String>,
        /// Each family left out in turn: the table of `docs/benchmarks.md`.
        #[arg(long)]
        leave_one_out: bool,
    },
}

fn main() -> Result<()> {
    let Command::Injection { check, without, leave_one_out } = Arguments::parse().command;
    if leave_one_out {
        for (family, _) in ATTACKS {
            report(family)?;
        }
        return Ok(());
    }
    if let Some(family) = without {
        if !ATTACKS.iter().any(|(name, _)| *name == family) {
            bail!("there is no family {family}; there are: {}", ATTACKS.map(|(name, _)| name).join(", "));
        }
        return report(&family);
    }
    let bytes = learn::train(None)?.write();
    let file = weights();
    if check {
        let there = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        if there != bytes {
            bail!("{} is not what the training makes; run `cargo xtask train injection`", file.display());
        }
        println!("{}: {} bytes, as trained", file.display(), bytes.len());
        return Ok(());
    }
    std::fs::write(&file, &bytes).with_context(|| format!("write {}", file.display()))?;
    println!("{}: {} bytes", file.display(), bytes.len());
    Ok(())
}

/// What a model that never saw a family finds of it.
fn report(family: &str) -> Result<()> {
    let model = learn::train(Some(family))?;
    // Another seed than any text of the training.
    let mut corpus = Corpus::new(1_000_003)?;
    let attacks: Vec<Vec<Part>> = (0..500).map(|_| corpus.attack(family, &[])).collect::<Result<_>>()?;
    let harmless: Vec<Vec<Part>> =
        (0..2000).map(|i| corpus.benign(BENIGN[i % BENIGN.len()].0)).collect::<Result<_>>()?;
    println!(
        "without {family}: finds {:.1} % of it, and {:.2} % of harmless texts",
        100.0 * learn::found(&model, &attacks),
        100.0 * learn::found(&model, &harmless)
    );
    Ok(())
}

fn weights() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../guards/src/injection/weights.bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_that_are_built_in_are_what_the_training_makes() {
        let there = std::fs::read(weights()).unwrap();
        assert!(there == learn::train(None).unwrap().write(), "run `cargo xtask train injection`");
    }

    #[test]
    fn every_template_expands() {
        let mut corpus = Corpus::new(9).unwrap();
        for (family, _) in ATTACKS {
            (0..300).for_each(|_| drop(corpus.attack(family, &[]).unwrap()));
        }
        for (kind, _) in BENIGN {
            (0..300).for_each(|_| drop(corpus.benign(kind).unwrap()));
        }
    }
}
