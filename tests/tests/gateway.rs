//! `examples/gateway`, bundled and run where nothing is installed.

use camino::Utf8Path;
use e2e::gateway::{Gateway, Places, version};
use e2e::{Machine, bare, unpacked_example};

#[test]
fn the_cli_runs_with_an_empty_environment() {
    let (_folder, bundle) = unpacked_example("gateway");
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let home = Utf8Path::from_path(home.path()).expect("UTF-8");
    let output =
        bare(&bundle.join("bin/echo-gateway"), home).arg("--version").output().expect("it starts");
    assert!(output.status.success(), "{}", e2e::text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), version());
    let left: Vec<_> = fs_err::read_dir(home).expect("readable").collect();
    assert!(left.is_empty(), "it wrote into the home folder: {left:?}");
}

#[test]
fn a_client_gets_its_echo_and_the_answers_of_addon_and_service() {
    let (_folder, bundle) = unpacked_example("gateway");
    let gateway = Gateway {
        machine: &Machine::this(),
        bundle: &bundle,
        suffix: "",
        places: Places::Sockets,
        // That in Python needs a Python of this machine; it is asked on machines that have one for sure.
        services: &["words"],
    };
    gateway.works();
}
