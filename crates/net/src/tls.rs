//! TLS settings: what a client trusts, what a server shows.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
    pub(crate) fn connector(&self) -> Result<TlsConnector, String> {
        self.loaded.get_or_init(|| self.load()).clone().map(TlsConnector::from)
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

/// A server's certificate and key.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// Reads a certificate chain and its private key from PEM files.
    ///
    /// # Errors
    /// [`Error::TlsFile`].
    pub fn from_files(certificate: &Path, key: &Path) -> Result<ServerTls, Error> {
        let chain = certificates(certificate)?;
        let bad = |file: &Path, why: String| Error::TlsFile { file: file.display().to_string(), why };
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, e.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| bad(certificate, e.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|e| bad(certificate, e.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(ServerTls(Arc::new(config)))
    }
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |why: String| Error::TlsFile { file: file.display().to_string(), why };
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(|e| bad(e.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|e| bad(e.to_string()))?;
    if found.is_empty() { Err(bad("it has no certificate".into())) } else { Ok(found) }
}
