//! Identity providers, seen from outside: the certified `oidc-provider` in a
//! process of its own, and Bedplate believing it as far as it should.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use journeys::issuer::{Issuer, RESOURCE};
use journeys::{Setup, World, bedplate, binary, eventually};
use serde_json::{Value, json};
use testkit::{Answer, Ask, Provider};

/// A browser without a screen: cookies by site, and redirects followed.
struct Browser<'w> {
    world: &'w World,
    cookies: BTreeMap<(String, String), String>,
    /// Where it has been.
    visited: Vec<String>,
}

impl<'w> Browser<'w> {
    /// Of somebody, as they name themselves to the provider.
    fn of(world: &'w World, issuer: &Issuer, who: &str) -> Browser<'w> {
        let site = issuer.address.to_string();
        let cookies = [((site, "who".to_owned()), who.to_owned())].into();
        Browser { world, cookies, visited: Vec::new() }
    }
    fn get(&mut self, url: &str) -> Answer {
        self.go("GET", url, "")
    }
    fn go(&mut self, method: &str, url: &str, form: &str) -> Answer {
        let (mut method, mut url, mut form) = (method.to_owned(), url.to_owned(), form.to_owned());
        for _ in 0..20 {
            let answer = self.once(&method, &url, &form);
            let Some(to) = answer.header("location").filter(|_| (300..400).contains(&answer.status)) else {
                return answer;
            };
            let (site, _) = split(&url);
            let scheme = &url[..url.find("://").expect("a scheme") + 3];
            url = if to.starts_with('/') { format!("{scheme}{site}{to}") } else { to.to_owned() };
            (method, form) = ("GET".to_owned(), String::new());
        }
        panic!("redirected for ever: {:?}", self.visited);
    }
    fn once(&mut self, method: &str, url: &str, form: &str) -> Answer {
        self.visited.push(url.to_owned());
        let (site, path) = split(url);
        let address = if site == "bedplate.test" {
            self.world.server.address()
        } else {
            site.parse().expect("an address")
        };
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|((s, _), _)| *s == site)
            .map(|((_, n), v)| format!("{n}={v}"))
            .collect();
        let mut ask = Ask::new(method, &path).header("cookie", &cookies.join("; "));
        if method == "POST" {
            ask = ask.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let answer = ask.send(address).expect("an answer");
        for (_, value) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = value.split(';').next().and_then(|c| c.split_once('=')).expect("a cookie");
            self.cookies.insert((site.clone(), name.to_owned()), value.to_owned());
        }
        answer
    }
}

fn split(url: &str) -> (String, String) {
    let rest = url.split_once("://").expect("an absolute address").1;
    let at = rest.find('/').unwrap_or(rest.len());
    (rest[..at].to_owned(), if at == rest.len() { "/".to_owned() } else { rest[at..].to_owned() })
}

/// The value of a hidden field of a form.
fn field(page: &str, name: &str) -> String {
    let at = page.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name} in {page}"));
    let tag = &page[page[..at].rfind('<').expect("a tag")..];
    let value = tag.split("value=\"").nth(1).and_then(|v| v.split('"').next());
    value.unwrap_or_else(|| panic!("no value of {name} in {page}")).to_owned()
}

