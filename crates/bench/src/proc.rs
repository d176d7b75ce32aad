//! CPU time and memory of a process and everything it started, from `/proc`.
//!
//! CPU time per request is the first figure of the gateway bench because it
//! survives a noisy machine: a neighbour steals wall time from us, but not
//! `utime`. The whole tree is counted, since a Python server may answer from a
//! child, and a figure that missed it would flatter it.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};

/// Kernel clock ticks in a second as `/proc` reports them. `USER_HZ` is part
/// of the Linux ABI and is 100 on every architecture this project builds for
/// (man 5 proc, man 7 time).
pub const TICKS_PER_SECOND: f64 = 100.0;

/// What one line of `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: u32,
    pub parent: u32,
    /// User and kernel time of all threads, ended ones included, in ticks.
    pub own_ticks: u64,
    /// The same of children that ended and were waited for.
    pub reaped_ticks: u64,
    /// Resident memory, in pages of 4 KiB.
    pub resident_pages: u64,
}

/// Reads one `/proc/PID/stat` line. The command name stands in parentheses and
/// may itself hold spaces and parentheses, so fields are counted from the last
/// `)`. `None` when the line is not of that shape.
pub fn parse_stat(line: &str) -> Option<Stat> {
    let open = line.find('(')?;
    let close = line.rfind(')')?;
    let pid = line[..open].trim().parse().ok()?;
    let fields: Vec<&str> = line.get(close + 1..)?.split_ascii_whitespace().collect();
    // Field 3 of the manual page (state) is fields[0] here.
    let number = |manual: usize| fields.get(manual - 3)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        parent: u32::try_from(number(4)?).ok()?,
        own_ticks: number(14)? + number(15)?,
        reaped_ticks: number(16)? + number(17)?,
        resident_pages: number(24)?,
    })
}

/// `root` and all its descendants among `all`, in no order.
pub fn tree(root: u32, all: &[Stat]) -> Vec<Stat> {
    let mut children: HashMap<u32, Vec<Stat>> = HashMap::new();
    for stat in all {
        children.entry(stat.parent).or_default().push(*stat);
    }
    let mut found: Vec<Stat> = all.iter().filter(|s| s.pid == root).copied().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|s| s.pid) {
        found.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    found
}

/// Usage of a process tree at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
}

/// Sums the tree under `root`. An error when the root is gone: a peer that died
/// in the middle of a run must not look free of charge.
pub fn usage(root: u32) -> Result<Usage> {
    let tree = tree(root, &snapshot()?);
    anyhow::ensure!(!tree.is_empty(), "process {root} ended during the run");
    let ticks: u64 = tree.iter().map(|s| s.own_ticks + s.reaped_ticks).sum();
    let pages: u64 = tree.iter().map(|s| s.resident_pages).sum();
    Ok(Usage { cpu_seconds: ticks as f64 / TICKS_PER_SECOND, resident_bytes: pages * 4096 })
}

/// CPU time of this process so far, of all its threads, to the nanosecond.
pub fn own_cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Resident memory of this process that is not of files, and the most that all of it was.
pub fn own_memory() -> Result<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).with_context(|| format!("no {name} in /proc/self/status"))
    };
    Ok((bytes("RssAnon:")?, bytes("VmHWM:")?))
}

fn snapshot() -> Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc").context("list /proc (the benches need Linux)")?;
    Ok(entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            entry.file_name().to_str()?.parse::<u32>().ok()?;
            // A process may end between the listing and the read; that is no error.
            parse_stat(&fs::read_to_string(entry.path().join("stat")).ok()?)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "4242 (odd) (name) S 17 4242 4242 0 -1 4194560 900 12 0 0 250 50 7 3 20 0 4 0 123 \
                        104857600 2560 18446744073709551615 1 1 0 0 0 0 0 0 0";

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = parse_stat(LINE).unwrap();
        assert_eq!(
            stat,
            Stat { pid: 4242, parent: 17, own_ticks: 300, reaped_ticks: 10, resident_pages: 2560 }
        );
    }

    #[test]
    fn a_cut_line_is_refused_and_not_read_as_zero() {
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("12 (x) S 1 2 3"), None);
        assert_eq!(parse_stat("12 x S 1 2 3"), None);
    }

    #[test]
    fn grandchildren_count_and_strangers_do_not() {
        let stat = |pid, parent| Stat { pid, parent, own_ticks: 1, reaped_ticks: 0, resident_pages: 1 };
        let all = [stat(1, 0), stat(10, 1), stat(12, 11), stat(11, 10), stat(20, 1)];
        let mut pids: Vec<u32> = tree(10, &all).iter().map(|s| s.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [10, 11, 12]);
        assert!(tree(99, &all).is_empty());
    }

    #[test]
    fn this_very_process_can_be_read() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.resident_bytes > 0);
    }
}
