//! `[dependencies]`: which lockfile, if any, and which package of its workspace the gateway is.
//!
//! A gateway without dependencies needs none. One that has some and no lockfile is refused: what `package.json`
//! says is a range, and nothing here resolves ranges. Where several package managers left a lockfile, nobody can tell
//! which one counts.

use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};

use super::check::Beside;
use super::error::{Fault, FaultKind, Faults};
use super::package_json::PackageJson;
use super::suggest::listed;
use super::{Dependencies, Located, raw, workspace};
use crate::closure::Format;

/// Lockfiles that are not read: their names, and what to do instead.
const FOREIGN_LOCKFILES: &[(&[&str], &str)] = &[
    (
        &["yarn.lock", ".pnp.cjs"],
        "Yarn's lockfiles are not read: run `npm install --package-lock-only` or `pnpm import` beside it, which take the \
         versions over if it is of Yarn 1 and choose versions anew if it is newer, and commit the lockfile that they make",
    ),
    (
        &["bun.lockb"],
        "Bun's binary lockfile is not read: run `bun install --save-text-lockfile --frozen-lockfile --lockfile-only`, \
         which writes the same as `bun.lock`, and remove `bun.lockb`",
    ),
    (
        &["deno.lock"],
        "Deno's lockfile is not read: run `npm install --package-lock-only` beside package.json, which chooses versions \
         anew",
    ),
];

/// What makes a lockfile.
const MAKE_ONE: &str = "run `npm install --package-lock-only` beside package.json; lockfiles of pnpm and Bun are read too";

/// The lockfile that is written down, the one that is there, or none where none is needed.
pub(super) fn dependencies(
    table: Option<Located<raw::Dependencies>>,
    is_built: bool,
    beside: &Beside<'_>,
    faults: &mut Faults,
) -> Option<Dependencies> {
    if let Some(Located { value: raw::Dependencies { lockfile: Some(lockfile) }, .. }) = table {
        return written(lockfile, beside, faults);
    }
    let needed =
        beside.package.and_then(|package| Some((package, package.needs_lockfile(is_built)?)));
    let span = table.as_ref().map(|table| table.span.clone());
    let must_be = span.is_some() || needed.is_some();
    let fault = match find(beside, must_be) {
        Found::One { lockfile, member } => {
            let lockfile = Located { value: lockfile, span: span.unwrap_or(0..0) };
            return Some(Dependencies { lockfile, member });
        }
        Found::None { .. } if !must_be => return None,
        Found::None { root } => {
            let root = root.map_or(String::new(), |root| {
                format!(" (the workspace in `{root}` has no lockfile either)")
            });
            let help = format!("{MAKE_ONE}{root}");
            (missing("package-lock.json"), "these need one", help)
        }
        Found::Several { folder, names } => {
            let help = format!(
                "write `lockfile = \"{}\"` under [dependencies] if that is the one, or remove those that are left over",
                folder.join(&names[0])
            );
            (
                FaultKind::Lockfiles { names: listed(names.iter().map(String::as_str)) },
                "which counts?",
                help,
            )
        }
        Found::Foreign { name, help } => {
            (FaultKind::LockfileKind { name }, "these need one that can be read", help.to_owned())
        }
    };
    let (kind, label, help) = fault;
    match (span, needed) {
        (Some(span), _) => faults.add(&span, kind, "names no other file").help(help),
        (None, Some((package, key))) => {
            faults.add_fault(in_package(package, key, kind, label)).help(help)
        }
        (None, None) => faults.add(&(0..0), kind, label).help(help),
    };
    None
}

/// The lockfile that the manifest names.
fn written(
    lockfile: Located<Utf8PathBuf>,
    beside: &Beside<'_>,
    faults: &mut Faults,
) -> Option<Dependencies> {
    let Located { value: path, span } = &lockfile;
    let name = path.file_name().unwrap_or_default();
    if path.is_absolute() {
        let kind = FaultKind::Absolute { path: path.clone() };
        let help =
            "write the path from this manifest's folder, so that it is right on every machine";
        faults.add(span, kind, "absolute").help(help);
    } else if Format::of(name).is_none() {
        foreign(name, span, faults);
    } else if beside.folder.join(path).is_file() {
        let member = member(beside.folder, path);
        return Some(Dependencies { lockfile, member });
    } else {
        faults.add(span, missing(path), "there is no such file").help(MAKE_ONE);
    }
    None
}

