//! CPU and rate of the durable path: `cargo run --release -p store-sqlite
//! --example ledger_rate -- DIRECTORY [SETTLES [IN_FLIGHT [holds]]]`.

use store_sqlite::rate::{Load, measure};

/// User and system time of this process so far, in microseconds. Fields 14 and
/// 15 of proc(5) `stat`, in ticks of 10 ms.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("it has a name").split_whitespace().collect();
    let ticks = |at: usize| fields[at - 3].parse::<u64>().expect("a number");
    (ticks(14) + ticks(15)) * 10_000
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = std::path::PathBuf::from(args.next().expect("a directory"));
    let settles = args.next().map_or(100_000, |n| n.parse().expect("a number"));
    let only = args.next().map(|n| n.parse::<usize>().expect("a number"));
    let holds = args.next().is_some();
    println!("in_flight  postings/s  settles/s  cpu_us/settle  p50_us  p99_us  open_ms");
    for in_flight in only.map_or(vec![1, 4, 16, 64, 256, 1024], |n| vec![n]) {
        let settles = if in_flight < 16 { settles.min(20_000) } else { settles };
        let place = dir.join(format!("rate-{in_flight}"));
        let _ = std::fs::remove_dir_all(&place);
        let before = cpu_us();
        let rate = measure(&place, &Load { settles, in_flight, holds }).expect("it is measured");
        let cpu = (cpu_us() - before) as f64 / settles as f64;
        println!(
            "{in_flight:9}  {:10.0}  {:9.0}  {cpu:13.1}  {:6}  {:6}  {:7.1}",
            rate.postings_per_second(),
            settles as f64 / rate.wall.as_secs_f64(),
            rate.p50.as_micros(),
            rate.p99.as_micros(),
            rate.open.as_secs_f64() * 1e3
        );
        let _ = std::fs::remove_dir_all(&place);
    }
}
