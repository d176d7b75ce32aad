//! TLS settings: what a client trusts, what a server shows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Error;

/// The authorities a client trusts: the system's, and any given files'.
///
/// Loading the system's costs 5-10 ms and 1 MB, so it happens at the first
/// `https` connection, once for all clones.
#[derive(Clone, Default)]
pub struct Trust {
    extra: Vec<CertificateDer<'static>>,
    loaded: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
}

impl Trust {
    /// The system's authorities.
    pub fn system() -> Trust {
        Trust::default()
    }
    /// The system's and those in a PEM file, for a provider behind a company's own authority.
    ///
    /// # Errors
    /// [`Error::TlsFile`].
    pub fn with_file(file: &Path) -> Result<Trust, Error> {
        Ok(Trust { extra: certificates(file)?, loaded: Arc::default() })
    }
    /// `protocol`: what ALPN offers in place of HTTP.
    pub(crate) fn connector(&self, protocol: Option<&[u8]>) -> Result<TlsConnector, String> {
        let mut config = self.loaded.get_or_init(|| self.load()).clone()?;
        if let Some(protocol) = protocol {
            Arc::make_mut(&mut config).alpn_protocols = vec![protocol.to_vec()];
        }
        Ok(TlsConnector::from(config))
    }

    fn load(&self) -> Result<Arc<ClientConfig>, String> {
        let native = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(native.certs);
        for certificate in &self.extra {
            roots.add(certificate.clone()).map_err(|e| e.to_string())?;
        }
        if roots.is_empty() {
            let why = native.errors.first().map(ToString::to_string);
            return Err(format!(
                "no certificate authorities on this system{}",
                why.map(|why| format!(" ({why})")).unwrap_or_default()
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trust(system + {})", self.extra.len())
    }
}

/// Where a server's certificate, its key and its clients' authorities are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// A PEM chain, the server's own certificate first.
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub clients: Clients,
}

/// What a server asks of its clients.
#[derive(Clone, Debug)]
pub enum Clients {
    /// No certificates.
    Anonymous,
    /// One of these authorities' certificates if they have one, or none.
    Welcome(PathBuf),
    /// One of these authorities' certificates, or no connection.
    Required(PathBuf),
}

impl Clients {
    fn authorities(&self) -> Option<&Path> {
        match self {
            Clients::Anonymous => None,
            Clients::Welcome(file) | Clients::Required(file) => Some(file),
        }
    }
}

/// A server's certificate and key, which may be replaced while it runs: a new
/// connection is shown the newest, one that stands goes on with what it has.
#[derive(Clone)]
pub struct ServerTls(Arc<Live>);

struct Live {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// What was read last, whether it could be used or not.
    seen: Mutex<Vec<Vec<u8>>>,
}

impl ServerTls {
    /// Reads a certificate chain, its private key, and the authorities of clients from PEM files.
    ///
    /// # Errors
    /// [`Error::TlsFile`].
    pub fn open(files: TlsFiles) -> Result<ServerTls, Error> {
        let seen = read(&files)?;
        let config = ArcSwap::from(configured(&files)?);
        Ok(ServerTls(Arc::new(Live { files, config, seen: Mutex::new(seen) })))
    }

    /// Reads the files again, and takes what they hold if it differs; whether
    /// it did. The contents are compared, not the times: a file system may keep
    /// whole seconds, and Kubernetes swaps a link.
    ///
    /// # Errors
    /// [`Error::TlsFile`], once for the same contents: the certificate in force stays.
    pub fn reload(&self) -> Result<bool, Error> {
        let now = read(&self.0.files)?;
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.0.config.store(configured(&self.0.files)?);
        Ok(true)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.config.load_full())
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

/// The bytes of every file, each of which has a limit: a chain is some kilobytes.
fn read(files: &TlsFiles) -> Result<Vec<Vec<u8>>, Error> {
    let all = [Some(files.certificate.as_path()), Some(&files.key), files.clients.authorities()];
    all.into_iter()
        .flatten()
        .map(|file| {
            let bad = |why: String| Error::TlsFile { file: file.display().to_string(), why };
            let bytes = std::fs::read(file).map_err(|e| bad(e.to_string()))?;
            if bytes.len() > TLS_FILE_MAX {
                return Err(bad(format!("it has {} bytes, the limit is {TLS_FILE_MAX}", bytes.len())));
            }
            Ok(bytes)
        })
        .collect()
}

/// A bundle of every public authority has 200 KB.
const TLS_FILE_MAX: usize = 1 << 20;

fn configured(files: &TlsFiles) -> Result<Arc<ServerConfig>, Error> {
    let bad = |file: &Path, why: String| Error::TlsFile { file: file.display().to_string(), why };
    let chain = certificates(&files.certificate)?;
    let private = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| bad(&files.key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&files.certificate, e.to_string()))?;
    let builder = match &files.clients {
        Clients::Anonymous => builder.with_no_client_auth(),
        Clients::Welcome(file) | Clients::Required(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|e| bad(file, e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match files.clients {
                Clients::Required(_) => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| bad(file, e.to_string()))?)
        }
    };
    let mut config =
        builder.with_single_cert(chain, private).map_err(|e| bad(&files.certificate, e.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if files.clients.authorities().is_some() {
        // A resumed session repeats an old answer to the question who this is:
        // an expired certificate would live on in it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// The SPIFFE id of a verified client certificate: its one URI name
/// (X509-SVID 2: exactly one, or it is none).
pub(crate) fn spiffe_id(certificates: Option<&[CertificateDer<'_>]>) -> Option<Arc<str>> {
    let leaf = webpki::EndEntityCert::try_from(certificates?.first()?).ok()?;
    let mut names = leaf.valid_uri_names();
    let only = names.next().filter(|name| name.starts_with("spiffe://") && name.len() <= 2048)?;
    names.next().is_none().then(|| Arc::from(only))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |why: String| Error::TlsFile { file: file.display().to_string(), why };
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(|e| bad(e.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|e| bad(e.to_string()))?;
    if found.is_empty() { Err(bad("it has no certificate".into())) } else { Ok(found) }
}

#[cfg(test)]
mod tests;
