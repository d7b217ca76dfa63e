//! The tree that comes out.

use insta::assert_snapshot;

use super::*;

/// Assembles `packages`, where a package's files are those of its version.
fn assembled(
    packages: &Value,
    trees: &[(&str, &[&str])],
    folders: &[(&str, &[&str])],
) -> Result<Tree, ClosureError> {
    let closure = read_linux(packages);
    let unpacked = trees
        .iter()
        .map(|(version, files)| (integrity(version).parse().expect("its own text"), tree(files)))
        .collect();
    let folders = folders.iter().map(|(path, files)| ((*path).into(), tree(files))).collect();
    assemble(&closure, &unpacked, &folders)
}

#[test]
fn packages_lie_in_each_other() {
    let packages = json!({
        "node_modules/@s/a": plain("1"),
        "node_modules/@s/a/node_modules/b": plain("2"),
        "node_modules/b": plain("3"),
    });
    let trees: &[(&str, &[&str])] =
        &[("1", &["package.json", "lib/x.js"]), ("2", &["package.json"]), ("3", &["index.js"])];
    assert_snapshot!(listing(&assembled(&packages, trees, &[]).expect("is fine")), @"
    node_modules/@s/a/lib/x.js
    node_modules/@s/a/node_modules/b/package.json
    node_modules/@s/a/package.json
    node_modules/b/index.js
    ");
}

#[test]
fn bundled_packages_stay_and_the_lockfile_wins_over_stowaways() {
    let packages = json!({
        "node_modules/a": plain("1"),
        "node_modules/a/node_modules/bundled": {"version": "1", "inBundle": true, "bin": "cli.js"},
        "node_modules/a/node_modules/ours": plain("2"),
    });
    let trees: &[(&str, &[&str])] = &[
        (
            "1",
            &[
                "node_modules/.bin/bundled",
                "node_modules/bundled/cli.js",
                "node_modules/bundled/package.json",
                "node_modules/ours/theirs.js",
                "node_modules/stowaway/package.json",
                "package.json",
            ],
        ),
        ("2", &["package.json"]),
    ];
    assert_snapshot!(listing(&assembled(&packages, trees, &[]).expect("is fine")), @"
    node_modules/a/node_modules/.bin/bundled -> ../bundled/cli.js
    node_modules/a/node_modules/bundled/cli.js *
    node_modules/a/node_modules/bundled/package.json
    node_modules/a/node_modules/ours/package.json
    node_modules/a/node_modules/stowaway/package.json
    node_modules/a/package.json
    ");
}

#[test]
fn programs() {
    let packages = json!({
        "node_modules/a-z": with(plain("1"), json!({"bin": {"x": "a-z.js", "both": "a-z.js"}})),
        "node_modules/ab": with(plain("2"), json!({"bin": {"both": "ab.js", "y": "ab.js"}})),
        // The first claim stands, though its file is not there.
        "node_modules/B": with(plain("3"), json!({"bin": {"z": "missing.js", "folder": "lib"}})),
        "node_modules/c": with(plain("4"), json!({"bin": {"z": "c.js"}})),
        "node_modules/c/node_modules/@s/d": with(plain("5"), json!({"bin": "d.js"})),
    });
    let trees: &[(&str, &[&str])] = &[
        ("1", &["a-z.js"]),
        ("2", &["ab.js"]),
        ("3", &["lib/x.js"]),
        ("4", &["c.js"]),
        ("5", &["d.js"]),
    ];
    assert_snapshot!(listing(&assembled(&packages, trees, &[]).expect("is fine")), @"
    node_modules/.bin/both -> ../a-z/a-z.js
    node_modules/.bin/folder -> ../B/lib
    node_modules/.bin/x -> ../a-z/a-z.js
    node_modules/.bin/y -> ../ab/ab.js
    node_modules/B/lib/x.js
    node_modules/a-z/a-z.js *
    node_modules/ab/ab.js *
    node_modules/c/c.js *
    node_modules/c/node_modules/.bin/d -> ../@s/d/d.js
    node_modules/c/node_modules/@s/d/d.js *
    ");
}

#[test]
fn folders_links_and_their_programs() {
    let packages = json!({
        "": { "workspaces": ["packages/*"] },
        "../out": { "version": "1", "bin": {"out": "out.js"} },
        "../out/node_modules/ms": plain("2"),
        "node_modules/@me/a": { "resolved": "packages/a", "link": true },
        "node_modules/out": { "resolved": "../out", "link": true },
        "node_modules/ws": with(plain("1"), json!({"bin": {"ws": "ws.js"}})),
        "packages/a": { "version": "1", "bin": {"a": "a.js", "ws": "a.js"} },
        "packages/a/node_modules/out": { "resolved": "../out", "link": true },
    });
    let trees: &[(&str, &[&str])] = &[("1", &["ws.js"]), ("2", &["index.js"])];
    let folders: &[(&str, &[&str])] = &[
        ("packages/a", &["a.js", "node_modules/junk/x.js", "test/node_modules/fixture.js"]),
        ("../out", &["out.js", "node_modules/ms/old.js"]),
    ];
    assert_snapshot!(listing(&assembled(&packages, trees, folders).expect("is fine")), @"
    node_modules/.bin/a -> ../@me/a/a.js
    node_modules/.bin/out -> ../out/out.js
    node_modules/.bin/ws -> ../ws/ws.js
    node_modules/@me/a -> ../../packages/a
    node_modules/out/node_modules/ms/index.js
    node_modules/out/out.js *
    node_modules/ws/ws.js *
    packages/a/a.js *
    packages/a/node_modules/.bin/out -> ../out/out.js
    packages/a/node_modules/out -> ../../../node_modules/out
    packages/a/test/node_modules/fixture.js
    ");
}

#[test]
fn what_is_missing() {
    let packages = json!({
        "node_modules/a": plain("1"),
        "node_modules/a/node_modules/b": {"version": "1", "inBundle": true},
    });
    let error = |packages, trees| rendered(&assembled(packages, trees, &[]).expect_err("is wrong"));
    assert_snapshot!(error(&packages, &[]), @"  × `a` 1 was not unpacked before the dependencies were laid out");
    assert_snapshot!(error(&packages, &[("1", &["package.json"])]), @"
    × `node_modules/a/node_modules/b` is marked as bundled in the lockfile, but is not in the
    │ tarball of the package around it
    help: write its entry anew: remove it from the lockfile and run `npm install --package-lock-
          only`
    ");
    let workspace = json!({
        "node_modules/a": { "resolved": "packages/a", "link": true },
        "packages/a": {},
    });
    assert_snapshot!(error(&workspace, &[]), @"
    × the folder `packages/a`, which the lockfile links to, was not read before the dependencies
    │ were laid out
    ");
}

#[test]
fn a_file_where_a_folder_must_be() {
    let packages = json!({
        "node_modules/a": with(plain("1"), json!({"bin": "x.js"})),
        "node_modules/a/node_modules/b": plain("2"),
    });
    let trees: &[(&str, &[&str])] = &[("1", &["node_modules", "x.js"]), ("2", &["package.json"])];
    assert_snapshot!(rendered(&assembled(&packages, trees, &[]).expect_err("is wrong")), @"
    × `node_modules/a/node_modules` is a file in a tarball, but the lockfile puts `node_modules/a/
    │ node_modules/b` below it
    ");
}
