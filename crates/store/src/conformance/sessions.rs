//! Sessions of agents.

use units::TeamId;

use super::{append, sample};
use crate::{Entry, Error, PART_BYTES_MAX, PARTS_MAX, SessionChange, SessionPart, Store};

fn part(team: u64, session: u8, number: u32, sealed: &[u8]) -> SessionPart {
    SessionPart { team: TeamId(sample::id(team)), session: [session; 32], number, sealed: sealed.to_vec() }
}

fn put(store: &dyn Store, part: SessionPart) {
    append(store, Entry::Session(SessionChange::Put(part))).expect("it fits");
}

fn all(store: &dyn Store) -> Vec<SessionPart> {
    store.session_parts(([0; 32], 0), PARTS_MAX).expect("they read")
}

pub fn a_sessions_parts_are_put_replaced_and_ended(store: &dyn Store) {
    assert_eq!(all(store), []);
    put(store, part(1, 2, 1, b"read"));
    put(store, part(1, 2, 0, b"began"));
    put(store, part(1, 1, 7, b"other"));
    put(store, part(1, 2, 0, b"granted"));
    let kept = [part(1, 1, 7, b"other"), part(1, 2, 0, b"granted"), part(1, 2, 1, b"read")];
    assert_eq!(all(store), kept, "by session and number, the last of each");
    assert_eq!(store.session_parts(([2; 32], 1), 9).expect("they read"), kept[2..]);
    assert_eq!(store.session_parts(([0; 32], 0), 2).expect("they read"), kept[..2]);
    assert_eq!(store.session_parts(([255; 32], u32::MAX), 9).expect("they read"), []);
    append(store, Entry::Session(SessionChange::End([2; 32]))).expect("it ends");
    append(store, Entry::Session(SessionChange::End([9; 32]))).expect("what is not there has ended");
    assert_eq!(all(store), kept[..1]);
    put(store, part(1, 2, 1, b"again"));
    assert_eq!(all(store).len(), 2, "a name may be used again");
}

pub fn an_erased_teams_sessions_are_gone_and_others_are_whole(store: &dyn Store) {
    for number in 0..3 {
        put(store, part(1, 1, number, b"one"));
        put(store, part(2, 2, number, b"two"));
    }
    store.erase_sessions(TeamId(sample::id(1))).expect("it is erased");
    store.erase_sessions(TeamId(sample::id(1))).expect("it was erased");
    assert_eq!(all(store), (0..3).map(|number| part(2, 2, number, b"two")).collect::<Vec<_>>());
}

pub fn many_parts_are_read_in_turns_and_bounded(store: &dyn Store) {
    for sealed in [vec![], vec![0; PART_BYTES_MAX + 1]] {
        let change = SessionChange::Put(part(1, 1, 1, &sealed));
        assert!(matches!(append(store, Entry::Session(change)), Err(Error::Damaged(_))));
    }
    let count = PARTS_MAX as u32 + 3;
    for number in 0..count {
        put(store, part(1, 1, number, &number.to_le_bytes()));
    }
    put(store, part(1, 2, u32::MAX, &[7; 600_000]));
    let first = all(store);
    assert_eq!((first.len(), first.last().map(|p| p.number)), (PARTS_MAX, Some(PARTS_MAX as u32 - 1)));
    let rest = store.session_parts(([1; 32], PARTS_MAX as u32), usize::MAX).expect("they read");
    assert_eq!(rest.len(), 4);
    assert_eq!(rest[3], part(1, 2, u32::MAX, &[7; 600_000]));
}
