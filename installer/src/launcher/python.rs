//! Starting a service in Python with an interpreter of the machine.
//!
//! The bundle says which versions will do; here one is found. `GANGWAY_PYTHON` decides alone when it is set. Otherwise
//! the system's own comes first, for what belongs to the system (TensorRT's bindings) can only be imported by that one.
//! Virtual environments are passed over: they hide the system's packages. Every candidate is asked once what it is.
//!
//! The service sees its own files, its wheels and the system's packages, in that order, and nothing of the user's:
//! `docs/services-python.md` has the variables. They are set rather than passed as options, so that interpreters which
//! the service starts see the same.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gangway_artifact::{PythonProgram, PythonVersion, PythonVersions};

use super::{LauncherError, Start, inside, platform};

/// The variable that names an interpreter.
const CHOICE: &str = "GANGWAY_PYTHON";

/// Variables that would let in something of the user's, or take away something of the interpreter's.
const REMOVED: [&str; 8] = [
    "PYTHONCASEOK",
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPLATLIBDIR",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "__PYVENV_LAUNCHER__",
];

/// What an interpreter says of itself, in one line.
const QUESTION: &str = "import os,sys
v=sys.version.lower()
m=os.uname()[4] if hasattr(os,'uname') else 'arm64' if 'arm64' in v else 'x86_64'
i=sys.version_info
print(sys.implementation.name,i[0],i[1],i[2],'free' if 'free-threading' in v else 'gil',64 if sys.maxsize>2**32 else 32,m,'system' if sys.prefix==sys.base_prefix else 'venv',sys.executable)";

/// How the service is started. `name` is what it is called, `users` are the arguments after that.
pub(super) fn plan(
    bundle: &Path,
    name: &str,
    program: PythonProgram,
    users: &[OsString],
) -> Result<Start, LauncherError> {
    let interpreter = find(name, &program)?;
    let folders = program.path.iter().map(|path| inside(bundle, path));
    let path = env::join_paths(folders)
        .map_err(|_| LauncherError::Unlistable { bundle: bundle.to_owned() })?;
    let script = inside(bundle, &program.script).into_os_string();
    let arguments = std::iter::once(script)
        .chain(program.args.into_iter().map(OsString::from))
        .chain(users.iter().cloned())
        .collect();
    let environment = variables(path, env::var_os("PYTHONPYCACHEPREFIX").is_some());
    Ok(Start { bundle: bundle.to_owned(), runtime: interpreter, arguments, environment })
}

/// What changes in the environment; without a value a variable goes.
fn variables(path: OsString, has_cache: bool) -> Vec<(&'static str, Option<OsString>)> {
    let set = |name, value: &str| (name, Some(OsString::from(value)));
    let mut variables: Vec<_> = REMOVED.into_iter().map(|name| (name, None)).collect();
    variables.extend([
        ("PYTHONPATH", Some(path)),
        set("PYTHONNOUSERSITE", "1"),
        // From 3.11 on nothing is looked for in the folder a module is started in.
        set("PYTHONSAFEPATH", "1"),
    ]);
    if !has_cache {
        // Files in the bundle are never changed, and its folder has no others.
        variables.push(set("PYTHONDONTWRITEBYTECODE", "1"));
    }
    variables
}

fn find(name: &str, program: &PythonProgram) -> Result<PathBuf, LauncherError> {
    let search = env::var_os("PATH");
    let (candidates, is_chosen) = match env::var_os(CHOICE).filter(|choice| !choice.is_empty()) {
        Some(choice) => (vec![Candidate::plain(named(&choice, search.as_deref()))], true),
        None => (candidates(program.versions, search.as_deref()), false),
    };
    let mut found = Vec::new();
    for candidate in candidates {
        let shown = candidate.program.display().to_string();
        let refusal = match ask(&candidate) {
            None if is_chosen => "which does not answer like a Python 3".to_owned(),
            None => continue,
            Some(answer) => match misfit(&answer, program, is_chosen) {
                None => return Ok(answer.executable.unwrap_or(candidate.program)),
                Some(reason) => reason,
            },
        };
        found.push(format!("`{shown}`, {refusal}"));
    }
    Err(LauncherError::NoPython {
        name: name.to_owned(),
        versions: program.versions,
        native: program.native,
        found,
    })
}

/// Something that may be an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    program: PathBuf,
    /// What Windows' `py` is told.
    option: Option<String>,
}

impl Candidate {
    fn plain(program: PathBuf) -> Self {
        Self { program, option: None }
    }
}

