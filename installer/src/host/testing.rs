//! Machines made of files, for tests.

use camino::{Utf8Path, Utf8PathBuf};

/// A folder with the files of a machine.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let machine = Self { folder: tempfile::tempdir().expect("a folder for temporary files") };
        for (path, content) in files {
            machine.write(path, content.as_bytes());
        }
        machine
    }

    pub(crate) fn path(&self) -> Utf8PathBuf {
        let path = Utf8Path::from_path(self.folder.path()).expect("UTF-8");
        path.canonicalize_utf8().expect("it is there")
    }

    pub(crate) fn root(&self) -> super::root::Root {
        super::root::Root::new(self.path())
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let file = self.path().join(path);
        fs_err::create_dir_all(file.parent().expect("it is below the folder")).expect("writable");
        fs_err::write(file, content).expect("writable");
    }

    pub(crate) fn remove(&self, path: &str) {
        fs_err::remove_file(self.path().join(path)).expect("it is there");
    }

    #[cfg(unix)]
    pub(crate) fn link(&self, target: &str, path: &str) {
        let link = self.path().join(path);
        fs_err::create_dir_all(link.parent().expect("it is below the folder")).expect("writable");
        std::os::unix::fs::symlink(target, link).expect("writable");
    }
}

/// A library of 64 bits for the processor of this number, with these symbol versions.
pub(crate) fn library(machine: u16, versions: &[&str]) -> Vec<u8> {
    let mut texts = vec![0];
    let mut definitions = Vec::new();
    for (number, version) in versions.iter().enumerate() {
        let is_last = number + 1 == versions.len();
        let name = u32::try_from(texts.len()).expect("short");
        texts.extend(version.as_bytes());
        texts.push(0);
        // vd_version, vd_flags, vd_ndx, vd_cnt, vd_hash, vd_aux, vd_next; then vda_name, vda_next.
        definitions.extend([1u16, 0, 1, 1].iter().flat_map(|half| half.to_le_bytes()));
        let words = [0, 20, if is_last { 0 } else { 28 }, name, 0];
        definitions.extend(words.iter().flat_map(|word: &u32| word.to_le_bytes()));
    }
    let (texts_at, dynamic_at) = (64 + 2 * 56, 64 + 2 * 56 + texts.len() as u64);
    let definitions_at = dynamic_at + 4 * 16;
    let dynamic = [(5, texts_at), (10, texts.len() as u64), (0x6fff_fffc, definitions_at), (0, 0)];
    let size = definitions_at + definitions.len() as u64;
    let mut file = head(machine, 2);
    file.extend(segment(1, 0, size));
    file.extend(segment(2, dynamic_at, 64));
    file.extend(texts);
    file.extend(
        dynamic.iter().flat_map(|(tag, value): &(u64, u64)| {
            [tag.to_le_bytes(), value.to_le_bytes()].concat()
        }),
    );
    file.extend(definitions);
    file
}

/// A program of 64 bits that asks for this loader.
pub(crate) fn program(machine: u16, loader: &str) -> Vec<u8> {
    let mut file = head(machine, 1);
    file.extend(segment(3, 64 + 56, loader.len() as u64 + 1));
    file.extend(loader.as_bytes());
    file.push(0);
    file
}

/// The same of 32 bits.
pub(crate) fn program_32(machine: u16, loader: &str) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(18, 0);
    file.extend(machine.to_le_bytes());
    file.resize(28, 0);
    file.extend(52u32.to_le_bytes());
    file.resize(42, 0);
    file.extend([32u16, 1].iter().flat_map(|half| half.to_le_bytes()));
    file.resize(52, 0);
    let size = u32::try_from(loader.len() + 1).expect("short");
    file.extend([3, 84, 84, 84, size, size, 4, 1].iter().flat_map(|word: &u32| word.to_le_bytes()));
    file.extend(loader.as_bytes());
    file.push(0);
    file
}

fn head(machine: u16, segments: u16) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(18, 0);
    file.extend(machine.to_le_bytes());
    file.resize(32, 0);
    file.extend(64u64.to_le_bytes());
    file.resize(54, 0);
    file.extend([56u16, segments].iter().flat_map(|half| half.to_le_bytes()));
    file.resize(64, 0);
    file
}

