//! Lockfiles of pnpm and Bun, and one package of a workspace.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::*;

/// What is read for the gateway in `member`, with the patches that are named being there.
fn project(
    file: &str,
    text: &str,
    member: &str,
    package_json: Option<&str>,
) -> Result<Closure, ClosureError> {
    let lockfile = Utf8Path::new(file);
    let patches = patch_files(text, lockfile)?;
    let patches = patches.into_iter().map(|path| (path, PATCH.to_owned())).collect();
    let member = Utf8Path::new(member);
    Project { lockfile, text, member, package_json, patches: &patches }
        .closure(&LINUX, Scope::Production)
}

const PATCH: &str = "--- a/index.js\n+++ b/index.js\n@@ -1 +1 @@\n-old\n+new\n";

/// Every package with its place and where it comes from, and every link.
fn summary(closure: &Closure) -> String {
    let package = |package: &Package| {
        let origin = match &package.origin {
            Origin::Registry { .. } => String::new(),
            Origin::Url { url, .. } => format!(" from {url}"),
            Origin::File { path, .. } => format!(" from the file {path}"),
            Origin::Folder { path } => format!(" from the folder {path}"),
            Origin::Bundled => " in the package around it".to_owned(),
        };
        let patched = if closure.patches.contains_key(&package.path) { ", patched" } else { "" };
        format!("{}: {} {}{origin}{patched}\n", package.path, package.name, package.version)
    };
    let packages = closure.packages.iter().map(package);
    let links = closure.links.iter().map(|link| format!("{} -> {}\n", link.path, link.folder));
    packages.chain(links).collect()
}

fn pnpm(importers: &str, packages: &[(&str, &str)], snapshots: &str) -> String {
    let packages: String = packages
        .iter()
        .map(|(key, more)| {
            let integrity = integrity(key);
            format!("  '{key}':\n    resolution: {{integrity: {integrity}}}\n{more}")
        })
        .collect();
    format!(
        "lockfileVersion: '9.0'\n\nimporters:\n{importers}\npackages:\n{packages}\nsnapshots:\n{snapshots}"
    )
}

fn bun(workspaces: &Value, packages: &Value) -> String {
    let lock = json!({ "lockfileVersion": 1, "workspaces": workspaces, "packages": packages });
    serde_json::to_string_pretty(&lock).expect("values can be written").replace("\"\n", "\",\n")
}

fn bun_package(id: &str, information: &Value) -> Value {
    json!([id, "", information, integrity(id)])
}

fn fails(closure: Result<Closure, ClosureError>) -> String {
    rendered(&closure.expect_err("it is wrong"))
}

