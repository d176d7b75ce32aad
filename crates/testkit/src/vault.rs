//! A transit engine: as much of Vault as wraps keys, with its shapes and errors.
//!
//! Written from the documentation of the API; keys are in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use base64ct::{Base64, Encoding};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use crate::http::{Listener, Peer, Received};

#[derive(Default)]
struct State {
    keys: BTreeMap<String, Key>,
    token: String,
    fault: Option<Fault>,
    /// As releases before associated data did.
    ignores_associated_data: bool,
    seen: Vec<Received>,
}

/// What the server does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503, as while nobody has unsealed it.
    Sealed,
    /// Closes the connection.
    Hangup,
    /// 200 with a page of HTML, as a proxy's login would be.
    Html,
    /// 403 for what destroys, the rest works.
    MayNotDestroy,
}

struct Key {
    versions: BTreeMap<u32, [u8; 32]>,
    latest: u32,
    min_decryption: u32,
    min_encryption: u32,
    min_available: u32,
}

/// A running server; stops when dropped.
pub struct Vault {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Vault {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Vault {
        let state = Arc::new(Mutex::new(State { token: "hvs.test-token".into(), ..State::default() }));
        let serving = Arc::clone(&state);
        let listener = Listener::start(move |mut peer| {
            while let Ok(Some(request)) = peer.request() {
                match serve(&serving, &mut peer, &request) {
                    Ok(true) => {}
                    _ => return,
                }
            }
        });
        Vault { listener: listener.expect("a free loopback port"), state }
    }
    pub fn url(&self) -> String {
        self.listener.url()
    }
    pub fn token(&self) -> String {
        self.lock().token.clone()
    }
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }
    pub fn ignore_associated_data(&self) {
        self.lock().ignores_associated_data = true;
    }
    pub fn key_names(&self) -> Vec<String> {
        self.lock().keys.keys().cloned().collect()
    }
    /// Everything that was asked.
    pub fn seen(&self) -> Vec<Received> {
        self.lock().seen.clone()
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

type Reply = Result<Value, (u16, &'static str)>;

fn serve(state: &Mutex<State>, peer: &mut Peer, request: &Received) -> io::Result<bool> {
    let mut state = state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    state.seen.push(request.clone());
    let reply = match state.fault {
        Some(Fault::Hangup) => return Ok(false),
        Some(Fault::Html) => {
            return peer.answer(200, &[("content-type", "text/html")], "<html>").map(|()| true);
        }
        Some(Fault::Sealed) => Err((503, "Vault is sealed")),
        Some(Fault::MayNotDestroy)
            if request.path.ends_with("/trim") || request.path.ends_with("/config") =>
        {
            Err((403, "permission denied"))
        }
        _ if request.header("x-vault-token") != Some(&state.token) => Err((403, "permission denied")),
        _ => transit(&mut state, request),
    };
    drop(state);
    let json = [("content-type", "application/json")];
    match reply {
        Ok(Value::Null) => peer.raw("HTTP/1.1 204 No Content\r\n\r\n")?,
        Ok(data) => {
            let body = json!({ "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0,
                "data": data, "wrap_info": null, "warnings": null, "auth": null });
            peer.answer(200, &json, body.to_string())?;
        }
        Err((404, "")) => peer.answer(404, &json, r#"{"errors":[]}"#)?,
        Err((status, why)) => peer.answer(status, &json, json!({ "errors": [why] }).to_string())?,
    }
    Ok(true)
}

fn transit(state: &mut State, request: &Received) -> Reply {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches("/v1/transit/").split('/').collect();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let ignores = state.ignores_associated_data;
    match (request.method.as_str(), &parts[..]) {
        ("GET", ["keys", name]) => Ok(show(name, state.keys.get(*name).ok_or((404, ""))?)),
        ("POST", ["keys", name]) => {
            let key = state.keys.entry((*name).to_owned()).or_insert_with(Key::new);
            Ok(show(name, key))
        }
        ("POST", ["keys", name, "rotate"]) => {
            let key = state.keys.get_mut(*name).ok_or((400, "key not found"))?;
            key.latest += 1;
            key.versions.insert(key.latest, random());
            Ok(show(name, key))
        }
        ("POST", ["keys", name, "config"]) => {
            let key = state.keys.get_mut(*name).ok_or((400, "no existing key named could be found"))?;
            key.configure(&body)?;
            Ok(show(name, key))
        }
        ("POST", ["keys", name, "trim"]) => {
            let key = state.keys.get_mut(*name).ok_or((400, "invalid key name"))?;
            key.trim(&body).map(|()| Value::Null)
        }
        ("POST", ["encrypt", name]) => {
            let key = state.keys.entry((*name).to_owned()).or_insert_with(Key::new);
            key.encrypt(&body, ignores)
        }
        ("POST", ["decrypt", name]) => {
            state.keys.get(*name).ok_or((400, "encryption key not found"))?.decrypt(&body, ignores)
        }
        ("POST", ["rewrap", name]) => {
            let key = state.keys.get(*name).ok_or((400, "encryption key not found"))?;
            let mut body = body;
            body["plaintext"] = key.decrypt(&body, ignores)?["plaintext"].clone();
            key.encrypt(&body, ignores)
        }
        _ => Err((404, "")),
    }
}

fn show(name: &str, key: &Key) -> Value {
    let keys: BTreeMap<String, u64> = key.versions.keys().map(|v| (v.to_string(), 1_442_851_412)).collect();
    json!({ "type": "aes256-gcm96", "name": name, "derived": false, "exportable": false, "keys": keys,
        "deletion_allowed": false, "latest_version": key.latest, "min_available_version": key.min_available,
        "min_decryption_version": key.min_decryption, "min_encryption_version": key.min_encryption,
        "supports_encryption": true, "supports_decryption": true })
}

impl Key {
    fn new() -> Key {
        let versions = BTreeMap::from([(1, random())]);
        Key { versions, latest: 1, min_decryption: 1, min_encryption: 0, min_available: 0 }
    }

    fn configure(&mut self, body: &Value) -> Result<(), (u16, &'static str)> {
        let wanted = |name: &str| body[name].as_u64().and_then(|n| u32::try_from(n).ok());
        let decryption = wanted("min_decryption_version").unwrap_or(self.min_decryption);
        let encryption = wanted("min_encryption_version").unwrap_or(self.min_encryption);
        if decryption > self.latest || encryption > self.latest {
            return Err((400, "cannot set min decryption version greater than the latest key version"));
        }
        if encryption > 0 && encryption < decryption {
            return Err((400, "min decryption version should not be less then min encryption version"));
        }
        (self.min_decryption, self.min_encryption) = (decryption, encryption);
        Ok(())
    }

    fn trim(&mut self, body: &Value) -> Result<(), (u16, &'static str)> {
        let wanted = body["min_available_version"].as_u64().and_then(|n| u32::try_from(n).ok());
        let wanted = wanted.ok_or((400, "missing min_available_version"))?;
        if self.min_decryption == 0 || self.min_encryption == 0 {
            return Err((400, "minimum available version cannot be set when minimum versions are zero"));
        }
        if wanted > self.min_decryption.min(self.min_encryption) || wanted < self.min_available {
            return Err((400, "minimum available version is out of range"));
        }
        self.min_available = wanted;
        self.versions.retain(|version, _| *version >= wanted);
        Ok(())
    }

    fn encrypt(&self, body: &Value, ignores: bool) -> Reply {
        let plain = Base64::decode_vec(body["plaintext"].as_str().unwrap_or_default());
        let mut bytes = plain.map_err(|_| (400, "failed to base64-decode plaintext"))?;
        let nonce: [u8; 12] = random();
        let aad = associated(body, ignores)?;
        let key = self.versions.get(&self.latest).ok_or((500, "internal error"))?;
        cipher(key)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut bytes)
            .map_err(|_| (500, "internal error"))?;
        let sealed = Base64::encode_string(&[&nonce[..], &bytes].concat());
        Ok(json!({ "ciphertext": format!("vault:v{}:{sealed}", self.latest), "key_version": self.latest }))
    }

    fn decrypt(&self, body: &Value, ignores: bool) -> Reply {
        let text = body["ciphertext"].as_str().unwrap_or_default();
        let parts = text.strip_prefix("vault:v").and_then(|t| t.split_once(':'));
        let (version, sealed) = parts.ok_or((400, "invalid ciphertext: no prefix"))?;
        let version: u32 = version.parse().map_err(|_| (400, "invalid ciphertext: version number"))?;
        if version > self.latest {
            return Err((400, "invalid ciphertext: version is too new"));
        }
        if version < self.min_decryption || version < self.min_available {
            return Err((400, "ciphertext or signature version is disallowed by policy (too old)"));
        }
        let unreadable = (400, "invalid ciphertext: could not decode base64");
        let mut bytes = Base64::decode_vec(sealed).map_err(|_| unreadable)?;
        if bytes.len() < 12 {
            return Err((400, "invalid ciphertext length"));
        }
        let sealed = &mut bytes.split_off(12);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| (400, "invalid ciphertext"))?;
        let key = self.versions.get(&version).ok_or((500, "internal error"))?;
        let aad = associated(body, ignores)?;
        let plain = cipher(key).open_in_place(nonce, Aad::from(aad), sealed);
        let plain = plain.map_err(|_| (400, "cipher: message authentication failed"))?;
        Ok(json!({ "plaintext": Base64::encode_string(plain) }))
    }
}

fn associated(body: &Value, ignores: bool) -> Result<Vec<u8>, (u16, &'static str)> {
    match body["associated_data"].as_str() {
        Some(text) if !ignores => {
            Base64::decode_vec(text).map_err(|_| (400, "failed to base64-decode associated_data"))
        }
        _ => Ok(Vec::new()),
    }
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes"))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    bytes
}