/// One that lies in memory as in the file.
fn segment(kind: u32, offset: u64, size: u64) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(4u32.to_le_bytes());
    let values = [offset, offset, offset, size, size, 4096];
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// A cache of glibc's loader in today's format.
pub(crate) fn loader_cache(libraries: &[(u32, &str, &str)]) -> Vec<u8> {
    let mut file = b"glibc-ld.so.cache1.1".to_vec();
    file.extend(u32::try_from(libraries.len()).expect("few").to_le_bytes());
    file.resize(48, 0);
    let mut texts = Vec::new();
    let mut text = |text: &str| {
        let place = 48 + libraries.len() * 24 + texts.len();
        texts.extend(text.as_bytes());
        texts.push(0);
        u32::try_from(place).expect("short").to_le_bytes()
    };
    for (flags, name, path) in libraries {
        file.extend(flags.to_le_bytes());
        file.extend(text(name));
        file.extend(text(path));
        file.extend([0; 12]);
    }
    file.extend(texts);
    file
}

#[cfg(unix)]
pub(crate) use linux::{glibc, orin};

#[cfg(unix)]
mod linux {
    use gangway_artifact::Cpu;

    use super::super::arch::Arch;
    use super::{Machine, library, loader_cache, program};

    /// A machine with glibc as Debian has it.
    pub(crate) fn glibc(cpu: Cpu, version: &str) -> Machine {
        let arch = Arch::of(cpu);
        let machine = Machine::new(&[("etc/nothing", "")]);
        let folder = format!("usr/lib/{}", arch.triplet);
        let mut libc = library(arch.machine, &["libc.so.6", "GLIBC_2.17"]);
        libc.extend(
            format!(
                "\0GNU C Library (Debian GLIBC {version}-1) stable release version {version}.\n\0"
            )
            .bytes(),
        );
        machine.write(&format!("{folder}/libc.so.6"), &libc);
        machine.write(&arch.glibc_loader[1..], &library(arch.machine, &[]));
        machine.write("bin/sh", &program(arch.machine, arch.glibc_loader));
        let cxx = library(
            arch.machine,
            &["libstdc++.so.6", "GLIBCXX_3.4", "GLIBCXX_3.4.9", "GLIBCXX_3.4.30", "CXXABI_1.3.13"],
        );
        machine.write(&format!("{folder}/libstdc++.so.6.0.30"), &cxx);
        machine.link("libstdc++.so.6.0.30", &format!("{folder}/libstdc++.so.6"));
        machine
    }

    /// A Jetson Orin Nano with JetPack 6.2, by the words its files have there.
    pub(crate) fn orin() -> Machine {
        let machine = glibc(Cpu::Arm64, "2.35");
        let texts = [
            (
                "etc/os-release",
                "PRETTY_NAME=\"Ubuntu 22.04.5 LTS\"\nNAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n",
            ),
            (
                "etc/nv_tegra_release",
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
            ),
            (
                "var/lib/dpkg/status",
                "Package: base-files\nStatus: install ok installed\nVersion: 12ubuntu4.7\n\nPackage: nvidia-l4t-core\nStatus: install ok installed\nArchitecture: arm64\nVersion: 36.4.3-20250107174145\n",
            ),
            (
                "proc/device-tree/compatible",
                "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
            ),
            (
                "proc/device-tree/model",
                "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
            ),
            (
                "proc/driver/nvidia/version",
                "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain@mobile-u64-6336-d8000)  Tue Jan  7 17:34:12 PST 2025\n",
            ),
            (
                "usr/local/cuda-12.6/version.json",
                "{\n   \"cuda\" : {\n      \"name\" : \"CUDA SDK\",\n      \"version\" : \"12.6.68\"\n   }\n}\n",
            ),
            ("proc/meminfo", "MemTotal:        7802040 kB\nMemFree:          212340 kB\n"),
        ];
        for (path, text) in texts {
            machine.write(path, text.as_bytes());
        }
        machine.link("cuda-12.6", "usr/local/cuda");
        let arm = library(183, &[]);
        let folder = "usr/lib/aarch64-linux-gnu";
        for (name, file) in
            [("libnvinfer.so.10", "libnvinfer.so.10.3.0"), ("libcudnn.so.9", "libcudnn.so.9.3.0")]
        {
            machine.write(&format!("{folder}/{file}"), &arm);
            machine.link(file, &format!("{folder}/{name}"));
        }
        machine.write(&format!("{folder}/nvidia/libcuda.so.1"), &arm);
        let cudart = "usr/local/cuda-12.6/targets/aarch64-linux/lib";
        machine.write(&format!("{cudart}/libcudart.so.12.6.68"), &arm);
        machine.link("libcudart.so.12.6.68", &format!("{cudart}/libcudart.so.12"));
        machine.write(
            "etc/ld.so.cache",
            &loader_cache(&[(
                0x0a03,
                "libcudart.so.12",
                "/usr/local/cuda/targets/aarch64-linux/lib/libcudart.so.12",
            )]),
        );
        machine
    }
}
