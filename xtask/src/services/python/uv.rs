//! uv, the program that chooses, fetches and unpacks wheels.
//!
//! It is the user's own, with the user's own configuration: where packages are to be had, and with which credentials, is
//! read from `uv.toml`, `pyproject.toml` and uv's variables, never from Gangway's manifest. What would change which wheel
//! is chosen, or let go of the digests, is not passed on.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::PythonVersion;
use toml::Table;

use super::lock::Lock;
use super::{Job, PythonError};
use crate::context::Context;
use crate::process::{Command, ProcessError};
use crate::target::Target;

/// uv on this machine.
#[derive(Debug)]
pub(super) struct Uv<'job> {
    job: &'job Job<'job>,
    program: Utf8PathBuf,
    /// What it says of itself: `uv 0.9.1`.
    pub(super) version: String,
}

/// What wheels must fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit<'target> {
    pub(super) target: &'target Target,
    pub(super) python: PythonVersion,
}

/// Whether the packages that packages ask for must be in the lock too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dependencies {
    /// Only what the lock names counts.
    Ignored,
    /// What is asked for and not locked is an error.
    Checked,
}

/// Variables that are passed on: how to reach the network, where uv keeps its cache and its configuration, where packages
/// are to be had.
const PASSED: [&str; 33] = [
    "ALL_PROXY",
    "APPDATA",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LOCALAPPDATA",
    "NETRC",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SSL_CLIENT_CERT",
    "SystemRoot",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USERPROFILE",
    "UV_CACHE_DIR",
    "UV_CONFIG_FILE",
    "UV_CREDENTIALS_DIR",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_TIMEOUT",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS",
    "UV_NO_CONFIG",
    "UV_NO_INDEX",
    "UV_OFFLINE",
    "UV_PYTHON_INSTALL_DIR",
    "UV_SYSTEM_CERTS",
    "all_proxy",
];

/// The same, by how the name starts: `UV_INDEX_<NAME>_PASSWORD` is one.
const PASSED_PREFIXES: [&str; 5] = ["UV_INDEX", "UV_CONCURRENT_", "XDG_", "http", "no_proxy"];

impl<'job> Uv<'job> {
    /// The uv on the search path.
    pub(super) fn find(job: &'job Job<'job>) -> Result<Self, PythonError> {
        let program = on_path(job.context)
            .ok_or_else(|| PythonError::NoUv { service: job.service.name.to_owned() })?;
        let command = with_environment(
            Command::new("ask uv for its version", &program).arg("--version"),
            job.context,
        );
        match command.version() {
            Ok(version) => Ok(Self { job, program, version }),
            Err(source) => Err(PythonError::BrokenUv { program, source: Box::new(source) }),
        }
    }

    /// Unpacks the wheels that `lock` (a file) names for `fit` into the folder `into`.
    pub(super) fn install(
        &self,
        fit: Fit<'_>,
        lock: &Utf8Path,
        into: &Utf8Path,
    ) -> Result<(), ProcessError> {
        let purpose = format!(
            "install the wheels of the service `{}` for `{}`",
            self.job.service.name, fit.target.name
        );
        let command = self.pip_install(purpose, fit, lock, into, Dependencies::Ignored);
        command.run().map(drop)
    }

    /// Whether [`Uv::install`] would find wheels; nothing is unpacked.
    pub(super) fn resolve(
        &self,
        fit: Fit<'_>,
        lock: &Utf8Path,
        into: &Utf8Path,
        dependencies: Dependencies,
    ) -> Result<(), ProcessError> {
        let purpose = format!("choose wheels for `{}`", fit.target.name);
        let command = self.pip_install(purpose, fit, lock, into, dependencies).arg("--dry-run");
        command.run().map(drop)
    }

    /// Every wheel there is of what `lock` (in `file`) names, for any platform, as PEP 751 lists them.
    pub(super) fn list(
        &self,
        lock: &Lock,
        fit: Fit<'_>,
        file: &Utf8Path,
        folder: &Utf8Path,
    ) -> Option<Table> {
        let list = folder.join("pylock.toml");
        self.command("list the wheels there are")
            .args(["pip", "compile", "--quiet", "--no-deps", "--universal", "--no-annotate"])
            .args(["--format", "pylock.toml", "--python-version", &fit.python.to_string()])
            .args(["--output-file", list.as_str(), file.as_str()])
            .current_dir(folder_of(&lock.path))
            .run()
            .ok()?;
        toml::from_str(&std::fs::read_to_string(list).ok()?).ok()
    }

    /// Writes a project's `uv.lock` to the file `to`, as requirements with digests, without the project itself.
    pub(super) fn export(&self, lock: &Utf8Path, to: &Utf8Path) -> Result<(), ProcessError> {
        self.command(format!("export `{lock}`"))
            .args(["export", "--quiet", "--frozen", "--format", "requirements.txt"])
            .args(["--no-emit-project", "--no-dev", "--no-header", "--no-annotate"])
            .args(["--output-file", to.as_str()])
            .current_dir(folder_of(lock))
            .run()
            .map(drop)
    }

    fn pip_install(
        &self,
        purpose: String,
        fit: Fit<'_>,
        lock: &Utf8Path,
        into: &Utf8Path,
        dependencies: Dependencies,
    ) -> Command {
        let is_requirements = lock.extension() != Some("toml");
        self.command(purpose)
            .args(["pip", "install", "--quiet", "--only-binary", ":all:", "--link-mode", "copy"])
            .args(["--no-compile-bytecode", "--python-platform", &fit.target.wheels().uv])
            .args(["--python-version", &fit.python.to_string(), "--target", into.as_str()])
            // A lock of PEP 751 has digests by definition, and uv refuses the option with it.
            .args(is_requirements.then_some("--require-hashes"))
            .args((dependencies == Dependencies::Ignored).then_some("--no-deps"))
            .args(["--requirements", lock.as_str()])
            // uv takes macOS' version from here, as compilers do.
            .envs(
                fit.target
                    .baseline()
                    .macos
                    .iter()
                    .map(|version| ("MACOSX_DEPLOYMENT_TARGET".to_owned(), version.clone())),
            )
            .current_dir(folder_of(self.job.service.requirements))
    }

    fn command(&self, purpose: impl Into<String>) -> Command {
        let command = Command::new(purpose, &self.program)
            .args(["--no-progress", "--color", "never", "--no-python-downloads"])
            .args(["--preview-features", "pylock"])
            .args(self.job.context.offline.then_some("--offline"));
        with_environment(command, self.job.context)
    }
}

fn with_environment(command: Command, context: &Context) -> Command {
    let passes = |name: &str| {
        PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let passed: BTreeMap<String, String> = context
        .environment
        .iter()
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let is_secret = |name: &str| name.starts_with("UV_INDEX_") && name.ends_with("_PASSWORD");
    let secrets: Vec<String> =
        passed.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone()).collect();
    secrets.into_iter().fold(command.envs(passed), Command::secret)
}

fn on_path(context: &Context) -> Option<Utf8PathBuf> {
    let name = format!("uv{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(context.variable("PATH")?)
        .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
        // What an empty or relative entry means depends on where the command is given: that is no place to look.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&name))
        .find(|program| program.is_file())
}

/// The folder a file is in; relative ones are in the builder's own.
fn folder_of(file: &Utf8Path) -> &Utf8Path {
    file.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."))
}
