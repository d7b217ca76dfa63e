//! Windows on x86-64, without a Python.

use e2e::Machine;
use e2e::gateway::{Gateway, Places, version};

use super::{asks_for_python, example};

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
