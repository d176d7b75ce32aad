//! Collections brought in line with sources that change, fail and are not trusted.

use std::collections::BTreeMap;

use context::source::{Content as Held, ITEMS_MAX, Item, Read, Source};
use proptest::prelude::*;
use store::documents::{Collection, Trust};

use super::*;
use crate::{Counts, Origin, Outcome, Progress, Standing, Synced, Wanted};

/// A source in memory: by address, a text and its mark.
#[derive(Clone, Default)]
struct Memory {
    items: BTreeMap<String, (String, String)>,
    left: Vec<String>,
    /// It fails when so many are left.
    fails_at: Option<usize>,
    /// These cannot be read.
    broken: Vec<String>,
    /// Addresses that were read.
    read: Vec<String>,
    whole: String,
    /// Somebody stops the reading when this is read.
    stops: Option<(String, Arc<Progress>)>,
}

impl Memory {
    fn of(items: &[(&str, &str, &str)]) -> Memory {
        let item = |(address, text, mark): &(&str, &str, &str)| {
            ((*address).to_owned(), ((*text).to_owned(), (*mark).to_owned()))
        };
        Memory { items: items.iter().map(item).collect(), ..Memory::default() }
    }
    fn texts(&self) -> BTreeMap<String, String> {
        self.items.iter().map(|(address, (text, _))| (address.clone(), text.clone())).collect()
    }
}

impl Source for Memory {
    fn begin(&mut self, mark: &str) -> Result<bool, Report> {
        self.left = self.items.keys().rev().cloned().collect();
        Ok(mark.is_empty() || mark != self.whole)
    }
    fn next(&mut self) -> Result<Option<Item>, Report> {
        if self.fails_at == Some(self.left.len()) {
            return Err(Report::new("CX0011", "it went away"));
        }
        let Some(address) = self.left.pop() else { return Ok(None) };
        Ok(Some(Item { mark: self.items[&address].1.clone(), address, content: None }))
    }
    fn read(&mut self, item: &Item, _: &str) -> Result<Read, Report> {
        if let Some((_, progress)) = self.stops.as_ref().filter(|(at, _)| *at == item.address) {
            progress.stop();
        }
        if self.broken.contains(&item.address) {
            return Err(Report::new("CX0011", "it is not given"));
        }
        self.read.push(item.address.clone());
        let (text, mark) = self.items[&item.address].clone();
        let bytes = text.into_bytes();
        Ok(Read::Content(Held { bytes, media_type: "text/plain".into(), mark, ..Held::default() }))
    }
    fn mark(&self) -> String {
        self.whole.clone()
    }
}

fn origin() -> Origin {
    Origin {
        name: "shelf".into(),
        digest: [1; 32],
        acl: None,
        labels: Labels::default(),
        quarantine: false,
        keep: false,
    }
}

fn of(collections: &Collections) -> Collection {
    collections.of_team(team(1), "handbook").expect("it reads").expect("it is there")
}

fn sync(collections: &Collections, origin: &Origin, source: &mut Memory, wanted: Wanted) -> Synced {
    let progress = match &source.stops {
        Some((_, progress)) => Arc::clone(progress),
        None => Arc::default(),
    };
    let collection = of(collections);
    collections.sync(team(1), &collection, origin, source, &NoModel, wanted, &progress).expect("kept")
}

fn plain(collections: &Collections, source: &mut Memory) -> Synced {
    sync(collections, &origin(), source, Wanted::default())
}

/// Added, changed, removed, unchanged, failed.
fn counts(synced: &Synced) -> [u64; 5] {
    let Counts { added, changed, removed, unchanged, failed, .. } = synced.counts;
    [added, changed, removed, unchanged, failed]
}

/// What the collection has, as its texts by address.
fn held(collections: &Collections) -> BTreeMap<String, String> {
    let (collection, ada) = (of(collections), reader(&["ada"]));
    let all = collections.documents(&ada, &collection, None, 1_000).expect("listed");
    let text = |id| -> String {
        let parts = collections.text(&ada, id, 0, 10).expect("read");
        parts.iter().map(|part| part.text.as_str()).collect()
    };
    all.into_iter().map(|d| (d.source, text(d.id))).collect()
}

