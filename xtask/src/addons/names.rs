//! Names of packages that are made for one platform each: `@img/sharp-linuxmusl-x64`, `turbo-windows-64`.

/// Words for systems, as makers of such packages use them.
const SYSTEMS: &[&str] = &[
    "linux",
    "linuxmusl",
    "linuxglibc",
    "darwin",
    "macos",
    "osx",
    "win32",
    "win64",
    "windows",
    "android",
    "freebsd",
    "openbsd",
    "netbsd",
    "sunos",
    "aix",
    "wasi",
    "openharmony",
];

/// Whether a package's name has a platform in it: a system, and something after or before it.
#[must_use]
pub(super) fn names_platform(name: &str) -> bool {
    let (_, own) = name.split_once('/').unwrap_or(("", name));
    let mut words = own.split(['-', '_', '.']);
    // The scope alone does not make it so, and a package called `windows` is none of these.
    own.contains(['-', '_', '.']) && words.any(|word| SYSTEMS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in [
            "@img/sharp-linux-x64",
            "@img/sharp-linuxmusl-x64",
            "sqlite-vec-windows-x64",
            "@koromix/koffi-win32-ia32",
            "@esbuild/darwin-arm64",
            "@cloudflare/workerd-linux-64",
            "@rolldown/binding-wasm32-wasi",
        ] {
            assert!(names_platform(name), "{name}");
        }
        for name in ["fsevents", "jszip", "@linux/tools", "windows", "@types/node", "bufferutil"] {
            assert!(!names_platform(name), "{name}");
        }
    }
}
