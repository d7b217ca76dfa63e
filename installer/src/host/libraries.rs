//! Where the machine's loader would find a shared library.
//!
//! Its cache is asked first, then the folders that it looks through without being told. Those of CUDA are among them, as they are for the
//! builder's own look at a device. A file counts only if it is for the right processor: `/usr/lib` holds those of
//! another one on some systems.

use gangway_artifact::{Fact, is_musls};

use super::arch::Arch;
use super::elf::Elf;
use super::loader_cache;
use super::root::Root;

/// The libraries of a Linux machine.
#[derive(Debug)]
pub struct Libraries<'a> {
    root: &'a Root,
    arch: &'a Arch,
    cached: Vec<(String, String)>,
    folders: Vec<String>,
}

impl<'a> Libraries<'a> {
    /// Reads the loader's cache, and which folders there are.
    #[must_use]
    pub fn new(root: &'a Root, arch: &'a Arch) -> Self {
        let cached = match root.bytes("/etc/ld.so.cache", loader_cache::LIMIT) {
            Fact::Is(bytes) => loader_cache::read(&bytes, arch),
            Fact::Absent | Fact::Unknown => Vec::new(),
        };
        Self { root, arch, cached, folders: folders(root, arch) }
    }

    /// The file that a program is given which asks for this library.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<String> {
        if name.contains('/') {
            return self.is_ours(name).then(|| name.to_owned());
        }
        let cached = self.cached.iter().filter(|(cached, _)| cached == name);
        let cached = cached.map(|(_, path)| path.clone());
        let usual = self.folders.iter().map(|folder| format!("{folder}/{name}"));
        cached.chain(usual).find(|path| self.is_ours(path))
    }

    /// Whether a program would find it; musl's own names are no files.
    #[must_use]
    pub fn has(&self, name: &str, is_musl: bool) -> bool {
        (is_musl && is_musls(name)) || self.find(name).is_some()
    }

    /// What stands behind a prefix such as `libnvinfer.so.` in the names of files; nothing twice.
    #[must_use]
    pub fn endings(&self, prefix: &str) -> Vec<String> {
        // The name in the cache is that of a link, and the file's own says more.
        let cached = self.cached.iter().filter(|(name, _)| name.starts_with(prefix));
        let cached = cached
            .filter_map(|(_, path)| Some(self.root.resolve(path)?.rsplit('/').next()?.to_owned()));
        let usual = self.folders.iter().flat_map(|folder| self.root.names(folder));
        let names = cached.chain(usual);
        let mut endings: Vec<String> =
            names.filter_map(|name| name.strip_prefix(prefix).map(str::to_owned)).collect();
        endings.sort();
        endings.dedup();
        endings
    }

    fn is_ours(&self, path: &str) -> bool {
        let Fact::Is(file) = self.root.open(path) else { return false };
        Elf::read(file).is_some_and(|elf| elf.machine == self.arch.machine && elf.bits == 64)
    }
}

fn folders(root: &Root, arch: &Arch) -> Vec<String> {
    let triplet = arch.triplet;
    let musl = format!("/etc/ld-musl-{}.path", arch.musl_name);
    let mut folders = Vec::new();
    if let Fact::Is(path) = root.text(&musl) {
        folders
            .extend(path.split([':', '\n']).map(|folder| folder.trim_end_matches('/').to_owned()));
    }
    folders.extend([
        format!("/lib/{triplet}"),
        format!("/usr/lib/{triplet}"),
        "/lib64".to_owned(),
        "/usr/lib64".to_owned(),
        "/lib".to_owned(),
        "/usr/local/lib".to_owned(),
        "/usr/lib".to_owned(),
        format!("/usr/local/lib/{triplet}"),
        "/usr/local/cuda/lib64".to_owned(),
    ]);
    let inner = |folder: String, ending: &'static str| {
        let names = root.folders(&folder).into_iter();
        names.map(move |name| format!("{folder}/{name}{ending}"))
    };
    folders.extend(inner(format!("/usr/lib/{triplet}"), ""));
    folders.extend(inner("/usr/local/cuda/targets".to_owned(), "/lib"));
    folders.retain(|folder| folder.starts_with('/'));
    folders
}

#[cfg(all(test, unix))]
mod tests {
    use gangway_artifact::Cpu;

    use super::super::testing::{Machine, library, loader_cache};
    use super::*;

    #[test]
    fn by_the_cache_and_in_the_usual_folders() {
        let machine = Machine::new(&[("etc/nothing", "")]);
        let arm = library(183, &[]);
        machine.write("opt/own/libown.so.1.0", &arm);
        machine.write("usr/lib/aarch64-linux-gnu/libz.so.1", &arm);
        machine.write("usr/lib/aarch64-linux-gnu/nvidia/libcuda.so.1", &arm);
        machine.write("usr/lib/libother.so.1", &library(40, &[]));
        machine.write("usr/local/cuda/targets/aarch64-linux/lib/libcudart.so.12", &arm);
        machine.write(
            "etc/ld.so.cache",
            &loader_cache(&[
                (0x0a03, "libown.so.1", "/opt/own/libown.so.1.0"),
                (0x0a03, "libgone.so.1", "/opt/own/libgone.so.1"),
            ]),
        );
        let root = machine.root();
        let libraries = Libraries::new(&root, Arch::of(Cpu::Arm64));
        assert_eq!(libraries.find("libown.so.1").as_deref(), Some("/opt/own/libown.so.1.0"));
        for there in ["libz.so.1", "libcuda.so.1", "libcudart.so.12"] {
            assert!(libraries.has(there, false), "{there}");
        }
        // What the cache names and is gone, and what is for another processor.
        for missing in ["libgone.so.1", "libother.so.1", "libnone.so.1", "libc.so"] {
            assert!(!libraries.has(missing, false), "{missing}");
        }
        assert!(libraries.has("libc.so", true), "it is musl itself");
        assert_eq!(libraries.endings("libcudart.so."), ["12"]);
    }
}
