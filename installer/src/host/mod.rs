//! The machine, as far as bundles ask about it and people want to know.
//!
//! Facts come from files where there are files: what a program answers depends on how this one was built, and this one is static.
//! What could not be told stays unknown; it is never guessed, and never counts as met. [`read`] puts together what is found below a root
//! folder and what only the kernel knows ([`Kernel`]), so that every kind of machine can be laid out in a test;
//! [`detect`] asks this one.

pub mod arch;
pub mod c_library;
pub mod choose;
pub mod elf;
pub mod libraries;
pub mod loader_cache;
pub mod nvidia;
mod processor;
pub mod python;
pub mod remedy;
pub mod root;
pub mod system;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{
    Contract, Cpu, Fact, Host, Libc, Os, Platform, PythonVersion, PythonVersions, Version, is_musls,
};

use self::arch::Arch;
use self::c_library::CLibraries;
use self::libraries::Libraries;
use self::root::Root;
use self::system::System;
use crate::context::Context;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

/// How long all Pythons together may take to say what they are.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is to be found out besides what is always looked at.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The libraries to look for.
    pub libraries: BTreeSet<String>,
    /// The kinds of Python that are wanted. Some have to be started to tell which they are, which takes a while.
    pub pythons: Vec<PythonVersions>,
    /// Where the bundle would be installed.
    pub prefix: Utf8PathBuf,
}

/// A machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// What contracts ask about.
    pub host: Host,
    /// What the system is called.
    pub system: System,
    /// The board or the model.
    pub model: Option<String>,
    /// Where glibc's loader is, where that is no place in which programs look for it.
    pub glibc_elsewhere: Option<String>,
    /// 32 or 64: what the system's own programs are.
    pub userland_bits: Option<u8>,
    /// Whether this program was made for another processor, and is translated.
    pub is_translated: bool,
    /// Other processors' programs that the system can run by translating them.
    pub translates: BTreeSet<Cpu>,
    /// The driver of NVIDIA's graphics chip.
    pub nvidia_driver: Fact<Version>,
    /// The drivers of other graphics chips.
    pub graphics: Vec<String>,
    /// All memory, in bytes.
    pub memory: Fact<u64>,
    /// Where the free room was looked at.
    pub prefix: Utf8PathBuf,
}

/// What only the kernel knows.
#[derive(Debug, Clone, Default)]
pub struct Kernel {
    /// The system.
    pub os: Option<Os>,
    /// The machine's own processor, whatever this program is made for.
    pub cpu: Option<Cpu>,
    /// Linux's or Darwin's own version, or that of Windows with its build.
    pub version: Fact<Version>,
    /// The memory page, in bytes.
    pub page_size: Fact<u64>,
    /// The x86-64 level; absent on other processors.
    pub x86_64_level: Fact<u8>,
    /// All memory, where no file says it.
    pub memory: Fact<u64>,
    /// Free bytes below the prefix.
    pub free: Fact<u64>,
    /// Whether this program is translated.
    pub is_translated: bool,
    /// Other processors' programs that the system can run.
    pub translates: BTreeSet<Cpu>,
}

/// What of a machine is asked while it runs.
#[derive(Clone, Copy)]
pub struct Senses<'a> {
    /// Its files.
    pub root: &'a Root,
    /// What its kernel says.
    pub kernel: &'a Kernel,
    /// Whether it has a library, where no file says so: on macOS and Windows.
    pub has_library: &'a dyn Fn(&str) -> Option<bool>,
    /// Its Pythons, among them those that are wanted.
    pub pythons: &'a dyn Fn(&[PythonVersions]) -> Fact<BTreeSet<PythonVersion>>,
}

/// How a bundle's platform and the machine's go together; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// They are the same.
    Same,
    /// It is for the C library that is not the system's own, but is there.
    OtherLibc,
    /// It is for another processor, whose programs the system translates.
    Translated,
    /// It is for something else.
    Foreign,
}

impl Asked {
    /// What these contracts ask about.
    pub fn about<'a>(
        contracts: impl IntoIterator<Item = &'a Contract>,
        prefix: impl Into<Utf8PathBuf>,
    ) -> Self {
        let mut asked = Self { prefix: prefix.into(), ..Self::default() };
        for contract in contracts {
            asked.libraries.extend(contract.libraries.keys().cloned());
            asked.pythons.extend(contract.python.values().map(|python| python.versions));
        }
        asked
    }
}

