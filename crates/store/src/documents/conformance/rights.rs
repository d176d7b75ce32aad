//! What a reader may not read is as if it were not there.

use super::sample::{acl, collection, document, opened, put, reader, shared, team};
use crate::documents::{
    AclClass, Change, ChunkId, Counts, Grade, Lexing, NewDocument, Reader, Subject, Tenant, Tenants,
    TextQuery, Trust,
};
use units::{Labels, Sensitivity};

/// What every path shows of one document with the word "engine": that it is there, or nothing.
fn paths(tenant: &dyn Tenant, reader: &Reader, new: &NewDocument, chunks: &[ChunkId]) -> Vec<bool> {
    let terms = ["engine".to_owned()];
    let query = TextQuery { terms: &terms, limit: 10 };
    let found = tenant.search_text(reader, new.collection, &query).expect("it searches");
    let fetched = tenant.chunks(reader, chunks).expect("they read");
    let vectors = tenant.vectors(reader, new.collection, 1, chunks).expect("they read");
    let previewed = tenant.document_chunks(reader, new.id, 0, 10).expect("they read");
    let cited = tenant.document(reader, new.id).expect("it reads");
    let exported = tenant.documents(reader, new.collection, None, 10).expect("they read");
    let counted = tenant.counts(reader, new.collection).expect("it counts");
    vec![
        found.iter().any(|hit| chunks.contains(&hit.chunk)),
        !fetched.is_empty(),
        !vectors.is_empty(),
        !previewed.is_empty(),
        cited.is_some(),
        exported.iter().any(|d| d.id == new.id),
        counted != Counts::default(),
    ]
}

const ALL: [bool; 7] = [true; 7];
const NONE: [bool; 7] = [false; 7];

pub fn who_is_not_on_the_list_sees_nothing(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = shared(1, &["The engine burns."], &["user:ada", "group:ops"]);
    let chunks = put(&*tenant, new.clone()).added;
    let cases: [(&[&str], bool); 6] = [
        (&["user:ada"], true),
        (&["group:ops"], true),
        (&["user:eve", "group:ops"], true),
        (&[], false),
        (&["user:eve"], false),
        (&["group:Ops"], false),
    ];
    for (who, sees) in cases {
        let expected = if sees { ALL } else { NONE };
        assert_eq!(paths(&*tenant, &reader(who), &new, &chunks), expected, "{who:?}");
    }
}

pub fn another_teams_reader_finds_nothing(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = document(1, &["The engine burns."]);
    let chunks = put(&*tenant, new.clone()).added;
    let other = Reader::new(team(2), [Subject::user("ada")]);
    assert_eq!(paths(&*tenant, &other, &new, &chunks), NONE);
    assert!(tenant.classes(&other).expect("it reads").is_empty());
    assert_eq!(tenant.share(&other, new.id, &acl(&["user:eve"])).expect("it reads"), None);
    assert_eq!(paths(&*tenant, &reader(&[]), &new, &chunks), ALL);
}

pub fn sharing_counts_at_once(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = document(1, &["The engine burns."]);
    let first = put(&*tenant, new.clone());
    let (ada, eve) = (reader(&["user:ada"]), reader(&["user:eve"]));
    assert_eq!(paths(&*tenant, &eve, &new, &first.added), ALL);
    let changed = tenant.share(&ada, new.id, &acl(&["user:ada"])).expect("it is there").expect("she sees it");
    assert_eq!((changed.change, changed.version), (Change::Regraded, 1), "no new version");
    assert_ne!(changed.class, first.class);
    assert_eq!((&changed.kept, changed.searched), (&first.added, true));
    assert_eq!(paths(&*tenant, &eve, &new, &first.added), NONE);
    assert_eq!(paths(&*tenant, &ada, &new, &first.added), ALL);
    let again = tenant.share(&ada, new.id, &acl(&["user:ada"])).expect("it is there").expect("she sees it");
    assert_eq!((again.change, again.class), (Change::Unchanged, changed.class));
    let back = tenant.share(&ada, new.id, &acl(&["team"])).expect("it is there").expect("she sees it");
    assert_eq!(back.class, first.class, "the same list has the same number");
    assert_eq!(paths(&*tenant, &eve, &new, &first.added), ALL);
}

pub fn whoever_puts_again_learns_the_grade(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let labels = Labels { sensitivity: Sensitivity::Confidential, ..Labels::default() };
    let new = NewDocument { labels: labels.clone(), ..shared(1, &["The engine burns."], &["user:ada"]) };
    put(&*tenant, new.clone());
    let grade = |source: &str| tenant.grade_of(new.collection, source).expect("it reads");
    let of = Grade { acl: acl(&["user:ada"]), labels, trust: Trust::Known, batch: "docs".into() };
    assert_eq!(grade(&new.source), Some(of));
    assert_eq!(grade("elsewhere.md"), None);
    tenant.remove(&[new.id]).expect("it is removed");
    assert_eq!(grade(&new.source), None);
}

