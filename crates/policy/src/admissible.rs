//! Where data may go: one pure function that everything asks.
//!
//! [`admissible`] compares what is known of the data ([`Labels`]) with what is
//! declared of a [`Place`], and returns a [`Clearance`]: the only thing that
//! opens an outbound socket (`net::Client::send` takes one). A clearance has no
//! public field and no other maker but [`Clearance::errand`], which is for
//! traffic that carries nobody's data and says why.
//!
//! ```compile_fail
//! let forged = policy::Clearance { opens: todo!() };
//! ```
//!
//! Monotone: raising a label never admits a place that it did not admit before.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use units::{Integrity, Labels, Residency, Sensitivity, Zone};

/// What a place is, as far as trust goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaceKind {
    /// The engine inside this process, or a table of this deployment's store.
    Inside,
    /// A server of our own network (`allowPrivate`).
    OnPrem,
    /// Somebody else's.
    External,
}

impl PlaceKind {
    /// How much a place takes of which nobody declared more: an external
    /// provider only what is public, our own network nothing that is restricted,
    /// this process everything. Confidential data leaves the house when somebody
    /// wrote down that it may, never because nobody wrote anything.
    pub const fn ceiling(self) -> Sensitivity {
        match self {
            PlaceKind::Inside => Sensitivity::Restricted,
            PlaceKind::OnPrem => Sensitivity::Confidential,
            PlaceKind::External => Sensitivity::Public,
        }
    }
    /// As in "the target is ...".
    pub const fn name(self) -> &'static str {
        match self {
            PlaceKind::Inside => "inside",
            PlaceKind::OnPrem => "on-prem",
            PlaceKind::External => "external",
        }
    }
}

/// What the data is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    Chat,
    Embedding,
    Rerank,
    Retrieval,
    /// A verdict by another model or a remote detector.
    Guard,
    Judge,
    Tool,
    Cache,
    Memory,
    Export,
}

impl Purpose {
    pub const ALL: [Purpose; 10] = [
        Purpose::Chat,
        Purpose::Embedding,
        Purpose::Rerank,
        Purpose::Retrieval,
        Purpose::Guard,
        Purpose::Judge,
        Purpose::Tool,
        Purpose::Cache,
        Purpose::Memory,
        Purpose::Export,
    ];
    /// As in attempts and records.
    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Chat => "chat",
            Purpose::Embedding => "embedding",
            Purpose::Rerank => "rerank",
            Purpose::Retrieval => "retrieval",
            Purpose::Guard => "guard",
            Purpose::Judge => "judge",
            Purpose::Tool => "tool",
            Purpose::Cache => "cache",
            Purpose::Memory => "memory",
            Purpose::Export => "export",
        }
    }
    pub fn from_name(name: &str) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|p| p.name() == name)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Somewhere data can be sent or kept, as its operator declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As reasons call it: `groq/llama-3.3-70b`, `the semantic cache of team search`.
    pub name: Arc<str>,
    /// The origin that a clearance opens (`https://api.groq.com:443`); `None`:
    /// it is inside, and its clearance opens no socket.
    pub destination: Option<Arc<str>>,
    pub kind: PlaceKind,
    /// Every zone it lies in. Empty: nobody said, so only what may be anywhere.
    pub zones: BTreeSet<Zone>,
    /// The most sensitive data that it takes.
    pub ceiling: Sensitivity,
    /// The least trusted data that it takes.
    pub integrity: Integrity,
    /// `None`: any purpose.
    pub purposes: Option<BTreeSet<Purpose>>,
}

impl Place {
    /// A place of which nothing is declared beyond its kind.
    pub fn of_kind(kind: PlaceKind, name: impl Into<Arc<str>>) -> Place {
        Place {
            name: name.into(),
            destination: None,
            kind,
            zones: BTreeSet::new(),
            ceiling: kind.ceiling(),
            integrity: Integrity::Untrusted,
            purposes: None,
        }
    }
}

/// Proof that something may be sent somewhere. Valid for one destination.
#[derive(Debug)]
#[must_use = "a clearance opens one destination, for the data it was given for"]
pub struct Clearance {
    opens: Opens,
}

#[derive(Debug)]
enum Opens {
    /// Nothing: the place is inside.
    Inside,
    Destination(Arc<str>),
    Errand(Errand),
}

