//! C and C++ compilers for a target.
//!
//! Build systems want each tool as one program without arguments, so for every target there is a folder of small programs
//! that call zig. Its name is the digest of what is in it: it is written once and shared by everything that compiles.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Cpu, Digest, Os};

use super::{Tool, ToolchainError, find};
use crate::confine::Access;
use crate::context::Context;
use crate::mode;
use crate::process::quote;
use crate::target::Target;

/// The folder of the cache that has the programs.
const BUCKET: &str = "toolchain-v1";

/// The folder of the cache that zig keeps its own in: the C libraries it has compiled.
const ZIG_CACHE: &str = "zig-v1";

/// The compilers of one target. Every path is one of this machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compilers {
    /// Compiles and links C.
    pub cc: Utf8PathBuf,
    /// Compiles and links C++, with a C++ library that is linked statically.
    pub cxx: Utf8PathBuf,
    /// Makes static libraries.
    pub ar: Utf8PathBuf,
    /// Makes the index of a static library.
    pub ranlib: Utf8PathBuf,
    /// Compiles resources for Windows.
    pub rc: Utf8PathBuf,
    /// zig itself, for whatever else it can do: `objcopy`, `dlltool`.
    pub zig: Tool,
    /// A toolchain file of CMake that names them all.
    pub cmake_toolchain: Utf8PathBuf,
    /// What they compile for, in zig's words: `aarch64-linux-gnu.2.28`.
    pub target: String,
    zig_cache: Utf8PathBuf,
}

/// The compilers for `target`.
///
/// # Errors
/// When there is no zig on this machine, or the cache cannot be written to.
pub fn compilers(context: &Context, target: &Target) -> Result<Compilers, ToolchainError> {
    let zig = find::zig(context, &format!("`{}`", target.name))?;
    let zig_cache = zig_cache(context);
    make_folder(&zig_cache)?;
    let programs = programs(&zig, &zig_cache, &target.zig());
    let text = format!("{programs:?}{}", cmake(Utf8Path::new(""), target));
    let folder = context.cache.join(BUCKET).join(Digest::of(text).to_string());
    let compilers = Compilers {
        cc: folder.join("cc"),
        cxx: folder.join("c++"),
        ar: folder.join("ar"),
        ranlib: folder.join("ranlib"),
        rc: folder.join("rc"),
        cmake_toolchain: folder.join("toolchain.cmake"),
        zig,
        target: target.zig(),
        zig_cache,
    };
    if !compilers.cmake_toolchain.is_file() {
        for (name, text) in programs {
            write(&folder.join(name), &text, true)?;
        }
        // The last one: where it is, the others are.
        write(&compilers.cmake_toolchain, &cmake(&folder, target), false)?;
    }
    Ok(compilers)
}

/// Where zig keeps the C libraries it has compiled.
pub(super) fn zig_cache(context: &Context) -> Utf8PathBuf {
    match context.variable("ZIG_GLOBAL_CACHE_DIR") {
        Some(folder) => context.current_dir.join(folder),
        None => context.cache.join(ZIG_CACHE),
    }
}

impl Compilers {
    /// What build systems are told of them.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        [
            ("CC", &self.cc),
            ("CXX", &self.cxx),
            ("AR", &self.ar),
            ("RANLIB", &self.ranlib),
            ("CMAKE_TOOLCHAIN_FILE", &self.cmake_toolchain),
        ]
        .map(|(name, path)| (name.to_owned(), path.to_string()))
        .into()
    }

    /// What a program behind a fence must see to use them, each at its own path.
    #[must_use]
    pub fn shown(&self) -> Vec<(Utf8PathBuf, Access)> {
        let folders = [
            (self.cc.parent(), Access::Read),
            (self.zig.program.parent(), Access::Read),
            (Some(self.zig_cache.as_path()), Access::Write),
        ];
        folders
            .into_iter()
            .filter_map(|(folder, access)| Some((folder?.to_owned(), access)))
            .collect()
    }

    /// What the bytes they make depend on, for the keys of caches; no path of this machine is in it.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("zig {} for {}; {FLAGS} {}", self.zig.version, self.target, LAST.join(" "))
    }
}

