//! The last requests: a strip that shows a change at a glance, and a table to
//! follow one of them.

use api::{Model, RecordSummary};

use super::tile;
use crate::format::{day_and_time, decimals, duration, grouped, percent, usd};
use crate::html::Html;
use crate::layout::mark;
use crate::{View, path};

/// Rows of the table, whatever the caller hands over.
const ROWS_SHOWN: usize = 100;

/// Bars of the strip at least, so that one request is a bar and not a wall.
const STRIP_PLACES: usize = 40;

/// How the last requests went, in two numbers.
pub(super) fn tiles(main: &mut Html, records: &[RecordSummary]) {
    let failed = records.iter().filter(|r| r.outcome == "failed" || r.outcome == "crashed").count();
    let beside = match records.len() {
        0 => "no requests yet".to_owned(),
        n => format!("of the last {n}"),
    };
    tile(main, "Failed", &failed.to_string(), &beside);
    let mut took: Vec<u64> =
        records.iter().filter(|r| r.outcome == "completed").map(|r| r.duration_us).collect();
    took.sort_unstable();
    match (rank(&took, 50), rank(&took, 95)) {
        (Some(half), Some(most)) => {
            tile(main, "Typical answer", &duration(half), &format!("95 % within {}", duration(most)));
        }
        _ => tile(main, "Typical answer", "–", "none completed yet"),
    }
}

/// The nearest-rank percentile of sorted values.
fn rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let index = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(index).copied()
}

pub(super) fn section(main: &mut Html, view: &View) {
    let records = &view.records[..view.records.len().min(ROWS_SHOWN)];
    main.put(
        "<section class=\"panel\"><h2>Last requests <small>{}</small></h2>\n",
        &[&records.len().to_string()],
    );
    if records.is_empty() {
        empty(main, &view.models);
    } else {
        strip(main, records);
        table(main, records);
    }
    main.raw("</section>\n");
}

/// One bar per request, the oldest at the left, as high as it took long.
fn strip(main: &mut Html, records: &[RecordSummary]) {
    let longest = records.iter().map(|r| r.duration_us).max().unwrap_or(0).max(1);
    let label =
        format!("Time taken by the last {} requests; the longest is {}", records.len(), duration(longest));
    main.put(
        "<svg class=\"strip\" role=\"img\" aria-label=\"{}\" width=\"100%\" height=\"48\">\n",
        &[&label],
    );
    // Few requests stand at the right, where the next will appear.
    let places = records.len().max(STRIP_PLACES);
    let width = 100.0 / places as f64;
    for (index, record) in (places - records.len()..).zip(records.iter().rev()) {
        let high = 3.0 + 45.0 * (record.duration_us as f64 / longest as f64);
        main.raw(match record.outcome.as_str() {
            "completed" => "<rect class=\"ok\"",
            "refused" => "<rect class=\"warn\"",
            "failed" | "crashed" => "<rect class=\"bad\"",
            _ => "<rect",
        });
        main.put(
            " x=\"{}%\" y=\"{}\" width=\"{}%\" height=\"{}\"><title>{} {} {}</title></rect>\n",
            &[
                &format!("{:.2}", width * index as f64),
                &format!("{:.1}", 48.0 - high),
                &format!("{:.2}", width * 0.8),
                &format!("{high:.1}"),
                day_and_time(&record.at).1,
                &record.outcome,
                &duration(record.duration_us),
            ],
        );
    }
    main.raw("</svg>\n");
    main.put("<p class=\"axis soft\"><span>older</span><span>height is time taken, at most {}</span><span>newest</span></p>\n", &[
        &duration(longest),
    ]);
}

