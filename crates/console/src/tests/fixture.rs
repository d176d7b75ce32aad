//! Three servers: at nine in the morning, in an incident, and just started.

use std::collections::BTreeMap;

use api::*;

use crate::View;

fn target(provider: &str, model: &str, prices: [&str; 2]) -> Target {
    Target {
        kind: TargetKind::Provider,
        provider: provider.into(),
        upstream_model: model.into(),
        weight: 1,
        ready: true,
        reason: None,
        context_tokens: Some(200_000),
        max_output_tokens: Some(64_000),
        price_usd_per_million: BTreeMap::from([
            ("input".into(), prices[0].into()),
            ("output".into(), prices[1].into()),
        ]),
        price_source: Some("catalogue 2026-11-20".into()),
        memory: None,
    }
}

fn guide() -> Model {
    let place = Target {
        kind: TargetKind::Local,
        context_tokens: Some(1024),
        price_usd_per_million: BTreeMap::new(),
        price_source: Some("declared machine-hour".into()),
        memory: Some(ModelMemory {
            state: "loaded".into(),
            progress_percent: None,
            bytes: 21_000_000,
            keep_alive_seconds: None,
            preload: true,
            requests: 1,
            waiting: 0,
            last_used: Some("2026-11-23T09:00:00Z".into()),
            loads: 1,
            queue: Vec::new(),
        }),
        ..target("local", "bedplate-guide.gguf", ["0", "0"])
    };
    Model { name: "bedplate-guide".into(), aliases: vec![], targets: vec![place] }
}

fn cost(name: &str, attempts: u64, tokens: u64, usd: &str) -> CostRow {
    CostRow {
        name: name.into(),
        attempts,
        estimated: 0,
        unpriced: 0,
        tokens: Tokens { input: tokens / 4 * 3, output: tokens - tokens / 4 * 3, ..Tokens::default() },
        cost_usd: usd.into(),
    }
}

fn report(by: CostBy, rows: Vec<CostRow>, total: &str) -> CostReport {
    let mut sum = cost("total", rows.iter().map(|r| r.attempts).sum(), 0, total);
    sum.unpriced = rows.iter().map(|r| r.unpriced).sum();
    CostReport { by, from: "2026-11-01".into(), to: "2026-11-23".into(), rows, total: sum }
}

fn budget(name: &str, team: &str, amounts: [&str; 4], period: Period, kind: BudgetKind) -> Budget {
    Budget {
        id: format!("019ab1c2-0000-7000-8000-{name}"),
        name: name.into(),
        scope: BudgetScope::Team(team.into()),
        limit_usd: amounts[0].into(),
        spent_usd: amounts[1].into(),
        held_usd: amounts[2].into(),
        left_usd: amounts[3].into(),
        period,
        kind,
        created: "2026-10-01T08:00:00.000Z".into(),
    }
}

fn status(state: &str) -> Status {
    Status {
        version: "0.1.0".into(),
        state: state.into(),
        uptime_seconds: 266_400,
        generation: 17,
        roles: ["gateway", "control", "console", "engine"].map(String::from).into(),
        store: "sqlite, encrypted".into(),
        models: 4,
        providers: 3,
        teams: 4,
        live_keys: 11,
        requests_total: 64_465,
        requests_in_flight: 3,
        spent_today_usd: "18.204417".into(),
        rss_bytes: 61_300_000,
        engine: Some(EngineStatus {
            model: "bedplate-guide".into(),
            threads: 2,
            context_tokens: 8192,
            model_bytes: 5_800_000,
            memory_bytes: 21_000_000,
            running: 1,
            waiting: 0,
        }),
        engine_memory: Some(EngineMemory {
            budget_bytes: 6_400_000_000,
            used_bytes: 21_000_000,
            loads: 1,
            unloads: 0,
            waiting: 0,
        }),
    }
}

