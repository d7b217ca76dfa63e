//! What stands against a bundle, and what kept it from being looked at.

use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_abi::check::{Finding, Verdict};
use gangway_artifact::TargetName;
use miette::{Diagnostic, NamedSource, SourceSpan};

use super::Judgement;
use crate::config::{Allow, Config};
use crate::store::StoreError;
use crate::unpacked::UnpackedError;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum VerifyError {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: std::io::Error },
    /// Neither a folder nor an archive.
    #[error("there is no bundle `{path}`")]
    #[diagnostic(help("name an archive that `cargo xtask bundle` made, or a folder"))]
    Nothing { path: Utf8PathBuf },
    /// An archive that cannot be unpacked.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Archive(#[from] UnpackedError),
    /// No room for an unpacked archive.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A name that no bundle may have.
    #[error("`{folder}` holds a file that cannot be in a bundle")]
    Path { folder: Utf8PathBuf, source: gangway_artifact::PathError },
    /// A manifest of another format.
    #[error("cannot read the manifest `{path}`")]
    #[diagnostic(help(
        "a bundle's manifest is of format {}: take the Gangway that made it",
        gangway_artifact::MANIFEST_VERSION
    ))]
    Manifest { path: Utf8PathBuf, source: serde_json::Error },
    /// Nothing says what the files are for.
    #[error(
        "nothing says which target `{path}` is for: there is no bundle's `manifest.json` in it"
    )]
    #[diagnostic(help("name one with `--target TARGET`; `cargo xtask targets` lists them"))]
    NoTarget { path: Utf8PathBuf },
    /// Files that are not what the manifest says.
    #[error("`{path}` is not what its manifest says: {} differ", files(differences.len()))]
    #[diagnostic(help(
        "{}\nit was changed or damaged after it was made: bundle again, or fetch it again",
        listed(differences)
    ))]
    Differs { path: Utf8PathBuf, differences: Vec<String> },
    /// No such check.
    #[error("there is no check `{code}`")]
    #[diagnostic(help("{help}"))]
    NoSuchCheck { code: String, help: String },
    /// Nothing to do.
    #[error("nothing was named to be verified")]
    #[diagnostic(help("name an archive or a folder, or a check with `--explain CODE`"))]
    Unnamed,
}

impl VerifyError {
    /// Whether it is about what the command was told, and not about the bundle.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Nothing { .. } | Self::NoTarget { .. } | Self::NoSuchCheck { .. } | Self::Unnamed
        )
    }
}

/// A bundle that is not to be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{}", headline(target, reasons))]
#[diagnostic(help(
    "mend each, or write a `[[verify.allow]]` with a reason and a last day (docs/verify.md); `--no-verify` makes the \
     bundle as it is and marks it as unverified"
))]
pub struct Refused {
    /// For which target.
    pub target: TargetName,
    /// Each thing that stands against it, at least one.
    #[related]
    pub reasons: Vec<Reason>,
    /// The findings among them.
    pub findings: Vec<Finding>,
}

/// One thing that stands against a bundle.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Reason {
    /// A finding.
    #[error("{}", told(finding))]
    #[diagnostic(help("{}", help(finding)))]
    Finding { finding: Box<Finding> },
    /// An allowance that counts no more.
    #[error("the allowance of `{code}` for `{path}` expired after {day}")]
    #[diagnostic(help(
        "see whether it is still needed and still true, then give it a later `expires` or take it out"
    ))]
    Expired {
        code: &'static str,
        path: String,
        day: String,
        #[source_code]
        text: Arc<NamedSource<String>>,
        #[label("this was its last day")]
        span: SourceSpan,
    },
}

impl Refused {
    /// What a judgement says against the bundle for `target`; `None` if nothing does.
    #[must_use]
    pub fn by(judgement: &Judgement, config: &Config, target: &TargetName) -> Option<Self> {
        let allow = &config.verify.allow;
        let expired = judgement.expired.iter().map(|at| expired(&allow[*at], config));
        let findings: Vec<Finding> = judgement.failing().cloned().collect();
        let broken =
            findings.iter().map(|finding| Reason::Finding { finding: Box::new(finding.clone()) });
        let reasons: Vec<Reason> = broken.chain(expired).collect();
        (!reasons.is_empty()).then(|| Self { target: target.clone(), reasons, findings })
    }
}

fn expired(allow: &Allow, config: &Config) -> Reason {
    Reason::Expired {
        code: allow.code.value.name(),
        path: allow.path.as_str().to_owned(),
        day: allow.expires.value.to_string(),
        text: Arc::clone(&config.source),
        span: allow.expires.span.clone().into(),
    }
}

fn headline(target: &TargetName, reasons: &[Reason]) -> String {
    let findings = reasons.iter().filter(|reason| matches!(reason, Reason::Finding { .. })).count();
    let is_broken = |reason: &&Reason| matches!(reason, Reason::Finding { finding } if finding.verdict == Verdict::Broken);
    match findings {
        more if more > 0 && !reasons.iter().any(|reason| is_broken(&reason)) => format!(
            "it cannot be told whether the bundle runs on systems that `{target}` promises, and the manifest denies that"
        ),
        0 => format!("the manifest's allowances for `{target}` have expired"),
        1 => format!("the bundle would break on systems that `{target}` promises"),
        more => {
            format!("the bundle would break on systems that `{target}` promises, in {more} ways")
        }
    }
}

/// One finding in one sentence or two.
fn told(finding: &Finding) -> String {
    let Finding { code, path, owner, required, offered, .. } = finding;
    let file = match (path.as_str(), owner) {
        ("", _) => "the bundle".to_owned(),
        (path, Some(owner)) => format!("`{path}` of {owner}"),
        (path, None) => format!("`{path}`"),
    };
    let offered = if offered.is_empty() { String::new() } else { format!("; offered: {offered}") };
    format!("[{}] {file} needs {required}{offered}", code.name())
}

fn help(finding: &Finding) -> String {
    let Finding { code, because, symptom, remedy, .. } = finding;
    let lines = [
        (!because.is_empty()).then(|| format!("why: {because}")),
        (!symptom.is_empty()).then(|| format!("a user would see: {symptom}")),
        (!remedy.is_empty()).then(|| format!("the way out: {remedy}")),
        Some(format!("more: cargo xtask verify --explain {}", code.name())),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn files(count: usize) -> String {
    if count == 1 { "one file".to_owned() } else { format!("{count} files") }
}

/// The first of many.
fn listed(differences: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut lines: Vec<&str> = differences.iter().take(SHOWN).map(String::as_str).collect();
    let more = differences.len().saturating_sub(SHOWN);
    let rest = format!("and {more} more");
    if more > 0 {
        lines.push(&rest);
    }
    lines.join("\n")
}
