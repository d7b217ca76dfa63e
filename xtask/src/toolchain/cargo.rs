//! How Cargo is called to build for a platform.
//!
//! What the user has set for builds of their own must not reach the bytes, and no folder of this machine may be in them.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::{ToolchainError, compilers, find};
use crate::context::Context;
use crate::shared_cache;

/// Who links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linker {
    /// What the platform's own Rust uses: only for the platform that the builder runs on.
    Native,
    /// zig, by way of cargo-zigbuild: for every other platform, and where the C library has a floor.
    Zig,
}

/// A call of Cargo, without what is to be built.
#[derive(Debug, Clone)]
pub struct Cargo {
    /// The program.
    pub program: Utf8PathBuf,
    /// Its first arguments.
    pub arguments: Vec<String>,
    /// All of its environment.
    pub environment: BTreeMap<String, String>,
    /// The versions of what links, for the keys of caches; empty for the platform's own.
    pub linker: String,
}

/// Cargo, for `triple`.
///
/// # Errors
/// When zig or cargo-zigbuild is needed and is not there.
pub fn cargo(context: &Context, triple: &str, linker: Linker) -> Result<Cargo, ToolchainError> {
    let cargo = context.variable("CARGO").unwrap_or("cargo");
    let mut environment = environment(&context.environment);
    // What tools say is looked at, and dates go into the head of Windows' executables.
    environment.insert("LC_ALL".to_owned(), "C".to_owned());
    environment.insert("SOURCE_DATE_EPOCH".to_owned(), "315532800".to_owned());
    if linker == Linker::Native {
        let arguments = vec!["build".to_owned()];
        return Ok(Cargo { program: cargo.into(), arguments, environment, linker: String::new() });
    }
    let zigbuild = find::zigbuild(context, triple)?;
    let zig = find::zig(context, &format!("`{triple}`"))?;
    let zig_cache = compilers::zig_cache(context);
    let own_cache = match context.variable("CARGO_ZIGBUILD_CACHE_DIR") {
        Some(folder) => context.current_dir.join(folder),
        None => context.cache.join("zigbuild-v1"),
    };
    environment.extend(
        [
            ("CARGO", cargo),
            ("CARGO_ZIGBUILD_ZIG_PATH", zig.program.as_str()),
            ("CARGO_ZIGBUILD_CACHE_DIR", own_cache.as_str()),
            ("ZIG_GLOBAL_CACHE_DIR", zig_cache.as_str()),
            ("ZIG_LOCAL_CACHE_DIR", zig_cache.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let linker = format!("zig {}, {}", zig.version, zigbuild.version);
    let arguments = vec!["zigbuild".to_owned()];
    Ok(Cargo { program: zigbuild.program, arguments, environment, linker })
}

/// The files that Cargo takes settings from when it builds in `workspace`, whether they are there or not.
#[must_use]
pub fn settings(context: &Context, workspace: &Utf8Path) -> Vec<Utf8PathBuf> {
    let above = workspace.ancestors().map(|folder| folder.join(".cargo"));
    let folders = above.chain(find::cargo_home(context));
    folders.flat_map(|folder| ["config.toml", "config"].map(|name| folder.join(name))).collect()
}

/// The compiler's flags, as Cargo wants them: with `\x1f` between. Of `folders`, the compiler takes the last one that fits.
#[must_use]
pub fn flags(context: &Context, others: &[&str], folders: &[(&Utf8Path, &str)]) -> String {
    let home = find::cargo_home(context);
    let home = home.as_deref().map(|home| (home, "/cargo"));
    let remapped = folders
        .iter()
        .copied()
        .chain(home)
        .map(|(folder, name)| format!("--remap-path-prefix={folder}={name}"));
    let others = others.iter().map(|flag| (*flag).to_owned());
    others.chain(remapped).collect::<Vec<_>>().join("\u{1f}")
}

/// The triple of the platform that the builder runs on.
#[must_use]
pub fn host() -> &'static str {
    env!("GANGWAY_HOST_TRIPLE")
}

/// What Cargo is told of this process's environment. Flags and profiles meant for other builds, and what the Cargo
/// that runs this builder has set, must not reach the bytes.
fn environment(ours: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
    ];
    const COMPILERS: [&str; 8] =
        ["CC", "CXX", "AR", "RANLIB", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CPPFLAGS"];
    let is_build_setting = |name: &str| name.starts_with("CARGO") || name.starts_with("RUST");
    ours.iter()
        .filter(|(name, _)| !COMPILERS.contains(&name.as_str()))
        // Who could make seals could put anything into the shared cache.
        .filter(|(name, _)| name.as_str() != shared_cache::KEY)
        .filter(|(name, _)| {
            !is_build_setting(name) || KEPT.iter().any(|kept| name.starts_with(kept))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn settings_of_other_builds_stay_outside() {
        let sandbox = Sandbox::new();
        let context = sandbox.context(&[
            ("PATH", "/bin"),
            ("LANG", "de_DE.UTF-8"),
            (shared_cache::KEY, "secret"),
            ("CARGO_HOME", "/ch"),
            ("CARGO_HTTP_PROXY", "http://127.0.0.1:1"),
            ("RUSTUP_TOOLCHAIN", "1.95"),
            ("RUSTFLAGS", "-Ctarget-cpu=native"),
            ("CARGO_PROFILE_LAUNCHER_OPT_LEVEL", "0"),
            ("CARGO_MANIFEST_DIR", "/code/xtask"),
            ("RUSTC_WRAPPER", "sccache"),
            ("CFLAGS", "-march=native"),
        ]);
        let cargo = cargo(&context, host(), Linker::Native).expect("nothing is looked for");
        let names: Vec<_> = cargo.environment.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "CARGO_HOME",
                "CARGO_HTTP_PROXY",
                "HOME",
                "LANG",
                "LC_ALL",
                "NPM_CONFIG_GLOBALCONFIG",
                "PATH",
                "RUSTUP_TOOLCHAIN",
                "SOURCE_DATE_EPOCH",
            ]
        );
    }

    #[test]
    fn another_platform_needs_zig() {
        let sandbox = Sandbox::new();
        let error = cargo(&sandbox.context(&[]), "aarch64-apple-darwin", Linker::Zig);
        assert!(matches!(error, Err(ToolchainError::NoZigbuild { .. })));
    }
}
