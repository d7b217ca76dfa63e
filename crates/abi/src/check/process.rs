//! Which files are in memory together, and what the loader did not find.
//!
//! A program loads what it needs, breadth first. An addon is opened by the runtime, so what the runtime has loaded is
//! there already. A library that nothing needs is opened by something that is not known (an extension module of
//! Python, a plug-in): what it lacks may be there or not.

mod elf;
mod macho;
mod pe;

use std::collections::BTreeSet;

use super::bundle::{Bundle, Native};
use super::{File, Role};

/// What starts a process, or joins one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A program.
    Program,
    /// An addon in the runtime's process.
    Addon,
    /// A library; nobody knows who opens it.
    Opened,
}

/// One program, addon or opened library with all that is loaded for it.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) start: Start,
    /// In loading order. An addon's runtime and what that has loaded come first.
    pub(super) loaded: Vec<Loaded>,
    /// The place in `loaded` of what this process adds, its root first.
    pub(super) own: usize,
    /// Whether the first one in `loaded` is the program.
    pub(super) has_program: bool,
    pub(super) missing: Vec<Missing>,
    /// Which file needs which library of the system.
    pub(super) system: Vec<(usize, String)>,
}

/// A file in memory.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) file: usize,
    /// Where it was found; a link's place, when it was found through one.
    pub(super) place: String,
    /// Who was first to ask for it.
    parent: Option<usize>,
    /// The name it was asked for by.
    name: String,
}

/// A library that is nowhere.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    /// Who needs it.
    pub(super) file: usize,
    pub(super) library: String,
    /// Whether it is only needed when it is first used.
    pub(super) delayed: bool,
}

/// The answer of a loader.
enum Found {
    Already,
    File(usize, String),
    System,
    /// The name is the host's own: another check looks at it.
    Host,
    Missing,
}

/// Every process of a bundle: programs, then addons, then libraries that nothing needs.
pub(super) fn all(bundle: &Bundle<'_>) -> Vec<Process> {
    let mut processes: Vec<Process> = bundle
        .natives()
        .filter(|(_, _, native)| native.is_program())
        .map(|(at, _, _)| load(bundle, at, Start::Program, None))
        .collect();
    let runtime = processes
        .iter()
        .find(|process| bundle.files[process.root()].role == Role::Runtime)
        .cloned();
    let is_addon = |file: &File<'_>, native: Native<'_>| {
        !native.is_program()
            && (file.role == Role::Addon
                || native.node().is_some_and(|node| !node.registrations.is_empty()))
    };
    for (at, _, _) in bundle.natives().filter(|(_, file, native)| is_addon(file, *native)) {
        processes.push(load(bundle, at, Start::Addon, runtime.as_ref()));
    }
    let reached: BTreeSet<usize> = processes.iter().flat_map(Process::files).collect();
    let alone: Vec<Process> = bundle
        .natives()
        .filter(|(at, _, native)| !native.is_program() && !reached.contains(at))
        .map(|(at, _, _)| load(bundle, at, Start::Opened, None))
        .collect();
    let sets: Vec<BTreeSet<usize>> = alone.iter().map(|one| one.files().collect()).collect();
    let is_part = |at: usize| {
        let root = alone[at].root();
        (0..alone.len()).any(|other| {
            other != at && sets[other].contains(&root) && !sets[at].contains(&alone[other].root())
        })
    };
    let kept: Vec<Process> =
        (0..alone.len()).filter(|at| !is_part(*at)).map(|at| alone[at].clone()).collect();
    processes.extend(kept);
    processes
}

impl Process {
    /// The file that is started or opened.
    pub(super) fn root(&self) -> usize {
        self.loaded[self.own].file
    }

    /// Every file in it.
    pub(super) fn files(&self) -> impl Iterator<Item = usize> {
        self.loaded.iter().map(|loaded| loaded.file)
    }

