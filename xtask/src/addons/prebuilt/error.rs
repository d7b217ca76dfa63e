//! What can go wrong with binaries that are downloaded.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::Utf8PathBuf;
use gangway_artifact::TargetName;
use miette::Diagnostic;

use super::super::decide::Lack;
use super::super::error::tables;
use crate::capture::CaptureError;
use crate::fetch::FetchError;
use crate::registry::RegistryError;
use crate::services::archive::ArchiveError;
use crate::store::StoreError;

/// What can go wrong with binaries that are downloaded.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PrebuiltError {
    /// There is none for some targets.
    #[error("{}", .0.message())]
    #[diagnostic(help("{}", .0.advice()))]
    Unpublished(Unpublished),
    /// None is pinned, or one that is not for this runtime.
    #[error("`gangway.lock` pins no binary of {package} for `{target}`{instead}")]
    #[diagnostic(help(
        "run `cargo xtask lock --manifest {manifest} --target {target}` and commit the result; if its makers publish none for it, that \
         says what else there is"
    ))]
    NotPinned {
        /// The package and its version.
        package: String,
        /// The target.
        target: TargetName,
        /// What there is instead.
        instead: String,
        /// The manifest.
        manifest: Utf8PathBuf,
    },
    /// Other bytes than pinned.
    #[error("`{url}` is not what `gangway.lock` pins: it has the digest `{found}`, not `{pinned}`")]
    #[diagnostic(help(
        "nothing of it was used. Find out why the file was replaced; `cargo xtask lock --update` pins the new one"
    ))]
    Digest {
        /// Where it came from.
        url: String,
        /// What came.
        found: String,
        /// What is pinned.
        pinned: String,
    },
    /// The network must not be used.
    #[error("`{url}` is not in the cache and the network is off (`--offline`)")]
    #[diagnostic(help("run the command once without `--offline`; after that it needs no network"))]
    Offline {
        /// Where it would be.
        url: String,
    },
    /// No address, or no place in the package.
    #[error("cannot take a binary of {package} for `{target}`: {reason}")]
    #[diagnostic(help(
        "take `{target}` out of the `targets` of its `[[addon]]` with `action = \"prebuilt\"`, and say `action = \"build\"` or \
         `action = \"omit\"` for it"
    ))]
    Unusable {
        /// The package and its version.
        package: String,
        /// The target.
        target: TargetName,
        /// Why not.
        reason: String,
    },
    /// An archive that is damaged or hostile.
    #[error("cannot unpack the binary of {package} for `{target}`")]
    #[diagnostic(help("an archive like this is broken or hostile; nothing of it was used"))]
    Archive {
        /// The package and its version.
        package: String,
        /// The target.
        target: TargetName,
        /// What is wrong with it.
        source: Box<ArchiveError>,
    },
    /// An archive with a file that has no business in the package.
    #[error("the binary of {package} for `{target}` comes with `{path}`, {reason}")]
    #[diagnostic(help(
        "an archive may only bring what the package lacks; nothing of it was used. Say `action = \"build\"` or `action = \
         \"omit\"` instead"
    ))]
    Intrudes {
        /// The package and its version.
        package: String,
        /// The target.
        target: TargetName,
        /// The file.
        path: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// It could not be downloaded.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    /// A package could not be fetched.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    /// What was unpacked could not be remembered.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Capture(#[from] CaptureError),
    /// The store failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Packages whose makers publish nothing for a target, as far as the manifest asks for it.
#[derive(Debug)]
pub struct Unpublished {
    /// By target.
    pub lacks: BTreeMap<TargetName, Vec<Lack>>,
}

impl Unpublished {
    /// One line for each package and target.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.lacks.iter().flat_map(|(target, lacks)| {
            lacks.iter().map(move |lack| {
                let Lack { name, version, because, .. } = lack;
                format!("{name} {version} for {target}: {because}")
            })
        })
    }

    fn message(&self) -> String {
        let mut text =
            "there is no binary to download where `action = \"prebuilt\"` wants one:".to_owned();
        for line in self.lines() {
            // A text in memory takes whatever is written to it.
            let _ = write!(text, "\n  {line}");
        }
        text
    }

    fn advice(&self) -> String {
        format!(
            "let the manifest choose for each target: name in the `targets` of `action = \"prebuilt\"` those that have one, and decide \
             for these\n\n{}",
            tables(&self.lacks)
        )
    }
}
