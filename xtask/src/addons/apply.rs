//! Does to a target's tree what was decided.

use std::collections::BTreeSet;

use gangway_artifact::BundlePath;

use super::decide::Job;
use crate::closure::Closure;
use crate::config::Treatment;
use crate::tree::{Node, Tree};

/// Takes out of `tree` the native code that is to be omitted: the files in the package, and its platform packages with
/// all that leads to them. Returns the closure without those packages.
///
/// The package's JavaScript stays: it is what tells the gateway that there is no native code, in its makers' own words.
#[must_use]
pub fn apply(jobs: &[Job], closure: &Closure, tree: &mut Tree) -> Closure {
    let omitted = jobs.iter().filter(|job| matches!(job.treatment, Treatment::Omit { .. }));
    let mut gone: BTreeSet<&BundlePath> = BTreeSet::new();
    for job in omitted {
        for file in &job.binaries {
            tree.remove(file.as_str());
        }
        gone.extend(&job.members);
    }
    let is_gone = |path: &str| {
        gone.iter().any(|folder| {
            path == folder.as_str()
                || path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    if !gone.is_empty() {
        tree.retain(|path, node| match node {
            Node::Link(target) if is_gone(&leads_to(path, target)) => false,
            _ => !is_gone(path.as_str()),
        });
    }
    let mut left = closure.clone();
    left.packages.retain(|package| !is_gone(package.path.as_str()));
    left
}

/// The path a relative link means.
fn leads_to(link: &BundlePath, target: &str) -> String {
    let mut parts: Vec<&str> = link.components().collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}