    /// What is loaded for its root, and was not there before.
    pub(super) fn own_files(&self) -> impl Iterator<Item = usize> {
        self.loaded[self.own..].iter().map(|loaded| loaded.file)
    }

    /// How it is told of: the file that is started or opened.
    pub(super) fn described(&self, bundle: &Bundle<'_>) -> String {
        let path = bundle.files[self.root()].path;
        match self.start {
            Start::Program => format!("the program `{path}`"),
            Start::Addon => format!("the addon `{path}`"),
            Start::Opened => format!("whatever opens `{path}`"),
        }
    }

    /// A file and those who asked for it, up to the program.
    fn chain(&self, of: usize) -> Vec<&Loaded> {
        let next = |loaded: &&Loaded| loaded.parent.and_then(|parent| self.loaded.get(parent));
        // A parent stands before its children, so this ends.
        std::iter::successors(self.loaded.get(of), next).collect()
    }
}

fn load(bundle: &Bundle<'_>, root: usize, start: Start, host: Option<&Process>) -> Process {
    let mut process = Process {
        start,
        loaded: host.map(|host| host.loaded.clone()).unwrap_or_default(),
        own: 0,
        has_program: start == Start::Program || host.is_some(),
        missing: Vec::new(),
        system: Vec::new(),
    };
    process.own = process.loaded.len();
    process.loaded.push(Loaded {
        file: root,
        place: bundle.files[root].path.to_owned(),
        parent: (process.own > 0).then_some(0),
        name: String::new(),
    });
    let mut next = process.own;
    while next < process.loaded.len() {
        let file = process.loaded[next].file;
        for (library, delayed) in needs(bundle, file) {
            match find(bundle, &process, next, &library) {
                Found::Already | Found::Host => {}
                Found::System => process.system.push((file, library)),
                Found::Missing => process.missing.push(Missing { file, library, delayed }),
                Found::File(found, place) => {
                    // The same file by another name is not loaded twice.
                    if !process.loaded.iter().any(|loaded| loaded.file == found) {
                        let loaded =
                            Loaded { file: found, place, parent: Some(next), name: library };
                        process.loaded.push(loaded);
                    }
                }
            }
        }
        next += 1;
    }
    process
}

/// The libraries a file names, and whether it can start without each.
fn needs(bundle: &Bundle<'_>, file: usize) -> Vec<(String, bool)> {
    match bundle.native(file) {
        Some(Native::Elf(elf)) => elf.needed.iter().map(|name| (name.clone(), false)).collect(),
        Some(Native::MachO(slice)) => {
            slice.required().map(|name| (name.to_owned(), false)).collect()
        }
        Some(Native::Pe(pe)) => {
            pe.imports.iter().map(|import| (import.library.to_string(), import.delayed)).collect()
        }
        None => Vec::new(),
    }
}

fn find(bundle: &Bundle<'_>, process: &Process, by: usize, library: &str) -> Found {
    match bundle.native(process.loaded[by].file) {
        Some(Native::Elf(_)) => elf::find(bundle, process, by, library),
        Some(Native::MachO(_)) => macho::find(bundle, process, by, library),
        Some(Native::Pe(pe)) => pe::find(bundle, process, pe, library),
        None => Found::Missing,
    }
}

/// The file in the bundle that this name stands for in one process, as far as its own loader would find it.
pub(super) fn named(bundle: &Bundle<'_>, process: &Process, library: &str) -> Option<usize> {
    process
        .files()
        .find(|file| match bundle.native(*file) {
            Some(Native::Elf(elf)) => elf.soname.as_deref() == Some(library),
            Some(Native::MachO(slice)) => slice.install_name.as_deref() == Some(library),
            Some(Native::Pe(_)) => {
                super::bundle::name(bundle.files[*file].path).eq_ignore_ascii_case(library)
            }
            None => false,
        })
        .or_else(|| {
            let loaded = process.loaded.iter().find(|loaded| loaded.name == library)?;
            Some(loaded.file)
        })
}