/// zig compiles checks for undefined behaviour into whatever is built without `-O`; released code has none.
const FLAGS: &str = "-fno-sanitize=undefined";

/// What goes last, so that it counts. zig puts information for debuggers into everything, with the folders of this machine.
const LAST: [&str; 2] = ["-g0", "-s"];

/// The programs by name.
fn programs(zig: &Tool, zig_cache: &Utf8Path, target: &str) -> BTreeMap<&'static str, String> {
    let cache = quote(zig_cache.as_str());
    let quoted = quote(zig.program.as_str());
    // The date goes into the head of Windows' executables; without one it is that of the build.
    let head = format!(
        "#!/bin/sh\n\
         export ZIG_GLOBAL_CACHE_DIR={cache} ZIG_LOCAL_CACHE_DIR={cache}\n\
         export SOURCE_DATE_EPOCH=\"${{SOURCE_DATE_EPOCH:-315532800}}\"\n"
    );
    let library = zig.program.parent().map_or("", Utf8Path::as_str);
    let map = quote(&format!("-ffile-prefix-map={library}=/zig"));
    let [no_debug, strip] = LAST;
    let compiler = |verb: &str| {
        let call = format!("exec {quoted} {verb} -target {target} {FLAGS} {map} \"$@\" {no_debug}");
        // What is not linked yet takes no `-s` without a warning.
        format!(
            "{head}for argument do\n  case $argument in\n    -c | -S | -E | -M | -MM | -fsyntax-only | --version | -v) {call} ;;\n  esac\ndone\n{call} {strip}\n"
        )
    };
    let plain = |verb: &str| format!("{head}exec {quoted} {verb} \"$@\"\n");
    [
        ("cc", compiler("cc")),
        ("c++", compiler("c++")),
        ("ar", plain("ar")),
        ("ranlib", plain("ranlib")),
        ("rc", plain("rc")),
    ]
    .into()
}

/// CMake's toolchain file.
fn cmake(folder: &Utf8Path, target: &Target) -> String {
    let (system, processor) = match (target.platform.os, target.platform.cpu) {
        (Os::Linux, Cpu::X64) => ("Linux", "x86_64"),
        (Os::Linux, Cpu::Arm64) => ("Linux", "aarch64"),
        (Os::Darwin, Cpu::X64) => ("Darwin", "x86_64"),
        (Os::Darwin, Cpu::Arm64) => ("Darwin", "arm64"),
        (Os::Win32, Cpu::X64) => ("Windows", "AMD64"),
        (Os::Win32, Cpu::Arm64) => ("Windows", "ARM64"),
    };
    let mut text =
        format!("set(CMAKE_SYSTEM_NAME {system})\nset(CMAKE_SYSTEM_PROCESSOR {processor})\n");
    let tools = [
        ("C_COMPILER", "cc"),
        ("CXX_COMPILER", "c++"),
        ("AR", "ar"),
        ("RANLIB", "ranlib"),
        ("RC_COMPILER", "rc"),
        // zig changes no names in finished libraries; with the settings below nobody asks it to.
        ("INSTALL_NAME_TOOL", "cc"),
    ];
    for (variable, program) in tools {
        text.push_str(&format!("set(CMAKE_{variable} \"{}\")\n", folder.join(program)));
    }
    text.push_str("set(CMAKE_OSX_SYSROOT \"\")\nset(CMAKE_BUILD_WITH_INSTALL_RPATH ON)\n");
    for (kind, mode) in
        [("PROGRAM", "NEVER"), ("LIBRARY", "ONLY"), ("INCLUDE", "ONLY"), ("PACKAGE", "ONLY")]
    {
        text.push_str(&format!("set(CMAKE_FIND_ROOT_PATH_MODE_{kind} {mode})\n"));
    }
    // An empty one would let the modes above find what this machine has.
    text.push_str("set(CMAKE_FIND_ROOT_PATH \"/nonexistent\" CACHE STRING \"\")\n");
    text
}

fn make_folder(path: &Utf8Path) -> Result<(), ToolchainError> {
    std::fs::create_dir_all(path)
        .map_err(|source| ToolchainError::Write { path: path.to_owned(), source })
}

