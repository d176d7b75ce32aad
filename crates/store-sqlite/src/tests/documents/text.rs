//! Full text from memory: what it finds is what FTS5 finds.

use std::path::Path;

use proptest::prelude::*;
use seal::KeyRing;
use store::documents::conformance::sample::{collection, document, opened, put, reader, shared, team};
use store::documents::{Acl, ChunkId, Hit, Lexing, NewDocument, Tenant, Tenants, TextQuery, Trust};

use crate::{SqliteTenants, TenantsConfig, TextConfig};

/// With all full text in memory, and without.
fn both(dir: &Path) -> [SqliteTenants; 2] {
    [TextConfig { chunks_min: 0, wait: true, ..TextConfig::default() }, never()].map(|text| {
        let config = TenantsConfig { text: text.clone(), ..TenantsConfig::default() };
        SqliteTenants::new(&dir.join(text.chunks_min.to_string()), &KeyRing::ephemeral(), config)
    })
}

fn never() -> TextConfig {
    TextConfig { chunks_min: u64::MAX, ..TextConfig::default() }
}

fn search(tenant: &dyn Tenant, who: &[&str], terms: &[String], limit: usize) -> Vec<Hit> {
    let query = TextQuery { terms, limit };
    tenant.search_text(&reader(who), collection(1, Lexing::Words).id, &query).expect("it searches")
}

fn ids(hits: &[Hit]) -> Vec<ChunkId> {
    hits.iter().map(|hit| hit.chunk).collect()
}

#[test]
fn full_text_from_memory_conforms() {
    let dir = tempfile::tempdir().expect("a directory");
    let counter = std::cell::Cell::new(0);
    store::documents::conformance::run(|| {
        counter.set(counter.get() + 1);
        let [kept, _] = both(&dir.path().join(counter.get().to_string()));
        Box::new(kept)
    });
}

#[derive(Clone, Debug)]
enum Step {
    Put { n: u64, texts: Vec<String>, group: usize, quarantined: bool },
    Share { n: u64, group: usize },
    Remove { n: u64 },
    Search { terms: Vec<String>, group: usize, limit: usize },
}

const GROUPS: [&str; 3] = ["team", "group:ops", "user:ada"];

/// Words whose letters, marks and endings tokenizers take differently.
const WORDS: [&str; 32] = [
    "engine",
    "Engines",
    "engine's",
    "ENGINEERING",
    "generalizations",
    "relational",
    "running",
    "sky",
    "agreed",
    "hopping",
    "naïve",
    "naive",
    "Ünï",
    "İstanbul",
    "ıssız",
    "e\u{301}cole",
    "école",
    "हिन्दी",
    "मशीन",
    "東京都水道局",
    "安全",
    "สวัสดี",
    "ﬁne",
    "ß",
    "STRASSE",
    "x",
    "a1b2",
    "search_text",
    "fn(x)",
    "the\0end",
    "Ǆ",
    "\u{1F600}ok",
];

fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![8 => (0..WORDS.len()).prop_map(|n| WORDS[n].to_owned()), 1 => "\\PC{1,10}"];
    // A chunk's text with a zero byte is refused; a term may have one.
    proptest::collection::vec(word, 1..12).prop_map(|words| words.join(" ").replace('\0', " "))
}

