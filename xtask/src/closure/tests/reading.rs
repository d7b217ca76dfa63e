//! What `read` takes and leaves.

use super::*;

#[test]
fn development_goes_but_not_what_others_need_too() {
    let packages = json!({
        "": { "dependencies": {"a": "1"}, "devDependencies": {"d": "1"} },
        "node_modules/a": plain("1.0.0"),
        "node_modules/b": with(plain("1.0.1"), json!({"devOptional": true})),
        "node_modules/d": with(plain("1.0.2"), json!({"dev": true})),
        "node_modules/d/node_modules/e": plain("1.0.3"),
        "node_modules/p": with(plain("1.0.4"), json!({"peer": true})),
        "node_modules/x": with(plain("1.0.5"), json!({"dev": true, "optional": true})),
    });
    let closure = read_linux(&packages);
    assert_eq!(paths(&closure), ["node_modules/a", "node_modules/b", "node_modules/p"]);
    let all = read(&lock(&packages), lockfile(), &LINUX, Scope::Development).expect("is fine");
    assert_eq!(all.packages.len(), 6);
}

#[test]
fn a_gated_package_takes_with_it_what_only_it_needs() {
    let optional = |version, more| with(with(plain(version), json!({"optional": true})), more);
    let closure = read_linux(&json!({
        "": { "dependencies": {"a": "1"}, "optionalDependencies": {"mac": "1", "win": "1"} },
        "node_modules/a": with(plain("1.0.0"), json!({"dependencies": {"shared": "1"}})),
        "node_modules/mac": optional("1.0.1", json!({
            "os": ["darwin"], "dependencies": {"only-mac": "1", "both": "1", "shared": "1"},
        })),
        "node_modules/mac/node_modules/nested": optional("1.0.2", json!({})),
        "node_modules/only-mac": optional("1.0.3", json!({"dependencies": {"deeper": "1"}})),
        "node_modules/deeper": optional("1.0.4", json!({"dependencies": {"only-mac": "1"}})),
        "node_modules/both": optional("1.0.5", json!({})),
        "node_modules/shared": plain("1.0.6"),
        "node_modules/win": optional("1.0.7", json!({"os": "!linux", "dependencies": {"both": "1"}})),
    }));
    assert_eq!(paths(&closure), ["node_modules/a", "node_modules/shared"]);
    let gated: Vec<_> = closure.gated.iter().map(BundlePath::as_str).collect();
    let expected =
        ["both", "deeper", "mac", "only-mac", "win"].map(|name| format!("node_modules/{name}"));
    assert_eq!(gated, expected);
}

#[test]
fn a_gated_package_takes_with_it_what_cannot_do_without_it() {
    let optional = |version, more| with(with(plain(version), json!({"optional": true})), more);
    let closure = read_linux(&json!({
        "": { "optionalDependencies": {"watch": "1"} },
        "node_modules/watch": optional("1.0.0", json!({"dependencies": {"native": "1", "x": "1"}})),
        "node_modules/native": optional("1.0.1", json!({"libc": ["musl"]})),
        "node_modules/x": optional("1.0.2", json!({})),
    }));
    assert_eq!(paths(&closure), [""; 0]);
}

#[test]
fn engines_gate_optional_packages_only() {
    let needs = json!({"engines": {"node": ">=22"}});
    let text = lock(&json!({
        "node_modules/a": with(plain("1.0.0"), needs.clone()),
        "node_modules/b": with(with(plain("1.0.1"), needs), json!({"optional": true})),
    }));
    let read = |node: &str| {
        let node = node.parse().expect("a version");
        let host = Host { platform: &LINUX, node: Some(&node) };
        read(&text, lockfile(), host, Scope::Production).expect("is fine")
    };
    assert_eq!(paths(&read("20.20.2")), ["node_modules/a"]);
    assert_eq!(paths(&read("22.1.0")), ["node_modules/a", "node_modules/b"]);
}

#[test]
fn an_alias_keeps_the_package_s_own_name() {
    let closure = read_linux(&json!({
        "node_modules/@old/ws": with(plain("7.0.0"), json!({"name": "ws", "bin": "cli.js"})),
        "node_modules/@new/ws": with(plain("8.0.0"), json!({"hasInstallScript": true})),
    }));
    let names: Vec<_> = closure.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["@new/ws", "ws"]);
    assert!(closure.packages[0].has_install_script);
    assert_eq!(closure.packages[1].bins, [("ws".to_owned(), "cli.js".to_owned())].into());
}

#[test]
fn bundled_packages_have_no_source_of_their_own() {
    let bundled = json!({"version": "1.0.0", "inBundle": true});
    let packages = json!({
        "": { "bundleDependencies": ["own"], "dependencies": {"a": "1", "own": "1"} },
        "node_modules/a": plain("1.0.0"),
        "node_modules/a/node_modules/b": bundled,
        // npm copies what old versions of it wrote into bundled manifests.
        "node_modules/a/node_modules/b/node_modules/c": with(bundled.clone(), json!({"integrity": "sha1-"})),
        // What the project bundles itself comes from the registry.
        "node_modules/own": with(plain("2.0.0"), json!({"inBundle": true})),
    });
    assert_eq!(from(&packages, "node_modules/a/node_modules/b"), Origin::Bundled);
    assert_eq!(from(&packages, "node_modules/a/node_modules/b/node_modules/c"), Origin::Bundled);
    assert!(matches!(from(&packages, "node_modules/own"), Origin::Registry { .. }));
}

