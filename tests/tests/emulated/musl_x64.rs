//! Linux on x86-64 with musl, and with nothing else.

use e2e::Machine;
use e2e::gateway::Places;

use super::journey::{Journey, System};
use super::{asks_for_python, example, on_linux};

const VARIABLE: &str = "GANGWAY_TEST_MUSL_X64";

#[test]
#[ignore = "needs a root with musl, named by GANGWAY_TEST_MUSL_X64"]
fn the_bundle_needs_nothing_but_the_c_library() {
    let (_folder, bundle) = example("linux-x64-musl");
    let machine = Machine::named(VARIABLE);
    let gateway = on_linux(&machine, &bundle, &["words"]);
    gateway.works();
    asks_for_python(&gateway);
}

#[test]
#[ignore = "needs a root with musl, named by GANGWAY_TEST_MUSL_X64"]
fn the_installer() {
    let machine = Machine::named(VARIABLE);
    let system =
        System { suffix: "", places: Places::Sockets, services: &["words"], has_python: false };
    Journey::new(&machine, "linux-x64-musl").goes_well(&system);
}
