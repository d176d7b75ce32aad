//! How a command fails: one report or several, printed once, at the end.

use std::process::ExitCode;

use api::{ErrorBody, ErrorResponse, Retry};
use report::Report;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    errors: Vec<ErrorBody>,
}

impl Failure {
    /// Prints to standard error, as text or as the API's error object, and
    /// says what to exit with.
    pub fn print(&self, json: bool) -> ExitCode {
        if json {
            let mut errors = self.errors.iter().cloned();
            if let Some(error) = errors.next() {
                let response = ErrorResponse { error, more: errors.collect() };
                eprintln!("{}", serde_json::json!(response));
            }
        } else {
            eprintln!("{self}");
        }
        ExitCode::from(1)
    }
    /// The same, with the places that `place` knows better.
    pub(crate) fn relocated(mut self, place: impl Fn(&str) -> Option<String>) -> Failure {
        for error in &mut self.errors {
            if let Some(better) = error.at.as_deref().and_then(&place) {
                error.at = Some(better);
            }
        }
        self
    }
    pub fn first(&self) -> Option<&ErrorBody> {
        self.errors.first()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&text(error))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// As [`Report`] shows itself.
fn text(error: &ErrorBody) -> String {
    let mut text = format!("error[{}]: {}", error.code, error.message);
    for (open, part) in
        [("\n  --> ", &error.at), ("\n  because: ", &error.because), ("\nhint: ", &error.hint)]
    {
        if let Some(part) = part {
            text.push_str(open);
            text.push_str(part);
        }
    }
    text
}

pub(crate) fn body(report: &Report) -> ErrorBody {
    ErrorBody {
        code: report.code.0.to_owned(),
        message: report.what.clone(),
        at: report.at.clone(),
        because: report.because.clone(),
        hint: report.hint.clone(),
        retry: match report.retry {
            report::Retry::Never => Retry::Never,
            report::Retry::Yes => Retry::Yes,
            report::Retry::After(seconds) => Retry::AfterSeconds(seconds),
        },
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Failure {
        Failure { errors: vec![body(&report)] }
    }
}

impl From<Vec<Report>> for Failure {
    fn from(reports: Vec<Report>) -> Failure {
        Failure { errors: reports.iter().map(body).collect() }
    }
}

impl From<ErrorResponse> for Failure {
    fn from(response: ErrorResponse) -> Failure {
        let mut errors = vec![response.error];
        errors.extend(response.more);
        Failure { errors }
    }
}

/// A file that could not be read or written.
pub(crate) fn file(verb: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    Report::new("CL0004", format!("could not {verb} {}", path.display())).because(error.to_string()).into()
}
