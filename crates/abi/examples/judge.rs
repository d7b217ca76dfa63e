//! Judges bundles that are described on standard input, one JSON object a line, and prints a line for each: `judge`.
//!
//! The static half of `oracles/truth.py`: the policy there is what was found in the root that the addon is then loaded
//! in, not what some target promises.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead as _, Write as _};

use gangway_abi::check::{
    self, Cpu, Finding, Input, Os, Policy, Role, RuntimeEngine, RuntimeFacts,
};
use gangway_abi::{CLibrary, Facts, Machine, Version};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    machine: Machine,
    c_library: CLibrary,
    glibc: Option<String>,
    libstdcxx: Option<String>,
    musl: Option<String>,
    /// The least processor, as targets write it; without one, it is not judged.
    #[serde(default)]
    cpu: Option<String>,
    /// The names of the libraries of the system.
    libraries: HashSet<String>,
    runtime: Runtime,
    files: Vec<File>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Runtime {
    engine: String,
    version: String,
    modules: u32,
    node_api: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Where it is in the bundle.
    path: String,
    /// Where it is on this machine.
    at: String,
    role: String,
}

#[derive(Serialize)]
struct Judged {
    id: String,
    findings: Vec<Finding>,
}

fn main() -> io::Result<()> {
    let mut read: HashMap<String, Option<Facts>> = HashMap::new();
    let mut output = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let case: Case = serde_json::from_str(&line?)?;
        for file in &case.files {
            if !read.contains_key(&file.at) {
                read.insert(file.at.clone(), gangway_abi::read(&std::fs::read(&file.at)?));
            }
        }
        serde_json::to_writer(&mut output, &judge(case, &read))?;
        writeln!(output)?;
    }
    output.flush()
}

fn judge(case: Case, read: &HashMap<String, Option<Facts>>) -> Judged {
    let version = |text: &Option<String>| text.as_deref().and_then(Version::parse);
    let provides = |library: &str| case.libraries.contains(library);
    let policy = Policy {
        c_library: Some(case.c_library),
        glibc: version(&case.glibc),
        libstdcxx: version(&case.libstdcxx),
        musl: version(&case.musl),
        cpu: case.cpu.as_deref().and_then(Cpu::parse).unwrap_or(Cpu::Other),
        runtime: Some(RuntimeFacts {
            engine: engine(&case.runtime.engine),
            version: case.runtime.version.clone(),
            modules: case.runtime.modules,
            node_api: case.runtime.node_api,
        }),
        ..Policy::new(Os::Linux, case.machine, &provides)
    };
    let files: Vec<check::File<'_>> = case
        .files
        .iter()
        .filter_map(|file| {
            let facts = read.get(&file.at)?.as_ref()?;
            Some(check::File { path: &file.path, owner: None, role: role(&file.role), facts })
        })
        .collect();
    let report = check::check(&Input { files: &files, ..Input::default() }, &policy);
    Judged { id: case.id, findings: report.findings }
}

fn engine(name: &str) -> RuntimeEngine {
    match name {
        "bun" => RuntimeEngine::Bun,
        "deno" => RuntimeEngine::Deno,
        _ => RuntimeEngine::Node,
    }
}

fn role(name: &str) -> Role {
    match name {
        "runtime" => Role::Runtime,
        "addon" => Role::Addon,
        "program" => Role::Program,
        _ => Role::Library,
    }
}
