//! What the run ran on. A figure without its machine is a rumour.

use std::fs;
use std::process::Command;

/// The machine in words, as it stands at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    /// Load averages over 1 and 5 minutes: above the core count, latencies say
    /// more about the neighbours than about the subject.
    pub load: (f64, f64),
}

pub fn describe() -> Machine {
    Machine {
        cpu: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        load: load(),
    }
}

pub fn load() -> (f64, f64) {
    parse_load(&fs::read_to_string("/proc/loadavg").unwrap_or_default())
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine { cpu, cores, kernel, load } = self;
        write!(f, "{cpu}, {cores} cores, Linux {kernel}, load {:.2} (1 min) {:.2} (5 min)", load.0, load.1)
    }
}

fn cpu_model(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "unknown CPU".into());
    match (field("cpu family"), field("model\t")) {
        (Some(family), Some(number)) => format!("{model} (family {family} model {number})"),
        _ => model,
    }
}

fn parse_load(text: &str) -> (f64, f64) {
    let mut numbers = text.split_ascii_whitespace().map(|n| n.parse().unwrap_or(0.0));
    (numbers.next().unwrap_or(0.0), numbers.next().unwrap_or(0.0))
}

/// How the two sides are kept off each other's core. With one core, or without
/// `taskset`, nothing is pinned and the report says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// Subject on core 0; generator and mock on core 1.
    Split,
    None,
}

impl Pinning {
    pub fn available(cores: usize) -> Pinning {
        if cores >= 2 && runs("taskset") { Pinning::Split } else { Pinning::None }
    }

    /// Moves this process (and what it starts later, unless told otherwise) to
    /// the generator's core.
    pub fn pin_generator(self) {
        if self == Pinning::Split {
            let pid = std::process::id().to_string();
            let _ = Command::new("taskset").args(["-acp", "1", &pid]).output();
        }
    }

    /// Gives this process all cores back.
    pub fn unpin_generator(self, cores: usize) {
        if self == Pinning::Split {
            let pid = std::process::id().to_string();
            let _ = Command::new("taskset").args(["-acp", &format!("0-{}", cores - 1), &pid]).output();
        }
    }
}

/// Whether a program of that name answers `--version`.
pub fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(std::process::Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_cpu_is_told_apart_by_its_number() {
        let text =
            "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Intel(R) Xeon(R) Processor\n";
        assert_eq!(cpu_model(text), "Intel(R) Xeon(R) Processor (family 6 model 167)");
        assert_eq!(cpu_model(""), "unknown CPU");
    }

    #[test]
    fn load_is_read_from_the_first_two_numbers() {
        assert_eq!(parse_load("0.52 1.25 0.59 1/389 12345\n"), (0.52, 1.25));
        assert_eq!(parse_load(""), (0.0, 0.0));
    }
}
