//! What is tried of a bundle, decided from its manifest alone.
//!
//! Pure. A step that cannot be taken is in the plan all the same, with the reason: nothing is left out in silence.

use std::collections::BTreeMap;
use std::time::Duration;

use gangway_abi::{CLibrary, Facts, Format, Machine};
use gangway_artifact::trial::{self, Probe, Start};
use gangway_artifact::{BundlePath, Cpu, Libc, Manifest, Os, Platform};

use crate::runtime::NodeAbi;

/// How much longer everything takes where instructions are translated.
const EMULATED: u32 = 10;

/// One thing to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is called in reports and in the evidence: the same for the same bundle, wherever it runs.
    pub name: String,
    /// What is done.
    pub action: Action,
}

/// What is done in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The program is run and ends with 0.
    Run(Start),
    /// The program is started, becomes well, and ends when it is asked to.
    Serve(Start, Probe),
    /// The runtime loads the addon and ends with 0.
    Load {
        /// The addon.
        addon: BundlePath,
        /// How long that may take.
        timeout: Duration,
    },
    /// Nothing, for this reason.
    Skip(String),
}

/// Whether instructions are those of the machine's own processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// They are.
    Own,
    /// They are translated.
    Emulated,
}

/// Everything to try. `addons` are the addons of the bundle with what was read from each.
#[must_use]
pub fn steps(
    manifest: &Manifest,
    addons: &BTreeMap<BundlePath, Option<Facts>>,
    pace: Pace,
) -> Vec<Step> {
    let factor = if pace == Pace::Emulated { EMULATED } else { 1 };
    let trial = trial::of(manifest, factor);
    let timeout =
        Duration::from_secs(u64::from(manifest.smoke.timeout_seconds) * u64::from(factor));
    let loads = addons.iter().map(|(addon, facts)| Step {
        name: format!("load {addon}"),
        action: load(manifest, addon, facts.as_ref(), addons, timeout),
    });
    let last = trial.services.into_iter().chain([trial.gateway]);
    trial.entrypoints.into_iter().map(Step::from).chain(loads).chain(last.map(Step::from)).collect()
}

impl From<trial::Step> for Step {
    fn from(step: trial::Step) -> Self {
        let action = match step.action {
            trial::Action::Run(start) => Action::Run(start),
            trial::Action::Serve(start, probe) => Action::Serve(start, probe),
            trial::Action::Skip(reason) => Action::Skip(reason),
        };
        Self { name: step.name, action }
    }
}

fn load(
    manifest: &Manifest,
    addon: &BundlePath,
    facts: Option<&Facts>,
    all: &BTreeMap<BundlePath, Option<Facts>>,
    timeout: Duration,
) -> Action {
    let skip = |reason: &str| Action::Skip(reason.to_owned());
    if manifest.runtime.is_none() {
        return skip("the bundle has no runtime to load it");
    }
    let Some(facts) = facts else { return skip("it is no native code") };
    let other_version = || other_version(manifest, addon, facts, all);
    match foreign(facts, &manifest.platform).or_else(other_version) {
        Some(reason) => Action::Skip(reason),
        None => Action::Load { addon: addon.clone(), timeout },
    }
}

/// Why the runtime would never load it, if so: it is for another `NODE_MODULE_VERSION`, and the folder has one that fits,
/// as packages do that ship a build for each. Alone it is tried, and fails as it would for users.
fn other_version(
    manifest: &Manifest,
    addon: &BundlePath,
    facts: &Facts,
    all: &BTreeMap<BundlePath, Option<Facts>>,
) -> Option<String> {
    let runtime = manifest.runtime.as_ref()?;
    let own = NodeAbi::of(&runtime.engine, &runtime.version)?.modules;
    let made_for = modules(addon, facts).filter(|made_for| *made_for != own)?;
    let folder = |path: &BundlePath| path.as_str().rsplit_once('/').map(|(at, _)| at.to_owned());
    let fits = |(path, facts): (&BundlePath, &Option<Facts>)| {
        folder(path) == folder(addon)
            && facts.as_ref().is_some_and(|facts| {
                foreign(facts, &manifest.platform).is_none()
                    && facts.node().next().is_some()
                    && modules(path, facts).is_none_or(|modules| modules == own)
            })
    };
    all.iter().any(fits).then(|| {
        format!("it is for NODE_MODULE_VERSION {made_for}, and one for {own} lies beside it")
    })
}

