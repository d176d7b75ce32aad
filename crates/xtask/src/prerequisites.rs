//! What the build needs beside Rust, and how it gets here: by `apt` when we
//! are root, else by saying the one command.

use std::path::Path;

use anyhow::{Result, bail};

use crate::shell::{answers, command, output, run};

/// A program or library, how to see that it is there, and the package that has it.
struct Need {
    there: fn() -> bool,
    package: &'static str,
}

const BUILD: [Need; 7] = [
    Need { there: || answers("cmake", &["--version"]), package: "cmake" },
    Need { there: || answers("g++", &["--version"]), package: "g++" },
    Need { there: || answers("make", &["--version"]), package: "make" },
    Need { there: || answers("pkg-config", &["--version"]), package: "pkg-config" },
    // SQLCipher's ciphers come from the system's libcrypto (decision 005).
    Need { there: || answers("pkg-config", &["--exists", "libcrypto"]), package: "libssl-dev" },
    // bindgen reads llama.cpp's headers through it.
    Need { there: libclang, package: "libclang-dev" },
    Need { there: || answers("curl", &["--version"]), package: "curl" },
];

/// The SDK suites run in a virtual environment of their own.
const TEST: [Need; 3] = [
    Need { there: || answers("python3", &["-c", "import venv, ensurepip"]), package: "python3-venv" },
    // A token in software, for the master key that stays in a device.
    Need { there: || answers("softhsm2-util", &["--version"]), package: "softhsm2" },
    // A real database, for queries that are declared.
    Need { there: postgres, package: "postgresql" },
];

/// The identity journeys run against a certified provider, which is a package of npm.
const NODE: [Need; 2] = [
    Need { there: || answers("node", &["--version"]), package: "nodejs" },
    Need { there: || answers("npm", &["--version"]), package: "npm" },
];

/// Whether there is Node, or now is. Not a must: its tests are skipped without it.
pub fn node() -> bool {
    ensure(&NODE).is_ok()
}

/// For building and running.
pub fn for_build() -> Result<()> {
    ensure(&BUILD)
}

/// For the test suites as well.
pub fn for_test() -> Result<()> {
    ensure(&BUILD)?;
    ensure(&TEST)
}

fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs.iter().filter(|n| !(n.there)()).map(|n| n.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !answers("apt-get", &["--version"]) {
        bail!("this machine lacks: {list}; install them with its package manager, then run this again");
    }
    let root = output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root {
        bail!("this machine lacks: {list}; run\n  sudo apt-get install -y {list}\nand then this again");
    }
    eprintln!("installing {list}");
    let mut apt = command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["update", "-qq"]);
    run(&mut apt)?;
    let mut apt = command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing);
    run(&mut apt)?;
    match needs.iter().find(|n| !(n.there)()) {
        Some(need) => bail!("{} is installed and still does not answer", need.package),
        None => Ok(()),
    }
}

/// Debian keeps the server's programs out of the path, a folder for each version.
fn postgres() -> bool {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else {
        return answers("initdb", &["--version"]);
    };
    versions.filter_map(Result::ok).any(|version| version.path().join("bin/initdb").is_file())
}

fn libclang() -> bool {
    if crate::shell::variable("LIBCLANG_PATH").is_some() {
        return true;
    }
    let holds = |folder: &Path| {
        let Ok(entries) = std::fs::read_dir(folder) else { return false };
        entries.filter_map(Result::ok).any(|e| is_libclang(&e.file_name().to_string_lossy()))
    };
    let machine = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let mut folders =
        vec![machine, "/usr/lib".to_owned(), "/usr/lib64".to_owned(), "/usr/local/lib".to_owned()];
    if let Ok(entries) = std::fs::read_dir("/usr/lib") {
        let llvm = entries.filter_map(Result::ok).map(|e| e.path());
        let llvm = llvm.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("llvm")));
        folders.extend(llvm.map(|p| p.join("lib").display().to_string()));
    }
    folders.iter().any(|f| holds(Path::new(f)))
}

/// `libclang-cpp.so` is the interface to C++ that other tools bring along, and no help to bindgen.
fn is_libclang(name: &str) -> bool {
    name.starts_with("libclang.so")
        || name.strip_prefix("libclang-").is_some_and(|rest| !rest.starts_with("cpp") && rest.contains(".so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpp_interface_is_not_taken_for_libclang() {
        for name in ["libclang.so", "libclang.so.1", "libclang-14.so", "libclang-14.so.1"] {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclang_rt.so", "libclang-14.a"] {
            assert!(!is_libclang(name), "{name}");
        }
    }
}
