//! Why a program of a bundle could not be started.
//!
//! Each message is one line: what, which file, and what to do. There is no terminal to draw on and no second
//! line to hope for in a service's log.

use std::io;
use std::path::{Path, PathBuf};

use gangway_artifact::{LaunchError, PythonVersions};

/// What can go wrong before the runtime takes over.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages name")]
pub enum LauncherError {
    /// Neither the kernel nor the command line says where this program is.
    #[error("cannot find this program's own file: /proc is not mounted and `{}` leads nowhere; start it by its full path", called.display())]
    Lost { called: PathBuf },
    /// The bundle has no launch file.
    #[error("`{}` is missing; a bundle's programs only work inside it: link to this file instead of copying it, or unpack the bundle again", file.display())]
    NoLaunchFile { file: PathBuf },
    /// The prefix does not say which version is used.
    #[error("`{}` names no version; run the installer's `repair`, or install again", file.display())]
    NoVersion { file: PathBuf },
    /// The launch file cannot be read.
    #[error("cannot read `{}`: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    /// The launch file is damaged or of another version.
    #[error("cannot use `{}`: {source}; unpack the bundle again", file.display())]
    LaunchFile { file: PathBuf, source: LaunchError },
    /// The launch file does not know a program of this name.
    #[error("`{}` names no program `{name}`, only {}; a bundle's programs cannot be renamed, link to them instead", file.display(), list(known))]
    UnknownProgram { name: String, file: PathBuf, known: Vec<String> },
    /// The runtime is not there.
    #[error("`{}` is missing; the bundle is incomplete, unpack it again", runtime.display())]
    NoRuntime { runtime: PathBuf },
    /// The runtime is there and what it needs to be loaded is not.
    #[cfg(unix)]
    #[error("cannot start `{}`: this system does not have the loader it needs; {}", runtime.display(), built_for(target.as_deref()))]
    NoLoader { runtime: PathBuf, target: Option<String> },
    /// The runtime is for another machine, or damaged.
    #[error("cannot start `{}`: this machine cannot run it; {}", runtime.display(), built_for(target.as_deref()))]
    WrongFormat { runtime: PathBuf, target: Option<String> },
    /// The runtime has lost its mode.
    #[cfg(unix)]
    #[error("`{}` is not an executable file; unpack the bundle again, with its file modes", runtime.display())]
    NotExecutable { runtime: PathBuf },
    /// The system refuses to run anything from there.
    #[cfg(unix)]
    #[error("the system refuses to run `{}`; is the file system mounted with noexec? then move the bundle to another one", runtime.display())]
    Refused { runtime: PathBuf },
    /// The system refuses to run it.
    #[cfg(windows)]
    #[error("the system refuses to run `{}`; does a policy or a virus scanner forbid it?", runtime.display())]
    Forbidden { runtime: PathBuf },
    /// No interpreter that fits.
    #[error("cannot start `{name}`: it needs {versions}{}, and {}; install one ({}), or name one in GANGWAY_PYTHON", kind(*native), seen(found), how(versions))]
    NoPython { name: String, versions: PythonVersions, native: bool, found: Vec<String> },
    /// A folder that no list of folders can hold.
    #[error("`{}` has a character in its name that separates folders in lists; move the bundle to a folder without it", bundle.display())]
    Unlistable { bundle: PathBuf },
    /// Anything else.
    #[error("cannot start `{}`: {source}", runtime.display())]
    Start { runtime: PathBuf, source: io::Error },
}

impl LauncherError {
    /// A launch file that could not be read.
    pub(super) fn read(file: &Path, source: io::Error) -> Self {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NoLaunchFile { file },
            _ => Self::Read { file, source },
        }
    }

    /// What a shell would return: 127 for what is not there, 126 for what cannot be used.
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            Self::Lost { .. }
            | Self::NoLaunchFile { .. }
            | Self::NoVersion { .. }
            | Self::UnknownProgram { .. }
            | Self::NoRuntime { .. }
            | Self::NoPython { .. } => 127,
            #[cfg(unix)]
            Self::NoLoader { .. } => 127,
            _ => 126,
        }
    }
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "none at all".to_owned() } else { quoted.join(", ") }
}

/// What else an interpreter must be.
fn kind(native: bool) -> String {
    if native { format!(" (CPython for {})", std::env::consts::ARCH) } else { String::new() }
}

fn seen(found: &[String]) -> String {
    match found {
        [] => "this system has no Python".to_owned(),
        found => format!("found {}", found.join("; ")),
    }
}

/// How to get an interpreter here.
fn how(versions: &PythonVersions) -> String {
    let version = versions.first;
    if cfg!(windows) {
        format!("`winget install Python.Python.{version}`")
    } else if cfg!(target_os = "macos") {
        format!("`brew install python@{version}`")
    } else {
        format!(
            "your system's package `python{version}` or `python3`, or `uv python install {version}`"
        )
    }
}

fn built_for(target: Option<&str>) -> String {
    match target {
        Some(target) => format!("the bundle was built for {target}, take the one for this machine"),
        None => "take the bundle that was built for this machine".to_owned(),
    }
}
