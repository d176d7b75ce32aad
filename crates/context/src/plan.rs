//! How the dense arm is searched: by how many chunks the reader may read.
//!
//! Nothing is estimated: the mask is counted before the search. So nobody gets fewer
//! than `min(k, allowed)` results without being told, and the reply can say whether
//! what it gives is exact.
//!
//! The originals lie encrypted in the tenant's file, and reading one costs as much as
//! scanning some thousand quantised vectors. So they are all compared only where a scan
//! would have most of them read anyway.

/// What a quantised scan gives beyond twice the results wanted, to be ranked again by the
/// originals. Of 100,000 vectors of 384 dimensions in 200 tight clusters, where everything may
/// be read, 100 candidates hold .999 of the nearest ten, and 40 hold .990 (`bench context`).
/// Whoever ranks them need not read all: see `vectors::ranked`.
const CANDIDATES_MORE: usize = 80;
/// For each [`STEP`] beyond the first: a million in as many clusters lie ten times as tight, where
/// 100 candidates hold .912, 200 hold .980 and 300 all of them; 820 take twice the scan's time.
const MORE_BY_STEP: usize = 25;
const STEP: u64 = 100_000;
/// Of ever so many chunks.
const MORE_MAX: usize = 2_000;
/// Results of one search at most, as the store's pages: a filter that comes behind it may
/// have to reach so far.
pub const K_MAX: usize = 10_000;

/// How the index holds vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// With fewer bits than the originals: its best are approximately the best.
    pub quantised: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The reader may read nothing here, or wants nothing.
    Nothing,
    /// Compare all allowed chunks by their original vectors, without a scan.
    Direct,
    /// Scan the index under the mask for so many, and rank them again by the originals.
    Masked { fetch: usize },
}

impl Scan {
    /// How many of `allowed` chunks the index is asked for.
    pub const fn candidates(self, allowed: usize) -> usize {
        match self {
            Scan::Nothing => 0,
            Scan::Direct => allowed,
            Scan::Masked { fetch } => fetch,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub scan: Scan,
    /// Results that the search owes: `min(k, allowed)`.
    pub k: usize,
    /// Whether the best are certainly found; the reply says so.
    pub exact: bool,
}

/// Plans the search for `k` of `allowed` chunks, capped at [`K_MAX`].
pub fn plan(k: usize, allowed: u64, index: Index) -> Plan {
    let k = k.min(K_MAX).min(usize::try_from(allowed).unwrap_or(usize::MAX));
    if k == 0 {
        return Plan { scan: Scan::Nothing, k, exact: true };
    }
    let steps = usize::try_from(allowed.saturating_sub(1) / STEP).unwrap_or(usize::MAX);
    let more = steps.saturating_mul(MORE_BY_STEP).saturating_add(CANDIDATES_MORE).min(MORE_MAX);
    let fetch = if index.quantised { 2 * k + more } else { k };
    if allowed <= fetch as u64 {
        return Plan { scan: Scan::Direct, k, exact: true };
    }
    Plan { scan: Scan::Masked { fetch }, k, exact: !index.quantised }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_allowed_chunks_are_compared_one_by_one() {
        let quantised = Index { quantised: true };
        assert_eq!(plan(10, 0, quantised), Plan { scan: Scan::Nothing, k: 0, exact: true });
        assert_eq!(plan(10, 3, quantised), Plan { scan: Scan::Direct, k: 3, exact: true });
        assert_eq!(plan(10, 100, quantised).scan, Scan::Direct);
        let many = plan(10, 101, quantised);
        assert_eq!(many, Plan { scan: Scan::Masked { fetch: 100 }, k: 10, exact: false });
        assert_eq!(plan(10, 1_000_000, quantised).scan, Scan::Masked { fetch: 325 });
        assert_eq!(plan(10, u64::MAX, quantised).scan, Scan::Masked { fetch: 2_020 });
        assert!(plan(10, 1_000_000, Index { quantised: false }).exact);
    }

    proptest! {
        #[test]
        fn a_search_owes_what_is_allowed(k in 0usize..15_000, allowed in 0u64..10_000_000, quantised: bool) {
            let plan = plan(k, allowed, Index { quantised });
            prop_assert_eq!(plan.k as u64, (k.min(K_MAX) as u64).min(allowed));
            if let Scan::Masked { fetch } = plan.scan {
                prop_assert!(fetch >= plan.k && fetch as u64 <= allowed);
            }
        }
    }
}