#[test]
fn a_token_of_a_declared_issuer_is_a_key_and_any_other_is_nothing() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let world = issuer.world(&binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["echo"]);
    let token = issuer.robot(RESOURCE);
    let status = |token: &str| {
        let answer = world.send(&Ask::get("/v1/models").key(token));
        (answer.status, answer.header("bedplate-error").unwrap_or_default().to_owned())
    };
    assert_eq!(status(&token), (403, "ID0009".into()), "verified is not welcome");
    let subject = format!("{}#robot", issuer.url);
    world
        .run(&["key", "create", "robot", "--team", "platform", "--subject", &subject, "--model", "echo"])
        .exits(0);
    assert_eq!(status(&token).0, 200);
    let answer = world.send(&world.chat(&token, "echo", false));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(world.record_of(&answer)["key"], "platform/robot", "its requests are those of its key");

    // Another audience, a changed byte, another issuer's name, no signature.
    assert_eq!(status(&issuer.robot("https://elsewhere.test")), (401, "ID0008".into()));
    let mut bytes = token.clone().into_bytes();
    let at = token.rfind('.').expect("a signature") + 10;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(status(&String::from_utf8(bytes).expect("ASCII")), (401, "ID0008".into()));
    for bad in
        ["a.b.c", "..", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.", &format!("{token}.x"), &"a.".repeat(20_000)]
    {
        assert_eq!(status(bad), (401, "ID0008".into()), "{bad:.40}");
    }
    // Revoked means revoked, however good the token is.
    let keys = world.show("/api/v1/keys");
    let key = keys["data"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|k| k["name"] == "robot")
        .expect("it is there")
        .clone();
    world.run(&["key", "revoke", key["id"].as_str().expect("an id")]).exits(0);
    assert_eq!(status(&token), (401, "ID0004".into()));
    assert!(!world.server.stderr().contains(&token[..30]), "trap X4: no token in the log");
    world.is_sound();
}

#[test]
fn another_identity_file_is_believed_without_a_restart_and_a_broken_one_changes_nothing() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let folder = journeys::Folder::new();
    let file = folder.path().join("identity.toml");
    let nobody = format!("resource = \"{RESOURCE}\"\n");
    let declare = |text: &str| std::fs::write(&file, text).expect("written");
    declare(&nobody);
    let world = Setup::new(&binary).arg(&format!("--identity={}", file.display())).begin();
    let subject = format!("{}#robot", issuer.url);
    world.run(&["key", "create", "robot", "--team", "admin", "--subject", &subject]).exits(0);
    let token = issuer.robot(RESOURCE);
    let status = || world.send(&Ask::get("/v1/models").key(&token)).status;
    assert_eq!(status(), 401, "its issuer is not declared");
    let one =
        format!("{nobody}[[issuer]]\nurl = \"{}\"\nalgorithms = [\"RS256\"]\ninside = true\n", issuer.url);
    declare(&one);
    world.server.signal("HUP").expect("it is ours");
    eventually("the issuer is believed", || (status() == 200).then_some(()));
    declare("resource = ");
    world.server.signal("HUP").expect("it is ours");
    eventually("it is told", || world.server.stderr().contains("identity.kept").then_some(()));
    assert_eq!(status(), 200, "what was declared stays");
    declare(&nobody);
    world.server.signal("HUP").expect("it is ours");
    eventually("the issuer is believed no more", || (status() == 401).then_some(()));
    let log = world.show("/api/v1/audit/leaves?limit=1000");
    let leaves = log["data"].as_array().expect("a list");
    let changes = leaves.iter().filter(|l| l["action"] == "identity" && l["resource"] == "serve --identity");
    assert_eq!(changes.count(), 3, "the start, and what came into force: {log}");
    world.is_sound();
}

#[test]
fn a_token_that_names_an_actor_may_do_what_both_may_and_the_actor_pays() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let world = issuer.world(&binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["echo", "other"]);
    let chat = |token: &str, model: &str| {
        let answer = world.send(&world.chat(token, model, false));
        (answer.status, answer.header("bedplate-error").unwrap_or_default().to_owned(), answer)
    };
    // Bob is a developer by his groups; the robot has no key yet.
    let for_bob = issuer.robot_for("bob", RESOURCE);
    assert_eq!(chat(&for_bob, "echo").1, "ID0009");
    world.create("/api/v1/teams", &json!({"name": "robots"}));
    let subject = format!("{}#robot", issuer.url);
    world
        .run(&["key", "create", "robot", "--team", "robots", "--subject", &subject, "--model", "echo"])
        .exits(0);
    let (status, _, answer) = chat(&for_bob, "echo");
    assert_eq!(status, 200, "{answer:?}");
    let record = world.record_of(&answer);
    assert_eq!(
        (&record["key"], &record["team"]),
        (&json!("robots/robot"), &json!("robots")),
        "the robot pays"
    );
    assert_eq!(record["policy"]["on_behalf_of"], "bob@acme.example", "{record}");
    // Not what the robot may not, nor what the person may not: Ada is an operator, who runs no models.
    assert_eq!(chat(&for_bob, "other").1, "ID0005");
    assert_eq!(chat(&issuer.robot_for("ada", RESOURCE), "echo").1, "ID0006");
    assert_eq!(chat(&issuer.robot(RESOURCE), "echo").0, 200, "for itself it may");
    // A policy about the person binds what acts for them.
    world.apply(
        "apiVersion: bedplate/v1\nkind: Policy\nmetadata: { name: no-bob }\nspec:\n  \
         description: Nothing for bob.\n  effect: forbid\n  cedar: |\n    \
         forbid (principal == User::\"bob@acme.example\", action == Action::\"invoke\", resource);\n",
    );
    assert_eq!(chat(&for_bob, "echo").1, "PO0001");
    assert_eq!(chat(&issuer.robot(RESOURCE), "echo").0, 200);
}

