//! Files of the machine, below a root folder.
//!
//! Every reader of this module's parent goes through here: the root is `/` on a machine that is asked, and any folder in which the files of
//! another one lie. Links are followed inside of it, as that machine would. What is read is bounded, and only regular
//! files are opened: a pipe with a well-known name would never end.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Fact;

/// The most of a text that is read.
const TEXT: u64 = 64 << 10;

/// More links than any path really has.
const LINKS: u32 = 40;

/// More entries than are looked at in one folder.
const ENTRIES: usize = 20_000;

/// The machine's files.
#[derive(Debug, Clone)]
pub struct Root {
    folder: Utf8PathBuf,
}

impl Root {
    /// The machine whose files lie in this folder.
    #[must_use]
    pub fn new(folder: impl Into<Utf8PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Whether it is the machine this program runs on.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        self.folder == "/"
    }

    /// A regular file, opened.
    #[must_use]
    pub fn open(&self, path: &str) -> Fact<File> {
        let Some(place) = self.place(path) else { return Fact::Absent };
        let opened = place.metadata().and_then(|metadata| match metadata.is_file() {
            true => File::open(&place),
            false => Err(io::Error::from(ErrorKind::NotFound)),
        });
        match opened {
            Ok(file) => Fact::Is(file),
            Err(error) if is_absent(&error) => Fact::Absent,
            Err(_) => Fact::Unknown,
        }
    }

    /// The beginning of a text.
    #[must_use]
    pub fn text(&self, path: &str) -> Fact<String> {
        match self.bytes(path, TEXT) {
            Fact::Is(bytes) => Fact::Is(String::from_utf8_lossy(&bytes).into_owned()),
            Fact::Absent => Fact::Absent,
            Fact::Unknown => Fact::Unknown,
        }
    }

    /// The first bytes of a file, at most `limit`.
    #[must_use]
    pub fn bytes(&self, path: &str, limit: u64) -> Fact<Vec<u8>> {
        let file = match self.open(path) {
            Fact::Is(file) => file,
            Fact::Absent => return Fact::Absent,
            Fact::Unknown => return Fact::Unknown,
        };
        let mut bytes = Vec::new();
        match file.take(limit).read_to_end(&mut bytes) {
            Ok(_) => Fact::Is(bytes),
            Err(_) => Fact::Unknown,
        }
    }

    /// Whether there is anything of this name.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.place(path).is_some_and(|place| place.exists())
    }

    /// The names in a folder, sorted; none where there is no such folder.
    #[must_use]
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = self.place(folder).and_then(|place| std::fs::read_dir(place).ok());
        let names = entries.into_iter().flatten().take(ENTRIES).filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.into_string().ok()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The folders in a folder, sorted; links to folders are none.
    #[must_use]
    pub fn folders(&self, folder: &str) -> Vec<String> {
        let entries = self.place(folder).and_then(|place| std::fs::read_dir(place).ok());
        let names = entries.into_iter().flatten().take(ENTRIES).filter_map(|entry| {
            let entry =
                entry.ok().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))?;
            entry.file_name().into_string().ok()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// A path of the machine without links, as the machine would write it.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<String> {
        if self.is_this_machine() {
            let place = std::fs::canonicalize(path).ok()?;
            return place.into_os_string().into_string().ok();
        }
        let mut left: Vec<String> = parts(path);
        left.reverse();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            let place = self.folder.join(done.join("/"));
            if place.as_std_path().is_symlink() {
                links += 1;
                let target = place.read_link_utf8().ok().filter(|_| links <= LINKS)?;
                done.pop();
                if target.as_str().starts_with('/') {
                    done.clear();
                }
                left.extend(parts(target.as_str()).into_iter().rev());
            }
        }
        Some(format!("/{}", done.join("/")))
    }

    /// Where a path of the machine is for this program.
    fn place(&self, path: &str) -> Option<PathBuf> {
        if self.is_this_machine() {
            return Some(PathBuf::from(path));
        }
        let resolved = self.resolve(path)?;
        Some(self.folder.join(Utf8Path::new(&resolved[1..])).into_std_path_buf())
    }
}

fn parts(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.map(str::to_owned).collect()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::testing::Machine;

    #[test]
    fn links_are_followed_inside() {
        let machine = Machine::new(&[("usr/lib/real.so.1.2", "it"), ("etc/name", "inside")]);
        machine.link("usr/lib", "lib");
        machine.link("real.so.1.2", "usr/lib/lib.so.1");
        machine.link("/etc/name", "usr/lib/absolute");
        machine.link("../../../../etc/name", "usr/lib/upwards");
        machine.link("round", "usr/lib/round");
        let root = machine.root();
        assert_eq!(root.resolve("/lib/lib.so.1").as_deref(), Some("/usr/lib/real.so.1.2"));
        assert_eq!(root.text("/lib/lib.so.1"), gangway_artifact::Fact::Is("it".to_owned()));
        for path in ["/lib/absolute", "/lib/upwards"] {
            assert_eq!(root.text(path), gangway_artifact::Fact::Is("inside".to_owned()));
        }
        assert_eq!(root.text("/lib/round"), gangway_artifact::Fact::Absent);
        assert_eq!(root.text("/lib"), gangway_artifact::Fact::Absent, "a folder is no text");
        assert_eq!(root.names("/lib").len(), 5);
        assert_eq!(root.folders("/usr"), ["lib"]);
        assert!(root.names("/nowhere").is_empty());
    }
}
