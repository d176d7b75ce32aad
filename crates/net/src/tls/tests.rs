//! Certificates made for the occasion: right, wrong, expired, replaced.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use http::StatusCode;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use runtime::Shutdown;
use rustls::ClientConnection;
use tempfile::TempDir;

use super::*;
use crate::server::{Config, Request, Response, ResponseBody, Server};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its key.
struct Identity {
    chain: CertificateDer<'static>,
    pem: (String, String),
    key: KeyPair,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are sound");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn issued(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are sound");
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    Identity { chain: certificate.der().clone(), pem: (certificate.pem(), key.serialize_pem()), key }
}

fn server_named(authority: &Authority, name: &str) -> Identity {
    issued(authority, |p| p.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))])
}

fn client_with(authority: &Authority, uris: &[&str]) -> Identity {
    issued(authority, |p| {
        p.subject_alt_names = uris.iter().map(|u| SanType::URI((*u).try_into().expect("a URI"))).collect();
    })
}

struct Place {
    folder: TempDir,
    tls: ServerTls,
    address: SocketAddr,
    shutdown: Shutdown,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shutdown.drain("the test is over");
    }
}

fn write(folder: &TempDir, server: &Identity) {
    fs::write(folder.path().join("cert.pem"), &server.pem.0).expect("written");
    fs::write(folder.path().join("key.pem"), &server.pem.1).expect("written");
}

/// A server that answers with the SPIFFE id that it sees.
fn place(
    server: &Identity,
    clients: impl FnOnce(PathBuf) -> Clients,
    authority: Option<&Authority>,
) -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder, server);
    let ca = folder.path().join("ca.pem");
    if let Some(authority) = authority {
        fs::write(&ca, authority.pem()).expect("written");
    }
    let files = TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        clients: clients(ca),
    };
    let tls = ServerTls::open(files).expect("the files are sound");
    let config = Config {
        workers: 1,
        tls: Some(tls.clone()),
        ..Config::new("127.0.0.1:0".parse().expect("an address"))
    };
    let shutdown = Shutdown::new();
    let handler = |request: Request| async move {
        let who = request.spiffe_id.as_deref().unwrap_or("nobody").to_owned();
        Response::new(StatusCode::OK, ResponseBody::Full(Bytes::from(who)))
    };
    let running = Server::bind(config).expect("a port").start(shutdown.clone(), move |_| handler);
    let address = running.expect("it starts").address();
    Place { folder, tls, address, shutdown }
}

/// A client's connection and the socket under it.
struct Client(rustls::StreamOwned<ClientConnection, TcpStream>);

fn client(place: &Place, trusts: &Authority, shows: Option<&Identity>) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.der().clone()).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match shows {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a key");
            builder.with_client_auth_cert(vec![identity.chain.clone()], key).expect("they fit")
        }
    };
    let name = "localhost".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    Client(rustls::StreamOwned::new(connection, TcpStream::connect(place.address).expect("connects")))
}

impl Client {
    /// The body of one answer; the connection stays.
    fn ask(&mut self) -> Result<String, std::io::Error> {
        self.0.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut have = Vec::new();
        let mut byte = [0];
        loop {
            if self.0.read(&mut byte)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            have.push(byte[0]);
            let text = String::from_utf8_lossy(&have);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Some(length) = head.to_ascii_lowercase().split("content-length: ").nth(1)
                && length.lines().next().and_then(|l| l.trim().parse().ok()) == Some(body.len())
            {
                return Ok(body.to_owned());
            }
        }
    }
    fn shown(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().expect("shown")[0].clone().into_owned()
    }
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let ca = authority();
    let (first, second) = (server_named(&ca, "localhost"), server_named(&ca, "localhost"));
    let place = place(&first, |_| Clients::Anonymous, None);
    let mut old = client(&place, &ca, None);
    assert_eq!(old.ask().expect("an answer"), "nobody");
    assert!(!place.tls.reload().expect("nothing new"));

    write(&place.folder, &second);
    assert!(place.tls.reload().expect("a new pair"));
    let mut new = client(&place, &ca, None);
    new.ask().expect("an answer");
    assert_eq!((old.shown(), new.shown()), (first.chain.clone(), second.chain.clone()));
    old.ask().expect("the old connection goes on");

    // Half a change, or rubbish, changes nothing and is told once.
    for (name, text) in [("key.pem", first.pem.1.as_str()), ("cert.pem", "no certificate")] {
        fs::write(place.folder.path().join(name), text).expect("written");
        assert!(matches!(place.tls.reload(), Err(Error::TlsFile { .. })), "{name}");
        assert!(matches!(place.tls.reload(), Ok(false)), "{name}: told once");
    }
    fs::remove_file(place.folder.path().join("key.pem")).expect("removed");
    assert!(matches!(place.tls.reload(), Err(Error::TlsFile { .. })));
    let mut last = client(&place, &ca, None);
    last.ask().expect("the certificate in force stays");
    assert_eq!(last.shown(), second.chain);
    write(&place.folder, &first);
    assert!(place.tls.reload().expect("whole again"));
}

#[test]
fn a_client_certificate_is_right_wrong_or_expired() {
    let (ca, stranger) = (authority(), authority());
    let server = server_named(&ca, "localhost");
    let id = "spiffe://acme/ns/prod/sa/web";
    let right = client_with(&ca, &[id]);
    let wrong = client_with(&stranger, &[id]);
    let expired = issued(&ca, |p| {
        p.subject_alt_names = vec![SanType::URI(id.try_into().expect("a URI"))];
        (p.not_before, p.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    let only_for_servers = issued(&ca, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);

    let welcome = place(&server, Clients::Welcome, Some(&ca));
    let required = place(&server, Clients::Required, Some(&ca));
    let ask = |place: &Place, shows: Option<&Identity>| client(place, &ca, shows).ask();
    assert_eq!(ask(&welcome, Some(&right)).expect("right"), id);
    assert_eq!(ask(&required, Some(&right)).expect("right"), id);
    assert_eq!(ask(&welcome, None).expect("without one"), "nobody");
    assert!(ask(&required, None).is_err(), "without one");
    for (what, bad) in [("wrong", &wrong), ("expired", &expired), ("for servers", &only_for_servers)] {
        assert!(ask(&welcome, Some(bad)).is_err(), "{what}: a bad certificate is not as good as none");
        assert!(ask(&required, Some(bad)).is_err(), "{what}");
    }
    // Where nobody asks for certificates, nobody is anybody.
    let anonymous = place(&server, |_| Clients::Anonymous, None);
    assert_eq!(ask(&anonymous, Some(&right)).expect("an answer"), "nobody");
}

#[test]
fn one_uri_is_a_spiffe_id_and_none_or_two_are_not() {
    let ca = authority();
    let id = |uris: &[&str]| {
        let identity = client_with(&ca, uris);
        spiffe_id(Some(std::slice::from_ref(&identity.chain))).map(|id| id.to_string())
    };
    assert_eq!(id(&["spiffe://acme/web"]).as_deref(), Some("spiffe://acme/web"));
    for none in [
        &[][..],
        &["https://acme/web"],
        &["spiffe://acme/web", "spiffe://acme/admin"],
        &["spiffe://acme/web", "https://acme"],
    ] {
        assert_eq!(id(none), None, "{none:?}");
    }
    assert_eq!(spiffe_id(Some(&[])), None);
    assert_eq!(spiffe_id(Some(&[CertificateDer::from_slice(b"\x30\x03\x02\x01\x00")])), None);
}
