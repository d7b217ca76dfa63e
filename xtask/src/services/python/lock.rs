//! The three kinds of lock a service may have: `requirements.txt` with digests, `pylock.toml` (PEP 751), `uv.lock`.
//!
//! All end as a file that `uv pip install` reads. uv's own lock belongs to a project and is exported first; what comes out
//! is kept, so that an unchanged lock needs no uv.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use miette::{LabeledSpan, NamedSource};
use toml::{Table, Value};

use super::requirements::{self, Fault, FaultKind, Requirement, Requirements};
use super::uv::Uv;
use super::{Job, PythonError, utf8};
use crate::store::Store;

/// A lock, ready to be installed from.
#[derive(Debug)]
pub(super) struct Lock {
    /// What it says.
    pub(super) text: String,
    /// The packages it names.
    pub(super) packages: Vec<Requirement>,
    /// Where the user keeps it. Relative paths inside start in its folder.
    pub(super) path: Utf8PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Requirements { options: Vec<String>, is_exported: bool },
    Pylock(Table),
}

/// The name uv tells a PEP 751 lock by.
const PYLOCK: &str = "pylock.toml";

impl Lock {
    /// Reads the lock of a service.
    pub(super) fn read(job: &Job<'_>, store: &Store) -> Result<Self, PythonError> {
        let path = job.service.requirements;
        let name = path.file_name().unwrap_or_default();
        if name == "uv.lock" {
            let text = exported(job, store, path)?;
            return Self::requirements(job, path, text, true);
        }
        let text = read(job, path)?;
        if name == PYLOCK || name.starts_with("pylock.") && name.ends_with(".toml") {
            return Self::pylock(path, text);
        }
        Self::requirements(job, path, text, false)
    }

    fn requirements(
        job: &Job<'_>,
        path: &Utf8Path,
        text: String,
        is_exported: bool,
    ) -> Result<Self, PythonError> {
        match requirements::parse(&text) {
            Ok(Requirements { options, all }) => Ok(Self {
                text,
                packages: all,
                path: path.to_owned(),
                kind: Kind::Requirements { options, is_exported },
            }),
            Err(faults) => Err(not_locked(job.service.name, path, text, is_exported, &faults)),
        }
    }

