//! Native code of other platforms: by what the file itself says, and for what lies beside it by the folder's name.
//!
//! The header decides over every name. A file the target can load never goes, however its folder is called, and a file
//! that only looks native (`encoding.so`, which is WebAssembly) is none of our business.

use gangway_artifact::{Libc, Os, Platform};

use super::error::PruneError;
use super::package::PackageFile;
use crate::addons::{Code, Fit, is_script};
use crate::native::Natives;

/// Whether a file is of no use on `platform`. `is_native`: its name is that of native code. `parents`: the names of
/// folders below which folders are named for platforms.
pub(super) fn is_foreign(
    file: &PackageFile<'_>,
    is_native: bool,
    parents: &[String],
    platform: &Platform,
    natives: &Natives,
) -> Result<bool, PruneError> {
    let in_foreign_folder = is_in_foreign_folder(file.inside, parents, platform);
    let is_program = file.source.executable && !is_script(file.path.name());
    if !is_native && !is_program && !in_foreign_folder {
        return Ok(false);
    }
    let fault = |error| PruneError::Read { path: file.source.path(), source: error };
    let code = Code::read(natives, file.source).map_err(fault)?;
    Ok(match code.map_or(Fit::NoCode, |code| code.fit(platform)) {
        Fit::Own => false,
        Fit::Foreign => true,
        Fit::NoCode | Fit::Emulated => in_foreign_folder,
    })
}

fn is_in_foreign_folder(inside: &str, parents: &[String], platform: &Platform) -> bool {
    let mut folders = inside.split('/').peekable();
    let mut is_below_parent = false;
    while let Some(folder) = folders.next() {
        let is_file = folders.peek().is_none();
        if is_file {
            return false;
        }
        if is_below_parent && Named::parse(folder).is_some_and(|named| named.is_foreign(platform)) {
            return true;
        }
        is_below_parent |= parents.iter().any(|parent| parent == folder);
    }
    false
}

/// The platform a folder is named for, as `win32-x64`, `linux-arm64-musl`, `darwin-x64+arm64` or `aarch64-apple-darwin`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    os: Option<&'static str>,
    libc: Option<Libc>,
    cpus: Vec<&'static str>,
}

impl Named {
    /// None unless every part of the name is known and system and processor are both in it.
    fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace("x86_64", "x64").replace("x86-64", "x64");
        let mut named = Self::default();
        for part in name.split(['-', '_', '+', '.']) {
            match part {
                "linux" => named.os = Some("linux"),
                "linuxmusl" | "alpine" => {
                    (named.os, named.libc) = (Some("linux"), Some(Libc::Musl));
                }
                "linuxglibc" => {
                    (named.os, named.libc) = (Some("linux"), Some(Libc::Glibc));
                }
                "darwin" | "macos" | "mac" | "osx" => named.os = Some("darwin"),
                "win32" | "win" | "windows" | "mingw" => named.os = Some("win32"),
                "android" | "androideabi" => named.os = Some("android"),
                "freebsd" | "openbsd" | "netbsd" | "sunos" | "aix" | "ios" | "wasi" => {
                    named.os = Some("other");
                }
                "gnu" | "glibc" | "gnueabihf" | "gnueabi" => named.libc = Some(Libc::Glibc),
                "musl" | "musleabihf" => named.libc = Some(Libc::Musl),
                "x64" | "amd64" => named.cpus.push("x64"),
                "arm64" | "aarch64" => named.cpus.push("arm64"),
                "universal" => named.cpus.extend(["x64", "arm64"]),
                "ia32" | "x86" | "i386" | "i686" | "arm" | "armv6" | "armv7" | "armv6l"
                | "armv7l" | "armhf" | "loong64" | "loongarch64" | "riscv64" | "ppc64"
                | "ppc64le" | "s390x" | "mips" | "mipsel" | "mips64el" => named.cpus.push("other"),
                "unknown" | "pc" | "apple" | "msvc" => {}
                _ => return None,
            }
        }
        (named.os.is_some() && !named.cpus.is_empty()).then_some(named)
    }

    fn is_foreign(&self, platform: &Platform) -> bool {
        let other_libc = matches!((self.libc, platform.libc), (Some(one), Some(own)) if one != own);
        self.os != Some(platform.os.as_str())
            || !self.cpus.contains(&platform.cpu.as_str())
            || (platform.os == Os::Linux && other_libc)
    }
}

#[cfg(test)]
mod tests {
    use gangway_artifact::Cpu;

    use super::*;

    const LINUX: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };
    #[test]
    fn folders_are_named_for_platforms() {
        let parents = ["prebuilds".to_owned(), "bin".to_owned()];
        let foreign = |path: &str| is_in_foreign_folder(path, &parents, &LINUX);
        for path in [
            "prebuilds/win32-x64/a.node",
            "prebuilds/linux-arm64/a.node",
            "prebuilds/linux-arm/a.node",
            "prebuilds/linux-x64-musl/a.node",
            "prebuilds/linuxmusl-x64/a.node",
            "prebuilds/darwin-x64+arm64/a.node",
            "prebuilds/android-arm64/a.node",
            "lib/bin/aarch64-apple-darwin/tool",
            "bin/x64-win32/tool.exe",
        ] {
            assert!(foreign(path), "{path}");
        }
        for path in [
            "prebuilds/linux-x64/a.node",
            "prebuilds/linux-x64-gnu/a.node",
            "prebuilds/linux_x86_64/a.node",
            "prebuilds/win32/index.js",
            "prebuilds/win32-x64",
            "prebuilds/arm64/a.node",
            "lib/win32-x64/index.js",
            "bin/windows-tools-x64/a",
        ] {
            assert!(!foreign(path), "{path}");
        }
    }
}
