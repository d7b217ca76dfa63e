//! Addresses, and archives from a server of the test's own.

use std::sync::LazyLock;

use camino::Utf8PathBuf;
use gangway_artifact::BundlePath;
use serde_json::json;

use super::*;
use crate::addons::tests::{X64, elf};
use crate::addons::{AddonError, Evidence, Job, NodeAbi, Setting};
use crate::closure::Closure;
use crate::config::Treatment;
use crate::context::Context;
use crate::lock::Lock;
use crate::native::Natives;
use crate::store::Store;
use crate::store::sample::{Entry, tgz};
use crate::target::{Target, Targets};
use crate::testing::{Answer, Sandbox, Server, rendered};
use crate::tree::{Node, Tree};

fn target(name: &str) -> &'static Target {
    static TARGETS: LazyLock<Targets> = LazyLock::new(Targets::built_in);
    TARGETS.find(name).expect("it is one")
}

fn to(name: &str) -> Destination<'static> {
    Destination { platform: &target(name).platform, abi: NodeAbi::of("node", "24.21.0") }
}

fn published(manifest: &Value) -> Published {
    Published::read(manifest, &manifest.to_string()).expect("it is published")
}

/// A package with `binary` for node-pre-gyp.
fn pre_gyp(binary: &Value) -> Published {
    let mut manifest = json!({
        "name": "x", "version": "1.2.3", "scripts": {"install": "node-pre-gyp install"},
        "binary": {"module_name": "x", "module_path": "lib/{node_napi_label}", "host": "https://host.example/x/"},
    });
    let own = manifest["binary"].as_object_mut().expect("it is one");
    own.extend(binary.as_object().expect("it is one").clone());
    published(&manifest)
}

fn prebuild(manifest: &Value) -> Published {
    let mut whole = json!({
        "name": "@scope/x-y", "version": "1.2.3-rc.1", "scripts": {"install": "prebuild-install"},
        "repository": "https://github.com/a/b",
    });
    whole
        .as_object_mut()
        .expect("it is one")
        .extend(manifest.as_object().expect("it is one").clone());
    published(&whole)
}

#[test]
fn what_real_packages_do_not_show() {
    let path = |published: &Published, target: &str, mirror| {
        published.url(to(target), mirror).map_or_else(|reason| reason, |url| url.to_string())
    };
    let plain = "x-y-v1.2.3-rc.1-node-v137-linuxmusl-arm64.tar.gz";
    let of = |manifest: Value| path(&prebuild(&manifest), "linux-arm64-musl", None);
    assert_eq!(
        of(json!({})),
        format!("https://github.com/a/b/releases/download/v1.2.3-rc.1/{plain}")
    );
    let binary = json!({"binary": {"host": "https://host.example/", "remote_path": "/{name}/", "package_name": "{prerelease}-{major}.gz"}});
    assert_eq!(of(binary.clone()), "https://host.example/x-y/rc.1-1.gz");
    let mirrored = path(&prebuild(&binary), "linux-arm64-musl", Some("http://mirror.example/x"));
    assert_eq!(mirrored, format!("http://mirror.example/x/v1.2.3-rc.1/{plain}"));
    let download =
        json!({"scripts": {"install": "prebuild-install -d 'https://host.example/{arch}'"}});
    assert_eq!(of(download), "https://host.example/arm64");

    let of = |binary: Value| path(&pre_gyp(&binary), "macos-arm64", None);
    let plain = "x-v1.2.3-node-v137-darwin-arm64.tar.gz";
    assert_eq!(of(json!({})), format!("https://host.example/x/{plain}"));
    assert_eq!(
        of(json!({"remote_path": "./{name}//v{version}/{toolset}/"})),
        format!("https://host.example/x/x/v1.2.3/{plain}")
    );
    assert_eq!(
        of(json!({"remote_path": "/{libc}", "package_name": "a+b"})),
        "https://host.example/unknown/a%2Bb"
    );
    let label = json!({"napi_versions": [3, 99], "package_name": "{node_napi_label}.gz", "module_path": "lib/{napi_build_version}"});
    assert_eq!(of(label), "https://host.example/x/napi-v3.gz");
    assert_eq!(
        of(json!({"s3ForcePathStyle": true, "bucket": "b"})),
        format!("https://host.example/x/b/{plain}")
    );
    let mirrored = path(&pre_gyp(&json!({})), "linux-x64", Some("http://mirror.example/x"));
    assert_eq!(mirrored, "http://mirror.example/x/x-v1.2.3-node-v137-linux-x64.tar.gz");
}

