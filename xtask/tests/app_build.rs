//! The gateway's own build, run by the real builder.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::Utf8PathBuf;
use common::{Builder, chain, text};
use gangway_artifact::BundlePath;
use miette::NamedSource;
use xtask::app_build::{self, BuildError, Inputs, Tool};
use xtask::config::{App, Build, Config, Located, Prune, Runtimes, Smoke, Verify};
use xtask::confine::Confinement;
use xtask::pack::Compression;
use xtask::tree::Tree;

fn config() -> Config {
    let folder = Utf8PathBuf::from("/gateway");
    Config {
        path: folder.join("gangway.toml"),
        folder,
        source: Arc::new(NamedSource::new("gangway.toml", "outputs = [\"dist\"]\n".to_owned())),
        app: App {
            name: "gateway".to_owned(),
            version: "1.0.0".to_owned(),
            include: Vec::new(),
            exclude: Vec::new(),
        },
        entrypoints: Vec::new(),
        runtimes: Runtimes::none(),
        dependencies: None,
        install_scripts: Vec::new(),
        addons: Vec::new(),
        build: None,
        tools: BTreeMap::new(),
        prune: Prune::default(),
        compression: Compression::default(),
        health: None,
        smoke: Smoke::default(),
        targets: Vec::new(),
        services: Vec::new(),
        state: Vec::new(),
        plans: Vec::new(),
        verify: Verify::default(),
    }
}

struct Gateway {
    builder: Builder,
    app: Tree,
    closure: Tree,
    tool: Tree,
}

impl Gateway {
    fn new() -> Self {
        let builder = Builder::new();
        let app = builder.tree(&[("src/main.ts", "source"), ("package.json", "{}")]);
        let closure = builder.tree(&[
            ("node_modules/.bin/lint", "->../lint/cli.sh"),
            ("node_modules/lint/cli.sh*", "#!/bin/sh\necho linted\n"),
            ("node_modules/lint/data", "theirs"),
        ]);
        let tool = builder.tree(&[
            (
                "bin/bundle*",
                "#!/bin/sh\nmkdir -p dist && sed s/source/bundled/ \"$1\" > dist/main.js\n",
            ),
            ("LICENSE", "free"),
        ]);
        Self { builder, app, closure, tool }
    }

    fn build(&self, script: &str, confinement: Confinement) -> Result<Tree, BuildError> {
        let build = Build {
            command: ["/bin/sh", "-e", "-c", script].map(str::to_owned).to_vec(),
            outputs: vec![Located { value: BundlePath::new("dist").expect("plain"), span: 11..17 }],
            env: BTreeMap::from([("MODE".to_owned(), "production".to_owned())]),
        };
        let tools = [Tool { name: "bundle", tree: &self.tool, programs: "bin" }];
        let inputs = Inputs { app: &self.app, closure: &self.closure, tools: &tools };
        app_build::run(
            &self.builder.context,
            &self.builder.store,
            &config(),
            &build,
            inputs,
            confinement,
        )
    }

    fn succeeds(&self, script: &str, confinement: Confinement) -> Tree {
        self.build(script, confinement).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }
}

#[test]
fn outputs_come_back_and_nothing_else() {
    let gateway = Gateway::new();
    let script = "bundle src/main.ts; lint > dist/lint; echo $MODE > dist/mode; echo x > else; mkdir node_modules/.cache; \
                  echo x > node_modules/.cache/x; echo new > src/main.ts";
    for confinement in [Confinement::Required, Confinement::Unconfined] {
        let outputs = gateway.succeeds(script, confinement);
        let paths: Vec<_> = outputs.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["dist/lint", "dist/main.js", "dist/mode"]);
        assert_eq!(text(&outputs, "dist/main.js"), "bundled");
        assert_eq!(text(&outputs, "dist/lint"), "linted\n");
        assert_eq!(text(&outputs, "dist/mode"), "production\n");
        assert_eq!(text(&gateway.app, "src/main.ts"), "source");
    }
}

#[test]
fn packages_and_tools_cannot_be_altered() {
    let gateway = Gateway::new();
    for script in [
        "echo new > node_modules/lint/data",
        "chmod 600 node_modules/lint/data",
        "rm node_modules/lint/data",
        "mv node_modules/lint node_modules/else",
        "echo new > $(command -v bundle)",
    ] {
        let error = gateway.build(script, Confinement::Required);
        assert!(matches!(error, Err(BuildError::Failed { .. })), "{script}: {error:?}");
        gateway
            .succeeds(&format!("mkdir dist; echo x > dist/x; {script}"), Confinement::Unconfined);
        assert_eq!(text(&gateway.closure, "node_modules/lint/data"), "theirs", "{script}");
        assert!(text(&gateway.tool, "bin/bundle").starts_with("#!/bin/sh\nmkdir"), "{script}");
    }
}

#[test]
fn the_folder_is_the_same_wherever_the_cache_is() {
    let script = "mkdir dist; pwd > dist/pwd; env | sort >> dist/pwd";
    let [one, other] = [Gateway::new(), Gateway::new()]
        .map(|gateway| text(&gateway.succeeds(script, Confinement::Required), "dist/pwd"));
    assert_eq!(one, other);
    assert!(one.starts_with("/gangway/app\n"), "{one}");
}

#[test]
fn an_unchanged_gateway_is_not_built_again() {
    let mut gateway = Gateway::new();
    let script = "mkdir dist; cat /proc/sys/kernel/random/uuid > dist/id";
    let go = |gateway: &Gateway| text(&gateway.succeeds(script, Confinement::Required), "dist/id");
    let first = go(&gateway);
    assert_eq!(go(&gateway), first);
    gateway.app.extend(gateway.builder.tree(&[("src/main.ts", "other")]));
    let second = go(&gateway);
    assert_ne!(second, first);
    gateway.tool.extend(gateway.builder.tree(&[("LICENSE", "other")]));
    assert_ne!(go(&gateway), second);
}

#[test]
fn a_missing_output_shows_what_was_made_instead() {
    let gateway = Gateway::new();
    let error = gateway
        .build("mkdir build; echo x > build/main.js; echo x > src/main.ts", Confinement::Required);
    insta::assert_snapshot!(error.expect_err("it made no `dist`"), @"the build did not make `dist`; it made `build/main.js`, `src/main.ts`");
    let error = gateway.build("mkdir dist", Confinement::Required);
    insta::assert_snapshot!(error.expect_err("an empty folder is nothing"), @"the build did not make `dist`; it made nothing");
}

#[test]
fn a_failure_shows_what_the_command_said() {
    let gateway = Gateway::new();
    let error = gateway.build("echo src/main.ts:1: what >&2; exit 2", Confinement::Required);
    let error = chain(&error.expect_err("it fails"));
    insta::assert_snapshot!(error.replace(gateway.builder.context.cache.as_str(), "CACHE"), @"
    the build of `gateway` failed
    could not build `gateway`: `/bin/sh -e -c 'echo src/main.ts:1: what >&2; exit 2'` ended with exit status 2; it said:
      src/main.ts:1: what
    all of its output is in `CACHE/logs/build-gateway.log`
    ");
    let log = gateway.builder.context.cache.join("logs/build-gateway.log");
    assert_eq!(fs_err::read_to_string(log).expect("it is kept"), "src/main.ts:1: what\n");
}
