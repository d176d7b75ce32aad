//! Every way a token can lie (TRAPS X10).

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use ring::{hmac, rand};
use serde_json::json;

use super::*;
use crate::Config;

const NOW: Micros = Micros(1_800_000_000_000_000);
const NOW_S: i64 = 1_800_000_000;
const US: &str = "https://bedplate.acme.example";
const THEM: &str = "https://login.acme.example";

/// An issuer with a key of each kind.
struct Signer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    random: SystemRandom,
}

fn b64(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

impl Signer {
    fn new() -> Signer {
        let random = rand::SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Signer {
            rsa: RsaKeyPair::from_pkcs8(include_bytes!("../../testdata/rsa.pk8")).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            random,
        }
    }
    fn keys(&self) -> Value {
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "use": "sig", "n": b64(&n), "e": b64(&e)},
            {"kty": "EC", "kid": "ec", "crv": "P-256", "alg": "ES256", "x": b64(&point[1..33]), "y": b64(&point[33..])},
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(self.ed.public_key().as_ref())},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": b64(&n), "e": b64(&e)},
            {"kty": "oct", "kid": "shared", "k": b64(b"a secret that everybody can read")},
            {"kty": "quantum", "kid": "new"}
        ]})
    }
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()));
        let signature = match header["alg"].as_str() {
            Some("ES256") => self.ec.sign(&self.random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Some("EdDSA") => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
            _ => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", b64(&signature))
    }
}

fn issuer() -> Issuer {
    let text = format!(
        "resource = \"{US}\"\n[[issuer]]\nurl = \"{THEM}\"\nalgorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\n"
    );
    Config::parse(&text, "f").expect("a config").issuers.remove(0)
}

