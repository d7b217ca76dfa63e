//! Targets: the data in `targets/*.toml`.
//!
//! Everything the builder knows of a platform stands there. Code asks a [`Target`]; it never compares names.

use std::collections::BTreeMap;

use gangway_artifact::{Platform, TargetName};
use miette::Diagnostic;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Engine, RuntimeSource};

/// The target files, compiled in so that a released builder needs nothing beside it.
const FILES: &[(&str, &str)] = &[("linux-x64", include_str!("../../targets/linux-x64.toml"))];

/// One target.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name: the file's.
    pub name: TargetName,
    /// The platform it stands for.
    pub platform: Platform,
    description: String,
    data: File,
}

/// A build tool as one platform gets it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToolPackage {
    /// The npm package with the tool's build for this platform.
    pub npm: String,
    /// The executable inside it.
    pub executable: String,
}

/// A runtime as one target gets it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuntimePackage {
    /// The maker's word for the platform in its file names.
    pub official: Option<String>,
    /// The npm package with the runtime's build for this platform.
    pub npm: Option<String>,
    /// The executable inside the archive.
    pub executable: String,
    /// The licence text inside the archive.
    pub license: String,
    /// Whether symbols can be taken out of the executable without breaking it or its signature.
    pub strip: bool,
}

/// The oldest system promised to run a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Baseline {
    /// glibc, for instance `2.28`.
    pub glibc: Option<String>,
    /// The newest `GLIBCXX_` version of its libstdc++, for instance `3.4.24`.
    pub libstdcxx: Option<String>,
}

/// A target that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TargetError {
    /// No such target.
    #[error("there is no target `{name}`")]
    #[diagnostic(help("{}", suggestion(name)))]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// A target that lacks a runtime.
    #[error("{engine} has no build for the target `{target}` that Gangway knows of")]
    #[diagnostic(help("choose another `engine` in [runtime], or leave out this target"))]
    NoRuntime {
        /// The runtime.
        engine: &'static str,
        /// The target.
        target: TargetName,
    },
    /// A build tool nobody knows.
    #[error("Gangway knows no build tool `{name}` for `{target}`")]
    #[diagnostic(help("[tools] in gangway.toml can name: {}", known.join(", ")))]
    NoTool {
        /// The tool.
        name: String,
        /// The platform it should run on.
        target: TargetName,
        /// The tools there are.
        known: Vec<String>,
    },
    /// Bundles are made on a platform that is not a target itself.
    #[error("this machine ({os} on {cpu}) is none that Gangway can build on")]
    #[diagnostic(help("bundles are made on Linux; known platforms: {}", names().join(", ")))]
    Host {
        /// Rust's word for the operating system.
        os: &'static str,
        /// Rust's word for the processor.
        cpu: &'static str,
    },
}

/// The target of this name.
///
/// # Errors
/// When there is none; the message has the names that come near.
pub fn find(name: &str) -> Result<Target, TargetError> {
    FILES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(name, text)| parse(name, text))
        .ok_or_else(|| TargetError::Unknown { name: name.to_owned() })
}

/// Every target, in the order of their names.
#[must_use]
pub fn all() -> Vec<Target> {
    FILES.iter().map(|(name, text)| parse(name, text)).collect()
}

/// The target this machine itself is: what build tools and commands run on.
///
/// # Errors
/// When the machine is of a kind no target describes.
pub fn host() -> Result<Target, TargetError> {
    all()
        .into_iter()
        .find(|target| target.triple() == HOST_TRIPLE)
        .ok_or(TargetError::Host { os: std::env::consts::OS, cpu: std::env::consts::ARCH })
}

/// The JSON schema of a target file, as committed in `targets/schema.json`.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(File);
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON") + "\n"
}

const HOST_TRIPLE: &str = env!("GANGWAY_HOST_TRIPLE");

impl Target {
    /// One sentence for people.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Rust's name of the platform.
    #[must_use]
    pub fn triple(&self) -> &str {
        &self.data.triple
    }

    /// Rust's name of what the launcher is built for.
    #[must_use]
    pub fn launcher_triple(&self) -> &str {
        &self.data.launcher.triple
    }

    /// The oldest system promised to run a bundle.
    #[must_use]
    pub fn baseline(&self) -> &Baseline {
        &self.data.baseline
    }

    /// Shared libraries every such system has.
    #[must_use]
    pub fn system_libraries(&self) -> &[String] {
        &self.data.system.libraries
    }

    /// How this target gets a runtime.
    ///
    /// # Errors
    /// When the runtime is not made for it.
    pub fn runtime(&self, engine: Engine) -> Result<&RuntimePackage, TargetError> {
        self.data.runtime.get(engine.as_str()).ok_or_else(|| TargetError::NoRuntime {
            engine: engine.as_str(),
            target: self.name.clone(),
        })
    }

    /// How this platform gets a build tool.
    ///
    /// # Errors
    /// When nobody knows the tool.
    pub fn tool(&self, name: &str) -> Result<&ToolPackage, TargetError> {
        self.data.tools.get(name).ok_or_else(|| TargetError::NoTool {
            name: name.to_owned(),
            target: self.name.clone(),
            known: self.data.tools.keys().cloned().collect(),
        })
    }
}

