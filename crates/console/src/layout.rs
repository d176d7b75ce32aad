//! What every page has around its content.

use crate::html::Html;
use crate::path;

/// The icon: a plate with four bolts and a shaft. In the page, so that there
/// is no further path to serve.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect x='1' y='4' width='14' height='9' rx='2' fill='%23256d85'/%3E%3Cg fill='%23fff'%3E%3Ccircle cx='3.6' cy='6.4' r='.9'/%3E%3Ccircle cx='12.4' cy='6.4' r='.9'/%3E%3Ccircle cx='3.6' cy='10.6' r='.9'/%3E%3Ccircle cx='12.4' cy='10.6' r='.9'/%3E%3C/g%3E%3Ccircle cx='8' cy='8.5' r='2.4' fill='%23fff'/%3E%3C/svg%3E";

/// How a page differs from the others.
pub(crate) struct Page<'p> {
    pub title: &'p str,
    /// Seconds after which the browser asks again.
    pub refresh: Option<u32>,
    /// For another page then; itself unless told.
    pub to: Option<&'static str>,
    /// Whether there is a session, and so a way to end it.
    pub signed_in: bool,
}

/// A whole document around `main`.
pub(crate) fn document(page: &Page, main: Html) -> String {
    let mut html = Html::new();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
    match (page.refresh, page.to) {
        (Some(seconds), None) => {
            html.put("<meta http-equiv=\"refresh\" content=\"{}\">\n", &[&seconds.to_string()]);
        }
        (Some(seconds), Some(to)) => {
            html.put("<meta http-equiv=\"refresh\" content=\"{}; url={}\">\n", &[&seconds.to_string(), to]);
        }
        (None, _) => {}
    }
    html.put("<title>{} · Bedplate</title>\n", &[page.title]);
    html.put("<link rel=\"icon\" href=\"{}\">\n<link rel=\"stylesheet\" href=\"{}\">\n", &[ICON, path::CSS]);
    html.raw(
        "</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to content</a>\n<header class=\"top\">\n",
    );
    html.put(
        "<a class=\"brand\" href=\"{}\"><img src=\"{}\" alt=\"\" width=\"24\" height=\"24\">Bedplate</a>\n",
        &[path::OVERVIEW, ICON],
    );
    if page.signed_in {
        html.put(
            "<form method=\"post\" action=\"{}\"><button type=\"submit\">Sign out</button></form>\n",
            &[path::LOGOUT],
        );
    }
    html.raw("</header>\n<main id=\"main\">\n").add(main).raw("</main>\n</body>\n</html>\n");
    html.finish()
}

/// A bar of one or two parts, in percent of the whole. Decoration: the numbers
/// stand beside it as text.
pub(crate) fn bar(first: &str, second: &str) -> Html {
    let mut html = Html::new();
    html.raw("<svg class=\"bar\" aria-hidden=\"true\" width=\"100%\" height=\"6\">");
    html.raw("<rect class=\"rail\" width=\"100%\" height=\"6\" rx=\"3\"/>");
    html.put("<rect class=\"fill\" width=\"{}%\" height=\"6\" rx=\"3\"/>", &[first]);
    if second != "0" {
        html.put("<rect class=\"held\" x=\"{}%\" width=\"{}%\" height=\"6\"/>", &[first, second]);
    }
    html.raw("</svg>");
    html
}

/// The colour of an outcome; the word itself is always shown too.
pub(crate) fn mark(html: &mut Html, outcome: &str) {
    html.raw(match outcome {
        "completed" | "ok" | "ready" => "<span class=\"mark ok\">",
        "refused" | "draining" | "starting" | "loading" => "<span class=\"mark warn\">",
        "failed" | "crashed" => "<span class=\"mark bad\">",
        _ => "<span class=\"mark\">",
    });
    html.put("{}</span>", &[outcome]);
}
