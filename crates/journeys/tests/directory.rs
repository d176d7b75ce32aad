//! The data directory: shared, locked with another key, not writable, full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use journeys::{Folder, Ran, Setup, World, bedplate, binary, eventually};
use serde_json::json;
use testkit::{Ask, Bedplate, Provider};

/// A start that must fail, on a directory.
fn refused(binary: &Path, data: &Path, arguments: &[&str], environment: &[(&str, &str)], code: &str) -> Ran {
    let data = data.to_str().expect("a UTF-8 path");
    let mut all = vec!["serve", "--data", data, "--listen", "127.0.0.1:0", "--roles=gateway,control"];
    all.extend(arguments);
    let ran = bedplate(binary, &all, environment, "").exits(1);
    assert!(ran.stderr.contains(code), "wanted {code}: {ran:#?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    assert!(ran.stdout.is_empty(), "nothing is announced: {ran:#?}");
    ran
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let ran = refused(&binary, world.server.data(), &[], &[], "ST0001");
    assert!(ran.stderr.contains(&world.server.pid().to_string()), "it says who has it: {ran:#?}");
    world.team("people");
    world.is_sound();
    // Once the first is gone, however it went, the directory is free.
    let world = world.killed();
    world.is_sound();
}

#[test]
fn a_wrong_or_missing_master_key_opens_nothing_and_damages_nothing() {
    let Some(binary) = binary() else { return };
    let (right, wrong) = ("ab".repeat(32), "cd".repeat(32));
    let world =
        Setup::new(&binary).arg("--master-key=environment").env("BEDPLATE_MASTER_KEY", &right).begin();
    world.team("people");
    let World { server, admin, folder } = world;
    let start = server.kill().expect("stop it");
    let data = start.data.clone();
    let from = ["--master-key=environment"];
    refused(&binary, &data, &from, &[("BEDPLATE_MASTER_KEY", &wrong)], "SE0001");
    let ran = refused(&binary, &data, &from, &[("BEDPLATE_MASTER_KEY", "not a key")], "SE0005");
    assert!(!ran.stderr.contains("not a key\"") && !ran.stderr.contains(&right), "{ran:#?}");
    refused(&binary, &data, &from, &[], "SE0004");
    refused(
        &binary,
        &data,
        &["--master-key=passphrase"],
        &[("BEDPLATE_PASSPHRASE", "open sesame")],
        "SE0008",
    );
    let world = World { server: Bedplate::start(start).expect("the right key opens it"), admin, folder };
    assert_eq!(world.show("/api/v1/teams")["data"].as_array().map(Vec::len), Some(2));
    world.is_sound();
}

#[test]
fn a_key_file_that_others_can_read_or_that_is_gone_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(binary) = binary() else { return };
    let World { server, admin, folder } = World::new(&binary);
    let start = server.kill().expect("stop it");
    let file = start.data.join("master.key");
    let mode = |bits| fs::set_permissions(&file, fs::Permissions::from_mode(bits)).expect("change the mode");
    mode(0o644);
    refused(&binary, &start.data, &[], &[], "SE0002");
    mode(0o600);
    let kept = fs::read(&file).expect("read the key file");
    fs::remove_file(&file).expect("remove the key file");
    refused(&binary, &start.data, &[], &[], "SE0004");
    assert!(!file.exists(), "no new key is made for old data");
    fs::write(&file, "rubbish").expect("write the key file");
    mode(0o600);
    refused(&binary, &start.data, &[], &[], "SE0003");
    fs::write(&file, kept).expect("write the key file");
    mode(0o600);
    World { server: Bedplate::start(start).expect("the right key opens it"), admin, folder }.is_sound();
}

#[test]
fn a_directory_that_cannot_be_made_or_written_is_refused() {
    let Some(binary) = binary() else { return };
    let folder = Folder::new();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("write a file");
    refused(&binary, &file.join("data"), &[], &[], "ST0004");
    refused(&binary, &file, &[], &[], "ST0004");
    // The superuser may write everywhere, except where nobody may.
    let Some(disk) = Disk::new("1m") else { return };
    disk.remount("ro");
    let ran = bedplate(
        &binary,
        &["serve", "--listen", "127.0.0.1:0", "--data", disk.path().join("data").to_str().expect("UTF-8")],
        &[],
        "",
    );
    assert!(ran.code == 1 && ran.stderr.contains("ST0004"), "{ran:#?}");
}

/// A file system of its own, in memory.
struct Disk(PathBuf, #[expect(dead_code, reason = "it is removed after the disk")] Folder);

impl Disk {
    /// `None`, aloud, where this user may not mount one.
    fn new(size: &str) -> Option<Disk> {
        let folder = Folder::new();
        let path = folder.path().join("disk");
        fs::create_dir(&path).expect("make a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        if mount.output().is_ok_and(|done| done.status.success()) {
            return Some(Disk(path, folder));
        }
        eprintln!("SKIPPED: a small file system cannot be mounted (not root?)");
        None
    }
    fn path(&self) -> &Path {
        &self.0
    }
    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "remount {how}");
    }
    /// Writes until nothing more fits.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let block = vec![b'x'; 4096];
        let mut file = fs::File::create(&path).expect("create a file");
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_answers_and_loses_none_and_heals_by_itself() {
    let Some(binary) = binary() else { return };
    let Some(disk) = Disk::new("24m") else { return };
    let world = Setup::new(&binary).data(disk.path().join("data")).begin();
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["echo"]);
    let key = world.team("people");
    world.budget("people", "people", "1000");
    let mut acknowledged = vec![world.send(&world.chat(&key, "echo", false))];

    let filler = disk.fill();
    // The log may still have some room of its own; then it is over.
    let refusal = eventually("the full disk is noticed", || {
        let answer = world.send(&world.chat(&key, "echo", false));
        if answer.status == 200 {
            acknowledged.push(answer);
            return None;
        }
        Some(answer)
    });
    assert_eq!((refusal.status, refusal.header("bedplate-error")), (500, Some("GW0007")), "{refusal:?}");
    assert!(refusal.json()["error"]["message"].as_str().is_some_and(|m| m.contains("full")), "{refusal:?}");
    // A stream says so too, before its end marker.
    let streamed = world.send(&world.chat(&key, "echo", true));
    assert!(!streamed.body.contains("[DONE]") && streamed.body.contains("GW0007"), "{streamed:?}");
    let change = world.api("POST", "/api/v1/teams", &json!({"name": "more"}));
    assert_eq!((change.status, &change.json()["error"]["code"]), (503, &json!("ST0003")), "{change:?}");
    world.is_sound();

    fs::remove_file(filler).expect("make room");
    let healed = eventually("the server heals", || {
        let answer = world.send(&world.chat(&key, "echo", false));
        (answer.status == 200).then_some(answer)
    });
    acknowledged.push(healed);
    world.create("/api/v1/teams", &json!({"name": "more"}));
    for answer in &acknowledged {
        assert_eq!(world.record_of(answer)["outcome"], "completed");
    }
    assert_eq!(world.budget_now("people")["held_usd"], "0");
    world.check_books();
    let world = world.killed();
    for answer in &acknowledged {
        assert_eq!(world.record_of(answer)["outcome"], "completed");
    }
    world.check_books();
    world.is_sound();
}