#[test]
fn a_person_signs_in_with_a_browser_and_is_what_their_groups_say() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let world = issuer.world(&binary);
    let mut ada = Browser::of(&world, &issuer, "ada");
    let page = ada.get(&format!("{RESOURCE}/login"));
    assert!(page.body.contains("/login/start"), "{}", page.body);
    let page = ada.get(&format!("{RESOURCE}/login/start"));
    assert_eq!(
        (page.status, page.body.contains("Signed in")),
        (200, true),
        "{} {:?}",
        page.body,
        ada.visited
    );
    let overview = ada.get(&format!("{RESOURCE}/"));
    assert_eq!((overview.status, overview.body.contains("Sign out")), (200, true));
    assert!(
        !ada.visited.iter().any(|url| url.contains("eyJ") || url.contains("id_token")),
        "{:?}",
        ada.visited
    );
    // Each cookie is for the server alone, and goes by TLS only.
    let set = ada.once("GET", &format!("{RESOURCE}/login/start"), "");
    let cookie = set.header("set-cookie").expect("a cookie");
    assert!(
        ["HttpOnly", "SameSite=Lax", "Secure", "Path=/login/callback"].iter().all(|w| cookie.contains(w)),
        "{cookie}"
    );

    let users = world.show("/api/v1/users");
    assert_eq!(users["data"][0]["name"], "ada@acme.example");
    assert_eq!(users["data"][0]["subject"], format!("{}#ada", issuer.url));
    let keys = world.show("/api/v1/keys").to_string();
    assert!(keys.contains("login@ada@acme.example") && keys.contains("operator"), "{keys}");

    // Somebody else's answer, a second use, another site: none of them signs anybody in.
    let mut mallory = Browser::of(&world, &issuer, "bob");
    let callback =
        ada.visited.iter().find(|u| u.contains("/login/callback?")).expect("she came back").clone();
    for again in [&mut mallory, &mut ada] {
        let page = again.once("GET", &callback, "");
        assert!(
            page.status == 401 && page.body.contains("ID0011") || page.body.contains("begun"),
            "{}",
            page.body
        );
        assert!(!page.body.contains("Signed in"));
    }
    for query in [
        "",
        "?state=a",
        "?code=a",
        "?state=a&code=b",
        "?error=access_denied&state=x",
        "?state=a&state=b&code=c",
        "?redirect_uri=https://evil.example",
    ] {
        let page = mallory.once("GET", &format!("{RESOURCE}/login/callback{query}"), "");
        assert_eq!((page.status, page.header("location")), (401, None), "{query}: {}", page.body);
    }
    // Nobody of ours, who declines, and who may not see the console.
    for (who, why) in [("eve", "mapped"), ("nobody", "access_denied"), ("bob", "status")] {
        let page = Browser::of(&world, &issuer, who).get(&format!("{RESOURCE}/login/start"));
        assert!(page.status >= 400 && page.body.contains(why), "{who}: {} {}", page.status, page.body);
    }
    // The session ends at once with the key, and with the button.
    let out = ada.once("POST", &format!("{RESOURCE}/logout"), "");
    assert_eq!(out.status, 303);
    assert!(ada.get(&format!("{RESOURCE}/")).body.contains("name=\"key\""));
    world.is_sound();
}

