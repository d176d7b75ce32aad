//! The file of `serve --identity`: read at the start, again when it changes, and
//! at once on SIGHUP. What cannot be used is told, and what was declared before
//! stays. Each that comes into force has a leaf in the audit log: it says whom
//! to believe about everybody.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use control::Plane;
use gateway::Gateway;
use gateway::issuers::Issuers;
use identity::Config;
use report::Report;
use runtime::TaskKind;

use crate::signin::Registrar;

/// How often the file is looked at: a few kilobytes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The file, as it was last read.
pub struct File {
    path: PathBuf,
    text: String,
}

impl File {
    /// # Errors
    /// CL0014.
    pub fn open(path: &Path) -> Result<(File, Config), Report> {
        let text = read(path)?;
        let config = Config::parse(&text, &path.display().to_string())?;
        Ok((File { path: path.to_owned(), text }, config))
    }

    /// What it declares now; `None`: it is as it was. A text that cannot be used is
    /// told once.
    fn look(&mut self) -> Option<Result<Config, Report>> {
        let text = match read(&self.path) {
            Ok(text) if text == self.text => return None,
            Ok(text) => text,
            // No text: so that it is told once, and any text is another.
            Err(report) => {
                let first = !self.text.is_empty();
                self.text.clear();
                return first.then_some(Err(report));
            }
        };
        self.text = text;
        Some(Config::parse(&self.text, &self.path.display().to_string()))
    }
}

fn read(path: &Path) -> Result<String, Report> {
    std::fs::read_to_string(path).map_err(|e| {
        Report::new("CL0014", "the identity file cannot be used")
            .at(path.display().to_string())
            .because(e.to_string())
    })
}

/// Puts the declared issuers in force, with a leaf before. Waits for the disk.
///
/// # Errors
/// When the leaf cannot be written: then nobody new is believed.
fn put(gateway: &Gateway, plane: &Arc<Plane>, config: Config, text: &str) -> Result<(), Report> {
    plane.host_changed("identity", "serve --identity", text, runtime::clock::now())?;
    let before = gateway.issuers.load_full();
    let issuers = match before {
        Some(before) => before.renewed(config),
        None => Issuers::new(config, Arc::new(Registrar(Arc::clone(plane)))),
    };
    gateway.issuers.store(Some(Arc::new(issuers)));
    Ok(())
}

/// The same at the start.
///
/// # Errors
/// As [`put`].
pub fn begin(gateway: &Gateway, plane: &Arc<Plane>, file: &File, config: Config) -> Result<(), Report> {
    put(gateway, plane, config, &file.text)
}

/// Takes another file when it changes, and at once on SIGHUP.
pub fn watch(mut file: File, gateway: Arc<Gateway>, plane: Arc<Plane>) {
    runtime::spawn(TaskKind::Log, "identities", async move {
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let (gateway, plane) = (Arc::clone(&gateway), Arc::clone(&plane));
            // Both the file and the leaf are disks.
            let looked = tokio::task::spawn_blocking(move || {
                look(&mut file, &gateway, &plane);
                file
            });
            file = looked.await.map_err(std::io::Error::other)?;
        }
        #[expect(unreachable_code, reason = "it says what the task may fail with")]
        Ok::<(), std::io::Error>(())
    });
}

fn look(file: &mut File, gateway: &Gateway, plane: &Arc<Plane>) {
    let Some(looked) = file.look() else { return };
    let kept = |report: Report| {
        observe::warn!("identity.kept", code = report.code.0, why = report.sentence().as_str());
    };
    let config = match looked {
        Ok(config) => config,
        Err(report) => return kept(report),
    };
    let issuers = config.issuers.len();
    match put(gateway, plane, config, &file.text) {
        Ok(()) => observe::info!("identity.reloaded", issuers = issuers as u64),
        Err(report) => {
            // The disk may be full: the same text is tried again.
            file.text.clear();
            kept(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_at_for_what_is_new_and_told_once_of_what_is_wrong() {
        let folder = std::env::temp_dir().join(format!("bedplate-identities-{}", runtime::new_id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("identity.toml");
        let declare = |text: &str| std::fs::write(&path, text).expect("it is ours");
        let issuer = "[[issuer]]\nurl = \"https://a\"\nalgorithms = [\"RS256\"]\n";
        declare("resource = \"https://us\"\n");
        let (mut file, config) = File::open(&path).unwrap_or_else(|e| panic!("{e}"));
        assert!(config.issuers.is_empty() && file.look().is_none());
        declare(&format!("resource = \"https://us\"\n{issuer}"));
        let looked = file.look().map(|l| l.map(|config| config.issuers.len()).ok());
        assert_eq!((looked, file.look().is_none()), (Some(Some(1)), true));
        for broken in ["resource = ", ""] {
            declare(broken);
            assert!(file.look().is_some_and(|l| l.is_err()) && file.look().is_none(), "{broken:?}");
        }
        declare("resource = \"https://us\"\n");
        assert!(file.look().is_some_and(|l| l.is_ok()));
        std::fs::remove_file(&path).expect("it is ours");
        assert!(file.look().is_some_and(|l| l.is_err()) && file.look().is_none());
        declare("resource = \"https://us\"\n");
        assert!(file.look().is_some_and(|l| l.is_ok()), "it is back");
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}
