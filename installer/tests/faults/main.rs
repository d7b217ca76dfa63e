//! Disks that are full or read-only, folders of somebody else, networks and servers that fail or lie, clocks that are wrong.
//!
//! Whatever it is, the app is one whole version afterwards, the old or the new one, and when it has passed the same command does the job.

#![cfg(target_os = "linux")]

mod clocks;
mod disks;
mod networks;
mod shim;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use support::{Machine, Releases, said};

struct World {
    _folder: Option<tempfile::TempDir>,
    old: Releases,
    new: Releases,
    machine: Machine,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8PathBuf::from_path_buf(folder.path().canonicalize().expect("it is there"));
        let root = root.expect("UTF-8");
        let world = Self::at(&root, &root.join("home"));
        Self { _folder: Some(folder), ..world }
    }

    fn at(root: &Utf8Path, home: &Utf8Path) -> Self {
        let mut old = Releases::new(root.join("old"));
        old.publish("1.0.0");
        let mut new = Releases::new(root.join("new"));
        new.publish("1.0.0");
        new.publish("2.0.0");
        Self { _folder: None, old, new, machine: Machine::new(home.to_owned()) }
    }

    fn install(&self) -> Command {
        let mut command = self.machine.fetched();
        command.args(["install", "--from", self.old.folder.as_str()]);
        command
    }

    fn update(&self, base: &str) -> Command {
        let mut command = self.machine.installed();
        command.args(["update", "--from", base]).env("GANGWAY_TIMEOUT", "1");
        command.env("GANGWAY_RETRIES", "1");
        command
    }

    fn installed(self) -> Self {
        well(&mut self.install());
        self
    }

    /// What the app is, every byte of it looked at.
    fn app(&self) -> Option<String> {
        self.machine.check_used(&self.new)
    }

    fn files(&self) -> BTreeMap<String, Arc<[u8]>> {
        let names = Machine::names(&self.new.folder);
        let read = |name: String| {
            let bytes = fs::read(self.new.folder.join(&name)).expect("readable");
            (name, bytes.into())
        };
        names.into_iter().map(read).collect()
    }
}

fn run(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn well(command: &mut Command) {
    let output = run(command);
    assert!(output.status.success(), "{}", said(&output));
}
