//! What was built from what: so that there is nothing to ask where nothing has changed.
//!
//! Cargo alone finds out in a moment. cargo-zigbuild first runs zig twice for each platform, to hear which headers it has, which
//! takes longer than everything else that a builder does when there is nothing to do. So a list is left beside the results: the
//! call, and the digests of the results and of all files that decide them. Cargo's own dep-info files name the sources of
//! the workspace; those of the registry are in `Cargo.lock`.
//!
//! Whatever is not as it was, or cannot be read, is as good as no list: Cargo is asked. Nothing here fails a build.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use serde::{Deserialize, Serialize};

/// A list, and where it lies.
#[derive(Debug)]
pub(super) struct Made {
    path: Utf8PathBuf,
    /// Everything that decides the results and is not in a file.
    call: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    call: Digest,
    /// Nothing for those that were not there.
    files: BTreeMap<Utf8PathBuf, Option<Digest>>,
}

impl Made {
    /// What `call` made in the folder for results; there is one list for each `name`.
    pub(super) fn new(folder: &Utf8Path, name: &str, call: Digest) -> Self {
        Self { path: folder.join(format!("{name}.made.json")), call }
    }

    /// Whether everything is as it was when it was made.
    pub(super) fn is_current(&self) -> bool {
        let list = std::fs::read(&self.path).ok();
        let list = list.and_then(|list| serde_json::from_slice::<List>(&list).ok());
        list.is_some_and(|list| {
            list.call == self.call && list.files.iter().all(|(path, was)| digest(path) == *was)
        })
    }

    /// Writes down that these executables were made since `started`, by a Cargo that read `settings` as well as its sources.
    pub(super) fn record(
        &self,
        executables: &[Utf8PathBuf],
        (workspace, settings): (&Utf8Path, &[Utf8PathBuf]),
        started: SystemTime,
    ) {
        let Some(mut files) = inputs(executables, workspace) else { return };
        files.extend(settings.iter().cloned());
        let with_digest = |path: Utf8PathBuf| (path.clone(), digest(&path));
        let mut files: BTreeMap<_, _> = files.into_iter().map(with_digest).collect();
        // What was changed before its digest was taken may not be what was built; and of a folder nothing is known.
        if files.keys().any(|path| is_newer(path, started) || path.is_dir()) {
            return;
        }
        files.extend(executables.iter().cloned().map(with_digest));
        let list = List { call: self.call, files };
        if let Err(error) = self.write(&list) {
            tracing::debug!(path = %self.path, %error, "cannot write down what was made");
        }
    }

    fn write(&self, list: &List) -> std::io::Result<()> {
        let folder = self.path.parent().expect("it is in a folder");
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(list).expect("it is plain data"))?;
        file.persist(&self.path)?;
        Ok(())
    }
}

/// The sources of executables, and the manifests of their packages.
fn inputs(executables: &[Utf8PathBuf], workspace: &Utf8Path) -> Option<BTreeSet<Utf8PathBuf>> {
    let mut files = BTreeSet::from([workspace.join("Cargo.lock")]);
    for executable in executables {
        let listed = std::fs::read_to_string(executable.with_extension("d")).ok()?;
        let sources = sources(&listed)?.into_iter().map(|source| workspace.join(source));
        for source in sources {
            let above =
                source.ancestors().skip(1).take_while(|folder| folder.starts_with(workspace));
            // Cargo finds a build script by its name.
            files.extend(
                above.flat_map(|folder| ["Cargo.toml", "build.rs"].map(|name| folder.join(name))),
            );
            files.insert(source);
        }
    }
    Some(files)
}

/// The sources in a dep-info file: a rule of Make, in which a space of a name has a backslash before it.
fn sources(listed: &str) -> Option<Vec<String>> {
    let (_, names) = listed.lines().next()?.split_once(": ")?;
    let names = names.replace("\\ ", "\0");
    Some(names.split_ascii_whitespace().map(|name| name.replace('\0', " ")).collect())
}

fn is_newer(path: &Utf8Path, than: SystemTime) -> bool {
    let changed = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed >= than)
}

fn digest(path: &Utf8Path) -> Option<Digest> {
    std::fs::read(path).ok().map(Digest::of)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::Sandbox;

    /// A workspace with a program that was made.
    struct Fixture {
        sandbox: Sandbox,
        executable: Utf8PathBuf,
    }

    impl Fixture {
        fn new() -> Self {
            let sandbox = Sandbox::new();
            let root = sandbox.root.clone();
            let (source, executable) = (root.join("a b/src/main.rs"), root.join("target/one.exe"));
            sandbox.write("a b/src/main.rs", "fn main() {}");
            sandbox.write("a b/Cargo.toml", "[package]");
            sandbox.write("Cargo.lock", "version = 4");
            sandbox.write("target/one.exe", "machine code");
            let rule = format!("{executable}: {}\n", source.as_str().replace(' ', "\\ "));
            sandbox.write("target/one.d", &rule);
            Self { sandbox, executable }
        }

        fn made(&self, call: &str) -> Made {
            Made::new(&self.sandbox.root.join("target"), "one", Digest::of(call))
        }

        fn record(&self, started: SystemTime) {
            let settings = ["cargo/config.toml"].map(|path| self.sandbox.root.join(path));
            let inputs = (self.sandbox.root.as_path(), &settings[..]);
            self.made("call").record(std::slice::from_ref(&self.executable), inputs, started);
        }
    }

    fn soon() -> SystemTime {
        SystemTime::now() + Duration::from_secs(3600)
    }

    #[test]
    fn as_long_as_nothing_changes_it_is_current() {
        let fixture = Fixture::new();
        assert!(!fixture.made("call").is_current(), "nothing is written down");
        fixture.record(soon());
        assert!(fixture.made("call").is_current());
        assert!(!fixture.made("another call").is_current());
    }

    #[test]
    fn whatever_decides_it_is_looked_at() {
        for path in [
            "a b/src/main.rs",
            "a b/Cargo.toml",
            "a b/build.rs",
            "Cargo.toml",
            "Cargo.lock",
            "cargo/config.toml",
            "target/one.exe",
        ] {
            let fixture = Fixture::new();
            fixture.record(soon());
            fixture.sandbox.write(path, "another");
            assert!(!fixture.made("call").is_current(), "{path}");
        }
        let fixture = Fixture::new();
        fixture.record(soon());
        fs_err::remove_file(&fixture.executable).expect("it is there");
        assert!(!fixture.made("call").is_current());
    }

    #[test]
    fn what_changes_while_it_is_built_is_not_taken_for_what_was_built() {
        let fixture = Fixture::new();
        fixture.record(SystemTime::UNIX_EPOCH);
        assert!(!fixture.made("call").is_current());
    }

    #[test]
    fn a_list_that_cannot_be_read_is_none() {
        let fixture = Fixture::new();
        fixture.record(soon());
        fixture.sandbox.write("target/one.made.json", "{\"call\":");
        assert!(!fixture.made("call").is_current());
    }
}
