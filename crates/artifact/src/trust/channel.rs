//! `<channel>.json`: the releases of an app that a channel offers.

use serde::{Deserialize, Serialize};

use super::check;
use crate::{Contract, Digest, L4tRange, Platform, TargetName, json};

/// The version of the format this crate reads and writes.
pub const CHANNEL_VERSION: u32 = 1;

/// The most bytes of a channel's metadata: hundreds of releases for a dozen targets have less.
pub const MOST_BYTES: u64 = 8 << 20;

/// A channel, as its publisher writes it. Every file it names lies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// [`CHANNEL_VERSION`].
    pub version: u32,
    /// The app's name.
    pub app: String,
    /// The channel's own name: `stable`.
    pub channel: String,
    /// Grows with every publication. An answer with a lower one than was seen before is an old one.
    pub sequence: u64,
    /// What there is, the newest first; never empty.
    pub releases: Vec<Release>,
}

/// One version of the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The app's version.
    pub version: String,
    /// One for each target, sorted by the target's name.
    pub bundles: Vec<Bundle>,
    /// The programs that install it, sorted by triple.
    pub installers: Vec<InstallerProgram>,
}

/// One target's bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The target's name.
    pub target: TargetName,
    /// The platform it stands for.
    pub platform: Platform,
    /// The archive, always a `.tar.zst`.
    pub archive: NamedFile,
    /// The copy of the manifest beside it, which has the same bytes as the one inside.
    pub manifest: NamedFile,
    /// What it needs of a machine, so that one is chosen without asking for any manifest.
    pub contract: Contract,
    /// The releases of L4T that its target is for; only for a Jetson. Its contract names them only where its files need
    /// something of NVIDIA's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l4t: Option<L4tRange>,
    /// The list of patches from earlier versions, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<NamedFile>,
}

/// The installer for one kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallerProgram {
    /// The triple it was built for.
    pub triple: String,
    /// The program.
    pub file: NamedFile,
}

/// A file beside the channel's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFile {
    /// Its name: one component, with nothing of a path or an address in it.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
}

/// Metadata this crate cannot take.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ChannelError {
    /// It is damaged, or something else.
    #[error("it is not a channel's metadata ({0})")]
    Syntax(#[from] serde_json::Error),
    /// It is of another time.
    #[error("its format is version {0}, and version {CHANNEL_VERSION} was expected")]
    Version(u32),
    /// It is larger than any.
    #[error("it has {found} bytes, and {MOST_BYTES} is the most")]
    Large { found: u64 },
    /// It is of something else.
    #[error("it is the channel `{found}` of `{app}`, and `{expected}` was asked for")]
    Other { app: String, expected: String, found: String },
    /// It says what cannot be.
    #[error("{place}: {reason}")]
    Fault { place: String, reason: String },
    /// It is older than what was seen before.
    #[error("its sequence number is {found}, and {last} was seen before")]
    Old { found: u64, last: u64 },
}

impl Channel {
    /// Reads the content of `<channel>.json`, and checks it.
    ///
    /// # Errors
    /// When it is not one, or one of another version, or says what cannot be.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ChannelError> {
        /// What every version has: the rest is only looked at when the version is known.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let found = bytes.len() as u64;
        if found > MOST_BYTES {
            return Err(ChannelError::Large { found });
        }
        let Head { version } = serde_json::from_slice(bytes)?;
        if version != CHANNEL_VERSION {
            return Err(ChannelError::Version(version));
        }
        let channel: Self = serde_json::from_slice(bytes)?;
        channel.check()?;
        Ok(channel)
    }

    /// The content of `<channel>.json`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::to_lines(self)
    }

    /// Whether it can be believed at all: see `docs/channel.md`.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self) -> Result<(), ChannelError> {
        check::channel(self)
    }

    /// Whether it is the channel that was asked for.
    ///
    /// # Errors
    /// When it is another one.
    pub fn expect_name(&self, name: &str) -> Result<(), ChannelError> {
        if self.channel == name {
            return Ok(());
        }
        let (app, found) = (self.app.clone(), self.channel.clone());
        Err(ChannelError::Other { app, expected: name.to_owned(), found })
    }

    /// Whether it may follow metadata with the sequence number `last`. The same number is the same publication.
    ///
    /// # Errors
    /// When it is an old answer.
    pub fn newer_than(&self, last: u64) -> Result<(), ChannelError> {
        match self.sequence {
            found if found < last => Err(ChannelError::Old { found, last }),
            _ => Ok(()),
        }
    }
}

impl Release {
    /// Every file that it names.
    pub fn files(&self) -> impl Iterator<Item = &NamedFile> {
        let bundles = self.bundles.iter().flat_map(|bundle| {
            [&bundle.archive, &bundle.manifest].into_iter().chain(&bundle.patches)
        });
        bundles.chain(self.installers.iter().map(|program| &program.file))
    }
}
