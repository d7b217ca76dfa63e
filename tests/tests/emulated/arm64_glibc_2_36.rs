//! Linux on arm64 with glibc 2.36 and with a Python.

use e2e::gateway::{Places, bundles_with};
use e2e::{Machine, archive_for, napi, unpack};

use super::journey::{Journey, System};
use super::{example, on_linux};

const VARIABLE: &str = "GANGWAY_TEST_ARM64_GLIBC_2_36";

#[test]
#[ignore = "needs an arm64 machine with glibc 2.36, named by GANGWAY_TEST_ARM64_GLIBC_2_36"]
fn the_bundle_for_linux() {
    let (_folder, bundle) = example("linux-arm64");
    on_linux(&Machine::named(VARIABLE), &bundle, &["words", "digest"]).works();
}

#[test]
#[ignore = "needs an arm64 machine with glibc 2.36, named by GANGWAY_TEST_ARM64_GLIBC_2_36"]
fn the_bundle_for_jetpack_6() {
    let (_folder, bundle) = example("jetson");
    on_linux(&Machine::named(VARIABLE), &bundle, &["words", "digest"]).works();
}

#[test]
#[ignore = "needs an arm64 machine with glibc 2.36, named by GANGWAY_TEST_ARM64_GLIBC_2_36"]
fn the_example_under_bun() {
    works_under("bun@^1.4");
}

#[test]
#[ignore = "needs an arm64 machine with glibc 2.36, named by GANGWAY_TEST_ARM64_GLIBC_2_36"]
fn the_example_under_deno() {
    works_under("deno@^2.9");
}

#[test]
#[ignore = "needs an arm64 machine with glibc 2.36, named by GANGWAY_TEST_ARM64_GLIBC_2_36"]
fn an_addon_of_the_workspace() {
    let made = napi::bundled(&["linux-x64", "linux-arm64"]);
    let (_folder, bundle) = unpack(archive_for(&made, "linux-arm64"));
    assert_eq!(napi::said_on(&Machine::named(VARIABLE), &bundle), "arm64 42 hello you");
}

fn works_under(runtime: &str) {
    let made = bundles_with(runtime, &["linux-arm64"]);
    let (_folder, bundle) = unpack(archive_for(&made, "linux-arm64"));
    on_linux(&Machine::named(VARIABLE), &bundle, &["words", "digest"]).works();
}

#[test]
#[ignore = "needs an arm64 machine with glibc 2.36, named by GANGWAY_TEST_ARM64_GLIBC_2_36"]
fn the_installer() {
    let machine = Machine::named(VARIABLE);
    let system = System {
        suffix: "",
        places: Places::Sockets,
        services: &["words", "digest"],
        has_python: true,
    };
    Journey::new(&machine, "linux-arm64").goes_well(&system);
}
