//! Facts of a whole bundle, judged against what a target promises.
//!
//! Pure: facts and a [`Policy`] in, a [`Report`] out, the same one whatever the order of the files. A file alone says
//! little: whether a library is found depends on who loads it, so processes are put together first as the loader of
//! the target would ([`process`]), and most checks look at those. What cannot be decided is reported as
//! [`Verdict::Unknown`] with the reason, never passed over.

mod addons;
mod apple;
mod bundle;
mod c_library;
mod closure;
mod code;
mod cpu;
mod duplicates;
mod finding;
mod floors;
mod gpu;
mod libuv;
mod machine;
mod needs;
mod opened;
mod pages;
mod policy;
mod process;
#[cfg(test)]
mod properties;
mod protection;
mod symbols;
mod system;
#[cfg(test)]
mod testing;
mod tls;
mod unread;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use code::Code;
pub use finding::{Finding, Verdict};
pub use needs::{Demands, Needs};
pub use policy::{Cpu, Gpu, Os, Policy, RuntimeEngine, RuntimeFacts};

use crate::facts::Facts;
use crate::version::Version;
use bundle::Bundle;

/// A bundle's native files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// The binaries; no two with the same path.
    pub files: &'a [File<'a>],
    /// Symbolic links, to files and to folders.
    pub links: &'a [Link<'a>],
    /// Compiled models for TensorRT.
    pub plans: &'a [Plan<'a>],
}

/// A native file of a bundle.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its place, relative to the bundle, with `/` between folders.
    pub path: &'a str,
    /// The package it came with.
    pub owner: Option<&'a str>,
    /// What it is for.
    pub role: Role,
    /// What was read from it.
    pub facts: &'a Facts,
}

/// What a file is for in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The JavaScript runtime.
    Runtime,
    /// What starts the gateway.
    Launcher,
    /// What the runtime loads (`.node`).
    Addon,
    /// A library.
    Library,
    /// Another program.
    Program,
    /// A program that is started beside the gateway.
    Service,
}

/// A symbolic link of a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Its place, relative to the bundle.
    pub path: &'a str,
    /// What it says, relative to its folder.
    pub target: &'a str,
}

/// A compiled model for TensorRT. The format says neither; who compiles one knows both.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// Its place, relative to the bundle.
    pub path: &'a str,
    /// The package or service it came with.
    pub owner: Option<&'a str>,
    /// The version of TensorRT that made it.
    pub tensorrt: Option<Version>,
    /// The compute capability it was made for, without the dot.
    pub sm: Option<u32>,
}

/// What there is to say of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was found: the worst first, then by check and path.
    pub findings: Vec<Finding>,
    /// What its files need of a machine.
    pub demands: Demands,
}

/// Judges a bundle.
#[must_use]
pub fn check(input: &Input<'_>, policy: &Policy<'_>) -> Report {
    let bundle = Bundle::new(input, policy);
    let processes = process::all(&bundle);
    let mut findings = Vec::new();
    machine::check(&bundle, &mut findings);
    unread::check(&bundle, &mut findings);
    floors::check(&bundle, &processes, &mut findings);
    c_library::check(&bundle, &mut findings);
    closure::check(&bundle, &processes, &mut findings);
    let undefined = symbols::undefined(&bundle, &processes);
    symbols::check(&bundle, &processes, &undefined, &mut findings);
    addons::check(&bundle, &processes, &undefined, &mut findings);
    protection::check(&bundle, &mut findings);
    tls::check(&bundle, &processes, &mut findings);
    pages::check(&bundle, &mut findings);
    cpu::check(&bundle, &mut findings);
    opened::check(&bundle, &mut findings);
    duplicates::check(&bundle, &processes, &mut findings);
    gpu::check(&bundle, &mut findings);
    apple::check(&bundle, &processes, &mut findings);
    windows::check(&bundle, &mut findings);
    let spare = spare(&findings);
    findings.retain(|finding| !spare.contains(&finding.path) || is_spare(finding));
    let demands = needs::demands(&bundle, &processes, &spare);
    Report { findings: distinct(findings), demands }
}

/// Files for another system, C library or engine, beside which their package has the right one: nothing loads them, so
/// what else they lack is of no consequence.
fn spare(findings: &[Finding]) -> BTreeSet<String> {
    findings.iter().filter(|one| is_spare(one)).map(|one| one.path.clone()).collect()
}

fn is_spare(finding: &Finding) -> bool {
    const TELLING: [Code; 4] =
        [Code::Machine, Code::CLibrary, Code::NodeModulesVersion, Code::EngineOnDeno];
    finding.verdict == Verdict::Advice && TELLING.contains(&finding.code)
}

/// A file can be in several processes; what is said of it counts once, in its worst form.
fn distinct(findings: Vec<Finding>) -> Vec<Finding> {
    let mut worst: BTreeMap<(Code, String, String), Finding> = BTreeMap::new();
    for finding in findings {
        let key = (finding.code, finding.path.clone(), finding.subject.clone());
        match worst.get(&key) {
            Some(other) if *other <= finding => {}
            _ => {
                worst.insert(key, finding);
            }
        }
    }
    let mut findings: Vec<Finding> = worst.into_values().collect();
    findings.sort();
    findings
}
