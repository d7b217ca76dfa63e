//! Where binaries are looked for, against what prebuild-install and node-pre-gyp themselves compute.
//!
//! Real packages, each with the downloader that npm installs for it, on every platform there is a target for, run by the
//! Node.js that `examples/gateway` pins. Nothing is downloaded but npm's packages. Needs npm and the registry it is configured
//! for.

mod closures;

use std::collections::BTreeSet;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use closures::{builder, copy, root};
use gangway_artifact::Libc;
use serde_json::Value;
use xtask::addons::NodeAbi;
use xtask::addons::prebuilt::{Destination, Published};
use xtask::config;
use xtask::fetch;
use xtask::lock::Lock;
use xtask::runtime::Mirrors;
use xtask::target::Targets;
use xtask::tree::Node;

/// Prints the address that prebuild-install would ask, started in a package with the arguments of its install script.
const PREBUILD_INSTALL: &str = r"
const path = require('path')
const main = require.resolve('prebuild-install', { paths: [process.cwd()] })
const beside = name => require(path.join(path.dirname(main), name))
const pkg = require(path.resolve('package.json'))
const call = /prebuild-install([^|&;)]*)/.exec(pkg.scripts.install)[1]
process.argv.push(...call.split(/\s+/).filter(Boolean))
const options = Object.assign({}, beside('rc')(pkg), { pkg })
console.log(JSON.stringify({
  url: beside('util').getDownloadUrl(options),
  folder: path.relative(process.cwd(), options.path),
  interface: `${options.runtime}-v${options.abi}`
}))
";

/// The same for `node-pre-gyp install`.
const NODE_PRE_GYP: &str = r"
const path = require('path')
const pkg = require(path.resolve('package.json'))
const name = Object.keys(pkg.dependencies).find(name => /(^|\/)node-pre-gyp$/.test(name))
const main = require.resolve(name, { paths: [process.cwd()] })
const beside = name => require(path.join(path.dirname(main), 'util', name))
const [target_platform, target_arch, target_libc] = process.env.WANTED.split(' ')
const options = { target_platform, target_arch, target_libc }
const napi = beside('napi.js').get_best_napi_build_version(pkg, options)
const found = beside('versioning.js').evaluate(pkg, options, napi)
console.log(JSON.stringify({
  url: found.hosted_tarball.replace('+', '%2B'),
  folder: path.relative(process.cwd(), found.module_path),
  interface: found.node_napi_label
}))
";

#[test]
fn every_package_on_every_platform() {
    let work = tempfile::tempdir().expect("a temporary folder can be made");
    let work = Utf8Path::from_path(work.path()).expect("its name is UTF-8");
    copy(&root().join("xtask/src/addons/testdata/downloads"), work);
    closures::run(work, &["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], &[]);
    let (node, version) = pinned_node();
    let abi = NodeAbi::of("node", &version);
    let platforms: BTreeSet<_> = Targets::built_in().iter().map(|target| target.platform).collect();
    let description = fs_err::read_to_string(work.join("package.json")).expect("just copied");
    let description: Value = serde_json::from_str(&description).expect("npm reads it too");
    let mut compared = 0;
    for name in description["dependencies"].as_object().expect("it has some").keys() {
        let folder = work.join("node_modules").join(name);
        let text = fs_err::read_to_string(folder.join("package.json")).expect("npm laid it out");
        let manifest: Value = serde_json::from_str(&text).expect("npm reads it too");
        let published = Published::read(&manifest, &text).unwrap_or_else(|| panic!("{name}"));
        let script = match &published {
            Published::PrebuildInstall(_) => PREBUILD_INSTALL,
            Published::NodePreGyp(_) => NODE_PRE_GYP,
        };
        for platform in &platforms {
            let to = Destination { platform, abi };
            let libc = platform.libc.map_or("unknown", Libc::as_str);
            let (os, cpu) = (platform.os.as_str(), platform.cpu.as_str());
            let output = Command::new(&node)
                .args(["-e", script, "script"])
                .current_dir(&folder)
                .env("LIBC", libc)
                .envs([("npm_config_platform", os), ("npm_config_arch", cpu)])
                .env("WANTED", format!("{os} {cpu} {libc}"))
                .output()
                .expect("it runs here");
            let said = String::from_utf8_lossy(&output.stderr);
            let theirs: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|_| panic!("{name} for {os} {cpu} {libc}: {said}"));
            let url = published.url(to, None).unwrap_or_else(|reason| panic!("{name}: {reason}"));
            let place = published.place(to).expect("a place");
            assert_eq!(url.as_str(), theirs["url"], "{name} for {os} {cpu} {libc}");
            assert_eq!(place.folder, theirs["folder"], "{name}");
            assert_eq!(published.interface(to).expect("it has one"), theirs["interface"], "{name}");
            compared += 1;
        }
    }
    assert_eq!(compared, 12 * platforms.len());
}

/// The Node.js of `examples/gateway` for this machine, and its version.
fn pinned_node() -> (Utf8PathBuf, String) {
    let gateway = root().join("examples/gateway");
    let (context, store, registry) = builder(&gateway);
    let config = config::load(&gateway.join("gangway.toml")).expect("it is committed");
    let lock = Lock::load(&config).expect("it is committed");
    let host = Targets::built_in().host().expect("tests run on a target").clone();
    let runtime = lock.runtime(&config, &host).expect("it is pinned").expect("it has one");
    let mirrors = Mirrors::from_context(&context, &config.folder).expect("sane settings");
    let request = runtime.request(&mirrors);
    let fetched = fetch::all(&context, &store, &registry, &[request]).expect("served");
    let Some(Node::File(node)) = fetched[&runtime.integrity].get(&runtime.executable) else {
        panic!("no node in the archive")
    };
    (node.path(), runtime.version.clone())
}
