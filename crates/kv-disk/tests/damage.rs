//! Bad files, other people's files, a full disk: always a miss, never a wrong block.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kv_disk::{Counters, KvDisk, Options, TenantSecrets};
use scheduler::{BlockKey, BlockStore};
use seal::SecretKey;

const QUOTA: u64 = 64 << 20;
const KEY: BlockKey = BlockKey(0xab << 120 | 7);

fn open_as(folder: &Path, key: [u8; 32], fingerprint: &str, quota_bytes: u64) -> KvDisk {
    let key = SecretKey::from_bytes(key);
    let folder = folder.to_owned();
    let tenants: TenantSecrets = Arc::new(|_| Some(SecretKey::from_bytes([9; 32])));
    KvDisk::open(Options { folder, key, tenants, fingerprint, quota_bytes }).expect("it opens")
}

fn open(folder: &Path) -> KvDisk {
    open_as(folder, [3; 32], "a", QUOTA)
}

/// All files below, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn only_file(folder: &Path) -> PathBuf {
    let all = files(folder);
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

/// A folder in which one block after the other is damaged.
struct Victim(tempfile::TempDir);

impl Victim {
    fn new() -> Victim {
        Victim(tempfile::tempdir().expect("a folder"))
    }
    /// With these bytes in its file the block is a miss, in the process that
    /// wrote it and in the next, and its file is gone.
    fn misses(&self, what: &str, bytes: &[u8]) {
        for reopened in [false, true] {
            let mut store = open(self.0.path());
            assert_eq!(store.save(KEY, b"to be replaced"), []);
            let file = only_file(self.0.path());
            // Some file systems wait for the disk when a file is cut and written again.
            fs::remove_file(&file).expect("it is ours");
            fs::write(&file, bytes).expect("it is ours");
            if reopened {
                store = open(self.0.path());
            }
            assert_eq!(store.load(KEY), None, "{what}");
            assert_eq!(store.keys(), [], "{what}: it is not listed any more");
            assert!(!file.exists(), "{what}: its file is removed");
            assert_eq!(store.save(KEY, b"new"), [], "{what}: it can be saved again");
            assert_eq!(store.load(KEY).as_deref(), Some(&b"new"[..]));
        }
    }
}

/// The file of a block of `contents`.
fn sealed(contents: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(open(dir.path()).save(KEY, contents), []);
    fs::read(only_file(dir.path())).expect("it is ours")
}

#[test]
fn any_flipped_bit_is_a_miss() {
    let (good, victim) = (sealed(&[5; 40]), Victim::new());
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        victim.misses(&format!("bit {bit}"), &bytes);
    }
}

#[test]
fn any_truncation_is_a_miss_and_so_is_a_longer_file() {
    let (good, victim) = (sealed(&[5; 40]), Victim::new());
    for length in 0..good.len() {
        victim.misses(&format!("{length} bytes"), &good[..length]);
        let mut torn = good.clone();
        torn[length..].fill(0);
        victim.misses(&format!("zeros after {length} bytes"), &torn);
    }
    victim.misses("a byte more", &[&good[..], &[0]].concat());
}

#[test]
fn the_good_file_alone_is_a_hit() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    store.save(KEY, b"x");
    fs::write(only_file(dir.path()), sealed(&[5; 40])).expect("it is ours");
    assert_eq!(open(dir.path()).load(KEY), Some(vec![5; 40]), "what the other tests damage is whole");
    assert!(
        !sealed(b"0123456789abcdefa secret of the prompt").windows(8).any(|w| w == b"a secret"),
        "it is encrypted"
    );
}

#[test]
fn another_models_block_or_another_key_in_its_place_is_a_miss() {
    let dir = tempfile::tempdir().expect("a folder");
    let mine = open(dir.path());
    mine.save(KEY, b"mine");
    let file = only_file(dir.path());
    let elsewhere = dir.path().join("moved");
    fs::rename(&file, &elsewhere).expect("it is ours");
    // The same key of another model, and another key of this model.
    let other = mine.sibling("b");
    other.save(KEY, b"theirs");
    let theirs = files(dir.path()).into_iter().find(|f| *f != elsewhere).expect("it was saved");
    fs::copy(&theirs, &file).expect("it is ours");
    assert_eq!(mine.load(KEY), None);
    assert_eq!(other.load(KEY).as_deref(), Some(&b"theirs"[..]), "each model has its own");

    let next = BlockKey(KEY.0 + 1);
    mine.save(next, b"the next");
    fs::rename(file.with_file_name(format!("{next}.kv")), &file).expect("it is ours");
    let mine = open(dir.path());
    assert_eq!(mine.keys().len(), 1);
    assert_eq!(mine.load(KEY), None, "a block under another block's name");
}