fn table(main: &mut Html, records: &[RecordSummary]) {
    main.raw("<div class=\"scroll\"><table><caption class=\"hidden\">The last requests, the newest first</caption>\n<thead><tr><th scope=\"col\">Time</th><th scope=\"col\">Model</th><th scope=\"col\">Team / key</th><th scope=\"col\">Outcome</th><th scope=\"col\" class=\"num\">Tokens in</th><th scope=\"col\" class=\"num\">out</th><th scope=\"col\" class=\"num\">USD</th><th scope=\"col\" class=\"num\">Took</th></tr></thead>\n<tbody>\n");
    // Requests cost fractions of a cent: six places keep them apart.
    let places = decimals(records.iter().map(|r| r.cost_usd.as_str())).max(6);
    let longest = records.iter().map(|r| r.duration_us).max().unwrap_or(0);
    let mut day = day_and_time(&records[0].at).0;
    for record in records {
        let (of_day, time) = day_and_time(&record.at);
        if of_day != day {
            day = of_day;
            main.put("<tr class=\"day\"><th scope=\"rowgroup\" colspan=\"8\">{}</th></tr>\n", &[day]);
        }
        row(main, record, time, places, longest);
    }
    main.raw("</tbody></table></div>\n");
}

fn row(main: &mut Html, record: &RecordSummary, time: &str, places: usize, longest: u64) {
    let href = format!("{}{}", path::RECORD, record.id);
    main.put(
        "<tr><td class=\"time\"><a href=\"{}\"><time datetime=\"{}\">{}</time></a></td>",
        &[&href, &record.at, time],
    );
    let door = if record.stream { format!("{} stream", record.surface) } else { record.surface.clone() };
    main.put("<td><span class=\"name\">{}</span><small>{}</small></td>", &[&record.model, &door]);
    main.put("<td><span class=\"name\">{}</span><small>{}</small></td><td>", &[&record.team, &record.key]);
    mark(main, &record.outcome);
    let status = match &record.error_code {
        Some(code) => format!("{} {code}", record.status),
        None => record.status.to_string(),
    };
    main.put("<small>{}</small></td>", &[&status]);
    let t = &record.tokens;
    let read = [t.input, t.cache_read, t.cache_write, t.cache_write_1h, t.input_audio];
    let written = [t.output, t.reasoning, t.output_audio];
    for part in [&read[..], &written[..]] {
        let sum = part.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        match sum {
            0 => main.raw("<td class=\"num soft\">0</td>"),
            _ => main.put("<td class=\"num\">{}</td>", &[&grouped(sum)]),
        };
    }
    match record.cost_usd.as_str() {
        "0" => main.raw("<td class=\"num soft\">0</td>"),
        cost => main.put("<td class=\"num\" title=\"{} USD\">{}</td>", &[cost, &usd(cost, places)]),
    };
    main.put("<td class=\"num last\">{}", &[&duration(record.duration_us)]);
    main.put(
        "<svg class=\"took\" aria-hidden=\"true\" width=\"100%\" height=\"3\"><rect width=\"{}%\" height=\"3\"/></svg></td></tr>\n",
        &[&percent(i128::from(record.duration_us), i128::from(longest))],
    );
}

fn empty(main: &mut Html, models: &[Model]) {
    let ready = models.iter().find(|m| m.targets.iter().any(|t| t.ready)).or(models.first());
    // The text is meant to be pasted into a shell: a name that would need
    // quoting there is not put into it.
    let plain = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/:".contains(&b));
    let name = ready.map(|m| m.name.as_str()).filter(plain).unwrap_or("MODEL");
    main.raw("<p>No requests yet. With a key in <code>$BEDPLATE_KEY</code>, ask the first one:</p>\n");
    main.put(
        "<pre><code>curl -N \"${BEDPLATE_URL:-http://127.0.0.1:4600}/v1/chat/completions\" \\\n  -H \"authorization: Bearer $BEDPLATE_KEY\" \\\n  -H \"content-type: application/json\" \\\n  -d '{\"model\": \"{}\", \"stream\": true,\n       \"messages\": [{\"role\": \"user\", \"content\": \"What is Bedplate?\"}]}'</code></pre>\n",
        &[name],
    );
    main.raw("<p class=\"soft\">It appears here as soon as its answer ends; <code>bedplate explain last</code> shows the same in a terminal.</p>\n");
}
