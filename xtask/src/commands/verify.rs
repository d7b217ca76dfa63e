//! `cargo xtask verify`: a finished bundle, or any folder, against what a target promises.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use gangway_abi::check::{Needs, Report, Verdict};
use gangway_artifact::{App, TargetName, Verification, report};
use miette::Diagnostic;

use crate::config::{Allow, Config, Unknown, Verify};
use crate::context::Context;
use crate::native::{FactsCache, Natives};
use crate::store::{Store, StoreError};
use crate::target::{Target, TargetError, Targets};
use crate::verify::{self, Contents, Judged, Judgement, Standing, VerifyError, open};

/// What to verify, and by what.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// An archive or a folder.
    pub bundle: &'a Utf8PathBuf,
    /// The target, if not the bundle's own.
    pub target: Option<&'a str>,
    /// The manifest that was asked for, or one that is near: it only counts for its own app.
    pub manifest: Option<(&'a Config, Near)>,
    /// The targets there are.
    pub targets: &'a Targets,
    /// Whether what cannot be told fails, whatever the manifest says.
    pub deny_unknown: bool,
}

/// How a manifest was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Near {
    /// It was named.
    Named,
    /// It lies here or above.
    Found,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Whose bundle it is, if it says so.
    pub app: Option<App>,
    /// By which target it was judged.
    pub target: TargetName,
    /// What was found.
    pub judgement: Judgement,
    /// What it needs of a machine.
    pub needs: Needs,
    /// What the bundle says of its check when it was made.
    pub said: Option<Verification>,
    /// The allowances that were held against it.
    pub verify: Verify,
    /// What a person should know and may mend.
    pub warnings: Vec<String>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "they are the errors of the parts they name")]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// Verifies a bundle.
///
/// # Errors
/// When there is none, it is damaged, or nothing says by which target it is to be judged.
pub fn run(context: &Context, options: &Options<'_>) -> Result<Outcome, Error> {
    let store = Store::open(context)?;
    let natives = Natives::kept_in(FactsCache::in_folder(store.bucket(FactsCache::BUCKET)?));
    let opened = open::open(context, options.bundle, &store)?;
    let own = opened.manifest.as_ref();
    let name = match (options.target, own) {
        (Some(name), _) => name,
        (None, Some(manifest)) => manifest.target.as_str(),
        (None, None) => return Err(VerifyError::NoTarget { path: options.bundle.clone() }.into()),
    };
    let target = options.targets.find(name)?;
    let contents = match own {
        Some(manifest) => Contents::described(&opened.tree, manifest),
        None => Contents::undescribed(&opened.tree),
    };
    let Report { findings, demands } = verify::report(&contents, target, &natives)?;
    let app = own.map(|manifest| manifest.app.clone());
    let mut verify = rules(options, app.as_ref());
    if options.deny_unknown {
        verify.unknown = Unknown::Deny;
    }
    let judgement = verify::allow::judge(findings, &verify, &target.name, context.today);
    let needs = demands.without(&judgement.spared());
    let warnings = warnings(&verify, &judgement, target);
    let said = own.map(|manifest| manifest.verification.clone());
    Ok(Outcome { app, target: target.name.clone(), judgement, needs, said, verify, warnings })
}

/// The `[verify]` that counts: that of a manifest which was named, or which is the same app's.
fn rules(options: &Options<'_>, app: Option<&App>) -> Verify {
    match options.manifest {
        Some((config, Near::Named)) => config.verify.clone(),
        Some((config, Near::Found))
            if app.is_some_and(|app| app.name.as_str() == config.app.name) =>
        {
            config.verify.clone()
        }
        _ => Verify::default(),
    }
}

fn warnings(verify: &Verify, judgement: &Judgement, target: &Target) -> Vec<String> {
    let used: Vec<_> =
        judgement.used.iter().map(|at| verify::allow::allowance(&verify.allow[*at])).collect();
    let seen = BTreeMap::from([(target.name.clone(), used)]);
    // What speaks of several targets may stand for a finding in another one's bundle.
    let own = verify.allow.iter().filter(|allow| is_about_only(allow, &target.name)).cloned();
    let own = Verify { unknown: verify.unknown, allow: own.collect() };
    let unused = verify::allow::unused(&own, std::slice::from_ref(&target.name), &seen);
    let expired = judgement.expired.iter().map(|at| {
        let allow = &verify.allow[*at];
        let (code, path, day) = (allow.code.value.name(), allow.path.as_str(), allow.expires.value);
        format!("the allowance of `{code}` for `{path}` expired after {day}")
    });
    unused.into_iter().map(verify::allow::unused_warning).chain(expired).collect()
}

fn is_about_only(allow: &Allow, target: &TargetName) -> bool {
    matches!(allow.targets.as_slice(), [only] if only.value == *target)
}

impl Outcome {
    /// For programs: what `--json` prints, in the form that the installer's doctor has too.
    #[must_use]
    pub fn json(&self) -> report::Report<&Needs> {
        report::Report {
            version: report::REPORT_VERSION,
            app: self.app.clone(),
            target: Some(self.target.clone()),
            passes: self.judgement.passes(),
            findings: self.judgement.findings.iter().map(|judged| self.told(judged)).collect(),
            needs: Some(&self.needs),
            machine: BTreeMap::new(),
            verification: self.said.clone(),
            warnings: self.warnings.clone(),
        }
    }

    fn told(&self, judged: &Judged) -> report::Finding {
        let finding = &judged.finding;
        report::Finding {
            verdict: match finding.verdict {
                Verdict::Broken => report::Verdict::Broken,
                Verdict::Unknown => report::Verdict::Unknown,
                Verdict::Advice => report::Verdict::Advice,
            },
            number: Some(finding.code.number()),
            code: finding.code.name().to_owned(),
            path: finding.path.clone(),
            owner: finding.owner.clone(),
            subject: finding.subject.clone(),
            required: finding.required.clone(),
            offered: finding.offered.clone(),
            because: finding.because.clone(),
            symptom: finding.symptom.clone(),
            remedy: finding.remedy.clone(),
            is_heuristic: finding.is_heuristic,
            fails: judged.standing == Standing::Fails,
            allowed: match judged.standing {
                Standing::Allowed(at) => Some(self.verify.allow[at].reason.clone()),
                Standing::Fails | Standing::Told => None,
            },
        }
    }

    /// Which bundle this is about, in a few words.
    #[must_use]
    pub fn about(&self) -> String {
        match &self.app {
            Some(app) => format!("{} {} for {}", app.name, app.version, self.target),
            None => format!("on {}", self.target),
        }
    }
}

impl Error {
    /// Whether it is about what the command was told, and not about the bundle.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Verify(error) => error.is_usage(),
            Self::Target(_) => true,
            Self::Store(_) => false,
        }
    }
}
