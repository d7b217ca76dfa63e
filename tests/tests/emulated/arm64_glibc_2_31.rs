//! Linux on arm64 with glibc 2.31, as JetPack 5 has it, and with a Python.

use camino::Utf8Path;
use e2e::gateway::Places;
use e2e::{Machine, archive_for, bundles, repository, scratch, unpack};

use super::journey::{Journey, System};
use super::{example, on_linux};

const VARIABLE: &str = "GANGWAY_TEST_ARM64_GLIBC_2_31";

#[test]
#[ignore = "needs an arm64 machine with glibc 2.31, named by GANGWAY_TEST_ARM64_GLIBC_2_31"]
fn the_bundle_for_linux() {
    let (_folder, bundle) = example("linux-arm64");
    on_linux(&Machine::named(VARIABLE), &bundle, &["words", "digest"]).works();
}

#[test]
#[ignore = "needs an arm64 machine with glibc 2.31, named by GANGWAY_TEST_ARM64_GLIBC_2_31"]
fn the_bundle_for_jetpack_5() {
    let (_folder, bundle) = example("jetson-jp5");
    on_linux(&Machine::named(VARIABLE), &bundle, &["words", "digest"]).works();
}

/// The heaviest of all: a hundred megabytes of JavaScript under emulation. Its version alone loads the runtime, goes
/// through the layout of the packages and needs what the launcher sets.
#[test]
#[ignore = "needs an arm64 machine with glibc 2.31, named by GANGWAY_TEST_ARM64_GLIBC_2_31"]
fn openclaw_for_jetpack_5() {
    let manifest = repository().join("examples/openclaw/gangway.toml");
    let made = bundles(&manifest, &scratch("bundles-emulated"), &["--target", "jetson-jp5"]);
    let (_folder, bundle) = unpack(archive_for(&made, "jetson-jp5"));
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let home = Utf8Path::from_path(home.path()).expect("UTF-8");
    let mut openclaw = Machine::named(VARIABLE).start(&bundle, "openclaw", home);
    let output = openclaw.arg("--version").output().expect("it starts");
    let said = e2e::text(&output);
    assert!(output.status.success() && said.contains("2026.9.6"), "{said}");
}

#[test]
#[ignore = "needs an arm64 machine with glibc 2.31, named by GANGWAY_TEST_ARM64_GLIBC_2_31"]
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