#[test]
fn with_another_secret_all_are_misses() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).save(KEY, b"mine");
    let file = only_file(dir.path());
    let other = open_as(dir.path(), [4; 32], "a", QUOTA);
    assert_eq!((other.keys(), other.load(KEY)), (vec![], None));
    // Even with the file where the other one looks for it.
    other.save(KEY, b"to be replaced");
    let place = files(dir.path()).into_iter().find(|f| *f != file).expect("there are two");
    fs::copy(&file, place).expect("it is ours");
    assert_eq!(other.load(KEY), None);
}

#[test]
fn order_of_use_survives_a_restart_and_a_smaller_quota_drops_the_oldest() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for n in 0..4u128 {
        store.save(BlockKey(n), &[n as u8; 1000]);
    }
    for (n, file) in files(dir.path()).iter().enumerate() {
        let minutes_ago = [1, 4, 2, 3][n];
        set_modified(file, now() - Duration::from_secs(60 * minutes_ago));
    }
    let keys = |store: &KvDisk| store.keys().iter().map(|k| k.0.0).collect::<Vec<_>>();
    let store = open(dir.path());
    assert_eq!(keys(&store), [1, 3, 2, 0]);
    assert!(store.load(BlockKey(1)).is_some());
    drop(store);
    assert_eq!(keys(&open(dir.path())), [3, 2, 0, 1], "a load is kept as a use");
    let store = open_as(dir.path(), [3; 32], "a", 2 * 4096);
    assert_eq!(keys(&store), [0, 1]);
    assert_eq!(files(dir.path()).len(), 2);
    assert_eq!(store.counters().bytes, 2 * 4096);
}

#[test]
fn a_replaced_model_gives_way_and_leaves_after_a_month() {
    let dir = tempfile::tempdir().expect("a folder");
    let quota = 8 * 4096;
    let old = open_as(dir.path(), [3; 32], "old", quota);
    for n in 0..8 {
        old.save(BlockKey(n), &[0; 100]);
    }
    for (n, file) in files(dir.path()).iter().enumerate() {
        let days = if n < 3 { 31 } else { 29 };
        set_modified(file, now() - Duration::from_secs(days * 24 * 3600));
    }
    let new = open_as(dir.path(), [3; 32], "new", quota);
    assert_eq!((new.keys().len(), new.counters().blocks), (0, 5), "three were idle for too long");
    for n in 0..6 {
        assert_eq!(new.save(BlockKey(n), &[1; 100]), [], "what goes is not the new model's");
    }
    assert_eq!((new.keys().len(), new.sibling("old").keys().len()), (6, 2));
    assert_eq!(files(dir.path()).len(), 8, "one quota for all");
    drop(new);
    for file in files(dir.path()) {
        set_modified(&file, UNIX_EPOCH + Duration::from_secs(1));
    }
    open(dir.path());
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0, "no empty folders stay");
}

#[test]
fn opening_removes_what_a_crash_left_and_nothing_outside() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).save(KEY, b"kept");
    let block = only_file(dir.path());
    let shelf = block.parent().expect("a folder");
    fs::copy(&block, block.with_extension("123.0.tmp")).expect("it is ours");
    fs::write(shelf.join("notes.txt"), "").expect("it is ours");
    fs::write(shelf.join("00.kv"), [0; 100]).expect("it is ours");
    std::os::unix::fs::symlink(&block, shelf.join(format!("{:032x}.kv", KEY.0 + 1))).expect("a link");
    let bystander = dir.path().join("photo.jpg");
    fs::write(&bystander, "not ours").expect("a file");
    fs::create_dir(dir.path().join("letters")).expect("a folder");
    fs::write(dir.path().join("letters/one.tmp"), "not ours").expect("a file");
    let store = open(dir.path());
    let mut left = vec![block, bystander, dir.path().join("letters/one.tmp")];
    left.sort();
    assert_eq!(files(dir.path()), left);
    assert_eq!(store.load(KEY).as_deref(), Some(&b"kept"[..]));
}

