//! Which minor versions of Python 3 there are.
//!
//! A name says nothing: version managers have a program for every version there may be, which then says that it has none. So each
//! program is asked, once, with a bound on how long it may think. Where and by which names is what the launcher does when it
//! starts a service: the system's own first, then the search path.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Fact, PythonVersion};

/// What an interpreter is asked.
pub const QUESTION: &str = "import sys; print('3.%d' % sys.version_info[1])";

/// The newest that is looked for by its number.
const NEWEST: u8 = 20;

/// The versions of the programs that answer; `ask` gives back what a program printed.
#[must_use]
pub fn versions(
    folders: &[Utf8PathBuf],
    suffix: &str,
    mut ask: impl FnMut(&Utf8Path) -> Option<String>,
) -> Fact<BTreeSet<PythonVersion>> {
    let mut seen = BTreeSet::new();
    let mut versions = BTreeSet::new();
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
                versions.extend(ask(&program).as_deref().and_then(version));
            }
        }
    }
    if versions.is_empty() { Fact::Absent } else { Fact::Is(versions) }
}

/// Whether a link leads to a program of another name, which tells by the first one what is wanted of it.
fn is_stub(program: &Utf8Path) -> bool {
    let file = program.canonicalize_utf8().unwrap_or_else(|_| program.to_owned());
    !file.file_name().is_some_and(|name| name.starts_with("python"))
}

fn version(said: &str) -> Option<PythonVersion> {
    // What a `sitecustomize` prints comes first.
    said.lines().next_back()?.trim().parse().ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::testing::Machine;
    use super::*;

    #[test]
    fn every_program_is_asked_once() {
        let machine =
            Machine::new(&[("bin/python3.11", ""), ("other/python3.9", ""), ("shims/pyenv", "")]);
        machine.link("python3.11", "bin/python3");
        machine.link("pyenv", "shims/python3.8");
        machine.link("pyenv", "shims/python3.7");
        let folders: Vec<_> =
            ["bin", "other", "shims", "none"].map(|name| machine.path().join(name)).into();
        let mut asked = Vec::new();
        let versions = versions(&folders, "", |program| {
            let name = program.file_name().expect("a name").to_owned();
            asked.push(name.clone());
            match name.as_str() {
                "python3" => Some("hello from sitecustomize\n3.11\n".to_owned()),
                "python3.9" => Some("3.9\r\n".to_owned()),
                _ => None,
            }
        });
        assert_eq!(asked, ["python3", "python3.7", "python3.8", "python3.9"]);
        let expected = ["3.9", "3.11"].map(|text| text.parse().expect("a version"));
        assert_eq!(versions, Fact::Is(BTreeSet::from(expected)));
    }

    #[test]
    fn a_machine_without() {
        let machine = Machine::new(&[("bin/python2", "")]);
        let none = versions(&[machine.path().join("bin")], "", |_| panic!("nothing to ask"));
        assert_eq!(none, Fact::Absent);
        assert_eq!(version("Python was not found"), None);
        assert_eq!(version(""), None);
    }
}
