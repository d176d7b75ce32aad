//! The page at `/`: sessions around the console's renderings.
//!
//! A session is a random cookie that stands for a key presented once by form.
//! The key is identified again on each page, so that revoking it ends the
//! session; it is kept in memory only.

use std::collections::HashMap;
use std::sync::Mutex;

use console::path;
use control::Host;
use net::server::{Request, Response, ResponseBody};
use net::{HeaderName, HeaderValue, Method, StatusCode, header};
use observe::Secret;
use policy::{Action, Principal};
use units::Micros;

use crate::front::Front;

/// A working day.
const SESSION_US: i64 = 12 * 3600 * 1_000_000;
/// More people than look at one deployment; the oldest goes when there is one more.
const SESSIONS_MAX: usize = 1_000;
const COOKIE: &str = "bedplate_session";
/// A login form is a key and its field name.
const FORM_MAX: u64 = 4096;

struct Session {
    key: Secret,
    until: Micros,
}

/// Who is signed in.
#[derive(Default)]
pub struct Pages {
    sessions: Mutex<HashMap<String, Session>>,
}

pub fn owns(requested: &str) -> bool {
    matches!(requested, path::OVERVIEW | path::LOGIN | path::LOGOUT | path::CSS)
        || requested.starts_with(path::RECORD)
}

pub async fn answer(front: Front, request: Request) -> Response {
    let get = request.method == Method::GET || request.method == Method::HEAD;
    match request.path() {
        path::CSS if get => styled(ResponseBody::Full(console::CSS.into()), console::CSS_HEADERS),
        path::LOGIN if get => html(StatusCode::OK, console::login_page(None)),
        path::LOGIN if request.method == Method::POST => login(&front, request).await,
        path::LOGOUT if request.method == Method::POST => logout(&front, &request),
        requested if get => show(front.clone(), requested.to_owned(), who(&front, &request)).await,
        _ => html(
            StatusCode::METHOD_NOT_ALLOWED,
            console::error_page("This address does not take that method."),
        ),
    }
}

async fn show(front: Front, requested: String, who: Option<Principal>) -> Response {
    let Some(who) = who else { return see_other(path::LOGIN) };
    // The store may wait for a disk: not on the thread that serves requests.
    let run = tokio::task::spawn_blocking(move || match requested.strip_prefix(path::RECORD) {
        Some(id) => front.plane.record(&who, id).map(|r| console::record_page(&r)),
        None => front.plane.overview(&who, runtime::clock::now()).map(|o| {
            console::page(&console::View {
                status: o.status,
                models: o.models,
                records: o.records,
                costs_by_team: o.costs_by_team,
                costs_by_model: o.costs_by_model,
                budgets: o.budgets,
            })
        }),
    });
    match run.await {
        Ok(Ok(page)) => html(StatusCode::OK, page),
        Ok(Err(report)) => {
            let status = StatusCode::from_u16(report.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            html(status, console::error_page(&report.sentence()))
        }
        Err(_) => html(StatusCode::INTERNAL_SERVER_ERROR, console::error_page("The page could not be made.")),
    }
}

async fn login(front: &Front, request: Request) -> Response {
    let Ok(body) = request.body.read_all(FORM_MAX).await else {
        return html(StatusCode::PAYLOAD_TOO_LARGE, console::error_page("The form is too large."));
    };
    let form = String::from_utf8_lossy(&body).into_owned();
    // A key has no character that a form would encode.
    let key = form.split('&').find_map(|pair| pair.strip_prefix("key=")).unwrap_or_default().trim();
    let now = runtime::clock::now();
    match front.process.identify(key, now).and_then(|who| policy::allows(&who, Action::ReadStatus)) {
        Ok(()) => {
            let session = front.pages.open(key, now);
            let cookie = format!(
                "{COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}",
                SESSION_US / 1_000_000
            );
            with_cookie(see_other(path::OVERVIEW), &cookie)
        }
        Err(denied) => html(StatusCode::UNAUTHORIZED, console::login_page(Some(&denied.report().sentence()))),
    }
}

fn logout(front: &Front, request: &Request) -> Response {
    if let Some(session) = cookie(request) {
        front.pages.sessions().remove(session);
    }
    with_cookie(see_other(path::LOGIN), &format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"))
}

/// The signed-in principal, whose key still may look.
fn who(front: &Front, request: &Request) -> Option<Principal> {
    let now = runtime::clock::now();
    let sessions = front.pages.sessions();
    let session = sessions.get(cookie(request)?).filter(|s| s.until > now)?;
    let who = front.process.identify(session.key.reveal(), now).ok()?;
    policy::allows(&who, Action::ReadStatus).is_ok().then_some(who)
}

impl Pages {
    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().expect("no code panics while it holds the sessions")
    }
    fn open(&self, key: &str, now: Micros) -> String {
        let token: String = runtime::random::bytes::<32>().iter().map(|b| format!("{b:02x}")).collect();
        let mut sessions = self.sessions();
        sessions.retain(|_, s| s.until > now);
        if sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = sessions.iter().min_by_key(|(_, s)| s.until).map(|(t, _)| t.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(token.clone(), Session { key: Secret::new(key), until: now.plus_us(SESSION_US) });
        token
    }
}

fn cookie(request: &Request) -> Option<&str> {
    let cookies = request.header(header::COOKIE)?;
    cookies.split(';').find_map(|c| c.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn html(status: StatusCode, page: String) -> Response {
    Response { status, ..styled(ResponseBody::Full(page.into()), console::PAGE_HEADERS) }
}

fn styled(body: ResponseBody, headers: &'static [(&'static str, &'static str)]) -> Response {
    let mut response = Response::new(StatusCode::OK, body);
    for (name, value) in headers {
        response.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn see_other(to: &'static str) -> Response {
    let mut response = Response::new(StatusCode::SEE_OTHER, ResponseBody::empty());
    response.headers.insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers.insert(header::SET_COOKIE, value);
    }
    response
}
