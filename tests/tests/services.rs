//! Services of two kinds, built for three platforms and started where that can be done.
//!
//! Most need zig, cargo-zigbuild and Rust's standard libraries of the targets; docs/services.md says how to get them.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{
    Machine, archive_for, bare, bundle, bundles, gangway, napi, scratch, text, unpack, unwrapped,
};

const MANIFEST: &str = r#"format = 1

[app]
name = "gw"
version = "1.2.3"
include = ["main.js"]

[runtime]
engine = "node"
version = "24.x"
sources = ["npm"]

[[entrypoint]]
name = "gw"
script = "main.js"

[[service]]
name = "probe"
kind = "rust"
path = "probe"
args = ["first"]
env = { GREETING = "hello" }
health = { port = 8123, path = "/health" }

[[service]]
name = "native"
kind = "command"
command = ["make", "-C", "native"]
inputs = ["native/**"]
"#;

const PROBE: &str = r#"fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("{} {arguments:?} {:?} {}", std::env::consts::ARCH, std::env::var("GREETING"), file!());
}
"#;

const MAKEFILE: &str = "all:\n\t$(CC) -O2 -DTARGET='\"$(GANGWAY_TARGET)\"' main.c -o $(GANGWAY_OUT)/native$(if $(filter win32,$(GANGWAY_OS)),.exe)\n";

const MAIN_C: &str = "#include <stdio.h>\nint main(int c, char **v) { printf(\"%s %d\\n\", TARGET, c); return 7; }\n";

fn project(name: &str) -> Utf8PathBuf {
    let folder = scratch(name);
    let cargo =
        "[package]\nname = \"probe\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    let lock = "version = 4\n\n[[package]]\nname = \"probe\"\nversion = \"0.1.0\"\n";
    for (path, text) in [
        ("gangway.toml", MANIFEST),
        ("main.js", "console.log('gateway');\n"),
        ("probe/Cargo.toml", cargo),
        ("probe/Cargo.lock", lock),
        ("probe/src/main.rs", PROBE),
        ("native/Makefile", MAKEFILE),
        ("native/main.c", MAIN_C),
    ] {
        write(&folder, path, text);
    }
    folder
}

fn write(folder: &Utf8Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs_err::create_dir_all(path.parent().expect("it was joined")).expect("writable");
    fs_err::write(path, text).expect("writable");
}

const TARGETS: [&str; 6] =
    ["--target", "linux-x64", "--target", "linux-arm64", "--target", "windows-x64"];

fn locked(folder: &Utf8Path) -> Utf8PathBuf {
    let manifest = folder.join("gangway.toml");
    let mut lock: Command = gangway();
    lock.args(["lock", "--manifest", manifest.as_str()]).args(TARGETS);
    let output = lock.output().expect("it starts");
    assert!(output.status.success(), "{}", text(&output));
    manifest
}

#[test]
#[ignore = "needs zig, cargo-zigbuild and Rust's standard libraries of the targets"]
fn services_are_built_for_every_target() {
    let folder = project("services");
    let manifest = locked(&folder);
    let out = folder.join("out");
    let first = bundle(&manifest, &out, &TARGETS);
    assert_eq!(first["entrypoints"][0], "gw");
    let archive = |target: &str| out.join(format!("gw-1.2.3-{target}.tar.zst"));

    let (_kept, root) = unpack(&archive("linux-x64"));
    let home = folder.join("home");
    fs_err::create_dir_all(&home).expect("writable");
    let run = |program: &str, argument: &str| {
        let mut program = bare(&root.join("bin").join(program), &home);
        program.arg(argument).output().expect("it starts")
    };
    let probe = run("probe", "a b");
    let said = "x86_64 [\"first\", \"a b\"] Ok(\"hello\") src/main.rs\n";
    assert_eq!(String::from_utf8_lossy(&probe.stdout), said);
    let native = run("native", "x");
    assert_eq!(String::from_utf8_lossy(&native.stdout), "linux-x64 2\n");
    assert_eq!(native.status.code(), Some(7));

    // ELF's machine 183 is AArch64.
    let (_kept, root) = unpack(&archive("linux-arm64"));
    for path in ["bin/probe", "services/probe/probe", "services/native/native"] {
        let bytes = fs_err::read(root.join(path)).expect("it is inside");
        assert_eq!((&bytes[..4], bytes[18]), (&b"\x7fELF"[..], 183), "{path}");
    }
    let (_kept, root) = unpack(&archive("windows-x64"));
    for path in ["bin/probe.exe", "services/probe/probe.exe", "services/native/native.exe"] {
        let bytes = fs_err::read(root.join(path)).expect("it is inside");
        assert_eq!(&bytes[..2], b"MZ", "{path}");
    }
}

#[test]
#[ignore = "needs zig"]
fn a_build_that_fails_shows_why_and_keeps_its_log() {
    let folder = project("services-failing");
    write(&folder, "native/main.c", "#error this cannot be\n");
    let manifest = locked(&folder);
    let output = gangway()
        .args(["bundle", "--manifest", manifest.as_str(), "--target", "linux-x64"])
        .args(["--out", folder.join("out").as_str()])
        .output()
        .expect("it starts");
    assert!(!output.status.success());
    let said = unwrapped(&text(&output));
    assert!(said.contains("the build of the service `native` for `linux-x64` failed"), "{said}");
    assert!(said.contains("this cannot be"), "{said}");
    assert!(said.replace(' ', "").contains("service-native-linux-x64.log"), "{said}");
}

