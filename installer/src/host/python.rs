//! Which minor versions of Python 3 there are.
//!
//! A binary called `python3.11` is that one, and telling so costs nothing. Other names say nothing: `python` may be any, and version managers have a
//! script for every version there may be, which takes its time to find out that it has none. Those are asked, once each, and only
//! while a version that is wanted was not found. Where and by which names is what the launcher does when it starts a service: the
//! system's own first, then the search path.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Fact, PythonVersion, PythonVersions};

/// What an interpreter is asked.
pub const QUESTION: &str = "import sys; print('3.%d' % sys.version_info[1])";

/// The newest that is looked for by its number.
const NEWEST: u8 = 20;

/// The versions that were found, among them one of each kind that is `wanted`, if there is one. `ask` gives back what a program
/// printed.
#[must_use]
pub fn versions(
    folders: &[Utf8PathBuf],
    suffix: &str,
    wanted: &[PythonVersions],
    mut ask: impl FnMut(&Utf8Path) -> Option<String>,
) -> Fact<BTreeSet<PythonVersion>> {
    let mut versions = BTreeSet::new();
    let mut unnamed = Vec::new();
    for program in programs(folders, suffix) {
        match named(&program) {
            Some(version) => drop(versions.insert(version)),
            None => unnamed.push(program),
        }
    }
    let is_enough = |versions: &BTreeSet<PythonVersion>| {
        wanted.iter().all(|range| versions.iter().any(|version| range.contains(*version)))
    };
    let mut are_all_asked = true;
    for program in unnamed {
        if is_enough(&versions) {
            are_all_asked = false;
            break;
        }
        versions.extend(ask(&program).as_deref().and_then(version));
    }
    match versions.is_empty() {
        false => Fact::Is(versions),
        true if are_all_asked => Fact::Absent,
        true => Fact::Unknown,
    }
}

/// Every program that may be one, each once.
fn programs(folders: &[Utf8PathBuf], suffix: &str) -> Vec<Utf8PathBuf> {
    let mut seen = BTreeSet::new();
    let mut programs = Vec::new();
    let numbered = (6..=NEWEST).map(|minor| format!("python3.{minor}"));
    for name in ["python3".to_owned(), "python".to_owned()].into_iter().chain(numbered) {
        for folder in folders.iter().filter(|folder| folder.is_absolute()) {
            let program = folder.join(format!("{name}{suffix}"));
            if !program.is_file() {
                continue;
            }
            let file = program.canonicalize_utf8().unwrap_or_else(|_| program.clone());
            // Several names for one program; but what asks which version is meant by its name is one program for all.
            if seen.insert((file, if is_stub(&program) { name.clone() } else { String::new() })) {
                programs.push(program);
            }
        }
    }
    programs
}

/// Whether a link leads to a program of another name, which tells by the first one what is wanted of it.
fn is_stub(program: &Utf8Path) -> bool {
    let file = program.canonicalize_utf8().unwrap_or_else(|_| program.to_owned());
    !file.file_name().is_some_and(|name| name.starts_with("python"))
}

/// The version in the name of a binary.
fn named(program: &Utf8Path) -> Option<PythonVersion> {
    let file = program.canonicalize_utf8().ok()?;
    let version = file.file_name()?.strip_prefix("python")?.parse().ok()?;
    let mut start = [0; 4];
    File::open(&file).ok()?.read_exact(&mut start).ok()?;
    (start == *b"\x7fELF").then_some(version)
}

fn version(said: &str) -> Option<PythonVersion> {
    // What a `sitecustomize` prints comes first.
    said.lines().next_back()?.trim().parse().ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::testing::Machine;
    use super::*;

    fn exactly(text: &str) -> PythonVersions {
        PythonVersions::exactly(text.parse().expect("a version"))
    }

    fn found(texts: &[&str]) -> Fact<BTreeSet<PythonVersion>> {
        Fact::Is(texts.iter().map(|text| text.parse().expect("a version")).collect())
    }

    /// What is found, and which programs were asked.
    fn seen(
        machine: &Machine,
        wanted: &[PythonVersions],
    ) -> (Fact<BTreeSet<PythonVersion>>, Vec<String>) {
        let folders: Vec<_> =
            ["bin", "other", "shims", "none"].map(|name| machine.path().join(name)).into();
        let mut asked = Vec::new();
        let versions = versions(&folders, "", wanted, |program| {
            let name = program.file_name().expect("a name").to_owned();
            asked.push(name.clone());
            match name.as_str() {
                "python3" => Some("hello from sitecustomize\n3.11\n".to_owned()),
                "python3.9" => Some("3.9\r\n".to_owned()),
                _ => None,
            }
        });
        (versions, asked)
    }

    #[test]
    fn every_program_is_asked_once() {
        let machine =
            Machine::new(&[("bin/python3.11", ""), ("other/python3.9", ""), ("shims/pyenv", "")]);
        machine.link("python3.11", "bin/python3");
        machine.link("pyenv", "shims/python3.8");
        machine.link("pyenv", "shims/python3.7");
        let (versions, asked) = seen(&machine, &[exactly("3.7")]);
        assert_eq!(asked, ["python3", "python3.7", "python3.8", "python3.9"]);
        assert_eq!(versions, found(&["3.9", "3.11"]));
        let (versions, asked) = seen(&machine, &[exactly("3.11")]);
        assert_eq!((versions, asked), (found(&["3.11"]), vec!["python3".to_owned()]));
    }

    #[test]
    fn a_binary_is_what_it_is_called() {
        let machine = Machine::new(&[
            ("bin/python3.11", "\x7fELF and more"),
            ("shims/python3", "#!/bin/sh\nexec pyenv"),
            ("shims/python3.12", "#!/bin/sh\nexec pyenv"),
        ]);
        machine.link("python3.11", "bin/python3");
        let newer = PythonVersions { first: "3.8".parse().expect("a version"), last: None };
        assert_eq!(seen(&machine, &[newer]), (found(&["3.11"]), Vec::new()));
        assert_eq!(seen(&machine, &[]), (found(&["3.11"]), Vec::new()));
        let (versions, asked) = seen(&machine, &[newer, exactly("3.12")]);
        assert_eq!((versions, asked.len()), (found(&["3.11"]), 2));
        machine.remove("bin/python3.11");
        assert_eq!(seen(&machine, &[]), (Fact::Unknown, Vec::new()), "nobody wanted to know");
    }

    #[test]
    fn a_machine_without() {
        let machine = Machine::new(&[("bin/python2", "")]);
        assert_eq!(seen(&machine, &[exactly("3.8")]), (Fact::Absent, Vec::new()));
        assert_eq!(version("Python was not found"), None);
        assert_eq!(version(""), None);
    }
}
