//! What `bedplate login` keeps: a key for a working day, by the server that gave
//! it, in a file that only its user can read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use report::Report;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::context::environment;

/// Far more than anybody has servers.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    expires: String,
}

type File = BTreeMap<String, Kept>;

/// `$XDG_CONFIG_HOME/bedplate/login.json`, else `~/.config/bedplate/login.json`.
fn path() -> Option<PathBuf> {
    let folder = environment("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(folder.join("bedplate/login.json"))
}

fn wrong(path: &std::path::Path, why: impl Into<String>) -> Failure {
    Report::new("CL0004", format!("{} cannot be used", path.display())).because(why).into()
}

/// The key for a server, if one is kept there. A file that others can read is
/// not used: the key in it is theirs too.
pub(crate) fn key(url: &str) -> Result<Option<String>, Failure> {
    let Some(path) = path() else { return Ok(None) };
    let Ok(about) = fs::metadata(&path) else { return Ok(None) };
    if about.permissions().mode() & 0o077 != 0 {
        return Err(Report::new("CL0004", format!("{} can be read by others", path.display()))
            .hint(format!(
                "chmod 600 {}; then `bedplate login` again, as the key may be known",
                path.display()
            ))
            .into());
    }
    Ok(read(&path)?.remove(url).map(|kept| kept.key))
}

fn read(path: &std::path::Path) -> Result<File, Failure> {
    match fs::metadata(path) {
        Err(_) => return Ok(File::new()),
        Ok(about) if about.len() > FILE_BYTES_MAX => return Err(wrong(path, "it is too large")),
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(|e| wrong(path, e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| wrong(path, e.to_string()))
}

/// Keeps a key; says where.
pub(crate) fn keep(url: &str, key: &str, expires: &str) -> Result<PathBuf, Failure> {
    let path = path().ok_or_else(|| {
        Failure::from(
            Report::new("CL0010", "no folder is known to keep the key in")
                .because("neither $XDG_CONFIG_HOME nor $HOME is set"),
        )
    })?;
    // A damaged file is not what keeps somebody from signing in again.
    let mut file = read(&path).unwrap_or_default();
    file.insert(url.to_owned(), Kept { key: key.to_owned(), expires: expires.to_owned() });
    write(&path, &file)?;
    Ok(path)
}

/// Whether there was one.
pub(crate) fn forget(url: &str) -> Result<bool, Failure> {
    let Some(path) = path() else { return Ok(false) };
    let mut file = read(&path)?;
    let had = file.remove(url).is_some();
    if had {
        write(&path, &file)?;
    }
    Ok(had)
}

/// Whole or not at all, and never readable by others, not even for a moment.
fn write(path: &std::path::Path, file: &File) -> Result<(), Failure> {
    let io = |e: std::io::Error| wrong(path, e.to_string());
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let text = serde_json::to_string(file).map_err(|e| wrong(path, e.to_string()))?;
    let beside = path.with_extension(format!("json.{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut new =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(io)?;
    let written = new.write_all(text.as_bytes()).and_then(|()| new.sync_all());
    written.and_then(|()| fs::rename(&beside, path)).map_err(io)
}
