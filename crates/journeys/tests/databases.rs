//! A real PostgreSQL server asked by declared queries, and strangers in its place.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use journeys::{Folder, Setup, World, binary, eventually};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use testkit::{Answer, Ask, Postgres};

const PASSWORD: &str = "pass: word'\"";

/// What the operator has: a table, a login that may do more than it should, and a function that
/// writes behind the back of whoever only selects.
const SHOP: &str = r#"
    CREATE TABLE orders (id int8 PRIMARY KEY, buyer text, total numeric(12,2), paid bool, at timestamptz, note jsonb, ref uuid);
    INSERT INTO orders VALUES
        (1, 'Ada', 19.90, true, '2026-11-28 06:00:00.5+01', '{"gift": true}', '0190f3a2-7c1e-7a4b-8f2d-3c5e9a1b7d60'),
        (2, 'Bo', 5, false, NULL, NULL, NULL),
        (9007199254740993, 'Ada', 100.10, NULL, 'infinity', '[1]', NULL);
    CREATE FUNCTION touch() RETURNS int LANGUAGE sql AS $$ INSERT INTO orders VALUES (77) RETURNING 1 $$;
    CREATE ROLE reader LOGIN PASSWORD 'pass: word''"';
    GRANT ALL ON orders TO reader;
"#;

const QUERIES: &str = r#"      of:
        description: What somebody ordered, the dearest first.
        template: |
          SELECT id, total, paid, at, note, ref::text AS reference FROM orders
          WHERE lower(buyer)=lower($buyer) AND total>=$least ORDER BY total DESC
        parameters: { buyer: { type: text }, least: { type: decimal } }
      echo:
        template: "SELECT $text AS back, $n + 1 AS n, $day AS day, $when AS at, $yes AS yes, $sum AS sum"
        parameters:
          text: { type: text }
          n: { type: integer }
          day: { type: date }
          when: { type: dateTime }
          yes: { type: boolean }
          sum: { type: decimal }
      all:
        template: "SELECT i FROM generate_series(1, $n) AS i"
        parameters: { n: { type: integer } }
        maxRows: 3
      by-ref:
        template: "SELECT id FROM orders WHERE ref = $ref::uuid"
        parameters: { ref: { type: text } }
      touch:
        template: "SELECT touch()"
      state:
        template: "SELECT current_setting('transaction_read_only') AS one, current_setting('default_transaction_read_only') AS other"
      sleep:
        template: "SELECT pg_sleep(600)::text"
        timeoutMs: 700
      nap:
        template: "SELECT pg_sleep(600)::text AS nap"
      bytes:
        template: "SELECT 'x'::bytea AS b"
"#;

fn declared(address: &str, queries: &str) -> String {
    format!(
        "apiVersion: bedplate/v1\nkind: Tool\nmetadata: {{ name: shop }}\nspec:\n  teams: [research]\n  graph:\n    \
         language: sql\n    url: \"{address}\"\n    allowPrivate: true\n    keySecret: shop-login\n    queries:\n{queries}"
    )
}

fn plain(port: u16) -> String {
    format!("postgresql://127.0.0.1:{port}/postgres?sslmode=disable")
}

/// The shop's database, declared in a world whose team may ask it; the team's key.
fn begin(world: &World, address: &str) -> String {
    let key = world.team("research");
    world.apply(&declared(address, QUERIES));
    world.run_with(&world.admin, &["tool", "set-key", "shop"], &format!("reader:{PASSWORD}")).exits(0);
    key
}

fn asked(world: &World, key: &str, query: &str, parameters: &Value) -> Answer {
    let path = format!("/api/v1/graphs/shop/queries/{query}");
    world.send(&Ask::json(&path, &json!({"parameters": parameters})).key(key))
}

/// What the login has open at the server.
fn sessions(database: &Postgres) -> String {
    database.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'").expect("an answer")
}