/// Whether this machine's C library is too new or not, and the bundle refused or not.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[test]
fn without_zig_it_is_told_how_to_get_it() {
    let folder = project("services-without-zig");
    let (manifest, native) = (folder.join("gangway.toml"), "[[service]]\nname = \"native\"");
    let (with_probe, _) = MANIFEST.split_once(native).expect("it comes last");
    write(&folder, "gangway.toml", with_probe);
    locked(&folder);
    // Neither zig, nor a Python that may have it.
    let programs = folder.join("programs");
    // The folder is the same in every run of the tests.
    let _ = fs_err::remove_dir_all(&programs);
    fs_err::create_dir_all(&programs).expect("writable");
    let path = std::env::var_os("PATH").expect("it is set");
    for name in ["cargo", "rustc", "cc", "gcc", "ld", "as", "ar"] {
        let mut places = std::env::split_paths(&path).map(|place| place.join(name));
        if let Some(program) = places.find(|program| program.is_file()) {
            fs_err::os::unix::fs::symlink(program, programs.join(name)).expect("writable");
        }
    }
    let output = gangway()
        .args(["bundle", "--manifest", manifest.as_str(), "--target", "linux-x64"])
        .args(["--out", folder.join("out").as_str()])
        .env("PATH", &programs)
        .env("CARGO_HOME", folder.join("cargo"))
        .output()
        .expect("it starts");
    let said = text(&output);
    let warning = "the service `probe` is linked against this machine's C library, which may be newer than `linux-x64` \
                   promises: cargo-zigbuild is not installed; it builds Rust for `x86_64-unknown-linux-gnu`; run \
                   `cargo install --locked cargo-zigbuild`";
    assert!(said.contains(warning), "{said}");
    assert!(output.status.success() || said.contains("glibc-floor"), "{said}");
}

#[test]
#[ignore = "needs zig, cargo-zigbuild and Rust's standard libraries of the targets"]
fn an_addon_of_the_workspace_is_loaded() {
    let made = napi::bundled(&["linux-x64", "linux-arm64"]);
    let (_folder, bundle) = unpack(archive_for(&made, "linux-x64"));
    assert_eq!(napi::said_on(&Machine::this(), &bundle), "x64 42 hello you");
    // Only that of the target is inside.
    let (_folder, bundle) = unpack(archive_for(&made, "linux-arm64"));
    let inside: Vec<_> = fs_err::read_dir(bundle.join("app/native"))
        .expect("it is inside")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(inside, ["adder.linux-arm64-gnu.node"]);
}

const CMAKE_MANIFEST: &str = r#"format = 1

[app]
name = "gw"
version = "1.2.3"
include = ["README.md"]

[runtime]
engine = "none"

[[entrypoint]]
name = "gw"
service = "native"

[[service]]
name = "native"
kind = "command"
command = ["sh", "build.sh"]
inputs = ["build.sh", "native/**"]
programs = ["cmake"]
program = "bin/native"
"#;

const CMAKE_BUILD: &str = r#"set -eu
cmake -S native -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$GANGWAY_OUT"
cmake --build build --parallel "$GANGWAY_JOBS"
cmake --install build
"#;

const CMAKE_LISTS: &str = r#"cmake_minimum_required(VERSION 3.16)
project(native C)
add_library(half STATIC half.c)
add_executable(native main.c)
target_link_libraries(native PRIVATE half)
target_compile_definitions(native PRIVATE SYSTEM="${CMAKE_SYSTEM_NAME}")
install(TARGETS native RUNTIME DESTINATION bin)
"#;

const CMAKE_MAIN: &str = r#"#include <stdio.h>
int half(int);
int main(void) {
  printf("%s %d\n", SYSTEM, half(84));
  return 0;
}
"#;

#[test]
#[ignore = "needs zig and CMake"]
fn cmake_builds_for_every_target() {
    let folder = scratch("services-cmake");
    for (path, text) in [
        ("gangway.toml", CMAKE_MANIFEST),
        ("README.md", "# A gateway in C\n"),
        ("build.sh", CMAKE_BUILD),
        ("native/CMakeLists.txt", CMAKE_LISTS),
        ("native/half.c", "int half(int whole) { return whole / 2; }\n"),
        ("native/main.c", CMAKE_MAIN),
    ] {
        write(&folder, path, text);
    }
    let manifest = folder.join("gangway.toml");
    let targets = [&TARGETS[..], &["--target", "macos-arm64"]].concat();
    e2e::lock(&manifest, &targets);
    let made = bundles(&manifest, &folder.join("out"), &targets);
    let (_folder, bundle) = unpack(archive_for(&made, "linux-x64"));
    let output = bare(&bundle.join("bin/gw"), &folder).output().expect("it starts");
    assert_eq!(text(&output), "Linux 42\n");
    for (target, program, magic) in [
        ("linux-arm64", "native", &b"\x7fELF"[..]),
        ("windows-x64", "native.exe", b"MZ"),
        ("macos-arm64", "native", b"\xcf\xfa\xed\xfe"),
    ] {
        let (_folder, bundle) = unpack(archive_for(&made, target));
        let program = bundle.join("services/native/bin").join(program);
        let bytes = fs_err::read(program).expect("it is inside");
        assert!(bytes.starts_with(magic), "{target}");
    }
}