/// Traffic of the operator's own: it carries no prompt, document, memory or
/// answer of anyone. `cargo xtask tidy` lists the files that may run each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errand {
    /// The command line talks to the server that its user named.
    OwnServer,
    /// A model file is fetched from a hub.
    ModelPull,
    /// An identity provider's discovery document, keys and tokens.
    Identity,
    /// Keys are wrapped and unwrapped by a key management service.
    Kms,
    /// A checkpoint of the audit log is shown to a witness.
    Witness,
    /// Metrics and traces are exported.
    Telemetry,
}

impl Errand {
    pub const fn why(self) -> &'static str {
        match self {
            Errand::OwnServer => "a command talks to the server that its user named",
            Errand::ModelPull => "a model file is fetched from a hub that the operator named",
            Errand::Identity => "an identity provider that the operator declared is asked for its keys",
            Errand::Kms => "a key management service that the operator declared wraps a key",
            Errand::Witness => "a witness that the operator declared is shown a checkpoint of hashes",
            Errand::Telemetry => "figures without content go to the operator's collector",
        }
    }
}

impl Clearance {
    /// For traffic that carries nobody's data.
    pub const fn errand(errand: Errand) -> Clearance {
        Clearance { opens: Opens::Errand(errand) }
    }
    /// Why it opens any origin: it is an errand. `None`: it opens one, for data.
    pub const fn why(&self) -> Option<&'static str> {
        match self.opens {
            Opens::Errand(errand) => Some(errand.why()),
            Opens::Inside | Opens::Destination(_) => None,
        }
    }
    /// Whether it opens this origin, written `scheme://host:port`.
    pub fn opens(&self, origin: &str) -> bool {
        match &self.opens {
            Opens::Inside => false,
            Opens::Destination(destination) => **destination == *origin,
            Opens::Errand(_) => true,
        }
    }
}

/// Why a place may not have the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inadmissible {
    #[error("takes at most {ceiling} data, and this is {data}")]
    Sensitivity { data: Sensitivity, ceiling: Sensitivity },
    #[error("{}, and the data may only be in {data}", zones_text(zones))]
    Residency { data: Residency, zones: BTreeSet<Zone> },
    #[error("takes no {data} data")]
    Integrity { data: Integrity },
    #[error("is not declared for {purpose}")]
    Purpose { purpose: Purpose },
}

fn zones_text(zones: &BTreeSet<Zone>) -> String {
    if zones.is_empty() {
        return "has no declared zone".into();
    }
    let names: Vec<&str> = zones.iter().map(Zone::as_str).collect();
    format!("lies in {}", names.join("+"))
}

/// Whether `data` may go to `place` for this purpose.
///
/// # Errors
/// The first rule that forbids it, in the order sensitivity, residency,
/// integrity, purpose.
pub fn admissible(data: &Labels, place: &Place, purpose: Purpose) -> Result<Clearance, Inadmissible> {
    if data.sensitivity > place.ceiling {
        return Err(Inadmissible::Sensitivity { data: data.sensitivity, ceiling: place.ceiling });
    }
    if !data.residency.allows(&place.zones) {
        return Err(Inadmissible::Residency { data: data.residency.clone(), zones: place.zones.clone() });
    }
    if data.integrity > place.integrity {
        return Err(Inadmissible::Integrity { data: data.integrity });
    }
    if place.purposes.as_ref().is_some_and(|purposes| !purposes.contains(&purpose)) {
        return Err(Inadmissible::Purpose { purpose });
    }
    let opens = place.destination.clone().map_or(Opens::Inside, Opens::Destination);
    Ok(Clearance { opens })
}

/// The words of a `bedplate-labels` header: a sensitivity, an integrity and a
/// residency, each at most once and in any order (`confidential eu`). What is
/// not said is the least: the header is joined with what is known, and cannot
/// lower it.
///
/// # Errors
/// What is wrong with it, for the client.
pub fn raised(header: &str) -> Result<Labels, String> {
    if header.len() > 200 {
        return Err(format!("it has {} bytes; the limit is 200", header.len()));
    }
    let (mut sensitivity, mut integrity, mut residency) = (None, None, None);
    for word in header.split([' ', ',']).filter(|w| !w.is_empty()) {
        let again = if let Ok(s) = word.parse::<Sensitivity>() {
            sensitivity.replace(s).is_some()
        } else if let Ok(i) = word.parse::<Integrity>() {
            integrity.replace(i).is_some()
        } else {
            let zones = word.parse::<Residency>().map_err(|e| e.to_string())?;
            residency.replace(zones).is_some()
        };
        if again {
            return Err(format!("\"{word:.40}\" is the second of its kind"));
        }
    }
    Ok(Labels {
        sensitivity: sensitivity.unwrap_or_default(),
        residency: residency.unwrap_or_default(),
        integrity: integrity.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
