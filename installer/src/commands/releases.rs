//! The releases that a channel offers, and where their files are.

use gangway_artifact::trust::{Channel, MOST_BYTES, Release};

use super::{CommandError, Run};
use crate::fetch::{BASE_URL, Depot, Place, Settings};
use crate::prefix::Layout;
use crate::prefix::state::State;

/// An open channel.
#[derive(Debug)]
pub(super) struct Releases {
    /// Where its files are.
    pub(super) depot: Depot,
    /// What it offers.
    pub(super) channel: Channel,
}

/// The channel that is followed unless another one is named.
const USUAL_CHANNEL: &str = "stable";

impl Run<'_> {
    /// Where releases come from: what the command line says, the environment, what is installed, or the folder that this program lies in, as
    /// on a USB stick.
    fn place(&self, named: Option<&str>, state: Option<&State>) -> Result<Place, CommandError> {
        let variable = self.context.variable(BASE_URL);
        let beside = || {
            let folder = self.context.executable.parent()?;
            folder.join(format!("{USUAL_CHANNEL}.json")).is_file().then_some(folder.as_str())
        };
        let text = named.or(variable).or(state.map(|state| state.base.as_str())).or_else(beside);
        let text = text.ok_or(CommandError::NoBase)?;
        Ok(match Place::parse(text, &self.context.current_dir)? {
            // It is kept for later, when the current folder is another one.
            Place::Folder(path) => Place::Folder(self.absolute(&path)),
            web @ Place::Web(_) => web,
        })
    }

    /// Opens a channel: the one that is named, or followed already.
    pub(super) fn releases(
        &self,
        base: Option<&str>,
        channel: Option<&str>,
        state: Option<&State>,
    ) -> Result<Releases, CommandError> {
        let place = self.place(base, state)?;
        let name = channel.or(state.map(|state| state.channel.as_str())).unwrap_or(USUAL_CHANNEL);
        let depot = Depot::open(self.context, place, Settings::of(self.context))?;
        let file = format!("{name}.json");
        let text = depot.read(&file, MOST_BYTES, &self.reporter.progress("reading"))?;
        let read = Channel::from_json(&text).and_then(|channel| {
            channel.expect_name(name)?;
            Ok(channel)
        });
        let channel = read.map_err(|source| CommandError::Channel { file, source })?;
        Ok(Releases { depot, channel })
    }
}

impl Releases {
    /// Looks whether the channel may be followed from what is installed.
    pub(super) fn check(
        &self,
        before: Option<&State>,
        layout: &Layout,
        is_forced: bool,
    ) -> Result<(), CommandError> {
        let Some(before) = before else { return Ok(()) };
        let channel = &self.channel;
        if channel.app != before.app {
            let (found, expected) = (channel.app.clone(), before.app.clone());
            let prefix = layout.prefix().to_owned();
            return Err(CommandError::OtherApp { found, expected, prefix });
        }
        let is_same = channel.channel == before.channel;
        if is_same && !is_forced && channel.newer_than(before.sequence).is_err() {
            let (found, seen) = (channel.sequence, before.sequence);
            return Err(CommandError::Rewound { found, seen });
        }
        Ok(())
    }

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

    /// Whether it is the newest there is.
    pub(super) fn is_newest(&self, release: &Release) -> bool {
        self.channel.releases.first() == Some(release)
    }
}
