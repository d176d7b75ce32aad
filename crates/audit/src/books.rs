//! The log against the books: every request that was settled has its leaf, every
//! leaf of a request its record, and both say the same of it.
//!
//! Tree and signatures prove that nobody changed the log after it was signed;
//! they say nothing about a ledger that tells another story. Whoever changes a
//! record, a posting or a leaf has to change all three alike, and the leaf is
//! under a checkpoint.

use store::{LEAVES_MAX, SETTLEMENTS_MAX, Settlement, Store};
use units::{Micros, RequestId, Usd};

use crate::{Error, Leaf, of_record};

/// Differences named at most; the rest is counted.
const DIFFERENCES_MAX: usize = 20;
/// What a leaf with a record says was done: the control API's have none.
const RECORDED: [&str; 2] = ["infer", "tool.call"];

/// What was compared, and what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Requests that were settled.
    pub records: u64,
    /// Those whose leaf says the same.
    pub agree: u64,
    /// Settled before there was a log: they have no leaf.
    pub older: u64,
    pub without_leaf: u64,
    /// Leaves of requests that the ledger does not know.
    pub without_record: u64,
    pub differ: u64,
    /// The first twenty.
    pub differences: Vec<Difference>,
}

/// One thing of which log and books say something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub request: Option<RequestId>,
    pub leaf: Option<u64>,
    /// `cost`, `tokens`, `decision`...; `leaf` or `record` where that is missing.
    pub what: &'static str,
    pub log: String,
    pub books: String,
}

impl Books {
    pub fn is_sound(&self) -> bool {
        self.without_leaf + self.without_record + self.differ == 0
    }

    fn found(&mut self, difference: Difference) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }

    fn settled(&mut self, one: &Settlement, leaf: Option<&[u8]>, log_began: Option<Micros>) {
        self.records += 1;
        if one.leaf.is_none() && log_began.is_none_or(|began| one.record.at < began) {
            self.older += 1;
            return;
        }
        let request = Some(one.record.id);
        let Some(leaf) = leaf else {
            self.without_leaf += 1;
            return self.found(Difference {
                request,
                leaf: one.leaf,
                what: "leaf",
                log: "none".into(),
                books: format!("settled at {}", one.record.at),
            });
        };
        match compare(leaf, one) {
            None => self.agree += 1,
            Some((what, log, books)) => {
                self.differ += 1;
                self.found(Difference { request, leaf: one.leaf, what, log, books });
            }
        }
    }

    fn unsettled(&mut self, number: u64, leaf: &Leaf) {
        self.without_record += 1;
        self.found(Difference {
            request: leaf.request_id,
            leaf: Some(number),
            what: "record",
            log: format!("{} at {}", leaf.outcome, leaf.time),
            books: "none".into(),
        });
    }
}

/// Compares a store's whole log with its ledger: some seconds per million
/// requests. What is settled while it runs is left out.
///
/// # Errors
/// When the store cannot be read at all; what differs is in the result.
pub fn reconcile(store: &dyn Store) -> Result<Books, Error> {
    let size = store.log_size()?;
    let mut leaves = Leaves { store, from: 0, page: Vec::new() };
    let log_began = leaves.get(0).and_then(|leaf| Leaf::decode(leaf).ok()).map(|leaf| leaf.time);
    let mut books = Books::default();
    let mut seen = Seen::new(size);
    let mut from = 0;
    'books: loop {
        let page = store.settlements(from, SETTLEMENTS_MAX)?;
        let Some(last) = page.last() else { break };
        from = last.number + 1;
        for one in &page {
            if one.leaf.is_some_and(|n| n >= size) {
                break 'books;
            }
            let leaf = match one.leaf {
                Some(n) => {
                    seen.mark(n);
                    leaves.get(n)
                }
                None => None,
            };
            books.settled(one, leaf, log_began);
        }
    }
    for number in (0..size).filter(|n| !seen.is_marked(*n)) {
        let Some(leaf) = leaves.get(number).and_then(|bytes| Leaf::decode(bytes).ok()) else { continue };
        let Some(request) = leaf.request_id.filter(|_| RECORDED.contains(&&*leaf.action)) else { continue };
        // A request that was settled twice has two leaves; the first is its own.
        if store.leaf_of(request)?.is_none_or(|first| first > number) {
            books.unsettled(number, &leaf);
        }
    }
    Ok(books)
}