/// The one `NODE_MODULE_VERSION` that an addon is for; `None` if it is for every one, or does not say.
fn modules(addon: &BundlePath, facts: &Facts) -> Option<u32> {
    let engine = facts.node().find_map(|node| node.engine.as_ref())?;
    let name = addon.as_str().rsplit('/').next()?;
    engine.modules.map(|(modules, _)| modules).or_else(|| gangway_abi::modules_in_name(name))
}

/// Why the platform would never load it, if so.
fn foreign(facts: &Facts, platform: &Platform) -> Option<String> {
    let wanted = match platform.cpu {
        Cpu::X64 => Machine::X64,
        Cpu::Arm64 => Machine::Arm64,
    };
    let (format, machines) = match facts {
        Facts::Elf(elf) => (Format::Elf, vec![elf.machine]),
        Facts::MachO(file) => {
            (Format::MachO, file.slices.iter().map(|slice| slice.machine).collect())
        }
        Facts::Pe(pe) => (Format::Pe, pe.machine.into_iter().collect()),
        Facts::Archive(_) => return Some("it is a static library".to_owned()),
    };
    let (own, name) = match platform.os {
        Os::Linux => (Format::Elf, "Linux"),
        Os::Darwin => (Format::MachO, "macOS"),
        Os::Win32 => (Format::Pe, "Windows"),
    };
    if format != own {
        return Some(format!("it is not for {name}"));
    }
    // A .NET assembly names none, and is for every one.
    if !machines.is_empty() && !machines.contains(&wanted) {
        return Some("it is for another processor".to_owned());
    }
    match (facts, platform.libc) {
        (Facts::Elf(elf), Some(libc)) => {
            let other = match libc {
                Libc::Glibc => CLibrary::Musl,
                Libc::Musl => CLibrary::Glibc,
            };
            (elf.c_library() == Some(other)).then(|| "it is for another C library".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(more: &str) -> Manifest {
        let text = format!(
            r#"{{"version":1,"builder":"gangway 0.1.0","app":{{"name":"a","version":"1.0.0"}},"target":"linux-x64","platform":{{"os":"linux","cpu":"x64","libc":"glibc"}},"runtime":{{"engine":"node","version":"24.0.0","path":"runtime/bin/node","upstream_sha256":"{}","stripped":false}},"entrypoints":[{{"name":"a"}}],{more}"contract":{{"disk":{{"unpacked":0,"installed":0}}}},"unpacked_size":0,"files":[],"links":[]}}"#,
            "0".repeat(64)
        );
        Manifest::from_json(text.as_bytes()).expect("it is one")
    }

    fn described(manifest: &Manifest) -> String {
        let steps = steps(manifest, &BTreeMap::new(), Pace::Own);
        steps.iter().map(|step| format!("{}: {:?}\n", step.name, step.action)).collect()
    }

    #[test]
    fn a_bundle_that_says_nothing() {
        insta::assert_snapshot!(described(&manifest("")), @r#"
        a --version: Run(Start { program: "bin/a", args: ["--version"], timeout: 60s })
        gateway: Skip("the manifest has no [health] to ask for")
        "#);
    }

    #[test]
    fn a_bundle_that_says_everything() {
        let text = r#""health":{"entrypoint":"g","port":8080,"path":"/health","timeout_seconds":30},
            "services":[
              {"name":"c","kind":"rust","health":{"command":["--health"],"timeout_seconds":5}},
              {"name":"n","kind":"rust"},
              {"name":"p","kind":"rust","health":{"port":9000,"timeout_seconds":5}},
              {"name":"s","kind":"rust","health":{"socket":"s.sock","path":"/x","timeout_seconds":5}}],
            "smoke":{"version_args":[],"gateway_args":["--port","{port}"],"service_args":{"p":["--port={port}"]},"timeout_seconds":7},"#;
        insta::assert_snapshot!(described(&manifest(text)), @r#"
        a: Skip("`version-args` in [smoke] is empty")
        service c: Serve(Start { program: "bin/c", args: [], timeout: 5s }, Command { program: "bin/c", args: ["--health"] })
        service n: Skip("its [[service]] has no `health` to ask for")
        service p: Serve(Start { program: "bin/p", args: ["--port={port}"], timeout: 5s }, Port { fixed: None, path: None })
        service s: Serve(Start { program: "bin/s", args: [], timeout: 5s }, Socket { socket: "s.sock", path: Some("/x") })
        gateway /health: Serve(Start { program: "bin/g", args: ["--port", "{port}"], timeout: 30s }, Port { fixed: None, path: Some("/health") })
        "#);
    }

    #[test]
    fn without_a_place_for_a_port_the_manifests_counts() {
        let text =
            r#""health":{"entrypoint":"a","port":8080,"path":"/health","timeout_seconds":30},"#;
        let steps = steps(&manifest(text), &BTreeMap::new(), Pace::Emulated);
        assert_eq!(steps.len(), 1, "who serves the health is tried by it alone");
        let Action::Serve(start, probe) = &steps[0].action else { panic!("it is served") };
        assert_eq!(*probe, Probe::Port { fixed: Some(8080), path: Some("/health".to_owned()) });
        assert_eq!(start.timeout, Duration::from_secs(300));
    }

    #[test]
    fn windows_has_its_own_ways() {
        let mut windows = manifest(
            r#""services":[{"name":"s","kind":"rust","health":{"socket":"s.sock","timeout_seconds":5}}],"#,
        );
        windows.platform = Platform { os: Os::Win32, cpu: Cpu::X64, libc: None };
        insta::assert_snapshot!(described(&windows), @r#"
        a --version: Run(Start { program: "bin/a.exe", args: ["--version"], timeout: 60s })
        service s: Skip("its health is asked at a Unix socket, and Windows has none")
        gateway: Skip("the manifest has no [health] to ask for")
        "#);
    }

    #[test]
    fn addons_of_other_platforms() {
        let of = |facts: Option<Facts>| {
            let addon = BundlePath::new("app/x.node").expect("plain");
            let alone = BTreeMap::new();
            load(&manifest(""), &addon, facts.as_ref(), &alone, Duration::from_secs(1))
        };
        let elf = |machine| Facts::Elf(gangway_abi::Elf { machine, ..gangway_abi::Elf::default() });
        assert!(matches!(of(Some(elf(Machine::X64))), Action::Load { .. }));
        assert_eq!(
            of(Some(elf(Machine::Arm64))),
            Action::Skip("it is for another processor".to_owned())
        );
        let pe = Facts::Pe(gangway_abi::Pe::default());
        assert_eq!(of(Some(pe)), Action::Skip("it is not for Linux".to_owned()));
        assert_eq!(of(None), Action::Skip("it is no native code".to_owned()));
    }

    #[test]
    fn addons_of_other_versions_of_node() {
        let elf = |machine: Machine, modules: Option<u32>| {
            let engine = modules.map(|modules| gangway_abi::Engine {
                modules: Some((modules, gangway_abi::ModulesSource::Export)),
                imports: Vec::new(),
            });
            let node = gangway_abi::NodeFacts {
                registrations: Vec::new(),
                node_api: None,
                engine,
                libuv: Vec::new(),
            };
            let node = Some(node);
            Some(Facts::Elf(gangway_abi::Elf { machine, node, ..gangway_abi::Elf::default() }))
        };
        let said = |others: &[(&str, Machine, Option<u32>)]| {
            let files = [("app/p/a-127.node", Machine::X64, Some(127))];
            let all: BTreeMap<_, _> = files
                .iter()
                .chain(others)
                .map(|(path, machine, modules)| {
                    (BundlePath::new(*path).expect("plain"), elf(*machine, *modules))
                })
                .collect();
            let steps = steps(&manifest(""), &all, Pace::Own);
            let own = steps.into_iter().find(|step| step.name == "load app/p/a-127.node");
            own.expect("it is planned").action
        };
        // Node 24 is 137.
        let skipped = "it is for NODE_MODULE_VERSION 127, and one for 137 lies beside it";
        let skipped = Action::Skip(skipped.to_owned());
        assert_eq!(said(&[("app/p/a-137.node", Machine::X64, Some(137))]), skipped);
        assert_eq!(said(&[("app/p/a.node", Machine::X64, None)]), skipped);
        for useless in [
            ("app/p/a-115.node", Machine::X64, Some(115)),
            ("app/p/a-137.node", Machine::Arm64, Some(137)),
            ("app/q/a-137.node", Machine::X64, Some(137)),
        ] {
            assert!(matches!(said(&[useless]), Action::Load { .. }), "{useless:?}");
        }
    }
}
