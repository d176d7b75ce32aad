//! llama.cpp's own benches, built from the source distribution of a Python
//! package that carries them: the same registry on every machine, no clone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Peer, run};

/// The newest release at the time of writing: ggml 0.25.3, where our engine's
/// `llama-cpp-sys-2` 0.1.161 carries 0.26.0. No release carries the same.
const VERSION: &str = "0.3.36";

pub const PEER: Peer = Peer {
    name: "llama.cpp (llama-cpp-python 0.3.36)",
    folder: "llama",
    program: "build/bin/llama-batched-bench",
    install,
    start: |_, _, _| anyhow::bail!("is not a gateway"),
};

/// Downloads, unpacks and builds for the CPU of this machine: about 5 minutes
/// on two cores.
fn install(home: &Path) -> Result<()> {
    let downloads = home.join("dl");
    let requirement = format!("llama-cpp-python=={VERSION}");
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python", "-d"];
    run(Command::new("python3").args(pip).arg(&downloads).arg(&requirement))?;
    let archive = archive(&downloads)?;
    let source = home.join("src");
    std::fs::create_dir_all(&source)?;
    run(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&source).arg("--strip-components=1"))?;
    let build = home.join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(source.join("vendor/llama.cpp")).arg("-B").arg(&build);
    configure.args([
        "-DCMAKE_BUILD_TYPE=Release",
        "-DGGML_NATIVE=ON",
        "-DGGML_OPENMP=ON",
        "-DBUILD_SHARED_LIBS=OFF",
    ]);
    configure.args([
        "-DLLAMA_CURL=OFF",
        "-DLLAMA_OPENSSL=OFF",
        "-DLLAMA_BUILD_TOOLS=ON",
        "-DLLAMA_BUILD_APP=OFF",
    ]);
    configure.args(["-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF"]);
    run(&mut configure)?;
    let targets = ["-j", "2", "--target", "llama-bench", "llama-batched-bench"];
    run(Command::new("cmake").arg("--build").arg(&build).args(targets))
}

fn archive(downloads: &Path) -> Result<PathBuf> {
    let found = std::fs::read_dir(downloads)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(".tar.gz"));
    found.with_context(|| format!("no archive in {}", downloads.display()))
}
