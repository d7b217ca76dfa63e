//! What can go wrong with install scripts.

use miette::Diagnostic;

use super::lifecycle::Event;
use crate::capture::CaptureError;
use crate::layout::LayoutError;
use crate::store::StoreError;
use crate::workshop::WorkshopError;

/// What can go wrong with install scripts.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ScriptError {
    /// The manifest is silent about some.
    #[error("{what} and the manifest does not say what to do with them:{packages}")]
    #[diagnostic(help(
        "decide for each in gangway.toml: `action = \"ignore\"` leaves the script out, `action = \"run\"` runs it at \
         bundle time, without network and confined to the package's folder{tables}"
    ))]
    Undecided {
        /// How many.
        what: String,
        /// Which, with their scripts where they are known.
        packages: String,
        /// The tables to paste.
        tables: String,
    },
    /// A package.json does not tell.
    #[error("cannot read the scripts in `{path}`: {reason}")]
    Manifest {
        /// Where it should be.
        path: String,
        /// Why.
        reason: String,
    },
    /// A package wants to be compiled.
    #[error(
        "{name} {version} compiles an addon when it is installed (`node-gyp rebuild`), which cannot be run as a script"
    )]
    #[diagnostic(help(
        "write an `[[addon]]` for `{name}` instead: `action = \"build\"` compiles it for each target, `action = \"omit\"` \
         leaves the addon out"
    ))]
    Compiles {
        /// The package.
        name: String,
        /// Its version.
        version: String,
    },
    /// A script failed, or its fence did.
    #[error("the {event} script of {name} {version} failed")]
    #[diagnostic(help(
        "it has no network and may only write to its own folder: `writes = [\"...\"]` in its \
         `[[install-script]]` table names more folders, `action = \"ignore\"` leaves it out"
    ))]
    Failed {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// Which of its scripts.
        event: Event,
        /// Why.
        source: Box<WorkshopError>,
    },
    /// There is no place to run them in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Workshop(#[from] WorkshopError),
    /// The gateway could not be laid out for them.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Layout(#[from] LayoutError),
    /// What they made cannot be taken.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Capture(#[from] CaptureError),
    /// The store failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}