#[test]
fn registries_and_urls_are_told_apart() {
    let dependencies = json!({
        "convention": "^1.0.0", "own-layout": "1", "@s/alias": "npm:@s/real@1", "url": "https://host/url.tgz",
        "like-registry": "https://host/like-registry/-/like-registry-1.0.0.tgz",
    });
    let at = |url: &str, more: Value| with(with(plain("1.0.0"), json!({"resolved": url})), more);
    let packages = json!({
        "": { "dependencies": dependencies },
        "node_modules/convention": at("https://host/convention/-/convention-1.0.0.tgz", json!({})),
        "node_modules/own-layout": at("https://host/download/own-layout/1.0.0/abc", json!({})),
        "node_modules/@s/alias": at("https://host/@s/real/-/real-1.0.0.tgz", json!({"name": "@s/real"})),
        "node_modules/url": at("https://host/url.tgz", json!({})),
        "node_modules/like-registry": at("https://host/like-registry/-/like-registry-1.0.0.tgz", json!({})),
        "node_modules/nobodys": at("https://host/nobodys.tgz", json!({})),
    });
    for name in ["convention", "own-layout", "@s/alias"] {
        let origin = from(&packages, &format!("node_modules/{name}"));
        assert!(matches!(origin, Origin::Registry { resolved: Some(_), .. }), "{name}: {origin:?}");
    }
    for name in ["url", "like-registry", "nobodys"] {
        let origin = from(&packages, &format!("node_modules/{name}"));
        assert!(matches!(origin, Origin::Url { .. }), "{name}: {origin:?}");
    }
}

#[test]
fn files_folders_and_commits() {
    let at = |source: &str| with(plain("1.0.0"), json!({"resolved": source}));
    let commit = "0387a73a4aa0f5041927f348b1ec478cd0507dea";
    let packages = json!({
        "node_modules/a": at("file:../vendor/a.tgz"),
        "node_modules/b": json!({"version": "1.0.0", "resolved": "file:../copied"}),
        "node_modules/c": at(&format!("git+ssh://git@github.com/user/c.git#{commit}")),
    });
    let path = "../vendor/a.tgz".into();
    let integrity: Integrity = integrity("1.0.0").parse().expect("its own text");
    assert_eq!(
        from(&packages, "node_modules/a"),
        Origin::File { integrity: integrity.clone(), path }
    );
    assert_eq!(from(&packages, "node_modules/b"), Origin::Folder { path: "../copied".into() });
    let url = format!("https://codeload.github.com/user/c/tar.gz/{commit}").parse().expect("a URL");
    assert_eq!(from(&packages, "node_modules/c"), Origin::Url { integrity, url });
}

#[test]
fn workspaces_are_folders_and_links() {
    let closure = read_linux(&json!({
        "": { "workspaces": ["packages/*"] },
        "node_modules/@me/a": { "resolved": "packages/a", "link": true },
        "node_modules/ws": plain("8.0.0"),
        "packages/a": { "name": "@me/a", "version": "1.0.0", "dependencies": {"ws": "7"} },
        "packages/a/node_modules/ws": plain("7.0.0"),
        "packages/forgotten": { "version": "1.0.0", "extraneous": true },
        "packages/forgotten/node_modules/ws": plain("6.0.0"),
    }));
    assert_eq!(paths(&closure), ["node_modules/ws", "packages/a", "packages/a/node_modules/ws"]);
    assert_eq!(closure.packages[1].origin, Origin::Folder { path: "packages/a".into() });
    assert_eq!(closure.packages[1].name, "@me/a");
    let link = FolderLink { path: path("node_modules/@me/a"), folder: path("packages/a") };
    assert_eq!(closure.links, [link]);
}

#[test]
fn folders_outside_take_the_place_of_their_first_link() {
    let closure = read_linux(&json!({
        "": { "dependencies": {"a": "file:../a", "z": "file:../z"} },
        "../a": { "version": "1.0.0", "dependencies": {"ws": "7", "z": "file:../z"} },
        "../a/node_modules/ws": plain("7.0.0"),
        "../a/node_modules/z": { "resolved": "../z", "link": true },
        "../z": { "version": "1.0.0", "dependencies": {"a": "file:../a"} },
        "../z/node_modules/a": { "resolved": "../a", "link": true },
        "node_modules/a": { "resolved": "../a", "link": true },
        "node_modules/z": { "resolved": "../z", "link": true },
    }));
    assert_eq!(
        paths(&closure),
        ["node_modules/a", "node_modules/a/node_modules/ws", "node_modules/z"]
    );
    assert_eq!(closure.packages[0].origin, Origin::Folder { path: "../a".into() });
    let link = |from, to| FolderLink { path: path(from), folder: path(to) };
    assert_eq!(
        closure.links,
        [
            link("node_modules/a/node_modules/z", "node_modules/z"),
            link("node_modules/z/node_modules/a", "node_modules/a"),
        ]
    );
}

#[test]
fn of_version_2_only_packages_is_read() {
    let text = json!({
        "lockfileVersion": 2,
        "packages": { "node_modules/a": plain("1.0.0") },
        "dependencies": { "a": { "version": "1.0.0" }, "b": { "version": "1.0.0" } },
        "something new": [1],
    });
    let text = format!("\u{feff}{text}");
    let closure = read(&text, "npm-shrinkwrap.json".into(), &LINUX, Scope::Production);
    assert_eq!(paths(&closure.expect("is fine")), ["node_modules/a"]);
}

#[test]
fn odd_fields_of_old_manifests_are_passed_over() {
    let closure = read_linux(&json!({
        "node_modules/a": with(plain("1.0.0"), json!({
            "engines": ["node >= 0.8"], "bin": 7, "os": null, "cpu": [3], "dependencies": [],
            "license": { "type": "MIT" }, "peerDependenciesMeta": "none",
        })),
    }));
    assert_eq!(paths(&closure), ["node_modules/a"]);
    assert!(closure.packages[0].engines.is_empty() && closure.packages[0].bins.is_empty());
}
