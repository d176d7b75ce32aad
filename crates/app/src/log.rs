//! The audit log in the running process: its keys, the task that signs, and the
//! paths under `/audit/`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use audit::tile::Path;
use audit::{Error, Kind, Shared, Signer};
use net::server::{Request, Response, ResponseBody};
use net::{HeaderValue, StatusCode, header};
use report::Report;
use runtime::Shutdown;
use store::Store;

use crate::front::Front;

/// The private key of the log, in the text of C2SP `signed-note`.
pub const LOG_SECRET: &str = "audit:log";
/// How long what happened may be without a signature.
const EVERY: Duration = Duration::from_secs(1);

/// The log's key, made at the first start. Its name is an id of its own: a
/// restored copy has the same one, and its witnesses notice.
pub fn signer(store: &dyn Store) -> Result<Signer, Report> {
    if let Some(text) = store.secret(LOG_SECRET).map_err(|e| e.report())? {
        return Signer::parse(&String::from_utf8_lossy(&text)).map_err(|e| e.report());
    }
    let name = format!("bedplate/log/{}", runtime::new_id());
    let signer = Signer::new(&name, Kind::Log, runtime::random::bytes()).map_err(|e| e.report())?;
    store.put_secret(LOG_SECRET, signer.secret_text().as_bytes()).map_err(|e| e.report())?;
    Ok(signer)
}

/// `audit verify --data`: the whole log of a directory whose server is stopped.
pub fn verify(args: &cli::AuditVerify, json: bool) -> ExitCode {
    let checked = || -> Result<ExitCode, cli::Failure> {
        let data = cli::data_dir(args.data.clone())?;
        if !data.join(store_sqlite::DATABASE_FILE).exists() {
            return Err(Report::new("CL0004", format!("{} is no data directory", data.display())).into());
        }
        let (_, store) = crate::backends::open(&data, args.master_key)?;
        let own = match store.secret(LOG_SECRET).map_err(|e| e.report())? {
            Some(text) => Signer::parse(&String::from_utf8_lossy(&text)).map_err(|e| e.report())?,
            None => return Err(Report::new("AU0005", "this directory has no audit log yet").into()),
        };
        let key = args.key.as_deref().map_or_else(|| Ok(own.verifier().clone()), cli::public_key)?;
        let check = audit::check(&*store, &key).map_err(|e| e.report())?;
        let books = audit::reconcile(&*store).map_err(|e| e.report())?;
        Ok(cli::print_check(&check, &control::audit::show_books(&books), &key, args.key.is_some(), json))
    };
    checked().unwrap_or_else(|failure| failure.print(json))
}

/// Signs a checkpoint each second in which something happened, until the drain.
pub async fn run(log: Arc<Shared>, shutdown: Shutdown) -> Result<(), Error> {
    if let Some(error) = log.trouble() {
        return Err(error.clone());
    }
    while !shutdown.is_draining() {
        tokio::time::sleep(EVERY).await;
        match log.publish() {
            Ok(_) => {}
            // A full disk passes; damage does not.
            Err(error @ Error::Damaged(_)) => return Err(error),
            Err(error) => observe::warn!("audit.unsigned", why = error.to_string().as_str()),
        }
    }
    Ok(())
}

/// `/audit/checkpoint` and `/audit/tile/...`, as C2SP `tlog-tiles` has them.
///
/// Hashes and checkpoints say nothing but how many leaves there are: on this
/// machine they are for everybody, as metrics are; from elsewhere with a key that
/// may read the log. Leaves always take a key that may read all teams' records.
pub async fn answer(front: Front, request: Request) -> Response {
    let what = request.path().strip_prefix("/audit/").unwrap_or_default().to_owned();
    let path = what.strip_prefix("tile/").and_then(Path::parse);
    if path.is_none() && what != "checkpoint" {
        return missing(&what);
    }
    let open = request.peer.ip().is_loopback() && !matches!(path, Some(Path::Entries { .. }));
    if !open && let Err(report) = allowed(&front, &request).await {
        return control::refuse(&[report]);
    }
    let log = Arc::clone(&front.plane.audit);
    let found = tokio::task::spawn_blocking(move || match path {
        Some(path) => log.read(&path),
        None => log.with(|keeper, store| {
            if keeper.note().is_none() {
                keeper.publish(store)?;
            }
            Ok(keeper.note().map(|note| note.to_string().into_bytes()))
        }),
    });
    match found.await {
        Ok(Ok(Some(bytes))) => {
            let (kind, caching) = match path {
                Some(_) => ("application/octet-stream", "private, max-age=31536000, immutable"),
                None => ("text/plain; charset=utf-8", "no-cache"),
            };
            let mut response = Response::new(StatusCode::OK, ResponseBody::Full(bytes.into()));
            response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
            response
        }
        Ok(Ok(None)) => missing(&what),
        Ok(Err(error)) => control::refuse(&[error.report()]),
        Err(_) => control::refuse(&[Report::new("CT0005", "the operation failed unexpectedly")]),
    }
}

fn missing(what: &str) -> Response {
    let report = Report::new("AU0005", format!("the audit log has no {what:.100}"))
        .hint("/audit/checkpoint says how far it goes");
    control::refuse(&[report])
}

async fn allowed(front: &Front, request: &Request) -> Result<(), Report> {
    let who = front.who(request).await?;
    policy::allows(&who, policy::Action::ReadAudit).map_err(|d| d.report())
}