fn claims() -> Value {
    json!({"iss": THEM, "sub": "ada", "aud": US, "exp": NOW_S + 600, "iat": NOW_S, "email": "ada@acme.example",
        "email_verified": true, "groups": ["a", "b"]})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value == json!("ABSENT") {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn check(signer: &Signer, token: &str) -> Result<Claims, Refused> {
    let keys = KeySet::parse(signer.keys().to_string().as_bytes()).expect("a set");
    Unverified::read(token)?.verify(&issuer(), &keys, US, NOW)
}

fn rs256() -> Value {
    json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"})
}

#[test]
fn who_acts_is_read_from_the_outermost_actor_or_the_token_is_nothing() {
    let signer = Signer::new();
    let actor = |act: Value| check(&signer, &signer.sign(&rs256(), &with("act", act))).map(|c| c.actor);
    let agent = Some(format!("{THEM}#agent"));
    assert_eq!(actor(json!("ABSENT")), Ok(None));
    assert_eq!(actor(json!({"sub": "agent"})), Ok(agent.clone()));
    // Who acted before, and what else is said, decide nothing.
    let chain = json!({"sub": "agent", "iss": THEM, "act": {"sub": "admin"}, "groups": ["admins"]});
    assert_eq!(actor(chain), Ok(agent));
    for wrong in [
        json!(null),
        json!("agent"),
        json!([{"sub": "agent"}]),
        json!({}),
        json!({"sub": 7}),
        json!({"sub": ""}),
        json!({"sub": "a b"}),
        json!({"sub": "agent", "iss": "https://elsewhere.example"}),
        json!({"sub": "agent", "iss": 7}),
    ] {
        assert_eq!(actor(wrong.clone()), Err(Refused::Claim("act")), "{wrong}");
    }
    // Through such a token nobody signs in.
    let token = signer.sign(&rs256(), &with("act", json!({"sub": "agent"})));
    let keys = KeySet::parse(signer.keys().to_string().as_bytes()).expect("a set");
    let read = Unverified::read(&token).expect("a token");
    assert_eq!(read.verify_sign_in(&issuer(), &keys, US, None, NOW), Err(Refused::Claim("act")));
}

#[test]
fn a_good_token_of_each_kind_says_who_it_is() {
    let signer = Signer::new();
    for header in [
        rs256(),
        json!({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}),
        json!({"alg": "EdDSA", "kid": "ed"}),
        json!({"alg": "ES256"}),
    ] {
        let claims =
            check(&signer, &signer.sign(&header, &claims())).unwrap_or_else(|e| panic!("{header}: {e}"));
        assert_eq!(claims.subject, format!("{THEM}#ada"));
        assert_eq!(claims.name.as_deref(), Some("ada@acme.example"));
        assert_eq!((claims.groups.len(), claims.expires), (2, Micros((NOW_S + 600) * 1_000_000)));
    }
    let many = with("aud", json!(["https://other", US]));
    assert!(check(&signer, &signer.sign(&rs256(), &many)).is_ok());
}

#[test]
fn trap_x10_a_time_of_the_wrong_type_is_never_absent() {
    let signer = Signer::new();
    let wrong = [
        json!("1900000000"),
        json!("never"),
        json!(true),
        json!([1_900_000_000i64]),
        json!({}),
        json!(-1),
        json!(1e300),
        json!(9_223_372_036_854_775_807i64),
        json!(u64::MAX),
        json!(null),
    ];
    for claim in ["exp", "nbf", "iat"] {
        for value in &wrong {
            let refused = check(&signer, &signer.sign(&rs256(), &with(claim, value.clone()))).unwrap_err();
            assert_eq!(refused, Refused::Claim(claim), "{claim} {value}");
        }
    }
    let at = |claim: &str, s: Value| check(&signer, &signer.sign(&rs256(), &with(claim, s)));
    assert_eq!(at("exp", json!("ABSENT")).unwrap_err(), Refused::Missing("exp"));
    assert!(at("exp", json!(NOW_S - 29)).is_ok(), "within the leeway");
    assert!(matches!(at("exp", json!(NOW_S - 30)), Err(Refused::Expired(_))));
    assert!(at("exp", json!(NOW_S as f64 + 0.5)).is_ok(), "a fraction is a number");
    assert!(at("nbf", json!(NOW_S + 30)).is_ok());
    assert!(matches!(at("nbf", json!(NOW_S + 31)), Err(Refused::NotYet(_))));
}

#[test]
fn trap_x10_required_claims_are_there_and_of_their_type() {
    let signer = Signer::new();
    let refused =
        |name: &str, value: Value| check(&signer, &signer.sign(&rs256(), &with(name, value))).unwrap_err();
    for name in ["iss", "sub", "aud"] {
        assert!(matches!(refused(name, json!("ABSENT")), Refused::Missing(_)), "{name}");
        for value in [json!(1), json!(null), json!({}), json!(true), json!([1])] {
            assert!(matches!(refused(name, value.clone()), Refused::Claim(_)), "{name} {value}");
        }
    }
    assert_eq!(refused("iss", json!([THEM])), Refused::Claim("iss"), "a list of issuers is none");
    assert_eq!(refused("iss", json!("https://evil.example")), Refused::Issuer);
    assert_eq!(refused("iss", json!(format!("{THEM}/"))), Refused::Issuer);
    for audience in [json!("https://other"), json!([]), json!(format!("{US}/")), json!(US.to_uppercase())] {
        assert_eq!(refused("aud", audience.clone()), Refused::Audience, "{audience}");
    }
    for subject in [json!(""), json!("a b"), json!("a\nb"), json!("x".repeat(600))] {
        assert_eq!(refused("sub", subject.clone()), Refused::Claim("sub"), "{subject}");
    }
    assert_eq!(refused("groups", json!({"a": 1})), Refused::Claim("groups"));
}

#[test]
fn trap_x10_no_algorithm_is_taken_that_the_issuer_may_not_use() {
    let signer = Signer::new();
    // `none`, in every spelling, with and without a signature.
    for alg in ["none", "None", "NONE", "", "HS256", "HS384", "RS1", "rs256", "RS256 "] {
        let token = signer.sign(&json!({"alg": alg, "kid": "rsa"}), &claims());
        let bare = format!("{}.", &token[..token.rfind('.').unwrap()]);
        assert_eq!(check(&signer, &token).unwrap_err(), Refused::Algorithm, "{alg}");
        assert_eq!(check(&signer, &bare).unwrap_err(), Refused::Algorithm, "{alg}");
    }
    for alg in [json!(null), json!(1), json!(["RS256"])] {
        assert!(check(&signer, &signer.sign(&json!({"alg": alg, "kid": "rsa"}), &claims())).is_err());
    }
    // The public key as a shared secret, the oldest trick.
    let signed = {
        let token = signer.sign(&json!({"alg": "HS256", "kid": "rsa"}), &claims());
        token[..token.rfind('.').unwrap()].to_owned()
    };
    let public = signer.keys().to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()), signed.as_bytes());
    assert_eq!(check(&signer, &format!("{signed}.{}", b64(tag.as_ref()))).unwrap_err(), Refused::Algorithm);
    // Known, and not declared for this issuer.
    assert_eq!(
        check(&signer, &signer.sign(&json!({"alg": "RS512", "kid": "rsa"}), &claims())).unwrap_err(),
        Refused::Algorithm
    );
    // Declared, with a key of another kind.
    for (alg, kid) in [("RS256", "ec"), ("ES256", "rsa"), ("EdDSA", "ec"), ("RS256", "shared")] {
        assert_eq!(
            check(&signer, &signer.sign(&json!({"alg": alg, "kid": kid}), &claims())).unwrap_err(),
            Refused::UnknownKey,
            "{alg} {kid}"
        );
    }
}

