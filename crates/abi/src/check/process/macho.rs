//! macOS: paths, of which some count from the file that names them (`@loader_path`), from the program
//! (`@executable_path`), or from the search paths of all who asked (`@rpath`).

use super::super::bundle::{Bundle, folder, join};
use super::{Found, Loaded, Process};

pub(super) fn find(bundle: &Bundle<'_>, process: &Process, by: usize, library: &str) -> Found {
    let answers = |loaded: &Loaded| {
        let slice = bundle.slice(loaded.file);
        loaded.name == library
            || slice.is_some_and(|slice| slice.install_name.as_deref() == Some(library))
    };
    if process.loaded.iter().any(answers) {
        return Found::Already;
    }
    let Some(rest) = library.strip_prefix("@rpath/") else {
        return at(bundle, process, &process.loaded[by], library).unwrap_or(Found::Missing);
    };
    for loaded in process.chain(by) {
        let paths = bundle.slice(loaded.file).map_or(&[][..], |slice| &slice.rpaths);
        for path in paths {
            let path = format!("{}/{rest}", path.trim_end_matches('/'));
            if let Some(found) = at(bundle, process, loaded, &path) {
                return found;
            }
        }
    }
    Found::Missing
}

/// What is at a path that `loaded` names.
fn at(bundle: &Bundle<'_>, process: &Process, loaded: &Loaded, path: &str) -> Option<Found> {
    let place = if let Some(rest) = path.strip_prefix("@loader_path/") {
        join(folder(&loaded.place), rest)?
    } else if let Some(rest) = path.strip_prefix("@executable_path/") {
        let program = process.loaded.first().filter(|_| process.has_program)?;
        join(folder(&program.place), rest)?
    } else {
        return bundle.policy.has(path).then_some(Found::System);
    };
    let file = bundle.find(&place).filter(|file| bundle.slice(*file).is_some())?;
    Some(Found::File(file, place))
}
