//! Which lockfile a manifest means.

use super::*;

const NEEDS: &str = "{\n  \"name\": \"echo\",\n  \"dependencies\": { \"ws\": \"^8.0.0\" }\n}\n";

/// The error for a manifest beside these files, with dependencies in package.json.
fn refusal_beside(files: &[&str]) -> String {
    let beside = files.iter().map(|name| (*name, ""));
    let files: Vec<_> =
        [(FILE_NAME, MINIMAL), ("package.json", NEEDS)].into_iter().chain(beside).collect();
    Folder::with(&files).refusal()
}

/// What a manifest in the folder `app` of `files` means: lockfile and place in the workspace.
fn in_workspace(app: &str, files: &[(&str, &str)]) -> Result<Option<(String, String)>, String> {
    let folder = Folder::with(files);
    let (manifest, package) = (format!("{app}/{FILE_NAME}"), format!("{app}/package.json"));
    let app = folder.path().join(app);
    std::fs::create_dir_all(&app).expect("it is ours");
    std::fs::write(folder.path().join(manifest), MINIMAL).expect("it is ours");
    std::fs::write(folder.path().join(package), NEEDS).expect("it is ours");
    let found = load(&app.join(FILE_NAME)).map(|config| {
        let found = config.dependencies?;
        Some((found.lockfile.value.into_string(), found.member.into_string()))
    });
    found.map_err(|error| rendered(&error).replace(&format!("{app}/"), ""))
}

