//! Decisions about small closures, as a user reads them.

use std::collections::BTreeMap;

use gangway_artifact::{BundlePath, Platform, TargetName};
use serde_json::json;

use super::*;
use crate::closure::{Closure, Origin, Package};
use crate::config::{Addon, InstallScript, Located, Recipe, ScriptAction, Treatment};
use crate::integrity::Integrity;
use crate::native::Natives;
use crate::store::Store;
use crate::target::Targets;
use crate::testing::{Sandbox, rendered};
use crate::tree::Node;

/// The first bytes of an ELF library for x86-64 or AArch64.
pub(super) fn elf(machine: u8) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 3;
    bytes[18] = machine;
    bytes
}

pub(super) const X64: u8 = 62;
const ARM64: u8 = 183;

/// Packages in a store, and who gets which.
struct Shelf {
    store: Store,
    archives: BTreeMap<Integrity, Tree>,
    packages: Vec<(&'static str, Integrity)>,
    _sandbox: Sandbox,
}

impl Shelf {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let mut shelf =
            Self { store, archives: BTreeMap::new(), packages: Vec::new(), _sandbox: sandbox };
        let install = "prebuild-install || node-gyp rebuild";
        shelf.add("plain", &json!({}), &[]);
        shelf.add(
            "compiled",
            &json!({"scripts": {"install": install}, "dependencies": {"prebuild-install": "7"}}),
            &[("binding.gyp", b"{}")],
        );
        shelf.add(
            "carrier",
            &json!({"dependencies": {"node-gyp-build": "4"}}),
            &[
                ("prebuilds/linux-x64/node.napi.node", &elf(X64)),
                ("prebuilds/linux-arm64/node.abi108.node", &elf(ARM64)),
            ],
        );
        let names = ["family-linux-x64", "family-linux-arm64", "family-wasm32-wasi"];
        let members: BTreeMap<_, _> = names.iter().map(|name| (*name, "1.2.3")).collect();
        shelf.add(
            "family",
            &json!({"optionalDependencies": members}),
            &[("index.js", b"try { require('family-wasm32-wasi') } catch {}")],
        );
        shelf.add("family-linux-x64", &json!({}), &[("a.node", &elf(X64))]);
        shelf.add("family-wasm32-wasi", &json!({}), &[("a.wasm", b"\0asm")]);
        shelf
    }

    fn add(&mut self, name: &'static str, manifest: &serde_json::Value, files: &[(&str, &[u8])]) {
        let manifest = manifest.to_string();
        let mut tree = Tree::default();
        for (path, bytes) in files.iter().chain([&("package.json", manifest.as_bytes())]) {
            let source = self.store.add_bytes(bytes, false).expect("writable");
            tree.insert(BundlePath::new(*path).expect("plain"), Node::File(source));
        }
        let integrity = Integrity::sha512(name.as_bytes());
        self.archives.insert(integrity.clone(), tree);
        self.packages.push((name, integrity));
    }

    /// What is decided when the target gets all packages but those `without`; the platform it is compared with gets all.
    fn decide(
        &self,
        target: &str,
        without: &[&str],
        addons: &[Addon],
        scripts: &[InstallScript],
    ) -> Decision {
        let target = Targets::built_in().find(target).expect("it is one").clone();
        let host = Targets::built_in().find("linux-x64").expect("it is one").platform;
        let library =
            Library::read(&self.archives, &BTreeMap::new(), &Natives::default()).expect("readable");
        let closure = self.closure(without);
        let setting = Setting {
            target: &target.name,
            platform: &target.platform,
            abi: NodeAbi::of("node", "24.21.0"),
            closure: &closure,
            references: &[self.reference(host)],
        };
        decide(&setting, &library, addons, scripts)
    }

    fn closure(&self, without: &[&str]) -> Closure {
        let packages = self.packages.iter().filter(|(name, _)| !without.contains(name));
        let package = |(name, integrity): &(&str, Integrity)| Package {
            path: BundlePath::new(format!("node_modules/{name}")).expect("plain"),
            name: (*name).to_owned(),
            version: "1.2.3".to_owned(),
            origin: Origin::Registry { integrity: integrity.clone(), resolved: None },
            has_install_script: false,
            bins: BTreeMap::new(),
            engines: BTreeMap::new(),
        };
        Closure { packages: packages.map(package).collect(), ..Closure::default() }
    }

    fn reference(&self, platform: Platform) -> Reference {
        let packages = self.packages.iter().map(|(name, _)| (*name).to_owned()).collect();
        Reference { platform, packages }
    }
}

fn located(text: &str) -> Located<String> {
    Located { value: text.to_owned(), span: 0..0 }
}

fn addon(package: &str, targets: &[&str], treatment: Treatment) -> Addon {
    let targets = targets.iter().map(|target| located(target)).collect();
    Addon { package: located(package), targets, treatment }
}

fn omit(package: &str, targets: &[&str]) -> Addon {
    addon(package, targets, Treatment::Omit { reason: "nobody calls it".to_owned() })
}

const FAMILY: &[&str] = &["family-linux-x64", "family-wasm32-wasi"];

