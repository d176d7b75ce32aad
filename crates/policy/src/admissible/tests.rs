use proptest::prelude::*;

use super::*;

fn zones() -> impl Strategy<Value = BTreeSet<Zone>> {
    prop::collection::btree_set(prop::sample::select(vec!["de", "eu", "fr", "us"]), 0..4)
        .prop_map(|zones| zones.iter().map(|z| z.parse().expect("a zone")).collect())
}

fn labels() -> impl Strategy<Value = Labels> {
    let residency = prop::option::of(zones()).prop_map(|z| z.map_or(Residency::Anywhere, Residency::Within));
    (prop::sample::select(&Sensitivity::ALL[..]), residency, prop::sample::select(&Integrity::ALL[..]))
        .prop_map(|(sensitivity, residency, integrity)| Labels { sensitivity, residency, integrity })
}

fn place() -> impl Strategy<Value = Place> {
    let purposes = prop::collection::btree_set(prop::sample::select(&Purpose::ALL[..]), 0..3);
    let kinds = [PlaceKind::Inside, PlaceKind::OnPrem, PlaceKind::External];
    let of = (
        prop::sample::select(kinds.to_vec()),
        zones(),
        prop::sample::select(&Sensitivity::ALL[..]),
        prop::sample::select(&Integrity::ALL[..]),
        prop::option::of(purposes),
    );
    of.prop_map(|(kind, zones, ceiling, integrity, purposes)| Place {
        zones,
        ceiling,
        integrity,
        purposes,
        ..Place::of_kind(kind, "p")
    })
}

proptest! {
    #[test]
    fn raising_a_label_never_admits_more(
        data in labels(), more in labels(), place in place(), purpose in prop::sample::select(&Purpose::ALL[..]),
    ) {
        if admissible(&data, &place, purpose).is_err() {
            prop_assert!(admissible(&data.join(&more), &place, purpose).is_err());
        }
    }

    #[test]
    fn a_header_raises_and_never_lowers(data in labels(), header in labels()) {
        let text = header.to_string();
        let read = raised(&text).expect("labels as they are written");
        prop_assert_eq!(&read, &header);
        let joined = data.join(&read);
        prop_assert!(joined.sensitivity >= data.sensitivity && joined.integrity >= data.integrity);
    }

    #[test]
    fn no_header_panics(text in "\\PC{0,220}") {
        let _ = raised(&text);
    }
}

#[test]
fn what_nobody_declared_stays_inside() {
    let confidential = Labels { sensitivity: Sensitivity::Confidential, ..Labels::default() };
    let may = |kind, data: &Labels| admissible(data, &Place::of_kind(kind, "p"), Purpose::Chat);
    assert!(may(PlaceKind::External, &Labels::default()).is_ok());
    assert_eq!(
        may(PlaceKind::External, &confidential).expect_err("it is external").to_string(),
        "takes at most public data, and this is confidential"
    );
    assert!(may(PlaceKind::OnPrem, &confidential).is_ok() && may(PlaceKind::Inside, &confidential).is_ok());
}

#[test]
fn data_bound_to_a_zone_needs_a_place_that_declares_it() {
    let eu = Labels { residency: "eu".parse().expect("a zone"), ..Labels::default() };
    let mut place = Place::of_kind(PlaceKind::Inside, "p");
    let refused = admissible(&eu, &place, Purpose::Chat).expect_err("no zone is declared");
    assert_eq!(refused.to_string(), "has no declared zone, and the data may only be in eu");
    place.zones.insert("us".parse().expect("a zone"));
    let refused = admissible(&eu, &place, Purpose::Chat).expect_err("it lies elsewhere");
    assert_eq!(refused.to_string(), "lies in us, and the data may only be in eu");
    place.zones.insert("eu".parse().expect("a zone"));
    assert!(admissible(&eu, &place, Purpose::Chat).is_ok());
}

#[test]
fn a_clearance_opens_the_destination_it_was_given_for_and_no_other() {
    let place = Place {
        destination: Some("https://eu.example.com:443".into()),
        ..Place::of_kind(PlaceKind::External, "p")
    };
    let clearance = admissible(&Labels::default(), &place, Purpose::Chat).expect("public data");
    assert!(clearance.opens("https://eu.example.com:443"));
    assert!(!clearance.opens("https://us.example.com:443") && !clearance.opens("http://eu.example.com:443"));
    let inside = Place::of_kind(PlaceKind::Inside, "engine");
    let clearance = admissible(&Labels::default(), &inside, Purpose::Chat).expect("public data");
    assert!(!clearance.opens("https://eu.example.com:443"));
}

#[test]
fn a_header_that_is_no_label_is_told_why() {
    for (header, why) in [
        ("confidential EU", "\"EU\" is not a zone"),
        ("confidential restricted", "\"restricted\" is the second of its kind"),
        ("eu de", "\"de\" is the second of its kind"),
    ] {
        let told = raised(header).expect_err(header);
        assert!(told.contains(why), "{header}: {told}");
    }
    assert_eq!(raised(""), Ok(Labels::default()));
    let labels = raised("eu+de, confidential").expect("labels");
    assert_eq!(labels.to_string(), "confidential de+eu trusted");
}
