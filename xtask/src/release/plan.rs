//! What a channel becomes when a release is added. Nothing here touches a file.

use std::collections::BTreeSet;

use gangway_artifact::trust::{Bundle, CHANNEL_VERSION, Channel, Release};
use gangway_artifact::{Libc, Os, Platform, TargetName};

use super::ReleaseError;
use crate::target::Targets;

/// Which channel of which app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The app.
    pub app: String,
    /// The channel.
    pub channel: String,
}

/// A channel's next state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// What it says.
    pub channel: Channel,
    /// Whether that is something new.
    pub is_new: bool,
    /// Releases it names no longer.
    pub dropped: Vec<Release>,
}

/// The release of `version`: what is published of it already, and `bundles`. A patch that was published stays named.
///
/// # Errors
/// When another bundle is published for a target of one of them.
pub fn release(
    existing: Option<&Channel>,
    app: &str,
    version: &str,
    bundles: Vec<Bundle>,
) -> Result<Release, ReleaseError> {
    let published = published(existing, version);
    let empty =
        || Release { version: version.to_owned(), bundles: Vec::new(), installers: Vec::new() };
    let mut release = published.cloned().unwrap_or_else(empty);
    for bundle in bundles {
        let known = release.bundles.iter().find(|known| known.target == bundle.target);
        match known {
            None => release.bundles.push(bundle),
            Some(known) if known.archive == bundle.archive => {}
            Some(_) => {
                let (app, version) = (app.to_owned(), version.to_owned());
                return Err(ReleaseError::Published { app, version, target: bundle.target });
            }
        }
    }
    release.bundles.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(release)
}

/// The channel with `release` in it, the newest unless it was published before. The sequence number grows if anything changes.
///
/// # Errors
/// When the number that is asked for would not grow.
pub fn publish(
    existing: Option<&Channel>,
    identity: &Identity,
    release: Release,
    sequence: Option<u64>,
    keep: Option<usize>,
) -> Result<Publication, ReleaseError> {
    let mut releases = existing.map(|channel| channel.releases.clone()).unwrap_or_default();
    match releases.iter_mut().find(|known| known.version == release.version) {
        Some(known) => *known = release,
        None => releases.insert(0, release),
    }
    let dropped = releases.split_off(keep.unwrap_or(usize::MAX).clamp(1, releases.len()));
    let last = existing.map(|channel| channel.sequence);
    let is_new = existing.is_none_or(|channel| channel.releases != releases);
    let sequence = match (sequence, last) {
        (Some(given), Some(last)) if given < last || (given == last && is_new) => {
            return Err(ReleaseError::Sequence { given, last });
        }
        (Some(given), _) => given,
        (None, Some(last)) => last + u64::from(is_new),
        (None, None) => 1,
    };
    let channel = Channel {
        version: CHANNEL_VERSION,
        app: identity.app.clone(),
        channel: identity.channel.clone(),
        sequence,
        releases,
    };
    let is_new = is_new || Some(sequence) != last;
    Ok(Publication { channel, is_new, dropped })
}

/// The release that machines have who come to `version`: the one before it, with that target's bundle.
#[must_use]
pub fn before<'a>(
    existing: Option<&'a Channel>,
    version: &str,
    target: &TargetName,
) -> Option<&'a Bundle> {
    let releases = &existing?.releases;
    let own = releases.iter().position(|release| release.version == version);
    let older = own.map_or(0, |own| own + 1);
    releases[older..]
        .iter()
        .find_map(|release| release.bundles.iter().find(|bundle| bundle.target == *target))
}

/// The channel's newest version, if `version` is an older one: people would go back to it.
#[must_use]
pub fn is_older(existing: Option<&Channel>, version: &str) -> Option<String> {
    let newest = &existing?.releases.first()?.version;
    let read = |version: &str| nodejs_semver::Version::parse(version).ok();
    (read(version)? < read(newest)?).then(|| newest.clone())
}

/// A kind of machine that a release has bundles for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine {
    /// The triple of its installer.
    pub triple: String,
    /// What the scripts find out: `linux-x64`, `macos-arm64`, `windows-x64`.
    pub name: String,
}

/// The kinds of machines, sorted by triple. C libraries do not count: the installer is linked statically.
///
/// # Errors
/// When no target describes such a machine.
pub fn machines(release: &Release, targets: &Targets) -> Result<Vec<Machine>, ReleaseError> {
    let platforms = release.bundles.iter().map(|bundle| bundle.platform);
    let machines: Result<BTreeSet<_>, _> =
        platforms.map(|platform| machine(platform, targets)).collect();
    Ok(machines?.into_iter().collect())
}

fn machine(Platform { os, cpu, .. }: Platform, targets: &Targets) -> Result<Machine, ReleaseError> {
    let is_static = |platform: Platform| matches!(platform.libc, None | Some(Libc::Musl));
    let triple = targets
        .iter()
        .find(|target| {
            (target.platform.os, target.platform.cpu) == (os, cpu) && is_static(target.platform)
        })
        .map(|target| target.triple().to_owned())
        .ok_or(ReleaseError::NoTriple { os: os.as_str(), cpu: cpu.as_str() })?;
    let word = match os {
        Os::Linux => "linux",
        Os::Darwin => "macos",
        Os::Win32 => "windows",
    };
    Ok(Machine { triple, name: format!("{word}-{}", cpu.as_str()) })
}

/// What is published of `version`.
#[must_use]
pub fn published<'a>(existing: Option<&'a Channel>, version: &str) -> Option<&'a Release> {
    existing?.releases.iter().find(|release| release.version == version)
}
