//! The launcher: starts a program of the bundle it lies in, with the runtime of that bundle.
//!
//! It finds its own file, reads the launch file beside `bin/`, and becomes the runtime: same process, same
//! environment but for what the launch file takes out, same streams, same signals, same working folder. Where a process
//! cannot become another one, on Windows, it stands in for the runtime until that ends. What the user typed is passed on as bytes. It
//! runs before every start, so it reads one small file and does nothing else; the manifest is only opened for
//! a better message when the start has failed already.
//!
//! On Windows a copy of it lies in the prefix that an app is installed to, and starts the programs of the version that is used there ([`current`]); elsewhere a
//! link leads into that version.
//!
//! It deliberately checks no digests (the installer does, once) and knows no variables: the launch file names them. Only
//! services in Python have some of their own ([`python`]).

mod current;
mod environment;
mod error;
mod locate;
#[cfg(unix)]
#[path = "unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "windows.rs"]
mod platform;
mod python;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use gangway_artifact::{BundlePath, Environment, LAUNCH_FILE, Launch, MANIFEST_FILE};

pub use error::LauncherError;
#[cfg(unix)]
pub use platform::arguments;

/// What the runtime is started with.
#[derive(Debug, PartialEq, Eq)]
struct Start {
    /// The bundle's folder.
    bundle: PathBuf,
    /// The executable.
    runtime: PathBuf,
    /// All its arguments, the one that names it excepted.
    arguments: Vec<OsString>,
    /// What is different in its environment; without a value a variable is not there.
    environment: Vec<(&'static str, Option<OsString>)>,
}

/// Becomes the program that `arguments` (the launcher's own, with its name) ask for. Returns only when that fails: says
/// why on standard error and gives the exit status, 127 when something is not there and 126 when it cannot be used.
#[must_use]
pub fn run(arguments: &[OsString]) -> u8 {
    let called = arguments.first().map(PathBuf::from).unwrap_or_default();
    let failure = locate::executable(&called)
        .and_then(|executable| plan(&executable, arguments.get(1..).unwrap_or_default()))
        .map_or_else(|error| error, |start| platform::become_runtime(&start));
    let name = called.file_name().unwrap_or("launcher".as_ref()).to_string_lossy();
    // Nobody can be told when standard error is gone; the status still says it.
    let _ = io::stderr().write_all(format!("{name}: {failure}\n").as_bytes());
    failure.exit_status()
}

/// Reads the launch file of the bundle that `executable` is in.
fn plan(executable: &Path, users: &[OsString]) -> Result<Start, LauncherError> {
    let name = executable.file_name().unwrap_or_default().to_string_lossy();
    let name = platform::program_name(&name);
    let above = executable.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let (bundle, file, text) = find(above)?;
    let bundle = bundle.as_path();
    let mut launch = Launch::from_json(&text)
        .map_err(|source| LauncherError::LaunchFile { file: file.clone(), source })?;
    if let Some(mut program) = launch.python.remove(name) {
        let set = std::mem::take(&mut program.env);
        environment::apply(&Environment { set, ..Environment::default() });
        return python::plan(bundle, name, program, users);
    }
    let Some(program) = launch.programs.remove(name) else {
        let known = launch.programs.into_keys().chain(launch.python.into_keys()).collect();
        return Err(LauncherError::UnknownProgram { name: name.to_owned(), file, known });
    };
    if let Some(policy) = &program.environment {
        environment::apply(policy);
    }
    let script = program.script.map(|script| inside(bundle, &script).into_os_string());
    let arguments = (program.runtime_args.into_iter().map(OsString::from))
        .chain(script)
        .chain(program.args.into_iter().map(OsString::from))
        .chain(users.iter().cloned())
        .collect();
    let runtime = inside(bundle, &program.runtime);
    Ok(Start { bundle: bundle.to_owned(), runtime, arguments, environment: Vec::new() })
}

/// The bundle that the folder is, or is the prefix of, and its launch file.
fn find(folder: &Path) -> Result<(PathBuf, PathBuf, Vec<u8>), LauncherError> {
    let file = folder.join(LAUNCH_FILE);
    let error = match fs::read(&file) {
        Ok(text) => return Ok((folder.to_owned(), file, text)),
        Err(error) => error,
    };
    // Only a prefix has one; the installer replaces it as a whole.
    let Ok(current) = current::read(folder) else { return Err(LauncherError::read(&file, error)) };
    let bundle =
        current.ok_or_else(|| LauncherError::NoVersion { file: folder.join(current::FILE) })?;
    let file = bundle.join(LAUNCH_FILE);
    let text = fs::read(&file).map_err(|source| LauncherError::read(&file, source))?;
    Ok((bundle, file, text))
}

/// Where `path` of the bundle is, with the system's own separators.
fn inside(bundle: &Path, path: &BundlePath) -> PathBuf {
    let mut file = bundle.to_owned();
    file.extend(path.components());
    file
}

/// The target the manifest names; the manifest is only read when all is lost already.
fn target(bundle: &Path) -> Option<String> {
    let manifest = fs::read(bundle.join(MANIFEST_FILE)).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
    Some(manifest.get("target")?.as_str()?.to_owned())
}