#[test]
fn pnpm_has_peers_aliases_and_other_platforms() {
    let importers = "  .:
    dependencies:
      old: {specifier: 'npm:ms@1', version: ms@1.0.0}
      react: {specifier: ^18.0.0, version: 18.0.0}
      store: {specifier: ^1.0.0, version: 1.0.0(react@18.0.0)}
      wide: {specifier: ^1.0.0, version: 1.0.0(react@17.0.0)}
    optionalDependencies:
      mac: {specifier: ^1.0.0, version: 1.0.0}
    devDependencies:
      tool: {specifier: ^1.0.0, version: 1.0.0}
";
    let packages = [
        ("ms@1.0.0", ""),
        ("ms@2.0.0", ""),
        ("react@17.0.0", ""),
        ("react@18.0.0", ""),
        ("store@1.0.0", "    peerDependencies: {react: '*'}\n"),
        ("wide@1.0.0", "    engines: {node: '>=18'}\n"),
        ("mac@1.0.0", "    os: [darwin]\n"),
        ("only-mac@1.0.0", ""),
        ("tool@1.0.0", ""),
    ];
    let snapshots = "  ms@1.0.0: {}
  ms@2.0.0: {}
  react@17.0.0: {dependencies: {ms: 2.0.0}}
  react@18.0.0: {dependencies: {ms: 2.0.0}}
  store@1.0.0(react@17.0.0): {dependencies: {react: 17.0.0}}
  store@1.0.0(react@18.0.0): {dependencies: {react: 18.0.0}}
  wide@1.0.0(react@17.0.0): {dependencies: {store: 1.0.0(react@17.0.0), react: 17.0.0}}
  mac@1.0.0: {dependencies: {only-mac: 1.0.0}}
  only-mac@1.0.0: {}
  tool@1.0.0: {}
";
    let text = pnpm(importers, &packages, snapshots);
    let closure = project("pnpm-lock.yaml", &text, "", None).expect("is fine");
    assert_snapshot!(summary(&closure), @"
    node_modules/ms: ms 2.0.0
    node_modules/old: ms 1.0.0
    node_modules/react: react 18.0.0
    node_modules/store: store 1.0.0
    node_modules/wide: wide 1.0.0
    node_modules/wide/node_modules/react: react 17.0.0
    node_modules/wide/node_modules/store: store 1.0.0
    ");
    assert!(closure.is_bare);
    let gated: Vec<_> = closure.gated.iter().map(BundlePath::as_str).collect();
    assert_eq!(gated, ["node_modules/mac", "node_modules/only-mac"]);
}

#[test]
fn pnpm_has_other_sources() {
    let importers = "  .:
    dependencies:
      copied: {specifier: 'file:vendor/copied', version: 'file:vendor/copied'}
      file: {specifier: 'file:vendor/file.tgz', version: 'file:vendor/file.tgz'}
      linked: {specifier: 'link:vendor/linked', version: 'link:vendor/linked'}
      outside: {specifier: 'link:../outside', version: 'link:../outside'}
      url: {specifier: 'https://host.example/url.tgz', version: 'https://host.example/url.tgz'}
";
    let (url, file) = (integrity("url"), integrity("file"));
    let text = format!(
        "lockfileVersion: '9.0'
importers:
{importers}
packages:
  copied@file:vendor/copied:
    resolution: {{directory: vendor/copied, type: directory}}
  file@file:vendor/file.tgz:
    resolution: {{integrity: {file}, tarball: file:vendor/file.tgz}}
    version: 1.0.0
  url@https://host.example/url.tgz:
    resolution: {{integrity: {url}, tarball: https://host.example/url.tgz}}
    version: 2.0.0
snapshots:
  copied@file:vendor/copied: {{}}
  file@file:vendor/file.tgz: {{}}
  url@https://host.example/url.tgz: {{}}
"
    );
    assert_snapshot!(summary(&project("pnpm-lock.yaml", &text, "", None).expect("is fine")), @"
    node_modules/copied: copied  from the folder vendor/copied
    node_modules/file: file 1.0.0 from the file vendor/file.tgz
    node_modules/outside: outside  from the folder ../outside
    node_modules/url: url 2.0.0 from https://host.example/url.tgz
    vendor/linked: linked  from the folder vendor/linked
    node_modules/linked -> vendor/linked
    ");
    let git = text.replace(
        &format!("{{integrity: {url}, tarball: https://host.example/url.tgz}}"),
        "{type: git, repo: https://host.example/url.git, commit: 0387a73a4aa0f5041927f348b1ec478cd0507dea}",
    );
    assert_snapshot!(fails(project("pnpm-lock.yaml", &git, "", None)), @"
      × `pnpm-lock.yaml` has 1 entry that cannot be bundled

    Error:
      × packages from git have no integrity:
      │   `node_modules/url` 2.0.0, from `git+https://host.example/
      │ url.git#0387a73a4aa0f5041927f348b1ec478cd0507dea`
      help: depend on the URL of a release tarball, so that its integrity is recorded; or publish the
            package to a registry, or pack it with `npm pack` and depend on the tarball as `file:`
    ");
}

#[test]
fn a_workspace_package_gets_what_it_needs() {
    let read = |file: &str, text: &str| {
        summary(
            &project(file, text, "apps/gateway", None)
                .unwrap_or_else(|error| panic!("{}", rendered(&error))),
        )
    };
    let pnpm = include_str!("../testdata/pnpm-workspace/pnpm-lock.yaml");
    // The digest is that of the true patch.
    let pnpm = pnpm.replace(
        "d14da05674fabec15683a13040bd91aba35cf6d9c18cc7828cc774d4cb843c50",
        &gangway_artifact::Digest::of(PATCH).to_string(),
    );
    let pnpm = read("pnpm-lock.yaml", &pnpm);
    assert_snapshot!(pnpm, @"
    node_modules/@me/lib: @me/lib  from the folder packages/lib
    node_modules/@me/lib/node_modules/is-odd: is-odd 2.0.0
    node_modules/@me/lib/node_modules/ms: ms 2.0.0
    node_modules/@me/util: @me/util  from the folder packages/util
    node_modules/debug: debug 4.3.4
    node_modules/debug/node_modules/ms: ms 2.1.2
    node_modules/is-number: is-number 4.0.0
    node_modules/is-odd: is-odd 3.0.1
    node_modules/is-odd/node_modules/is-number: is-number 6.0.0, patched
    node_modules/ms: ms 2.1.3
    node_modules/once: once 1.4.0
    node_modules/wrappy: wrappy 1.0.1
    ");
    let bun = read("bun.lock", include_str!("../testdata/bun-workspace/bun.lock"));
    let named = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim_end_matches(", patched"));
        lines.filter(|line| !line.contains("folder")).map(str::to_owned).collect()
    };
    assert_eq!(named(&bun), named(&pnpm));
    let npm = read("package-lock.json", include_str!("../testdata/npm-monorepo/package-lock.json"));
    assert_eq!(named(&npm), named(&pnpm));
}

#[test]
fn bun_has_workspaces_bundles_and_peers() {
    let text = bun(
        &json!({
            "": {"name": "root", "dependencies": {"a": "1", "lib": "workspace:*"}, "devDependencies": {"tool": "1"}},
            "packages/lib": {"name": "lib", "version": "1.0.0", "dependencies": {"ms": "2"}},
        }),
        &json!({
            "a": bun_package("a@1.0.0", &json!({
                "dependencies": {"inner": "1", "ms": "1"}, "peerDependencies": {"tool": "1", "peer": "1"},
                "optionalPeers": ["tool"],
            })),
            "a/inner": bun_package("inner@1.0.0", &json!({"bundled": true})),
            "lib": ["lib@workspace:packages/lib"],
            "lib/ms": bun_package("ms@2.0.0", &json!({})),
            "ms": bun_package("ms@1.0.0", &json!({"os": "!win32"})),
            "peer": bun_package("peer@1.0.0", &json!({"optionalDependencies": {"mac": "1"}})),
            "mac": bun_package("mac@1.0.0", &json!({"os": "darwin"})),
            "tool": bun_package("tool@1.0.0", &json!({})),
        }),
    );
    let closure = project("bun.lock", &text, "", None).expect("is fine");
    assert_snapshot!(summary(&closure), @"
    node_modules/a: a 1.0.0
    node_modules/a/node_modules/inner: inner 1.0.0 in the package around it
    node_modules/ms: ms 1.0.0
    node_modules/peer: peer 1.0.0
    packages/lib: lib 1.0.0 from the folder packages/lib
    packages/lib/node_modules/ms: ms 2.0.0
    node_modules/lib -> packages/lib
    ");
}

#[test]
fn versions_that_are_not_read() {
    assert_snapshot!(fails(project("bun.lock", r#"{"lockfileVersion": 3}"#, "", None)), @"
    × `bun.lock` has lockfile version `3`; versions 0 to 2 can be read
    help: a newer Bun wrote it: update Gangway to one that reads it, or write the lockfile with an
          older Bun
    ");
    assert_snapshot!(fails(project("pnpm-lock.yaml", "lockfileVersion: '10.0'\n", "", None)), @"
    × `pnpm-lock.yaml` has lockfile version `10.0`; version 9.0 can be read
    help: a newer pnpm wrote it: update Gangway to one that reads it, or run `pnpm install
          --lockfile-only` with pnpm 10
    ");
    assert_snapshot!(fails(project("pnpm-lock.yaml", "lockfileVersion: 5.4\n", "", None)), @"
    × `pnpm-lock.yaml` has lockfile version `5.4`; version 9.0 can be read
    help: an older pnpm wrote it; run `pnpm install --lockfile-only` with pnpm 9 or 10
    ");
}

#[test]
fn places_of_what_cannot_be_read() {
    let yaml = "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a: [1]\n";
    assert_snapshot!(fails(project("pnpm-lock.yaml", yaml, "", None)), @"
     × cannot read `pnpm-lock.yaml`: expected mapping start at line 5, column 10
      ╭─[pnpm-lock.yaml:5:10]
    4 │     dependencies:
    5 │       a: [1]
      ·          ┬
      ·          ╰── here
      ╰────
     help: write it anew with `pnpm install --lockfile-only`
    ");
    let twice = "lockfileVersion: '9.0'\npackages:\n  a@1.0.0: {}\n  a@1.0.0: {}\n";
    assert_snapshot!(fails(project("pnpm-lock.yaml", twice, "", None)), @"
     × cannot read `pnpm-lock.yaml`: duplicate mapping key: a@1.0.0 at line 4, column 3
      ╭─[pnpm-lock.yaml:4:3]
    3 │   a@1.0.0: {}
    4 │   a@1.0.0: {}
      ·   ┬
      ·   ╰── here
      ╰────
     help: write it anew with `pnpm install --lockfile-only`
    ");
    let bomb = "lockfileVersion: '9.0'\nx: &x [a, a]\ny: [*x, *x]\n";
    assert_snapshot!(fails(project("pnpm-lock.yaml", bomb, "", None)), @"
     × cannot read `pnpm-lock.yaml`: it has anchors, or is deeper or larger than a lockfile can be at
     │ line 2, column 7
      ╭─[pnpm-lock.yaml:2:7]
    1 │ lockfileVersion: '9.0'
    2 │ x: &x [a, a]
      ·       ┬
      ·       ╰── here
    3 │ y: [*x, *x]
      ╰────
     help: write it anew with `pnpm install --lockfile-only`
    ");
    let json =
        "{\n  \"lockfileVersion\": 1,\n  \"packages\": {\n    \"a\": [\"a\", {}],\n  },\n}\n";
    assert_snapshot!(fails(project("bun.lock", json, "", None)), @r#"
     × cannot read `bun.lock`: the entry `a` has no version at line 4, column 5
      ╭─[bun.lock:4:5]
    3 │   "packages": {
    4 │     "a": ["a", {}],
      ·     ┬
      ·     ╰── here
    5 │   },
      ╰────
     help: write it anew with `bun install --lockfile-only`
    "#);
    let json =
        "{\n  \"lockfileVersion\": 1, // newest\n  \"packages\": {\n    \"a\": 1,\n  },\n}\n";
    assert_snapshot!(fails(project("bun.lock", json, "", None)), @r#"
     × cannot read `bun.lock`: invalid type: integer `1`, expected a sequence at line 4, column 10
      ╭─[bun.lock:4:10]
    3 │   "packages": {
    4 │     "a": 1,
      ·          ┬
      ·          ╰── here
    5 │   },
      ╰────
     help: write it anew with `bun install --lockfile-only`
    "#);
}

#[test]
fn what_others_need_must_be_there_with_an_integrity() {
    let importers = "  .:\n    dependencies:\n      a: {specifier: '1', version: 1.0.0}\n";
    let text = pnpm(
        importers,
        &[("a@1.0.0", "")],
        "  a@1.0.0: {dependencies: {b: 1.0.0, c: link:../c}}\n",
    );
    assert_snapshot!(fails(project("pnpm-lock.yaml", &text, "", None)), @"
      × `pnpm-lock.yaml` has 1 entry that cannot be bundled

    Error:
      × packages are needed that the lockfile does not have:
      │   `b@1.0.0`, for `a@1.0.0`
      help: write the lockfile anew with `pnpm install --lockfile-only`
    ");
    let text = text.replace("b: 1.0.0, c: link:../c", "").replace("integrity:", "sha:");
    assert_snapshot!(fails(project("pnpm-lock.yaml", &text, "", None)), @"
      × `pnpm-lock.yaml` has 1 entry that cannot be bundled

    Error:
      × packages have no integrity:
      │   `node_modules/a` 1.0.0
      help: remove these entries from the lockfile and run `pnpm install --lockfile-only`, which
            writes them anew
    ");
}

#[test]
fn package_json_says_something_else() {
    let package = json!({
        "dependencies": {"a": "^2.0.0", "new": "1", "same": "1.0.0"}, "devDependencies": {"same": "2"},
    });
    let package = package.to_string();
    let locked = json!({"a": "1.0.0", "gone": "1.0.0", "same": "1.0.0"});
    let npm = lock(&json!({
        "": {"dependencies": locked}, "node_modules/a": plain("1.0.0"), "node_modules/same": plain("1.0.1"),
        "node_modules/gone": plain("1.0.2"),
    }));
    assert_snapshot!(fails(project("package-lock.json", &npm, "", Some(&package))), @"
      × `package-lock.json` has 2 entries that cannot be bundled

    Error:
      × `package.json` and the lockfile disagree:
      │   `a` in `dependencies`: package.json has `^2.0.0`, the lockfile has `1.0.0`
      │   `new` in `dependencies`: package.json has `1`, the lockfile does not have it
      help: run `npm install --package-lock-only`, and commit the lockfile
    ");
    let bun = bun(
        &json!({"": {"dependencies": locked}}),
        &json!({
            "a": bun_package("a@1.0.0", &json!({})), "same": bun_package("same@1.0.0", &json!({})),
            "gone": bun_package("gone@1.0.0", &json!({})),
        }),
    );
    assert_snapshot!(fails(project("bun.lock", &bun, "", Some(&package))), @"
      × `bun.lock` has 3 entries that cannot be bundled

    Error:
      × `package.json` and the lockfile disagree:
      │   `a` in `dependencies`: package.json has `^2.0.0`, the lockfile has `1.0.0`
      │   `new` in `dependencies`: package.json has `1`, the lockfile does not have it
      │   `gone` in `dependencies`: package.json does not have it, the lockfile has `1.0.0`
      help: run `bun install --lockfile-only`, and commit the lockfile
    ");
    let importers = "  .:
    dependencies:
      a: {specifier: 1.0.0, version: 1.0.0}
      gone: {specifier: 1.0.0, version: 1.0.0}
      same: {specifier: 1.0.0, version: 1.0.0}
";
    let packages = [("a@1.0.0", ""), ("gone@1.0.0", ""), ("same@1.0.0", "")];
    let pnpm = pnpm(importers, &packages, "");
    assert_snapshot!(fails(project("pnpm-lock.yaml", &pnpm, "", Some(&package))), @"
      × `pnpm-lock.yaml` has 3 entries that cannot be bundled

    Error:
      × `package.json` and the lockfile disagree:
      │   `a` in `dependencies`: package.json has `^2.0.0`, the lockfile has `1.0.0`
      │   `new` in `dependencies`: package.json has `1`, the lockfile does not have it
      │   `gone` in `dependencies`: package.json does not have it, the lockfile has `1.0.0`
      help: run `pnpm install --lockfile-only`, and commit the lockfile
    ");
    let overridden = pnpm.replace("importers:", "overrides:\n  a: 1.0.0\n  new: '-'\nimporters:");
    let package = json!({"dependencies": {"a": "^2.0.0", "new": "1", "same": "1.0.0"}, "peerDependencies": {"gone": "*"}});
    project("pnpm-lock.yaml", &overridden, "", Some(&package.to_string()))
        .expect("overrides count");
}

#[test]
fn npm_is_content_with_a_version_that_satisfies() {
    let npm = lock(&json!({
        "": {"dependencies": {"a": "^1.0.0", "b": "npm:x@^1.0.0"}},
        "node_modules/a": plain("1.2.0"), "node_modules/b": plain("1.3.0"),
    }));
    let read = |a: &str, b: &str| {
        let package = json!({"dependencies": {"a": a, "b": b}}).to_string();
        project("package-lock.json", &npm, "", Some(&package)).is_ok()
    };
    assert!(read("^1.2.0", "npm:x@^1.3.0"));
    assert!(!read("^1.3.0", "npm:x@^1.3.0"));
    assert!(!read("^1.2.0", "npm:x@^1.4.0"));
}

#[test]
fn a_package_that_is_not_of_the_workspace() {
    let bun = include_str!("../testdata/bun-workspace/bun.lock");
    assert_snapshot!(fails(project("bun.lock", bun, "apps/other", None)), @"
    × `bun.lock` does not have the workspace package `apps/other`, which the manifest is in
    help: it has `apps/gateway`, `packages/lib`, `packages/other`, `packages/util`
          add the folder to the workspace and run `bun install --lockfile-only`, or name the
          gateway's own lockfile with `lockfile` in [dependencies]
    ");
}

#[test]
fn patches_that_are_missing_or_others() {
    let text = include_str!("../testdata/pnpm-workspace/pnpm-lock.yaml");
    let (lockfile, member) = (Utf8Path::new("pnpm-lock.yaml"), Utf8Path::new("apps/gateway"));
    let read = |patches: BTreeMap<Utf8PathBuf, String>| {
        let project = Project { lockfile, text, member, package_json: None, patches: &patches };
        fails(project.closure(&LINUX, Scope::Production))
    };
    assert_snapshot!(read(BTreeMap::new()), @"
      × `pnpm-lock.yaml` has 1 entry that cannot be bundled

    Error:
      × patches are missing:
      │   `patches/is-number@6.0.0.patch`, for `node_modules/is-odd/node_modules/is-number`
      help: put the file back, or remove the patch and write the lockfile anew
    ");
    let path = Utf8PathBuf::from("patches/is-number@6.0.0.patch");
    assert_snapshot!(read([(path, PATCH.to_owned())].into()), @"
      × `pnpm-lock.yaml` has 1 entry that cannot be bundled

    Error:
      × patches are not those that the lockfile names:
      │   `patches/is-number@6.0.0.patch`, for `node_modules/is-odd/node_modules/is-number`
      help: the patch was changed after the lockfile was written: run `pnpm install --lockfile-only`
    ");
}

#[test]
fn circles_of_versions_have_no_end() {
    let importers = "  .:
    dependencies:
      a: {specifier: '1', version: 1.0.0}
      b: {specifier: '1', version: 1.0.0}
";
    let packages = [("a@1.0.0", ""), ("a@2.0.0", ""), ("b@1.0.0", ""), ("b@2.0.0", "")];
    let snapshots = "  a@1.0.0: {dependencies: {b: 1.0.0}}
  b@1.0.0: {dependencies: {a: 2.0.0}}
  a@2.0.0: {dependencies: {b: 2.0.0}}
  b@2.0.0: {dependencies: {a: 1.0.0}}
";
    assert_snapshot!(fails(project("pnpm-lock.yaml", &pnpm(importers, &packages, snapshots), "", None)), @"
      × `pnpm-lock.yaml` has 1 entry that cannot be bundled

    Error:
      × packages cannot be laid out in folders:
      │   `b@2.0.0`
      help: packages that need different versions of each other in a circle have no end in folders;
            choose versions with overrides so that they agree
    ");
}
