//! Services in Python: their own files, their wheels, and which interpreter they need.
//!
//! A bundle brings no interpreter. The system's own runs the service, so that what only the system has (TensorRT's
//! bindings on a Jetson) can be imported. The wheels come from a lock with digests and are chosen by uv for the target's
//! tags and one version of Python; nothing is ever built from source, and no wheel's code runs here.
//!
//! What uv unpacks depends on the lock, the target's tags and the version alone, and is kept under a key of these: an
//! unchanged service needs neither uv nor a network.

mod error;
mod lock;
mod missing;
pub mod range;
mod requirements;
mod site;
mod uv;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use camino::Utf8Path;
use gangway_artifact::{BundlePath, Digest, PythonProgram, PythonVersion, PythonVersions};
use serde::{Deserialize, Serialize};

pub use error::PythonError;
pub use missing::MissingWheel;
pub use site::Package;

use crate::capture::{self, Changes};
use crate::context::Context;
use crate::process::ProcessError;
use crate::store::Store;
use crate::target::Target;
use crate::tree::{Node, Tree};
use lock::Lock;
use uv::{Dependencies, Fit, Uv};

/// The folder of a service that its wheels are in.
const SITE: &str = "site-packages";

/// The script that starts a module.
const START: &str = "__gangway__.py";

/// A service as the manifest describes it.
#[derive(Debug, Clone, Copy)]
pub struct Service<'config> {
    /// Its name.
    pub name: &'config str,
    /// The lock: `requirements.txt`, `pylock.toml` or `uv.lock`, as an absolute path.
    pub requirements: &'config Utf8Path,
    /// The versions of Python it runs under; see [`range::parse`].
    pub python: PythonVersions,
    /// What runs.
    pub start: &'config Start,
    /// Arguments that stand before the user's.
    pub args: &'config [String],
}

/// What is run of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// As `python -m` does: a module of its own, or of a wheel.
    Module(String),
    /// A file of its own.
    Script(BundlePath),
}

/// A service for one target.
#[derive(Debug)]
pub struct Staged {
    /// Its files, below its folder.
    pub tree: Tree,
    /// How it is started; paths begin at the bundle's root.
    pub program: PythonProgram,
    /// The packages inside.
    pub packages: Vec<Package>,
    /// The uv that chose the wheels, as it says of itself.
    pub uv: String,
    /// What a person should know and may mend.
    pub warnings: Vec<String>,
}

/// What the parts of this module work on.
#[derive(Debug)]
struct Job<'a> {
    context: &'a Context,
    service: Service<'a>,
}

/// What is kept of an installation besides its files.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    uv: String,
    /// What uv says of packages that are asked for and not locked.
    unlocked: Option<String>,
}

/// Puts a service together for `target`. `own` are its own files, below its folder; `folder` is that folder in the bundle.
///
/// # Errors
/// When the lock is none, a wheel is missing or cannot be had, or what is to be started is not there.
pub fn stage(
    context: &Context,
    store: &Store,
    service: Service<'_>,
    target: &Target,
    own: &Tree,
    folder: &BundlePath,
) -> Result<Staged, PythonError> {
    let job = Job { context, service };
    let lock = Lock::read(&job, store)?;
    let fit = Fit { target, python: version_for(service.python, target) };
    let (site, note) = wheels(&job, store, &lock, fit)?;
    let packages = site::packages(&site)?;
    let path_files = site::path_files(&site)?;

    let mut tree = own.clone();
    let taken = own.iter().map(|(path, _)| path.as_str());
    if let Some(path) = { taken }.find(|path| *path == START || is_at_or_below(path, SITE)) {
        let (service, path) = (service.name.to_owned(), path.to_owned());
        return Err(PythonError::Taken { service, path });
    }
    for (path, node) in site {
        tree.insert(BundlePath::new(SITE)?.join_path(&path)?, node);
    }
    let (script, first) = start(store, service, &mut tree)?;
    let more = path_files.folders.iter().map(|more| format!("{SITE}/{more}"));
    let path = [first, SITE.to_owned()].into_iter().chain(more);
    let program = PythonProgram {
        versions: versions(service.python, fit.python, &lock, &packages),
        native: packages.iter().any(Package::is_native),
        script: folder.join_path(&script)?,
        path: path.map(|path| below(folder, &path)).collect::<Result<_, _>>()?,
        args: service.args.to_vec(),
        env: BTreeMap::new(),
    };
    let warnings = warnings(service.name, &note, &path_files);
    Ok(Staged { tree, program, packages, uv: note.uv, warnings })
}