/// Asks this machine.
#[must_use]
pub fn detect(context: &Context, asked: &Asked) -> Machine {
    let root = Root::new("/");
    let prefix = context.current_dir.join(&asked.prefix);
    let kernel = platform::kernel(&nearest(&prefix));
    let folders = search_path(context);
    let end = Instant::now() + PATIENCE;
    let pythons = |wanted: &[PythonVersions]| {
        python::versions(&folders, std::env::consts::EXE_SUFFIX, wanted, |one| answer(one, end))
    };
    let near_python = |name: &str| folders.iter().any(|folder| is_beside(folder, name));
    // A library of Python's own lies beside it, and only what it runs asks for one.
    let has_library = |name: &str| match platform::has_library(name) {
        Some(false) if !asked.pythons.is_empty() => Some(near_python(name)),
        other => other,
    };
    let senses =
        Senses { root: &root, kernel: &kernel, has_library: &has_library, pythons: &pythons };
    let mut machine = read(&senses, asked);
    machine.prefix = prefix;
    machine
}

/// Puts together what there is.
#[must_use]
pub fn read(senses: &Senses<'_>, asked: &Asked) -> Machine {
    let kernel = senses.kernel;
    let mut machine = match (kernel.os, kernel.cpu) {
        (Some(Os::Linux), Some(cpu)) => linux(senses, asked, cpu),
        (Some(os @ (Os::Darwin | Os::Win32)), Some(cpu)) => other(senses, asked, os, cpu),
        _ => Machine::default(),
    };
    machine.host.page_size = kernel.page_size.clone();
    machine.host.x86_64_level = kernel.x86_64_level.clone();
    machine.host.free = kernel.free.clone();
    machine.host.python = (senses.pythons)(&asked.pythons);
    machine.is_translated = kernel.is_translated;
    machine.translates = kernel.translates.clone();
    machine.prefix = asked.prefix.clone();
    machine
}

fn linux(senses: &Senses<'_>, asked: &Asked, cpu: Cpu) -> Machine {
    let (root, kernel) = (senses.root, senses.kernel);
    let arch = Arch::of(cpu);
    let libraries = Libraries::new(root, arch);
    let CLibraries { glibc, musl, main, userland_bits, elsewhere } =
        c_library::read(root, arch, &libraries);
    let nvidia = nvidia::read(root, arch, &libraries);
    let is_musl = main == Some(Libc::Musl);
    let there = asked.libraries.iter().filter(|name| libraries.has(name, is_musl)).cloned();
    let libstdcxx = match libraries.find("libstdc++.so.6") {
        Some(path) => c_library::newest(root, &path, "GLIBCXX_").map_or(Fact::Unknown, Fact::Is),
        None => Fact::Absent,
    };
    // Without a C library for its programs a machine is of no platform with one, and static programs run there all the same.
    let platform = Platform { os: Os::Linux, cpu, libc: main };
    let host = Host {
        platform: Fact::Is(platform),
        glibc,
        libstdcxx,
        musl,
        kernel: kernel.version.clone(),
        macos: Fact::Absent,
        windows: Fact::Absent,
        libraries: Fact::Is(there.collect()),
        l4t: nvidia.l4t,
        cuda: nvidia.cuda,
        cudnn: nvidia.cudnn,
        tensorrt: nvidia.tensorrt,
        chip: nvidia.chip,
        ..Host::default()
    };
    Machine {
        host,
        system: system::linux(root),
        model: nvidia.model,
        glibc_elsewhere: elsewhere,
        userland_bits,
        nvidia_driver: nvidia.driver,
        graphics: nvidia::other_drivers(root),
        memory: system::memory(root),
        ..Machine::default()
    }
}

/// A Mac, or Windows.
fn other(senses: &Senses<'_>, asked: &Asked, os: Os, cpu: Cpu) -> Machine {
    let kernel = senses.kernel;
    let is_mac = os == Os::Darwin;
    let macos = if is_mac { system::macos(senses.root) } else { Fact::Absent };
    let looked: Vec<_> =
        asked.libraries.iter().map(|name| (name, (senses.has_library)(name))).collect();
    let libraries = match looked.iter().all(|(_, has)| has.is_some()) {
        true => {
            let there = looked.into_iter().filter(|(_, has)| *has == Some(true));
            Fact::Is(there.map(|(name, _)| name.clone()).collect())
        }
        false => Fact::Unknown,
    };
    let shown = if is_mac { macos.clone() } else { kernel.version.clone() };
    let name = match (&shown, is_mac) {
        (Fact::Is(version), true) => format!("macOS {version}"),
        (Fact::Is(version), false) => format!("Windows {version}"),
        (_, true) => "macOS".to_owned(),
        (_, false) => "Windows".to_owned(),
    };
    let host = Host {
        platform: Fact::Is(Platform { os, cpu, libc: None }),
        glibc: Fact::Absent,
        libstdcxx: Fact::Absent,
        musl: Fact::Absent,
        kernel: if is_mac { kernel.version.clone() } else { Fact::Absent },
        macos,
        windows: if is_mac { Fact::Absent } else { kernel.version.clone() },
        libraries,
        l4t: Fact::Absent,
        ..Host::default()
    };
    let system = System { name: Some(name), families: Vec::new() };
    Machine { host, system, memory: kernel.memory.clone(), ..Machine::default() }
}

