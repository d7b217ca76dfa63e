//! How errors read.

use insta::assert_snapshot;

use super::*;

#[test]
fn too_old_and_too_new() {
    assert_snapshot!(text_error(r#"{"lockfileVersion": 1, "dependencies": {}}"#), @"
    × `package-lock.json` has lockfile version `1`; versions 2 and 3 can be read
    help: npm 6 or older wrote it; run `npm install --package-lock-only` with npm 7 or newer
    ");
    assert_snapshot!(text_error(r#"{"lockfileVersion": 4, "packages": []}"#), @"
    × `package-lock.json` has lockfile version `4`; versions 2 and 3 can be read
    help: run `npm install --package-lock-only --lockfile-version 3`
    ");
    assert_snapshot!(text_error("{}"), @"
    × `package-lock.json` has lockfile version none; versions 2 and 3 can be read
    help: npm 6 or older wrote it; run `npm install --package-lock-only` with npm 7 or newer
    ");
    assert_snapshot!(text_error(r#"{"lockfileVersion": 3}"#), @"
    × `package-lock.json` has no `packages`
    help: write it anew with `npm install --package-lock-only`
    ");
}

#[test]
fn not_json() {
    let text = "{\n  \"lockfileVersion\": 3,\n  \"packages\": {\n    \"\": {},\n  }\n}\n";
    assert_snapshot!(text_error(text), @r#"
     × cannot read `package-lock.json`: key must be a string at line 5, column 3
      ╭─[package-lock.json:5:3]
    4 │     "": {},
    5 │   }
      ·   ┬
      ·   ╰── here
    6 │ }
      ╰────
     help: write it anew with `npm install --package-lock-only`
    "#);
}

#[test]
fn conflict_markers() {
    let text = "{\n  \"lockfileVersion\": 3,\n<<<<<<< HEAD\n  \"packages\": {}\n=======\n>>>>>>> other\n}\n";
    assert_snapshot!(text_error(text), @r#"
     × cannot read `package-lock.json`: key must be a string at line 3, column 1
      ╭─[package-lock.json:3:1]
    2 │   "lockfileVersion": 3,
    3 │ <<<<<<< HEAD
      · ┬
      · ╰── here
    4 │   "packages": {}
      ╰────
     help: a merge left conflict markers; `npm install --package-lock-only` resolves them
    "#);
}

#[test]
fn wrong_type() {
    let text = "{\n  \"lockfileVersion\": 3,\n  \"packages\": {\n    \"node_modules/a\": {\n      \"version\": 1\n    }\n  }\n}\n";
    assert_snapshot!(text_error(text), @r#"
     × cannot read `package-lock.json`: invalid type: integer `1`, expected a string at line 5,
     │ column 18
      ╭─[package-lock.json:5:18]
    4 │     "node_modules/a": {
    5 │       "version": 1
      ·                  ┬
      ·                  ╰── here
    6 │     }
      ╰────
     help: write it anew with `npm install --package-lock-only`
    "#);
}

#[test]
fn twice() {
    let text = "{\n  \"lockfileVersion\": 3,\n  \"packages\": {\n    \"node_modules/a\": {},\n    \"node_modules/a\": {}\n  }\n}\n";
    assert_snapshot!(text_error(text), @r#"
     × cannot read `package-lock.json`: `node_modules/a` is listed twice at line 5, column 20
      ╭─[package-lock.json:5:20]
    4 │     "node_modules/a": {},
    5 │     "node_modules/a": {}
      ·                    ┬
      ·                    ╰── here
    6 │   }
      ╰────
     help: write it anew with `npm install --package-lock-only`
    "#);
}

#[test]
fn an_endless_line_is_not_shown() {
    let text = format!(r#"{{"lockfileVersion": 3, "x": "{}", "packages": }}"#, "x".repeat(10_000));
    assert_snapshot!(text_error(&text), @"
    × cannot read `package-lock.json`: expected value at line 1, column 10045
    help: write it anew with `npm install --package-lock-only`
    ");
}

#[test]
fn required_and_for_another_platform() {
    assert_snapshot!(
        read_error(&json!({
            "": { "dependencies": {"mac": "1", "arm": "2"} },
            "node_modules/arm": with(plain("2.0.0"), json!({"cpu": "arm64", "libc": ["glibc", "musl"]})),
            "node_modules/mac": with(plain("1.0.0"), json!({"os": ["darwin", "!win32"]})),
            "node_modules/wrong": with(plain("1.0.1"), json!({"os": ["darwin"], "dev": true})),
        })),
        @"
          × `package-lock.json` has 2 entries that cannot be bundled

        Error:
          × packages are not for the target (os `linux`, cpu `x64`, libc `glibc`):
          │   `node_modules/arm` 2.0.0 wants cpu `arm64`, libc `glibc`, `musl`
          │   `node_modules/mac` 1.0.0 wants os `darwin`, `!win32`
          help: make it an optional dependency if the gateway can do without it, or leave this target out
        "
    );
}

#[test]
fn called_optional_but_required() {
    assert_snapshot!(
        read_error(&json!({
            "": { "dependencies": {"mac": "1"} },
            "node_modules/mac": with(plain("1.0.0"), json!({"os": ["darwin"], "optional": true})),
        })),
        @"
          × `package-lock.json` has 1 entry that cannot be bundled

        Error:
          × packages are not for the target (os `linux`, cpu `x64`, libc `glibc`):
          │   `node_modules/mac` 1.0.0 wants os `darwin`
          help: make it an optional dependency if the gateway can do without it, or leave this target out
        "
    );
}

#[test]
fn everything_that_cannot_be_checked_is_told_at_once() {
    let at = |source: &str| json!({"version": "1.0.0", "resolved": source});
    let commit = "0387a73a4aa0f5041927f348b1ec478cd0507dea";
    assert_snapshot!(
        read_error(&json!({
            "": { "dependencies": {"a": "git+https://git.example/a.git", "b": "https://user:secret@host.example/b.tgz"} },
            "node_modules/a": at(&format!("git+https://token@git.example/a.git#{commit}")),
            "node_modules/b": at("https://user:secret@host.example/b.tgz"),
            "node_modules/c": at(&format!("git+ssh://git@github.com/user/c.git#{commit}")),
            "node_modules/d": with(plain("1.0.0"), json!({"resolved": format!("git+https://git.example/d.git#{commit}")})),
            "node_modules/e": {"version": "1.0.0"},
            "node_modules/f": {"version": "1.0.0", "integrity": "md5-1B2M2Y8AsgTpgAmY7PhCfg=="},
            "node_modules/g": {"integrity": integrity("g")},
            "node_modules/h": at("file:h.tgz"),
            "node_modules/i": at("hg+https://example/i"),
        })),
        @"
          × `package-lock.json` has 9 entries that cannot be bundled

        Error:
          × packages have no integrity:
          │   `node_modules/e` 1.0.0
          │   `node_modules/h` 1.0.0, from `file:h.tgz`
          help: remove these entries from the lockfile and run `npm install --package-lock-only`, which
                writes them anew

        Error:
          × packages have no version:
          │   `node_modules/g` without a version
          help: remove these entries from the lockfile and run `npm install --package-lock-only`, which
                writes them anew

        Error:
          × packages have an integrity that cannot be checked:
          │   `node_modules/f` 1.0.0, integrity `md5-1B2M2Y8AsgTpgAmY7PhCfg==`
          help: remove these entries from the lockfile and run `npm install --package-lock-only`, which
                writes them anew

        Error:
          × packages from URLs have no integrity:
          │   `node_modules/b` 1.0.0, from `https://host.example/b.tgz`
          help: npm records the integrity when it downloads the tarball: remove the entry and run `npm
                install`; or publish the package to a registry, or vendor the tarball and depend on it as
                `file:`

        Error:
          × packages from git have no integrity:
          │   `node_modules/a` 1.0.0, from `git+https://git.example/
          │ a.git#0387a73a4aa0f5041927f348b1ec478cd0507dea`
          │   `node_modules/c` 1.0.0, from `git+ssh://github.com/user/
          │ c.git#0387a73a4aa0f5041927f348b1ec478cd0507dea`
          help: depend on the URL of a release tarball, so that its integrity is recorded; or publish the
                package to a registry, or pack it with `npm pack` and depend on the tarball as `file:`

        Error:
          × packages come from git servers that make no tarballs:
          │   `node_modules/d` 1.0.0, from `git+https://git.example/
          │ d.git#0387a73a4aa0f5041927f348b1ec478cd0507dea`
          help: depend on the URL of a release tarball, so that its integrity is recorded; or publish the
                package to a registry, or pack it with `npm pack` and depend on the tarball as `file:`

        Error:
          × packages come from sources that are not known:
          │   `node_modules/i` 1.0.0, from `hg+https://example/i`
          help: depend on a registry version, a tarball's URL, or a `file:`
        "
    );
}

#[test]
fn hostile_places() {
    assert_snapshot!(
        read_error(&json!({
            "/etc": plain("1.0.0"),
            "node_modules/../../x": plain("1.0.0"),
            "node_modules/.bin": plain("1.0.0"),
            "node_modules/a\u{1b}[2J": plain("1.0.0"),
            "node_modules/a/lib/node_modules/b": plain("1.0.0"),
            "node_modules/file": {"version": "1.0.0", "resolved": "file:/etc/passwd.tgz"},
            "node_modules/l": { "resolved": "packages/l", "link": true },
            "node_modules/l/node_modules/x": plain("1.0.0"),
            "packages/l": {},
            "packages/m": { "resolved": "packages/l", "link": true },
        })),
        @r#"
          × `package-lock.json` has 8 entries that cannot be bundled

        Error:
          × these are not places a package can have:
          │   `/etc`: it is absolute
          │   `node_modules/../../x`: it leads out of the bundle with `..`
          │   `node_modules/.bin`: it has a package name that npm refuses
          │   `node_modules/a\u{1b}[2J`: it contains a control character
          │   `node_modules/a/lib/node_modules/b`: it leads into a package
          │   `node_modules/l/node_modules/x`: it lies below a link
          │   `packages/m`: a link must lie in a `node_modules`
          │   `node_modules/file` 1.0.0, from `file:/etc/passwd.tgz`: it is absolute
          help: npm writes no such entries; if you do not know where they come from, do not trust this
                lockfile
        "#
    );
}

#[test]
fn links_to_nothing() {
    assert_snapshot!(
        read_error(&json!({
            "node_modules/a": { "resolved": "packages/a", "link": true },
            "node_modules/b": { "resolved": "", "link": true },
            "node_modules/c": { "resolved": "node_modules/a", "link": true },
            "": {},
        })),
        @"
          × `package-lock.json` has 3 entries that cannot be bundled

        Error:
          × links lead to folders that the lockfile does not have:
          │   `node_modules/a`, which links to `packages/a`
          │   `node_modules/c`, which links to `node_modules/a`
          help: write the lockfile anew with `npm install --package-lock-only`

        Error:
          × links lead to the project itself:
          │   `node_modules/b`
          help: remove the dependency on the project itself; a package can import itself by its name
                through `exports`
        "
    );
}

#[test]
fn what_a_folder_outside_needs() {
    assert_snapshot!(
        read_error(&json!({
            "": { "dependencies": {"a": "file:../a", "ws": "8"} },
            "../a": { "dependencies": {"ms": "2", "ws": "8"} },
            "node_modules/a": { "resolved": "../a", "link": true },
            "node_modules/ws": plain("8.0.0"),
        })),
        @"
          × `package-lock.json` has 1 entry that cannot be bundled

        Error:
          × folders outside the project need packages that the lockfile does not have:
          │   `ms`, for `../a`
          help: npm installs nothing for folders that it links to outside the project: move the folder
                into the project, or put `install-links=true` into `.npmrc` and write the lockfile anew
        "
    );
}
