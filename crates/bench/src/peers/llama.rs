//! llama.cpp's own benches and its server, built from the source distribution of a Python
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

/// The server from the same tree: the peer of `bench serve`.
pub const SERVER: Peer = Peer {
    name: "llama-server (llama-cpp-python 0.3.36)",
    folder: "llama",
    program: "build/bin/llama-server",
    install: |home| build(home, "ON", &["llama-server"]),
    start: |_, _, _| anyhow::bail!("is not a gateway"),
};

fn install(home: &Path) -> Result<()> {
    build(home, "OFF", &["llama-bench", "llama-batched-bench"])
}

/// Downloads and unpacks unless that is done, and builds for the CPU of this
/// machine: about 5 minutes on two cores, 2 more for the server.
fn build(home: &Path, server: &str, targets: &[&str]) -> Result<()> {
    let source = home.join("src");
    if !source.join("vendor/llama.cpp/CMakeLists.txt").exists() {
        fetch(home, &source)?;
    }
    let build = home.join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(source.join("vendor/llama.cpp")).arg("-B").arg(&build);
    configure.args([
        "-DCMAKE_BUILD_TYPE=Release",
        "-DGGML_NATIVE=OFF",
        "-DGGML_OPENMP=ON",
        "-DBUILD_SHARED_LIBS=OFF",
    ]);
    configure.args(instruction_sets(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()));
    configure.args([
        "-DLLAMA_CURL=OFF",
        "-DLLAMA_OPENSSL=OFF",
        "-DLLAMA_BUILD_TOOLS=ON",
        "-DLLAMA_BUILD_APP=OFF",
        "-DLLAMA_BUILD_UI=OFF",
        "-DLLAMA_USE_PREBUILT_UI=OFF",
    ]);
    configure.args(["-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF"]);
    configure.arg(format!("-DLLAMA_BUILD_SERVER={server}"));
    run(&mut configure)?;
    run(Command::new("cmake").arg("--build").arg(&build).args(["-j", "2", "--target"]).args(targets))
}

fn fetch(home: &Path, source: &Path) -> Result<()> {
    let downloads = home.join("dl");
    let requirement = format!("llama-cpp-python=={VERSION}");
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python", "-d"];
    run(Command::new("python3").args(pip).arg(&downloads).arg(&requirement))?;
    let archive = archive(&downloads)?;
    std::fs::create_dir_all(source)?;
    run(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(source).arg("--strip-components=1"))
}

/// The instruction sets that this CPU has, by name. Not `GGML_NATIVE`, which
/// would also take AMX: on the virtual machines this project is built on AMX is
/// announced, and the first prefill ends in a general protection fault.
fn instruction_sets(cpuinfo: &str) -> Vec<String> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_ascii_whitespace().any(|word| word == flag);
    let pairs = [
        ("sse4_2", "SSE42"),
        ("avx", "AVX"),
        ("avx2", "AVX2"),
        ("bmi2", "BMI2"),
        ("fma", "FMA"),
        ("f16c", "F16C"),
        ("avx_vnni", "AVX_VNNI"),
        ("avx512f", "AVX512"),
        ("avx512vbmi", "AVX512_VBMI"),
        ("avx512_vnni", "AVX512_VNNI"),
        ("avx512_bf16", "AVX512_BF16"),
    ];
    pairs
        .iter()
        .map(|(flag, name)| format!("-DGGML_{name}={}", if has(flag) { "ON" } else { "OFF" }))
        .collect()
}

fn archive(downloads: &Path) -> Result<PathBuf> {
    let found = std::fs::read_dir(downloads)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(".tar.gz"));
    found.with_context(|| format!("no archive in {}", downloads.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_asks_for_what_the_cpu_has_and_never_for_amx() {
        let sets = instruction_sets("processor : 0\nflags\t\t: fpu sse4_2 avx avx2 avx512f amx_int8\n");
        assert!(sets.contains(&"-DGGML_AVX512=ON".to_owned()));
        assert!(sets.contains(&"-DGGML_AVX512_VBMI=OFF".to_owned()));
        assert!(!sets.iter().any(|set| set.contains("AMX")));
    }
}