#[test]
fn where_there_can_be_none() {
    let refused = |published: Published| {
        let refused = published
            .url(to("linux-x64"), None)
            .map(|_| ())
            .and(published.place(to("linux-x64")).map(|_| ()));
        refused.expect_err("there can be none")
    };
    let reasons = [
        refused(prebuild(&json!({"repository": "gitlab:a/b"}))),
        refused(prebuild(&json!({"scripts": {"install": "prebuild-install -r electron"}}))),
        refused(prebuild(
            &json!({"config": {"runtime": "napi"}, "binary": {"napi_versions": [11, 12]}}),
        )),
        refused(prebuild(&json!({"config": {"target": "0.10.48"}}))),
        refused(prebuild(&json!({"scripts": {"install": "prebuild-install --path ../other"}}))),
        refused(prebuild(&json!({"binary": {"host": "ftp://host.example"}}))),
        refused(pre_gyp(&json!({"package_name": "{module_name}-{libc_version}.gz"}))),
        refused(pre_gyp(&json!({"napi_versions": [11], "package_name": "{napi_build_version}"}))),
        refused(pre_gyp(&json!({"module_path": "/usr/lib"}))),
    ];
    insta::assert_snapshot!(reasons.join("\n"), @"
    its package.json names neither a host of binaries nor a repository on GitHub
    its builds are for `electron`
    its builds are for Node-API 11, 12, and the runtime has 10
    its builds are for Node.js 0.10.48, whose ABI is not known here
    `../other` is not a folder in the package
    `ftp://host.example/x-y-v1.2.3-rc.1-node-v137-linux-x64.tar.gz` is no address to download from
    its binaries are named by `{libc_version}`, which nobody knows of a target
    its builds are for Node-API 11, and the runtime has 10
    `/usr/lib` is not a folder in the package
    ");
    let unknown = Destination { abi: None, ..to("linux-x64") };
    assert!(prebuild(&json!({})).url(unknown, None).is_err());
    assert_eq!(
        Published::read(&json!({"name": "x", "scripts": {"install": "node-gyp-build"}}), ""),
        None
    );
}

/// A package `x` 1.0.0 that downloads from a server.
struct Bench {
    server: Server,
    sandbox: Sandbox,
    context: Context,
    store: Store,
    manifest: Value,
}

const PATH: &str = "/v1.0.0/x-v1.0.0-node-v137-linux-x64.tar.gz";

impl Bench {
    /// Its archives: the path that is asked for and the entries.
    fn new(archives: Vec<(&'static str, Vec<Entry>)>) -> Self {
        let server = Server::start(move |seen, _| {
            let found = archives.iter().find(|(path, _)| *path == seen.target);
            found.map_or(Answer::status(404), |(_, entries)| Answer::ok(tgz(entries)))
        });
        let sandbox = Sandbox::new();
        sandbox.write(".npmrc", format!("x_binary_host_mirror={}\n", server.url));
        let context = sandbox.context(&[]);
        let store = Store::open(&context).expect("a fresh folder");
        let manifest = json!({
            "name": "x", "version": "1.0.0", "scripts": {"install": "prebuild-install || node-gyp rebuild"},
            "repository": "https://github.com/a/b",
        });
        Self { server, sandbox, context, store, manifest }
    }

    fn registry(&self) -> Registry {
        Registry::load(&self.context, &self.sandbox.root).expect("sane settings")
    }

    fn package(&self) -> Tree {
        let files =
            [("package.json", self.manifest.to_string()), ("index.js", "module".to_owned())];
        let file = |(path, text): (&str, String)| {
            let source = self.store.add_bytes(text.as_bytes(), false).expect("writable");
            (BundlePath::new(path).expect("plain"), Node::File(source))
        };
        files.into_iter().map(file).collect()
    }

    fn pin(&self, targets: &[&str]) -> Result<Pinned, PrebuiltError> {
        let evidence = Evidence::of(&self.package(), &Natives::default())
            .expect("readable")
            .remove("")
            .expect("one package");
        let wish = |name: &&str| Wish {
            target: target(name),
            abi: NodeAbi::of("node", "24.21.0"),
            name: "x".to_owned(),
            version: "1.0.0".to_owned(),
            path: "node_modules/x".parse().expect("plain"),
            evidence: Some(evidence.clone()),
            host: None,
            kept: None,
        };
        pin(&self.context, &self.store, &self.registry(), targets.iter().map(wish).collect())
    }

    /// What comes of taking what `lock` pins on a target.
    fn take(&self, lock: &Lock, name: &str, engine: &str) -> Result<Vec<String>, AddonError> {
        let closure = Closure::default();
        let setting = Setting {
            target: &target(name).name,
            platform: &target(name).platform,
            abi: NodeAbi::of("node", engine),
            closure: &closure,
            references: &[],
        };
        let job = Job {
            name: "x".to_owned(),
            version: "1.0.0".to_owned(),
            path: "node_modules/x".parse().expect("plain"),
            treatment: Treatment::Prebuilt { host: None },
            sources: None,
            members: Vec::new(),
            binaries: Vec::new(),
            loads: false,
            published: Some(published(&self.manifest)),
        };
        let manifest = Utf8PathBuf::from("gangway.toml");
        let supply = Supply { store: &self.store, lock, manifest: &manifest };
        let jobs = [job];
        fetch(&self.context, &self.registry(), &supply, &setting, &jobs)?;
        let mut tree = Tree::default();
        for (path, node) in self.package() {
            tree.insert(jobs[0].path.join_path(&path).expect("plain"), node);
        }
        place(&supply, &setting, &jobs, &mut tree)?;
        Ok(tree.iter().map(|(path, _)| path.to_string()).collect())
    }

    fn lock(&self, pinned: Pinned) -> Lock {
        let mut lock = Lock::new();
        lock.addons = pinned.pins;
        lock
    }

    fn told(&self, error: &dyn miette::Diagnostic) -> String {
        rendered(error).replace(self.server.url.as_str(), "http://host/")
    }
}

fn addon() -> Vec<Entry> {
    let code = String::from_utf8(elf(X64)).expect("it is ASCII");
    vec![Entry::folder("build/"), Entry::file("build/Release/x.node", &code)]
}

#[test]
fn what_is_pinned_is_taken_once_and_without_the_network() {
    let mut bench = Bench::new(vec![(PATH, addon())]);
    let lock = bench.lock(bench.pin(&["linux-x64"]).expect("served"));
    let [pin] = &lock.addons[..] else { panic!("{:?}", lock.addons) };
    assert_eq!((pin.interface.as_str(), pin.target.as_str()), ("node-v137", "linux-x64"));
    assert!(!lock.to_string().contains("127.0.0.1"), "no server is named");
    bench.context.offline = true;
    let files = bench.take(&lock, "linux-x64", "24.21.0").expect("it is in the store");
    let whole = ["build/Release/x.node", "index.js", "package.json"]
        .map(|path| format!("node_modules/x/{path}"));
    assert_eq!(files, whole);
    assert_eq!(bench.server.targets(), [PATH]);
    // A pin that stays is not downloaded again.
    let mut wish = bench.pin(&[]).expect("nothing to do");
    assert!(wish.pins.is_empty() && wish.unpublished.lacks.is_empty());
    wish.pins.clone_from(&lock.addons);
    assert_eq!(bench.lock(wish), lock);
}

#[test]
fn other_bytes_than_pinned() {
    let bench = Bench::new(vec![(PATH, addon())]);
    let lock = bench.lock(bench.pin(&["linux-x64"]).expect("served"));
    let other = Bench::new(vec![(PATH, [addon(), vec![Entry::file("more", "")]].concat())]);
    let error = other.take(&lock, "linux-x64", "24.21.0").expect_err("other bytes");
    insta::assert_snapshot!(other.told(&error).replace(&lock.addons[0].sha256.to_string(), "PINNED"), @r#"
    × `http://host/v1.0.0/x-v1.0.0-node-v137-linux-x64.tar.gz` is not what `gangway.lock` pins: it has the digest `e9fbfe6164eeff68c0c3d1b233f513ed810bff992ce9db4c4f0a86755878b073`, not
    │ `PINNED`
    help: nothing of it was used. Find out why the file was replaced; `cargo xtask lock --update` pins the new one
    "#);
    let mut offline = Bench::new(vec![(PATH, addon())]);
    offline.context.offline = true;
    let error = offline.take(&lock, "linux-x64", "24.21.0").expect_err("it was never fetched");
    insta::assert_snapshot!(offline.told(&error), @r#"
    × `http://host/v1.0.0/x-v1.0.0-node-v137-linux-x64.tar.gz` is not in the cache and the network is off (`--offline`)
    help: run the command once without `--offline`; after that it needs no network
    "#);
}

#[test]
fn what_is_not_pinned_is_not_looked_for() {
    let bench = Bench::new(vec![(PATH, addon())]);
    let lock = bench.lock(bench.pin(&["linux-x64"]).expect("served"));
    let before = bench.server.targets();
    let error = bench.take(&lock, "linux-arm64", "24.21.0").expect_err("not pinned");
    insta::assert_snapshot!(bench.told(&error), @r#"
    × `gangway.lock` pins no binary of x 1.0.0 for `linux-arm64`
    help: run `cargo xtask lock --manifest gangway.toml --target linux-arm64` and commit the result; if its makers publish none for it, that says what else there is
    "#);
    let error = bench.take(&lock, "linux-x64", "26.1.0").expect_err("pinned for another");
    insta::assert_snapshot!(bench.told(&error), @r#"
    × `gangway.lock` pins no binary of x 1.0.0 for `linux-x64`: the one it pins is made for node-v137, the runtime needs node-v147
    help: run `cargo xtask lock --manifest gangway.toml --target linux-x64` and commit the result; if its makers publish none for it, that says what else there is
    "#);
    assert_eq!(bench.server.targets(), before);
}

#[test]
fn what_nobody_publishes_is_told_with_the_ways_out() {
    let arm = "/v1.0.0/x-v1.0.0-node-v137-linux-arm64.tar.gz";
    let musl = "/v1.0.0/x-v1.0.0-node-v137-linuxmusl-x64.tar.gz";
    let bench =
        Bench::new(vec![(PATH, addon()), (arm, addon()), (musl, vec![Entry::file("a", "")])]);
    let pinned =
        bench.pin(&["linux-x64", "linux-arm64", "linux-x64-musl", "windows-x64"]).expect("served");
    assert_eq!(pinned.pins.len(), 1);
    let error = PrebuiltError::Unpublished(pinned.unpublished);
    insta::assert_snapshot!(bench.told(&error), @r#"
    × there is no binary to download where `action = "prebuilt"` wants one:
    │   x 1.0.0 for linux-arm64: `http://host/v1.0.0/x-v1.0.0-node-v137-linux-arm64.tar.gz` will not do: `build/Release/x.node` in it is made for linux x64
    │   x 1.0.0 for linux-x64-musl: `http://host/v1.0.0/x-v1.0.0-node-v137-linuxmusl-x64.tar.gz` will not do: no addon is in it
    │   x 1.0.0 for windows-x64: `http://host/v1.0.0/x-v1.0.0-node-v137-win32-x64.tar.gz` answered 404 Not Found
    help: let the manifest choose for each target: name in the `targets` of `action = "prebuilt"` those that have one, and decide for these
          
          [[addon]]
          package = "x"
          targets = ["linux-arm64", "linux-x64-musl", "windows-x64"]
          action = "omit"    # it has no `binding.gyp` to build
          reason = ""    # why the gateway works without it
    "#);
}

#[test]
fn an_archive_only_brings_what_the_package_lacks() {
    let told = |entry: Entry| {
        let bench = Bench::new(vec![(PATH, [addon(), vec![entry]].concat())]);
        let taken = bench
            .pin(&["linux-x64"])
            .map_err(AddonError::from)
            .and_then(|pinned| bench.take(&bench.lock(pinned), "linux-x64", "24.21.0"));
        let error = taken.expect_err("it is refused");
        let source = std::error::Error::source(&error);
        source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    };
    let told = [
        told(Entry::file("index.js", "stolen")),
        told(Entry::file("index.js/a", "")),
        told(Entry::file("../other/index.js", "")),
        told(Entry::file("/etc/passwd", "")),
        told(Entry::file("node_modules/other/index.js", "")),
        told(Entry::link("build/a", "../../../b")),
        told(Entry::kind("build/a", b'3')),
        told(Entry::hard_link("build/a", "index.js")),
    ];
    insta::assert_snapshot!(told.join("\n"), @r#"
    the binary of x 1.0.0 for `linux-x64` comes with `index.js`, which the package has itself
    the binary of x 1.0.0 for `linux-x64` comes with `index.js/a`, below what is no folder
    cannot unpack the binary of x 1.0.0 for `linux-x64`: a file in it cannot be in a bundle
    cannot unpack the binary of x 1.0.0 for `linux-x64`: a file in it cannot be in a bundle
    the binary of x 1.0.0 for `linux-x64` comes with `node_modules/other/index.js`, which is in another package
    cannot unpack the binary of x 1.0.0 for `linux-x64`: the link `build/a` in it points to `../../../b`, outside of the archive
    cannot unpack the binary of x 1.0.0 for `linux-x64`: `build/a` in it is neither a file, a folder nor a symbolic link
    cannot unpack the binary of x 1.0.0 for `linux-x64`: `build/a` in it is neither a file, a folder nor a symbolic link
    "#);
    let same =
        Bench::new(vec![(PATH, [addon(), vec![Entry::file("index.js", "module")]].concat())]);
    let lock = same.lock(same.pin(&["linux-x64"]).expect("served"));
    assert!(same.take(&lock, "linux-x64", "24.21.0").is_ok(), "the same file again is no harm");
}

#[test]
fn a_mirror_is_named_as_npm_does_and_by_the_manifest() {
    let published = prebuild(&json!({}));
    let sandbox = Sandbox::new();
    let of = |environment: &[(&str, &str)], host: Option<&str>| {
        let registry = Registry::load(&sandbox.context(environment), &sandbox.root).expect("sane");
        let host = host.map(|host| Url::parse(host).expect("one"));
        published.mirror(&registry, host.as_ref())
    };
    assert_eq!(of(&[], None), None);
    assert_eq!(of(&[], Some("https://a.example/")).as_deref(), Some("https://a.example/"));
    sandbox.write(".npmrc", "scope_x_y_binary_host_mirror=https://file.example\n");
    assert_eq!(of(&[], Some("https://a.example/")).as_deref(), Some("https://file.example"));
    let variable = [("npm_config_scope_x_y_binary_host_mirror", "https://variable.example")];
    assert_eq!(of(&variable, None).as_deref(), Some("https://variable.example"));
    let first = [variable[0], ("npm_config_scope_x_y_binary_host", "https://first.example")];
    assert_eq!(of(&first, None).as_deref(), Some("https://first.example"));
}
