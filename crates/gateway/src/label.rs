//! What is known of a request's data, and where that lets it go.
//!
//! Labels are joined, never replaced: the team's, the model's, what the client
//! says in `bedplate-labels`, then whatever a guard finds between `screen` and
//! `plan` ([`Account::raise`]). Each attempt asks anew, so a label that rises
//! between two attempts holds for the second.

use net::server::Request;
use policy::{Clearance, Inadmissible, Principal, Purpose};
use report::Report;
use units::{Integrity, Labels};

use crate::account::{Account, Arrival};
use crate::{Route, Target};

const HEADER: &str = "bedplate-labels";

/// What the client says of its data. Several headers join.
pub(crate) fn said(request: &Request) -> Result<Labels, Report> {
    let mut labels = Labels::default();
    for value in request.headers.get_all(HEADER) {
        let text = value.to_str().map_err(|e| e.to_string());
        let read = text.and_then(policy::raised).map_err(|why| {
            Report::new("PO0004", "the header `bedplate-labels` could not be read")
                .because(why)
                .hint("write a sensitivity, zones and an integrity, such as `confidential eu user`; it can only raise labels")
        })?;
        labels = labels.join(&read);
    }
    Ok(labels)
}

const ON_BEHALF_OF: &str = "bedplate-on-behalf-of";

/// The user that an agent says it acts for. It need not prove it: the decision
/// is what both may do, so that naming somebody can only take rights away.
pub(crate) fn on_behalf_of(request: &Request) -> Option<String> {
    request.header(ON_BEHALF_OF).map(|user| user.trim().chars().take(64).collect())
}

/// Everything that is known when the request arrives. What a client sends is
/// the client's word: never more trusted than its user.
pub(crate) fn arriving(arrival: &Arrival, principal: &Principal, route: &Route) -> Labels {
    let asks = Labels { integrity: Integrity::User, ..Labels::default() };
    let mut labels = asks.join(&route.labels).join(&arrival.said);
    if let Some(team) = arrival.snapshot.team_labels.get(&principal.team) {
        labels = labels.join(team);
    }
    labels
}

impl Account {
    /// Joins what was found about the data. For guards, between `screen` and
    /// `plan`; there is no way to lower a label.
    pub fn raise(&mut self, found: &Labels) {
        let joined = self.labels.join(found);
        self.changed |= joined != self.labels;
        self.labels = joined;
    }

    /// The right to send the data to a target, now.
    pub fn clear(&self, target: &Target) -> Result<Clearance, Inadmissible> {
        policy::admissible(&self.labels, &target.admits, self.surface.purpose())
    }
}

/// No target of the route may have the data: with each one's reason.
pub(crate) fn nowhere(route: &Route, labels: &Labels, purpose: Purpose) -> Report {
    let reasons = route.targets.iter().filter_map(|target| {
        let why = policy::admissible(labels, &target.admits, purpose).err()?;
        Some(format!("{} {why}", target.sku))
    });
    let reasons: Vec<String> = reasons.collect();
    Report::new("PO0003", format!("no target of model \"{}\" may have this data", route.name))
        .because(reasons.join("; "))
        .at(format!("the data is labelled {labels}"))
        .hint("ask a model with a target that may, or declare `labels` on a Provider or target")
}
