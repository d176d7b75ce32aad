//! The overview. Its order is that of the questions asked of it: is anything
//! wrong, how much is going on, what happened last, what runs, what does it cost.

mod attention;
mod requests;
mod spend;

use api::{EngineStatus, Model, Status, Target, TargetKind};

use crate::format::{bytes, decimals, dollars, grouped, uptime};
use crate::html::Html;
use crate::layout::{Page, document, mark};
use crate::{REFRESH_SECONDS, View};

/// Models that are listed; a catalogue of hundreds belongs in the terminal.
const MODELS_SHOWN: usize = 24;

/// The overview as a document.
pub fn page(view: &View) -> String {
    let mut main = Html::new();
    heading(&mut main, &view.status);
    attention::section(&mut main, view);
    tiles(&mut main, view);
    main.raw("<div class=\"columns\">\n");
    requests::section(&mut main, view);
    main.raw("<div class=\"side\">\n");
    models(&mut main, &view.models);
    spend::budgets(&mut main, &view.budgets);
    spend::costs(&mut main, "Spend by team", &view.costs_by_team);
    spend::costs(&mut main, "Spend by model", &view.costs_by_model);
    main.raw("</div>\n</div>\n");
    main.put(
        "<footer class=\"soft\">This page asks again every {} seconds. Times are UTC, money is USD; hover over an amount for its exact value.</footer>\n",
        &[&REFRESH_SECONDS.to_string()],
    );
    let title = format!("{} · overview", view.status.state);
    document(&Page { title: &title, refresh: Some(REFRESH_SECONDS), to: None, signed_in: true }, main)
}

fn heading(main: &mut Html, status: &Status) {
    main.raw("<div class=\"title\"><h1>Overview</h1> ");
    mark(main, &status.state);
    main.put(
        "<p class=\"soft\">version {} · up {} · configuration {} · {} · {}</p></div>\n",
        &[
            &status.version,
            &uptime(status.uptime_seconds),
            &status.generation.to_string(),
            &status.roles.join(", "),
            &status.store,
        ],
    );
}

fn tile(main: &mut Html, label: &str, value: &str, beside: &str) {
    main.put(
        "<div class=\"tile\"><dt>{}</dt><dd><b>{}</b> <span>{}</span></dd></div>\n",
        &[label, value, beside],
    );
}

fn tiles(main: &mut Html, view: &View) {
    let status = &view.status;
    main.raw("<dl class=\"tiles\">\n");
    let today = status.spent_today_usd.as_str();
    let shown = dollars(today, decimals([today].into_iter()));
    main.put(
        "<div class=\"tile\"><dt>Spent today</dt><dd title=\"{} USD\"><b>{}</b> <span>since midnight</span></dd></div>\n",
        &[today, &shown],
    );
    let in_flight = format!("{} in flight", grouped(status.requests_in_flight));
    tile(main, "Requests", &grouped(status.requests_total), &in_flight);
    requests::tiles(main, &view.records);
    match &status.engine {
        Some(engine) => engine_tile(main, engine),
        None => tile(main, "Engine", "off", "no local model is loaded"),
    }
    let models = status
        .engine_memory
        .as_ref()
        .map(|m| format!("resident · models {} of {}", bytes(m.used_bytes), bytes(m.budget_bytes)));
    tile(main, "Memory", &bytes(status.rss_bytes), models.as_deref().unwrap_or("resident"));
    let teams = format!("in {}", counted(status.teams, "team", "teams"));
    tile(main, "Keys", &grouped(u64::from(status.live_keys)), &teams);
    main.raw("</dl>\n");
}

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{} {}", grouped(u64::from(count)), if count == 1 { one } else { many })
}

fn engine_tile(main: &mut Html, engine: &EngineStatus) {
    let beside = format!("running · {} waiting · {}", engine.waiting, engine.model);
    let exact = format!(
        "{} threads, {} tokens of context, model {}, {} in all",
        engine.threads,
        grouped(u64::from(engine.context_tokens)),
        bytes(engine.model_bytes),
        bytes(engine.memory_bytes)
    );
    main.put(
        "<div class=\"tile\"><dt>Engine</dt><dd title=\"{}\"><b>{}</b> <span>{}</span></dd></div>\n",
        &[&exact, &engine.running.to_string(), &beside],
    );
}

fn models(main: &mut Html, models: &[Model]) {
    main.put("<section class=\"panel\"><h2>Models <small>{}</small></h2>\n", &[&models.len().to_string()]);
    if models.is_empty() {
        main.raw("<p class=\"soft\">No model is declared. <code>bedplate apply -f model.yaml</code> declares one; <code>bedplate model pull</code> fetches its file.</p>\n</section>\n");
        return;
    }
    // Stable: what cannot answer first, then the order of the names.
    let mut listed: Vec<&Model> = models.iter().collect();
    listed.sort_by_key(|m| m.targets.iter().any(|t| t.ready));
    main.raw("<ul class=\"list\">\n");
    for model in listed.iter().take(MODELS_SHOWN) {
        main.put("<li><div class=\"row\"><b class=\"name\">{}</b>", &[&model.name]);
        let ready = model.targets.iter().filter(|t| t.ready).count();
        main.raw(match ready {
            0 => "<span class=\"mark bad\">",
            n if n < model.targets.len() => "<span class=\"mark warn\">",
            _ => "<span class=\"mark ok\">",
        });
        match (ready, model.targets.len()) {
            (0, _) => main.raw("not ready</span></div>\n"),
            (n, of) if n == of => main.raw("ready</span></div>\n"),
            (n, of) => main.put("{} of {} ready</span></div>\n", &[&n.to_string(), &of.to_string()]),
        };
        for target in &model.targets {
            main.put("<p class=\"soft\">{}</p>\n", &[&describe(target)]);
        }
        main.raw("</li>\n");
    }
    main.raw("</ul>\n");
    if listed.len() > MODELS_SHOWN {
        let more = (listed.len() - MODELS_SHOWN).to_string();
        main.put("<p class=\"soft\">and {} more: <code>bedplate model list</code></p>\n", &[&more]);
    }
    main.raw("</section>\n");
}

/// One target on one line: where, what it costs, how much it can read, why not.
fn describe(target: &Target) -> String {
    let mut text = match target.kind {
        TargetKind::Local => format!("local {}", target.upstream_model),
        TargetKind::Provider => format!("{}/{}", target.provider, target.upstream_model),
    };
    if let Some(context) = target.context_tokens {
        text.push_str(&format!(" · {} tokens", grouped(context)));
    }
    let price = |axis: &str| target.price_usd_per_million.get(axis);
    match (price("input"), price("output")) {
        (Some(input), Some(output)) => text.push_str(&format!(" · ${input} in, ${output} out per M")),
        (Some(input), None) => text.push_str(&format!(" · ${input} in per M")),
        _ if target.ready && target.price_usd_per_million.is_empty() && target.price_source.is_none() => {
            text.push_str(" · no price");
        }
        _ => {}
    }
    if let Some(memory) = &target.memory {
        text.push_str(&format!(" · {}", memory.state));
        if let Some(percent) = memory.progress_percent {
            text.push_str(&format!(" {percent} %"));
        }
        text.push_str(&format!(" · {}", bytes(memory.bytes)));
        if memory.waiting > 0 {
            text.push_str(&format!(" · {} waiting", memory.waiting));
        }
    }
    if !target.ready {
        text.push_str(" · ");
        text.push_str(target.reason.as_deref().unwrap_or("not ready"));
    }
    text
}
