//! Packages that build with cmake-js.
//!
//! cmake-js itself is not run: it would download headers and look for compilers. What it does besides is to call CMake twice,
//! with the definitions that `CMakeLists.txt` files ask for; that is done here, with the target's headers and compilers.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use gangway_artifact::BundlePath;
use serde_json::Value;

use super::{Bench, surroundings};
use crate::addons::script;
use crate::process::Command;
use crate::toolchain::Compilers;
use crate::tree::{Node, Tree};
use crate::workshop::Workshop;

/// The cmake-js whose ways these are: what `CMakeLists.txt` files read as `CMAKE_JS_VERSION`.
const VERSION: &str = "8.0.0";

/// Where it builds, in the package.
const FOLDER: &str = "build";

/// CMake 4 refuses what asks for the ways of a CMake before 3.5. Published packages do not change; CMake offers this variable
/// for them, and older ones do not know it.
const OLDEST_POLICY: (&str, &str) = ("CMAKE_POLICY_VERSION_MINIMUM", "3.5");

/// Packages of headers that cmake-js looks for.
const HEADERS: [&str; 2] = ["node-addon-api", "nan"];

/// What the install script says to cmake-js.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    /// The one target to build.
    target: Option<String>,
    /// Further definitions, as `NAME=value`.
    definitions: Vec<String>,
}

/// Configures and builds the package in `folder`, which lies in the workshop; `cmake` is the program.
pub(super) fn commands(
    bench: &Bench<'_>,
    purpose: &str,
    folder: &BundlePath,
    around: &Tree,
    (cmake, compilers): (&Utf8PathBuf, &Compilers),
    workshop: &Workshop<'_>,
) -> [Command; 2] {
    let wishes = wishes(around, folder);
    let package = workshop.seen(folder.as_str());
    let build = package.join(FOLDER);
    let mut definitions = vec![
        format!("CMAKE_JS_VERSION={VERSION}"),
        "CMAKE_BUILD_TYPE=Release".to_owned(),
        format!("CMAKE_LIBRARY_OUTPUT_DIRECTORY={}", build.join("Release")),
        format!("CMAKE_JS_INC={}", includes(around, folder, workshop)),
        "CMAKE_JS_SRC=".to_owned(),
        "CMAKE_JS_LIB=".to_owned(),
        "NODE_RUNTIME=node".to_owned(),
        format!("NODE_ARCH={}", bench.target.platform.cpu.as_str()),
        format!("CMAKE_TOOLCHAIN_FILE={}", compilers.cmake_toolchain),
    ];
    definitions.extend(wishes.definitions);
    let configure = Command::new(purpose, cmake.as_path())
        .args(["-S", package.as_str(), "-B", build.as_str(), "-G", "Unix Makefiles"])
        .arg("--no-warn-unused-cli")
        .args(definitions.iter().map(|definition| format!("-D{definition}")));
    let jobs = bench.context.jobs.to_string();
    let make = Command::new(purpose, cmake.as_path())
        .args(["--build", build.as_str(), "--config", "Release", "--parallel", &jobs])
        .args(wishes.target.iter().flat_map(|target| ["--target", target]));
    [configure, make].map(|command| command.env(OLDEST_POLICY.0, OLDEST_POLICY.1))
}

/// The runtime's headers, and those of the packages that addons are written with, as one list of CMake's.
fn includes(around: &Tree, folder: &BundlePath, workshop: &Workshop<'_>) -> String {
    let own = workshop.seen_tools("headers/include/node");
    let packages =
        HEADERS.iter().filter_map(|name| surroundings::resolve(around, folder.as_str(), name));
    let packages = packages.map(|folder| workshop.seen(&folder));
    std::iter::once(own).chain(packages).map(Utf8PathBuf::into_string).collect::<Vec<_>>().join(";")
}

fn wishes(around: &Tree, folder: &BundlePath) -> Wishes {
    let Some(Node::File(source)) = around.get(&format!("{folder}/package.json")) else {
        return Wishes::default();
    };
    // It has been read before; what is malformed now was then.
    let text = std::fs::read(source.path()).unwrap_or_default();
    let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
    let scripts = ["preinstall", "install", "postinstall"].map(|event| &manifest["scripts"][event]);
    let call = scripts.iter().find_map(|script| script::arguments(script.as_str()?, "cmake-js"));
    of(&script::options(&call.unwrap_or_default(), &[("T", "target")]))
}

/// `--target x`, and `--CDNAME=value` for every definition.
fn of(options: &BTreeMap<String, String>) -> Wishes {
    let definition = |(name, value): (&String, &String)| {
        let name = name.strip_prefix("CD").filter(|name| !name.is_empty())?;
        Some(format!("{name}={value}"))
    };
    Wishes {
        target: options.get("target").cloned(),
        definitions: options.iter().filter_map(definition).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_install_script_says() {
        let script =
            "pkg-prebuilds-verify ./x.js || cmake-js compile -T jpeg --CDWITH_SIMD=0 -B Release";
        let call = script::arguments(script, "cmake-js").expect("it is called");
        let expected =
            Wishes { target: Some("jpeg".to_owned()), definitions: vec!["WITH_SIMD=0".to_owned()] };
        assert_eq!(of(&script::options(&call, &[("T", "target")])), expected);
    }
}
