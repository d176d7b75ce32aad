//! The machine's side of the local models: the built-in one's file, threads,
//! memory and metrics. Loading them is `gateway::models`'s.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use cli::EngineProcess;
use engine::KvDisks;
use engine_process::{Launch, Place};
use gateway::Team;
use gateway::models::Models;
use kv_disk::KvDisk;
use observe::EngineMetrics;
use seal::{KeyRing, Purpose};
use units::{TeamId, Uuid7};

use crate::queue;

/// The built-in model: small, true, and in the binary.
pub const GUIDE: &str = "bedplate-guide";
static GUIDE_BYTES: &[u8] = include_bytes!("../../../models/guide/bedplate-guide.q8_0.gguf");

/// Writes every loaded engine's figures into the metrics.
pub fn observe(models: &Models, metrics: &EngineMetrics, teams: &HashMap<TeamId, Team>) {
    let mut queues: BTreeMap<(String, String), (u32, u32)> = BTreeMap::new();
    models.each_loaded(|engine| {
        let (name, stats) = (engine.info().name.clone(), engine.stats());
        let set = |family: &observe::Family<observe::Gauge>, labels: &[&str], n: u64| {
            family.with(labels).set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        let raise = |family: &observe::Family<observe::Counter>, labels: &[&str], n: u64| {
            let counter = family.with(labels);
            counter.add(n.saturating_sub(counter.value()));
        };
        let model = &[name.as_str()][..];
        set(&metrics.requests_running, model, stats.running);
        set(&metrics.requests_waiting, model, stats.queued);
        set(&metrics.kv_cache_usage, model, stats.kv_used * 1_000_000 / stats.kv_total.max(1));
        set(&metrics.kv_memory_bytes, model, stats.kv_memory_bytes);
        raise(&metrics.prompt_tokens, model, stats.prompt_tokens);
        raise(&metrics.generation_tokens, model, stats.generated_tokens);
        raise(&metrics.prefix_cache_queries, model, stats.prompt_tokens + stats.reused_tokens);
        raise(&metrics.prefix_cache_hits, model, stats.reused_tokens);
        raise(&metrics.preemptions, model, stats.preempted);
        raise(&metrics.withheld_tokens, model, stats.withheld);
        for queue in queue::of(&engine.tenants(), teams) {
            let (waiting, running) = queues.entry((name.clone(), queue.team)).or_default();
            *waiting += queue.waiting;
            *running += queue.running;
        }
        let free = stats.kv_total.saturating_sub(stats.kv_used + stats.kv_kept);
        for (state, cells) in [("used", stats.kv_used), ("kept", stats.kv_kept), ("free", free)] {
            set(&metrics.kv_cells, &[&name, state], cells);
        }
        let (memory, disk) = (stats.reused_from_memory, stats.reused_from_disk);
        let cells = stats.reused_tokens.saturating_sub(memory + disk);
        for (tier, tokens) in [("cells", cells), ("memory", memory), ("disk", disk)] {
            raise(&metrics.reused_tokens, &[&name, tier], tokens);
        }
        let wrong = stats.guessed.saturating_sub(stats.guessed_right);
        for (right, tokens) in [("true", stats.guessed_right), ("false", wrong)] {
            raise(&metrics.guessed_tokens, &[&name, right], tokens);
        }
        let cost = stats.step_time;
        let attention = [("context", cost.context_us), ("tiled", cost.tiled_us)];
        for (part, us) in [("step", cost.base_us), ("row", cost.row_us)].into_iter().chain(attention) {
            set(&metrics.step_cost, &[&name, part], us as u64);
        }
    });
    let rows = |of: fn(&(u32, u32)) -> u32| {
        queues.iter().map(move |((model, team), queue)| (vec![&**model, &**team], i64::from(of(queue))))
    };
    metrics.tenant_requests_waiting.replace(rows(|queue| queue.0));
    metrics.tenant_requests_running.replace(rows(|queue| queue.1));
}

/// Where engines keep keys and values over a restart: a folder of the data
/// directory, encrypted, of at most this many bytes over all models.
pub fn kv_disks(data: &Path, keys: &KeyRing, quota_bytes: u64) -> Option<KvDisks> {
    if quota_bytes == 0 {
        return None;
    }
    let options = kv_disk::Options {
        folder: data.join("kv"),
        key: keys.key(Purpose::Kv),
        tenants: kv_secrets(keys.clone()),
        fingerprint: "",
        quota_bytes,
    };
    match KvDisk::open(options) {
        Ok(disk) => Some(Arc::new(move |fingerprint: &str| {
            Some(Arc::new(disk.sibling(fingerprint)) as Arc<dyn scheduler::BlockStore>)
        })),
        Err(error) => {
            // A cache that cannot be kept is no reason not to serve.
            observe::warn!("kv.disk", why = error.to_string().as_str());
            None
        }
    }
}

/// Where engines run. A child gets what tunes its threads and its memory, and
/// nothing else of the environment, where keys of providers may stand.
pub fn place(process: EngineProcess) -> Place {
    const PASSED: [&str; 9] = [
        "GOMP_CPU_AFFINITY",
        "LD_LIBRARY_PATH",
        "MALLOC_TRIM_THRESHOLD_",
        "OMP_NUM_THREADS",
        "OMP_PLACES",
        "OMP_PROC_BIND",
        "OMP_WAIT_POLICY",
        "RUST_BACKTRACE",
        "TZ",
    ];
    if process == EngineProcess::Inline {
        return Place::Here;
    }
    let tuned = engine::openmp_env().iter().copied().chain([ARENAS, LARGE]).map(|(name, _)| name);
    let environment =
        tuned.chain(PASSED).filter_map(|name| Some((name.into(), cli::environment(name)?.into())));
    Place::Child(Launch::me("engine-process", environment.collect()))
}

/// The secrets of tenants' blocks: what the engine calls a tenant is a team (see
/// `gateway::local`). Nobody's blocks, of warm-ups and benches, are the platform's.
fn kv_secrets(keys: KeyRing) -> kv_disk::TenantSecrets {
    Arc::new(move |tenant| match tenant.0 {
        0 => Some(keys.key(Purpose::Kv)),
        team => keys.tenant(TeamId(Uuid7::from_bytes(team.to_be_bytes()))).key(Purpose::Kv).ok(),
    })
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

/// What the C library's allocator is told: one arena. Only the C++ side uses it,
/// and every load is a new thread; with an arena each, 300 loads of the built-in
/// model left 22 MB behind, with one arena less than 1 MB. Small allocations are
/// cached by thread without it.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "1");
/// And that large buffers go back to the system when a model does. Left to itself
/// the allocator learns from the first freed one to keep them in its heap, where
/// the cells of one model leave holes that those of the next do not fit: after 47
/// swaps 47 MB of 88 were holes.
const LARGE: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

/// Runs `then` in a process whose environment libgomp and the C library like:
/// they read their settings when they are loaded, before `main`, so a process
/// without them executes itself again with them.
pub fn with_openmp(then: impl FnOnce() -> ExitCode) -> ExitCode {
    let wanted = engine::openmp_env().iter().copied().chain([ARENAS, LARGE]);
    let absent: Vec<_> = wanted.filter(|(name, _)| cli::environment(name).is_none()).collect();
    if absent.is_empty() {
        return then();
    }
    if let Ok(me) = std::env::current_exe() {
        // Only returns if it failed; then the defaults have to do.
        let _ = Command::new(me).args(std::env::args_os().skip(1)).envs(absent).exec();
    }
    then()
}