#[test]
fn only_what_has_changed_is_read_and_what_is_gone_goes() {
    let (collections, _) = world();
    let mut source = Memory::of(&[("a", "one", "1"), ("b", "two", ""), ("c", "three", "3")]);
    let first = plain(&collections, &mut source);
    assert_eq!((counts(&first), &first.outcome), ([3, 0, 0, 0, 0], &Outcome::Complete));
    source.read.clear();
    assert_eq!(counts(&plain(&collections, &mut source)), [0, 0, 0, 3, 0]);
    assert_eq!(source.read, ["b"], "what says nothing of itself is read, and its hash decides");
    // Another mark of the same text, another text, a new one; one is gone.
    source.items = Memory::of(&[("a", "one", "9"), ("b", "TWO", ""), ("d", "four", "4")]).items;
    source.read.clear();
    assert_eq!(counts(&plain(&collections, &mut source)), [1, 1, 1, 1, 0]);
    assert_eq!(held(&collections), source.texts());
    source.read.clear();
    plain(&collections, &mut source);
    assert_eq!(source.read, ["b"], "the other mark was noted");
    // A mark that lies is found out when all is asked for.
    source.items.insert("a".into(), ("ONE".into(), "9".into()));
    assert_eq!(counts(&plain(&collections, &mut source)), [0, 0, 0, 3, 0]);
    let full = Wanted { full: true, ..Wanted::default() };
    assert_eq!(counts(&sync(&collections, &origin(), &mut source, full)), [0, 1, 0, 2, 0]);
    // All of it may say that it has not changed.
    source.whole = "w1".into();
    plain(&collections, &mut source);
    source.read.clear();
    assert_eq!(counts(&plain(&collections, &mut source)), [0, 0, 0, 3, 0]);
    assert!(source.read.is_empty());
    let (_, last) = collections.source(team(1), &of(&collections), &origin()).expect("it reads");
    assert_eq!(last.map(|last| (last.outcome, last.counts.unchanged)), Some((Outcome::Complete, 3)));
}

#[test]
fn a_reading_that_does_not_end_well_removes_nothing() {
    let (collections, _) = world();
    let mut source = Memory::of(&[("a", "one", "1"), ("b", "two", "2"), ("c", "three", "3")]);
    plain(&collections, &mut source);
    source.items.remove("b");
    source.items.insert("d".into(), ("four".into(), "4".into()));
    let mut failing = Memory { fails_at: Some(0), ..source.clone() };
    let failed = plain(&collections, &mut failing);
    assert_eq!((counts(&failed), failed.outcome), ([1, 0, 0, 2, 0], Outcome::Failed("it went away".into())));
    let mut stopped = Memory { stops: Some(("e".into(), Arc::default())), ..source.clone() };
    stopped.items.insert("e".into(), ("five".into(), String::new()));
    stopped.items.insert("f".into(), ("six".into(), String::new()));
    assert_eq!(plain(&collections, &mut stopped).outcome, Outcome::Stopped);
    assert!(held(&collections).contains_key("b"));
    // An item that is not given is not gone, and nobody keeps that all is well.
    let mut broken = Memory { broken: vec!["d".into()], whole: "w".into(), ..source.clone() };
    broken.items.get_mut("d").expect("it is there").1 = "5".into();
    let told = plain(&collections, &mut broken);
    assert_eq!((counts(&told)[4], told.outcome), (1, Outcome::Complete));
    assert_eq!(told.failures[0].address, "d");
    assert_eq!(held(&collections).get("d").map(String::as_str), Some("four"), "what it brought before stays");
    broken.broken.clear();
    broken.read.clear();
    plain(&collections, &mut broken);
    assert_eq!(broken.read, ["d"]);
    // Twenty in a row: it is the source that is away.
    let many: Vec<String> = (0..30).map(|n| format!("x{n:02}")).collect();
    let items = many.iter().map(|address| (address.clone(), ("text".to_owned(), String::new()))).collect();
    let mut away = Memory { items, broken: many, ..Memory::default() };
    let told = plain(&collections, &mut away);
    assert!(matches!(told.outcome, Outcome::Failed(_)) && told.counts.failed < 20, "{told:?}");
    // And one that is empty is more often lost than emptied.
    let mut empty = Memory::default();
    let told = plain(&collections, &mut empty);
    assert!(matches!(&told.outcome, Outcome::Failed(why) if why.contains("nothing was removed")), "{told:?}");
    assert!(!held(&collections).is_empty());
    let believed = Wanted { empty: true, ..Wanted::default() };
    let emptied = sync(&collections, &origin(), &mut empty, believed);
    assert_eq!((emptied.outcome, held(&collections)), (Outcome::Complete, BTreeMap::new()));
}

