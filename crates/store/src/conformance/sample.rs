//! Rows to test and measure with, made from a number: the same number, the same row.

use std::sync::Arc;

use chat::Axis;
use units::{AttemptId, KeyId, Micros, OrgId, PicoRate, RequestId, TeamId, Usd, Uuid7};

use crate::{
    Attempt, AttemptOutcome, Entry, HoldRow, Judged, Line, Org, Outcome, Posting, Record, Step, Team,
    UsageRow,
};

/// 2026-11-23T00:00:00Z.
pub const START: Micros = Micros(1_795_392_000_000_000);

/// The id that `n` stands for: `n` milliseconds after [`START`].
pub fn id(n: u64) -> Uuid7 {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut random = [0; 10];
    random[..8].copy_from_slice(&mixed);
    random[8..].copy_from_slice(&(n as u16).to_be_bytes());
    Uuid7::new(at(n), random)
}

pub fn at(n: u64) -> Micros {
    START.plus_us((n as i64).saturating_mul(1_000))
}

pub fn org() -> Org {
    Org { id: OrgId(id(1)), name: "acme".into(), created: START }
}

pub fn team(n: u64) -> Team {
    Team {
        id: TeamId(id(n)),
        org: org().id,
        name: format!("team-{n}"),
        requests_per_minute: Some(600),
        tokens_per_minute: None,
        created: at(n),
    }
}

/// A completed chat with one attempt, as most are, and its three postings.
pub fn settled(n: u64) -> (Record, Vec<Posting>) {
    let (input, output) = (100 + n % 50, 20 + n % 30);
    let lines: Vec<Line> = [("input", input, 150_000), ("output", output, 600_000)]
        .map(|(item, quantity, rate)| Line {
            item: item.into(),
            quantity,
            rate: PicoRate::from_pico(rate),
            amount: Usd::from_pico(rate * quantity as i64),
        })
        .into();
    let cost = Usd::from_wide(Usd::sum(lines.iter().map(|l| l.amount))).expect("a small sum");
    let mut usage = UsageRow::default();
    usage.0[Axis::Input as usize] = input;
    usage.0[Axis::Output as usize] = output;
    let attempt = Attempt {
        id: AttemptId(id(n ^ 1 << 40)),
        purpose: "chat".into(),
        provider: "openai".into(),
        upstream_model: "gpt-4o-mini".into(),
        started: at(n),
        first_byte_us: Some(180_000),
        duration_us: 420_000,
        outcome: AttemptOutcome::Ok,
        status: 200,
        usage,
        estimated: n % 10 == 9,
        unreconciled: false,
        tier: "default".into(),
        lines,
        cost,
        price: Some((START, "catalogue 2026-11-20".into())),
        upstream_id: format!("chatcmpl-{n:020}"),
        note: String::new(),
    };
    let postings = vec![
        posting(attempt.id, "expense:team/small", cost.pico()),
        posting(attempt.id, "payable:openai", 1 - cost.pico()),
        posting(attempt.id, "suspense:unpriced", -1),
    ];
    let steps = ["decode", "identify", "admit", "screen", "prepare", "plan", "dispatch", "stream", "settle"];
    let record = Record {
        id: RequestId(id(n)),
        at: at(n),
        team: TeamId(id(n % 3)),
        key: KeyId(id(n % 5)),
        surface: "openai.chat".into(),
        model: "small".into(),
        end_user: None,
        stream: n.is_multiple_of(2),
        request_bytes: 1_024,
        response_bytes: 2_048,
        outcome: Outcome::Completed,
        status: 200,
        generation: 7,
        decision: "admitted: 1 budget, 599 requests left this minute".into(),
        held: Usd::from_pico(cost.pico() * 3),
        cost,
        duration_us: 421_000,
        steps: steps
            .iter()
            .enumerate()
            .map(|(i, name)| Step {
                name: (*name).into(),
                start_us: i as u64 * 7,
                duration_us: 5 + n % 3,
                note: String::new(),
            })
            .collect(),
        attempts: vec![attempt],
        rejected: Vec::new(),
        labels: "public anywhere user".parse().expect("labels"),
        judged: Some(Judged {
            allowed: true,
            hash: [7; 32],
            determining: vec!["bedplate-grant".into()],
            action: "invoke".into(),
            purpose: "chat".into(),
            ..Judged::default()
        }),
        spent: Vec::new(),
    };
    (record, postings)
}

pub fn settle(n: u64) -> Entry {
    let (record, postings) = settled(n);
    Entry::Settle { record: Arc::new(record), postings, leaf: None }
}

/// The same with [`leaf`] of the same number.
pub fn settle_with_leaf(n: u64) -> Entry {
    let (record, postings) = settled(n);
    Entry::Settle { record: Arc::new(record), postings, leaf: Some(leaf(n)) }
}

/// As large as the leaf of a chat is.
pub fn leaf(n: u64) -> Vec<u8> {
    let mut leaf = n.to_be_bytes().repeat(40);
    leaf.extend(b"a leaf's bytes mean nothing to a store");
    leaf
}

/// The hold that precedes [`settle`] of the same number.
pub fn hold(n: u64) -> HoldRow {
    let record = settled(n).0;
    HoldRow {
        request: record.id,
        team: record.team,
        key: record.key,
        budgets: vec![units::BudgetId(id(8)), units::BudgetId(id(9))],
        model: record.model,
        amount: record.held,
        at: record.at,
    }
}

pub fn posting(attempt: AttemptId, account: &str, pico: i64) -> Posting {
    Posting { attempt, account: Arc::from(account), amount: Usd::from_pico(pico) }
}
