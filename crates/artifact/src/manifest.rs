//! `manifest.json`: what a bundle is, inside the archive and beside it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::programs::Programs;
use crate::{
    AppName, BundlePath, Contract, Digest, Frame, L4tRange, Platform, ProgramName, ProgramsError,
    PythonVersions, State, TargetName, Verification, Version, json,
};

/// The manifest's path inside the bundle.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The version of the format this crate reads and writes.
pub const MANIFEST_VERSION: u32 = 1;

/// The content of `manifest.json`. It lists every file of the bundle except itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The builder that made the bundle, as `gangway <version>`.
    pub builder: String,
    /// The gateway.
    pub app: App,
    /// The target's name.
    pub target: TargetName,
    /// The platform the target stands for.
    pub platform: Platform,
    /// The releases of L4T that the target is for; only a Jetson's has them. Its contract names them only where its files need
    /// something of NVIDIA's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l4t: Option<L4tRange>,
    /// The runtime inside; a gateway that is a native program itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// The programs in `bin/`.
    pub entrypoints: Vec<Entrypoint>,
    /// How to ask the gateway whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// The processes that come along, sorted by name; each is a program in `bin/` too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Compiled models for TensorRT and what they were made with, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensorrt_plans: Vec<TensorRtPlan>,
    /// The folders of the app's own data, on this platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<State>,
    /// How it is tried.
    #[serde(default, skip_serializing_if = "Smoke::is_default")]
    pub smoke: Smoke,
    /// What the bundle needs of a machine, computed from its files.
    pub contract: Contract,
    /// Whether its native code was checked against what the target promises.
    #[serde(default)]
    pub verification: Verification,
    /// Bytes of all files, unpacked.
    pub unpacked_size: u64,
    /// The frames of the archive that hold every entry but the manifest's own, in order; only `.tar.zst` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frame>,
    /// Every regular file, sorted by path.
    pub files: Vec<File>,
    /// Every symbolic link, sorted by path.
    pub links: Vec<Link>,
}

/// A manifest this crate cannot take.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is damaged, or something else.
    #[error("it is not a bundle's manifest ({0})")]
    Syntax(#[from] serde_json::Error),
    /// It is of another time.
    #[error("its format is version {0}, and version {MANIFEST_VERSION} was expected")]
    Version(u32),
    /// Its programs cannot be together.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
}

impl Manifest {
    /// Reads the content of `manifest.json`.
    ///
    /// # Errors
    /// When it is not one, or one of another version.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        /// What every version has: the rest is only looked at when the version is known.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let Head { version } = serde_json::from_slice(bytes)?;
        if version != MANIFEST_VERSION {
            return Err(ManifestError::Version(version));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check_programs()?;
        Ok(manifest)
    }

    fn check_programs(&self) -> Result<(), ProgramsError> {
        let mut programs = Programs::default();
        let entrypoints = self.entrypoints.iter().map(|entrypoint| &entrypoint.name);
        entrypoints
            .chain(self.services.iter().map(|service| &service.name))
            .try_for_each(|name| programs.add(name))?;
        programs.check(&self.app.name)
    }

    /// The content of `manifest.json`: the same bytes for the same value, one file per line, so that two of them can
    /// be compared with `diff`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::to_lines(self)
    }
}

/// The gateway's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its name, also the first part of the archive's name.
    pub name: AppName,
    /// Its version.
    pub version: String,
}

/// The runtime as shipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// `node`, `bun` or `deno`.
    pub engine: String,
    /// The exact version.
    pub version: String,
    /// The executable.
    pub path: BundlePath,
    /// The digest of the executable as its maker ships it; `files` has that of the (stripped) one inside.
    pub upstream_sha256: Digest,
    /// Whether symbols for debuggers were taken out.
    pub stripped: bool,
}

/// One program of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrypoint {
    /// Its name: `bin/<name>`.
    pub name: ProgramName,
    /// The script the runtime runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<BundlePath>,
    /// The native program that is run instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<BundlePath>,
}

/// The gateway's health endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The entrypoint that serves it.
    pub entrypoint: ProgramName,
    /// The TCP port on the loopback interface.
    pub port: u16,
    /// The path, for instance `/health`; a status of 200 means well.
    pub path: String,
    /// How long a start may take, in seconds.
    pub timeout_seconds: u32,
}

