//! `serve --audit`: what a damaged audit log means for whoever asks. The damage
//! is done through our own store, since nobody does it without the keys.

use std::path::Path;

use audit::{Hash, Signer, sign};
use seal::{KeyRing, Source};
use store::{AuditLog, CheckpointRow, Secrets, Store};
use store_sqlite::SqliteStore;
use testkit::harness::Start;
use testkit::{Answer, Ask, Bedplate};

/// The log says that it once was longer: as if its last leaves were cut off.
fn damage(data: &Path) {
    let keys = KeyRing::open(data, &Source::File).unwrap_or_else(|e| panic!("{e}"));
    let store = SqliteStore::open(data, &keys).unwrap_or_else(|e| panic!("{e}"));
    let secret = store.secret("audit:log").expect("it reads").expect("a start has made it");
    let signer = Signer::parse(&String::from_utf8_lossy(&secret)).expect("a key");
    let size = store.log_size().expect("it reads") + 5;
    let note = sign(size, Hash([7; 32]), &signer).to_string();
    store.publish(&[], &CheckpointRow { size, note, cosigned: false }).expect("it is kept");
    store.close().expect("it closes");
}

fn ask(server: &Bedplate, ask: Ask) -> Answer {
    ask.send(server.address()).expect("an answer")
}

#[test]
fn a_server_that_requires_its_log_answers_nothing_when_it_is_damaged_and_says_why() {
    let folder = tempfile::tempdir().expect("a directory");
    let start = Start::new(env!("CARGO_BIN_EXE_bedplate"), folder.path().join("data"))
        .arg("--roles=gateway,control,console");
    let required = start.clone().arg("--audit=require");
    // A sound log is as good as none required.
    let server = Bedplate::start(required.clone()).expect("it starts");
    let key = server.admin_key().expect("a first start prints one");
    assert_eq!(ask(&server, Ask::get("/v1/models").key(&key)).status, 200);
    server.kill().expect("it is ours");
    damage(&folder.path().join("data"));

    let server = Bedplate::start(required.unready()).expect("it starts, and is not ready");
    let chat = r#"{"model":"any","messages":[{"role":"user","content":"hello"}]}"#;
    for refused in [
        Ask::get("/v1/models").key(&key),
        Ask::post("/v1/chat/completions", chat).key(&key),
        Ask::post("/v1/messages", chat).key(&key),
        Ask::post("/mcp", "{}").key(&key),
        // Before it is known who asks.
        Ask::post("/v1/embeddings", "{}"),
    ] {
        let answer = ask(&server, refused);
        assert_eq!((answer.status, answer.header("bedplate-error")), (503, Some("AU0007")), "{answer:?}");
        assert!(answer.body.contains("5 are missing"), "{answer:?}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    let ready = ask(&server, Ask::get("/readyz"));
    assert_eq!((ready.status, ready.body.starts_with("AU0007")), (503, true), "{ready:?}");
    assert_eq!(ask(&server, Ask::get("/livez")).status, 200, "the process is well");
    // Whoever has to look into it can.
    assert_eq!(ask(&server, Ask::get("/api/v1/status").key(&key)).status, 200);
    server.kill().expect("it is ours");

    let server = Bedplate::start(start).expect("unless told it answers all the same");
    assert_eq!(ask(&server, Ask::get("/v1/models").key(&key)).status, 200);
}