#[test]
fn a_source_replaces_nothing_but_its_own_and_nobody_replaces_that() {
    let (collections, shown) = world();
    let ada = reader(&["ada"]);
    put(&collections, &shown, &ada, &content("leave.md", "Everybody has thirty days."));
    let mut source = Memory::of(&[("leave.md", "Nobody has any leave.", ""), ("own.md", "ours", "")]);
    let told = plain(&collections, &mut source);
    assert_eq!((counts(&told), &*told.failures[0].address), ([1, 0, 0, 0, 1], "leave.md"));
    assert_eq!(held(&collections)["leave.md"], "Everybody has thirty days.");
    let other = Origin { name: "other".into(), ..origin() };
    let mut second = Memory::of(&[("own.md", "theirs", "")]);
    let told = sync(&collections, &other, &mut second, Wanted::default());
    assert_eq!(counts(&told), [0, 0, 0, 0, 1]);
    let mine = collections.put(&ada, &shown.collection, &content("own.md", "mine"), &NoModel, NOW);
    assert_eq!(mine.map(drop), Err(Error::OfSource("own.md".into())));
    let posing = Content { batch: "source:shelf", ..content("new.md", "mine") };
    let posing = collections.put(&ada, &shown.collection, &posing, &NoModel, NOW);
    assert!(matches!(posing, Err(Error::Store(store::Error::Invalid(_)))), "{posing:?}");
    // What others put is not gone because a source does not have it.
    source.items.remove("leave.md");
    assert_eq!(counts(&plain(&collections, &mut source)), [0, 0, 0, 1, 0]);
    assert!(held(&collections).contains_key("leave.md"));
}

#[test]
fn a_release_is_of_what_was_declared_and_survives_everything_but_that() {
    let (collections, _) = world();
    let held_back = Origin { quarantine: true, ..origin() };
    let mut source = Memory::of(&[("vault.md", "The vault code is nine zero four.", "1")]);
    let read = |origin: &Origin, source: &mut Memory| sync(&collections, origin, source, Wanted::default());
    let finds = || {
        let shown = collections.show(&reader(&["ada"]), "handbook").expect("it is there");
        let found = search(&collections, &shown, &reader(&["ada"]), "what is the vault code");
        (found.evidence.len(), found.readable)
    };
    read(&held_back, &mut source);
    assert_eq!((finds(), held(&collections).len()), ((0, 0), 0));
    let (ada, collection) = (reader(&["ada"]), of(&collections));
    let waiting = collections.quarantined(&ada, &collection, None, 9).expect("listed");
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].trust, Trust::Quarantined);
    assert!(collections.text(&ada, waiting[0].id, 0, 9).expect("asked").is_empty());
    assert_eq!(collections.quarantined_text(&ada, waiting[0].id, 0, 9).expect("asked").len(), 1);
    // Again, and with another text, it still waits.
    source.items.insert("vault.md".into(), ("The vault code is eight.".into(), "2".into()));
    read(&held_back, &mut source);
    assert_eq!(finds(), (0, 0));
    assert_eq!(collections.release(team(1), &collection, &held_back, "officer", NOW), Ok(1));
    assert_eq!(finds(), (1, 1));
    assert_eq!(
        collections.release(team(1), &collection, &held_back, "officer", NOW),
        Ok(0),
        "again is the same"
    );
    source.items.insert("new.md".into(), ("The new vault code is seven.".into(), "1".into()));
    read(&held_back, &mut source);
    assert_eq!(finds(), (2, 2), "what it brings from now on is found");
    let standing = |origin: &Origin| collections.source(team(1), &collection, origin).expect("it reads").0;
    assert!(matches!(standing(&held_back), Standing::Released(by) if by.by == "officer"));
    // It reads from elsewhere: what was released is not this.
    let moved = Origin { digest: [2; 32], ..held_back.clone() };
    assert_eq!(standing(&moved), Standing::Waiting);
    read(&moved, &mut source);
    assert_eq!(finds(), (0, 0));
    assert_eq!(collections.release(team(1), &collection, &moved, "officer", NOW), Ok(2));
    assert_eq!(finds(), (2, 2));
    assert_eq!(collections.hold(team(1), &collection, &moved, NOW), Ok(2));
    assert_eq!((finds(), standing(&moved)), ((0, 0), Standing::Waiting));
    // A source that is not held back any more is found as it is read.
    read(&Origin { quarantine: false, ..moved }, &mut source);
    assert_eq!(finds(), (2, 2));
}

