//! `doctor`: the list of checks and how it looks. `app` makes the checks, for
//! it holds the edges that they look into.

use std::process::ExitCode;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// A few words: `clock`, `disk sync`.
    pub name: &'static str,
    pub verdict: Verdict,
    /// What was found, with its number and unit.
    pub value: String,
    /// What to do; empty when all is well.
    pub hint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// It will not work.
    Bad,
}

impl Check {
    pub fn ok(name: &'static str, value: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Ok, value: value.into(), hint: String::new() }
    }
    pub fn warning(name: &'static str, value: impl Into<String>, hint: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Warning, value: value.into(), hint: hint.into() }
    }
    pub fn bad(name: &'static str, value: impl Into<String>, hint: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Bad, value: value.into(), hint: hint.into() }
    }
}

/// Prints the checks; the exit code is 1 when one is bad.
pub fn print(checks: &[Check], json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::json!({ "checks": checks, "ok": sound(checks) }));
    } else {
        print!("{}", render(checks));
    }
    if sound(checks) { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn sound(checks: &[Check]) -> bool {
    checks.iter().all(|c| c.verdict != Verdict::Bad)
}

/// One line per check, its hint below.
pub fn render(checks: &[Check]) -> String {
    let width = checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let sign = match check.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warning => "warn",
            Verdict::Bad => "BAD ",
        };
        text.push_str(&format!("{sign}  {:width$}  {}\n", check.name, check.value));
        if !check.hint.is_empty() {
            text.push_str(&format!("      {:width$}  hint: {}\n", "", check.hint));
        }
    }
    let bad = checks.iter().filter(|c| c.verdict == Verdict::Bad).count();
    let warnings = checks.iter().filter(|c| c.verdict == Verdict::Warning).count();
    text.push_str(&format!("{} checks, {warnings} warnings, {bad} bad\n", checks.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_list_reads_without_colour() {
        let checks = [
            Check::ok("clock", "2026-11-23, 3 ms from the file system's"),
            Check::warning("open files", "1024", "raise it: `ulimit -n 65536`"),
            Check::bad("key file", "mode 0644", "chmod 600 ~/.local/share/bedplate/keys"),
        ];
        expect![[r#"
            ok    clock       2026-11-23, 3 ms from the file system's
            warn  open files  1024
                              hint: raise it: `ulimit -n 65536`
            BAD   key file    mode 0644
                              hint: chmod 600 ~/.local/share/bedplate/keys
            3 checks, 1 warnings, 1 bad
        "#]]
        .assert_eq(&render(&checks));
        assert!(!sound(&checks) && sound(&checks[..2]));
    }
}