/// Puts a whole file in its place at once: another builder may do the same.
fn write(path: &Utf8Path, text: &str, executable: bool) -> Result<(), ToolchainError> {
    let folder = path.parent().expect("it was joined to one");
    make_folder(folder)?;
    let put = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        mode::set(file.as_file(), executable)?;
        // Closed before it gets its name: a program that is open for writing cannot be started.
        file.into_temp_path().persist(path)?;
        Ok(())
    };
    put().map_err(|source| ToolchainError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Targets;
    use crate::testing::Sandbox;

    /// A zig that says what it was asked.
    const ZIG: &str = "#!/bin/sh\nif [ \"$1\" = version ]; then echo 0.15.2; else echo \"$ZIG_GLOBAL_CACHE_DIR: $*\"; fi\n";

    fn sandbox() -> Sandbox {
        let sandbox = Sandbox::new();
        write(&sandbox.root.join("it's here/zig"), ZIG, true).expect("writable");
        sandbox
    }

    fn of(sandbox: &Sandbox, target: &str) -> Compilers {
        let path = sandbox.root.join("it's here");
        let context = sandbox.context(&[("PATH", path.as_str())]);
        let targets = Targets::built_in();
        compilers(&context, targets.find(target).expect("built in")).expect("there is a zig")
    }

    #[test]
    fn every_program_is_one_word_and_passes_arguments_on() {
        let sandbox = sandbox();
        let compilers = of(&sandbox, "linux-arm64");
        let said = |program: &Utf8Path, arguments: [&str; 2]| {
            let command = crate::process::Command::new("try it", program).args(arguments);
            command.answer().expect("it runs").replace(sandbox.root.as_str(), "<root>")
        };
        insta::assert_snapshot!(said(&compilers.cc, ["-c", "a b.c"]), @"<root>/cache/zig-v1: cc -target aarch64-linux-gnu.2.28 -fno-sanitize=undefined -ffile-prefix-map=<root>/it's here=/zig -c a b.c -g0");
        insta::assert_snapshot!(said(&compilers.cxx, ["-o", "a b"]), @"<root>/cache/zig-v1: c++ -target aarch64-linux-gnu.2.28 -fno-sanitize=undefined -ffile-prefix-map=<root>/it's here=/zig -o a b -g0 -s");
        insta::assert_snapshot!(said(&compilers.ranlib, ["-D", "a b"]), @"<root>/cache/zig-v1: ranlib -D a b");
    }

    #[test]
    fn targets_have_compilers_of_their_own_and_share_what_is_the_same() {
        let sandbox = sandbox();
        let [one, other, again] =
            ["linux-arm64", "jetson-jp5", "linux-arm64"].map(|name| of(&sandbox, name));
        assert_ne!(one.cc, other.cc);
        assert_eq!(one, again);
        assert_ne!(one.identity(), other.identity());
        assert!(!one.identity().contains(sandbox.root.as_str()), "{}", one.identity());
    }

    #[test]
    fn cmake_is_told_the_same() {
        let sandbox = sandbox();
        let compilers = of(&sandbox, "windows-arm64");
        let text = fs_err::read_to_string(&compilers.cmake_toolchain).expect("written");
        let folder = compilers.cc.parent().expect("it has one");
        insta::assert_snapshot!(text.replace(folder.as_str(), "<compilers>"), @r#"
        set(CMAKE_SYSTEM_NAME Windows)
        set(CMAKE_SYSTEM_PROCESSOR ARM64)
        set(CMAKE_C_COMPILER "<compilers>/cc")
        set(CMAKE_CXX_COMPILER "<compilers>/c++")
        set(CMAKE_AR "<compilers>/ar")
        set(CMAKE_RANLIB "<compilers>/ranlib")
        set(CMAKE_RC_COMPILER "<compilers>/rc")
        set(CMAKE_INSTALL_NAME_TOOL "<compilers>/cc")
        set(CMAKE_OSX_SYSROOT "")
        set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
        set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
        set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
        set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
        set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
        set(CMAKE_FIND_ROOT_PATH "/nonexistent" CACHE STRING "")
        "#);
        let variables = compilers.variables();
        assert_eq!(variables["CMAKE_TOOLCHAIN_FILE"], compilers.cmake_toolchain);
    }
}
