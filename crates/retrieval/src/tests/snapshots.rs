//! Indexes over a restart: from their snapshots, and right whatever became of those.

use std::fs;
use std::path::PathBuf;

use seal::KeyRing;
use store::documents::{Tenant, Tenants};
use vectors::{DenseIndex, Snapshots};

use super::*;
use crate::restart;

/// A store that outlives the handles on it, as a process's files do.
struct Lasting {
    dir: tempfile::TempDir,
    keys: KeyRing,
    tenants: Arc<MemoryTenants>,
}

impl Lasting {
    fn new() -> Lasting {
        let dir = tempfile::tempdir().expect("a directory");
        Lasting { dir, keys: KeyRing::ephemeral(), tenants: Arc::new(MemoryTenants::new()) }
    }
    fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.dir.path(), &self.keys)
    }
    fn start(&self) -> (Collections, Shown) {
        let collections = Collections::new(self.tenants.clone()).with_snapshots(self.snapshots());
        let wish = Wish {
            name: "c".into(),
            language: "en".into(),
            lexing: None,
            acl: Acl::team(),
            labels: Labels::default(),
            embedder: None,
            graph: false,
            ranking: crate::Ranking::default(),
        };
        collections.declare(team(1), &wish, NOW).expect("declared");
        let shown = collections.show(&reader(&[]), "c").expect("it is there");
        (collections, shown)
    }
    /// How many vectors the next start would make up for; `None` when it would read them all.
    fn behind(&self) -> Option<usize> {
        let tenant = self.tenants.tenant(team(1)).expect("it opens");
        let collection = tenant.collection("c").expect("it reads").expect("it is there");
        let revision = tenant.revision(collection.id).expect("it reads");
        let made =
            restart::make(&*tenant, &collection, revision, Some(&self.snapshots())).expect("it is made");
        assert_eq!(made.index.entries(), truth(&*tenant, &collection), "whatever it was made from");
        made.unsaved
    }
    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir.path())
            .expect("it lists")
            .map(|entry| entry.expect("it is one").path())
            .collect()
    }
}

fn truth(
    tenant: &dyn Tenant,
    collection: &store::documents::Collection,
) -> Vec<(store::documents::ChunkId, store::documents::AclClass)> {
    tenant.index_classes(collection.id, None, 10_000).expect("it reads")
}

/// Some documents, each of one part.
fn fill(collections: &Collections, shown: &Shown, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let text = format!("pump {n} moves cooling water from basin {n} to tower {}", n * 7 % 40);
        put(collections, shown, &reader(&["ada"]), &content(&format!("{n}.txt"), &text));
    }
}

#[test]
fn a_restart_opens_what_was_saved() {
    let world = Lasting::new();
    let (first, shown) = world.start();
    fill(&first, &shown, 0..40);
    let before = search(&first, &shown, &reader(&["ada"]), "cooling water for tower 14");
    first.close();
    assert_eq!(world.behind(), Some(0));
    let (second, shown) = world.start();
    let after = search(&second, &shown, &reader(&["ada"]), "cooling water for tower 14");
    assert_eq!(sources(&after), sources(&before));
    assert_eq!((after.readable, after.exact), (40, true));
    // Nobody asked anything else: there is nothing to write.
    let written = fs::metadata(&world.files()[0]).and_then(|m| m.modified()).expect("it is there");
    second.close();
    assert_eq!(fs::metadata(&world.files()[0]).and_then(|m| m.modified()).expect("it is there"), written);
}

