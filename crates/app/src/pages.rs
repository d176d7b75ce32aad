//! The page at `/`: sessions around the console's renderings.
//!
//! A session is a random cookie that stands for a key: one that was presented
//! by form, or that of a person who signed in elsewhere. The key is identified
//! again on each page, so that revoking it ends the session; it is kept in
//! memory only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use console::path;
use control::{Door, Host};
use net::server::{Request, Response, ResponseBody};
use net::{HeaderName, HeaderValue, Method, StatusCode, header};
use observe::Secret;
use policy::{Action, Principal};
use report::Report;
use units::{KeyId, Micros};

use crate::front::Front;
use crate::signin;

/// A working day.
const SESSION_US: i64 = 12 * 3600 * 1_000_000;
/// More people than look at one deployment; the oldest goes when there is one more.
const SESSIONS_MAX: usize = 1_000;
const COOKIE: &str = "bedplate_session";
/// Of a sign-in under way.
const ATTEMPT: &str = "bedplate_sign_in";
/// A login form is a key and its field name.
const FORM_MAX: u64 = 4096;

struct Session {
    who: Who,
    until: Micros,
}

/// What a session stands for.
enum Who {
    /// The key that was presented.
    Presented(Secret),
    /// The key of the person who signed in.
    Person(KeyId),
}

/// Who is signed in.
#[derive(Default)]
pub struct Pages {
    sessions: Mutex<HashMap<String, Session>>,
}

pub fn owns(requested: &str) -> bool {
    matches!(
        requested,
        path::OVERVIEW | path::LOGIN | path::SIGN_IN | path::SIGNED_IN | path::LOGOUT | path::CSS
    ) || requested.starts_with(path::RECORD)
}

pub async fn answer(front: Front, request: Request) -> Response {
    let get = request.method == Method::GET || request.method == Method::HEAD;
    match request.path() {
        path::CSS if get => styled(ResponseBody::Full(console::CSS.into()), console::CSS_HEADERS),
        path::LOGIN if get => html(StatusCode::OK, console::login_page(None, signin::is_offered(&front))),
        path::SIGN_IN if get => begin(&front, &request).await,
        path::SIGNED_IN if get => finish(&front, &request).await,
        path::LOGIN | path::LOGOUT if request.method == Method::POST => match same_site(&front, &request) {
            Err(report) => refused(&report),
            Ok(()) if request.path() == path::LOGIN => login(&front, request).await,
            Ok(()) => logout(&front, &request).await,
        },
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
    let throttled = front.throttle.admit(request.peer.ip(), runtime::clock::now());
    let Ok(body) = request.body.read_all(FORM_MAX).await else {
        return html(StatusCode::PAYLOAD_TOO_LARGE, console::error_page("The form is too large."));
    };
    if let Err(report) = throttled {
        return refused(&report);
    }
    let form = String::from_utf8_lossy(&body).into_owned();
    // A key has no character that a form would encode.
    let key = form.split('&').find_map(|pair| pair.strip_prefix("key=")).unwrap_or_default().trim();
    let now = runtime::clock::now();
    let found = front.process.identify(key, now);
    let allowed = found.and_then(|who| policy::allows(&who, Action::ReadStatus).map(|()| who));
    let signed_in = match allowed.map_err(|denied| denied.report()) {
        Ok(who) => begun(front, who, now).await,
        Err(report) => {
            signin::refused(front, Door::Console, &report, now);
            Err(report)
        }
    };
    match signed_in {
        Ok(_) => {
            let session = front.pages.open(Who::Presented(Secret::new(key)), now);
            with_cookie(see_other(path::OVERVIEW), &session_cookie(front, &session))
        }
        Err(report) => {
            let page = console::login_page(Some(&report.sentence()), signin::is_offered(front));
            html(StatusCode::UNAUTHORIZED, page)
        }
    }
}

/// Writes down that somebody's session begins, and waits until that is durable.
async fn begun(front: &Front, who: Principal, now: Micros) -> Result<Principal, Report> {
    let plane = Arc::clone(&front.plane);
    let write = move || plane.signed_in(&who, Door::Console, now.plus_us(SESSION_US), now).map(|()| who);
    let written = tokio::task::spawn_blocking(write).await;
    written.unwrap_or_else(|_| Err(Report::new("CT0005", "the session could not be written down")))
}

fn session_cookie(front: &Front, session: &str) -> String {
    format!(
        "{COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{}",
        SESSION_US / 1_000_000,
        secure(front)
    )
}

/// Where browsers come by TLS, the cookie goes no other way.
fn secure(front: &Front) -> &'static str {
    let issuers = front.worker.gateway.issuers.load_full();
    let is_tls = front.is_tls || issuers.as_ref().is_some_and(|i| i.config.is_tls());
    if is_tls { "; Secure" } else { "" }
}