#[test]
fn a_declared_query_of_a_real_database_gives_rows_and_values_are_arguments() {
    let Some(binary) = binary() else { return };
    let Some(database) = Postgres::start(&[], &[]) else { return };
    database.query(SHOP).expect("the shop is made");
    let world = World::new(binary);
    let key = begin(&world, &plain(database.port));

    let told = world
        .run_with(&key, &["graph", "query", "shop", "of", "--param", "buyer=ADA", "--param", "least=20"], "")
        .exits(0);
    assert!(told.stdout.contains("100.10") && !told.stdout.contains("19.90"), "{told:?}");
    let rows = asked(&world, &key, "of", &json!({"buyer": "ada", "least": "0"})).json();
    assert_eq!(rows["columns"], json!(["id", "total", "paid", "at", "note", "reference"]));
    assert_eq!(
        rows["rows"],
        json!([
            ["9007199254740993", "100.10", null, "infinity", [1], null],
            [1, "19.90", true, "2026-11-28T05:00:00.5Z", {"gift": true}, "0190f3a2-7c1e-7a4b-8f2d-3c5e9a1b7d60"],
        ])
    );
    let counted = asked(&world, &key, "all", &json!({"n": 10_000}));
    assert_eq!(
        (&counted.json()["rows"], &counted.json()["left_out"]),
        (&json!([[1], [2], [3]]), &json!(9_997))
    );
    let record = world.record_of(&counted);
    assert_eq!((&record["surface"], &record["model"]), (&json!("graph"), &json!("shop/all")), "{record:#}");

    // Whatever a value holds comes back as that text, and changes nothing.
    for text in [
        "Ada",
        "'; DROP TABLE orders; --",
        "'' OR 1=1 /*",
        "\\",
        "\\'",
        "$1 $2 $$ $x$",
        "E'\\x27'",
        "\"",
        "line\nbreak\ttab\r",
        "ünïcödé 部门 🦀",
        "\u{2028}",
        "",
    ] {
        let values = json!({"text": text, "n": 41, "day": "2026-02-28", "when": "2026-11-28T06:00:00+02:00",
            "yes": true, "sum": "-3.50"});
        let back = asked(&world, &key, "echo", &values);
        let expected = json!([[text, 42, "2026-02-28", "2026-11-28T04:00:00Z", true, "-3.50"]]);
        assert_eq!(back.json()["rows"], expected, "{text:?}: {back:?}");
    }
    // What is not of its type goes nowhere; what the database cannot take is its caller's to change.
    for (query, values) in [
        ("all", json!({"n": "1; DROP"})),
        ("all", json!({})),
        ("by-ref", json!({"ref": "7"})),
        (
            "echo",
            json!({"text": "", "n": 1, "day": "2026-02-31", "when": "2026-11-28T06:00:00Z", "yes": true, "sum": 1}),
        ),
    ] {
        let refused = asked(&world, &key, query, &values);
        assert_eq!((refused.status, refused.header("bedplate-error")), (400, Some("TG0014")), "{refused:?}");
    }
    let unread = asked(&world, &key, "bytes", &json!({}));
    assert_eq!(unread.header("bedplate-error"), Some("TG0005"), "{unread:?}");
    assert!(unread.body.contains("encode(") && !unread.body.contains("pass: word"), "{unread:?}");
    assert_eq!(database.query("SELECT count(*) FROM orders").expect("it is there"), "3");
    eventually("no session is left", || (sessions(&database) == "0").then_some(()));
    let stranger = world.team("others");
    assert_eq!(asked(&world, &stranger, "state", &json!({})).status, 404);
    world.is_sound();
}

#[test]
fn nothing_is_written_and_no_query_outlives_its_time_or_its_asker() {
    let Some(binary) = binary() else { return };
    let Some(database) = Postgres::start(&[], &[]) else { return };
    database.query(SHOP).expect("the shop is made");
    let world = World::new(binary);
    let key = begin(&world, &plain(database.port));

    // By us, before it is declared.
    for template in [
        "DELETE FROM orders",
        "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT 1; DELETE FROM orders",
        "SELECT * FROM orders FOR UPDATE",
        "SELECT $undeclared",
    ] {
        let text =
            declared(&plain(database.port), &format!("      bad:\n        template: \"{template}\"\n"));
        let ask =
            Ask::new("POST", "/api/v1/apply").key(&world.admin).header("content-type", "application/yaml");
        let refused = world.send(&ask.body(text));
        assert_eq!(refused.status, 400, "{template}: {refused:?}");
        assert!(refused.body.contains("MF0009"), "{template}: {refused:?}");
    }
    // By the server, where a function hides it from us, though its login may write.
    let refused = asked(&world, &key, "touch", &json!({}));
    assert_eq!(refused.header("bedplate-error"), Some("TG0005"), "{refused:?}");
    assert!(refused.body.contains("25006"), "{refused:?}");
    assert_eq!(asked(&world, &key, "state", &json!({})).json()["rows"], json!([["on", "on"]]));
    assert_eq!(database.query("SELECT count(*) FROM orders").expect("it is there"), "3");

    // At its deadline, in words that are ours or the server's, whichever came first.
    let late = asked(&world, &key, "sleep", &json!({}));
    assert_eq!(late.header("bedplate-error"), Some("TG0005"), "{late:?}");
    assert!(late.body.contains("within 700 ms") || late.body.contains("57014"), "{late:?}");
    eventually("no session is left", || (sessions(&database) == "0").then_some(()));

    // And when whoever asked has left: long before the two minutes that it would have.
    let open =
        Ask::json("/api/v1/graphs/shop/queries/nap", &json!({})).key(&key).open(world.server.address());
    let open = open.expect("it is asked");
    eventually("it sleeps", || (sessions(&database) == "1").then_some(()));
    drop(open);
    eventually("no session is left", || (sessions(&database) == "0").then_some(()));
    world.is_sound();
}

