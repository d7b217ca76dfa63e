//! Manifests as files: what is read, and what people see when something is wrong.

use camino::{Utf8Path, Utf8PathBuf};
use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

mod lockfiles;
mod plans;
mod state;
mod verify;

const MINIMAL: &str = r#"format = 1

[app]
name = "echo"
version = "1.0.0"

[runtime]
engine = "node"
version = ">=24"

[[entrypoint]]
name = "echo"
script = "dist/main.js"
"#;

/// A folder with files in it.
struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(TempDir::new().expect("a temporary folder"));
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().expect("it is in a folder")).expect("it is ours");
            std::fs::write(file, text).expect("it can be written to");
        }
        folder
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).expect("temporary folders have plain names")
    }

    fn load(&self) -> Result<Config, ConfigError> {
        load(&self.path().join(FILE_NAME))
    }

    /// The error as a person sees it, with the folder's name left out.
    fn refusal(&self) -> String {
        let error = self.load().expect_err("it should be refused");
        rendered(&error).replace(&format!("{}/", self.path()), "")
    }
}

fn rendered(error: &ConfigError) -> String {
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut text, error)
        .expect("writing to a string");
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn refusal(manifest: &str) -> String {
    Folder::with(&[(FILE_NAME, manifest)]).refusal()
}

/// The refusal of the minimal manifest with `written` in place of `right`.
fn refusal_of(right: &str, written: &str) -> String {
    assert!(MINIMAL.contains(right), "{right}");
    refusal(&MINIMAL.replacen(right, written, 1))
}

/// The refusal of the minimal manifest with `more` below it.
fn refusal_with(more: &str) -> String {
    refusal(&format!("{MINIMAL}{more}"))
}

#[test]
fn every_key_arrives() {
    let folder = Folder::with(&[(FILE_NAME, example()), ("package-lock.json", "{}")]);
    let config = folder.load().expect("the reference's own manifest");
    let shown =
        |list: &[Located<String>]| list.iter().map(|item| item.value.clone()).collect::<Vec<_>>();
    assert_eq!(config.path, folder.path().join(FILE_NAME));
    assert_eq!(config.folder, folder.path());
    assert_eq!((config.app.name.as_str(), config.app.version.as_str()), ("openclaw", "2026.9.6"));
    assert_eq!(shown(&config.app.include), ["**"]);
    assert_eq!(shown(&config.app.exclude), ["docs/**", "*.log"]);
    let version = |text: &str| nodejs_semver::Version::parse(text).expect("a version");
    let runtime = |target: &str| config.runtime(&target.parse().expect("a name"));
    let node = runtime("linux-x64").expect("it has one");
    assert_eq!(node.engine, Engine::Node);
    assert_eq!(node.sources, [RuntimeSource::Official, RuntimeSource::Npm]);
    assert!(node.version.allows("24.21.0") && !node.version.allows("25.0.0"));
    assert!(node.strip);
    assert_eq!(node.keep_environment, ["NODE_OPTIONS"]);
    let bun = runtime("linux-x64-musl").expect("it has one");
    assert_eq!((bun.engine, bun.version.written.as_str()), (Engine::Bun, "^1.4"));
    let own = runtime("jetson").expect("it has one");
    assert_eq!((own.engine, own.sources.as_slice()), (Engine::Node, &[RuntimeSource::File][..]));
    assert_eq!(own.file.as_ref().expect("written").value, "vendor/node-jetson.tar.xz");
    let [cli, gateway] = config.entrypoints.as_slice() else { panic!("there are two") };
    let Start::Script(script) = &cli.start else { panic!("it is a script") };
    assert_eq!(script.value.as_str(), "node_modules/openclaw/openclaw.mjs");
    assert_eq!(gateway.name, "gateway");
    assert_eq!(gateway.args, ["gateway", "run"]);
    assert_eq!(gateway.runtime_args, ["--max-old-space-size=4096"]);
    assert_eq!(config.dependencies.expect("written").lockfile.value, "package-lock.json");
    let [run, ignore] = config.install_scripts.as_slice() else { panic!("there are two") };
    assert_eq!((run.package.value.as_str(), run.action), ("openclaw", ScriptAction::Run));
    assert_eq!(run.writes[0].as_str(), "node_modules/.prisma");
    assert_eq!(run.env["KEY"], "value");
    assert_eq!(ignore.action, ScriptAction::Ignore);
    let build = config.build.expect("written");
    assert_eq!(build.command[..2], ["esbuild", "src/main.ts"]);
    assert_eq!(build.outputs[0].value.as_str(), "dist");
    assert_eq!(build.env["NODE_ENV"], "production");
    assert!(config.tools["esbuild"].value.satisfies(&version("0.28.2")));
    assert!(!config.tools["esbuild"].value.satisfies(&version("0.28.3")));
    assert_eq!(shown(&config.prune.keep), ["node_modules/foo/**/*.map"]);
    assert!(!config.prune.rules["source-maps"].value);
    assert_eq!(config.compression, Compression::Best);
    let health = config.health.expect("written");
    assert_eq!((health.entrypoint.value.as_str(), health.port), ("gateway", 18789));
    assert_eq!((health.path.as_str(), health.timeout_seconds), ("/health", 60));
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = Folder::with(&[(FILE_NAME, MINIMAL)]).load().expect("enough");
    let runtime = config.runtime(&"linux-x64".parse().expect("a name")).expect("it has one");
    let all = [RuntimeSource::Official, RuntimeSource::Npm, RuntimeSource::Pypi];
    assert_eq!(runtime.sources, all);
    assert!(runtime.strip && runtime.keep_environment.is_empty());
    assert!(config.app.include.is_empty() && config.prune.rules.is_empty());
    assert_eq!(config.compression, Compression::Fast);
    assert!(config.dependencies.is_none() && config.build.is_none() && config.health.is_none());
}