#[test]
fn what_changed_behind_a_snapshot_is_made_up_for() {
    let world = Lasting::new();
    let (first, shown) = world.start();
    fill(&first, &shown, 0..40);
    search(&first, &shown, &reader(&["ada"]), "water");
    first.close();
    // A process that is killed: it changes everything in every way, and saves nothing.
    let (killed, shown) = world.start();
    let ada = reader(&["ada"]);
    search(&killed, &shown, &ada, "water");
    fill(&killed, &shown, 40..44);
    put(&killed, &shown, &ada, &content("3.txt", "valve 3 stops the steam"));
    let mine = Content {
        acl: Some(only("ada")),
        ..content("4.txt", "pump 4 moves cooling water from basin 4 to tower 28")
    };
    assert_eq!(put(&killed, &shown, &ada, &mine), Change::Regraded);
    let gone = killed.document(&ada, &shown.collection, "5.txt").expect("asked").expect("it is there").id;
    killed.remove_document(team(1), &shown.collection, gone).expect("removed");
    drop(killed);
    // Four new, one replaced (one gone, one new), one moved, one gone.
    assert_eq!(world.behind(), Some(8));
    let (third, shown) = world.start();
    assert_eq!(sources(&search(&third, &shown, &ada, "which valve stops the steam?"))[0], "3.txt");
    let eve = search(&third, &shown, &reader(&["eve"]), "basin 4");
    assert!(!sources(&eve).contains(&"4.txt") && !sources(&eve).contains(&"5.txt"), "{:?}", sources(&eve));
    assert_eq!(eve.readable, 42);
    third.close();
    assert_eq!(world.behind(), Some(0));
}

#[test]
fn a_snapshot_in_doubt_is_made_again() {
    let world = Lasting::new();
    let (first, shown) = world.start();
    fill(&first, &shown, 0..40);
    search(&first, &shown, &reader(&["ada"]), "water");
    first.close();
    let (mut files, beside): (Vec<_>, Vec<_>) =
        world.files().into_iter().partition(|file| file.extension().is_some_and(|e| e == "index"));
    let file = files.remove(0);
    let good = fs::read(&file).expect("it reads");
    // What doubts a snapshot begins the originals beside it anew.
    let originals = fs::read(&beside[0]).expect("it reads");
    let put = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("it is ours");
        fs::write(&beside[0], &originals).expect("it is ours");
    };
    let step = good.len() / 97;
    for at in (0..97).map(|n| n * step) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        put(&bad);
        assert_eq!(world.behind(), None, "byte {at}");
    }
    put(&good[..good.len() - 1]);
    assert_eq!(world.behind(), None, "cut");
    put(&good);
    assert_eq!(world.behind(), Some(0), "whole");
    fs::remove_file(&beside[0]).expect("it is ours");
    assert_eq!(world.behind(), None, "its originals are gone");
    fs::remove_file(&file).expect("it is ours");
    assert_eq!(world.behind(), None, "gone");
    // The next search leaves a good one.
    let (second, shown) = world.start();
    search(&second, &shown, &reader(&["ada"]), "water");
    assert_eq!(world.behind(), Some(0));
}

#[test]
fn a_store_that_went_back_is_not_answered_by_its_future() {
    let world = Lasting::new();
    let (first, shown) = world.start();
    fill(&first, &shown, 0..40);
    search(&first, &shown, &reader(&["ada"]), "water");
    let tenant = world.tenants.tenant(team(1)).expect("it opens");
    let revision = tenant.revision(shown.collection.id).expect("it reads");
    let made = restart::make(&*tenant, &shown.collection, revision, None).expect("it is made");
    let save = |revision| {
        let place = restart::place(&shown.collection);
        world.snapshots().save(team(1), place, &made.index, revision).expect("it is written");
    };
    save(revision + 1);
    assert_eq!(world.behind(), None);
    save(revision - 1);
    assert_eq!(world.behind(), Some(0), "older, and nothing is missing");
}

#[test]
fn what_is_removed_leaves_no_snapshot() {
    let world = Lasting::new();
    let (collections, shown) = world.start();
    fill(&collections, &shown, 0..3);
    search(&collections, &shown, &reader(&["ada"]), "water");
    assert_eq!(world.files().len(), 2);
    collections.remove(team(1), shown.collection.id).expect("removed");
    collections.close();
    assert_eq!(world.files(), Vec::<PathBuf>::new());
}
