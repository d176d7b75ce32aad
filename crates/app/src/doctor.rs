//! `bedplate doctor`: what this machine and this data directory are like.

use std::path::Path;
use std::process::ExitCode;

use cli::doctor::Check;

/// A disk slower than this makes a lone request wait noticeably for its record.
const SYNC_SLOW_MS: f64 = 20.0;
/// Connections take one descriptor each, and their upstream another.
const OPEN_FILES_LOW: u64 = 4096;
const FREE_LOW_BYTES: u64 = 1 << 30;

pub fn run(args: cli::Doctor, json: bool) -> ExitCode {
    let data = match cli::data_dir(args.data) {
        Ok(data) => data,
        Err(failure) => return failure.print(json),
    };
    let checks = [
        version(),
        clock(),
        open_files(),
        cores(),
        sensors(),
        directory(&data),
        master_key(&data),
        disk(&data),
        database(&data),
        guide(),
    ];
    cli::doctor::print(&checks, json)
}

fn version() -> Check {
    Check::ok("version", env!("CARGO_PKG_VERSION"))
}

fn clock() -> Check {
    let now = runtime::clock::now();
    // The date of the catalogue in the binary: a clock before it is wrong for sure.
    let built = "2026-08-01".parse::<units::Day>().map(units::Day::start).unwrap_or_default();
    if now < built {
        return Check::bad(
            "clock",
            now.to_string(),
            "the clock is behind this binary: prices and expiries would be wrong; set it",
        );
    }
    Check::ok("clock", now.to_string())
}

fn open_files() -> Check {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap_or_default();
    let soft = line.split_whitespace().nth(3).and_then(|n| n.parse::<u64>().ok());
    match soft {
        None => {
            Check::warning("open files", "unknown", "this system does not say how many files may be open")
        }
        Some(n) if n < OPEN_FILES_LOW => Check::warning(
            "open files",
            n.to_string(),
            "each client takes up to two; raise it with `ulimit -n 65536`",
        ),
        Some(n) => Check::ok("open files", n.to_string()),
    }
}

fn cores() -> Check {
    Check::ok("cores", crate::engines::threads().to_string())
}

/// Long enough for counters that are brought up to date each 100 ms.
const POWER_OVER: std::time::Duration = std::time::Duration::from_millis(500);

fn sensors() -> Check {
    let found = sensors::all();
    let hidden = found.hidden.join("; ");
    let hint = "energy is charged by declared watts; let the server read the counters to measure it";
    let Some(mut meter) = sensors::Meter::new(found) else {
        return match hidden.is_empty() {
            true => Check::ok("sensors", "no energy counter: energy is charged by declared watts"),
            false => Check::warning("sensors", hidden, hint),
        };
    };
    meter.read(runtime::clock::monotonic_us());
    std::thread::sleep(POWER_OVER);
    let spent = meter.read(runtime::clock::monotonic_us());
    let each: Vec<String> = meter
        .totals()
        .map(|(name, microjoules)| {
            let watts = spent.map_or(0.0, |spent| microjoules as f64 / spent.over_us.max(1) as f64);
            format!("{name} {watts:.1} W")
        })
        .collect();
    match hidden.is_empty() {
        true => Check::ok("sensors", each.join(", ")),
        false => Check::warning("sensors", each.join(", "), hidden),
    }
}

fn directory(data: &Path) -> Check {
    match std::fs::metadata(data) {
        Ok(m) if m.is_dir() => Check::ok("data directory", data.display().to_string()),
        Ok(_) => Check::bad("data directory", data.display().to_string(), "it is not a directory"),
        Err(_) => Check::warning(
            "data directory",
            data.display().to_string(),
            "it does not exist yet: `bedplate serve` makes it",
        ),
    }
}

/// Who keeps the master key, and whether it can be had from here.
fn master_key(data: &Path) -> Check {
    match seal::inspect_ring(data) {
        Err(error) => Check::bad("master key", "unreadable", error.to_string()),
        Ok(Some(ring)) if ring.kind != "file" => kept_elsewhere(&ring),
        Ok(_) => key_file(data),
    }
}

