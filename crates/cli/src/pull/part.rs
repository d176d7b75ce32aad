//! The file under way: `<name>.gguf.part`, and beside it the etag of what it
//! is a part of.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

pub(crate) struct Part {
    path: PathBuf,
    etag_path: PathBuf,
    file: File,
    len: u64,
    hash: Context,
    restarted: bool,
}

impl Part {
    /// Opens what an earlier run left of the same content, or begins anew.
    pub fn open(target: &Path, etag: Option<&str>) -> io::Result<Part> {
        let path = with_suffix(target, ".part");
        let etag_path = with_suffix(target, ".part.etag");
        let same = etag.is_some() && std::fs::read_to_string(&etag_path).ok().as_deref() == etag;
        if !same {
            let _ = std::fs::remove_file(&path);
        }
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path)?;
        if let Some(etag) = etag {
            std::fs::write(&etag_path, etag)?;
        }
        let mut hash = Context::new(&SHA256);
        let len = feed(&mut file, &mut hash)?;
        Ok(Part { path, etag_path, file, len, hash, restarted: false })
    }
    pub fn len(&self) -> u64 {
        self.len
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Whether what an earlier run had left was thrown away.
    pub fn was_restarted(&self) -> bool {
        self.restarted
    }
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }
    /// Begins anew: the server sent the whole where a part was asked for.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.hash = Context::new(&SHA256);
        self.restarted |= self.len > 0;
        self.len = 0;
        Ok(())
    }
    /// Makes it durable; the SHA-256 in hexadecimal, and the length.
    pub fn finish(&mut self) -> io::Result<(String, u64)> {
        self.file.sync_all()?;
        Ok((hex(self.hash.clone().finish().as_ref()), self.len))
    }
    /// Gives it its name, durably.
    pub fn rename(&self, target: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, target)?;
        if let Some(folder) = target.parent() {
            File::open(folder)?.sync_all()?;
        }
        let _ = std::fs::remove_file(&self.etag_path);
        Ok(())
    }
    /// Deletes it.
    pub fn discard(&self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.etag_path);
    }
}

/// The SHA-256 of a whole file, in hexadecimal.
pub(crate) fn digest(path: &Path) -> io::Result<String> {
    let mut hash = Context::new(&SHA256);
    feed(&mut File::open(path)?, &mut hash)?;
    Ok(hex(hash.finish().as_ref()))
}

fn feed(file: &mut File, hash: &mut Context) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(len),
            n => {
                hash.update(&buffer[..n]);
                len += n as u64;
            }
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
