//! What the kernels of Linux and macOS know.

use std::collections::BTreeSet;

use camino::Utf8Path;
use gangway_artifact::{Cpu, Fact, Os, Version};

use super::{Kernel, processor};

/// Asks the kernel.
pub(super) fn kernel(folder: &Utf8Path) -> Kernel {
    let name = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let os = match text(name.sysname()).as_str() {
        "Linux" => Some(Os::Linux),
        "Darwin" => Some(Os::Darwin),
        _ => None,
    };
    let own = match text(name.machine()).as_str() {
        "x86_64" | "amd64" => Some(Cpu::X64),
        // A kernel of 64 bits says so to a program of 64 bits, whatever the system around it is.
        "aarch64" | "arm64" => Some(Cpu::Arm64),
        _ => None,
    };
    let mac = mac();
    let cpu = if mac.is_translated { Some(Cpu::Arm64) } else { own };
    let free = rustix::fs::statvfs(folder.as_std_path());
    let free = free.ok().and_then(|stat| stat.f_bavail.checked_mul(stat.f_frsize));
    let level = match cpu {
        Some(Cpu::X64) => processor::x86_64_level().map_or(Fact::Unknown, Fact::Is),
        _ => Fact::Absent,
    };
    Kernel {
        os,
        cpu,
        version: Version::leading(&text(name.release())).map_or(Fact::Unknown, Fact::Is),
        page_size: u64::try_from(rustix::param::page_size()).map_or(Fact::Unknown, Fact::Is),
        x86_64_level: level,
        memory: mac.memory.map_or(Fact::Unknown, Fact::Is),
        free: free.map_or(Fact::Unknown, Fact::Is),
        is_translated: mac.is_translated,
        translates: mac.translates,
    }
}

/// What only a Mac is asked.
#[derive(Default)]
struct Mac {
    is_translated: bool,
    translates: BTreeSet<Cpu>,
    memory: Option<u64>,
}

#[cfg(not(target_os = "macos"))]
fn mac() -> Mac {
    Mac::default()
}

#[cfg(target_os = "macos")]
fn mac() -> Mac {
    // Rosetta's own library is there once it was installed.
    const ROSETTA: &str = "/Library/Apple/usr/libexec/oah/libRosettaRuntime";
    let has_rosetta = std::path::Path::new(ROSETTA).exists();
    Mac {
        is_translated: number(c"sysctl.proc_translated") == Some(1),
        translates: has_rosetta.then_some(Cpu::X64).into_iter().collect(),
        memory: number(c"hw.memsize"),
    }
}

/// A number that the kernel of macOS keeps under a name.
#[cfg(target_os = "macos")]
#[expect(unsafe_code, reason = "no crate here wraps sysctlbyname")]
fn number(name: &std::ffi::CStr) -> Option<u64> {
    let mut bytes = [0u8; 8];
    let mut size = bytes.len();
    // SAFETY: the name ends with a zero, and the kernel writes at most `size` bytes.
    let status = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            bytes.as_mut_ptr().cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    (status == 0 && size <= 8).then(|| u64::from_le_bytes(bytes))
}

/// Whether there is a library, where its loader has to be asked.
#[cfg(not(target_os = "macos"))]
pub(super) fn has_library(_name: &str) -> Option<bool> {
    None
}

/// Most of macOS' own libraries are in one large file, and nowhere else.
#[cfg(target_os = "macos")]
#[expect(unsafe_code, reason = "the loader's own question is a function in C")]
pub(super) fn has_library(name: &str) -> Option<bool> {
    if std::path::Path::new(name).exists() {
        return Some(true);
    }
    let path = std::ffi::CString::new(name).ok()?;
    // SAFETY: both names end with a zero.
    let function =
        unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dyld_shared_cache_contains_path".as_ptr()) };
    if function.is_null() {
        return None;
    }
    // SAFETY: since macOS 11 the function of this name takes a path and returns a bool.
    let has = unsafe {
        let ask: extern "C" fn(*const libc::c_char) -> bool = std::mem::transmute(function);
        ask(path.as_ptr())
    };
    Some(has)
}
