//! The closure: every package a gateway needs on one platform, and where each one lies.
//!
//! A lockfile already says which package lies where; this module reads it, leaves out what the platform, `dev`
//! or `optional` rule out, and names where the bytes of each package come from. It is pure: text in, data out.
//! [`assemble()`] turns that and the unpacked tarballs into the tree that `npm ci` would lay out.
//!
//! The folder's files, in the order of the work: `read` leads the way; one reader for each format: `package_lock`
//! with `raw`, `bun` with `relaxed`, `pnpm` with `yaml`; `fit` (does the lockfile belong to package.json?), `needs` and `hoist` (what
//! one package of a workspace needs, and places for it). From there on all formats are alike: `location` (the keys),
//! `graph` and `gate` (who needs whom, and where), `select` (what is left out), `places` (where the rest goes), `origin`
//! (where its bytes come from); then `describe`, `assemble`, `patch`, `bins` and `programs`. Each step names the part of
//! the package manager whose behaviour it has.
//!
//! Deliberately absent: resolving anything anew, and lockfiles that other shrinkwraps inside packages bring along (npm
//! copies those into the lockfile).

mod assemble;
mod bins;
mod bun;
mod describe;
mod error;
mod fit;
mod format;
mod gate;
mod graph;
mod hoist;
mod location;
mod needs;
mod origin;
mod package_lock;
mod patch;
mod places;
mod pnpm;
mod programs;
mod raw;
mod read;
mod relaxed;
mod select;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use gangway_artifact::BundlePath;
use url::Url;

use crate::integrity::Integrity;

pub use assemble::assemble;
pub use describe::described;
pub use error::{ClosureError, Fault, Malformed, UnsupportedVersion};
pub use format::Format;
pub use gate::Host;
pub use patch::{Patch, apply_patches};
pub use programs::settle_programs;
pub use read::{Project, patch_files, read};

/// Which dependencies to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the gateway needs to run.
    Production,
    /// Development dependencies too: what it needs to be built.
    Development,
}

/// The packages of one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closure {
    /// Every package, sorted by place.
    pub packages: Vec<Package>,
    /// Links between folders: workspaces and `file:` dependencies.
    pub links: Vec<FolderLink>,
    /// Optional packages left out, because their `os`, `cpu` or `libc` is another.
    pub gated: Vec<BundlePath>,
    /// What is changed in packages, by their places.
    pub patches: BTreeMap<BundlePath, Patch>,
    /// Whether programs, install scripts and engines are still to be read from the packages themselves: [`described`].
    pub is_bare: bool,
}

/// One package in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its folder, relative to the lockfile's: `node_modules/a/node_modules/b`.
    pub path: BundlePath,
    /// Its own name; for an alias not the one in `path`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its bytes come from.
    pub origin: Origin,
    /// Whether npm would run an install script of it.
    pub has_install_script: bool,
    /// Its programs: name in `.bin` to file in the package.
    pub bins: BTreeMap<String, String>,
    /// Its `engines`, as written.
    pub engines: BTreeMap<String, String>,
}

/// Where a package's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The registry that serves the package's scope.
    Registry {
        /// The tarball's digest.
        integrity: Integrity,
        /// The URL in the lockfile, if it has one; the registry's own conventions otherwise.
        resolved: Option<Url>,
    },
    /// A tarball at a URL.
    Url {
        /// The tarball's digest.
        integrity: Integrity,
        /// Its address.
        url: Url,
    },
    /// A tarball beside the lockfile (`file:x.tgz`).
    File {
        /// The tarball's digest.
        integrity: Integrity,
        /// The file, relative to the lockfile.
        path: Utf8PathBuf,
    },
    /// Part of the tarball of the package it lies in.
    Bundled,
    /// A folder of the gateway itself: a workspace or a `file:` dependency.
    Folder {
        /// The folder, relative to the lockfile; may start with `..`.
        path: Utf8PathBuf,
    },
}

/// A link npm makes from `node_modules` to a folder of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderLink {
    /// The link's place.
    pub path: BundlePath,
    /// The folder it means, relative to the lockfile.
    pub folder: BundlePath,
}