#[test]
fn the_lockfile_is_the_one_npm_takes() {
    let lockfile = |files: &[(&str, &str)]| {
        let config = Folder::with(files).load().expect("enough");
        config.dependencies.map(|dependencies| dependencies.lockfile.value.into_string())
    };
    let manifest = (FILE_NAME, MINIMAL);
    let package = ("package.json", r#"{"dependencies": {"ws": "8"}}"#);
    let lock = ("package-lock.json", "{}");
    assert_eq!(lockfile(&[manifest, package, lock]).as_deref(), Some("package-lock.json"));
    let shrinkwrap = ("npm-shrinkwrap.json", "{}");
    assert_eq!(lockfile(&[manifest, lock, shrinkwrap]).as_deref(), Some("npm-shrinkwrap.json"));
    assert_eq!(lockfile(&[manifest, ("package.json", "{}")]), None);
    let table = format!("{MINIMAL}[dependencies]\n");
    assert_eq!(lockfile(&[(FILE_NAME, &table), lock]).as_deref(), Some("package-lock.json"));
}

#[test]
fn a_lockfile_of_one_machine() {
    insta::assert_snapshot!(refusal_with(r#"[dependencies]
lockfile = "/srv/package-lock.json"
"#), @r#"
     × `/srv/package-lock.json` is absolute
       ╭─[gangway.toml:15:12]
    14 │ [dependencies]
    15 │ lockfile = "/srv/package-lock.json"
       ·            ────────────┬───────────
       ·                        ╰── absolute
       ╰────
     help: write the path from this manifest's folder, so that it is right on every machine
    "#);
}

#[test]
fn a_missing_lockfile() {
    insta::assert_snapshot!(refusal_with(r#"[dependencies]
lockfile = "package-lock.json"
"#), @r#"
     × missing lockfile `package-lock.json`
       ╭─[gangway.toml:15:12]
    14 │ [dependencies]
    15 │ lockfile = "package-lock.json"
       ·            ─────────┬─────────
       ·                     ╰── there is no such file
       ╰────
     help: run `npm install --package-lock-only` beside package.json; lockfiles of pnpm and Bun are
           read too
    "#);
}

#[test]
fn those_of_pnpm_and_bun_are_read_too() {
    for name in ["pnpm-lock.yaml", "bun.lock"] {
        let files = [(FILE_NAME, MINIMAL), ("package.json", NEEDS), (name, "")];
        let config = Folder::with(&files).load().expect("enough");
        let found = config.dependencies.expect("it has some");
        assert_eq!((found.lockfile.value.as_str(), found.member.as_str()), (name, ""));
    }
    let files = [(FILE_NAME, MINIMAL), ("bun.lock", ""), ("bun.lockb", ""), ("deno.lock", "")];
    let config = Folder::with(&files).load().expect("both are of Bun");
    assert_eq!(config.dependencies.expect("it has some").lockfile.value, "bun.lock");
}

#[test]
fn dependencies_without_a_lockfile() {
    insta::assert_snapshot!(refusal_beside(&[]), @r#"
     × missing lockfile `package-lock.json`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── these need one
    4 │ }
      ╰────
     help: run `npm install --package-lock-only` beside package.json; lockfiles of pnpm and Bun are
           read too
    "#);
}

#[test]
fn several_lockfiles() {
    insta::assert_snapshot!(refusal_beside(&["package-lock.json", "pnpm-lock.yaml", "yarn.lock"]), @r#"
     × there are several lockfiles: `package-lock.json`, `pnpm-lock.yaml` and `yarn.lock`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── which counts?
    4 │ }
      ╰────
     help: write `lockfile = "package-lock.json"` under [dependencies] if that is the one, or remove
           those that are left over
    "#);
}

#[test]
fn several_lockfiles_and_one_named() {
    let manifest = format!("{MINIMAL}[dependencies]\nlockfile = \"bun.lock\"\n");
    let files = [(FILE_NAME, manifest.as_str()), ("bun.lock", ""), ("package-lock.json", "")];
    let config = Folder::with(&files).load().expect("it is clear");
    assert_eq!(config.dependencies.expect("it has some").lockfile.value, "bun.lock");
}

#[test]
fn lockfiles_that_are_not_read() {
    insta::assert_snapshot!(refusal_beside(&["yarn.lock", ".pnp.cjs"]), @r#"
     × cannot read a lockfile named `yarn.lock`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── these need one that can be read
    4 │ }
      ╰────
     help: Yarn's lockfiles are not read: run `npm install --package-lock-only` or `pnpm import`
           beside it, which take the versions over if it is of Yarn 1 and choose versions anew if it
           is newer, and commit the lockfile that they make
    "#);
    insta::assert_snapshot!(refusal_beside(&["bun.lockb"]), @r#"
     × cannot read a lockfile named `bun.lockb`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── these need one that can be read
    4 │ }
      ╰────
     help: Bun's binary lockfile is not read: run `bun install --save-text-lockfile --frozen-lockfile
           --lockfile-only`, which writes the same as `bun.lock`, and remove `bun.lockb`
    "#);
    insta::assert_snapshot!(refusal_beside(&["deno.lock"]), @r#"
     × cannot read a lockfile named `deno.lock`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── these need one that can be read
    4 │ }
      ╰────
     help: Deno's lockfile is not read: run `npm install --package-lock-only` beside package.json,
           which chooses versions anew
    "#);
    // Nothing is needed of it.
    let files = [(FILE_NAME, MINIMAL), ("package.json", "{}"), ("yarn.lock", "")];
    assert!(Folder::with(&files).load().expect("enough").dependencies.is_none());
}

#[test]
fn lockfiles_that_are_named_and_not_read() {
    insta::assert_snapshot!(refusal_with("[dependencies]\nlockfile = \"yarn.lock\"\n"), @r#"
     × cannot read a lockfile named `yarn.lock`
       ╭─[gangway.toml:15:12]
    14 │ [dependencies]
    15 │ lockfile = "yarn.lock"
       ·            ─────┬─────
       ·                 ╰── not a lockfile that is read
       ╰────
     help: Yarn's lockfiles are not read: run `npm install --package-lock-only` or `pnpm import`
           beside it, which take the versions over if it is of Yarn 1 and choose versions anew if it
           is newer, and commit the lockfile that they make
    "#);
    insta::assert_snapshot!(refusal_with("[dependencies]\nlockfile = \"lock.json\"\n"), @r#"
     × cannot read a lockfile named `lock.json`
       ╭─[gangway.toml:15:12]
    14 │ [dependencies]
    15 │ lockfile = "lock.json"
       ·            ─────┬─────
       ·                 ╰── not a lockfile that is read
       ╰────
     help: these are read: `npm-shrinkwrap.json`, `package-lock.json`, `pnpm-lock.yaml` and
           `bun.lock`
    "#);
}

#[test]
fn one_package_of_a_workspace() {
    let found = |files: &[(&str, &str)]| in_workspace("apps/gateway", files);
    let some = |name: &str| Ok(Some((format!("../../{name}"), "apps/gateway".to_owned())));
    let npm = ("package.json", r#"{"workspaces": ["packages/*", "apps/*"]}"#);
    let bun = ("package.json", r#"{"workspaces": {"packages": ["apps/gateway"]}}"#);
    let pnpm = ("pnpm-workspace.yaml", "packages:\n  - apps/*\n");
    assert_eq!(found(&[npm, ("package-lock.json", "")]), some("package-lock.json"));
    assert_eq!(found(&[bun, ("bun.lock", "")]), some("bun.lock"));
    assert_eq!(found(&[pnpm, ("pnpm-lock.yaml", "")]), some("pnpm-lock.yaml"));
    let own = found(&[npm, ("package-lock.json", ""), ("apps/gateway/package-lock.json", "")]);
    assert_eq!(own, Ok(Some(("package-lock.json".to_owned(), String::new()))));
    let nearest = in_workspace(
        "a/b/c",
        &[
            ("package.json", r#"{"workspaces": ["**"]}"#),
            ("package-lock.json", ""),
            ("a/package.json", r#"{"workspaces": ["b/*"]}"#),
            ("a/pnpm-lock.yaml", ""),
        ],
    );
    assert_eq!(nearest, Ok(Some(("../../pnpm-lock.yaml".to_owned(), "b/c".to_owned()))));
    // A lockfile above that is not for this folder is none.
    let other = ("package.json", r#"{"workspaces": ["packages/*"]}"#);
    insta::assert_snapshot!(found(&[other, ("package-lock.json", "")]).expect_err("it has none"), @r#"
     × missing lockfile `package-lock.json`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── these need one
    4 │ }
      ╰────
     help: run `npm install --package-lock-only` beside package.json; lockfiles of pnpm and Bun are
           read too
    "#);
    insta::assert_snapshot!(found(&[npm]).expect_err("it has none"), @r#"
     × missing lockfile `package-lock.json`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── these need one
    4 │ }
      ╰────
     help: run `npm install --package-lock-only` beside package.json; lockfiles of pnpm and Bun are
           read too (the workspace in `../..` has no lockfile either)
    "#);
    insta::assert_snapshot!(found(&[npm, ("yarn.lock", "")]).expect_err("it is not read"), @r#"
     × cannot read a lockfile named `../../yarn.lock`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── these need one that can be read
    4 │ }
      ╰────
     help: Yarn's lockfiles are not read: run `npm install --package-lock-only` or `pnpm import`
           beside it, which take the versions over if it is of Yarn 1 and choose versions anew if it
           is newer, and commit the lockfile that they make
    "#);
    insta::assert_snapshot!(
        found(&[npm, ("bun.lock", ""), ("pnpm-lock.yaml", "")]).expect_err("which one?"), @r#"
     × there are several lockfiles: `pnpm-lock.yaml` and `bun.lock`
      ╭─[package.json:3:3]
    2 │   "name": "echo",
    3 │   "dependencies": { "ws": "^8.0.0" }
      ·   ───────┬──────
      ·          ╰── which counts?
    4 │ }
      ╰────
     help: write `lockfile = "../../pnpm-lock.yaml"` under [dependencies] if that is the one, or
           remove those that are left over
    "#
    );
}

#[test]
fn a_named_lockfile_above() {
    let manifest = format!("{MINIMAL}[dependencies]\nlockfile = \"../../bun.lock\"\n");
    let folder = Folder::with(&[("apps/gateway/gangway.toml", &manifest), ("bun.lock", "")]);
    let config = load(&folder.path().join("apps/gateway").join(FILE_NAME)).expect("it is there");
    assert_eq!(config.dependencies.expect("it has some").member, "apps/gateway");
}