impl RuntimePackage {
    /// The name under which `source` serves this target's build.
    #[must_use]
    pub fn name_at(&self, source: RuntimeSource) -> Option<&str> {
        match source {
            RuntimeSource::Official => self.official.as_deref(),
            RuntimeSource::Npm => self.npm.as_deref(),
        }
    }
}

/// A target file, format 1.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    /// Always 1.
    #[schemars(range(min = 1, max = 1))]
    format: u32,
    /// One sentence for people.
    description: String,
    /// Rust's name of the platform.
    triple: String,
    /// What npm's `os`, `cpu` and `libc` fields are compared with.
    platform: RawPlatform,
    /// The oldest system promised to run a bundle.
    baseline: Baseline,
    /// What such a system brings.
    system: System,
    /// The launcher in `bin/`.
    launcher: Launcher,
    /// How to get each runtime, by engine.
    runtime: BTreeMap<String, RuntimePackage>,
    /// Build tools that run on this platform, by name.
    #[serde(default)]
    tools: BTreeMap<String, ToolPackage>,
}

/// npm's words for a platform.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawPlatform {
    /// `linux`, `darwin` or `win32`.
    os: String,
    /// `x64` or `arm64`.
    cpu: String,
    /// `glibc` or `musl`; on Linux only.
    libc: Option<String>,
}

/// What the oldest system brings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct System {
    /// Shared libraries, by the name programs ask for.
    libraries: Vec<String>,
}

/// How the launcher is built.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Launcher {
    /// Rust's name of the platform it is built for, statically linked.
    triple: String,
}

fn parse(name: &str, text: &str) -> Target {
    let data: File = toml::from_str(text)
        .unwrap_or_else(|error| panic!("targets/{name}.toml is ours and valid: {error}"));
    assert_eq!(data.format, 1, "targets/{name}.toml: the format this builder reads");
    let platform = serde_json::json!({ "os": data.platform.os, "cpu": data.platform.cpu, "libc": data.platform.libc });
    Target {
        name: name.parse().expect("a file name that can name a target"),
        platform: serde_json::from_value(platform)
            .unwrap_or_else(|error| panic!("targets/{name}.toml, [platform]: {error}")),
        description: data.description.clone(),
        data,
    }
}

fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

fn suggestion(name: &str) -> String {
    let nearest = names()
        .into_iter()
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match nearest {
        Some(near) if strsim::jaro_winkler(name, near) > 0.8 => {
            format!("did you mean `{near}`? Known targets: {}", names().join(", "))
        }
        _ => format!("known targets: {}", names().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use camino::{Utf8Path, Utf8PathBuf};

    use super::*;

    fn folder() -> Utf8PathBuf {
        Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets")
    }

    #[test]
    fn every_file_is_compiled_in_and_valid() {
        let mut on_disk: Vec<String> = fs_err::read_dir(folder())
            .expect("the folder is part of the sources")
            .filter_map(|entry| entry.expect("readable").file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        on_disk.sort();
        assert_eq!(on_disk, names());
        assert_eq!(all().len(), names().len());
    }

    #[test]
    fn schema_is_committed() {
        let committed = fs_err::read_to_string(folder().join("schema.json")).expect("committed");
        assert_eq!(committed, schema(), "run `cargo xtask schema` and commit the result");
    }

    #[test]
    fn a_near_miss_is_suggested() {
        let error = find("linux-x46").expect_err("there is no such target");
        let help = error.help().expect("it has help").to_string();
        assert!(help.contains("did you mean `linux-x64`?"), "{help}");
        let error = find("amiga").expect_err("there is no such target");
        let help = error.help().expect("it has help").to_string();
        assert_eq!(help, format!("known targets: {}", names().join(", ")));
    }

    #[test]
    fn every_target_can_be_judged() {
        for target in all() {
            let name = &target.name;
            assert_eq!(find(name.as_str()).expect("it is listed").triple(), target.triple());
            assert!(!target.description().is_empty(), "{name}");
            let baseline = target.baseline();
            for version in [&baseline.glibc, &baseline.libstdcxx].into_iter().flatten() {
                assert!(gangway_abi::Version::parse(version).is_some(), "{name}: {version}");
            }
            assert!(target.system_libraries().is_sorted(), "{name}: libraries are sorted");
            let runtime = target.runtime(Engine::Node).expect("every target so far has node");
            assert!(runtime.official.is_some() || runtime.npm.is_some(), "{name}");
        }
    }

    #[test]
    fn tools_there_are_not() {
        let target = find("linux-x64").expect("it is compiled in");
        let error = target.tool("esbulid").expect_err("there is no such tool");
        assert_eq!(error.to_string(), "Gangway knows no build tool `esbulid` for `linux-x64`");
        let help = error.help().expect("it has help").to_string();
        assert_eq!(help, "[tools] in gangway.toml can name: bun, esbuild");
    }
}
