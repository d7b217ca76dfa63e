//! The files of a bundle by place, and which of them the target's loader would take.

use std::collections::HashMap;

use super::{File, Input, Os, Plan, Policy, Role};
use crate::elf::Elf;
use crate::facts::{Facts, Kind};
use crate::macho::Slice;
use crate::node::NodeFacts;
use crate::pe::Pe;

/// More links in a row than a system follows.
const MAX_LINKS: usize = 40;

pub(super) struct Bundle<'a> {
    pub(super) policy: &'a Policy<'a>,
    /// Sorted by path.
    pub(super) files: Vec<&'a File<'a>>,
    pub(super) plans: &'a [Plan<'a>],
    places: HashMap<String, usize>,
    links: HashMap<&'a str, &'a str>,
}

/// The part of a file's facts that counts on the target.
#[derive(Clone, Copy)]
pub(super) enum Native<'a> {
    Elf(&'a Elf),
    MachO(&'a Slice),
    Pe(&'a Pe),
}

impl<'a> Bundle<'a> {
    pub(super) fn new(input: &Input<'a>, policy: &'a Policy<'a>) -> Self {
        let mut files: Vec<&File<'_>> = input.files.iter().collect();
        files.sort_by_key(|file| file.path);
        let key = |path: &str| key(policy.os, path);
        Self {
            policy,
            places: files.iter().enumerate().map(|(at, file)| (key(file.path), at)).collect(),
            links: input.links.iter().map(|link| (link.path, link.target)).collect(),
            files,
            plans: input.plans,
        }
    }

    /// What the target's loader would see of a file; `None` when it is for another system or processor, or nothing
    /// that is loaded.
    pub(super) fn native(&self, file: usize) -> Option<Native<'a>> {
        let policy = self.policy;
        let (native, kind) = match (&self.files.get(file)?.facts, policy.os) {
            // 0 says nothing, 3 says Linux; FreeBSD's files say 9.
            (Facts::Elf(elf), Os::Linux)
                if elf.machine == policy.machine && matches!(elf.os_abi, 0 | 3) =>
            {
                (Native::Elf(elf), elf.kind)
            }
            (Facts::MachO(macho), Os::MacOs) => {
                let slice = macho.slices.iter().find(|slice| slice.machine == policy.machine)?;
                (Native::MachO(slice), slice.kind)
            }
            // A .NET assembly is compiled where it runs, and its one import is of no consequence.
            (Facts::Pe(pe), Os::Windows) if pe.machine == Some(policy.machine) => {
                (Native::Pe(pe), pe.kind)
            }
            _ => return None,
        };
        matches!(kind, Kind::Executable | Kind::Library).then_some(native)
    }

    pub(super) fn natives(&self) -> impl Iterator<Item = (usize, &'a File<'a>, Native<'a>)> {
        self.files.iter().enumerate().filter_map(|(at, file)| Some((at, *file, self.native(at)?)))
    }

    pub(super) fn elves(&self) -> impl Iterator<Item = (usize, &'a File<'a>, &'a Elf)> {
        self.natives().filter_map(|(at, file, native)| match native {
            Native::Elf(elf) => Some((at, file, elf)),
            Native::MachO(_) | Native::Pe(_) => None,
        })
    }

    pub(super) fn elf(&self, file: usize) -> Option<&'a Elf> {
        match self.native(file)? {
            Native::Elf(elf) => Some(elf),
            Native::MachO(_) | Native::Pe(_) => None,
        }
    }

    pub(super) fn slice(&self, file: usize) -> Option<&'a Slice> {
        match self.native(file)? {
            Native::MachO(slice) => Some(slice),
            Native::Elf(_) | Native::Pe(_) => None,
        }
    }

    pub(super) fn pe(&self, file: usize) -> Option<&'a Pe> {
        match self.native(file)? {
            Native::Pe(pe) => Some(pe),
            Native::Elf(_) | Native::MachO(_) => None,
        }
    }

    /// The file at this place, through links.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.places.get(&key(self.policy.os, &self.resolve(path)?)).copied()
    }

    /// Whether the package has another addon, of the target's system, processor and C library, that passes this test:
    /// packages ship variants, and load one. Files without an owner are of one package when they are in one folder.
    pub(super) fn has_variant(
        &self,
        of: usize,
        test: impl Fn(&File<'_>, &NodeFacts) -> bool,
    ) -> bool {
        let file = self.files[of];
        self.natives().any(|(at, other, native)| {
            let c_library = match native {
                Native::Elf(elf) => elf.c_library(),
                Native::MachO(_) | Native::Pe(_) => None,
            };
            at != of
                && other.role == Role::Addon
                && other.owner == file.owner
                && (other.owner.is_some() || folder(other.path) == folder(file.path))
                && (c_library.is_none() || c_library == self.policy.c_library)
                && native.node().is_some_and(|node| test(other, node))
        })
    }

    /// Whether the package has any addon for the target beside this file.
    pub(super) fn has_addon_beside(&self, file: usize) -> bool {
        self.has_variant(file, |_, _| true)
    }

    fn resolve(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let Some((link, target, rest)) = self.link_in(&path) else { return Some(path) };
            let joined = join(folder(link), target)?;
            path = if rest.is_empty() { joined } else { join(&joined, rest)? };
        }
        None
    }

    /// The first part of a path that is a link, what it says, and what follows it.
    fn link_in<'p>(&self, path: &'p str) -> Option<(&'p str, &'a str, &'p str)> {
        if self.links.is_empty() {
            return None;
        }
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        ends.into_iter().find_map(|end| {
            let target = self.links.get(&path[..end])?;
            Some((&path[..end], *target, path[end..].trim_start_matches('/')))
        })
    }
}

impl Native<'_> {
    pub(super) fn is_program(&self) -> bool {
        let kind = match self {
            Self::Elf(elf) => elf.kind,
            Self::MachO(slice) => slice.kind,
            Self::Pe(pe) => pe.kind,
        };
        kind == Kind::Executable
    }

    pub(super) fn node(&self) -> Option<&NodeFacts> {
        match self {
            Self::Elf(elf) => elf.node.as_ref(),
            Self::MachO(slice) => slice.node.as_ref(),
            Self::Pe(pe) => pe.node.as_ref(),
        }
    }
}

/// The folder of a path; empty for the bundle itself.
pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a path.
pub(super) fn name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// A path from a folder on, without `.` and `..`; `None` when it leads out of the bundle.
pub(super) fn join(folder: &str, rest: &str) -> Option<String> {
    if rest.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(rest.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn key(os: Os, path: &str) -> String {
    match os {
        Os::Linux => path.to_owned(),
        Os::MacOs | Os::Windows => path.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (folder, rest, path) in [
            ("a/b", "../lib", Some("a/lib")),
            ("a", "./x//y", Some("a/x/y")),
            ("", "x", Some("x")),
            ("a", "../../x", None),
            ("a", "/x", None),
        ] {
            assert_eq!(join(folder, rest).as_deref(), path, "{folder} {rest}");
        }
    }
}
