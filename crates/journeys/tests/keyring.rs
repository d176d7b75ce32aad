//! Keys at rest: who keeps the master key, new keys, and a team that is erased.

use std::fs;

use journeys::{Setup, World, bedplate, binary, eventually};
use serde_json::{Value, json};
use testkit::vault::{Fault, Vault};
use testkit::{Ask, Bedplate};

const MODEL: &str = "bedplate-guide";

/// Blocks of keys and values on disk, by the team that their header names.
fn blocks_of(world: &World, team: &str) -> usize {
    let id: String = team.chars().filter(|c| *c != '-').collect();
    let files = world.folder.files();
    let blocks = files.iter().filter(|(path, _)| path.extension().is_some_and(|x| x == "kv"));
    blocks.filter(|(_, bytes)| bytes.len() > 88 && hex(&bytes[72..88]) == id).count()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn ask(world: &World, key: &str, words: &str) -> u16 {
    // Some 400 tokens: blocks of shorter prompts are not worth a disk's while.
    let content = format!("{words} {}", "A budget is a limit on what may be spent. ".repeat(30));
    let messages = json!([{"role": "user", "content": content}]);
    let body = json!({"model": MODEL, "max_tokens": 2, "temperature": 0, "messages": messages});
    world.send(&Ask::json("/v1/chat/completions", &body).key(key)).status
}

fn reused_from_disk(world: &World) -> u64 {
    let metrics = world.api("GET", "/metrics", &Value::Null).body;
    let ours = |l: &&str| l.starts_with("bedplate_engine_reused_tokens_total") && l.contains("\"disk\"");
    let lines = metrics.lines().filter(ours);
    lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

fn keyring(world: &World) -> String {
    fs::read_to_string(world.server.data().join("keyring")).expect("the ring reads")
}

#[test]
fn an_erased_teams_blocks_are_of_no_use_to_anybody_and_others_are_whole() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    let (erased, kept) = (world.team("erased"), world.team("kept"));
    let id = |name: &str| {
        let teams = world.show("/api/v1/teams");
        let team = teams["data"].as_array().into_iter().flatten().find(|t| t["name"] == name);
        team.and_then(|t| t["id"].as_str()).expect("it has an id").to_owned()
    };
    let (erased_id, kept_id) = (id("erased"), id("kept"));
    assert_eq!((ask(&world, &erased, "one"), ask(&world, &kept, "two")), (200, 200));
    eventually("both have blocks on disk", || {
        (blocks_of(&world, &erased_id) >= 4 && blocks_of(&world, &kept_id) >= 4).then_some(())
    });
    let copy = keyring(&world);
    assert!(copy.contains(&format!("kek {erased_id}")) && copy.contains(&format!("key {kept_id} kv")));

    let wrong = world.run(&["tenant", "shred", "erased", "--confirm", "kept"]).exits(1);
    assert!(wrong.stderr.contains("CT0004"), "{}", wrong.stderr);
    let own = world.run(&["tenant", "shred", "admin", "--confirm", "admin"]).exits(1);
    assert!(own.stderr.contains("its own team"), "{}", own.stderr);
    let may_not = world.run_with(&kept, &["tenant", "shred", "erased", "--confirm", "erased"], "").exits(1);
    assert!(may_not.stderr.contains("ID0"), "{}", may_not.stderr);
    assert_eq!(keyring(&world), copy, "refusals change nothing");

    let done = world.run(&["tenant", "shred", "erased", "--confirm", "erased", "--json"]).exits(0).json();
    assert_eq!((&done["copies"], &done["revoked_keys"]), (&json!("dead"), &json!(1)), "{done:#}");
    assert_eq!((ask(&world, &erased, "one"), ask(&world, &kept, "three")), (401, 200));
    let ring = keyring(&world);
    assert!(ring.contains(&format!("gone {erased_id}")) && !ring.contains(&format!("kek {erased_id}")));
    let listed = world.run(&["keys", "list"]).exits(0).stdout;
    assert!(listed.contains("destroyed") && listed.contains("versions 2 to 2"), "{listed}");
    let again = world.run(&["tenant", "shred", "erased", "--confirm", "erased", "--json"]).exits(0).json();
    assert_eq!(again["destroyed"], done["destroyed"], "the first time stands");

    // What others left is used again after a kill; the books do not notice.
    let world = world.killed();
    let before = reused_from_disk(&world);
    assert_eq!(ask(&world, &kept, "two"), 200);
    assert!(reused_from_disk(&world) > before, "blocks of the other team open");
    assert_eq!(ask(&world, &erased, "one"), 401);
    world.check_books();
    world.is_sound();

    // A copy of the ring of before opens nothing any more.
    let World { server, admin: _, folder } = world;
    let start = server.kill().expect("it is killed");
    fs::write(start.data.join("keyring"), &copy).expect("it is ours");
    let error = Bedplate::start(start).err().expect("a dead copy does not open").to_string();
    assert!(error.contains("SE0011"), "{error}");
    drop(folder);
}

#[test]
fn a_vault_keeps_the_master_key_and_is_needed_at_the_start_alone() {
    let Some(binary) = binary() else { return };
    let vault = Vault::start();
    let token = vault.token();
    let with = |setup: Setup| {
        setup.arg("--master-key=vault").env("VAULT_ADDR", &vault.url()).env("VAULT_TOKEN", &token)
    };
    let world = with(Setup::new(binary)).begin();
    assert_eq!(vault.key_names(), ["bedplate"]);
    assert!(!world.server.data().join("master.key").exists());
    let doctor = |world: &World| {
        let data = world.server.data().to_str().expect("a UTF-8 path").to_owned();
        let environment = [("VAULT_ADDR", vault.url()), ("VAULT_TOKEN", token.clone())];
        let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let ran = bedplate(world.server.binary(), &["doctor", "--data", &data], &environment, "");
        ran.stdout.lines().find(|l| l.contains("master key")).expect("it says").to_owned()
    };
    assert!(doctor(&world).contains("vault transit/bedplate, version 1"), "{}", doctor(&world));

    // Away: everything goes on but what is about the master key itself.
    vault.set_fault(Some(Fault::Sealed));
    world.team("made-meanwhile");
    let rotated = world.run(&["keys", "rotate", "--root"]).exits(1);
    assert!(rotated.stderr.contains("SE0009") && rotated.stderr.contains("sealed"), "{}", rotated.stderr);
    assert!(world.run(&["keys", "list"]).exits(0).stdout.contains("not reached"));
    let tenant = world.run(&["keys", "rotate", "--tenant", "made-meanwhile"]).exits(0).stdout;
    assert!(tenant.contains("made-meanwhile"), "{tenant}");
    assert!(doctor(&world).starts_with("BAD"), "{}", doctor(&world));
    let before = keyring(&world);
    let World { server, admin, folder } = world;
    let start = server.kill().expect("it is killed");
    let error = Bedplate::start(start.clone()).err().expect("there is no key").to_string();
    assert!(error.contains("SE0009") && !error.contains(&token), "{error}");
    assert_eq!(vault.key_names(), ["bedplate"], "no key was made");

    // Back: the same data, a new root, and the old version is no more.
    vault.set_fault(None);
    let world = World { server: Bedplate::start(start).expect("it starts"), admin, folder };
    assert_eq!(keyring(&world), before);
    let rotated = world.run(&["keys", "rotate", "--root"]).exits(0).stdout;
    assert!(rotated.contains("versions 2 to 2, the root is under 2"), "{rotated}");
    world.is_sound();

    // And to a file, while the server is down.
    let data = world.server.data().to_str().expect("a UTF-8 path").to_owned();
    let rewrap = |world_binary: &std::path::Path, environment: &[(&str, &str)]| {
        bedplate(world_binary, &["keys", "rewrap", "--to", "file", "--data", &data], environment, "")
    };
    let url = vault.url();
    let environment = [("VAULT_ADDR", url.as_str()), ("VAULT_TOKEN", token.as_str())];
    let running = rewrap(world.server.binary(), &environment).exits(1);
    assert!(running.stderr.contains("ST0001"), "a running server keeps its ring: {}", running.stderr);
    let binary = world.server.binary().to_owned();
    let World { server, admin, folder } = world;
    let mut start = server.kill().expect("it is killed");
    rewrap(&binary, &environment).exits(0);
    start.arguments.retain(|a| a != "--master-key=vault");
    let world = World { server: Bedplate::start(start).expect("it starts under the file"), admin, folder };
    assert!(world.run(&["team", "list"]).exits(0).stdout.contains("made-meanwhile"));
    assert!(keyring(&world).contains("root file "));
    world.is_sound();
}