/// The version wheels are chosen for: the one the target's systems have, if the service runs under it, else the oldest
/// that it runs under.
fn version_for(range: PythonVersions, target: &Target) -> PythonVersion {
    target.wheels().python.filter(|version| range.contains(*version)).unwrap_or(range.first)
}

/// The interpreters that fit what was chosen.
fn versions(
    range: PythonVersions,
    chosen: PythonVersion,
    lock: &Lock,
    packages: &[Package],
) -> PythonVersions {
    if packages.iter().any(Package::is_of_one_version) {
        return PythonVersions::exactly(chosen);
    }
    let markers = lock.packages.iter().filter_map(|package| package.marker.as_deref());
    let changed = site::changes_after(markers, chosen);
    let before = changed.map(|next| PythonVersion { minor: next.minor - 1 });
    PythonVersions { first: chosen, last: [range.last, before].into_iter().flatten().min() }
}

/// The cleaned site, from the store or from uv.
fn wheels(
    job: &Job<'_>,
    store: &Store,
    lock: &Lock,
    fit: Fit<'_>,
) -> Result<(Tree, Note), PythonError> {
    let key = key(lock, fit);
    let note_key = format!("{key} note");
    if let (Some(changes), Some(note)) =
        (Changes::recall(store, &key)?, recall_note(store, &note_key)?)
    {
        return Ok((changes.present, note));
    }
    let spinner =
        job.context.reporter.spinner("Installing", format!("wheels of {}", job.service.name));
    let uv = Uv::find(job)?;
    let work = store.temporary()?;
    let work = utf8(work.path());
    let into = work.join("site");
    let file = lock
        .file(work)
        .map_err(|source| PythonError::Unreadable { path: work.to_owned(), source })?;
    if let Err(failure) = uv.install(fit, &file, &into) {
        return Err(explain(job, &uv, lock, fit, &file, work, failure));
    }
    let found = capture::changes(store, &into, &Tree::default(), &[""])?;
    let site = site::clean(store, found.present, &fit.target.platform)?;
    let unlocked = uv.resolve(fit, &file, &work.join("again"), Dependencies::Checked).err();
    let note = Note { uv: uv.version.clone(), unlocked: unlocked.and_then(last_words) };
    store.derived::<PythonError>(&note_key, false, || {
        Ok(serde_json::to_vec(&note).expect("texts have a JSON form"))
    })?;
    let changes = Changes { present: site, removed: Vec::new() };
    changes.remember(store, &key)?;
    drop(spinner);
    Ok((changes.present, note))
}

/// Everything that decides on the files of a site. Which uv is not part of it: the lock's digests say which wheels there
/// are, and the tags say which of them is taken.
fn key(lock: &Lock, fit: Fit<'_>) -> String {
    let Fit { target, python } = fit;
    let lock = Digest::of(&lock.text);
    let macos = target.baseline().macos.as_deref().unwrap_or_default();
    let platform = serde_json::to_string(&target.platform).expect("words have a JSON form");
    format!("python-wheels-v1 {lock} {} {macos} {python} {platform}", target.wheels().uv)
}

fn recall_note(store: &Store, key: &str) -> Result<Option<Note>, PythonError> {
    /// Nothing is made here: what is not there is not there.
    enum Absent {
        Nothing,
        Failed(crate::store::StoreError),
    }
    impl From<crate::store::StoreError> for Absent {
        fn from(error: crate::store::StoreError) -> Self {
            Self::Failed(error)
        }
    }
    match store.derived(key, false, || Err(Absent::Nothing)) {
        Ok(kept) => {
            Ok(std::fs::read(kept.path()).ok().and_then(|text| serde_json::from_slice(&text).ok()))
        }
        Err(Absent::Nothing) => Ok(None),
        Err(Absent::Failed(error)) => Err(error.into()),
    }
}