fn step() -> impl Strategy<Value = Step> {
    let texts = proptest::collection::vec(text(), 1..4);
    let terms = proptest::collection::vec(
        prop_oneof![
            4 => (0..WORDS.len()).prop_map(|n| WORDS[n].to_owned()),
            1 => (0..WORDS.len(), 0..WORDS.len()).prop_map(|(a, b)| format!("{} {}", WORDS[a], WORDS[b])),
            1 => "\\PC{0,8}",
        ],
        1..6,
    );
    prop_oneof![
        6 => (0..10u64, texts, 0..3usize, prop::bool::weighted(0.1))
            .prop_map(|(n, texts, group, quarantined)| Step::Put { n, texts, group, quarantined }),
        2 => (0..10u64, 0..3usize).prop_map(|(n, group)| Step::Share { n, group }),
        1 => (0..10u64).prop_map(|n| Step::Remove { n }),
        5 => (terms, 0..3usize, prop_oneof![Just(3usize), Just(1_000)])
            .prop_map(|(terms, group, limit)| Step::Search { terms, group, limit }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Both find the same, and weigh it the same, whatever was put, shared and removed before.
    #[test]
    fn memory_and_file_find_the_same(
        lexing in (0..3usize).prop_map(|n| Lexing::ALL[n]),
        steps in proptest::collection::vec(step(), 5..25),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let both = both(dir.path());
        let tenants = [0, 1].map(|at| {
            let tenant = both[at].tenant(team(1)).expect("it opens");
            tenant.create_collection(collection(1, lexing)).expect("the name is free");
            tenant
        });
        for step in steps {
            match step {
                Step::Put { n, texts, group, quarantined } => {
                    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                    let trust = if quarantined { Trust::Quarantined } else { Trust::Known };
                    let new = NewDocument { trust, ..shared(n, &texts, &[GROUPS[group]]) };
                    let put = [0, 1].map(|at| put(&*tenants[at], new.clone()).added);
                    prop_assert_eq!(&put[0], &put[1]);
                }
                Step::Share { n, group } => {
                    let acl = Acl::parse(GROUPS[group]).expect("a list");
                    for tenant in &tenants {
                        tenant.share(&reader(&GROUPS), document(n, &[]).id, &acl).expect("it is shared");
                    }
                }
                Step::Remove { n } => {
                    for tenant in &tenants {
                        tenant.remove(&[document(n, &[]).id]).expect("it goes");
                    }
                }
                Step::Search { terms, group, limit } => {
                    let ours = search(&*tenants[0], &[GROUPS[group]], &terms, limit);
                    let all = search(&*tenants[1], &[GROUPS[group]], &terms, 1_000);
                    prop_assert_eq!(ours.len(), all.len().min(limit), "{:?} {:?}", &ours, &all);
                    for (at, hit) in ours.iter().enumerate() {
                        let same = all.iter().find(|other| other.chunk == hit.chunk);
                        let near = |other: f32| (hit.score - other).abs() <= 1e-5 * (1.0 + other.abs());
                        prop_assert!(same.is_some_and(|same| near(same.score)), "{:?} {:?}", hit, same);
                        prop_assert!(near(all[at].score), "place {}: {:?} {:?}", at, hit, all[at]);
                    }
                    let ordered = |pair: &[Hit]| (-pair[0].score, pair[0].chunk) < (-pair[1].score, pair[1].chunk);
                    prop_assert!(ours.windows(2).all(ordered), "{:?}", ours);
                }
            }
        }
    }
}

#[test]
fn a_collection_is_kept_from_some_size_on_and_within_its_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let texts = ["The engine burns.", "It cools again."];
    let kept = |chunks_min, bytes_max| {
        let text = TextConfig { chunks_min, bytes_max, wait: true };
        let config = TenantsConfig { text, ..TenantsConfig::default() };
        let dir = dir.path().join(format!("{chunks_min}-{bytes_max}"));
        let tenants = SqliteTenants::new(&dir, &KeyRing::ephemeral(), config);
        let tenant = opened(&tenants);
        (1..=10).for_each(|n| drop(put(&*tenant, document(n, &texts))));
        assert_eq!(search(&*tenant, &[], &["engine".into()], 100).len(), 10);
        tenants.text_bytes()
    };
    assert!(kept(20, usize::MAX) > 0);
    assert_eq!(kept(21, usize::MAX), 0, "too small");
    assert_eq!(kept(20, 100), 0, "too large");
}

#[test]
fn another_teams_reader_neither_finds_nor_builds() {
    let dir = tempfile::tempdir().expect("a directory");
    let [kept, _] = both(dir.path());
    let tenant = opened(&kept);
    put(&*tenant, document(1, &["The engine burns.", "Pumps.", "Valves."]));
    let other = store::documents::Reader::new(team(2), []);
    let (terms, of) = (["engine".to_owned()], collection(1, Lexing::Words).id);
    let query = TextQuery { terms: &terms, limit: 9 };
    assert_eq!(tenant.search_text(&other, of, &query).expect("it searches"), []);
    assert_eq!(kept.text_bytes(), 0);
    assert_eq!(search(&*tenant, &[], &terms, 9).len(), 1);
    assert!(kept.text_bytes() > 0);
    assert_eq!(tenant.search_text(&other, of, &query).expect("it searches"), []);
    tenant.remove_collection(of).expect("it goes");
    assert_eq!(kept.text_bytes(), 0, "it goes with its collection");
}

#[test]
fn much_that_changed_is_taken_over_beside() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = TextConfig { chunks_min: 0, ..TextConfig::default() };
    let config = TenantsConfig { text, ..TenantsConfig::default() };
    let tenants = SqliteTenants::new(dir.path(), &KeyRing::ephemeral(), config);
    let tenant = opened(&tenants);
    let texts: Vec<String> = (0..400).map(|n| format!("engine number{n} of many")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let terms = ["number7".to_owned(), "engine".to_owned()];
    // Whoever answers, each search finds all that was put before it.
    for n in 1..=8 {
        put(&*tenant, document(n, &texts));
        for _ in 0..3 {
            assert_eq!(search(&*tenant, &[], &terms, 10_000).len(), 400 * n as usize);
        }
    }
    tenant.remove(&[document(1, &[]).id]).expect("it goes");
    assert_eq!(search(&*tenant, &[], &terms, 10_000).len(), 400 * 7);
    assert_eq!(search(&*tenant, &[], &["number7".into()], 10_000).len(), 7);
    drop(tenant);
    tenants.close();
    assert_eq!(tenants.text_bytes(), 0);
}

#[test]
fn nothing_is_lost_by_closing_while_it_is_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    let text = TextConfig { chunks_min: 0, ..TextConfig::default() };
    let config = TenantsConfig { text, ..TenantsConfig::default() };
    let tenants = SqliteTenants::new(dir.path(), &keys, config);
    let tenant = opened(&tenants);
    let texts = vec!["The engine burns."; 2_000];
    put(&*tenant, document(1, &texts));
    let terms = ["engine".to_owned()];
    for _ in 0..5 {
        let tenant = tenants.tenant(team(1)).expect("it opens");
        assert_eq!(ids(&search(&*tenant, &[], &terms, 10_000)).len(), 2_000);
        tenants.close();
    }
}
