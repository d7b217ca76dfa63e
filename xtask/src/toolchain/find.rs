//! Looks for tools by running them.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Cpu, Os, Platform};

use super::ToolchainError;
use crate::context::Context;
use crate::mode;
use crate::process::{Command, ProcessError};

/// A program that was found, and what it calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its file.
    pub program: Utf8PathBuf,
    /// The first line of what it says of its version.
    pub version: String,
}

/// Cargo and the compiler it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rust {
    /// `cargo`, as it can be started.
    pub cargo: Utf8PathBuf,
    /// All that the compiler says of its version; it names the commit.
    pub version: String,
    /// The platform the compiler runs on.
    pub host: String,
}

/// The zig that compiles for `wanted`, a text for messages: the one cargo-zigbuild was told of, that on the `PATH`, or that
/// of Python's package `ziglang`.
///
/// # Errors
/// When there is none, or it does not answer.
pub fn zig(context: &Context, wanted: &str) -> Result<Tool, ToolchainError> {
    let named = context.variable("CARGO_ZIGBUILD_ZIG_PATH").map(Utf8PathBuf::from);
    let program = named
        .or_else(|| on_path(context, "zig"))
        .or_else(|| of_python(context))
        .ok_or_else(|| ToolchainError::NoZig { wanted: wanted.to_owned() })?;
    let asked = Command::new("ask zig for its version", program.as_path()).arg("version");
    let version = asked.version().map_err(|error| match error {
        ProcessError::Start { .. } => ToolchainError::NoZig { wanted: wanted.to_owned() },
        error => ToolchainError::Broken { tool: "zig", source: Box::new(error) },
    })?;
    // What a link leads to finds the library that lies beside it.
    let program = program.canonicalize_utf8().unwrap_or(program);
    Ok(Tool { program, version })
}

/// The CMake that configures `wanted`, a text for messages: that on the `PATH`, or that of Python's package `cmake`. Where the
/// first is only the package's own script, it is the program that the script would start.
///
/// # Errors
/// When there is none, or it does not answer.
pub fn cmake(context: &Context, wanted: &str) -> Result<Tool, ToolchainError> {
    const WHERE: &str = "import cmake, os; print(os.path.join(cmake.CMAKE_BIN_DIR, 'cmake'))";
    let absent = || ToolchainError::NoCmake { wanted: wanted.to_owned() };
    let called = on_path(context, "cmake");
    let interpreter = called.as_deref().and_then(interpreter);
    let program = match (called, interpreter) {
        (Some(program), None) => Some(program),
        (Some(_), Some(python)) => ask_python(context, python, "cmake", WHERE),
        (None, _) => python_program(context, "cmake", WHERE),
    };
    let program = program.ok_or_else(absent)?;
    let asked = Command::new("ask CMake for its version", program.as_path()).arg("--version");
    let version = asked
        .version()
        .map_err(|source| ToolchainError::Broken { tool: "CMake", source: Box::new(source) })?;
    // What a link leads to finds the modules that lie beside it.
    let program = program.canonicalize_utf8().unwrap_or(program);
    Ok(Tool { program, version })
}

/// Cargo and rustc as they are chosen in `folder`, which may hold a `rust-toolchain.toml`.
///
/// # Errors
/// When one of them cannot be run.
pub fn rust(context: &Context, folder: &Utf8Path) -> Result<Rust, ToolchainError> {
    let cargo = context.variable("CARGO").unwrap_or("cargo");
    let version = rustc(context, folder).arg("-vV").answer().map_err(|source| {
        ToolchainError::NoRust { program: "rustc".to_owned(), source: Box::new(source) }
    })?;
    let cargo_version = Command::new("ask Cargo for its version", cargo)
        .arg("-V")
        .envs(context.environment.clone());
    let cargo_version = cargo_version.current_dir(folder).version().map_err(|source| {
        ToolchainError::NoRust { program: cargo.to_owned(), source: Box::new(source) }
    })?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let host = host.to_owned();
    Ok(Rust { cargo: cargo.into(), version: format!("{cargo_version}\n{version}"), host })
}