/// What `GANGWAY_PYTHON` means: a path, or a name to be looked for.
fn named(choice: &OsStr, search: Option<&OsStr>) -> PathBuf {
    let choice = Path::new(choice);
    if choice.components().count() > 1 {
        return choice.to_owned();
    }
    let file = |folder: PathBuf| folder.join(choice);
    let mut files = search.into_iter().flat_map(env::split_paths).map(file);
    files.find(|file| platform::is_executable_file(file)).unwrap_or_else(|| choice.to_owned())
}

/// Every program that may be a fitting interpreter, first choice first, each once.
fn candidates(versions: PythonVersions, search: Option<&OsStr>) -> Vec<Candidate> {
    let system = if cfg!(target_os = "linux") { Some(PathBuf::from("/usr/bin")) } else { None };
    let folders: Vec<PathBuf> =
        system.into_iter().chain(search.into_iter().flat_map(env::split_paths)).collect();
    let mut seen = Vec::new();
    let mut candidates = Vec::new();
    for name in names(versions) {
        for folder in folders.iter().filter(|folder| folder.is_absolute()) {
            let program = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
            if !platform::is_executable_file(&program) || asks_for_tools(&program) {
                continue;
            }
            let file = program.canonicalize().unwrap_or_else(|_| program.clone());
            if !seen.contains(&file) {
                seen.push(file);
                candidates.push(Candidate::plain(program));
            }
        }
    }
    if cfg!(windows) {
        let py = named("py.exe".as_ref(), search);
        let wanted = numbered(versions)
            .map(|version| Candidate { program: py.clone(), option: Some(format!("-{version}")) });
        candidates.extend(wanted.take_while(|candidate| candidate.program.is_file()));
    }
    candidates
}

/// What interpreters are called. One version alone is asked for by its number; of several the system's own is best.
fn names(versions: PythonVersions) -> Vec<String> {
    let plain = ["python3", "python"].map(str::to_owned);
    let numbered = numbered(versions).map(|version| format!("python{version}"));
    if versions.last == Some(versions.first) {
        numbered.chain(plain).collect()
    } else {
        plain.into_iter().chain(numbered).collect()
    }
}

/// The versions themselves; where there is no last one, as many as will be made in years.
fn numbered(versions: PythonVersions) -> impl Iterator<Item = PythonVersion> {
    const YEARS: u8 = 16;
    let first = versions.first.minor;
    let last = versions.last.map_or(first.saturating_add(YEARS), |last| last.minor);
    (first..=last).map(|minor| PythonVersion { minor })
}

/// A Mac without developer tools has a `python3` that opens a window which offers them.
fn asks_for_tools(program: &Path) -> bool {
    let tools = [
        "/Library/Developer/CommandLineTools/usr/bin/python3",
        "/Applications/Xcode.app/Contents/Developer/usr/bin/python3",
    ];
    cfg!(target_os = "macos")
        && program.starts_with("/usr/bin")
        && !tools.iter().any(|tool| Path::new(tool).exists())
}

/// What an interpreter said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    implementation: String,
    /// `3.11.2`
    full: String,
    version: PythonVersion,
    has_lock: bool,
    bits: String,
    machine: String,
    is_venv: bool,
    executable: Option<PathBuf>,
}

