//! Changes in the middle of a search: at each place where one can come between two steps.

use super::*;
use crate::index::at_each_place;

/// From the index's being there to the fetching of texts, in this order.
const PLACES: [&str; 4] = ["indexed", "masked", "scanned", "ranked"];
const OLD: &str = "the crane in hall seven lifts forty tonnes";
const NEW: &str = "the crane in hall seven lifts fifty tonnes";

/// A collection in which eve, too, may read about the crane, beside other documents.
fn crane() -> (Arc<Collections>, Shown) {
    let (collections, shown) = world();
    let ada = reader(&["ada"]);
    for n in 0..30 {
        put(&collections, &shown, &ada, &content(&format!("{n}.txt"), &format!("hall {n} has a crane, too")));
    }
    let both = Acl::new([Subject::user("ada"), Subject::user("eve")]).expect("somebody");
    let crane = Content { acl: Some(both), ..content("crane.txt", OLD) };
    put(&collections, &shown, &ada, &crane);
    (Arc::new(collections), shown)
}

/// What eve is shown when `change` happens at a place of her search.
fn searched_across(place: &'static str, change: fn(&Collections, &Shown)) -> (Vec<String>, Vec<String>) {
    let (collections, shown) = crane();
    let asked = "how many tonnes does the crane in hall seven lift?";
    let mut passed = Vec::new();
    let (there, of) = (Arc::clone(&collections), shown.clone());
    at_each_place(move |at| {
        if passed.is_empty() {
            assert_eq!(at, PLACES[0]);
        }
        if at == place && !passed.contains(&at) {
            change(&there, &of);
        }
        passed.push(at);
    });
    let texts = |found: &Found| found.evidence.iter().map(|e| e.chunk.text.trim().to_owned()).collect();
    let across = search(&collections, &shown, &reader(&["eve"]), asked);
    at_each_place(|_| {});
    let after = search(&collections, &shown, &reader(&["eve"]), asked);
    (texts(&across), texts(&after))
}

#[test]
fn who_is_taken_off_the_list_during_a_search_is_shown_nothing() {
    for place in PLACES {
        let (across, after) = searched_across(place, |collections, shown| {
            let mine = Content { acl: Some(only("ada")), ..content("crane.txt", OLD) };
            assert_eq!(put(collections, shown, &reader(&["ada"]), &mine), Change::Regraded);
        });
        assert!(!across.iter().any(|text| text == OLD), "{place}: {across:?}");
        assert!(!after.iter().any(|text| text == OLD), "{place}: {after:?}");
        assert!(!across.is_empty(), "{place}: the rest is found");
    }
}

#[test]
fn a_document_replaced_during_a_search_is_shown_as_it_is_or_not_at_all() {
    for place in PLACES {
        let (across, after) = searched_across(place, |collections, shown| {
            let new = content("crane.txt", NEW);
            assert_eq!(put(collections, shown, &reader(&["ada"]), &new), Change::Replaced);
        });
        assert!(!across.iter().any(|text| text == OLD), "{place}: {across:?}");
        assert!(after.iter().any(|text| text == NEW), "{place}: {after:?}");
    }
}

#[test]
fn a_document_removed_during_a_search_is_not_shown() {
    for place in PLACES {
        let (across, after) = searched_across(place, |collections, shown| {
            let ada = reader(&["ada"]);
            let gone =
                collections.document(&ada, &shown.collection, "crane.txt").expect("asked").expect("there");
            collections.remove_document(team(1), &shown.collection, gone.id).expect("removed");
        });
        assert!(![across, after].concat().iter().any(|text| text == OLD), "{place}");
    }
}

#[test]
fn a_list_widened_during_a_search_shows_no_more_than_it_says() {
    for place in PLACES {
        let (across, after) = searched_across(place, |collections, shown| {
            // Eve goes, Ben comes, and then everybody may.
            let ben = Acl::new([Subject::user("ada"), Subject::user("ben")]).expect("somebody");
            let shared = Content { acl: Some(ben), ..content("crane.txt", OLD) };
            assert_eq!(put(collections, shown, &reader(&["ada"]), &shared), Change::Regraded);
            let seen = search(collections, shown, &reader(&["eve"]), "crane in hall seven");
            assert!(!seen.evidence.iter().any(|e| e.chunk.text.trim() == OLD));
            let all = Content { acl: Some(Acl::team()), ..content("crane.txt", OLD) };
            assert_eq!(put(collections, shown, &reader(&["ada"]), &all), Change::Regraded);
        });
        assert!(after.iter().any(|text| text == OLD), "{place}: {after:?}");
        assert!(across.len() <= 5);
    }
}
