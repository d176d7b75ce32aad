//! Disks that are full or cannot be written.

use std::fs;
use std::path::Path;
use std::process::Command;

use seal::KeyRing;
use store::conformance::{append, sample};
use store::{Error, Records, Secrets, Store};
use units::RequestId;

use super::{filled, is_sound, opened, refused};
use crate::{Config, SqliteStore};

/// Settles from `first` on until one is refused; the number of that one.
fn settle_until_refused(store: &SqliteStore, first: u64) -> (u64, Error) {
    for n in first..first + 100_000 {
        if let Err(error) = append(store, sample::settle(n)) {
            return (n, error);
        }
    }
    panic!("the disk never fills");
}

fn are_there(store: &SqliteStore, numbers: std::ops::Range<u64>) {
    for n in numbers {
        assert!(store.record(RequestId(sample::id(n))).expect("it reads").is_some(), "{n}");
    }
}

#[test]
fn a_full_database_refuses_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    let config = Config { pages_max: Some(80), ..Config::default() };
    let store = SqliteStore::open_with(dir.path(), &keys, &config).unwrap_or_else(|e| panic!("{e}"));
    let (refused, error) = settle_until_refused(&store, 0);
    assert!(matches!(error, Error::Full(_)), "{error:?}");
    assert!(refused > 50, "80 pages hold more than {refused}");
    assert!(append(&store, sample::settle(refused + 1)).is_err(), "it stays refused, and answers");
    drop(store);
    let store = opened(dir.path(), &keys);
    are_there(&store, 0..refused);
    append(&store, sample::settle(refused)).expect("there is room again");
    assert_eq!(is_sound(&store), refused + 1);
}

/// A file system in memory, of a few megabytes, unmounted when dropped.
pub(super) struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    /// `None`, with a word why, where this process may not mount.
    pub fn mount(at: &'a Path, options: &str) -> Option<Tmpfs<'a>> {
        fs::create_dir_all(at).expect("a directory");
        if mount(at, options) {
            return Some(Tmpfs(at));
        }
        eprintln!("skipped: mounting a tmpfs needs root");
        None
    }
}

fn mount(at: &Path, options: &str) -> bool {
    let run = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).output();
    run.is_ok_and(|output| output.status.success())
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_and_the_store_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("disk");
    let Some(_disk) = Tmpfs::mount(&data, "size=3m") else { return };
    let ballast = data.join("ballast");
    let store = opened(&data, &KeyRing::ephemeral());
    fs::write(&ballast, vec![0; 1 << 20]).expect("there is room");
    let (refused, error) = settle_until_refused(&store, 0);
    assert!(matches!(error, Error::Full(_)), "{error:?}");
    assert!(matches!(store.put_secret("a", &[1; 60_000]), Err(Error::Full(_))));
    fs::remove_file(&ballast).expect("it is ours");
    append(&store, sample::settle(refused)).expect("there is room again");
    are_there(&store, 0..refused + 1);
    assert_eq!(is_sound(&store), refused + 1);
    store.close().expect("it closes");
}

#[test]
fn a_read_only_directory_is_said_to_be_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("disk");
    let Some(_disk) = Tmpfs::mount(&data, "size=3m") else { return };
    let keys = KeyRing::ephemeral();
    filled(&data, &keys);
    assert!(mount(&data, "remount,ro"), "what was mounted can be remounted");
    let error = refused(&data, &keys);
    assert!(matches!(error, Error::ReadOnly(_)), "{error:?}");
    assert!(error.report().to_string().contains("ST0004"));
}
