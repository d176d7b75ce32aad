//! Step 7: which targets, in which order: [`routing::plan`] over this moment's health.

use routing::{Need, Plan};

use crate::prepare::Prepared;

pub(crate) fn plan(prepared: &mut Prepared) -> Plan {
    let from = runtime::clock::monotonic_us();
    let account = &mut prepared.admitted;
    // Eight bytes to a token understates every tokenizer in use: only a prompt
    // that surely overflows rules a target out here; the rest its engine judges.
    let need = Need {
        embedding: account.surface == crate::Surface::Embed,
        images: false,
        input_tokens_min: prepared.asked.envelope.text_bytes as u64 / 8,
    };
    let seed = account.id.0.as_bytes()[8..].try_into().map_or(0, u64::from_le_bytes);
    let route = account.route.clone();
    let plan = routing::plan(&route.candidates, &route.health(), &need, account.at, seed);
    account.rejected = plan
        .rejected
        .iter()
        .map(|r| store::Rejected {
            target: route.targets[r.target].sku.to_string(),
            reason: r.reason.to_string(),
        })
        .chain(
            route
                .absent
                .iter()
                .map(|(sku, why)| store::Rejected { target: sku.to_string(), reason: why.clone() }),
        )
        .collect();
    account.step("plan", from, String::new());
    plan
}