/// To the identity provider. The cookie of the attempt is lax, because it comes
/// back along a link from the provider's page.
async fn begin(front: &Front, request: &Request) -> Response {
    let now = runtime::clock::now();
    if let Err(report) = front.throttle.admit(request.peer.ip(), now) {
        return refused(&report);
    }
    match signin::begin(front, now).await {
        Err(report) => refused(&report),
        Ok((url, state)) => {
            let mut response = Response::new(StatusCode::SEE_OTHER, ResponseBody::empty());
            response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if let Ok(url) = HeaderValue::from_str(&url) {
                response.headers.insert(header::LOCATION, url);
            }
            let cookie = format!(
                "{ATTEMPT}={state}; HttpOnly; SameSite=Lax; Path={}; Max-Age=600{}",
                path::SIGNED_IN,
                secure(front)
            );
            with_cookie(response, &cookie)
        }
    }
}

/// Back from it: always to the overview, never to where a parameter says.
async fn finish(front: &Front, request: &Request) -> Response {
    let now = runtime::clock::now();
    if let Err(report) = front.throttle.admit(request.peer.ip(), now) {
        return refused(&report);
    }
    let query = request.uri.query().unwrap_or_default();
    let done = signin::finish(front, query, cookie(request, ATTEMPT), now).await;
    let allowed =
        done.and_then(|who| policy::allows(&who, Action::ReadStatus).map(|()| who).map_err(|d| d.report()));
    let who = match allowed {
        Ok(who) => begun(front, who, now).await,
        Err(report) => {
            observe::warn!("login.refused", code = report.code.0, why = report.sentence().as_str());
            signin::refused(front, Door::Console, &report, now);
            Err(report)
        }
    };
    match who {
        Ok(who) => {
            let session = front.pages.open(Who::Person(who.key), now);
            with_cookie(html(StatusCode::OK, console::signed_in_page()), &session_cookie(front, &session))
        }
        Err(report) => refused(&report),
    }
}

/// Whether a form was sent by a page of ours. Browsers say whose page it was;
/// who says nothing is no browser, and has no cookie of one.
fn same_site(front: &Front, request: &Request) -> Result<(), Report> {
    let Some(origin) = request.header(header::ORIGIN) else { return Ok(()) };
    let host = request.header(header::HOST).unwrap_or_default();
    let issuers = front.worker.gateway.issuers.load_full();
    let declared = issuers.as_ref().map(|i| i.config.origin());
    let ours = match declared {
        Some(declared) => origin == declared,
        None => origin
            .split_once("://")
            .is_some_and(|(_, from)| !host.is_empty() && from.eq_ignore_ascii_case(host)),
    };
    if ours {
        return Ok(());
    }
    Err(Report::new("ID0013", "the request came from another site's page")
        .because(format!("it says origin {origin:.100}, and this is {:.100}", declared.unwrap_or(host))))
}

fn refused(report: &Report) -> Response {
    let status = StatusCode::from_u16(report.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    html(status, console::error_page(&report.sentence()))
}

async fn logout(front: &Front, request: &Request) -> Response {
    let who = who(front, request);
    if let Some(session) = cookie(request, COOKIE) {
        front.pages.sessions().remove(session);
    }
    if let Some(who) = who {
        let plane = Arc::clone(&front.plane);
        // The store's queue may be full.
        let write = move || plane.signed_out(&who, Door::Console, runtime::clock::now());
        let _ = tokio::task::spawn_blocking(write).await;
    }
    let over = format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0{}", secure(front));
    with_cookie(see_other(path::LOGIN), &over)
}

/// The signed-in principal, whose key still may look.
fn who(front: &Front, request: &Request) -> Option<Principal> {
    let now = runtime::clock::now();
    let sessions = front.pages.sessions();
    let session = sessions.get(cookie(request, COOKIE)?).filter(|s| s.until > now)?;
    let who = match &session.who {
        Who::Presented(key) => front.process.identify(key.reveal(), now).ok()?,
        Who::Person(key) => front.worker.gateway.snapshot.load().directory.key(*key, now).ok()?,
    };
    policy::allows(&who, Action::ReadStatus).is_ok().then_some(who)
}

impl Pages {
    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().expect("no code panics while it holds the sessions")
    }
    fn open(&self, who: Who, now: Micros) -> String {
        let token: String = runtime::random::bytes::<32>().iter().map(|b| format!("{b:02x}")).collect();
        let mut sessions = self.sessions();
        sessions.retain(|_, s| s.until > now);
        if sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = sessions.iter().min_by_key(|(_, s)| s.until).map(|(t, _)| t.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(token.clone(), Session { who, until: now.plus_us(SESSION_US) });
        token
    }
}

fn cookie<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let cookies = request.header(header::COOKIE)?;
    cookies.split(';').find_map(|c| c.trim().strip_prefix(name)?.strip_prefix('='))
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
