//! What a stranger sends as a token, and what an identity provider answers: keys,
//! metadata, tokens, devices.
#![no_main]

use identity::{Config, Device, DeviceAnswer, Exchange, KeySet, Metadata, Tokens, Unverified};

const CONFIG: &str = "resource = \"https://us\"\n[[issuer]]\nurl = \"https://a\"\nalgorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\n";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let config = Config::parse(CONFIG, "f").expect("sound");
    let issuer = &config.issuers[0];
    let text = String::from_utf8_lossy(data);
    // A token and the keys to verify it with, one after the other.
    let (token, keys) = text.split_once('\n').unwrap_or((&text, ""));
    let keys = KeySet::parse(keys.as_bytes()).unwrap_or_default();
    if let Ok(read) = Unverified::read(token) {
        assert!(token.len() <= identity::TOKEN_BYTES_MAX);
        let now = units::Micros(1_800_000_000_000_000);
        if let Ok(claims) = read.verify(issuer, &keys, "https://us", now) {
            assert!(claims.subject.starts_with("https://a#"));
        }
    }
    let _ = Metadata::parse(issuer, data);
    let _ = Tokens::parse(data);
    let _ = Device::parse(data);
    let _ = DeviceAnswer::parse(data);
    let exchange = Exchange {
        issuer: "https://a".into(),
        client_id: "us".into(),
        client_secret: String::new().into(),
        audience: Some("them".into()),
        resource: None,
        scope: Some("read".into()),
    };
    if let Ok(granted) = exchange.read(data, Some("the caller's")) {
        assert!(*granted.token != "the caller's" && granted.token.bytes().all(|b| b.is_ascii_graphic()));
    }
    let _ = Config::parse(&text, "f");
});
