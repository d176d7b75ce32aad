//! The suite that every back-end passes before it may register.
//!
//! Each case opens a fresh, empty store and panics with the case's name and
//! what differed. The cases know nothing of the back-end beyond the ports.

mod books;
mod identity;
mod log;
pub mod sample;
mod secrets;
mod sessions;

use std::sync::mpsc;

use crate::{Entry, Error, Store};

/// What a case is called, and what it does with something fresh.
pub(crate) type Case<T> = (&'static str, fn(&T));

/// One line per case.
const CASES: &[Case<dyn Store>] = &[
    ("a batch of changes is atomic", identity::a_batch_of_changes_is_atomic),
    ("a change bumps the generation by one", identity::a_change_bumps_the_generation_by_one),
    ("every kind of change loads as it was written", identity::every_kind_of_change_loads_as_written),
    ("names are unique where they are said to be", identity::names_are_unique_where_said),
    ("what is referred to must exist", identity::what_is_referred_to_must_exist),
    ("prices are dated and never changed", identity::prices_are_dated_and_never_changed),
    ("manifests are put, replaced and removed", identity::manifests_are_put_replaced_and_removed),
    ("a settled record and its postings read back", books::a_settled_record_reads_back),
    ("a settle again changes nothing", books::a_settle_again_changes_nothing),
    ("a hold opens and its settle closes it", books::a_hold_opens_and_its_settle_closes_it),
    ("a hold after its settle stays closed", books::a_hold_after_its_settle_stays_closed),
    ("unbalanced postings are refused alone", books::unbalanced_postings_are_refused_alone),
    (
        "settlements are read in parts with their leaves",
        books::settlements_are_read_in_parts_with_their_leaves,
    ),
    ("totals equal the sum of the records", books::totals_equal_the_sum_of_the_records),
    ("totals are selected by day, team and key", books::totals_are_selected),
    ("absurd quantities neither fail nor wrap", books::absurd_quantities_neither_fail_nor_wrap),
    ("a refused request adds no total", books::a_refused_request_adds_no_total),
    ("a crashed request is charged from its hold", books::a_crashed_request_is_charged_from_its_hold),
    ("the newest record comes first", books::the_newest_record_comes_first),
    ("every entry of a crowd is acknowledged once", books::every_entry_of_a_crowd_is_acknowledged_once),
    ("leaves are numbered as they were appended", log::leaves_are_numbered_as_they_were_appended),
    ("what is refused leaves no leaf", log::what_is_refused_leaves_no_leaf),
    ("a request settled twice keeps its first leaf", log::a_request_settled_twice_keeps_its_first_leaf),
    ("a crowd of leaves has numbers without gaps", log::a_crowd_of_leaves_has_numbers_without_gaps),
    ("many leaves are read in parts", log::many_leaves_are_read_in_parts),
    ("tiles and checkpoints are kept", log::tiles_and_checkpoints_are_kept),
    ("old checkpoints go unless cosigned", log::old_checkpoints_go_unless_they_are_cosigned),
    ("secrets are put, replaced, listed and removed", secrets::secrets_live_and_die),
    ("a session's parts are put, replaced and ended", sessions::a_sessions_parts_are_put_replaced_and_ended),
    (
        "an erased team's sessions are gone and others are whole",
        sessions::an_erased_teams_sessions_are_gone_and_others_are_whole,
    ),
    ("many parts are read in turns and bounded", sessions::many_parts_are_read_in_turns_and_bounded),
    ("a closed store refuses writes", books::a_closed_store_refuses_writes),
];

/// Runs every case on stores that `make` opens empty.
///
/// # Panics
/// When a case fails.
pub fn run(make: impl Fn() -> Box<dyn Store>) {
    run_cases(CASES, make);
}

/// Runs each case of a list on what `make` opens empty, and names the one that fails.
pub(crate) fn run_cases<T: ?Sized>(cases: &[Case<T>], make: impl Fn() -> Box<T>) {
    for (name, case) in cases {
        let fresh = make();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&*fresh)));
        if let Err(panic) = outcome {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("panicked");
            panic!("conformance: {name}: {text}");
        }
    }
}

/// Appends and waits until it is durable or refused.
pub fn append(store: &dyn Store, entry: Entry) -> Result<(), Error> {
    let (sender, receiver) = mpsc::channel();
    store.append(entry, Box::new(move |result| sender.send(result).expect("the test waits")));
    receiver.recv().expect("`done` is called once")
}
