//! The page at `/`: health, models, the last requests and spend, as plain HTML.
//!
//! Pure functions from the control API's own types to text. No script at all:
//! a page that is looked at in an incident has to work in whatever browser is
//! at hand, and a policy that allows no script ([`PAGE_HEADERS`]) needs no
//! trust in anything the page shows. Bars are SVG, because the same policy
//! forbids `style` attributes. The caller owns sessions, paths and the clock;
//! the paths that the pages link to are named in [`path`].
//!
//! Names, notes and error texts come from clients and providers. They reach a
//! page only through the template function of `html`, which escapes them.

mod format;
mod html;
mod layout;
mod login;
mod overview;
mod record;

use api::{Budget, CostReport, Model, RecordSummary, Status};

pub use login::{error_page, login_page, signed_in_page};
pub use overview::page;
pub use record::record_page;

/// What the overview shows. Costs are of the current month, records the newest first.
#[derive(Clone, Debug)]
pub struct View {
    pub status: Status,
    pub models: Vec<Model>,
    pub records: Vec<RecordSummary>,
    pub costs_by_team: CostReport,
    pub costs_by_model: CostReport,
    pub budgets: Vec<Budget>,
}

/// Where the pages expect to find each other.
pub mod path {
    /// GET: [`page`](crate::page).
    pub const OVERVIEW: &str = "/";
    /// GET, followed by the request's id: [`record_page`](crate::record_page).
    pub const RECORD: &str = "/requests/";
    /// GET: [`login_page`](crate::login_page). POST with the form field `key`: a session.
    pub const LOGIN: &str = "/login";
    /// GET: to the identity provider.
    pub const SIGN_IN: &str = "/login/start";
    /// GET: back from it.
    pub const SIGNED_IN: &str = "/login/callback";
    /// POST without a body: ends the session.
    pub const LOGOUT: &str = "/logout";
    /// GET: [`CSS`](crate::CSS).
    pub const CSS: &str = "/assets/console.css";
}

/// The style sheet, served at [`path::CSS`].
pub const CSS: &str = include_str!("console.css");

/// How often the overview asks for itself again, in seconds: often enough to
/// watch an incident, and a page costs the server less than one request.
pub const REFRESH_SECONDS: u32 = 10;

/// Headers of every page. `form-action` and `frame-ancestors` do not follow
/// from `default-src`, so they are said; `data:` is for the icon alone.
pub const PAGE_HEADERS: &[(&str, &str)] = &[
    ("content-type", "text/html; charset=utf-8"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    // It shows spend and names: no proxy and no back button after logout may keep it.
    ("cache-control", "no-store"),
];

/// Headers of the style sheet.
pub const CSS_HEADERS: &[(&str, &str)] = &[
    ("content-type", "text/css; charset=utf-8"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    // Short, because its path does not change with the version.
    ("cache-control", "public, max-age=300"),
];

#[cfg(test)]
mod tests;
