//! Where the server listens, and with which certificate.

use std::net::SocketAddr;
use std::time::Duration;

use cli::Serve;
use net::{Clients, ServerTls, TlsFiles};
use report::Report;
use runtime::TaskKind;

/// How often the files of the certificate are looked at: a certificate is
/// renewed days before it ends, and three small files cost nothing to read.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The certificate to show; `None`: plain HTTP, which is spoken to this machine
/// alone unless the operator says otherwise.
pub fn tls(args: &Serve) -> Result<Option<ServerTls>, Report> {
    let (Some(certificate), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) else {
        if args.listen.ip().is_loopback() || args.insecure_plain_http {
            return Ok(None);
        }
        return Err(Report::new(
            "NT0005",
            format!("{} is not loopback, and there is no certificate", args.listen),
        )
        .because("keys and prompts would cross the network as clear text")
        .hint("give `--tls-cert` and `--tls-key`; behind a proxy that speaks TLS, `--insecure-plain-http`"));
    };
    let clients = match (args.tls_client_ca.clone(), args.tls_require_client) {
        (None, _) => Clients::Anonymous,
        (Some(authorities), false) => Clients::Welcome(authorities),
        (Some(authorities), true) => Clients::Required(authorities),
    };
    ServerTls::open(TlsFiles { certificate, key, clients }).map(Some).map_err(|e| {
        Report::new("NT0004", "the certificate or its key cannot be used").because(report::chain(&e))
    })
}

/// Takes new files when they change, and at once on SIGHUP. What cannot be used
/// is told, and the certificate in force stays.
pub fn watch(tls: ServerTls) {
    runtime::spawn(TaskKind::Log, "certificates", async move {
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        let mut told = String::new();
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match tls.reload() {
                Ok(true) => {
                    told.clear();
                    observe::info!("tls.reloaded");
                }
                Ok(false) => {}
                Err(error) => {
                    let why = report::chain(&error);
                    if why != told {
                        observe::warn!("tls.kept", code = "NT0004", why = why.as_str());
                        told = why;
                    }
                }
            }
        }
        #[expect(unreachable_code, reason = "it says what the task may fail with")]
        Ok::<(), std::io::Error>(())
    });
}

pub fn url(address: SocketAddr, tls: bool) -> String {
    format!("{}://{address}", if tls { "https" } else { "http" })
}

pub fn report(args: &Serve, error: &net::Error) -> Report {
    Report::new("NT0001", format!("cannot listen on {}", args.listen)).because(report::chain(error)).hint(
        "another process has the port, perhaps another bedplate; `--listen 127.0.0.1:0` takes a free one",
    )
}
