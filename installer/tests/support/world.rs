//! A machine and the releases that are installed on it, by the installer's commands.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use serde_json::Value;

use super::{Machine, Releases, said};

pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) root: Utf8PathBuf,
    pub(crate) releases: Releases,
    pub(crate) machine: Machine,
}

impl World {
    /// A machine with nothing on it, and releases with these versions, the last one being the newest.
    pub(crate) fn new(versions: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8PathBuf::from_path_buf(folder.path().canonicalize().expect("it is there"));
        let root = root.expect("UTF-8");
        let mut releases = Releases::new(root.join("releases"));
        for version in versions {
            releases.publish(version);
        }
        let machine = Machine::new(root.join("home"));
        Self { _folder: folder, root, releases, machine }
    }

    /// Installs it.
    pub(crate) fn first(&self, arguments: &[&str]) -> Output {
        let base = self.releases.folder.as_str();
        run(self.machine.fetched().args(["install", "--from", base]).args(arguments))
    }

    /// Has the installer that was installed do something.
    pub(crate) fn then(&self, arguments: &[&str]) -> Output {
        run(self.machine.installed().args(arguments))
    }

    /// What it says, without the places of this test.
    pub(crate) fn text(&self, bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).expect("UTF-8").replace(self.root.as_str(), "TMP")
    }

    pub(crate) fn slots(&self) -> Vec<String> {
        Machine::names(&self.machine.prefix().join("versions"))
    }

    /// The version that is used, every byte of it looked at.
    pub(crate) fn current(&self) -> Option<String> {
        self.machine.check_used(&self.releases)
    }

    /// The content of `state.json`.
    pub(crate) fn state(&self) -> Value {
        let state = fs::read(self.machine.prefix().join("state.json")).expect("it is installed");
        serde_json::from_slice(&state).expect("the installer's own")
    }
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

#[track_caller]
pub(crate) fn well(output: Output) -> Output {
    assert!(output.status.success(), "{}", said(&output));
    output
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

/// What is in a folder: each file and link by its path, with a digest of its content or the place it leads to.
pub(crate) fn content(folder: &Utf8Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    gather(folder, "", &mut found);
    found
}

/// What is different in a folder now. The lock says who was at work there last.
pub(crate) fn changes(before: &BTreeMap<String, String>, folder: &Utf8Path) -> Vec<String> {
    let now = content(folder);
    let names = before.keys().chain(now.keys()).filter(|name| before.get(*name) != now.get(*name));
    let mut names: Vec<String> = names.filter(|name| !name.ends_with("/lock")).cloned().collect();
    names.sort();
    names.dedup();
    names
}

fn gather(folder: &Utf8Path, above: &str, found: &mut BTreeMap<String, String>) {
    for entry in folder.read_dir_utf8().expect("it is there") {
        let entry = entry.expect("readable");
        let name = format!("{above}{}", entry.file_name());
        let kind = entry.file_type().expect("readable");
        if kind.is_dir() {
            gather(entry.path(), &format!("{name}/"), found);
        } else if kind.is_symlink() {
            found.insert(name, entry.path().read_link_utf8().expect("a link").into_string());
        } else {
            let bytes = fs::read(entry.path()).expect("readable");
            found.insert(name, Digest::of(bytes).to_string());
        }
    }
}
