//! Tool servers that take tokens: what each call brings them, got from the
//! certified `oidc-provider`, whose token exchange verifies what it is sent.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use journeys::issuer::{Issuer, RESOURCE};
use journeys::{World, binary};
use serde_json::{Value, json};
use testkit::http::Received;
use testkit::{Ask, McpServer, Says};

const SECRET: &str = "what the gate % says: here";
/// Whom the tokens of the tool server are for.
const DESK: &str = "https://desk.test/mcp";

fn desk(method: &str, _: &Value) -> Says {
    match method {
        "tools/list" => Says::Result(json!({"tools": [{"name": "read", "inputSchema": {"type": "object"}}]})),
        _ => Says::Result(json!({"content": [{"type": "text", "text": "read"}]})),
    }
}

struct Office {
    world: World,
    issuer: Issuer,
    server: McpServer,
    /// An API key of the team that may call it.
    key: String,
}

impl Office {
    fn open(binary: &Path, issuer: Issuer, server: McpServer, oauth: &str, secret: &str) -> Office {
        let world = issuer.world(binary);
        let key = world.team("robots");
        let subject = format!("{}#robot", issuer.url);
        world.run(&["key", "create", "robot", "--team", "robots", "--subject", &subject]).exits(0);
        let office = Office { world, issuer, server, key };
        office.declare(&office.issuer.url, oauth);
        office.world.run_with(&office.world.admin, &["tool", "set-key", "desk"], secret).exits(0);
        office
    }
    fn declare(&self, issuer: &str, oauth: &str) {
        self.world.apply(&format!(
            "apiVersion: bedplate/v1\nkind: Tool\nmetadata: {{ name: desk }}\nspec:\n  mcp:\n    url: \"{}\"\n    \
             allowPrivate: true\n    oauth: {{ issuer: \"{issuer}\", clientId: tool gate, keySecret: desk-client, {oauth} }}\n  \
             teams: [robots]\n  tools: {{ read: {{ effect: none }} }}\n",
            self.server.url(),
        ));
    }
    fn approve(&self) {
        self.world.run(&["tool", "approve", "desk"]).exits(0);
    }
    /// Calls the tool: the error's code, or `none`.
    fn call(&self, key: &str) -> (String, Value) {
        let params = json!({"name": "desk__read"});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let answer = self.world.send(&Ask::json("/mcp", &body).key(key)).json();
        let told = [&answer["result"]["_meta"]["bedplate/error"], &answer["error"]["data"]];
        let code = told.into_iter().find_map(|e| e["code"].as_str()).unwrap_or("none").to_owned();
        (code, answer)
    }
    /// What the server was shown with each request of a method.
    fn shown(&self, method: &str) -> Vec<String> {
        let is = |r: &&Received| {
            serde_json::from_slice::<Value>(&r.body).is_ok_and(|body| body["method"] == method)
        };
        let seen = self.server.seen();
        let header = |r: &Received| r.header("authorization").unwrap_or_default().to_owned();
        seen.iter().filter(is).map(header).collect()
    }
}

/// What a bearer token says of itself.
fn claims(header: &str) -> Value {
    let token = header.strip_prefix("Bearer ").unwrap_or_else(|| panic!("no bearer token: {header:.20}"));
    let claims = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims).expect("base64url")).expect("JSON")
}

