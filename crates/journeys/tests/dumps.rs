//! A server that crashes, and what its memory leaves on the disk (TRAPS X4).

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use journeys::{Folder, Setup, binary};
use serde_json::json;
use testkit::Ask;

const SECRET: &str = "quincunx-marmalade-81000";

/// A script that runs a program with nothing in the way of a core dump, in a folder of its own.
fn wrapped(folder: &Path, program: &str) -> PathBuf {
    let script = folder.join("run.sh");
    let text = format!("#!/bin/sh\nulimit -c unlimited\ncd '{}'\nexec {program} \"$@\"\n", folder.display());
    std::fs::write(&script, text).expect("it is ours");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    script
}

#[test]
fn a_server_that_crashes_leaves_no_core_dump() {
    let Some(binary) = binary() else { return };
    let control = Folder::new();
    let dies = Command::new(wrapped(control.path(), "sh")).args(["-c", "kill -ABRT $$"]).status();
    if !dies.expect("a shell").core_dumped() {
        eprintln!("skipped: this system leaves no core dumps of anything");
        return;
    }
    let folder = Folder::new();
    let program = wrapped(folder.path(), &format!("'{}'", Path::new(&binary).display()));
    let mut world = Setup::new(program).begin();
    let key = world.team("people");
    let made = world.send(&Ask::json("/api/v1/collections", &json!({"name": "handbook"})).key(&world.admin));
    assert_eq!(made.status, 201, "{made:?}");
    let path = "/api/v1/collections/handbook/documents?source=a.txt";
    let put = Ask::new("POST", path).key(&world.admin).body(format!("grade 7 earns {SECRET}"));
    assert_eq!(world.send(&put).status, 200);
    world.server.signal("ABRT").expect("it is ours");
    let status = world.server.wait().expect("it ends");
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false), "{status:?}");
    for (file, bytes) in folder.files().into_iter().chain(world.folder.files()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!name.starts_with("core"), "{name}");
        for secret in [SECRET, &key, &world.admin] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds it", file.display());
        }
    }
}
