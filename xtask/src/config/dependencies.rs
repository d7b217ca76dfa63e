//! `[dependencies]`: which lockfile, if any.
//!
//! A gateway without dependencies needs none. One that has some and no lockfile is refused: what `package.json`
//! says is a range, and nothing here resolves ranges.

use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};

use super::check::Beside;
use super::error::{Fault, FaultKind, Faults};
use super::package_json::PackageJson;
use super::suggest::listed;
use super::{Dependencies, Located, raw};

/// Lockfiles of npm, in the order npm looks for them.
const LOCKFILES: &[&str] = &["npm-shrinkwrap.json", "package-lock.json"];

/// Lockfiles of other package managers, and what npm makes of their versions.
const FOREIGN_LOCKFILES: &[(&str, &str, &str)] = &[
    ("yarn.lock", "Yarn", "npm takes the versions over if it is of Yarn 1"),
    ("pnpm-lock.yaml", "pnpm", CHOSEN_ANEW),
    ("bun.lock", "Bun", CHOSEN_ANEW),
    ("bun.lockb", "Bun", CHOSEN_ANEW),
    ("deno.lock", "Deno", CHOSEN_ANEW),
];

const CHOSEN_ANEW: &str = "npm chooses versions anew";

/// What makes a lockfile of npm.
const MAKE_ONE: &str = "run `npm install --package-lock-only` beside package.json";

/// The lockfile that is written down, the one that is there, or none where none is needed.
pub(super) fn dependencies(
    table: Option<Located<raw::Dependencies>>,
    is_built: bool,
    beside: &Beside<'_>,
    faults: &mut Faults,
) -> Option<Dependencies> {
    let lockfile = match table {
        Some(Located { value: raw::Dependencies { lockfile: Some(lockfile) }, .. }) => {
            written(lockfile, beside, faults)
        }
        Some(Located { span, .. }) => default(beside).map_or_else(
            || {
                let help = make_one(beside);
                faults.add(&span, missing(LOCKFILES[1]), "names no other file").help(help);
                None
            },
            |value| Some(Located { value, span: span.clone() }),
        ),
        None => default(beside).map_or_else(
            || {
                let package = beside.package?;
                let key = package.needs_lockfile(is_built)?;
                faults.add_fault(unlocked(package, key, beside));
                None
            },
            |value| Some(Located { value, span: 0..0 }),
        ),
    };
    lockfile.map(|lockfile| Dependencies { lockfile })
}

/// The lockfile that the manifest names.
fn written(
    lockfile: Located<Utf8PathBuf>,
    beside: &Beside<'_>,
    faults: &mut Faults,
) -> Option<Located<Utf8PathBuf>> {
    let Located { value: path, span } = &lockfile;
    let name = path.file_name().unwrap_or_default();
    if path.is_absolute() {
        let kind = FaultKind::Absolute { path: path.clone() };
        let help =
            "write the path from this manifest's folder, so that it is right on every machine";
        faults.add(span, kind, "absolute").help(help);
    } else if !LOCKFILES.contains(&name) {
        foreign(name, span, faults);
    } else if beside.folder.join(path).is_file() {
        return Some(lockfile);
    } else {
        let help = make_one(beside);
        faults.add(span, missing(path), "there is no such file").help(help);
    }
    None
}

fn foreign(name: &str, span: &Range<usize>, faults: &mut Faults) {
    let kind = FaultKind::LockfileKind { name: name.escape_debug().to_string() };
    let known = FOREIGN_LOCKFILES.iter().find(|(foreign, ..)| *foreign == name);
    let help = match known {
        Some((_, manager, versions)) => format!(
            "npm's lockfiles are read so far, {manager}'s is not: {MAKE_ONE} and write \
             `lockfile = \"package-lock.json\"`; {versions}"
        ),
        None => format!("npm's lockfiles are read: {}", listed(LOCKFILES.iter().copied())),
    };
    faults.add(span, kind, "not a lockfile of npm").help(help);
}

/// The lockfile npm itself would take.
fn default(beside: &Beside<'_>) -> Option<Utf8PathBuf> {
    LOCKFILES.iter().find(|name| beside.folder.join(name).is_file()).map(Utf8PathBuf::from)
}

/// `package.json` has dependencies, and nothing says which versions.
fn unlocked(package: &PackageJson, key: &str, beside: &Beside<'_>) -> Fault {
    let kind = missing(LOCKFILES[1]);
    let mut fault = Fault::new(&package.text, package.place(key), kind, "these need one");
    fault.help(make_one(beside));
    fault
}

fn missing(path: impl AsRef<Utf8Path>) -> FaultKind {
    FaultKind::MissingLockfile { path: path.as_ref().to_owned() }
}

/// How to make the lockfile, given those of other package managers that are there.
fn make_one(beside: &Beside<'_>) -> String {
    let foreign = FOREIGN_LOCKFILES.iter().find(|(name, ..)| beside.folder.join(name).is_file());
    match foreign {
        Some((name, _, versions)) => {
            format!("{MAKE_ONE}; `{name}` is not read yet, and {versions}")
        }
        None => MAKE_ONE.to_owned(),
    }
}