#[test]
fn only_the_owner_may_look() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("a/kv");
    open(&folder).save(KEY, b"x");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let file = only_file(&folder);
    assert_eq!(mode(&file), 0o600);
    for above in file.ancestors().skip(1).take(3) {
        assert_eq!(mode(above), 0o700, "{}", above.display());
    }
}

#[test]
fn two_openers_of_a_folder_never_give_a_wrong_block() {
    let dir = tempfile::tempdir().expect("a folder");
    let a = open_as(dir.path(), [3; 32], "a", 4 * 4096);
    let b = open_as(dir.path(), [3; 32], "a", 4 * 4096);
    for n in 0..40u128 {
        let (first, second) = if n % 3 == 0 { (&a, &b) } else { (&b, &a) };
        first.save(BlockKey(n % 7), &[n as u8 % 7; 100]);
        second.save(BlockKey(n % 7), &[n as u8 % 7; 100]);
        for store in [&a, &b] {
            let wanted = (n * 5) % 7;
            let loaded = store.load(BlockKey(wanted));
            assert!(loaded.is_none_or(|l| l == [wanted as u8; 100]));
        }
    }
    let third = open_as(dir.path(), [3; 32], "a", 4 * 4096);
    assert!(third.keys().len() <= 4 && third.counters().bytes <= 4 * 4096);
}

#[test]
fn a_full_disk_refuses_and_the_store_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(&disk).output();
    if !mount.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: mounting a tmpfs needs root");
        return;
    }
    let _mounted = Unmount(&disk);
    let store = open(&disk);
    let block = vec![9; 500_000];
    let mut refused = None;
    for n in 0..8 {
        if store.save(BlockKey(n), &block) == [BlockKey(n)] {
            refused = refused.or(Some(n));
        }
    }
    let refused = refused.expect("2 MB do not hold eight blocks");
    assert!(refused >= 3);
    assert_eq!(
        store.counters(),
        Counters {
            hits: 0,
            misses: 0,
            saved: refused as u64,
            refused: 8 - refused as u64,
            evicted: 0,
            blocks: refused as u64,
            bytes: refused as u64 * 503_808,
        }
    );
    assert_eq!(files(&disk).len(), refused as usize, "nothing half written stays");
    for n in 0..refused {
        assert_eq!(store.load(BlockKey(n)).as_ref(), Some(&block), "what was kept is served");
    }
    assert_eq!(store.load(BlockKey(refused)), None);
    fs::remove_file(&files(&disk)[0]).expect("it is ours");
    assert_eq!(store.save(BlockKey(100), &block), [], "there is room again");
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_folder_that_vanishes_or_is_a_file_costs_hits_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("kv");
    let store = open(&folder);
    store.save(KEY, b"x");
    fs::remove_dir_all(&folder).expect("it is ours");
    assert_eq!(store.load(KEY), None);
    assert_eq!(store.save(KEY, b"y"), [], "it is made again");
    assert_eq!(store.load(KEY).as_deref(), Some(&b"y"[..]));
    fs::remove_dir_all(&folder).expect("it is ours");
    fs::write(&folder, "").expect("a file in its place");
    assert_eq!(store.load(KEY), None);
    assert_eq!(store.save(KEY, b"z"), [KEY]);
    let options = Options {
        folder,
        key: SecretKey::from_bytes([3; 32]),
        tenants: Arc::new(|_| None),
        fingerprint: "a",
        quota_bytes: QUOTA,
    };
    let error = KvDisk::open(options).err().expect("a file is no folder");
    assert!(error.report().to_string().starts_with("error[ST0004]"), "{}", error.report());
}

/// A figure to look at, not a test of speed: `cargo test --release -p kv-disk -- --nocapture`.
#[test]
fn fifty_megabytes_come_back_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let block = |n: u128| vec![n as u8; 50_000_000 / 32];
    let start = runtime::clock::monotonic_us();
    for n in 0..32 {
        assert_eq!(store.save(BlockKey(n), &block(n)), []);
    }
    let saved = runtime::clock::monotonic_us();
    let loaded: Vec<_> = (0..32).map(|n| store.load(BlockKey(n))).collect();
    let us = runtime::clock::monotonic_us() - saved;
    eprintln!("50 MB in 32 blocks: saved in {} us, loaded in {us} us", saved - start);
    for (n, contents) in loaded.into_iter().enumerate() {
        assert!(contents == Some(block(n as u128)));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test sets times of files relative to now")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn set_modified(file: &Path, time: SystemTime) {
    File::options().write(true).open(file).and_then(|f| f.set_modified(time)).expect("it is ours");
}
