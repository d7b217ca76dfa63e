//! What is said of a file.

use serde::Serialize;

use super::{Code, File};

/// One statement about one file. The order of fields is the order of a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// Which check says so.
    pub code: Code,
    /// The file; empty when it is the bundle as a whole.
    pub path: String,
    /// The package the file came with.
    pub owner: Option<String>,
    /// What of the file: a library, a symbol, a version.
    pub subject: String,
    /// What it needs.
    pub required: String,
    /// What the target has.
    pub offered: String,
    /// How one follows from the other, or why it cannot be told.
    pub because: String,
    /// What a user would have seen.
    pub symptom: String,
    /// The way out.
    pub remedy: String,
    /// Whether signs were read rather than rules applied.
    pub is_heuristic: bool,
}

/// How bad a finding is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does not run on a system that the target promises.
    Broken,
    /// It cannot be told.
    Unknown,
    /// It runs, and could be better.
    Advice,
}

impl Finding {
    /// With everything left empty that a check still has to say.
    pub(super) fn new(code: Code, verdict: Verdict, file: &File<'_>, subject: &str) -> Self {
        Self {
            path: file.path.to_owned(),
            owner: file.owner.map(str::to_owned),
            ..Self::bundle(code, verdict, subject)
        }
    }

    /// Of no file, but of all of them together.
    pub(super) fn bundle(code: Code, verdict: Verdict, subject: &str) -> Self {
        Self {
            verdict,
            code,
            path: String::new(),
            owner: None,
            subject: subject.to_owned(),
            required: String::new(),
            offered: String::new(),
            because: String::new(),
            symptom: String::new(),
            remedy: String::new(),
            is_heuristic: code.is_heuristic(),
        }
    }
}

/// The first names of a list, and how many more there are.
pub(super) fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> =
        names.iter().take(SHOWN).map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