/// A process that comes along with the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name: `bin/<name>` starts it.
    pub name: ProgramName,
    /// What it is made of: `rust`, `command`, `prebuilt` or `python`.
    pub kind: String,
    /// Its executable, if it is one of the bundle's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<BundlePath>,
    /// The system's Python it runs under, if it is one in Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonVersions>,
    /// Arguments before the user's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables it is started with, where they are not set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How to ask it whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ServiceHealth>,
}

/// A compiled model for TensorRT. It runs with the very TensorRT and chip that it was made with, and says neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRtPlan {
    /// The file.
    pub path: BundlePath,
    /// The version of TensorRT that made it.
    pub tensorrt: Version,
    /// The compute capability of the chip that it was made for.
    pub sm: Version,
}

/// How to ask a service whether it is well: one of `socket`, `port` and `command`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceHealth {
    /// A Unix socket that takes connections: absolute, or relative to the folder the service is started in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// A TCP port on the loopback interface that takes connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path of a GET request to the socket or port; a status of 200 means well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Arguments for `bin/<name>`, which then ends with 0 when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// How long a start may take, in seconds.
    pub timeout_seconds: u32,
}

/// How a bundle is tried. In arguments and variables `{port}` stands for a free port, `{home}` for an empty folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Smoke {
    /// What each entrypoint is run with, to end with 0; nothing: they are not run so.
    pub version_args: Vec<String>,
    /// Arguments for the entrypoint of `health`, after its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateway_args: Vec<String>,
    /// Arguments for each service, after its own, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub service_args: BTreeMap<String, Vec<String>>,
    /// Environment variables for all of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How long a program may take that has no time of its own, in seconds.
    pub timeout_seconds: u32,
}

impl Smoke {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Smoke {
    fn default() -> Self {
        Self {
            version_args: vec!["--version".to_owned()],
            gateway_args: Vec::new(),
            service_args: BTreeMap::new(),
            env: BTreeMap::new(),
            timeout_seconds: 60,
        }
    }
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its place.
    pub path: BundlePath,
    /// Its length in bytes.
    pub size: u64,
    /// Its Unix permission bits.
    pub mode: Mode,
    /// In which block of 512 bytes of the plain tar stream its bytes begin; only `.tar.zst` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u32>,
    /// The digest of its bytes.
    pub sha256: Digest,
}

/// The Unix permission bits of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Everyone reads it.
    #[serde(rename = "644")]
    Plain,
    /// Everyone reads and runs it.
    #[serde(rename = "755")]
    Executable,
}

impl Mode {
    /// The mode of a file that is, or is not, executable.
    #[must_use]
    pub fn of(is_executable: bool) -> Self {
        if is_executable { Self::Executable } else { Self::Plain }
    }

    /// The bits themselves.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o644,
            Self::Executable => 0o755,
        }
    }
}

