//! Nothing that is secret is in any file, however it is written down: after
//! `kill -9`, with a master key kept elsewhere (TRAPS X4, F1).

use std::collections::HashSet;

use base64ct::{Base64, Encoding};
use journeys::{Setup, binary, eventually};
use serde_json::{Value, json};
use testkit::{Ask, Provider, Vault};

/// So many bytes of a secret in a row are a leak.
const WINDOW: usize = 16;

/// The ways in which a careless program writes a secret down.
fn encodings(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
    let mut all = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    // Base64 looks different at each of three offsets; what depends on neighbours goes.
    for offset in 0..3 {
        let shifted = [&vec![0; offset][..], secret].concat();
        let text = Base64::encode_string(&shifted).into_bytes();
        let (from, to) = ((offset * 8).div_ceil(6), (shifted.len() * 8) / 6);
        let url = |b: &u8| match b {
            b'+' => b'-',
            b'/' => b'_',
            b => *b,
        };
        all.push(text[from..to].iter().map(url).collect());
        all.push(text[from..to].to_vec());
    }
    all.push(secret.iter().rev().copied().collect());
    all.push(secret.iter().flat_map(|b| [*b, 0]).collect());
    all.push(secret.iter().flat_map(|b| [0, *b]).collect());
    all.push(secret.iter().flat_map(|b| format!("%{b:02X}").into_bytes()).collect());
    all
}

struct Search(HashSet<Vec<u8>>);

impl Search {
    fn of(secrets: &[&[u8]]) -> Search {
        let written = secrets.iter().flat_map(|secret| encodings(secret));
        Search(written.flat_map(|w| w.windows(WINDOW).map(<[u8]>::to_vec).collect::<Vec<_>>()).collect())
    }
    fn finds(&self, bytes: &[u8]) -> bool {
        bytes.windows(WINDOW).any(|window| self.0.contains(window))
    }
}

#[test]
fn the_search_finds_every_encoding_wherever_it_stands() {
    let secret = b"canary-Zq7Xw3Vu9Ts1Rp5On2Ml8Kj4";
    let search = Search::of(&[secret]);
    for written in encodings(secret) {
        assert!(
            search.finds(&[&b"xyz"[..], &written, b"!"].concat()),
            "{}",
            String::from_utf8_lossy(&written)
        );
    }
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{}tail", String::from_utf8_lossy(secret));
        assert!(search.finds(Base64::encode_string(text.as_bytes()).as_bytes()), "behind {before:?}");
    }
    assert!(!search.finds(&[7; 4096]) && !search.finds(b"nothing of the kind is in this sentence"));
}

const PROMPT: &str = "canary-prompt-Wm4Qx8Zt2Lc6Vb0Nj5Hk9";
const PROVIDER: &str = "sk-canary-provider-Rf3Tg7Yh1Uj5Ik9Ol2";

#[test]
fn after_a_kill_no_file_holds_a_prompt_a_secret_or_a_key() {
    let Some(binary) = binary() else { return };
    let (vault, provider) = (Vault::start(), Provider::start());
    let world = Setup::new(binary)
        .with_engine()
        .arg("--master-key=vault")
        .env("VAULT_ADDR", &vault.url())
        .env("VAULT_TOKEN", &vault.token())
        .env("BEDPLATE_LOG", "trace")
        .begin();
    world.apply(&format!(
        "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: outside }}\n\
         spec: {{ dialect: openai, baseUrl: \"{}/v1\", allowPrivate: true, keySecret: outside }}\n---\n\
         apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: outside }}\n\
         spec: {{ retries: 0, targets: [ {{ provider: outside, model: echo }} ] }}\n",
        provider.url()
    ));
    world.run_with(&world.admin, &["provider", "set-key", "outside"], PROVIDER).exits(0);
    let key = world.team("people");
    for model in ["bedplate-guide", "outside"] {
        let content = format!("{PROMPT} {}", "What is a budget? ".repeat(120));
        let messages = json!([{"role": "user", "content": content}]);
        let body = json!({"model": model, "max_tokens": 8, "messages": messages});
        assert_eq!(world.send(&Ask::json("/v1/chat/completions", &body).key(&key)).status, 200, "{model}");
    }
    assert!(provider.seen().iter().any(|s| String::from_utf8_lossy(&s.request.body).contains(PROMPT)));
    let blocks = || {
        let files = world.folder.files();
        files.into_iter().filter(|(p, _)| p.extension().is_some_and(|x| x == "kv")).collect::<Vec<_>>()
    };
    eventually("blocks are on disk", || (blocks().len() >= 4).then_some(()));
    // The root of the ring, which only the vault was shown: the fake saw it.
    let roots: Vec<Vec<u8>> = vault
        .seen()
        .iter()
        .filter(|r| r.path.contains("/encrypt/"))
        .filter_map(|r| serde_json::from_slice::<Value>(&r.body).ok())
        .filter_map(|body| Base64::decode_vec(body["plaintext"].as_str()?).ok())
        .map(|plain| plain[..32].to_vec())
        .collect();
    assert_eq!(roots.len(), 1);
    let token = vault.token();
    let mut secrets = vec![PROMPT.as_bytes(), PROVIDER.as_bytes(), key.as_bytes(), world.admin.as_bytes()];
    secrets.extend(roots.iter().map(Vec::as_slice));

    let log = world.server.stderr();
    let (admin, folder, server) = (world.admin.clone(), world.folder, world.server);
    server.kill().expect("it is killed");
    let files = folder.files();
    let names: Vec<String> = files.iter().map(|(p, _)| p.display().to_string()).collect();
    for wanted in ["platform.db", "platform.db-wal", "keyring", ".kv"] {
        assert!(names.iter().any(|n| n.ends_with(wanted)), "{wanted} was searched: {names:?}");
    }
    let search = Search::of(&secrets);
    let token_search = Search::of(&[format!("{token}{token}").as_bytes(), b"hvs.test-token"]);
    for (path, bytes) in &files {
        assert!(!search.finds(bytes), "{}", path.display());
        assert!(!token_search.finds(bytes), "the token is in {}", path.display());
    }
    // The log of a server that says everything.
    assert!(log.len() > 100 && !search.finds(log.as_bytes()) && !log.contains(&token), "{log:.4000}");
    // What is encrypted looks like nothing: each byte about as often as any other.
    for (path, bytes) in
        files.iter().filter(|(p, b)| p.extension().is_some_and(|x| x == "kv") && b.len() > 100_000)
    {
        let mut counts = [0_u64; 256];
        bytes[88..].iter().for_each(|b| counts[*b as usize] += 1);
        let mean = (bytes.len() - 88) as u64 / 256;
        let even = counts.iter().all(|n| *n > mean / 2 && *n < mean * 2);
        assert!(even, "{} has a shape: {counts:?}", path.display());
    }
    drop(admin);
}