/// The cargo-zigbuild that builds for `triple`.
///
/// # Errors
/// When there is none, or it does not answer.
pub fn zigbuild(context: &Context, triple: &str) -> Result<Tool, ToolchainError> {
    let absent = || ToolchainError::NoZigbuild { triple: triple.to_owned() };
    let program = on_path(context, "cargo-zigbuild")
        .or_else(|| cargo_home(context).map(|home| home.join("bin/cargo-zigbuild")))
        .filter(|program| is_program(program))
        .ok_or_else(absent)?;
    let asked = Command::new("ask cargo-zigbuild for its version", program.as_path()).arg("-V");
    let version = asked.version().map_err(|source| ToolchainError::Broken {
        tool: "cargo-zigbuild",
        source: Box::new(source),
    })?;
    Ok(Tool { program, version })
}

/// Makes sure that the compiler chosen in `folder` has a standard library for `triple`.
///
/// # Errors
/// When it has none.
pub fn standard_library(
    context: &Context,
    folder: &Utf8Path,
    triple: &str,
) -> Result<(), ToolchainError> {
    let absent = || ToolchainError::NoStandardLibrary { triple: triple.to_owned() };
    let asked = rustc(context, folder).args(["--print", "target-libdir", "--target", triple]);
    let library = asked.version().map_err(|error| match error {
        // It does not even know the name.
        ProcessError::Failed { .. } => absent(),
        source => ToolchainError::NoRust { program: "rustc".to_owned(), source: Box::new(source) },
    })?;
    let mut files = Utf8Path::new(&library).read_dir_utf8().into_iter().flatten().flatten();
    if files.any(|file| file.file_name().starts_with("libstd-")) { Ok(()) } else { Err(absent()) }
}

/// Where Cargo keeps what it downloads.
#[must_use]
pub(crate) fn cargo_home(context: &Context) -> Option<Utf8PathBuf> {
    context
        .variable("CARGO_HOME")
        .map(|folder| context.current_dir.join(folder))
        .or_else(|| context.home().map(|home| home.join(".cargo")))
}

/// What Go calls a platform: `GOOS` and `GOARCH`.
#[must_use]
pub fn go_words(platform: &Platform) -> (&'static str, &'static str) {
    let os = match platform.os {
        Os::Linux => "linux",
        Os::Darwin => "darwin",
        Os::Win32 => "windows",
    };
    let cpu = match platform.cpu {
        Cpu::X64 => "amd64",
        Cpu::Arm64 => "arm64",
    };
    (os, cpu)
}

/// The first program of that name in the folders of `PATH`.
#[must_use]
pub(crate) fn on_path(context: &Context, name: &str) -> Option<Utf8PathBuf> {
    std::env::split_paths(context.variable("PATH")?)
        .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
        .map(|folder| context.current_dir.join(folder).join(name))
        .find(|program| is_program(program))
}

fn is_program(path: &Utf8Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && mode::is_executable(&metadata))
}

/// The program inside Python's package; started directly, it is one process less and can be named in a script.
fn of_python(context: &Context) -> Option<Utf8PathBuf> {
    const WHERE: &str =
        "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))";
    python_program(context, "zig", WHERE)
}

/// The program `name` inside one of Python's packages, which `script` prints the place of.
fn python_program(context: &Context, name: &str, script: &str) -> Option<Utf8PathBuf> {
    let pythons = ["python3", "python"].into_iter();
    pythons
        .filter_map(|python| on_path(context, python))
        .find_map(|python| ask_python(context, python, name, script))
}

fn ask_python(
    context: &Context,
    python: Utf8PathBuf,
    name: &str,
    script: &str,
) -> Option<Utf8PathBuf> {
    let asked = Command::new(format!("find Python's {name}"), python).args(["-c", script]);
    let program = asked.envs(context.environment.clone()).version().ok()?;
    Some(Utf8PathBuf::from(program)).filter(|program| is_program(program))
}

/// The program that a script names in its first line.
fn interpreter(script: &Utf8Path) -> Option<Utf8PathBuf> {
    let mut start = [0; 512];
    let mut file = fs_err::File::open(script).ok()?;
    let length = std::io::Read::read(&mut file, &mut start).ok()?;
    let text = String::from_utf8_lossy(&start[..length]).into_owned();
    let line = text.strip_prefix("#!")?.lines().next()?.trim().to_owned();
    let program = Utf8PathBuf::from(line.split(' ').next()?);
    is_program(&program).then_some(program)
}