/// The first thing in which a request's leaf and its books differ.
fn compare(leaf: &[u8], one: &Settlement) -> Option<(&'static str, String, String)> {
    let log = match Leaf::decode(leaf) {
        Ok(leaf) => leaf,
        Err(error) => return Some(("leaf", error.to_string(), "a leaf".into())),
    };
    // As it would be read: with texts cut and lists in their order.
    let books = Leaf::decode(&of_record(&one.record).encode()).expect("what was encoded reads");
    let id = |id: Option<String>| id.unwrap_or_else(|| "none".into());
    let hash = |leaf: &Leaf| leaf.policy_set.map_or_else(|| "none".into(), |hash| hash.to_string());
    let tokens = |leaf: &Leaf| {
        let axes: Vec<String> = leaf.tokens.iter().map(|(axis, n)| format!("{axis} {n}")).collect();
        axes.join(", ")
    };
    let usd = |pico: i64| Usd::from_pico(pico).to_string();
    // The first attempt's expense, the second's...: what the team was charged.
    let expenses = one.postings.iter().filter(|p| p.account.starts_with("expense:"));
    let posted = Usd::sum(expenses.map(|p| p.amount));
    let posted = if posted == i128::from(one.record.cost.pico()) { None } else { Some(posted) };
    [
        ("request", id(log.request_id.map(|i| i.to_string())), id(books.request_id.map(|i| i.to_string()))),
        ("time", log.time.to_string(), books.time.to_string()),
        ("team", id(log.team.map(|i| i.to_string())), id(books.team.map(|i| i.to_string()))),
        ("key", id(log.key.map(|i| i.to_string())), id(books.key.map(|i| i.to_string()))),
        ("model", log.resource.clone(), books.resource.clone()),
        ("decision", log.decision.clone(), books.decision.clone()),
        ("policy set", hash(&log), hash(&books)),
        ("policies", log.policies.join(", "), books.policies.join(", ")),
        ("target", log.target.clone(), books.target.clone()),
        ("labels", log.labels.clone(), books.labels.clone()),
        ("tokens", tokens(&log), tokens(&books)),
        ("cost", usd(log.cost_pico), usd(books.cost_pico)),
        ("outcome", log.outcome.clone(), books.outcome.clone()),
    ]
    .into_iter()
    .find(|(_, log, books)| log != books)
    .or_else(|| {
        posted.map(|pico| ("postings", usd(log.cost_pico), format!("{pico} pico-dollars of expense")))
    })
}

/// Leaves by number, most of them one after the other.
struct Leaves<'s> {
    store: &'s dyn Store,
    from: u64,
    page: Vec<Vec<u8>>,
}

impl Leaves<'_> {
    /// `None` for one that is not there or cannot be read: `check` says why.
    fn get(&mut self, number: u64) -> Option<&[u8]> {
        let end = self.from + self.page.len() as u64;
        if !(self.from..end).contains(&number) {
            self.page = self.store.leaves(number, LEAVES_MAX).unwrap_or_default();
            self.from = number;
        }
        self.page.get((number - self.from) as usize).map(Vec::as_slice)
    }
}

/// A bit for each leaf: 12 MB for a hundred million.
struct Seen(Vec<u64>);

impl Seen {
    fn new(leaves: u64) -> Seen {
        Seen(vec![0; leaves.div_ceil(64) as usize])
    }
    fn mark(&mut self, number: u64) {
        self.0[(number / 64) as usize] |= 1 << (number % 64);
    }
    fn is_marked(&self, number: u64) -> bool {
        self.0[(number / 64) as usize] >> (number % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests;
