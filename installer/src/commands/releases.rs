//! The releases that a channel offers, and where their files are.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trust::{Bundle, Channel, Release};
use gangway_artifact::{Digest, Manifest};

use super::{CommandError, Run};
use crate::prefix::PrefixError;
use crate::prefix::state::State;

/// An open channel.
#[derive(Debug)]
pub(super) struct Releases {
    /// Where it is.
    pub(super) base: Utf8PathBuf,
    /// What it offers.
    pub(super) channel: Channel,
}

/// The channel that is followed unless another one is named.
const USUAL_CHANNEL: &str = "stable";

impl Run<'_> {
    /// Where releases come from: what the command line says, the environment, what is installed, or the folder that this program lies in, as
    /// on a USB stick.
    pub(super) fn base(
        &self,
        named: Option<&str>,
        state: Option<&State>,
    ) -> Result<String, CommandError> {
        let variable = self.context.variable("GANGWAY_BASE_URL");
        let beside = || {
            let folder = self.context.executable.parent()?;
            let is_release = folder.join(format!("{USUAL_CHANNEL}.json")).is_file();
            is_release.then(|| folder.to_string())
        };
        (named.or(variable).or(state.map(|state| state.base.as_str())).map(str::to_owned))
            .or_else(beside)
            .ok_or(CommandError::NoBase)
    }

    /// Reads a channel.
    pub(super) fn releases(
        &self,
        base: &str,
        named: Option<&str>,
        state: Option<&State>,
    ) -> Result<Releases, CommandError> {
        let name = named.or(state.map(|state| state.channel.as_str())).unwrap_or(USUAL_CHANNEL);
        let base = self.absolute(Utf8Path::new(base));
        let path = base.join(format!("{name}.json"));
        let text =
            fs::read(&path).map_err(|source| CommandError::Read { path: path.clone(), source })?;
        let channel =
            Channel::from_json(&text).map_err(|source| CommandError::Channel { path, source })?;
        Ok(Releases { base, channel })
    }
}

impl Releases {
    /// A version, or the newest.
    pub(super) fn release(&self, version: Option<&str>) -> Result<&Release, CommandError> {
        let releases = &self.channel.releases;
        let found = match version {
            Some(version) => releases.iter().find(|release| release.version == version),
            None => releases.first(),
        };
        found.ok_or_else(|| CommandError::NoVersion {
            channel: self.channel.channel.clone(),
            version: version.unwrap_or("at all").to_owned(),
            there: releases.iter().map(|release| release.version.clone()).collect(),
        })
    }

    /// The manifest of a bundle.
    pub(super) fn manifest(&self, bundle: &Bundle) -> Result<Manifest, CommandError> {
        let path = self.base.join(&bundle.manifest.name);
        let text =
            fs::read(&path).map_err(|source| CommandError::Read { path: path.clone(), source })?;
        let damaged = |reason: String| PrefixError::Damaged { path: path.clone(), reason };
        let found = Digest::of(&text);
        if found != bundle.manifest.sha256 {
            let expected = bundle.manifest.sha256;
            let reason = format!("its SHA-256 is {found}, and {expected} was expected");
            return Err(damaged(reason).into());
        }
        Ok(Manifest::from_json(&text).map_err(|error| damaged(error.to_string()))?)
    }

    /// The bundle of a release that is for this machine.
    pub(super) fn bundle<'a>(&self, release: &'a Release) -> Result<&'a Bundle, CommandError> {
        let os = if cfg!(windows) {
            "win32"
        } else if cfg!(target_os = "macos") {
            "darwin"
        } else {
            "linux"
        };
        let cpu = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        let fits = |bundle: &&Bundle| {
            bundle.platform.os.as_str() == os && bundle.platform.cpu.as_str() == cpu
        };
        release.bundles.iter().find(fits).ok_or_else(|| CommandError::NoBundle {
            version: release.version.clone(),
            there: release.bundles.iter().map(|bundle| bundle.target.to_string()).collect(),
        })
    }
}