impl Machine {
    /// How a platform and the machine's own go together.
    #[must_use]
    pub fn kind_of(&self, platform: &Platform) -> Kind {
        let Fact::Is(own) = &self.host.platform else { return Kind::Foreign };
        let other_libc = match platform.libc {
            Some(Libc::Glibc) => &self.host.glibc,
            Some(Libc::Musl) => &self.host.musl,
            None => &Fact::Absent,
        };
        if platform == own {
            Kind::Same
        } else if platform.os == own.os && platform.cpu != own.cpu {
            let is_translated = self.translates.contains(&platform.cpu);
            if is_translated { Kind::Translated } else { Kind::Foreign }
        } else if self.is_alike(platform) && matches!(other_libc, Fact::Is(_)) {
            Kind::OtherLibc
        } else {
            Kind::Foreign
        }
    }

    /// Whether a platform is the machine's own but for the C library.
    #[must_use]
    pub fn is_alike(&self, platform: &Platform) -> bool {
        let Fact::Is(own) = &self.host.platform else { return false };
        (platform.os, platform.cpu) == (own.os, own.cpu)
    }

    /// The machine as a bundle of this platform finds it.
    ///
    /// One for another C library than the system's own finds none of its libraries, but the C library itself. One that is translated finds
    /// the processor that it is translated for.
    #[must_use]
    pub fn host_for(&self, platform: &Platform) -> Host {
        let mut host = self.host.clone();
        let Fact::Is(own) = &self.host.platform else { return host };
        if platform.libc != own.libc {
            if let Fact::Is(libraries) = &mut host.libraries {
                libraries.retain(|name| platform.libc == Some(Libc::Musl) && is_musls(name));
            }
            host.libstdcxx = Fact::Absent;
        }
        if platform.cpu != own.cpu && platform.cpu == Cpu::X64 {
            // Both translators have SSE4.2 and not always AVX, and pages as on x86-64.
            host.x86_64_level = Fact::Is(2);
            host.page_size = Fact::Is(4096);
        }
        host
    }
}

/// The folders in which programs are looked for: the system's own first, as for services.
fn search_path(context: &Context) -> Vec<Utf8PathBuf> {
    let system = if cfg!(target_os = "linux") { Some(Utf8PathBuf::from("/usr/bin")) } else { None };
    let path = context.variable("PATH").unwrap_or_default();
    let folders = std::env::split_paths(path).filter_map(|folder| folder.try_into().ok());
    system.into_iter().chain(folders).collect()
}

/// Windows' loader finds what lies beside the program that asks.
fn is_beside(folder: &Utf8Path, name: &str) -> bool {
    let python = folder.join(format!("python{}", std::env::consts::EXE_SUFFIX));
    python.is_file() && folder.join(name).is_file()
}

/// The nearest folder above that is there.
fn nearest(path: &Utf8Path) -> Utf8PathBuf {
    let there = path.ancestors().find(|folder| folder.is_dir());
    there.unwrap_or(Utf8Path::new("/")).to_owned()
}