/// The manifest's folder as seen from that of the lockfile; empty if it is not below it.
fn member(folder: &Utf8Path, lockfile: &Utf8Path) -> Utf8PathBuf {
    let lockfile_folder = folder.join(lockfile.parent().unwrap_or(Utf8Path::new("")));
    match (folder.canonicalize_utf8(), lockfile_folder.canonicalize_utf8()) {
        (Ok(folder), Ok(root)) => folder.strip_prefix(root).map(slashed).unwrap_or_default(),
        _ => Utf8PathBuf::new(),
    }
}

fn foreign(name: &str, span: &Range<usize>, faults: &mut Faults) {
    let kind = FaultKind::LockfileKind { name: name.escape_debug().to_string() };
    let known = FOREIGN_LOCKFILES.iter().find(|(names, _)| names.contains(&name));
    let all = Format::ALL.iter().flat_map(|format| format.file_names().iter().copied());
    let help = match known {
        Some((_, help)) => (*help).to_owned(),
        None => format!("these are read: {}", listed(all)),
    };
    faults.add(span, kind, "not a lockfile that is read").help(help);
}

/// What there is without being named.
enum Found {
    One { lockfile: Utf8PathBuf, member: Utf8PathBuf },
    Several { folder: Utf8PathBuf, names: Vec<String> },
    Foreign { name: String, help: &'static str },
    None { root: Option<Utf8PathBuf> },
}

/// Looks beside the manifest, then, if there must be one, in the next folder above that declares a workspace with the
/// manifest's folder in it.
fn find(beside: &Beside<'_>, must_be: bool) -> Found {
    let here = look(beside.folder, Utf8Path::new(""), Utf8PathBuf::new(), must_be);
    if !must_be || !matches!(here, Found::None { .. }) {
        return here;
    }
    let Ok(folder) = beside.folder.canonicalize_utf8() else { return here };
    let mut up = Utf8PathBuf::new();
    for root in folder.ancestors().skip(1) {
        up.push("..");
        let member = folder.strip_prefix(root).map(slashed).unwrap_or_default();
        if workspace::declares(root, &member) {
            return match look(root, &slashed(&up), member, must_be) {
                Found::None { .. } => Found::None { root: Some(slashed(&up)) },
                found => found,
            };
        }
    }
    here
}

/// The lockfiles in `folder`, which is `named` in the manifest; one for each package manager.
fn look(folder: &Utf8Path, named: &Utf8Path, member: Utf8PathBuf, must_be: bool) -> Found {
    let is_there = |name: &&&str| folder.join(name).is_file();
    let read: Vec<&str> = Format::ALL
        .iter()
        .filter_map(|format| format.file_names().iter().find(is_there).copied())
        .collect();
    // Bun writes the binary one no more once there is the other; both are of one mind.
    let foreign: Vec<(&str, &str)> = FOREIGN_LOCKFILES
        .iter()
        .filter(|(names, _)| !(names.contains(&"bun.lockb") && read.contains(&"bun.lock")))
        .filter_map(|(names, help)| Some((*names.iter().find(is_there)?, *help)))
        .filter(|(name, _)| *name != "deno.lock" || read.is_empty())
        .collect();
    let names: Vec<&str> =
        read.iter().copied().chain(foreign.iter().map(|(name, _)| *name)).collect();
    match (names.as_slice(), read.first(), foreign.first()) {
        ([], ..) => Found::None { root: None },
        ([_], Some(name), _) => Found::One { lockfile: slashed(&named.join(name)), member },
        ([_], None, Some((name, help))) if must_be => {
            Found::Foreign { name: slashed(&named.join(name)).into_string(), help }
        }
        (_, None, _) if !must_be => Found::None { root: None },
        _ => Found::Several {
            folder: slashed(named),
            names: names.into_iter().map(str::to_owned).collect(),
        },
    }
}

/// A path as lockfiles and manifests write it, on every system.
fn slashed(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(path.as_str().replace('\\', "/"))
}

/// `package.json` has dependencies, and nothing says which versions.
fn in_package(package: &PackageJson, key: &str, kind: FaultKind, label: &str) -> Fault {
    Fault::new(&package.text, package.place(key), kind, label)
}

fn missing(path: impl AsRef<Utf8Path>) -> FaultKind {
    FaultKind::MissingLockfile { path: path.as_ref().to_owned() }
}