fn rustc(context: &Context, folder: &Utf8Path) -> Command {
    // Flags of other builds do not change what it says of itself, and `RUSTUP_TOOLCHAIN` has to.
    let environment: BTreeMap<_, _> = context.environment.clone();
    Command::new("ask rustc", context.variable("RUSTC").unwrap_or("rustc"))
        .envs(environment)
        .current_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Sandbox, rendered};

    fn program(sandbox: &Sandbox, path: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = sandbox.write(path, format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its owner");
    }

    fn context(sandbox: &Sandbox) -> Context {
        let path = sandbox.root.join("bin");
        sandbox.context(&[("PATH", path.as_str())])
    }

    #[test]
    fn zig_may_be_pythons() {
        let sandbox = Sandbox::new();
        program(&sandbox, "site/ziglang/zig", "echo 0.15.2");
        let zig = sandbox.root.join("site/ziglang/zig");
        program(&sandbox, "bin/python3", &format!("[ \"$1\" = -c ] && echo '{zig}'"));
        let found = super::zig(&context(&sandbox), "it").expect("it is there");
        assert_eq!(found, Tool { program: zig, version: "0.15.2".to_owned() });
        // That on the PATH goes first.
        program(&sandbox, "bin/zig", "echo 0.16.0");
        let found = super::zig(&context(&sandbox), "it").expect("it is there");
        assert_eq!(found.version, "0.16.0");
    }

    #[test]
    fn cmake_may_be_pythons_too() {
        let sandbox = Sandbox::new();
        program(&sandbox, "site/cmake/data/bin/cmake", "echo cmake version 4.0.0; echo more");
        let real = sandbox.root.join("site/cmake/data/bin/cmake");
        let python = format!("[ \"$1\" = -c ] && echo '{real}'");
        program(&sandbox, "tools/python", &python);
        sandbox
            .write("bin/cmake", format!("#!{}\nimport cmake\n", sandbox.root.join("tools/python")));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(sandbox.root.join("bin/cmake"), mode).expect("its owner");
        let found = super::cmake(&context(&sandbox), "it").expect("it is there");
        assert_eq!(found, Tool { program: real, version: "cmake version 4.0.0".to_owned() });
    }

    #[test]
    fn what_is_missing_says_how_to_get_it() {
        let sandbox = Sandbox::new();
        let context = context(&sandbox);
        let folder = sandbox.root.as_path();
        insta::assert_snapshot!(rendered(&super::zig(&context, "`jetson`").expect_err("none")), @"
        × zig is not installed; it compiles and links for `jetson`
        help: run `pip install ziglang`, or put the `zig` of https://ziglang.org/download on the PATH
        ");
        insta::assert_snapshot!(rendered(&super::cmake(&context, "`jetson`").expect_err("none")), @"
        × CMake is not installed; it configures `jetson`
        help: run `pip install cmake` or `uv tool install cmake`, or install your system's package `cmake`
        ");
        insta::assert_snapshot!(rendered(&zigbuild(&context, "aarch64-apple-darwin").expect_err("none")), @"
        × cargo-zigbuild is not installed; it builds Rust for `aarch64-apple-darwin`
        help: run `cargo install --locked cargo-zigbuild`
        ");
        insta::assert_snapshot!(rendered(&rust(&context, folder).expect_err("none")), @"
        × cannot run `rustc`
        ├─▶ could not ask rustc: `rustc -vV` cannot be started
        ╰─▶ No such file or directory (os error 2)
        help: install Rust: https://rustup.rs
        ");
        program(&sandbox, "bin/rustc", "echo /nowhere/lib");
        insta::assert_snapshot!(rendered(&standard_library(&context, folder, "aarch64-apple-darwin").expect_err("none")), @"
        × the Rust toolchain has no standard library for `aarch64-apple-darwin`
        help: run `rustup target add aarch64-apple-darwin`
        ");
        program(&sandbox, "bin/rustc", "echo error: no such target >&2; exit 1");
        assert!(matches!(
            standard_library(&context, folder, "x86-beos"),
            Err(ToolchainError::NoStandardLibrary { .. })
        ));
    }

    #[test]
    fn this_machines_own_rust() {
        let sandbox = Sandbox::new();
        let mut context = sandbox.context(&[]);
        context.environment = std::env::vars().collect();
        let rust = rust(&context, &sandbox.root).expect("tests are built by it");
        assert!(rust.version.contains("\nrustc "), "{}", rust.version);
        standard_library(&context, &sandbox.root, &rust.host).expect("tests are built with it");
    }
}