    fn pylock(path: &Utf8Path, text: String) -> Result<Self, PythonError> {
        let fault = |reason: String| PythonError::Pylock { path: path.to_owned(), reason };
        let table: Table =
            toml::from_str(&text).map_err(|error| fault(error.message().to_owned()))?;
        let version = table.get("lock-version").and_then(Value::as_str).unwrap_or_default();
        if !version.starts_with("1.") {
            return Err(fault(format!(
                "its `lock-version` is `{version}`, and `1.0` was expected"
            )));
        }
        let packages = packages(&table)
            .map(|package| {
                let name = text_of(package, "name");
                let name = name.ok_or_else(|| fault("a package without a name".to_owned()))?;
                if !has_hashes(package) {
                    return Err(fault(format!("a wheel of `{name}` without a SHA-256")));
                }
                Ok(Requirement {
                    name: requirements::normalized(name),
                    version: text_of(package, "version").map(str::to_owned),
                    marker: text_of(package, "marker").map(str::to_owned),
                    text: name.to_owned(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { text, packages, path: path.to_owned(), kind: Kind::Pylock(table) })
    }

    /// The file for uv to read: the user's own, or one in `folder` for what was exported.
    pub(super) fn file(&self, folder: &Utf8Path) -> std::io::Result<Utf8PathBuf> {
        match self.kind {
            Kind::Requirements { is_exported: true, .. } => {
                write(folder.join("requirements.txt"), &self.text)
            }
            Kind::Requirements { .. } | Kind::Pylock(_) => Ok(self.path.clone()),
        }
    }

    /// A lock in `folder` with the package at `index` alone.
    pub(super) fn alone(&self, index: usize, folder: &Utf8Path) -> std::io::Result<Utf8PathBuf> {
        match &self.kind {
            Kind::Requirements { options, .. } => {
                let lines = options.iter().chain([&self.packages[index].text]);
                let text: String = lines.flat_map(|line| [line, "\n"]).collect();
                write(folder.join("requirements.txt"), &text)
            }
            Kind::Pylock(table) => {
                let mut table = table.clone();
                if let Some(packages) = table.get_mut("packages").and_then(Value::as_array_mut) {
                    let one = packages.swap_remove(index);
                    *packages = vec![one];
                }
                write(folder.join(PYLOCK), &table.to_string())
            }
        }
    }

    /// The lock as PEP 751 has it, if it is one.
    pub(super) fn as_pylock(&self) -> Option<&Table> {
        match &self.kind {
            Kind::Pylock(table) => Some(table),
            Kind::Requirements { .. } => None,
        }
    }
}

/// The packages of a `pylock.toml`.
pub(super) fn packages(pylock: &Table) -> impl Iterator<Item = &Table> {
    let packages = pylock.get("packages").and_then(Value::as_array);
    packages.into_iter().flatten().filter_map(Value::as_table)
}

/// A text in a table.
pub(super) fn text_of<'table>(table: &'table Table, key: &str) -> Option<&'table str> {
    table.get(key).and_then(Value::as_str)
}

/// The wheels of one package of a `pylock.toml`.
pub(super) fn wheels(package: &Table) -> impl Iterator<Item = &Table> {
    let wheels = package.get("wheels").and_then(Value::as_array);
    wheels.into_iter().flatten().filter_map(Value::as_table)
}

fn has_hashes(package: &Table) -> bool {
    wheels(package).all(|wheel| {
        let hashes = wheel.get("hashes").and_then(Value::as_table);
        hashes.is_some_and(|hashes| text_of(hashes, "sha256").is_some())
    })
}

fn exported(job: &Job<'_>, store: &Store, path: &Utf8Path) -> Result<String, PythonError> {
    let project = path.with_file_name("pyproject.toml");
    let inputs = [read(job, path)?, read(job, &project)?].map(|text| Digest::of(text).to_string());
    let key = format!("python-export-v1 {}", inputs.join(" "));
    let kept = store.derived(&key, false, || {
        let folder = store.temporary()?;
        let file = utf8(folder.path()).join("requirements.txt");
        Uv::find(job)?.export(path, &file).map_err(|source| PythonError::Export {
            service: job.service.name.to_owned(),
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Ok::<_, PythonError>(read(job, &file)?.into_bytes())
    })?;
    read(job, &kept.path())
}

fn read(job: &Job<'_>, path: &Utf8Path) -> Result<String, PythonError> {
    std::fs::read_to_string(path).map_err(|source| PythonError::Read {
        service: job.service.name.to_owned(),
        path: path.to_owned(),
        source,
    })
}

fn write(path: Utf8PathBuf, text: &str) -> std::io::Result<Utf8PathBuf> {
    std::fs::write(&path, text)?;
    Ok(path)
}

fn not_locked(
    service: &str,
    path: &Utf8Path,
    text: String,
    is_exported: bool,
    faults: &[Fault],
) -> PythonError {
    /// The others look the same.
    const SHOWN: usize = 10;
    let label = |fault: &Fault| {
        LabeledSpan::new_with_span(Some(fault.kind.label().to_owned()), fault.span.clone())
    };
    let has = |kinds: &[FaultKind]| faults.iter().any(|fault| kinds.contains(&fault.kind));
    let name = path.file_name().unwrap_or_default();
    let from = name.strip_suffix(".txt").unwrap_or(name);
    let mut help = if is_exported {
        "uv locks no digests for what it finds in folders: let the project's packages come from an index, or use a \
         `requirements.txt` that `uv pip compile --generate-hashes` made"
            .to_owned()
    } else {
        format!(
            "keep what you want in `{from}.in` and run `uv pip compile --universal --generate-hashes {from}.in --output-file \
             {name}`"
        )
    };
    if has(&[FaultKind::Option]) {
        help.push_str(
            "; options that read other files or change what is chosen belong to that command",
        );
    }
    PythonError::NotLocked {
        service: service.to_owned(),
        help,
        code: Arc::new(NamedSource::new(path, text)),
        labels: faults.iter().take(SHOWN).map(label).collect(),
    }
}
