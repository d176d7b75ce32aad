//! The machine's side of the local models: the built-in one's file, threads,
//! memory and metrics. Loading them is `gateway::models`'s.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use gateway::models::Models;
use observe::EngineMetrics;

/// The built-in model: small, true, and in the binary.
pub const GUIDE: &str = "bedplate-guide";
static GUIDE_BYTES: &[u8] = include_bytes!("../../../models/guide/bedplate-guide.q8_0.gguf");

/// Writes every loaded engine's figures into the metrics.
pub fn observe(models: &Models, metrics: &EngineMetrics) {
    models.each_loaded(|engine| {
        let (name, stats) = (engine.info().name.clone(), engine.stats());
        let set = |family: &observe::Family<observe::Gauge>, n: u64| {
            family.with(&[&name]).set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        set(&metrics.requests_running, stats.running);
        set(&metrics.requests_waiting, stats.queued);
        set(&metrics.kv_cache_usage, stats.kv_used * 1_000_000 / stats.kv_total.max(1));
        let raise = |family: &observe::Family<observe::Counter>, n: u64| {
            let counter = family.with(&[&name]);
            counter.add(n.saturating_sub(counter.value()));
        };
        raise(&metrics.prompt_tokens, stats.prompt_tokens);
        raise(&metrics.generation_tokens, stats.generated_tokens);
    });
}

/// Compute threads: all cores; the short spin of [`with_openmp`] lets a busy
/// gateway have them back within a millisecond.
pub fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

/// What the models in memory may take together unless told: four fifths of the
/// machine's memory, or of what its control group allows. The rest is for
/// requests, the store and the operating system.
pub fn memory_default() -> u64 {
    let number = |path: &str| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let allowed = groups.iter().filter_map(|path| number(path)).min();
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let there = [allowed, machine].into_iter().flatten().min();
    // Where nothing says, a machine of 8 GiB.
    there.unwrap_or(8 << 30) / 5 * 4
}

/// Puts the built-in model's file into the data directory, unless it is there.
/// llama.cpp maps files, so it needs one.
pub fn guide_file(data: &Path) -> std::io::Result<PathBuf> {
    let folder = data.join("models").join("builtin");
    let path = folder.join(format!("{GUIDE}.gguf"));
    if std::fs::read(&path).is_ok_and(|bytes| bytes == GUIDE_BYTES) {
        return Ok(path);
    }
    std::fs::create_dir_all(&folder)?;
    let partial = folder.join(format!(".{GUIDE}.{}", std::process::id()));
    std::fs::write(&partial, GUIDE_BYTES)?;
    std::fs::rename(&partial, &path)?;
    Ok(path)
}

/// Runs `then` in a process whose environment libgomp likes: it reads its
/// settings when it is loaded, before `main`, so a process without them
/// executes itself again with them.
pub fn with_openmp(then: impl FnOnce() -> ExitCode) -> ExitCode {
    let absent: Vec<_> =
        engine::openmp_env().iter().filter(|(name, _)| cli::environment(name).is_none()).collect();
    if absent.is_empty() {
        return then();
    }
    if let Ok(me) = std::env::current_exe() {
        // Only returns if it failed; then the defaults have to do.
        let _ = Command::new(me).args(std::env::args_os().skip(1)).envs(absent.into_iter().copied()).exec();
    }
    then()
}
