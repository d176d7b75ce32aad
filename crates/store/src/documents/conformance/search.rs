//! Full text.

use super::sample::{collection, document, opened, put, reader, shared};
use crate::documents::{ChunkId, Lexing, NewDocument, Tenant, Tenants, TextQuery};

fn search(tenant: &dyn Tenant, of: &NewDocument, terms: &[&str], limit: usize) -> Vec<ChunkId> {
    let terms: Vec<String> = terms.iter().map(|t| (*t).to_owned()).collect();
    let query = TextQuery { terms: &terms, limit };
    let hits = tenant.search_text(&reader(&[]), of.collection, &query).expect("it searches");
    assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score), "{hits:?}");
    assert!(hits.iter().all(|hit| hit.score.is_finite()), "{hits:?}");
    hits.into_iter().map(|hit| hit.chunk).collect()
}

pub fn words_are_found_best_first(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = document(
        1,
        &[
            "The engines of the ship were tested twice.",
            "An engine, a second engine, a third engine.",
            "Nothing of the kind.",
            "A very long paragraph that goes on about sails, masts, ropes, decks, and one engine at its end.",
            "Pumps and valves.",
            "Crew and quarters.",
            "Maps and charts.",
        ],
    );
    let ids = put(&*tenant, new.clone()).added;
    let found = search(&*tenant, &new, &["engine"], 10);
    assert_eq!(found.len(), 3, "in any form");
    assert_eq!((found[0], found[2]), (ids[1], ids[3]), "more often first, in a long text last");
    assert_eq!(search(&*tenant, &new, &["ENGINE"], 1), [ids[1]]);
    assert_eq!(search(&*tenant, &new, &["third engine"], 10), [ids[1]], "a phrase");
    assert_eq!(search(&*tenant, &new, &["pumps", "charts"], 10).len(), 2, "any of them");
    // The headings count as text.
    assert_eq!(search(&*tenant, &new, &["heading"], 10).len(), 7);
    assert_eq!(search(&*tenant, &new, &["kraken"], 10), []);
    assert_eq!(search(&*tenant, &new, &[], 10), []);
    assert_eq!(search(&*tenant, &new, &["engine"], 0), []);
}

pub fn three_characters_find_other_scripts(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    tenant.create_collection(collection(2, Lexing::Trigrams)).expect("the name is free");
    tenant.create_collection(collection(3, Lexing::Words)).expect("the name is free");
    let texts = ["fn search_text(&self) -> Vec<Hit>", "東京都の水道局は安全です", "无关的文字内容在此"];
    let new = NewDocument { collection: collection(2, Lexing::Trigrams).id, ..document(1, &texts) };
    let ids = put(&*tenant, new.clone()).added;
    assert_eq!(search(&*tenant, &new, &["arch_te"], 10), [ids[0]], "inside a word");
    assert_eq!(search(&*tenant, &new, &["水道局"], 10), [ids[1]]);
    // Without stemming a word is found as it is written.
    let words = ["Die Maschinen laufen.", "Eine Maschine läuft.", "Nichts dergleichen."];
    let new = NewDocument { collection: collection(3, Lexing::Words).id, ..document(2, &words) };
    let ids = put(&*tenant, new.clone()).added;
    assert_eq!(search(&*tenant, &new, &["maschine"], 10), [ids[1]]);
}

pub fn nothing_in_a_term_is_an_operator(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = document(1, &["The engine burns.", "It said \"stop\" twice.", "Pumps.", "Valves."]);
    let ids = put(&*tenant, new.clone()).added;
    for term in ["NOT engine", "text:engine", "engine*", "\"engine", "(engine", "^engine", "a\0engine"] {
        // Whatever it finds, it is no error; and none of these takes anything away.
        search(&*tenant, &new, &[term], 10);
        assert!(search(&*tenant, &new, &[term, "pumps"], 10).contains(&ids[2]), "{term:?}");
    }
    assert_eq!(search(&*tenant, &new, &["said \"stop\""], 10), [ids[1]]);
    for empty in ["", "   ", "\"", "***", "\0", "!?"] {
        assert_eq!(search(&*tenant, &new, &[empty], 10), [], "{empty:?}");
    }
    let long = "engine ".repeat(20_000);
    let many: Vec<&str> = std::iter::repeat_n("pumps", 5_000).collect();
    search(&*tenant, &new, &[&long], 10);
    assert_eq!(search(&*tenant, &new, &many, 10), [ids[2]]);
}

pub fn never_fewer_than_the_limit(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    // The reader may read one in ten, and those fit worst.
    for n in 0..100 {
        let subjects: &[&str] = if n % 10 == 0 { &["team"] } else { &["user:eve"] };
        let text = if n % 10 == 0 { "An engine among many other words of no use." } else { "Engine engine." };
        put(&*tenant, shared(n, &[text], subjects));
    }
    for n in 100..250 {
        put(&*tenant, document(n, &["Something else."]));
    }
    let of = document(1, &[]);
    assert_eq!(search(&*tenant, &of, &["engine"], 5).len(), 5);
    assert_eq!(search(&*tenant, &of, &["engine"], 50).len(), 10, "all that there are");
}

pub fn terms_are_weighed_within_their_collection(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    tenant.create_collection(collection(2, Lexing::Stemmed)).expect("the name is free");
    let new = document(1, &["engine", "pump", "valve", "sail"]);
    put(&*tenant, new.clone());
    let score = || {
        let terms = ["engine".to_owned()];
        let query = TextQuery { terms: &terms, limit: 1 };
        tenant.search_text(&reader(&[]), new.collection, &query).expect("it searches")[0].score
    };
    let before = score();
    let texts = ["engine"; 50];
    put(&*tenant, NewDocument { collection: collection(2, Lexing::Stemmed).id, ..document(2, &texts) });
    assert_eq!(score(), before, "what stands in another collection weighs nothing here");
}

pub fn what_was_replaced_is_not_found(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let others = ["pump", "valve", "sail"];
    put(&*tenant, document(2, &others));
    let new = document(1, &["The engine burns."]);
    put(&*tenant, new.clone());
    assert_eq!(search(&*tenant, &new, &["engine"], 10).len(), 1);
    let ids = put(&*tenant, document(1, &["The kettle boils."])).added;
    assert_eq!(search(&*tenant, &new, &["engine"], 10), []);
    assert_eq!(search(&*tenant, &new, &["kettle"], 10), ids);
    tenant.remove(&[new.id]).expect("it goes");
    assert_eq!(search(&*tenant, &new, &["kettle"], 10), []);
    assert_eq!(search(&*tenant, &new, &["valve"], 10).len(), 1);
}