fn key_file(data: &Path) -> Check {
    match seal::inspect(data) {
        Ok(file) => match file.mode {
            None => Check::ok("master key", "not kept in a file here"),
            Some(mode) if file.is_private() => {
                Check::ok("master key", format!("{} mode {:04o}", file.path.display(), mode & 0o7777))
            }
            Some(mode) => Check::bad(
                "master key",
                format!("mode {:04o}", mode & 0o7777),
                format!("others can read it: chmod 600 {}", file.path.display()),
            ),
        },
        Err(error) => Check::bad("master key", "unreadable", error.to_string()),
    }
}

fn kept_elsewhere(ring: &seal::RingShown) -> Check {
    let value = format!("{} {}, version {}", ring.kind, ring.key, ring.version);
    let kind = cli::MasterKey::named(&ring.kind);
    let Some(source) = kind.and_then(|kind| crate::backends::source(kind).ok()) else {
        let hint = "not asked: this environment lacks what it takes to reach it";
        return Check::warning("master key", value, hint);
    };
    match source.about() {
        Ok(about) if (about.oldest..=about.newest).contains(&ring.version) => Check::ok("master key", value),
        Ok(about) => Check::bad(
            "master key",
            value,
            format!("it has versions {} to {}: the keyring is an old copy", about.oldest, about.newest),
        ),
        Err(error) => Check::bad("master key", value, error.to_string()),
    }
}

fn disk(data: &Path) -> Check {
    if !data.is_dir() {
        return Check::warning("disk sync", "not measured", "the data directory does not exist yet");
    }
    match store_sqlite::sync_latency(data, 50) {
        Ok(sync) => {
            let (median, max) = (sync.median.as_secs_f64() * 1e3, sync.max.as_secs_f64() * 1e3);
            let value = format!("median {median:.2} ms, worst {max:.2} ms of {}", sync.count);
            if median > SYNC_SLOW_MS {
                Check::warning("disk sync", value, "each answer waits for one: use a faster disk for --data")
            } else {
                Check::ok("disk sync", value)
            }
        }
        Err(error) => Check::bad("disk sync", error.to_string(), "the ledger cannot be written here"),
    }
}

fn database(data: &Path) -> Check {
    let health = store_sqlite::health(data);
    let free = free_bytes(data);
    let size = health.database_bytes.map_or_else(|| "none yet".into(), |b| format!("{} KiB", b / 1024));
    let value = format!(
        "schema {}, {size}, log {} KiB, free {} MiB",
        health.schema,
        health.wal_bytes / 1024,
        free / (1 << 20)
    );
    if data.is_dir() && free < FREE_LOW_BYTES {
        return Check::warning("database", value, "less than 1 GiB is free: a full disk stops answers");
    }
    Check::ok("database", value)
}

/// Free bytes of the file system, by `df`, which every POSIX system has; 0 when it does not say.
fn free_bytes(path: &Path) -> u64 {
    let output = std::process::Command::new("df").args(["-Pk"]).arg(path).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let kib =
        text.lines().nth(1).and_then(|l| l.split_whitespace().nth(3)).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn guide() -> Check {
    let folder = std::env::temp_dir().join(format!("bedplate-doctor-{}", std::process::id()));
    let checked = crate::engines::guide_file(&folder).map_err(|e| e.to_string()).and_then(|path| {
        engine::Engine::open(&path, engine::Options { threads: 1, ..engine::Options::default() })
            .map_err(|e| e.to_string())
    });
    let _ = std::fs::remove_dir_all(&folder);
    match checked {
        Ok(engine) => Check::ok(
            "engine",
            format!("{} loads, {} parameters", engine.info().name, engine.info().n_params),
        ),
        Err(why) => Check::bad("engine", why, "the built-in model does not load on this machine"),
    }
}
