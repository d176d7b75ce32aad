//! The policy set is asked about each call, whoever proposed it.
//!
//! Grants say which team may call a server, pins that a tool is what somebody
//! approved, the gate where its values come from. What is left is the
//! deployment's own: no tool that sends something out after something hostile
//! was read, none of an agent for this user, none at night.

use policy::{Act, Facts, Object, Purpose};
use report::Report;
use store::Judged;
use toolgate::{Digest, Effect};
use units::Labels;

use super::call::Proposed;
use crate::judge::Asker;
use crate::{Gateway, Snapshot};

/// Asks whether a call may be made with data of these labels. `digest`: of the
/// tool's definition. What it said is for the record, whatever it was.
///
/// # Errors
/// PO0001, with the policies that forbid it.
pub(super) fn permit(
    gateway: &Gateway,
    snapshot: &Snapshot,
    proposed: &Proposed<'_>,
    labels: &Labels,
    digest: Digest,
) -> (Judged, Result<(), Report>) {
    let who = proposed.principal;
    let effect = snapshot.tools.declared.get(proposed.name).map_or(Effect::default(), |tool| tool.effect);
    let tool =
        Object::tool(proposed.name, effect != Effect::None, effect == Effect::Egress, &digest.to_string());
    let facts = Facts {
        budget_left: gateway.book().left(who.org, who.team, who.key, proposed.at),
        injection_score: proposed.findings.injection_score,
        pii_types: &proposed.findings.pii_types,
        on_behalf_of: proposed.on_behalf_of,
        ..Facts::of(labels, Purpose::Tool)
    };
    let asker = Asker { snapshot, principal: who, on_behalf_of: proposed.on_behalf_of };
    let (decision, judged) = asker.ask(Act::CallTool, &tool, &facts);
    let verdict = match decision.allowed {
        true => Ok(()),
        false => {
            let what = format!("tool \"{:.130}\"", proposed.name);
            Err(snapshot.policies.report(&decision, Act::CallTool, &what))
        }
    };
    (judged, verdict)
}