/// `how`: outcome, code, status.
fn summary(
    n: u64,
    who: [&str; 3],
    how: (&str, Option<&str>, u16),
    usd: &str,
    duration_us: u64,
) -> RecordSummary {
    RecordSummary {
        id: format!("019ab1c2-{n:04}-7a00-8000-0000000000a1"),
        at: format!("2026-11-23T09:{:02}:{:02}.{:03}Z", 11 - n.min(11), 59 - n * 2, n * 37 % 1000),
        team: who[0].into(),
        key: who[1].into(),
        model: who[2].into(),
        surface: if n % 3 == 1 { "anthropic.messages" } else { "openai.chat" }.into(),
        stream: n.is_multiple_of(2),
        outcome: how.0.into(),
        error_code: how.1.map(String::from),
        status: how.2,
        tokens: if how.2 == 200 {
            Tokens { input: 900 + n * 211, cache_read: n * 96, output: 120 + n * 17, ..Tokens::default() }
        } else {
            Tokens::default()
        },
        cost_usd: usd.into(),
        duration_us,
    }
}

pub(super) fn calm() -> View {
    let who = [
        ["search", "search-prod", "chat-fast"],
        ["support", "helpdesk", "chat-large"],
        ["default", "demo", "bedplate-guide"],
    ];
    let usd = ["0.003244", "0.0418205", "0.000000771"];
    let took = [1_910_000, 6_204_000, 412_000];
    let mut records: Vec<RecordSummary> = (0..24)
        .map(|n| {
            let i = [0, 0, 1, 0, 2, 0, 1][n as usize % 7];
            summary(n, who[i], ("completed", None, 200), usd[i], took[i] + n * 31_007 % 900_000)
        })
        .collect();
    records[5] = summary(5, who[0], ("abandoned", None, 499), "0.00061", 702_000);
    records[23].at = "2026-11-22T23:58:02.400Z".into();
    let mut search = cost("search", 48_210, 91_204_417, "312.4813377");
    search.estimated = 12;
    View {
        status: status("ready"),
        models: vec![
            guide(),
            Model {
                name: "chat-fast".into(),
                aliases: vec!["gpt-4.1-mini".into()],
                targets: vec![
                    target("openai", "gpt-4.1-mini", ["0.4", "1.6"]),
                    target("groq", "llama-3.3-70b-versatile", ["0.59", "0.79"]),
                ],
            },
            Model {
                name: "chat-large".into(),
                aliases: vec![],
                targets: vec![target("anthropic", "claude-sonnet-4-5", ["3", "15"])],
            },
            Model {
                name: "embed".into(),
                aliases: vec![],
                targets: vec![Target {
                    context_tokens: Some(8191),
                    price_usd_per_million: BTreeMap::from([("input".into(), "0.02".into())]),
                    ..target("openai", "text-embedding-3-small", ["0", "0"])
                }],
            },
        ],
        records,
        costs_by_team: report(
            CostBy::Team,
            vec![
                search,
                cost("support", 12_904, 20_117_600, "96.0204"),
                cost("batch-labelling", 3_310, 4_009_121, "1.2701"),
                cost("default", 41, 3_020, "0.000031"),
            ],
            "409.7718687",
        ),
        costs_by_model: report(
            CostBy::Model,
            vec![
                cost("chat-large", 9_004, 14_004_100, "301.9"),
                cost("chat-fast", 52_120, 99_317_000, "107.8718"),
                cost("bedplate-guide", 3_341, 2_013_058, "0.0000687"),
            ],
            "409.7718687",
        ),
        budgets: vec![
            budget(
                "search-monthly",
                "search",
                ["1000", "312.4813377", "0.84", "686.6786623"],
                Period::Month,
                BudgetKind::Hard,
            ),
            budget("support-daily", "support", ["15", "4.1", "0", "10.9"], Period::Day, BudgetKind::Hard),
            budget(
                "labelling",
                "batch-labelling",
                ["50", "1.2701", "0", "48.7299"],
                Period::Total,
                BudgetKind::Soft,
            ),
        ],
    }
}

