//! Bundles for other systems, started on such systems: under emulation, or with the root of another one.
//!
//! Each module needs one machine, which a variable names; CONTRIBUTING.md lists them. `cargo xtask ci` runs the modules
//! whose machines are there. All need zig, cargo-zigbuild and Rust's standard libraries of the targets. The example is
//! bundled once for all of them.

use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::gateway::{Gateway, Places, version};
use e2e::{Machine, archive_for, bundles, repository, scratch, unpack};
use serde_json::Value;

/// The targets of the example that are started here.
const TARGETS: [&str; 5] =
    ["jetson", "jetson-jp5", "linux-arm64", "linux-x64-musl", "windows-x64"];

const BOTH: &[&str] = &["words", "digest"];

/// The example for one of the targets, unpacked. Linux has two folders for temporary files in common with no other
/// machine: the one that is bound.
fn example(target: &str) -> (tempfile::TempDir, Utf8PathBuf) {
    static MADE: OnceLock<Vec<Value>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let manifest = repository().join("examples/gateway/gangway.toml");
        let targets: Vec<_> = TARGETS.iter().flat_map(|target| ["--target", *target]).collect();
        bundles(&manifest, &scratch("bundles-emulated"), &targets)
    });
    unpack(archive_for(made, target))
}

/// The example with these services on a Linux machine.
fn on_linux(machine: &Machine, bundle: &Utf8Path, services: &[&str]) {
    let gateway =
        Gateway { machine, bundle, suffix: "", places: Places::Sockets, services };
    gateway.works();
}

/// What a service in Python says where there is no Python.
#[track_caller]
fn asks_for_python(gateway: &Gateway<'_>) {
    let (status, said) = gateway.says("digest", &["--version"]);
    assert_eq!(status, Some(127), "{said}");
    for part in ["cannot start `digest`", "it needs Python 3.8 or newer", "has no Python"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

/// Linux on arm64 with glibc 2.31, as JetPack 5 has it, and Python 3.8 or newer.
mod arm64_glibc_2_31 {
    use super::{BOTH, Gateway, Machine, Places, asks_for_python, example, on_linux};
    use super::{Utf8Path, bundles, repository, scratch, unpack};

    const VARIABLE: &str = "GANGWAY_TEST_ARM64_GLIBC_2_31";

    #[test]
    #[ignore = "needs an arm64 machine with glibc 2.31, named by GANGWAY_TEST_ARM64_GLIBC_2_31"]
    fn the_bundle_for_linux() {
        let (_folder, bundle) = example("linux-arm64");
        on_linux(&Machine::named(VARIABLE), &bundle, BOTH);
    }

    #[test]
    #[ignore = "needs an arm64 machine with glibc 2.31, named by GANGWAY_TEST_ARM64_GLIBC_2_31"]
    fn the_bundle_for_jetpack_5() {
        let (_folder, bundle) = example("jetson-jp5");
        on_linux(&Machine::named(VARIABLE), &bundle, BOTH);
    }

    #[test]
    #[ignore = "needs an arm64 machine with glibc 2.31, named by GANGWAY_TEST_ARM64_GLIBC_2_31"]
    fn without_a_python_the_service_says_so() {
        let (_folder, bundle) = example("jetson-jp5");
        let machine = Machine::named(VARIABLE).with_empty_path();
        let gateway = Gateway {
            machine: &machine,
            bundle: &bundle,
            suffix: "",
            places: Places::Sockets,
            services: &[],
        };
        asks_for_python(&gateway);
    }

    /// The heaviest of all: a hundred megabytes of JavaScript under emulation. Its version alone loads the runtime, the
    /// layout of the packages and what the launcher sets.
    #[test]
    #[ignore = "needs an arm64 machine with glibc 2.31, named by GANGWAY_TEST_ARM64_GLIBC_2_31"]
    fn openclaw_for_jetpack_5() {
        let manifest = repository().join("examples/openclaw/gangway.toml");
        let made = bundles(&manifest, &scratch("bundles-emulated"), &["--target", "jetson-jp5"]);
        let (_folder, bundle) = unpack(super::archive_for(&made, "jetson-jp5"));
        let home = tempfile::tempdir().expect("a folder for temporary files");
        let home = Utf8Path::from_path(home.path()).expect("UTF-8");
        let mut openclaw = Machine::named(VARIABLE).start(&bundle, "openclaw", home);
        let output = openclaw.arg("--version").output().expect("it starts");
        let said = e2e::text(&output);
        assert!(output.status.success() && said.contains("2026.9.6"), "{said}");
    }
}

/// Linux on arm64 with glibc 2.36.
mod arm64_glibc_2_36 {
    use super::{BOTH, Machine, example, on_linux};

    const VARIABLE: &str = "GANGWAY_TEST_ARM64_GLIBC_2_36";

    #[test]
    #[ignore = "needs an arm64 machine with glibc 2.36, named by GANGWAY_TEST_ARM64_GLIBC_2_36"]
    fn the_bundle_for_linux() {
        let (_folder, bundle) = example("linux-arm64");
        on_linux(&Machine::named(VARIABLE), &bundle, BOTH);
    }

    #[test]
    #[ignore = "needs an arm64 machine with glibc 2.36, named by GANGWAY_TEST_ARM64_GLIBC_2_36"]
    fn the_bundle_for_jetpack_6() {
        let (_folder, bundle) = example("jetson");
        on_linux(&Machine::named(VARIABLE), &bundle, BOTH);
    }
}

/// Linux on x86-64 with musl and nothing else.
mod musl_x64 {
    use super::{Gateway, Machine, Places, asks_for_python, example, on_linux};

    const VARIABLE: &str = "GANGWAY_TEST_MUSL_X64";

    #[test]
    #[ignore = "needs a root with musl, named by GANGWAY_TEST_MUSL_X64"]
    fn the_bundle_needs_nothing_but_the_c_library() {
        let (_folder, bundle) = example("linux-x64-musl");
        let machine = Machine::named(VARIABLE);
        on_linux(&machine, &bundle, &["words"]);
        let gateway = Gateway {
            machine: &machine,
            bundle: &bundle,
            suffix: "",
            places: Places::Sockets,
            services: &[],
        };
        asks_for_python(&gateway);
    }
}

/// Windows on x86-64.
mod windows_x64 {
    use super::{Gateway, Machine, Places, asks_for_python, example, version};

    const VARIABLE: &str = "GANGWAY_TEST_WINDOWS_X64";

    #[test]
    #[ignore = "needs Windows or wine, named by GANGWAY_TEST_WINDOWS_X64"]
    fn the_bundle_works() {
        let (_folder, bundle) = example("windows-x64");
        let machine = Machine::named(VARIABLE);
        let gateway = Gateway {
            machine: &machine,
            bundle: &bundle,
            suffix: ".exe",
            places: Places::Ports,
            services: &["words"],
        };
        gateway.works();
        assert_eq!(gateway.says("words", &["--version"]), (Some(0), version()));
        asks_for_python(&gateway);
    }
}