pub fn only_who_sees_a_document_shares_it(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = shared(1, &["The engine burns."], &["user:ada"]);
    let chunks = put(&*tenant, new.clone()).added;
    let eve = reader(&["user:eve"]);
    assert_eq!(tenant.share(&eve, new.id, &acl(&["user:eve"])).expect("it reads"), None);
    assert_eq!(paths(&*tenant, &eve, &new, &chunks), NONE);
    let none = document(9, &[]).id;
    assert_eq!(tenant.share(&reader(&["user:ada"]), none, &acl(&["team"])).expect("it reads"), None);
}

pub fn quarantined_text_is_found_by_nobody(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let held = NewDocument { trust: Trust::Quarantined, ..document(1, &["The engine burns."]) };
    let first = put(&*tenant, held.clone());
    assert!(!first.searched);
    // Listed, looked into by who reviews it, but neither searched nor fetched.
    let listed = [false, false, false, true, true, true, true];
    assert_eq!(paths(&*tenant, &reader(&[]), &held, &first.added), listed);
    assert_eq!(tenant.counts(&reader(&[]), held.collection).expect("it counts").quarantined, 1);
    assert_eq!(tenant.index_classes(held.collection, None, 10).expect("they read"), []);
    assert_eq!(tenant.index_rows(held.collection, 1, None, 10).expect("they read"), []);
    let released = put(&*tenant, document(1, &["The engine burns."]));
    assert_eq!((released.change, released.searched, released.version), (Change::Regraded, true, 2));
    assert_eq!(paths(&*tenant, &reader(&[]), &held, &first.added), ALL);
    let index = [(first.added[0], first.class)];
    assert_eq!(tenant.index_classes(held.collection, None, 10).expect("they read"), index);
    put(&*tenant, held.clone());
    assert_eq!(paths(&*tenant, &reader(&[]), &held, &first.added), listed, "and back again");
}

pub fn an_agent_sees_what_both_may_see(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let lists: [(&[&str], bool); 4] = [
        (&["team"], true),
        (&["user:ada"], false),
        (&["group:bots"], false),
        (&["user:ada", "group:bots"], true),
    ];
    let agent = reader(&["group:bots"]).within([Subject::user("ada")]);
    for (n, (subjects, sees)) in (1..).zip(lists) {
        let new = shared(n, &["The engine burns."], subjects);
        let chunks = put(&*tenant, new.clone()).added;
        let mut expected = if sees { ALL } else { NONE };
        expected[6] = true; // Counts are of all four.
        let mut shown = paths(&*tenant, &agent, &new, &chunks);
        shown[6] = true;
        assert_eq!(shown, expected, "{subjects:?}");
    }
    assert_eq!(tenant.counts(&agent, document(1, &[]).collection).expect("it counts").documents, 2);
}

pub fn a_mask_grows_with_the_lists(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let ada = reader(&["user:ada"]);
    assert!(tenant.classes(&ada).expect("it reads").is_empty());
    let mut may: Vec<AclClass> = Vec::new();
    for n in 1..=6 {
        let subjects = if n % 2 == 0 { ["user:ada", "group:x"] } else { ["user:eve", "group:x"] };
        let subjects = if n == 6 { &subjects[..1] } else { &subjects[..] };
        let class = put(&*tenant, shared(n, &["one"], subjects)).class;
        if n % 2 == 0 && !may.contains(&class) {
            may.push(class);
        }
        let mask = tenant.classes(&ada).expect("it reads");
        assert_eq!(mask.iter().collect::<Vec<_>>(), may, "after document {n}");
    }
    assert_eq!(may.len(), 2);
}

pub fn tenants_know_nothing_of_each_other(tenants: &dyn Tenants) {
    let one = opened(tenants);
    put(&*one, document(1, &["The engine burns."]));
    let two = tenants.tenant(team(2)).expect("it opens");
    assert_eq!((one.team(), two.team()), (team(1), team(2)));
    assert_eq!(two.collections().expect("they read"), []);
    two.create_collection(collection(1, Lexing::Stemmed)).expect("the name and the id are free here");
    let reader = Reader::new(team(2), []);
    assert_eq!(two.document(&reader, document(1, &[]).id).expect("it reads"), None);
    assert!(tenants.remove_tenant(team(2)).expect("it goes"));
    assert_eq!(one.collections().expect("they read").len(), 1);
}