impl fmt::Display for Mode {
    /// In octal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "644",
            Self::Executable => "755",
        })
    }
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its place.
    pub path: BundlePath,
    /// Where it points, relative to the folder it is in; never out of the bundle.
    pub target: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SMALLEST: &str = r#"{"version":1,"builder":"gangway 0.1.0","app":{"name":"a","version":"1.0.0"},"target":"linux-x64","platform":{"os":"linux","cpu":"x64","libc":"glibc"},"entrypoints":[],"contract":{"disk":{"unpacked":0,"installed":0}},"unpacked_size":0,"files":[],"links":[]}"#;

    /// A manifest without files.
    pub(crate) fn smallest() -> Manifest {
        Manifest::from_json(SMALLEST.as_bytes()).expect("it is one")
    }

    #[test]
    fn a_manifest_is_read_back() {
        let mut manifest = smallest();
        assert_eq!(Manifest::from_json(&manifest.to_json()).expect("its own text"), manifest);
        let sha256 = Digest::of("");
        let path = |path| BundlePath::new(path).expect("plain");
        let (mode, block) = (Mode::Executable, Some(3));
        manifest.frames = vec![Frame { offset: 0, size: 10, plain: 2048, sha256 }];
        manifest.files = vec![File { path: path("bin/a"), size: 500, mode, block, sha256 }];
        manifest.links = vec![Link { path: path("bin/b"), target: "a".to_owned() }];
        assert_eq!(Manifest::from_json(&manifest.to_json()).expect("its own text"), manifest);
        let text = String::from_utf8(manifest.to_json()).expect("JSON is UTF-8");
        let lists = text.split_once("\"frames\"").expect("it has some").1;
        insta::assert_snapshot!(lists, @r#"
        : [
            {"offset":0,"size":10,"plain":2048,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
          ],
          "files": [
            {"path":"bin/a","size":500,"mode":"755","block":3,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
          ],
          "links": [
            {"path":"bin/b","target":"a"}
          ]
        }
        "#);
    }

    #[test]
    fn there_are_two_modes() {
        assert_eq!(serde_json::to_string(&Mode::of(true)).expect("a string"), "\"755\"");
        assert_eq!(serde_json::from_str::<Mode>("\"644\"").expect("one of them"), Mode::of(false));
        for other in ["\"777\"", "\"4755\"", "420", "\"Plain\""] {
            assert!(serde_json::from_str::<Mode>(other).is_err(), "{other}");
        }
        assert_eq!(format!("{} {}", Mode::Plain, Mode::Executable), "644 755");
    }

    #[test]
    fn what_it_does_not_know_is_passed_over() {
        let more = SMALLEST.replace(r#""files":[]"#, r#""files":[],"later":{"x":1}"#);
        assert!(Manifest::from_json(more.as_bytes()).is_ok());
    }

    /// Names are joined to folders by whoever reads them.
    #[test]
    fn programs_are_names_of_files() {
        let with = |list: &str, names: &[&str]| {
            let kind = if list == "services" { r#","kind":"rust""# } else { "" };
            let entries: Vec<_> =
                names.iter().map(|name| format!(r#"{{"name":{name:?}{kind}}}"#)).collect();
            let text =
                SMALLEST.replace(r#""entrypoints":[],"#, r#""entrypoints":[],"services":[],"#);
            text.replace(&format!("\"{list}\":[]"), &format!("\"{list}\":[{}]", entries.join(",")))
        };
        let read = |text: &str| Manifest::from_json(text.as_bytes());
        for list in ["entrypoints", "services"] {
            read(&with(list, &["claw", "claw-2"])).expect("plain");
            for name in ["../x", "../../.config/x", "/tmp/x", "a/b", "a\\b", "C:x", "", ".", "nul"]
            {
                let error = read(&with(list, &[name])).expect_err(name);
                assert!(matches!(error, ManifestError::Syntax(_)), "{name}: {error}");
            }
            for names in [["claw", "claw"], ["claw", "Claw"], ["b", "a-installer"]] {
                let error = read(&with(list, &names)).expect_err("one file");
                assert!(matches!(error, ManifestError::Programs(_)), "{names:?}: {error}");
            }
        }
        let both = with("entrypoints", &["claw"]);
        let both =
            both.replace(r#""services":[]"#, r#""services":[{"name":"claw","kind":"rust"}]"#);
        let error = read(&both).expect_err("one file");
        insta::assert_snapshot!(error, @"it has more than one program `claw`");
        for name in ["../a", "A", ""] {
            let text = SMALLEST.replace(r#"{"name":"a""#, &format!(r#"{{"name":"{name}""#));
            read(&text).expect_err(name);
        }
        let health = r#""health":{"entrypoint":"../x","port":1,"path":"/","timeout_seconds":1},"#;
        let text = SMALLEST.replace(r#""contract""#, &format!(r#"{health}"contract""#));
        read(&text).expect_err("a path");
    }

    #[test]
    fn the_version_is_looked_at_first() {
        let later = br#"{"version": 2, "app": "of another shape"}"#;
        assert!(matches!(Manifest::from_json(later), Err(ManifestError::Version(2))));
        for damaged in [&b""[..], b"{", b"[]", br#"{"version": 1}"#] {
            assert!(matches!(Manifest::from_json(damaged), Err(ManifestError::Syntax(_))));
        }
    }
}
