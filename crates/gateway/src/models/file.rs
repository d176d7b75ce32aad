//! Which file it is: enough to notice that it was replaced or overwritten.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// `None` when there is no such file. Symbolic links are followed.
    pub fn of(path: &Path) -> Option<Stamp> {
        let about = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: about.dev(),
            inode: about.ino(),
            size: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_replaced_truncated_or_gone_has_another_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, "12345").expect("write");
        let first = Stamp::of(&path);
        assert!(first.is_some() && first == Stamp::of(&path));
        std::fs::OpenOptions::new().write(true).open(&path).expect("open").set_len(3).expect("truncate");
        let cut = Stamp::of(&path);
        assert_ne!(cut, first);
        let other = folder.path().join("b.gguf");
        std::fs::write(&other, "123").expect("write");
        std::fs::rename(&other, &path).expect("rename");
        assert_ne!(Stamp::of(&path), cut);
        std::fs::remove_file(&path).expect("remove");
        assert_eq!(Stamp::of(&path), None);
    }
}