pub(super) fn incident() -> View {
    let mut view = calm();
    view.records.truncate(20);
    for (n, record) in view.records.iter_mut().enumerate() {
        let (outcome, code, status, took) = match n {
            0 | 2 | 3 | 7 => ("failed", "UP0003", 504, 30_002_000),
            1 | 5 => ("failed", "UP0002", 502, 5_004_000),
            4 | 6 | 8 | 9 | 11 => ("refused", "LG0201", 402, 310),
            _ => continue,
        };
        *record = RecordSummary {
            outcome: outcome.into(),
            error_code: Some(code.into()),
            status,
            duration_us: took,
            cost_usd: "0".into(),
            tokens: Tokens::default(),
            ..record.clone()
        };
    }
    let not = |target: &mut Target, reason: &str| {
        target.ready = false;
        target.reason = Some(reason.into());
    };
    not(&mut view.models[1].targets[1], "failed repeatedly");
    view.models[2].targets = vec![target("openai", "gpt-4.1", ["2", "8"])];
    not(&mut view.models[2].targets[0], "failed repeatedly; not tried before 2026-11-23T09:12:40.000Z");
    let mut lab = cost("lab/experimental-8b", 14, 20_400, "0");
    lab.unpriced = 14;
    view.costs_by_model.total.unpriced = 14;
    view.costs_by_model.rows.push(lab);
    view.budgets[0] =
        budget("search-monthly", "search", ["300", "300.0012", "0", "0"], Period::Month, BudgetKind::Hard);
    view.budgets[1] =
        budget("support-daily", "support", ["15", "12.4", "1.25", "1.35"], Period::Day, BudgetKind::Hard);
    view.status.requests_in_flight = 41;
    view
}

pub(super) fn empty() -> View {
    let mut view = calm();
    view.models = vec![guide()];
    view.records.clear();
    view.budgets.clear();
    view.costs_by_team = report(CostBy::Team, vec![], "0");
    view.costs_by_model = report(CostBy::Model, vec![], "0");
    view.status = Status {
        uptime_seconds: 4,
        generation: 1,
        requests_total: 0,
        requests_in_flight: 0,
        spent_today_usd: "0".into(),
        live_keys: 1,
        teams: 1,
        ..view.status
    };
    view
}

fn step(name: &str, start_us: u64, duration_us: u64, note: &str) -> Step {
    Step { name: name.into(), start_us, duration_us, note: note.into() }
}

pub(super) fn fallback() -> Record {
    let second = "019ab1c2-0001-7a00-8000-0000000000a2";
    let line = |item: &str, quantity, rate: &str, amount: &str| Line {
        item: item.into(),
        quantity,
        rate_usd: rate.into(),
        amount_usd: amount.into(),
    };
    let failed = Attempt {
        id: "019ab1c2-0001-7a00-8000-0000000000a1".into(),
        purpose: "chat".into(),
        provider: "openai".into(),
        upstream_model: "gpt-4.1-mini".into(),
        started: "2026-11-23T09:11:57.021Z".into(),
        first_byte_us: None,
        duration_us: 812_400,
        outcome: "failed".into(),
        error_code: Some("UP0001".into()),
        status: 503,
        tokens: Tokens::default(),
        estimated: false,
        unreconciled: false,
        tier: "standard".into(),
        lines: vec![],
        cost_usd: "0".into(),
        price_from: None,
        price_source: None,
        upstream_id: String::new(),
        note: "provider openai failed with status 503: overloaded".into(),
    };
    let ok = Attempt {
        id: second.into(),
        provider: "anthropic".into(),
        upstream_model: "claude-haiku-4-5".into(),
        first_byte_us: Some(402_000),
        duration_us: 1_910_000,
        outcome: "ok".into(),
        error_code: None,
        status: 200,
        tokens: Tokens { input: 1204, cache_read: 8000, output: 248, ..Tokens::default() },
        lines: vec![
            line("input", 1204, "0.000001", "0.001204"),
            line("cache_read", 8000, "0.0000001", "0.0008"),
            line("output", 248, "0.000005", "0.00124"),
        ],
        cost_usd: "0.003244".into(),
        price_from: Some("2025-10-15T00:00:00.000Z".into()),
        price_source: Some("catalogue 2026-11-20".into()),
        upstream_id: "msg_01X".into(),
        note: String::new(),
        ..failed.clone()
    };
    let posting = |account: &str, amount: &str| Posting {
        attempt: second.into(),
        account: account.into(),
        amount_usd: amount.into(),
    };
    Record {
        id: "019ab1c2-0001-7a00-8000-0000000000ff".into(),
        at: "2026-11-23T09:11:57.020Z".into(),
        team: "search".into(),
        key: "search-prod".into(),
        key_id: "019ab000-0000-7000-8000-000000000001".into(),
        surface: "openai.chat".into(),
        model: "chat-fast".into(),
        end_user: Some("u-4711".into()),
        stream: true,
        request_bytes: 38_114,
        response_bytes: 21_402,
        outcome: "completed".into(),
        error_code: None,
        status: 200,
        generation: 17,
        decision: "admitted: held 0.01842 USD".into(),
        held_usd: "0.01842".into(),
        cost_usd: "0.003244".into(),
        duration_us: 2_731_000,
        steps: vec![
            step("identify", 18, 6, ""),
            step("receive", 31, 402, ""),
            step("decode", 440, 61, ""),
            step("admit", 503, 11, ""),
            step("screen", 515, 1, ""),
            step("prepare", 516, 2, ""),
            step("plan", 519, 4, ""),
            step("dispatch", 524, 1_218_000, "openai failed with status 503, then anthropic"),
            step("stream", 1_218_530, 1_508_000, ""),
            step("settle", 2_726_600, 38, ""),
        ],
        attempts: vec![failed, ok],
        rejected: vec![Rejected {
            target: "groq/llama-3.3-70b-versatile".into(),
            reason: "failed repeatedly; not tried before 2026-11-23T09:12:40.000Z".into(),
        }],
        postings: vec![
            posting("expense:search/chat-fast", "0.003244"),
            posting("payable:anthropic", "-0.003244"),
        ],
        labels: "internal anywhere user".into(),
        policy: None,
        spent: Vec::new(),
        total_usd: "0".into(),
    }
}

