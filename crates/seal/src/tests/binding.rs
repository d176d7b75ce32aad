//! What is sealed opens in its own place only.

use proptest::prelude::*;

use super::*;

fn place<'a>(table: &'a str, row: &'a [u8], version: u32) -> Binding<'a> {
    Binding { table, row, version }
}

#[derive(Clone, Debug, PartialEq)]
struct Place {
    team: u8,
    purpose: usize,
    table: String,
    row: Vec<u8>,
    version: u32,
}

const PURPOSES: [Purpose; 3] = [Purpose::Documents, Purpose::Memory, Purpose::Cache];

impl Place {
    fn binding(&self) -> Binding<'_> {
        place(&self.table, &self.row, self.version)
    }
}

fn places() -> impl Strategy<Value = Place> {
    // Few values, so that places differ in one part often, and in none sometimes.
    let row = prop::collection::vec(prop::sample::select(vec![b'a', b'|', 0]), 0..3);
    let parts = (0..3u8, 0..3usize, "[ab|]{0,2}", row, 0..3u32);
    parts.prop_map(|(team, purpose, table, row, version)| Place { team, purpose, table, row, version })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_value_opens_in_its_place_and_in_no_other(a in places(), b in places(), value in prop::collection::vec(any::<u8>(), 0..64)) {
        let ring = KeyRing::ephemeral();
        let sealed = done(ring.tenant(team(a.team)).seal(PURPOSES[a.purpose], &a.binding(), &value));
        let opened = ring.tenant(team(b.team)).unseal(PURPOSES[b.purpose], &b.binding(), &sealed);
        prop_assert_eq!(opened.is_ok_and(|v| *v == value), a == b);
    }

    #[test]
    fn no_changed_bit_and_no_cut_opens(value in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index) {
        let ring = KeyRing::ephemeral();
        let keys = ring.tenant(team(1));
        let here = place("notes", b"7", 1);
        let mut sealed = done(keys.seal(Purpose::Memory, &here, &value));
        prop_assert_eq!(sealed.len(), value.len() + 28);
        let at = at.index(sealed.len());
        sealed[at] ^= 0x10;
        prop_assert!(keys.unseal(Purpose::Memory, &here, &sealed).is_err());
        prop_assert!(keys.unseal(Purpose::Memory, &here, &sealed[..at]).is_err());
    }

    #[test]
    fn the_platforms_secrets_are_bound_too(value in prop::collection::vec(any::<u8>(), 0..100)) {
        let ring = KeyRing::ephemeral();
        let a = place("secret", b"a", 1);
        let sealed = ring.seal(Purpose::Secrets, &a, &value);
        prop_assert!(ring.unseal(Purpose::Secrets, &a, &sealed).is_ok_and(|plain| *plain == value));
        for other in [place("secret", b"b", 1), place("secrets", b"a", 1), place("secret", b"a", 2)] {
            prop_assert!(ring.unseal(Purpose::Secrets, &other, &sealed).is_err());
        }
        prop_assert!(ring.unseal(Purpose::Pepper, &a, &sealed).is_err());
        prop_assert!(KeyRing::ephemeral().unseal(Purpose::Secrets, &a, &sealed).is_err());
        // Nor can a tenant's value pass for the platform's.
        let of_tenant = done(ring.tenant(team(1)).seal(Purpose::Secrets, &a, &value));
        prop_assert!(ring.unseal(Purpose::Secrets, &a, &of_tenant).is_err());
    }
}