fn ask(candidate: &Candidate) -> Option<Answer> {
    let mut command = Command::new(&candidate.program);
    command.args(&candidate.option).args(["-I", "-c", QUESTION]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for name in REMOVED {
        command.env_remove(name);
    }
    let mut child = command.spawn().ok()?;
    let mut text = Vec::new();
    let read = child.stdout.take()?.read_to_end(&mut text);
    // Where the caller ignores SIGCHLD there is no status to be had; what was said is enough.
    let _ = child.wait();
    read.ok()?;
    parse(&String::from_utf8_lossy(&text))
}

fn parse(text: &str) -> Option<Answer> {
    // What a `sitecustomize` prints comes first.
    let line = text.lines().next_back()?;
    let mut words = line.splitn(9, ' ');
    let mut next = || words.next();
    let (implementation, major, minor, micro) = (next()?, next()?, next()?, next()?);
    let version = format!("{major}.{minor}").parse().ok()?;
    let (lock, bits, machine, place) = (next()?, next()?, next()?, next()?);
    let executable = Path::new(next().unwrap_or_default().trim());
    Some(Answer {
        implementation: implementation.to_owned(),
        full: format!("{major}.{minor}.{micro}"),
        version,
        has_lock: lock == "gil",
        bits: bits.to_owned(),
        machine: machine.to_lowercase(),
        is_venv: place == "venv",
        executable: executable.is_absolute().then(|| executable.to_owned()),
    })
}

/// Why an interpreter does not fit, if it does not.
fn misfit(answer: &Answer, program: &PythonProgram, is_chosen: bool) -> Option<String> {
    let machine = match answer.machine.as_str() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        machine => machine,
    };
    let full = &answer.full;
    if !program.versions.contains(answer.version) {
        Some(format!("which is {full}"))
    } else if answer.is_venv && !is_chosen {
        Some(format!("which is {full} in a virtual environment"))
    } else if !program.native {
        None
    } else if answer.implementation != "cpython" {
        Some(format!("which is {} {full}, not CPython", answer.implementation))
    } else if machine != env::consts::ARCH || answer.bits != "64" {
        Some(format!("which is {full} for {} with {} bits", answer.machine, answer.bits))
    } else if !answer.has_lock {
        Some(format!("which is {full} without the global lock"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use gangway_artifact::BundlePath;

    use super::*;

    fn versions(first: &str, last: Option<&str>) -> PythonVersions {
        let version = |text: &str| text.parse().expect("a version");
        PythonVersions { first: version(first), last: last.map(version) }
    }

    #[test]
    fn which_names_are_looked_for() {
        assert_eq!(names(versions("3.10", Some("3.10"))), ["python3.10", "python3", "python"]);
        assert_eq!(
            names(versions("3.10", Some("3.12"))),
            ["python3", "python", "python3.10", "python3.11", "python3.12"]
        );
        let open = names(versions("3.10", None));
        assert_eq!(open[..3], ["python3", "python", "python3.10"]);
        assert!(open.contains(&"python3.20".to_owned()));
    }

    #[test]
    fn answers_are_read() {
        let text = "hello\ncpython 3 11 2 gil 64 x86_64 system /opt/my python/bin/python3\n";
        let answer = parse(text).expect("an answer");
        assert_eq!((answer.full.as_str(), answer.version.minor), ("3.11.2", 11));
        assert_eq!(answer.executable.as_deref(), Some(Path::new("/opt/my python/bin/python3")));
        let none = parse("cpython 3 8 0 gil 64 aarch64 system ").expect("an answer");
        assert_eq!(none.executable, None);
        for wrong in ["", "\n", "Python was not found", "cpython 2 7 18 gil 64 x86_64 system /x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_does_not_fit() {
        let script = BundlePath::new("services/a/main.py").expect("plain");
        let program = |native| PythonProgram {
            versions: versions("3.10", Some("3.11")),
            native,
            script: script.clone(),
            path: Vec::new(),
            env: std::collections::BTreeMap::new(),
            args: Vec::new(),
        };
        let own = env::consts::ARCH;
        let check = |answer: &str, native, is_chosen| {
            let answer = parse(&answer.replace("OWN", own)).expect("an answer");
            misfit(&answer, &program(native), is_chosen)
        };
        let reason = |text: &str| Some(text.to_owned());
        assert_eq!(check("cpython 3 10 4 gil 64 OWN system /p", true, false), None);
        assert_eq!(
            check("cpython 3 12 0 gil 64 OWN system /p", false, false),
            reason("which is 3.12.0")
        );
        let venv = "cpython 3 11 0 gil 64 OWN venv /p";
        assert_eq!(check(venv, true, false), reason("which is 3.11.0 in a virtual environment"));
        assert_eq!(check(venv, true, true), None);
        let pypy = "pypy 3 10 4 gil 64 OWN system /p";
        assert_eq!(check(pypy, true, false), reason("which is pypy 3.10.4, not CPython"));
        assert_eq!(check(pypy, false, false), None);
        assert_eq!(
            check("cpython 3 10 4 gil 64 riscv64 system /p", true, false),
            reason("which is 3.10.4 for riscv64 with 64 bits")
        );
        assert_eq!(
            check("cpython 3 10 4 free 64 OWN system /p", true, false),
            reason("which is 3.10.4 without the global lock")
        );
    }

    #[test]
    fn variables_of_the_user() {
        let of = |has_cache| variables("/b/site".into(), has_cache);
        let value = |variables: &[(&str, Option<OsString>)], name: &str| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone())
        };
        assert_eq!(value(&of(false), "PYTHONHOME"), Some(None));
        assert_eq!(value(&of(false), "PYTHONPATH"), Some(Some("/b/site".into())));
        assert_eq!(value(&of(false), "PYTHONDONTWRITEBYTECODE"), Some(Some("1".into())));
        assert_eq!(value(&of(true), "PYTHONDONTWRITEBYTECODE"), None);
    }
}