#[test]
fn trap_r3_a_database_that_takes_nothing_is_never_an_authentication_error() {
    let Some(binary) = binary() else { return };
    let Some(disk) = Disk::new("24m") else { return };
    let world = Setup::new(&binary).data(disk.path().join("data")).begin();
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["echo"]);
    let key = world.team("people");
    let slow = world.key("people", json!({"requests_per_minute": 1}));
    assert_eq!(world.send(&world.chat(&slow, "echo", false)).status, 200);
    disk.fill();
    let ask = |key: &str| world.send(&world.chat(key, "echo", false));
    let refusal = eventually("the full disk is noticed", || {
        let answer = ask(&key);
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refusal.status, refusal.header("bedplate-error")), (500, Some("GW0007")), "{refusal:?}");
    // Who it is, what it may and how much it may are known without the database.
    for _ in 0..20 {
        let answer = ask(&key);
        assert_eq!(answer.header("bedplate-error"), Some("GW0007"), "{answer:?}");
    }
    assert_eq!(ask(&slow).status, 429);
    assert_eq!(ask("bp-nobody").status, 401);
    assert_eq!(world.send(&Ask::get("/v1/models").key(&key)).status, 200);
    world.is_sound();
}

#[test]
fn a_start_on_a_full_disk_says_so() {
    let Some(binary) = binary() else { return };
    let Some(disk) = Disk::new("1m") else { return };
    disk.fill();
    let data = disk.path().join("data");
    let data = data.to_str().expect("a UTF-8 path");
    let ran = bedplate(&binary, &["serve", "--listen", "127.0.0.1:0", "--data", data], &[], "").exits(1);
    let said = ["ST0003", "ST0004", "SE0006"].iter().any(|code| ran.stderr.contains(code));
    assert!(said && ran.stderr.to_lowercase().contains("space"), "{ran:#?}");
}
