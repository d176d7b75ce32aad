//! TLS on the listener, as `curl` sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use journeys::{Folder, Setup, World, bedplate, binary, eventually};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use serde_json::json;

/// An authority, and the folder where its certificates are.
struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: Folder,
}

impl Pki {
    fn new() -> Pki {
        let mut params = CertificateParams::new(Vec::new()).expect("sound");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate for self-signed when it bears its issuer's name.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let pki = Pki { authority: authority.expect("an authority"), folder: Folder::new() };
        fs::write(pki.file("ca.pem"), pki.authority.pem()).expect("written");
        pki
    }
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// Writes NAME.pem and NAME.key; the certificate says this serial number.
    fn issue(&self, name: &str, serial: u64, names: Vec<SanType>, days: i32) {
        let mut params = CertificateParams::new(Vec::new()).expect("sound");
        params.subject_alt_names = names;
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(serial.into());
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if days < 0 {
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        // The key first: a server that looks in between sees a pair that does not fit.
        fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).expect("written");
        fs::write(self.file(&format!("{name}.pem")), certificate.pem()).expect("written");
    }
    fn server(&self, serial: u64) {
        let names = ["127.0.0.1".parse().map(SanType::IpAddress).expect("an address")];
        self.issue("server", serial, names.into(), 1);
    }
    fn client(&self, name: &str, id: &str, days: i32) {
        self.issue(name, 7, vec![SanType::URI(id.try_into().expect("a URI"))], days);
    }
    fn setup(&self, binary: &Path) -> Setup {
        let path = |name: &str| self.file(name).display().to_string();
        Setup::new(binary)
            .arg(&format!("--tls-cert={}", path("server.pem")))
            .arg(&format!("--tls-key={}", path("server.key")))
    }
    /// `curl` with these arguments: its exit code, and what it wrote.
    fn curl(&self, world: &World, path: &str, arguments: &[&str]) -> (i32, String, String) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-v", "--noproxy", "*", "--max-time", "20", "--cacert"]).arg(self.file("ca.pem"));
        curl.args(arguments).arg(format!("https://{}{path}", world.server.address()));
        let done = curl.output().expect("curl is there, as the build needs it");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr))
    }
    fn cert(&self, name: &str) -> [String; 4] {
        let file = |end: &str| self.file(&format!("{name}.{end}")).display().to_string();
        ["--cert".into(), file("pem"), "--key".into(), file("key")]
    }
}

fn refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn plain_http_is_not_spoken_to_other_machines_unless_told() {
    let Some(binary) = binary() else { return };
    let folder = Folder::new();
    let data = folder.path().join("data");
    let data = data.to_str().expect("UTF-8");
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let ran = bedplate(&binary, &["serve", "--data", data, "--listen", listen], &[], "").exits(1);
        assert!(ran.stderr.contains("NT0005") && ran.stderr.contains("--insecure-plain-http"), "{ran:#?}");
    }
    let half = ["serve", "--data", data, "--tls-cert", "x.pem"];
    bedplate(&binary, &half, &[], "").exits(2);
    let absent = ["serve", "--data", data, "--tls-cert", "/no/such.pem", "--tls-key", "/no/such.key"];
    let ran = bedplate(&binary, &absent, &[], "").exits(1);
    assert!(ran.stderr.contains("NT0004") && ran.stderr.contains("/no/such.pem"), "{ran:#?}");
    assert!(!Path::new(data).exists(), "nothing is made before that is known");
}

#[test]
fn a_certificate_is_replaced_without_a_restart() {
    let Some(binary) = binary() else { return };
    let pki = Pki::new();
    pki.server(0xa1);
    let world = pki.setup(&binary).begin();
    let (code, body, said) = pki.curl(&world, "/livez", &[]);
    assert_eq!((code, body.as_str()), (0, "ok\n"), "{said}");
    // Plain HTTP is not spoken on the same port, nor is an unknown authority trusted.
    let mut stranger = Command::new("curl");
    stranger
        .args(["-sS", "--noproxy", "*", "--max-time", "20"])
        .arg(format!("https://{}/livez", world.server.address()));
    assert_eq!(stranger.output().expect("curl").status.code(), Some(60));

    let serial = || {
        let (code, body, said) = pki.curl(&world, "/livez", &["-w", "%{certs}"]);
        assert_eq!(code, 0, "{body}{said}");
        let line = body.lines().find_map(|l| l.strip_prefix("Serial Number:"))?;
        Some(line.trim().trim_start_matches('0').replace(':', "").to_lowercase())
    };
    if serial().is_none() {
        eprintln!("SKIPPED: this curl does not say which certificate it was shown");
        return;
    }
    assert_eq!(serial().as_deref(), Some("a1"));
    pki.server(0xb2);
    world.server.signal("HUP").expect("it is signalled");
    eventually("the new certificate is shown", || (serial()? == "b2").then_some(()));
    // Rubbish is told, and the certificate in force stays.
    fs::write(pki.file("server.pem"), "rubbish").expect("written");
    world.server.signal("HUP").expect("it is signalled");
    eventually("it is told", || world.server.stderr().contains("tls.kept").then_some(()));
    assert_eq!(serial().as_deref(), Some("b2"));
}

#[test]
fn a_service_is_who_its_certificate_says_and_no_more() {
    let Some(binary) = binary() else { return };
    let pki = Pki::new();
    pki.server(1);
    pki.client("web", "spiffe://acme/web", 1);
    pki.client("stranger", "spiffe://acme/stranger", 1);
    pki.client("expired", "spiffe://acme/web", -1);
    let other = Pki::new();
    other.client("web", "spiffe://acme/web", 1);
    let ca = format!("--tls-client-ca={}", pki.file("ca.pem").display());
    let world = pki.setup(&binary).arg(&ca).begin();
    let url = format!("https://{}", world.server.address());
    let authority = pki.file("ca.pem").display().to_string();
    let run = |arguments: &[&str]| {
        let environment =
            [("BEDPLATE_URL", url.as_str()), ("BEDPLATE_KEY", &world.admin), ("BEDPLATE_CA", &authority)];
        bedplate(&binary, arguments, &environment, "").exits(0)
    };
    run(&["team", "create", "web"]);
    run(&["key", "create", "web", "--team", "web", "--subject", "spiffe://acme/web", "--model", "none"]);

    let models = |arguments: &[String]| pki.curl(&world, "/v1/models", &refs(arguments));
    let (code, body, said) = models(&pki.cert("web"));
    assert!(code == 0 && body.contains("\"data\""), "{body}{said}");
    // No role that it was not given.
    let (_, body, _) = pki.curl(&world, "/api/v1/keys", &refs(&pki.cert("web")));
    assert!(body.contains("ID0006"), "{body}");
    let (code, body, _) = models(&pki.cert("stranger"));
    assert!(code == 0 && body.contains("ID0009"), "verified is not welcome: {body}");
    let (code, body, _) = models(&[]);
    assert!(code == 0 && body.contains("ID0001"), "{body}");
    for bad in [pki.cert("expired"), other.cert("web")] {
        let (code, body, said) = models(&bad);
        assert!(code != 0 && body.is_empty(), "{bad:?}: {body}{said}");
    }
    // Revoked means revoked, however one comes in.
    let keys = run(&["key", "list", "--json"]).json();
    let key =
        keys["data"].as_array().into_iter().flatten().find(|k| k["subject"] == json!("spiffe://acme/web"));
    run(&["key", "revoke", key.and_then(|k| k["id"].as_str()).expect("an id")]);
    let (_, body, _) = models(&pki.cert("web"));
    assert!(body.contains("ID0004"), "{body}");
}
