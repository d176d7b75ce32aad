//! The suite that every back-end of documents passes before it may register.
//!
//! Each case gets tenants that are empty, and panics with its name and what
//! differed. The cases know nothing of the back-end beyond the ports.

mod answers;
mod changes;
mod generations;
mod graph;
mod remember;
mod rights;
pub mod sample;
mod search;
mod sources;

use super::Tenants;
use crate::conformance::{Case, run_cases};

/// One line per case.
const CASES: &[Case<dyn Tenants>] = &[
    ("collections are made, changed, listed and removed", changes::collections_live_and_die),
    ("a document reads back as it was put", changes::a_document_reads_back),
    ("the same content again changes nothing", changes::the_same_content_again_changes_nothing),
    ("another content is another version with other chunks", changes::another_content_is_another_version),
    ("what is said otherwise is regraded", changes::what_is_said_otherwise_is_regraded),
    ("a batch is put whole or not at all", changes::a_batch_is_put_whole_or_not_at_all),
    ("a source twice in a batch ends as the last", changes::a_source_twice_ends_as_the_last),
    ("what cannot be stored is refused", changes::what_cannot_be_stored_is_refused),
    ("what a source no longer has goes", changes::what_a_source_no_longer_has_goes),
    ("chunk numbers are never given twice", changes::chunk_numbers_are_never_given_twice),
    ("who is not on the list sees nothing", rights::who_is_not_on_the_list_sees_nothing),
    ("another team's reader finds nothing", rights::another_teams_reader_finds_nothing),
    ("sharing counts from the next call on", rights::sharing_counts_at_once),
    ("only who sees a document shares it", rights::only_who_sees_a_document_shares_it),
    ("whoever puts again learns the readers and the labels", rights::whoever_puts_again_learns_the_grade),
    ("quarantined text is found by nobody", rights::quarantined_text_is_found_by_nobody),
    ("a batch is known again by whoever brought it in", sources::a_batch_is_known_again),
    ("a batch is trusted otherwise, a part at a time", sources::a_batch_is_trusted_otherwise),
    ("a collection's notes are kept and go with it", sources::notes_are_kept_and_go),
    ("an agent sees what both may see", rights::an_agent_sees_what_both_may_see),
    ("a mask grows with the lists there are", rights::a_mask_grows_with_the_lists),
    ("tenants know nothing of each other", rights::tenants_know_nothing_of_each_other),
    ("words are found in any form, best first", search::words_are_found_best_first),
    ("three characters find code and other scripts", search::three_characters_find_other_scripts),
    ("nothing in a term is an operator", search::nothing_in_a_term_is_an_operator),
    ("never fewer than the limit while more may be read", search::never_fewer_than_the_limit),
    ("terms are weighed within their collection", search::terms_are_weighed_within_their_collection),
    ("what was replaced is not found", search::what_was_replaced_is_not_found),
    ("an index is rebuilt from its rows", generations::an_index_is_rebuilt_from_its_rows),
    ("a generation is filled beside and turned over", generations::a_generation_is_filled_and_turned_over),
    ("vectors of another generation are refused", generations::vectors_of_another_generation_are_refused),
    ("an answer is given to who may read all it is of", answers::an_answer_needs_every_document),
    ("an answer goes with a document's change", answers::an_answer_goes_with_a_documents_change),
    ("an answer of an older version is not kept", answers::an_answer_of_an_older_version_is_not_kept),
    ("answers are replaced, found near, revoked, expired", answers::answers_live_and_die),
    ("an answer goes with its turns", answers::an_answer_goes_with_its_turns),
    ("an answer has a record of near questions", answers::an_answer_has_a_record_of_near_questions),
    ("a memory is its owner's alone", remember::a_memory_is_its_owners_alone),
    ("a fact needs the user's own words", remember::a_fact_needs_the_users_own_words),
    ("facts have two times", remember::facts_have_two_times),
    ("a clock that goes back reorders nothing", remember::a_clock_that_goes_back_reorders_nothing),
    ("what is forgotten is gone with its facts", remember::what_is_forgotten_is_gone),
    ("an edge goes with its chunk and its rights", graph::an_edge_goes_with_its_chunk),
    ("edges are put with their document", graph::edges_are_put_with_their_document),
];

/// Runs every case on tenants that `make` opens empty.
///
/// # Panics
/// When a case fails.
pub fn run(make: impl Fn() -> Box<dyn Tenants>) {
    run_cases(CASES, make);
}