/// What a Python answers until `end`; nothing when it takes longer.
fn answer(program: &Utf8Path, end: Instant) -> Option<String> {
    const STEP: Duration = Duration::from_millis(5);
    let mut command = Command::new(program);
    command.args(["-I", "-c", python::QUESTION]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let has_ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if Instant::now() < end => std::thread::sleep(STEP),
            Ok(None) | Err(_) => {
                // Its end is all that is left to wait for.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut said = Vec::new();
    child.stdout.take()?.take(4096).read_to_end(&mut said).ok()?;
    has_ended.then(|| String::from_utf8_lossy(&said).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::testing;
    use super::*;

    fn seen(machine: &testing::Machine, kernel: &Kernel, libraries: &[&str]) -> Machine {
        let senses = Senses {
            root: &machine.root(),
            kernel,
            has_library: &|_| None,
            pythons: &|_| Fact::Unknown,
        };
        let libraries = libraries.iter().map(|name| (*name).to_owned()).collect();
        read(&senses, &Asked { libraries, ..Asked::default() })
    }

    fn is(text: &str) -> Fact<Version> {
        Fact::Is(text.parse().expect("a version"))
    }

    #[test]
    fn an_orin() {
        let kernel = Kernel {
            os: Some(Os::Linux),
            cpu: Some(Cpu::Arm64),
            version: is("5.15.148"),
            page_size: Fact::Is(4096),
            x86_64_level: Fact::Absent,
            ..Kernel::default()
        };
        let libraries = ["libcuda.so.1", "libcudart.so.12", "libnvinfer.so.10", "libatomic.so.1"];
        let machine = seen(&testing::orin(), &kernel, &libraries);
        let Machine { host, system, memory, .. } = machine;
        let platform = Platform { os: Os::Linux, cpu: Cpu::Arm64, libc: Some(Libc::Glibc) };
        assert_eq!(host.platform, Fact::Is(platform));
        assert_eq!((host.glibc, host.libstdcxx), (is("2.35"), is("3.4.30")));
        assert_eq!((host.musl, host.kernel), (Fact::Absent, is("5.15.148")));
        assert_eq!((host.l4t, host.chip), (is("36.4.3"), is("8.7")));
        assert_eq!((host.cuda, host.tensorrt), (is("12.6.68"), is("10.3.0")));
        let there = libraries[..3].iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(host.libraries, Fact::Is(there));
        assert_eq!((host.python, host.free), (Fact::Unknown, Fact::Unknown));
        assert_eq!(system.name.as_deref(), Some("Ubuntu 22.04.5 LTS"));
        assert_eq!(memory, Fact::Is(7_802_040 * 1024));
    }

    #[test]
    fn a_mac_and_windows() {
        let plist = "<key>ProductVersion</key>\n<string>15.1</string>";
        let mac =
            testing::Machine::new(&[("System/Library/CoreServices/SystemVersion.plist", plist)]);
        let kernel = |os, cpu, version| Kernel {
            os: Some(os),
            cpu: Some(cpu),
            version: is(version),
            ..Kernel::default()
        };
        let seen_mac = seen(&mac, &kernel(Os::Darwin, Cpu::Arm64, "24.1.0"), &["/usr/lib/x.dylib"]);
        assert_eq!((seen_mac.host.macos, seen_mac.host.kernel), (is("15.1"), is("24.1.0")));
        assert_eq!((seen_mac.host.windows, seen_mac.host.glibc), (Fact::Absent, Fact::Absent));
        assert_eq!(seen_mac.host.libraries, Fact::Unknown);
        assert_eq!(seen_mac.system.name.as_deref(), Some("macOS 15.1"));
        let windows = testing::Machine::new(&[("none", "")]);
        let seen = seen(&windows, &kernel(Os::Win32, Cpu::X64, "10.0.19045"), &[]);
        assert_eq!((seen.host.windows, seen.host.macos), (is("10.0.19045"), Fact::Absent));
        assert_eq!(seen.host.libraries, Fact::Is(BTreeSet::new()));
    }

    #[test]
    fn nothing_is_known_of_what_nobody_knows() {
        let machine = testing::Machine::new(&[("none", "")]);
        let seen = seen(&machine, &Kernel::default(), &["libc.so.6"]);
        assert_eq!(seen.host, Host::default());
    }

    /// This machine says of itself what its own tools say.
    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn this_machine() {
        let context = Context::new(
            [("PATH".to_owned(), "/usr/bin".to_owned())].into(),
            "/".into(),
            "/".into(),
        );
        let asked = Asked { prefix: "/nowhere/at/all".into(), ..Asked::default() };
        let host = detect(&context, &asked).host;
        let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().expect("it is glibc's");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(host.glibc, is(said.trim().trim_start_matches("glibc ")));
        let said = Command::new("getconf").arg("PAGESIZE").output().expect("it is glibc's");
        let said = String::from_utf8_lossy(&said.stdout).trim().parse().expect("a number");
        assert_eq!(host.page_size, Fact::Is(said));
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("readable");
        assert_eq!(host.kernel, Version::leading(&release).map_or(Fact::Unknown, Fact::Is));
        assert!(matches!(host.free, Fact::Is(free) if free > 0));
    }
}