#[test]
fn a_database_is_believed_by_its_certificate() {
    let Some(binary) = binary() else { return };
    let folder = Folder::new();
    let mut params = CertificateParams::new(Vec::new()).expect("sound");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "an authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("sound");
    let bundle = folder.path().join("ca.pem");
    std::fs::write(&bundle, authority.pem()).expect("written");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".into()]).expect("sound");
    let certificate = params.signed_by(&key, &authority).expect("a certificate").pem();
    let settings = [("ssl", "on"), ("ssl_cert_file", "../server.pem"), ("ssl_key_file", "../server.key")];
    let files = [("server.pem", certificate.as_str()), ("server.key", &*key.serialize_pem())];
    let Some(database) = Postgres::start(&settings, &files) else { return };
    database.query(SHOP).expect("the shop is made");

    let world = Setup::new(binary).env("SSL_CERT_FILE", &bundle.display().to_string()).begin();
    let key = begin(&world, &format!("postgresql://localhost:{}/postgres", database.port));
    let answer = asked(&world, &key, "of", &json!({"buyer": "bo", "least": 1}));
    assert_eq!(answer.json()["rows"][0][1], "5.00", "{answer:?}");
    // Its certificate is for another name.
    world.apply(&declared(&format!("postgresql://127.0.0.1:{}/postgres", database.port), QUERIES));
    let refused = asked(&world, &key, "of", &json!({"buyer": "bo", "least": 1}));
    assert_eq!(refused.header("bedplate-error"), Some("TG0005"), "{refused:?}");
    assert!(refused.body.contains("TLS"), "{refused:?}");
    world.is_sound();
}

/// Somebody who takes connections and answers each with the same bytes, then waits until it is left.
fn stranger(says: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let says = says.clone();
            thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.write_all(&says);
                let mut block = [0; 4096];
                while stream.read(&mut block).is_ok_and(|n| n > 0) {}
            });
        }
    });
    port
}

#[test]
fn a_stranger_in_a_databases_place_gives_an_error_and_nothing_else() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let key = begin(&world, "postgresql://127.0.0.1:1/postgres?sslmode=disable");
    let cut =
        [&b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"[..], b"C\0\0\0\x0aBEGIN\0Z\0\0\0\x05T", b"T\0\0\0\xff\0\x01na"]
            .concat();
    for (what, says) in [
        ("silence", Vec::new()),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("a length of 2 GB", b"R\x7f\xff\xff\xff".to_vec()),
        ("an end inside of a description", cut),
        ("md5", b"R\0\0\0\x0c\0\0\0\x05salt".to_vec()),
        ("the password in clear text", b"R\0\0\0\x08\0\0\0\x03".to_vec()),
    ] {
        let only = "      one:\n        template: SELECT 1 AS one\n        timeoutMs: 700\n";
        world.apply(&declared(&plain(stranger(says)), only));
        let refused = asked(&world, &key, "one", &json!({}));
        assert_eq!(refused.header("bedplate-error"), Some("TG0005"), "{what}: {refused:?}");
        assert!(!refused.body.contains("pass: word"), "{what}: {refused:?}");
    }
    // With TLS asked for and not given, not a word of the login is said.
    let port = stranger(b"N".to_vec());
    world.apply(&declared(&format!("postgresql://127.0.0.1:{port}/postgres"), QUERIES));
    let refused = asked(&world, &key, "state", &json!({}));
    assert!(refused.body.contains("takes no TLS"), "{refused:?}");
    // And without TLS nothing goes to a public place at all.
    let public = declared("postgresql://db.example/shop?sslmode=disable", QUERIES)
        .replace("allowPrivate: true", "allowPrivate: false");
    let ask = Ask::new("POST", "/api/v1/apply").key(&world.admin).header("content-type", "application/yaml");
    assert!(world.send(&ask.body(public)).body.contains("MF0009"));
    world.is_sound();
}
