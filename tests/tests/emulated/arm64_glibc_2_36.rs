//! Linux on arm64 with glibc 2.36 and with a Python.

use e2e::Machine;

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