#[test]
fn a_page_of_another_site_signs_nobody_in_or_out() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let world = issuer.world(&binary);
    for path in ["/login", "/logout"] {
        let post =
            |origin: &str| world.send(&Ask::new("POST", path).header("origin", origin).body("key=x")).status;
        for evil in [
            "https://evil.example",
            "null",
            "http://bedplate.test",
            "https://bedplate.test.evil.example",
            "https://bedplate.test:8443",
        ] {
            assert_eq!(post(evil), 403, "{path} from {evil}");
        }
        assert_ne!(post(RESOURCE), 403, "{path}");
    }
    let tries: Vec<u16> =
        (0..80).map(|_| world.send(&Ask::new("POST", "/login").body("key=x")).status).collect();
    assert!(tries.contains(&429), "guessing has a limit: {tries:?}");
}

#[test]
fn a_person_signs_in_with_a_terminal_and_out_again() {
    let (Some(binary), Some(issuer)) = (binary(), Issuer::start()) else { return };
    let world = issuer.world(&binary);
    let home = journeys::Folder::new();
    let config = home.path().display().to_string();
    let url = world.server.url();
    let environment = [("BEDPLATE_URL", url.as_str()), ("XDG_CONFIG_HOME", config.as_str())];
    let run = |arguments: &[&str]| bedplate(&binary, arguments, &environment, "");
    assert!(run(&["whoami"]).exits(1).stderr.contains("bedplate login"));

    let mut command = Command::new(&binary);
    command.arg("login").env_remove("BEDPLATE_KEY").envs(environment);
    let mut login = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = BufReader::new(login.stderr.take().expect("it is piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it says where to go");
    let page = line.trim().strip_prefix("open ").unwrap_or_else(|| panic!("{line}")).to_owned();
    let mut bob = Browser::of(&world, &issuer, "bob");
    let form = bob.get(&page).body;
    let device = format!("{}/device", issuer.url);
    let code = page.split("user_code=").nth(1).expect("the code").to_owned();
    let confirm = bob.go("POST", &device, &format!("xsrf={}&user_code={code}", field(&form, "xsrf"))).body;
    let done =
        bob.go("POST", &device, &format!("xsrf={}&user_code={code}&confirm=yes", field(&confirm, "xsrf")));
    assert_eq!(done.status, 200, "{}", done.body);
    let output = login.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).expect("the rest of what it said");
    assert!(output.status.success() && shown.contains("developer"), "{shown}{rest}");

    use std::os::unix::fs::PermissionsExt as _;
    let file = home.path().join("bedplate/login.json");
    assert_eq!(std::fs::metadata(&file).expect("it is kept").permissions().mode() & 0o777, 0o600);
    let who = run(&["whoami", "--json"]).exits(0).json();
    assert_eq!((&who["user"], &who["role"]), (&json!("bob@acme.example"), &json!("developer")));
    assert!(who["expires"].is_string(), "{who}");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).expect("read")).expect("JSON");
    let key = kept[&url]["key"].as_str().expect("a key").to_owned();
    run(&["logout"]).exits(0);
    assert!(!std::fs::read_to_string(&file).expect("read").contains(&key));
    eventually("the key is over at the server", || {
        (world.send(&Ask::get("/v1/models").key(&key)).status == 401).then_some(())
    });
    // Both are in the log, with whose they were.
    let log = world.show("/api/v1/audit/leaves?limit=1000");
    for (action, user) in [("seat", &who), ("login", &who), ("logout", &who)] {
        let leaves = log["data"].as_array().expect("a list");
        let found =
            leaves.iter().find(|l| l["action"] == action).unwrap_or_else(|| panic!("no {action}: {log}"));
        assert_eq!(found["key"], user["key_id"], "{found}");
        assert_eq!(found["resource"], if action == "seat" { "developer" } else { "terminal" });
    }
    // A file that others can read is not used.
    std::fs::write(&file, "{}").expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("changed");
    assert!(run(&["whoami"]).exits(1).stderr.contains("can be read by others"));
}
