//! Windows on x86-64, without a Python.

use e2e::gateway::{Gateway, Places, version};
use e2e::{Machine, text};

use super::journey::{Journey, System};
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

/// `bin/*.exe` are copies of the launcher, which follow `current`: the versions they tell are those that were switched to.
#[test]
#[ignore = "needs Windows or wine, named by GANGWAY_TEST_WINDOWS_X64"]
fn the_installer() {
    let machine = Machine::named(VARIABLE);
    let system =
        System { suffix: ".exe", places: Places::Ports, services: &["words"], has_python: false };
    let journey = Journey::new(&machine, "windows-x64");
    journey.refuses_another_folder_for_programs();
    journey.goes_well(&system);
}

/// The registry is not in a folder and lasts as long as one start of the machine, so all of it happens in one.
#[test]
#[ignore = "needs Windows or wine, named by GANGWAY_TEST_WINDOWS_X64"]
fn the_search_path_in_the_registry() {
    const QUERY: &str = "reg query HKCU\\Environment /v Path";
    let machine = Machine::named(VARIABLE);
    let journey = Journey::new(&machine, "windows-x64");
    let installer = journey.installer();
    let output = journey.session(&[
        "reg add HKCU\\Environment /v Path /t REG_EXPAND_SZ /d ^%%SystemRoot^%%\\mine /f"
            .to_owned(),
        journey.line(&installer, "install --force"),
        "echo --- installed".to_owned(),
        QUERY.to_owned(),
        journey.line(&installer, "uninstall"),
        "echo --- uninstalled".to_owned(),
        QUERY.to_owned(),
    ]);
    let said = text(&output);
    let (_, after) = said.split_once("--- installed").expect(&said);
    let (installed, uninstalled) = after.split_once("--- uninstalled").expect(&said);
    let folder = journey.written(&journey.bin_dir());
    assert!(installed.contains(&folder) && installed.contains("\\mine"), "{said}");
    assert!(!uninstalled.contains(&folder) && uninstalled.contains("\\mine"), "{said}");
    // As it was: what is to be expanded still is.
    assert!(
        uninstalled.contains("REG_EXPAND_SZ") && uninstalled.contains("%SystemRoot%"),
        "{said}"
    );
    journey.is_left_as_it_was();
}
