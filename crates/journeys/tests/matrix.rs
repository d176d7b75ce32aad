//! Every route of the control API, with every method, for every kind of caller,
//! in twenty ways to write its path and host: nobody gets in where the matched
//! route's action does not let them. The routes come from the server's own
//! description, so that a new one is in the matrix as soon as it exists.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use journeys::{World, binary};
use serde_json::json;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];
/// What a key for inference alone may see of the control API; of memory its own, which
/// `memory` proves.
const INFERENCE_MAY: [&str; 8] = [
    "collections:read",
    "collections:search",
    "documents:read",
    "graphs:query",
    "memory:read",
    "memory:write",
    "models:read",
    "self:read",
];

/// How a path and a host can be written otherwise: the request line's target and the host.
fn spellings(path: &str) -> Vec<(String, String)> {
    let here = "127.0.0.1".to_owned();
    let paths = [
        path.to_owned(),
        format!("/{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("{path}/."),
        format!("{path}%00"),
        format!("{path}%2f"),
        format!("{path};x=1"),
        path.replacen("/api", "/API", 1),
        path.replacen("/api", "/%61pi", 1),
        path.replacen("/v1", "/v1/../v1", 1),
        path.replacen("/api/", "/api%2f", 1),
        path.replacen("/api/", "\\api\\", 1),
        format!("http://127.0.0.1{path}"),
    ];
    let hosts =
        ["evil.example", "127.0.0.1/livez?", "127.0.0.1:4600/v1/models#", "localhost, 127.0.0.1", "[::1]"];
    let mut all: Vec<(String, String)> = paths.into_iter().map(|p| (p, here.clone())).collect();
    all.extend(hosts.into_iter().map(|host| (path.to_owned(), host.to_owned())));
    all
}

/// The status alone; 0 when the server closes without one.
fn status(address: SocketAddr, method: &str, target: &str, host: &str, key: Option<&str>) -> u16 {
    let mut stream = TcpStream::connect(address).expect("reach the server");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket takes a timeout");
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n{key}\r\n"
    );
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

#[test]
fn trap_x1_no_spelling_of_a_route_lets_anybody_in_whom_its_action_does_not() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let address = world.server.address();
    let inference = world.team("people");
    let revoked = world.key("people", json!({}));
    let keys = world.show("/api/v1/keys");
    let gone = keys["data"].as_array().and_then(|all| all.last()).expect("a key")["id"].clone();
    let path = format!("/api/v1/keys/{}", gone.as_str().expect("an id"));
    assert_eq!(world.api("DELETE", &path, &serde_json::Value::Null).status, 200);
    // One key in 62 ends with the slip already.
    let slip = if inference.ends_with('0') { '1' } else { '0' };
    let stranger = format!("{}{slip}", &inference[..inference.len() - 1]);

    let document = world.show("/api/openapi.json");
    let mut asked = 0u32;
    let mut wrong = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.replace(['{', '}'], "");
        for method in METHODS {
            let operation = &item[method.to_ascii_lowercase()];
            let action = operation["x-bedplate-action"].as_str();
            for (at, (target, host)) in spellings(&path).iter().enumerate() {
                for (who, key) in [
                    ("nobody", None),
                    ("a key for inference", Some(inference.as_str())),
                    ("a revoked key", Some(revoked.as_str())),
                    ("a key with a typing slip", Some(stranger.as_str())),
                ] {
                    let may =
                        who == "a key for inference" && action.is_some_and(|a| INFERENCE_MAY.contains(&a));
                    let status = status(address, method, target, host, key);
                    asked += 1;
                    if (200..400).contains(&status) && !may {
                        wrong.push(format!("{who}: {method} {target} (host {host}) answered {status}"));
                    }
                    // The exact path is refused for what the caller is, not by accident.
                    if at == 0 && action.is_some() && !may {
                        let expected = if who == "a key for inference" { 403 } else { 401 };
                        if status != expected {
                            wrong.push(format!("{who}: {method} {target} answered {status}, not {expected}"));
                        }
                    }
                }
            }
            // An admin gets in by the one spelling there is, whatever the host says.
            if action.is_some() {
                for (target, host) in
                    spellings(&path).iter().skip(1).filter(|(t, _)| *t != path && !t.starts_with("http"))
                {
                    let status = status(address, method, target, host, Some(&world.admin));
                    asked += 1;
                    if (200..300).contains(&status) {
                        wrong.push(format!("an admin: {method} {target} answered {status}"));
                    }
                }
            }
        }
    }
    assert!(asked > 5_000, "{asked} questions");
    assert!(wrong.is_empty(), "{} of {asked} unexpected:\n{}", wrong.len(), wrong.join("\n"));
    world.is_sound();
}