#[test]
fn a_tool_server_is_called_as_its_caller_with_a_token_that_is_not_theirs() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let oauth = format!("resource: \"{DESK}\", scope: tools");
    let office = Office::open(&binary, issuer, McpServer::start(desk), &oauth, SECRET);
    office.approve();
    let for_bob = office.issuer.robot_for("bob", RESOURCE);
    let robot = office.issuer.robot(RESOURCE);
    for token in [&for_bob, &for_bob, &robot] {
        assert_eq!(office.call(token).0, "none");
    }
    // An API key stands for nobody there.
    let (code, answer) = office.call(&office.key);
    assert_eq!(code, "TG0013", "{answer}");

    let shown = office.shown("tools/call");
    assert_eq!(shown.len(), 3);
    let bob = claims(&shown[0]);
    assert_eq!(
        (&bob["sub"], &bob["aud"], &bob["scope"]),
        (&json!("bob"), &json!(DESK), &json!("tools")),
        "{bob}"
    );
    assert_eq!(bob["act"], json!({"sub": "tool gate", "act": {"sub": "robot"}}), "who acts for whom is kept");
    assert_eq!(shown[0], shown[1], "a token is kept for the caller that it was got for");
    assert_eq!(claims(&shown[2])["sub"], "robot", "and for no other");
    // What the server has to offer was asked for by ourselves.
    assert_eq!(claims(&office.shown("tools/list")[0])["sub"], "tool gate");
    // A session there is one caller's.
    assert_eq!(office.shown("initialize").len(), 3);

    // Trap X5: what the callers came with went to their own provider and nowhere else.
    let all = format!("{:?}", office.server.seen());
    for token in [&for_bob, &robot] {
        assert!(!all.contains(token.as_str()), "a caller's token was passed on");
    }
    let record = office.world.record_for("desk/read");
    let leaves = office.world.show("/api/v1/audit/leaves?limit=1000");
    let words = format!("as its caller, by token exchange at {} for {DESK}", office.issuer.url);
    let called = |leaf: &&Value| leaf["action"] == "tool.call" && leaf.to_string().contains(&words);
    assert_eq!(leaves["data"].as_array().into_iter().flatten().filter(called).count(), 3, "{leaves}");
    let kept = format!("{record}{leaves}{}", office.world.server.stderr());
    for token in [&for_bob, &robot, &shown[0][7..].to_owned(), &shown[2][7..].to_owned(), &SECRET.to_owned()]
    {
        let signature = token.rsplit('.').next().expect("a part");
        assert!(!kept.contains(signature), "trap X4: a token in a record, a leaf or the log");
    }
    office.world.is_sound();
}

#[test]
fn a_call_whose_token_cannot_be_had_is_not_made() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let elsewhere = "resource: \"https://elsewhere.test/mcp\"";
    let office = Office::open(&binary, issuer, McpServer::start(desk), elsewhere, SECRET);
    office.approve();
    let robot = office.issuer.robot(RESOURCE);
    let refused = |why: &str| {
        let (code, answer) = office.call(&robot);
        assert_eq!(code, "TG0012", "{answer}");
        assert!(answer.to_string().contains(why), "{answer}");
    };
    refused("invalid_target");
    let record = office.world.record_for("desk/read");
    assert_eq!((&record["outcome"], &record["attempts"]), (&json!("refused"), &json!([])), "{record}");
    // Whoever may apply manifests names a provider; only the host declares one.
    office.declare("https://evil.example", &format!("resource: \"{DESK}\""));
    refused("not declared here");
    office.declare(&office.issuer.url, &format!("resource: \"{DESK}\""));
    office.world.run_with(&office.world.admin, &["tool", "set-key", "desk"], "another secret").exits(0);
    refused("invalid_client");
    assert_eq!(office.server.count("tools/call"), 0, "nothing was sent");
    office.world.run_with(&office.world.admin, &["tool", "set-key", "desk"], SECRET).exits(0);
    assert_eq!(office.call(&robot).0, "none");
    office.world.is_sound();
}

#[test]
fn a_token_that_its_server_takes_no_more_is_got_again() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let refusals = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&refusals);
    let server = McpServer::start(move |method, params| {
        let one_less = |n: usize| n.checked_sub(1);
        if method == "tools/call" && left.fetch_update(SeqCst, SeqCst, one_less).is_ok() {
            return Says::Status(401);
        }
        desk(method, params)
    });
    let oauth = format!("resource: \"{DESK}\", as: caller-or-server");
    let office = Office::open(&binary, issuer, server, &oauth, SECRET);
    office.approve();
    assert_eq!(office.call(&office.key).0, "none");
    assert_eq!(claims(&office.shown("tools/call")[0])["sub"], "tool gate", "who has no token calls as us");
    refusals.store(1, SeqCst);
    assert_eq!(office.call(&office.key).0, "none", "once more with a new one");
    let shown = office.shown("tools/call");
    assert!(shown.len() == 3 && shown[0] == shown[1] && shown[1] != shown[2]);
    // A server that takes none is told as such, after two tries.
    refusals.store(9, SeqCst);
    assert_eq!(office.call(&office.key).0, "TG0005");
    assert_eq!(office.server.count("tools/call"), 5);
    office.world.is_sound();
}