#[test]
fn everything_that_is_missing_is_told_with_the_ways_out() {
    let shelf = Shelf::new();
    let mut lacking = BTreeMap::new();
    for (target, without) in [("linux-arm64", FAMILY), ("linux-x64", &[]), ("windows-x64", FAMILY)]
    {
        let name: TargetName = target.parse().expect("a name");
        lacking.insert(name, shelf.decide(target, without, &[], &[]).lacks);
    }
    let mut told = String::new();
    for lacking in Lacking::of_all(lacking) {
        told.push_str(&rendered(&AddonError::Lacking(lacking)));
    }
    insta::assert_snapshot!(told, @r#"
    × 3 packages have no native code for `linux-arm64`:
    │   compiled 1.2.3: no binary is in it; its `install` script calls `prebuild-install`
    │   carrier 1.2.3: `prebuilds/linux-arm64/node.abi108.node` is made for the ABI 108 of Node, and the runtime has 137
    │   family 1.2.3: none of its 3 platform packages is for it
    help: decide for each in gangway.toml: `action = "prebuilt"` takes what its makers publish (`cargo xtask lock` pins it), `action = "build"` compiles its sources for the target, `action = "omit"`
          leaves its native code out
          
          [[addon]]
          package = "carrier"
          targets = ["linux-arm64", "windows-x64"]
          action = "omit"    # it has no `binding.gyp` to build
          reason = ""    # why the gateway works without it
          
          [[addon]]
          package = "compiled"
          targets = ["linux-arm64", "linux-x64", "windows-x64"]
          action = "prebuilt"    # what its install script would download; or
          # action = "build"    # with node-gyp
          # action = "omit"
          # reason = ""    # why the gateway works without it
          
          [[addon]]
          package = "family"
          targets = ["linux-arm64", "windows-x64"]
          action = "omit"    # it has no `binding.gyp` to build
          reason = ""    # why the gateway works without it
    × a package has no native code for `linux-x64`:
    │   compiled 1.2.3: no binary is in it; its `install` script calls `prebuild-install`
    help: the tables to paste are those of `linux-arm64`
    × 3 packages have no native code for `windows-x64`:
    │   compiled 1.2.3: no binary is in it; its `install` script calls `prebuild-install`
    │   carrier 1.2.3: its native code is made for linux arm64, linux x64
    │   family 1.2.3: none of its 3 platform packages is for it
    help: the tables to paste are those of `linux-arm64`
    "#);
}

#[test]
fn what_the_manifest_decides_is_done_and_not_missing() {
    let shelf = Shelf::new();
    let build = Treatment::Build(Recipe::default());
    let addons = [
        omit("carrier", &["linux-arm64"]),
        omit("carrier", &["macos-x64"]),
        addon("compiled", &[], build.clone()),
        omit("family", &[]),
        omit("plain", &["windows-x64"]),
    ];
    let decision = shelf.decide("linux-arm64", FAMILY, &addons, &[]);
    assert_eq!(decision.lacks, []);
    let jobs: Vec<_> = decision
        .jobs
        .iter()
        .map(|job| format!("{} {}", job.treatment.as_str(), job.path))
        .collect();
    assert_eq!(
        jobs,
        ["build node_modules/compiled", "omit node_modules/carrier", "omit node_modules/family"]
    );
    // A download is for what is missing.
    let prebuilt = |package| addon(package, &[], Treatment::Prebuilt { host: None });
    let decision =
        shelf.decide("linux-x64", &[], &[prebuilt("carrier"), prebuilt("compiled")], &[]);
    let jobs: Vec<_> =
        decision.jobs.iter().map(|job| (job.name.as_str(), job.is_downloaded())).collect();
    assert_eq!(jobs, [("compiled", true), ("carrier", false)]);
    // Where the binary is there, the decision counts all the same.
    let addons = [omit("family", &[]), omit("compiled", &[])];
    let decision = shelf.decide("linux-x64", &[], &addons, &[]);
    let jobs: Vec<_> = decision.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(jobs, ["compiled", "family"]);
}

#[test]
fn omitting_takes_the_code_and_leaves_the_script() {
    let shelf = Shelf::new();
    let addons = [omit("family", &[]), omit("carrier", &[]), omit("compiled", &[])];
    let decision = shelf.decide("linux-x64", &[], &addons, &[]);
    let mut tree = Tree::default();
    for (name, integrity) in &shelf.packages {
        for (path, node) in shelf.archives[integrity].iter() {
            let path = BundlePath::new(format!("node_modules/{name}/{path}")).expect("plain");
            tree.insert(path, node.clone());
        }
    }
    let link = |name: &str| BundlePath::new(format!("node_modules/.bin/{name}")).expect("plain");
    tree.insert(link("gone"), Node::Link("../family-linux-x64/a.js".to_owned()));
    tree.insert(link("stays"), Node::Link("../family/a.js".to_owned()));
    let closure = apply(&decision.jobs, &shelf.closure(&[]), &mut tree);
    let left: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
    insta::assert_snapshot!(left.join("\n"), @"
    node_modules/.bin/stays
    node_modules/carrier/package.json
    node_modules/compiled/binding.gyp
    node_modules/compiled/package.json
    node_modules/family/index.js
    node_modules/family/package.json
    node_modules/plain/package.json
    ");
    let packages: Vec<_> = closure.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(packages, ["plain", "compiled", "carrier", "family"]);
}

#[test]
fn a_fallback_counts_where_the_loader_names_it() {
    let shelf = Shelf::new();
    let others = [omit("carrier", &[]), omit("compiled", &[])];
    let decision = shelf.decide("linux-arm64", &["family-linux-x64"], &others, &[]);
    assert_eq!(decision.lacks, []);
    insta::assert_snapshot!(decision.notes.join("\n"), @"`family` runs as WebAssembly (`family-wasm32-wasi`) on linux-arm64: it has no native code for it");
}

#[test]
fn a_script_is_trusted_until_it_has_run() {
    let shelf = Shelf::new();
    let script = InstallScript {
        package: located("compiled"),
        action: ScriptAction::Run,
        writes: Vec::new(),
        env: BTreeMap::new(),
    };
    let decision = shelf.decide("linux-x64", &[], &[], &[script]);
    assert_eq!(decision.lacks, []);
    let expected: Vec<_> = decision.expected.iter().map(|lack| lack.name.as_str()).collect();
    assert_eq!(expected, ["compiled"]);
}