/// Turns uv's failure into one that says what to do.
fn explain(
    job: &Job<'_>,
    uv: &Uv<'_>,
    lock: &Lock,
    fit: Fit<'_>,
    file: &Utf8Path,
    work: &Utf8Path,
    failure: ProcessError,
) -> PythonError {
    let (service, target) = (job.service.name.to_owned(), fit.target.name.clone());
    let was_run = matches!(failure, ProcessError::Failed { .. });
    if was_run && let Some(missing) = missing::find(uv, lock, fit, file, work) {
        return PythonError::NoWheel { service, target, missing: Box::new(missing) };
    }
    let help = if job.context.offline {
        "without network uv takes only wheels that are in its own cache: run once with it"
    } else {
        "where packages are to be had is uv's configuration: `uv.toml`, `[tool.uv]` in `pyproject.toml`, `UV_DEFAULT_INDEX`"
    };
    PythonError::Install { service, target, help, source: Box::new(failure) }
}

/// What a program gives as the innermost reason.
fn last_words(failure: ProcessError) -> Option<String> {
    let ProcessError::Failed { output, .. } = failure else { return None };
    let reason = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix("cause: ").or_else(|| line.strip_prefix("error: ")).map(str::to_owned)
    };
    output.lines().rev().find_map(reason)
}

/// The script to run and the folder its modules are in; a module gets a script that runs it.
fn start(
    store: &Store,
    service: Service<'_>,
    tree: &mut Tree,
) -> Result<(BundlePath, String), PythonError> {
    let missing = |kind, name: &str, help: String| {
        let service = service.name.to_owned();
        PythonError::NoProgram { service, kind, name: name.to_owned(), help }
    };
    match service.start {
        Start::Script(script) => {
            if !matches!(tree.get(script.as_str()), Some(Node::File(_))) {
                let help = "it must be one of the service's own files".to_owned();
                return Err(missing("script", script.as_str(), help));
            }
            let folder = script.parent().map(|folder| folder.to_string()).unwrap_or_default();
            Ok((script.clone(), folder))
        }
        Start::Module(module) => {
            let path = module.replace('.', "/");
            let fits = |path: &str| matches!(tree.get(path), Some(Node::File(_)));
            let files = [format!("{path}.py"), format!("{path}/__main__.py")];
            let places = || files.iter().flat_map(|file| [file.clone(), format!("{SITE}/{file}")]);
            if !places().any(|place| fits(&place)) {
                let help = format!(
                    "one of `{}` must be among the service's own files or in a wheel of its lock",
                    files.join("`, `")
                );
                return Err(missing("module", module, help));
            }
            let script = BundlePath::new(START)?;
            let text = start_script(module);
            tree.insert(script.clone(), Node::File(store.add_bytes(text.as_bytes(), false)?));
            Ok((script, String::new()))
        }
    }
}

/// `python -m` would look for modules in the folder the service is started in before anywhere else; this does not.
fn start_script(module: &str) -> String {
    format!(
        "import runpy\n\n# The module stands for the program, as with `python -m`.\n\
         runpy.run_module({module:?}, run_name=\"__main__\", alter_sys=True)\n"
    )
}

fn warnings(service: &str, note: &Note, path_files: &site::PathFiles) -> Vec<String> {
    let unlocked = note.unlocked.as_ref().map(|words| {
        format!(
            "the lock of the service `{service}` does not hold all that its packages ask for; what is missing must come with \
             the system's Python (uv says: {words})"
        )
    });
    let code = path_files.with_code.iter().map(|file| {
        format!(
            "`{file}` in the wheels of the service `{service}` holds code for the start of every Python; the service runs without"
        )
    });
    unlocked.into_iter().chain(code).collect()
}

fn below(folder: &BundlePath, path: &str) -> Result<BundlePath, PythonError> {
    Ok(if path.is_empty() { folder.clone() } else { folder.join(path)? })
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn utf8(path: &std::path::Path) -> &Utf8Path {
    Utf8Path::from_path(path).expect("everything in the store has a UTF-8 name")
}