#[test]
fn a_source_of_more_than_can_be_remembered_is_told_so() {
    struct Endless(usize);
    impl Source for Endless {
        fn begin(&mut self, _: &str) -> Result<bool, Report> {
            Ok(true)
        }
        fn next(&mut self) -> Result<Option<Item>, Report> {
            self.0 += 1;
            Ok(Some(Item { address: format!("{}", self.0), mark: String::new(), content: None }))
        }
        fn read(&mut self, _: &Item, _: &str) -> Result<Read, Report> {
            Err(Report::new("CX0012", "it is too large"))
        }
    }
    let (collections, _) = world();
    let (progress, collection) = (Progress::default(), of(&collections));
    let wanted = Wanted::default();
    let told = collections
        .sync(team(1), &collection, &origin(), &mut Endless(0), &NoModel, wanted, &progress)
        .expect("kept");
    assert!(matches!(&told.outcome, Outcome::Failed(why) if why.contains("more than 100000")), "{told:?}");
    assert_eq!((told.counts.seen, told.failures.len()), (ITEMS_MAX as u64, 100));
}

#[test]
fn who_reads_what_a_source_brings_is_as_it_is_declared_now() {
    let (collections, _) = world();
    let mut source = Memory::of(&[("a", "one", "1")]);
    let board = Origin { acl: Some(only("ada")), ..origin() };
    sync(&collections, &board, &mut source, Wanted::default());
    let sees = |name: &str| {
        let all = collections.documents(&reader(&[name]), &of(&collections), None, 9);
        !all.expect("listed").is_empty()
    };
    assert!(sees("ada") && !sees("eve"));
    // The mark is the same, and the list is not.
    assert_eq!(counts(&plain(&collections, &mut source)), [0, 1, 0, 0, 0]);
    assert!(sees("ada") && sees("eve"));
    assert_eq!(counts(&plain(&collections, &mut source)), [0, 0, 0, 1, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// However often it was cut short, failed or lied about nothing: when a reading is
    /// complete, the collection has what the source has, and a second one changes nothing.
    #[test]
    fn a_complete_reading_leaves_what_the_source_has(
        rounds in proptest::collection::vec(
            (proptest::collection::btree_map("[a-f]", ("[xyz]", any::<bool>()), 1..6), 0usize..8), 1..6)
    ) {
        let (collections, _) = world();
        let mut source = Memory::default();
        for (items, fails) in rounds {
            let mark = |text: &str, marked: bool| if marked { text.to_owned() } else { String::new() };
            source.items = items.into_iter().map(|(address, (text, marked))| {
                let mark = mark(&text, marked);
                (address, (text, mark))
            }).collect();
            source.fails_at = Some(fails);
            plain(&collections, &mut source);
            source.fails_at = None;
            let done = plain(&collections, &mut source);
            prop_assert_eq!(&done.outcome, &Outcome::Complete);
            prop_assert_eq!(held(&collections), source.texts());
            let again = counts(&plain(&collections, &mut source));
            prop_assert_eq!(again, [0, 0, 0, source.items.len() as u64, 0]);
        }
    }
}