#[test]
fn trap_x10_a_key_is_chosen_by_its_issuer_and_not_by_the_token() {
    let (signer, eve) = (Signer::new(), Signer::new());
    for kid in ["nobody", "enc", "shared", "new", "../../etc/passwd", "rsa' OR 1=1", "RSA"] {
        let token = signer.sign(&json!({"alg": "RS256", "kid": kid}), &claims());
        assert_eq!(check(&signer, &token).unwrap_err(), Refused::UnknownKey, "{kid}");
    }
    assert_eq!(
        check(&signer, &signer.sign(&json!({"alg": "RS256", "kid": 7}), &claims())).unwrap_err(),
        Refused::Header("kid")
    );
    // Where a token says that its key is, nobody looks.
    let brought = eve.keys()["keys"][1].clone();
    for (name, value) in [
        ("jwk", brought),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/x")),
    ] {
        let token = eve.sign(&json!({"alg": "ES256", "kid": "ec", name: value}), &claims());
        assert_eq!(check(&signer, &token).unwrap_err(), Refused::Signature, "{name}");
    }
    for header in [
        json!({"alg": "RS256", "kid": "rsa", "crit": ["exp"]}),
        json!({"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}),
    ] {
        assert!(
            matches!(check(&signer, &signer.sign(&header, &claims())), Err(Refused::Header(_))),
            "{header}"
        );
    }
    // Two keys that fit, and no id: neither.
    let mut keys = signer.keys();
    let twin = keys["keys"][0].clone();
    keys["keys"].as_array_mut().unwrap().push(twin);
    let keys = KeySet::parse(keys.to_string().as_bytes()).expect("a set");
    let token = signer.sign(&json!({"alg": "RS256"}), &claims());
    let read = Unverified::read(&token).expect("a token");
    assert_eq!(read.verify(&issuer(), &keys, US, NOW).unwrap_err(), Refused::UnknownKey);
}

#[test]
fn a_name_that_the_issuer_did_not_check_names_nobody() {
    let signer = Signer::new();
    for verified in [json!(false), json!("true"), json!("ABSENT"), json!(1)] {
        let claims = check(&signer, &signer.sign(&rs256(), &with("email_verified", verified.clone())))
            .expect("a token");
        assert_eq!(claims.name, None, "{verified}");
    }
}

#[test]
fn a_sign_in_is_the_one_that_was_begun() {
    let signer = Signer::new();
    let keys = KeySet::parse(signer.keys().to_string().as_bytes()).expect("a set");
    let sign_in = |claims: Value| {
        let token = signer.sign(&rs256(), &claims);
        Unverified::read(&token)?.verify_sign_in(&issuer(), &keys, "us", Some("n"), NOW)
    };
    let ours = |more: Value| {
        let mut claims = with("aud", json!("us"));
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    assert!(sign_in(ours(json!({"nonce": "n"}))).is_ok());
    assert!(sign_in(ours(json!({"nonce": "n", "azp": "us", "aud": ["us", "them"]}))).is_ok());
    for (bad, why) in [
        (ours(json!({})), Refused::Nonce),
        (ours(json!({"nonce": "m"})), Refused::Nonce),
        (ours(json!({"nonce": 1})), Refused::Nonce),
        (ours(json!({"nonce": "n", "aud": US})), Refused::Audience),
        (ours(json!({"nonce": "n", "aud": ["us", "them"]})), Refused::Missing("azp")),
        (ours(json!({"nonce": "n", "azp": "them"})), Refused::Claim("azp")),
    ] {
        assert_eq!(sign_in(bad.clone()).unwrap_err(), why, "{bad}");
    }
}

#[test]
fn trap_x4_a_refusal_repeats_nothing_of_the_token() {
    let (signer, eve) = (Signer::new(), Signer::new());
    let token = eve.sign(&json!({"alg": "ES256", "kid": "ec"}), &with("sub", json!("canary-7f3a")));
    for token in [
        token.clone(),
        token.replace('.', "!"),
        format!("{token}.x"),
        format!("canary-7f3a.{token}"),
        "a".repeat(20_000) + ".",
    ] {
        let refused = check(&signer, &token).unwrap_err();
        let shown = format!("{refused:?} {}", refused.report());
        assert!(!shown.contains("canary") && !shown.contains(&token[..12]), "{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is(at in any::<prop::sample::Index>(), by in 1u8..64) {
        let signer = Signer::new();
        let token = signer.sign(&json!({"alg": "EdDSA", "kid": "ed"}), &claims());
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let Some(digit) = DIGITS.iter().position(|d| *d == bytes[at]) else { return Ok(()) };
        bytes[at] = DIGITS[(digit + usize::from(by)) % 64];
        prop_assert!(check(&signer, std::str::from_utf8(&bytes).unwrap()).is_err());
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}", dots in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        prop_assert!(Unverified::read(&text).is_err());
        let _ = Unverified::read(&dots);
        let _ = KeySet::parse(text.as_bytes());
    }
}
