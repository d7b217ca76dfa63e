//! Targets: the data in `targets/*.toml`.
//!
//! Everything the builder knows of a platform stands there. Code asks a [`Target`]; it never compares names.

mod error;
mod file;
mod registry;

use gangway_artifact::{Platform, TargetName};

use crate::config::{Engine, RuntimeSource, document};

pub use error::TargetError;
pub use file::{
    Baseline, FileSystem, Jetson, L4t, Libraries, RuntimeBuild, RuntimePackage, ToolPackage, Wheels,
};
pub use registry::{FOLDER, Targets};

/// One target.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name: the file's.
    pub name: TargetName,
    /// The platform it stands for.
    pub platform: Platform,
    data: file::File,
}

/// The JSON schema of a target file, as committed in `targets/schema.json`.
#[must_use]
pub fn schema() -> String {
    document::schema::<file::File>()
}

impl Target {
    fn new(name: &str, data: file::File) -> Result<Self, String> {
        let words = &data.platform;
        let platform = serde_json::json!({ "os": words.os, "cpu": words.cpu, "libc": words.libc });
        Ok(Self {
            name: name.parse().map_err(|error| format!("{error}"))?,
            platform: serde_json::from_value(platform).map_err(|error| error.to_string())?,
            data,
        })
    }

    /// One sentence for people.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.data.description
    }

    /// Rust's name of the platform.
    #[must_use]
    pub fn triple(&self) -> &str {
        &self.data.triple
    }

    /// What zig is told to compile for: its name of the platform, with the baseline's version of glibc or macOS.
    #[must_use]
    pub fn zig(&self) -> String {
        let baseline = &self.data.baseline;
        match baseline.glibc.as_ref().or(baseline.macos.as_ref()) {
            Some(version) => format!("{}.{version}", self.data.compiler.zig),
            None => self.data.compiler.zig.clone(),
        }
    }

    /// What `cargo zigbuild --target` is told: the triple, with the baseline's glibc.
    #[must_use]
    pub fn zigbuild(&self) -> String {
        match &self.data.baseline.glibc {
            Some(glibc) => format!("{}.{glibc}", self.data.triple),
            None => self.data.triple.clone(),
        }
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

    /// What its file systems can hold.
    #[must_use]
    pub fn file_system(&self) -> &FileSystem {
        &self.data.file_system
    }

    /// What JetPack brings, if the target is a Jetson.
    #[must_use]
    pub fn jetson(&self) -> Option<&Jetson> {
        self.data.jetson.as_ref()
    }

    /// Which Python wheels fit.
    #[must_use]
    pub fn wheels(&self) -> &Wheels {
        &self.data.wheels
    }

    /// Whether every such system has the shared library that programs ask for by this name.
    #[must_use]
    pub fn provides(&self, library: &str) -> bool {
        let jetson = self.data.jetson.iter().flat_map(|jetson| &jetson.libraries);
        let mut patterns = self.data.system.libraries.iter().chain(jetson);
        // Windows' loader does not care about case.
        let lower = library.to_ascii_lowercase();
        let name = if self.platform.os == gangway_artifact::Os::Win32 { &lower } else { library };
        patterns.any(|pattern| match pattern.split_once('*') {
            Some((start, end)) => {
                name.len() >= pattern.len() - 1 && name.starts_with(start) && name.ends_with(end)
            }
            None => pattern == name,
        })
    }

    /// What the target promises, in a few words each.
    #[must_use]
    pub fn promises(&self) -> Vec<String> {
        let baseline = &self.data.baseline;
        let named = |what: &str, version: &Option<String>| {
            version.as_ref().map(|version| format!("{what} {version}"))
        };
        let mut promises: Vec<String> = [
            named("glibc", &baseline.glibc),
            named("GLIBCXX", &baseline.libstdcxx),
            named("musl", &baseline.musl),
            named("Linux", &baseline.kernel),
            named("macOS", &baseline.macos),
            named("Windows", &baseline.windows),
        ]
        .into_iter()
        .flatten()
        .collect();
        promises.push(baseline.cpu.clone());
        promises.push(format!("pages up to {} KiB", baseline.page_size / 1024));
        if let Some(jetson) = &self.data.jetson {
            promises.push(format!("L4T {} to {}", jetson.l4t.first, jetson.l4t.last));
            promises.push(format!("CUDA {}", jetson.cuda));
            promises.push(format!("cuDNN {}", jetson.cudnn));
            promises.push(format!("TensorRT {}", jetson.tensorrt));
            promises.push(format!("SM {}", jetson.sm.join(", ")));
        }
        promises
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
    /// How `source` serves this target's build. A user's own file is served by nobody.
    #[must_use]
    pub fn build(&self, source: RuntimeSource) -> Option<&RuntimeBuild> {
        match source {
            RuntimeSource::Official => self.official.as_ref(),
            RuntimeSource::Npm => self.npm.as_ref(),
            RuntimeSource::Pypi => self.pypi.as_ref(),
            RuntimeSource::File => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_is_committed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets/schema.json");
        let committed = fs_err::read_to_string(path).expect("committed");
        assert!(committed == schema(), "run `cargo xtask schema` and commit the result");
    }

    #[test]
    fn what_every_target_says_fits_together() {
        for target in Targets::built_in().iter() {
            let name = &target.name;
            assert!(!target.description().is_empty(), "{name}");
            assert!(target.data.system.libraries.is_sorted(), "{name}: libraries are sorted");
            let baseline = target.baseline();
            let floors = [&baseline.glibc, &baseline.musl, &baseline.macos, &baseline.windows];
            assert_eq!(floors.into_iter().flatten().count(), 1, "{name}: one C library");
            if let Some(glibc) = &baseline.glibc {
                let tag = format!("manylinux_{}_", glibc.replace('.', "_"));
                assert!(target.wheels().tag.starts_with(&tag), "{name}: wheels follow glibc");
            }
            let cpu = target.triple().split('-').next().expect("a triple has parts");
            assert!(target.zig().starts_with(cpu), "{name}: zig's name is of the same processor");
        }
    }

    #[test]
    fn names_of_libraries() {
        let targets = Targets::built_in();
        let provides = |target: &str, library: &str| {
            targets.find(target).expect("it is there").provides(library)
        };
        assert!(provides("windows-x64", "KERNEL32.dll"));
        assert!(provides("windows-x64", "api-ms-win-crt-runtime-l1-1-0.dll"));
        assert!(!provides("windows-x64", "VCRUNTIME140.dll"));
        assert!(provides("macos-arm64", "/usr/lib/libSystem.B.dylib"));
        assert!(!provides("macos-arm64", "/usr/local/lib/libz.dylib"));
        assert!(provides("linux-x64", "libc.so.6") && !provides("linux-x64", "LIBC.SO.6"));
        assert!(provides("jetson", "libnvinfer.so.10") && provides("jetson", "libc.so.6"));
        assert!(!provides("linux-arm64", "libnvinfer.so.10"));
    }

    #[test]
    fn what_compilers_are_told() {
        let targets = Targets::built_in();
        let of = |name: &str| {
            let target = targets.find(name).expect("it is there");
            (target.zig(), target.zigbuild())
        };
        let told = |zig: &str, rust: &str| (zig.to_owned(), rust.to_owned());
        assert_eq!(
            of("jetson-jp5"),
            told("aarch64-linux-gnu.2.31", "aarch64-unknown-linux-gnu.2.31")
        );
        assert_eq!(of("macos-x64"), told("x86_64-macos.13.5", "x86_64-apple-darwin"));
        assert_eq!(of("linux-x64-musl"), told("x86_64-linux-musl", "x86_64-unknown-linux-musl"));
    }

    #[test]
    fn tools_there_are_not() {
        let targets = Targets::built_in();
        let target = targets.find("linux-x64").expect("it is compiled in");
        let error = target.tool("esbulid").expect_err("there is no such tool");
        assert_eq!(error.to_string(), "Gangway knows no build tool `esbulid` for `linux-x64`");
        let help = miette::Diagnostic::help(&error).expect("it has help").to_string();
        assert_eq!(help, "[tools] in gangway.toml can name: bun, esbuild");
    }
}