#[test]
fn places_are_where_the_values_stand() {
    let config = Folder::with(&[(FILE_NAME, MINIMAL)]).load().expect("enough");
    let at = |span: &Range<usize>| &config.source.inner()[span.clone()];
    let Start::Script(script) = &config.entrypoints[0].start else { panic!("it is a script") };
    assert_eq!(at(&script.span), "\"dist/main.js\"");
    let runtime = config.runtime(&"linux-x64".parse().expect("a name")).expect("it has one");
    assert_eq!(runtime.version.span.as_ref().map(at), Some("\">=24\""));
}

#[test]
fn the_version_comes_from_package_json() {
    let manifest = MINIMAL.replace("version = \"1.0.0\"\n", "");
    let package = ("package.json", r#"{"name": "echo", "version": "3.1.4-beta.1"}"#);
    let config = Folder::with(&[(FILE_NAME, manifest.as_str()), package]).load().expect("enough");
    assert_eq!(config.app.version, "3.1.4-beta.1");
}

#[test]
fn find_climbs() {
    let folder = Folder::with(&[(FILE_NAME, MINIMAL)]);
    let below = folder.path().join("a/b");
    std::fs::create_dir_all(&below).expect("a folder of our own");
    assert_eq!(find(&below), Some(folder.path().join(FILE_NAME)));
    // A folder of that name is no manifest.
    std::fs::create_dir(below.join(FILE_NAME)).expect("a folder of our own");
    assert_eq!(find(&below), Some(folder.path().join(FILE_NAME)));
}

#[test]
fn a_missing_manifest_names_its_path() {
    let error = load(&Utf8PathBuf::from("no/such/gangway.toml")).expect_err("there is none");
    insta::assert_snapshot!(rendered(&error), @"
    × cannot read `no/such/gangway.toml`
    ╰─▶ No such file or directory (os error 2)
    help: check that the file is there and that you may read it
    ");
}

#[test]
fn bytes_that_are_no_text() {
    let folder = Folder::with(&[]);
    std::fs::write(folder.path().join(FILE_NAME), b"format = 1\n# \xff").expect("our own folder");
    let error = folder.load().expect_err("it is no text");
    assert!(matches!(error, ConfigError::NotText { offset: 13, .. }), "{error:?}");
}

#[test]
fn syntax() {
    insta::assert_snapshot!(refusal_of(r#""echo""#, "echo"), @r#"
     × invalid TOML: string values must be quoted, expected literal string
      ╭─[gangway.toml:4:8]
    3 │ [app]
    4 │ name = echo
      ·        ──┬─
      ·          ╰── here
    5 │ version = "1.0.0"
      ╰────
     help: write `name = "echo"`, with quotes
    "#);
}

#[test]
fn the_same_key_twice() {
    insta::assert_snapshot!(refusal_of("version", r#"name = "x"
version"#), @r#"
     × invalid TOML: duplicate key
      ╭─[gangway.toml:5:1]
    4 │ name = "echo"
    5 │ name = "x"
      · ──┬─
      ·   ╰── here
    6 │ version = "1.0.0"
      ╰────
     help: write each key once, and each table under one header; several of a kind take `[[...]]`
    "#);
}

#[test]
fn a_newer_format() {
    insta::assert_snapshot!(refusal(r"format = 2
[application]
"), @r"
     × cannot read format 2 of this file
      ╭─[gangway.toml:1:10]
    1 │ format = 2
      ·          ┬
      ·          ╰── this Gangway reads format 1
    2 │ [application]
      ╰────
     help: update Gangway to one that reads it, or write `format = 1` and the keys of that format
    ");
}

#[test]
fn unknown_keys_all_at_once() {
    let manifest = MINIMAL
        .replace("name = \"echo\"\nscript", "nmae = \"echo\"\nscript")
        .replace("version = \"1.0.0\"", "version = \"1.0.0\"\ncolour = 1\nport = 80");
    insta::assert_snapshot!(refusal(&format!(r"{manifest}runtime_args = []
[prune.rules]
source-map = false
[heath]
")), @r#"
      × `gangway.toml` has 6 faults

    Error:
      × unknown key `colour` in `[app]`
       ╭─[gangway.toml:6:1]
     5 │ version = "1.0.0"
     6 │ colour = 1
       · ───┬──
       ·    ╰── unknown key
     7 │ port = 80
       ╰────
      help: known keys in `[app]`: `exclude`, `include`, `name` and `version`

    Error:
      × unknown key `port` in `[app]`
       ╭─[gangway.toml:7:1]
     6 │ colour = 1
     7 │ port = 80
       · ──┬─
       ·   ╰── unknown key
     8 │
       ╰────
      help: `port` is a key of `[health]` and `[service.health]`

    Error:
      × unknown key `nmae` in `[[entrypoint]]`
        ╭─[gangway.toml:14:1]
     13 │ [[entrypoint]]
     14 │ nmae = "echo"
        · ──┬─
        ·   ╰── unknown key
     15 │ script = "dist/main.js"
        ╰────
      help: did you mean `name`?
            known keys in `[[entrypoint]]`: `args`, `name`, `program`, `runtime-args`, `script` and
            `service`

    Error:
      × unknown key `runtime_args` in `[[entrypoint]]`
        ╭─[gangway.toml:16:1]
     15 │ script = "dist/main.js"
     16 │ runtime_args = []
        · ──────┬─────
        ·       ╰── unknown key
     17 │ [prune.rules]
        ╰────
      help: did you mean `runtime-args`?
            known keys in `[[entrypoint]]`: `args`, `name`, `program`, `runtime-args`, `script` and
            `service`

    Error:
      × unknown key `source-map` in `[prune.rules]`
        ╭─[gangway.toml:18:1]
     17 │ [prune.rules]
     18 │ source-map = false
        · ─────┬────
        ·      ╰── unknown key
     19 │ [heath]
        ╰────
      help: did you mean `source-maps`?
            known keys in `[prune.rules]`: `declarations`, `foreign-prebuilds`, `native-sources`,
            `package-docs`, `source-maps`, `tests`, `tooling` and `typescript-sources`

    Error:
      × unknown key `heath` at the top level
        ╭─[gangway.toml:19:2]
     18 │ source-map = false
     19 │ [heath]
        ·  ──┬──
        ·    ╰── unknown key
        ╰────
      help: did you mean `health`?
            known keys at the top level: `addon`, `app`, `archive`, `build`, `dependencies`,
            `entrypoint`, `format`, `health`, `install-script`, `prune`, `runtime`, `service`,
            `smoke`, `state`, `target`, `tensorrt-plan`, `tools` and `verify`
    "#);
}

#[test]
fn no_format() {
    insta::assert_snapshot!(refusal_of("format = 1", ""), @"
     × missing key `format` at the top level
      ╭─[gangway.toml:1:1]
    1 │
      · ▲
      · ╰── `format` is missing
    2 │
    3 │ [app]
      ╰────
     help: write `format = 1` at the top level
    ");
}

#[test]
fn missing_tables() {
    insta::assert_snapshot!(refusal(r"format = 1
"), @r#"
      × `gangway.toml` has 3 faults

    Error:
      × missing `[app]`
       ╭─[gangway.toml:1:1]
     1 │ format = 1
       · ▲
       · ╰── `app` is missing
       ╰────
      help: add these lines:
            [app]
            name = "my-gateway"

    Error:
      × missing `[runtime]`
       ╭─[gangway.toml:1:1]
     1 │ format = 1
       · ▲
       · ╰── `runtime` is missing
       ╰────
      help: add these lines:
            [runtime]
            engine = "node"

    Error:
      × missing `[[entrypoint]]`
       ╭─[gangway.toml:1:1]
     1 │ format = 1
       · ▲
       · ╰── `entrypoint` is missing
       ╰────
      help: add these lines:
            [[entrypoint]]
            name = "my-gateway"
    "#);
}

#[test]
fn a_missing_key() {
    insta::assert_snapshot!(refusal_of(r#"script = "dist/main.js""#, ""), @r#"
     × the entrypoint `echo` starts nothing
       ╭─[gangway.toml:12:8]
    11 │ [[entrypoint]]
    12 │ name = "echo"
       ·        ───┬──
       ·           ╰── this one
    13 │
       ╰────
     help: write one of `script = "dist/main.js"`, `program = "dist/gateway"` and `service =
           "indexer"`
    "#);
}

#[test]
fn wrong_types() {
    let manifest = MINIMAL
        .replace("\">=24\"", "24")
        .replace("[[entrypoint]]", "[entrypoint]")
        .replace("engine", "strip = \"false\"\nengine");
    let more =
        "[build]\ncommand = \"esbuild src/main.ts\"\noutputs = \"dist\"\nenv = { PORT = 80 }\n";
    insta::assert_snapshot!(refusal(&format!("{manifest}{more}")), @r#"
      × `gangway.toml` has 6 faults

    Error:
      × `runtime.strip` is a string, not `true` or `false`
       ╭─[gangway.toml:8:9]
     7 │ [runtime]
     8 │ strip = "false"
       ·         ───┬───
       ·            ╰── expected `true` or `false`
     9 │ engine = "node"
       ╰────
      help: write `strip = false`, without quotes

    Error:
      × `runtime.version` is a whole number, not a string
        ╭─[gangway.toml:10:11]
      9 │ engine = "node"
     10 │ version = 24
        ·           ─┬
        ·            ╰── expected a string
     11 │
        ╰────
      help: write "24", with quotes

    Error:
      × `entrypoint` is a table, not a list
        ╭─[gangway.toml:12:1]
     11 │
     12 │ [entrypoint]
        · ──────┬─────
        ·       ╰── expected a list
     13 │ name = "echo"
        ╰────
      help: write `[[entrypoint]]`, with two brackets on each side

    Error:
      × `build.command` is a string, not a list
        ╭─[gangway.toml:16:11]
     15 │ [build]
     16 │ command = "esbuild src/main.ts"
        ·           ──────────┬──────────
        ·                     ╰── expected a list
     17 │ outputs = "dist"
        ╰────
      help: write a list, for instance `command = ["esbuild", "src/main.ts", "--bundle",
            "--outdir=dist"]`

    Error:
      × `build.outputs` is a string, not a list
        ╭─[gangway.toml:17:11]
     16 │ command = "esbuild src/main.ts"
     17 │ outputs = "dist"
        ·           ───┬──
        ·              ╰── expected a list
     18 │ env = { PORT = 80 }
        ╰────
      help: write a list, for instance `outputs = ["dist"]`

    Error:
      × `build.env.PORT` is a whole number, not a string
        ╭─[gangway.toml:18:16]
     17 │ outputs = "dist"
     18 │ env = { PORT = 80 }
        ·                ─┬
        ·                 ╰── expected a string
        ╰────
      help: write "80", with quotes
    "#);
}

#[test]
fn an_unknown_engine() {
    insta::assert_snapshot!(refusal_of(r#""node""#, r#""nodejs""#), @r#"
     × unknown value `nodejs` of `runtime.engine`
      ╭─[gangway.toml:8:10]
    7 │ [runtime]
    8 │ engine = "nodejs"
      ·          ────┬───
      ·              ╰── unknown value
    9 │ version = ">=24"
      ╰────
     help: did you mean `node`?
           known values of `engine`: `node`, `bun`, `deno` and `none`
    "#);
}

#[test]
fn a_number_out_of_range() {
    insta::assert_snapshot!(refusal_with(r#"[health]
entrypoint = "echo"
port = 70000
path = "/"
"#), @r#"
     × `health.port` is 70000, not a number from 1 to 65535
       ╭─[gangway.toml:16:8]
    15 │ entrypoint = "echo"
    16 │ port = 70000
       ·        ──┬──
       ·          ╰── out of range
    17 │ path = "/"
       ╰────
     help: write a line such as `port = 8080`
    "#);
}

#[test]
fn an_app_name_with_capitals() {
    insta::assert_snapshot!(refusal_of(r#""echo""#, r#""@Acme/Echo""#), @r#"
     × `@Acme/Echo` cannot name an app: it has upper-case letters
      ╭─[gangway.toml:4:8]
    3 │ [app]
    4 │ name = "@Acme/Echo"
      ·        ──────┬─────
      ·              ╰── it has upper-case letters
    5 │ version = "1.0.0"
      ╰────
     help: write "acme-echo"
    "#);
}

#[test]
fn an_entrypoint_that_is_the_installer() {
    insta::assert_snapshot!(refusal_of(r#"name = "echo"
script"#, r#"name = "echo-installer"
script"#), @r#"
     × `echo-installer` cannot name a program: the app's installer has that name
       ╭─[gangway.toml:12:8]
    11 │ [[entrypoint]]
    12 │ name = "echo-installer"
       ·        ────────┬───────
       ·                ╰── the app's installer has that name
    13 │ script = "dist/main.js"
       ╰────
     help: write a name such as "my-gateway"
    "#);
}

#[test]
fn an_entrypoint_that_is_a_path() {
    insta::assert_snapshot!(refusal_of(r#"name = "echo"
script"#, r#"name = "bin/echo"
script"#), @r#"
     × `bin/echo` cannot name a program: it is a path
       ╭─[gangway.toml:12:8]
    11 │ [[entrypoint]]
    12 │ name = "bin/echo"
       ·        ─────┬────
       ·             ╰── it is a path
    13 │ script = "dist/main.js"
       ╰────
     help: write "bin-echo"
    "#);
}

#[test]
fn entrypoints_of_the_same_name() {
    insta::assert_snapshot!(refusal_with(r#"
[[entrypoint]]
name = "Echo"
script = "x.js"
"#), @r#"
     × entrypoint `echo` appears twice
       ╭─[gangway.toml:12:8]
    11 │ [[entrypoint]]
    12 │ name = "echo"
       ·        ───┬──
       ·           ╰── first here
    13 │ script = "dist/main.js"
    14 │
    15 │ [[entrypoint]]
    16 │ name = "Echo"
       ·        ───┬──
       ·           ╰── again here
    17 │ script = "x.js"
       ╰────
     help: keep one of the two
    "#);
}

#[test]
fn no_entrypoint() {
    insta::assert_snapshot!(refusal(r#"format = 1
entrypoint = []
app = { name = "a", version = "1.0.0" }
runtime = { engine = "node", version = "24" }
"#), @r#"
     × `entrypoint` is empty
      ╭─[gangway.toml:2:14]
    1 │ format = 1
    2 │ entrypoint = []
      ·              ─┬
      ·               ╰── empty
    3 │ app = { name = "a", version = "1.0.0" }
      ╰────
     help: name at least one program:
           [[entrypoint]]
           name = "my-gateway"
           script = "dist/main.js"
    "#);
}

#[test]
fn a_script_outside_the_bundle() {
    insta::assert_snapshot!(refusal_of(r#""dist/main.js""#, r#""../dist/main.js""#), @r#"
     × `../dist/main.js` is not a path inside a bundle: it leads out of the bundle with `..`
       ╭─[gangway.toml:13:10]
    12 │ name = "echo"
    13 │ script = "../dist/main.js"
       ·          ────────┬────────
       ·                  ╰── it leads out of the bundle with `..`
       ╰────
     help: write the path from this manifest's folder, such as "dist/main.js"
    "#);
}

#[test]
fn a_script_with_a_dot() {
    insta::assert_snapshot!(refusal_of(r#""dist/main.js""#, r#""./dist/main.js""#), @r#"
     × `./dist/main.js` is not a path inside a bundle: it has a `.` component
       ╭─[gangway.toml:13:10]
    12 │ name = "echo"
    13 │ script = "./dist/main.js"
       ·          ────────┬───────
       ·                  ╰── it has a `.` component
       ╰────
     help: write "dist/main.js"
    "#);
}

#[test]
fn a_tag_for_a_range() {
    insta::assert_snapshot!(refusal_of(r#"">=24""#, r#""latest""#), @r#"
     × `latest` is not an npm version range
       ╭─[gangway.toml:9:11]
     8 │ engine = "node"
     9 │ version = "latest"
       ·           ────┬───
       ·               ╰── not a range
    10 │
       ╰────
     help: tags move, ranges do not: write one such as "24.x", "^24.16.0" or ">=24.16.0 <25"
    "#);
}

#[test]
fn a_loose_version() {
    insta::assert_snapshot!(refusal_of(r#""1.0.0""#, r#""v1.0""#), @r#"
     × `v1.0` is not a version
      ╭─[gangway.toml:5:11]
    4 │ name = "echo"
    5 │ version = "v1.0"
      ·           ───┬──
      ·              ╰── not a version
    6 │
      ╰────
     help: write "1.0.0"
    "#);
}

#[test]
fn no_version_anywhere() {
    insta::assert_snapshot!(refusal_of(r#"version = "1.0.0"
"#, ""), @r#"
     × the app has no version
      ╭─[gangway.toml:3:1]
    2 │
    3 │ [app]
      · ──┬──
      ·   ╰── there is no package.json beside it
    4 │ name = "echo"
      ╰────
     help: write `version = "1.0.0"` in `[app]`, for instance, or give package.json a `version`
    "#);
}

#[test]
fn globs_that_match_nothing() {
    insta::assert_snapshot!(refusal_of(r#"version = "1.0.0""#, r#"version = "1.0.0"
include = ["./dist/**", "!x", "src/"]
exclude = ["[a"]"#), @r#"
      × `gangway.toml` has 4 faults

    Error:
      × cannot use the glob `./dist/**`: globs are relative to a folder and start with a name
       ╭─[gangway.toml:6:12]
     5 │ version = "1.0.0"
     6 │ include = ["./dist/**", "!x", "src/"]
       ·            ─────┬─────
       ·                 ╰── not usable
     7 │ exclude = ["[a"]
       ╰────
      help: write "dist/**"

    Error:
      × cannot use the glob `!x`: `!` does not negate here
       ╭─[gangway.toml:6:25]
     5 │ version = "1.0.0"
     6 │ include = ["./dist/**", "!x", "src/"]
       ·                         ──┬─
       ·                           ╰── not usable
     7 │ exclude = ["[a"]
       ╰────
      help: list what to take in `include` or `keep`, and what to leave out in `exclude`

    Error:
      × cannot use the glob `src/`: a trailing `/` matches no file
       ╭─[gangway.toml:6:31]
     5 │ version = "1.0.0"
     6 │ include = ["./dist/**", "!x", "src/"]
       ·                               ───┬──
       ·                                  ╰── not usable
     7 │ exclude = ["[a"]
       ╰────
      help: write "src/**"

    Error:
      × cannot use the glob `[a`: unclosed character class; missing ']'
       ╭─[gangway.toml:7:12]
     6 │ include = ["./dist/**", "!x", "src/"]
     7 │ exclude = ["[a"]
       ·            ──┬─
       ·              ╰── not usable
     8 │
       ╰────
      help: escape `[`, `]`, `{`, `}` and `*` with `\` where the character itself is meant
    "#);
}

#[test]
fn a_glob_too_deep_to_match_with() {
    let glob = format!("{}a{}", "{".repeat(400), "}".repeat(400));
    let manifest = format!("{MINIMAL}[prune]\nkeep = [\"{glob}\"]\n");
    let result = Folder::with(&[(FILE_NAME, &manifest)]).load();
    let Err(ConfigError::Fault(fault)) = result else { panic!("it was taken") };
    assert!(matches!(fault.kind, FaultKind::Glob { .. }), "{:?}", fault.kind);
}

#[test]
fn a_health_check_of_nobody() {
    insta::assert_snapshot!(refusal_with(r#"[health]
entrypoint = "ecko"
port = 80
path = "http://localhost/up"
"#), @r#"
      × `gangway.toml` has 2 faults

    Error:
      × no entrypoint is named `ecko`
        ╭─[gangway.toml:15:14]
     14 │ [health]
     15 │ entrypoint = "ecko"
        ·              ───┬──
        ·                 ╰── no such entrypoint
     16 │ port = 80
        ╰────
      help: did you mean `echo`?
            known entrypoints: `echo`

    Error:
      × `http://localhost/up` is not the path of a URL: it does not start with `/`
        ╭─[gangway.toml:17:8]
     16 │ port = 80
     17 │ path = "http://localhost/up"
        ·        ──────────┬──────────
        ·                  ╰── it does not start with `/`
        ╰────
      help: write `path = "/up"`
    "#);
}

#[test]
fn a_malformed_package_json() {
    let package = "{\n  \"name\": \"echo\",\n  \"version\": \"1.0.0\",\n}\n";
    insta::assert_snapshot!(Folder::with(&[(FILE_NAME, MINIMAL), ("package.json", package)]).refusal(), @r#"
     × cannot understand `package.json`: trailing comma
      ╭─[package.json:4:1]
    3 │   "version": "1.0.0",
    4 │ }
      · ▲
      · ╰── here
      ╰────
     help: mend it until `npm pkg get name` works in this folder
    "#);
}

#[test]
fn a_package_json_with_a_loose_version() {
    let manifest = MINIMAL.replace("version = \"1.0.0\"\n", "");
    let files =
        [(FILE_NAME, manifest.as_str()), ("package.json", "{\n  \"version\": \"1.0\"\n}\n")];
    insta::assert_snapshot!(Folder::with(&files).refusal(), @r#"
     × `1.0` is not a version
      ╭─[package.json:2:3]
    1 │ {
    2 │   "version": "1.0"
      ·   ────┬────
      ·       ╰── not a version
    3 │ }
      ╰────
     help: write "1.0.0"; or give `[app]` a `version` of its own
    "#);
}

#[test]
fn install_scripts_that_contradict_themselves() {
    insta::assert_snapshot!(refusal_with(r#"
[[install-script]]
package = "esbuild@0.28"
action = "ignore"
writes = ["dist"]

[[install-script]]
package = "esbuild@0.28"
action = "run"
"#), @r#"
      × `gangway.toml` has 4 faults

    Error:
      × `esbuild@0.28` cannot name an npm package: a version does not belong here
        ╭─[gangway.toml:16:11]
     15 │ [[install-script]]
     16 │ package = "esbuild@0.28"
        ·           ───────┬──────
        ·                  ╰── a version does not belong here
     17 │ action = "ignore"
        ╰────
      help: write "esbuild"

    Error:
      × `writes` has no effect with `action = "ignore"`
        ╭─[gangway.toml:18:10]
     17 │ action = "ignore"
     18 │ writes = ["dist"]
        ·          ────┬───
        ·              ╰── nothing runs
     19 │
        ╰────
      help: take `writes` out, or write `action = "run"`

    Error:
      × install script of `esbuild@0.28` appears twice
        ╭─[gangway.toml:16:11]
     15 │ [[install-script]]
     16 │ package = "esbuild@0.28"
        ·           ───────┬──────
        ·                  ╰── first here
     17 │ action = "ignore"
     18 │ writes = ["dist"]
     19 │
     20 │ [[install-script]]
     21 │ package = "esbuild@0.28"
        ·           ───────┬──────
        ·                  ╰── again here
     22 │ action = "run"
        ╰────
      help: keep one of the two

    Error:
      × `esbuild@0.28` cannot name an npm package: a version does not belong here
        ╭─[gangway.toml:21:11]
     20 │ [[install-script]]
     21 │ package = "esbuild@0.28"
        ·           ───────┬──────
        ·                  ╰── a version does not belong here
     22 │ action = "run"
        ╰────
      help: write "esbuild"
    "#);
}

#[test]
fn a_command_line_in_one_string() {
    insta::assert_snapshot!(refusal_with(r#"[build]
command = ["esbuild src/main.ts"]
outputs = ["node_modules/x"]
env = { "A=B" = "x\u0000" }
"#), @r#"
      × `gangway.toml` has 4 faults

    Error:
      × `esbuild src/main.ts` is one word: no shell splits it
        ╭─[gangway.toml:15:12]
     14 │ [build]
     15 │ command = ["esbuild src/main.ts"]
        ·            ──────────┬──────────
        ·                      ╰── program and arguments in one string
     16 │ outputs = ["node_modules/x"]
        ╰────
      help: write `command = ["esbuild", "src/main.ts"]`

    Error:
      × `node_modules/x` cannot be an output of the build
        ╭─[gangway.toml:16:12]
     15 │ command = ["esbuild src/main.ts"]
     16 │ outputs = ["node_modules/x"]
        ·            ────────┬───────
        ·                    ╰── comes from the lockfile
     17 │ env = { "A=B" = "x\u0000" }
        ╰────
      help: `node_modules` is laid out from the lockfile; let the command write elsewhere, such as to
            `dist`

    Error:
      × `A=B` cannot name an environment variable: it holds `=` or a NUL character
        ╭─[gangway.toml:17:9]
     16 │ outputs = ["node_modules/x"]
     17 │ env = { "A=B" = "x\u0000" }
        ·         ──┬──
        ·           ╰── it holds `=` or a NUL character
        ╰────
      help: write a name such as "NODE_ENV"

    Error:
      × `env` holds a NUL character
        ╭─[gangway.toml:17:17]
     16 │ outputs = ["node_modules/x"]
     17 │ env = { "A=B" = "x\u0000" }
        ·                 ────┬────
        ·                     ╰── in here
        ╰────
      help: no system can pass that character to a program; take it out
    "#);
}

#[test]
fn lists_that_are_empty() {
    insta::assert_snapshot!(refusal_of("engine", r"sources = []
engine"), @r#"
     × `runtime.sources` is empty
      ╭─[gangway.toml:8:11]
    7 │ [runtime]
    8 │ sources = []
      ·           ─┬
      ·            ╰── empty
    9 │ engine = "node"
      ╰────
     help: leave the line out for the default: `sources = ["official", "npm", "pypi"]`
    "#);
}

/// Replaces, removes or doubles a piece of a valid manifest.
fn mutations() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        "\\PC{0,8}",
        "[\\[\\]{}=\"'.,#\\\\\n\r\t 0-9a-z-]{0,12}",
        Just("[[entrypoint]]\n".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("99999999999999999999999999".to_owned()),
        Just("-1".to_owned()),
        Just("\"\"".to_owned()),
        Just("0xff".to_owned()),
        Just("nan".to_owned()),
        Just("1979-05-27".to_owned()),
    ];
    (any::<prop::sample::Index>(), 0..24_usize, pieces).prop_map(|(start, length, piece)| {
        let sample = example();
        let boundary = |at: usize| sample.floor_char_boundary(at.min(sample.len()));
        let start = boundary(start.index(sample.len()));
        format!("{}{piece}{}", &sample[..start], &sample[boundary(start + length)..])
    })
}

/// A manifest whose values are replaced by others of any type.
fn with_other_values() -> impl Strategy<Value = String> {
    let values = prop::sample::select(vec![
        "1",
        "0",
        "-3",
        "70000",
        "9999999999",
        "1.5",
        "true",
        "\"\"",
        "\"x\"",
        "\"\\u0000\"",
        "[]",
        "[1]",
        "[\"a\", \"a\"]",
        "[[]]",
        "[{}]",
        "{}",
        "{ a = 1 }",
        "{ a = \"b\" }",
        "1979-05-27",
        "\"**\"",
        "\"node\"",
    ]);
    prop::collection::vec((any::<prop::sample::Index>(), values), 1..4).prop_map(|changes| {
        let mut lines: Vec<_> = example().lines().map(str::to_owned).collect();
        for (at, value) in changes {
            let line = at.get(&lines).clone();
            if let Some((key, _)) = line.split_once('=') {
                let at = at.index(lines.len());
                lines[at] = format!("{key}= {value}");
            }
        }
        lines.join("\n")
    })
}

/// Loads `manifest`, and shows what is wrong as the command line would.
fn judged(manifest: &str) -> Result<(), TestCaseError> {
    let folder = Folder::with(&[(FILE_NAME, manifest), ("package-lock.json", "{}")]);
    if let Err(error) = folder.load() {
        let text = rendered(&error);
        prop_assert!(!text.contains("Failed to read contents"), "{}", text);
        prop_assert!(
            !text.contains("cannot read the manifest"),
            "the first pass let it through: {}",
            text
        );
        prop_assert!(text.contains(FILE_NAME), "{}", text);
        prop_assert!(text.contains("help:"), "{}", text);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_judged(text in "\\PC{0,80}|(\\PC{0,20}\n){0,4}") {
        judged(&text)?;
    }

    #[test]
    fn any_mutation_is_judged(text in mutations()) {
        judged(&text)?;
    }

    #[test]
    fn any_values_are_judged(text in with_other_values()) {
        judged(&text)?;
    }
}

fn runtime_of(config: &Config, target: &str) -> Option<(Engine, String, Vec<RuntimeSource>)> {
    let runtime = config.runtime(&target.parse().expect("a name"))?;
    Some((runtime.engine, runtime.version.written.clone(), runtime.sources.clone()))
}

#[test]
fn what_a_target_does_not_say_is_as_for_all() {
    use RuntimeSource::{File, Npm, Official, Pypi};
    let manifest = MINIMAL.replace("engine = \"node\"", "engine = \"node\"\nsources = [\"npm\"]");
    let manifest = format!(
        "{manifest}\n[target.a.runtime]\nversion = \"24.1.0\"\n[target.b.runtime]\nengine = \"bun\"\nversion = \"^1\"\n\
         [target.c.runtime]\nversion = \"24.2.0\"\nfile = \"node\"\n"
    );
    let mut config = Folder::with(&[(FILE_NAME, manifest.as_str())]).load().expect("it is right");
    let all = vec![Official, Npm, Pypi];
    let is = |config: &Config, target: &str, engine, version: &str, sources: &[RuntimeSource]| {
        let expected = Some((engine, version.to_owned(), sources.to_vec()));
        assert_eq!(runtime_of(config, target), expected, "{target}");
    };
    is(&config, "x", Engine::Node, ">=24", &[Npm]);
    is(&config, "a", Engine::Node, "24.1.0", &[Npm]);
    is(&config, "b", Engine::Bun, "^1", &all);
    is(&config, "c", Engine::Node, "24.2.0", &[File]);
    config.choose_runtime(&"bun".parse().expect("a choice"));
    is(&config, "x", Engine::Bun, "*", &all);
    is(&config, "b", Engine::Bun, "^1", &all);
    config.choose_runtime(&"deno@^2".parse().expect("a choice"));
    is(&config, "b", Engine::Deno, "^2", &all);
}

#[test]
fn choices_that_are_none() {
    let fault = |text: &str| text.parse::<Choice>().expect_err(text).to_string();
    assert!(fault("nodejs").starts_with("there is no runtime `nodejs`"));
    assert!(fault("none").starts_with("there is no runtime `none`"));
    assert!(fault("bun@").starts_with("`` is not an npm version range"));
}

#[test]
fn a_script_and_nothing_that_runs_it() {
    let manifest = MINIMAL.replace("engine = \"node\"\nversion = \">=24\"", "engine = \"none\"");
    insta::assert_snapshot!(refusal(&manifest), @r#"
     × the entrypoint `echo` is a script, and `engine = "none"` brings nothing that runs it
       ╭─[gangway.toml:12:10]
    11 │ name = "echo"
    12 │ script = "dist/main.js"
       ·          ───────┬──────
       ·                 ╰── a script
       ╰────
     help: name a native program (`program = "..."` or `service = "..."`), or give every target an
           `engine`
    "#);
    let native = manifest.replace("script = \"dist/main.js\"", "program = \"dist/main\"");
    let config = Folder::with(&[(FILE_NAME, native.as_str())]).load().expect("it is right");
    assert!(runtime_of(&config, "x").is_none());
}

#[test]
fn what_a_runtime_cannot_be() {
    insta::assert_snapshot!(refusal_with("\n[target.a.runtime]\nengine = \"bun\"\n"), @r#"
     × missing key `version` in `[target.a.runtime]`
       ╭─[gangway.toml:15:1]
    14 │
    15 │ [target.a.runtime]
       · ─────────┬────────
       ·          ╰── `version` is missing
    16 │ engine = "bun"
       ╰────
     help: write a line such as `version = "^1.4"` in `[target.a.runtime]`
    "#);
    insta::assert_snapshot!(refusal_with("\n[target.a.runtime]\nversion = \"^24\"\nfile = \"node\"\n"), @r#"
     × `^24` is not the version of a file
       ╭─[gangway.toml:16:11]
    15 │ [target.a.runtime]
    16 │ version = "^24"
       ·           ──┬──
       ·             ╰── more than one version
    17 │ file = "node"
       ╰────
     help: a file of your own has one version: write it in full, for instance "24.21.0"
    "#);
    insta::assert_snapshot!(refusal_with("\n[target.a.runtime]\nengine = \"none\"\nversion = \"1\"\n"), @r#"
      × `gangway.toml` has 2 faults

    Error:
      × the entrypoint `echo` is a script, and `engine = "none"` brings nothing that runs it
        ╭─[gangway.toml:13:10]
     12 │ name = "echo"
     13 │ script = "dist/main.js"
        ·          ───────┬──────
        ·                 ╰── a script
     14 │
        ╰────
      help: name a native program (`program = "..."` or `service = "..."`), or give every target an
            `engine`

    Error:
      × `version` has no effect with `engine = "none"`
        ╭─[gangway.toml:17:11]
     16 │ engine = "none"
     17 │ version = "1"
        ·           ─┬─
        ·            ╰── there is no runtime
        ╰────
      help: take `version` out
    "#);
}

#[test]
fn a_target_there_is_not() {
    let manifest = format!("{MINIMAL}\n[target.linux-x46.runtime]\nversion = \"24\"\n");
    let config =
        Folder::with(&[(FILE_NAME, manifest.as_str())]).load().expect("targets are not known yet");
    let error = config.check_targets(&["linux-x64", "macos-x64"]).expect_err("there is none");
    assert_eq!(error.to_string(), "there is no target `linux-x46`");
    config.check_targets(&["linux-x46"]).expect("there is one");
}

#[test]
fn an_entrypoint_starts_one_thing() {
    insta::assert_snapshot!(refusal_of("script = \"dist/main.js\"", "script = \"a.js\"\nservice = \"b\""), @r#"
     × the entrypoint `echo` starts more than one thing
       ╭─[gangway.toml:12:8]
    11 │ [[entrypoint]]
    12 │ name = "echo"
       ·        ───┬──
       ·           ╰── this one
    13 │ script = "a.js"
       ╰────
     help: write one of `script = "dist/main.js"`, `program = "dist/gateway"` and `service =
           "indexer"`
    "#);
    insta::assert_snapshot!(refusal_of("script = \"dist/main.js\"", ""), @r#"
     × the entrypoint `echo` starts nothing
       ╭─[gangway.toml:12:8]
    11 │ [[entrypoint]]
    12 │ name = "echo"
       ·        ───┬──
       ·           ╰── this one
    13 │
       ╰────
     help: write one of `script = "dist/main.js"`, `program = "dist/gateway"` and `service =
           "indexer"`
    "#);
}
