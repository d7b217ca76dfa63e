//! Compiled models for TensorRT: which files are some, and what is said of them.

use std::io::{self, Read as _};

use gangway_abi::check::Plan;
use gangway_artifact::{BundlePath, TargetName, TensorRtPlan};

use super::VerifyError;
use super::place::Owners;
use crate::config;
use crate::tree::{Source, Tree};

/// A plan in a tree.
#[derive(Debug)]
pub(super) struct Found<'a> {
    path: &'a str,
    owner: Option<String>,
    declared: Option<(String, u32)>,
}

/// What the manifest declares of a tree's files, for this target; where two declarations mean one file, the first counts.
#[must_use]
pub fn declared(
    tree: &Tree,
    plans: &[config::TensorRtPlan],
    target: &TargetName,
) -> Vec<TensorRtPlan> {
    let ours: Vec<_> = plans.iter().filter(|plan| plan.is_about(target)).collect();
    let plan = |(path, _): (&BundlePath, &Source)| {
        let plan = ours.iter().find(|plan| plan.path.matches(path.as_str()))?;
        let (tensorrt, sm) = (plan.tensorrt.clone(), plan.sm.clone());
        Some(TensorRtPlan { path: path.clone(), tensorrt, sm })
    };
    if ours.is_empty() { Vec::new() } else { tree.files().filter_map(plan).collect() }
}

/// A warning for every declaration for this target that means no file.
pub fn unused(
    tree: &Tree,
    plans: &[config::TensorRtPlan],
    target: &TargetName,
) -> impl Iterator<Item = String> {
    let ours = plans.iter().filter(move |plan| plan.is_about(target));
    let idle = ours.filter(|plan| !tree.files().any(|(path, _)| plan.path.matches(path.as_str())));
    idle.map(|plan| {
        format!("`[[tensorrt-plan]]` speaks of `{}`, and there is no such file", plan.path.as_str())
    })
}

/// The plans of a tree: what is declared, and what is named like one and is no text.
pub(super) fn find<'a>(
    tree: &'a Tree,
    declared: &[TensorRtPlan],
    owners: &mut Owners<'_>,
) -> Result<Vec<Found<'a>>, VerifyError> {
    let mut found = Vec::new();
    for (path, source) in tree.files() {
        let of = declared.iter().find(|plan| plan.path == *path);
        if of.is_none() && !(is_named_like_one(path.as_str()) && is_binary(source)?) {
            continue;
        }
        let declared = of.and_then(|plan| {
            let sm = plan.sm.to_string().replace('.', "").parse().ok()?;
            Some((plan.tensorrt.to_string(), sm))
        });
        found.push(Found { path: path.as_str(), owner: owners.of(path.as_str()), declared });
    }
    Ok(found)
}

impl Found<'_> {
    /// As the checks want it.
    pub(super) fn as_plan(&self) -> Plan<'_> {
        let declared = self.declared.as_ref();
        Plan {
            path: self.path,
            owner: self.owner.as_deref(),
            tensorrt: declared.and_then(|(version, _)| gangway_abi::Version::parse(version)),
            sm: declared.map(|(_, sm)| *sm),
        }
    }
}

fn is_named_like_one(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("engine" | "plan" | "trt"))
}

/// Plans of other trades are texts.
fn is_binary(source: &Source) -> Result<bool, VerifyError> {
    const HEAD: u64 = 4096;
    let read = || -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        std::fs::File::open(source.path())?.take(HEAD).read_to_end(&mut head)?;
        Ok(head)
    };
    let head = read().map_err(|error| VerifyError::Read { path: source.path(), source: error })?;
    Ok(head.contains(&0))
}

#[cfg(test)]
mod tests {
    use gangway_abi::check::Verdict;

    use super::super::{Contents, report};
    use crate::native::Natives;
    use crate::target::Targets;
    use crate::testing::Sandbox;
    use crate::tree::{Node, Tree};

    use super::*;

    #[test]
    fn what_nobody_declares_is_unknown() {
        let sandbox = Sandbox::new();
        let mut tree = Tree::default();
        for (name, bytes) in
            [("a.engine", &b"ftrt\0\0"[..]), ("b.plan", b"\0\0"), ("c.plan", b"buy milk\n")]
        {
            let path = sandbox.write(name, bytes);
            let digest = gangway_artifact::Digest::of(bytes);
            let source = Source::new(path, bytes.len() as u64, false, digest);
            let place = BundlePath::new(format!("app/{name}")).expect("a path");
            tree.insert(place, Node::File(source));
        }
        let said = |declared: &[(&str, &str, &str)]| {
            let plan = |(path, tensorrt, sm): &(&str, &str, &str)| TensorRtPlan {
                path: BundlePath::new(*path).expect("a path"),
                tensorrt: tensorrt.parse().expect("a version"),
                sm: sm.parse().expect("a version"),
            };
            let plans = declared.iter().map(plan).collect();
            let contents = Contents { plans, ..Contents::undescribed(&tree) };
            let targets = Targets::built_in();
            let target = targets.find("jetson").expect("it is built in");
            let report = report(&contents, target, &Natives::default()).expect("readable");
            let told = report.findings.into_iter().map(|one| (one.path, one.verdict));
            told.collect::<Vec<_>>()
        };
        let (a, b) = ("app/a.engine".to_owned(), "app/b.plan".to_owned());
        assert_eq!(said(&[]), [(a.clone(), Verdict::Unknown), (b.clone(), Verdict::Unknown)]);
        let right = ("app/a.engine", "10.3.0", "8.7");
        assert_eq!(said(&[right]), [(b.clone(), Verdict::Unknown)]);
        assert_eq!(said(&[right, ("app/b.plan", "8.6.1", "8.7")]), [(b, Verdict::Broken)]);
        assert_eq!(said(&[("app/c.plan", "10.3.0", "7.2")])[0].1, Verdict::Broken);
    }
}