/// A view in which every text is `evil`.
pub(super) fn hostile(evil: &str) -> View {
    let mut view = incident();
    let name = || evil.to_owned();
    view.status.state = name();
    view.status.version = name();
    view.status.store = name();
    view.status.roles = vec![name()];
    view.status.spent_today_usd = name();
    view.status.engine.iter_mut().for_each(|e| e.model = name());
    for model in &mut view.models {
        model.name = name();
        for target in &mut model.targets {
            (target.provider, target.upstream_model, target.reason) = (name(), name(), Some(name()));
            target.price_usd_per_million =
                BTreeMap::from([("input".into(), name()), ("output".into(), name())]);
        }
    }
    for record in &mut view.records {
        *record = RecordSummary {
            id: name(),
            at: name(),
            team: name(),
            key: name(),
            model: name(),
            surface: name(),
            outcome: name(),
            error_code: Some(name()),
            cost_usd: name(),
            ..record.clone()
        };
    }
    for report in [&mut view.costs_by_team, &mut view.costs_by_model] {
        (report.from, report.to) = (name(), name());
        report.rows.iter_mut().for_each(|r| (r.name, r.cost_usd) = (name(), name()));
    }
    for budget in &mut view.budgets {
        budget.name = name();
        budget.scope = BudgetScope::Team(name());
        (budget.limit_usd, budget.spent_usd, budget.held_usd) = (name(), name(), name());
    }
    view
}

pub(super) fn hostile_record(evil: &str) -> Record {
    let name = || evil.to_owned();
    let mut record = fallback();
    record = Record {
        id: name(),
        at: name(),
        team: name(),
        key: name(),
        surface: name(),
        model: name(),
        end_user: Some(name()),
        outcome: name(),
        error_code: Some(name()),
        decision: name(),
        held_usd: name(),
        cost_usd: name(),
        ..record
    };
    record.steps.iter_mut().for_each(|s| (s.name, s.note) = (name(), name()));
    for attempt in &mut record.attempts {
        (attempt.provider, attempt.upstream_model, attempt.purpose) = (name(), name(), name());
        (attempt.outcome, attempt.tier, attempt.upstream_id, attempt.note) = (name(), name(), name(), name());
        (attempt.price_from, attempt.price_source) = (Some(name()), Some(name()));
        attempt.lines.iter_mut().for_each(|l| (l.item, l.rate_usd, l.amount_usd) = (name(), name(), name()));
    }
    record.rejected.iter_mut().for_each(|r| (r.target, r.reason) = (name(), name()));
    record.postings.iter_mut().for_each(|p| (p.account, p.amount_usd) = (name(), name()));
    record
}
