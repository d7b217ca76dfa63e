//! What is missing on this machine, and how to get it.

use camino::Utf8PathBuf;
use miette::Diagnostic;

use crate::process::ProcessError;

/// What can go wrong when tools are looked for.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are what the messages name")]
pub enum ToolchainError {
    /// No zig.
    #[error("zig is not installed; it compiles and links for {wanted}")]
    #[diagnostic(help(
        "run `pip install ziglang`, or put the `zig` of https://ziglang.org/download on the PATH"
    ))]
    NoZig { wanted: String },
    /// No CMake.
    #[error("CMake is not installed; it configures {wanted}")]
    #[diagnostic(help(
        "run `pip install cmake` or `uv tool install cmake`, or install your system's package `cmake`"
    ))]
    NoCmake { wanted: String },
    /// No Cargo or rustc.
    #[error("cannot run `{program}`")]
    #[diagnostic(help("install Rust: https://rustup.rs"))]
    NoRust { program: String, source: Box<ProcessError> },
    /// No cargo-zigbuild.
    #[error("cargo-zigbuild is not installed; it builds Rust for `{triple}`")]
    #[diagnostic(help("run `cargo install --locked cargo-zigbuild`"))]
    NoZigbuild { triple: String },
    /// No standard library for a platform.
    #[error("the Rust toolchain has no standard library for `{triple}`")]
    #[diagnostic(help("run `rustup target add {triple}`"))]
    NoStandardLibrary { triple: String },
    /// A tool is there and does not work.
    #[error("{tool} is installed and does not work")]
    Broken { tool: &'static str, source: Box<ProcessError> },
    /// The programs that stand for the compilers could not be written.
    #[error("cannot write `{path}`")]
    Write { path: Utf8PathBuf, source: std::io::Error },
}

/// How to get a program that build commands are likely to call.
#[must_use]
pub fn remedy(program: &str) -> Option<&'static str> {
    Some(match program {
        "go" => "install Go: https://go.dev/dl",
        "cmake" => "run `pip install cmake`, or install your system's package `cmake`",
        "ninja" => "run `pip install ninja`, or install your system's package `ninja-build`",
        "make" => "install your system's package `make`",
        "meson" => "run `pip install meson`",
        "nvcc" => "install the CUDA toolkit: https://developer.nvidia.com/cuda-downloads",
        "cargo" | "rustc" => "install Rust: https://rustup.rs",
        "zig" => {
            "run `pip install ziglang`, or put the `zig` of https://ziglang.org/download on the PATH"
        }
        "uv" => "install uv: https://docs.astral.sh/uv",
        _ => return None,
    })
}
