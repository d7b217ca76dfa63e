//! The same inputs give the same bytes, wherever and however they are bundled.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{copy, gangway, repository, scratch, text};
use serde_json::Value;

/// One way to call the builder.
struct Circumstances {
    folder: &'static str,
    umask: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

const HERE: Circumstances = Circumstances {
    folder: "here",
    umask: "022",
    environment: &[("TZ", "UTC"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")],
};

const ELSEWHERE: Circumstances = Circumstances {
    folder: "else where/in ä longer folder",
    umask: "077",
    environment: &[
        ("TZ", "Asia/Kolkata"),
        ("LANG", "tr_TR.UTF-8"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("GANGWAY_JOBS", "1"),
    ],
};

#[test]
fn folder_umask_time_zone_locale_and_cores_do_not_matter() {
    let formats = ["tar.zst", "tar.gz", "zip"];
    let here = digests(&HERE, &formats);
    let elsewhere = digests(&ELSEWHERE, &formats);
    assert_eq!(here.len(), formats.len());
    assert_eq!(here, elsewhere);
}

/// Copies the example into a folder of its own and bundles it there with a new cache; only downloads are shared by
/// being downloaded again from the same lock.
fn digests(circumstances: &Circumstances, formats: &[&str]) -> Vec<(String, String)> {
    let folder =
        tempfile::tempdir_in(scratch("reproducible")).expect("the build folder can be written to");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8").join(circumstances.folder);
    copy(&repository().join("examples/gateway"), &folder);
    let program = gangway();
    let mut shell = Command::new("sh");
    // The umask is the process's own: only a shell can set it without code that is unsafe.
    shell.args(["-c", &format!("umask {}; exec \"$@\"", circumstances.umask), "sh"]);
    shell.arg(program.get_program()).args(["bundle", "--json", "--out", "out"]);
    shell.args(formats.iter().flat_map(|format| ["--format", *format]));
    shell
        .current_dir(&folder)
        .env("GANGWAY_CACHE", folder.join("a cache"))
        .envs(circumstances.environment.iter().copied());
    let output = shell.output().expect("sh is everywhere");
    assert!(output.status.success(), "{}", text(&output));
    let bundles: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    let entries = bundles["bundles"].as_array().expect("a list");
    entries
        .iter()
        .map(|bundle| {
            let archive = Utf8PathBuf::from(bundle["archive"].as_str().expect("a path"));
            let name = archive.file_name().expect("a file").to_owned();
            (name, bundle["sha256"].as_str().expect("a digest").to_owned())
        })
        .collect()
}
