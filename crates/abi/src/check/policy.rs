//! What a target promises, as plain data. Where it is written is no concern of this crate.

use crate::elf::CLibrary;
use crate::facts::Machine;
use crate::version::Version;

/// What the oldest system of a target has. A floor that is not given is not known, and what needs it cannot be decided.
#[derive(Clone)]
pub struct Policy<'a> {
    /// The operating system.
    pub os: Os,
    /// The processor.
    pub machine: Machine,
    /// The C library, on Linux.
    pub c_library: Option<CLibrary>,
    /// The oldest glibc.
    pub glibc: Option<Version>,
    /// The oldest libstdc++, as the number behind `GLIBCXX_`; `None` when systems need not have one.
    pub libstdcxx: Option<Version>,
    /// The oldest musl.
    pub musl: Option<Version>,
    /// The oldest macOS.
    pub macos: Option<Version>,
    /// The oldest Windows, for instance `10.0.17763`.
    pub windows: Option<Version>,
    /// The largest page size, in bytes.
    pub page_size: u64,
    /// The least processor.
    pub cpu: Cpu,
    /// Whether every system has this library. On Windows it is asked for names in lower case, on macOS for paths.
    pub provides: &'a (dyn Fn(&str) -> bool + Sync),
    /// NVIDIA's part, on a Jetson.
    pub gpu: Option<Gpu>,
    /// The JavaScript runtime that is shipped.
    pub runtime: Option<RuntimeFacts>,
}

/// An operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Os {
    /// Linux.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// The least processor of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// x86-64, by level: 1 to 4.
    X86(u8),
    /// ARM, by version of the architecture: 8.2 is `(8, 2)`.
    Arm(u8, u8),
    /// None of these.
    Other,
}

/// What the oldest system of a target has for graphics chips.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpu {
    /// The compute capabilities that have to work, without the dot: 87 for 8.7.
    pub sm: Vec<u32>,
    /// NVIDIA's libraries on such systems.
    pub libraries: Vec<String>,
    /// The version of TensorRT.
    pub tensorrt: Option<Version>,
}

/// What the shipped runtime says of itself. Its exports are taken from its own file, the one in [`super::Role::Runtime`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// Which.
    pub engine: RuntimeEngine,
    /// Its version.
    pub version: String,
    /// Its `NODE_MODULE_VERSION` (`process.versions.modules`).
    pub modules: u32,
    /// The newest level of Node-API it knows (`process.versions.napi`).
    pub node_api: u32,
}

/// A JavaScript runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeEngine {
    /// Node.js.
    Node,
    /// Bun.
    Bun,
    /// Deno.
    Deno,
}

impl RuntimeEngine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Bun => "Bun",
            Self::Deno => "Deno",
        }
    }
}

impl Cpu {
    /// Reads `x86-64-v2` or `armv8.2-a`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(level) = text.strip_prefix("x86-64") {
            return match level.strip_prefix("-v").map_or(Some(1), |level| level.parse().ok())? {
                level @ 1..=4 => Some(Self::X86(level)),
                _ => None,
            };
        }
        let version = text.strip_prefix("armv")?.strip_suffix("-a")?;
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        Some(Self::Arm(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl<'a> Policy<'a> {
    /// A system of which nothing is known but this.
    pub fn new(os: Os, machine: Machine, provides: &'a (dyn Fn(&str) -> bool + Sync)) -> Self {
        Self {
            os,
            machine,
            c_library: None,
            glibc: None,
            libstdcxx: None,
            musl: None,
            macos: None,
            windows: None,
            page_size: 4096,
            cpu: Cpu::Other,
            provides,
            gpu: None,
            runtime: None,
        }
    }

    /// Whether every system has this library, NVIDIA's included.
    pub(super) fn has(&self, library: &str) -> bool {
        (self.provides)(library)
            || self.gpu.as_ref().is_some_and(|gpu| gpu.libraries.iter().any(|name| name == library))
    }

    pub(super) fn is_musl(&self) -> bool {
        self.c_library == Some(CLibrary::Musl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read() {
        for (text, cpu) in [
            ("x86-64", Some(Cpu::X86(1))),
            ("x86-64-v3", Some(Cpu::X86(3))),
            ("x86-64-v9", None),
            ("armv8-a", Some(Cpu::Arm(8, 0))),
            ("armv8.2-a", Some(Cpu::Arm(8, 2))),
            ("sparc", None),
        ] {
            assert_eq!(Cpu::parse(text), cpu, "{text}");
        }
    }
}
