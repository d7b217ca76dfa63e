//! Whether a channel's metadata can be: what `docs/channel.md` says of each field, and what fields say of each other.

use std::collections::HashSet;

use super::{Bundle, Channel, ChannelError, NamedFile, Release, names};
use crate::{Os, Platform};

/// Every program can count so far.
const LAST_SEQUENCE: u64 = (1 << 53) - 1;
/// No archive is longer, nor what is in it.
const LONGEST_ARCHIVE: u64 = 1 << 40;
/// No manifest is longer: one of a million files has some 150 MB.
const LONGEST_MANIFEST: u64 = 256 << 20;
/// No list of patches is longer, and no program.
const LONGEST_OTHER: u64 = 64 << 20;

/// The first thing that cannot be.
pub(super) fn channel(channel: &Channel) -> Result<(), ChannelError> {
    named("`app`", &channel.app, names::app_fault)?;
    named("`channel`", &channel.channel, names::channel_fault)?;
    if channel.sequence > LAST_SEQUENCE {
        return Err(fault("`sequence`", "it is too large"));
    }
    if channel.releases.is_empty() {
        return Err(fault("`releases`", "there is none"));
    }
    let mut versions = HashSet::new();
    for found in &channel.releases {
        named("`version`", &found.version, names::version_fault)?;
        // Two that differ in case only are one folder on Windows and macOS.
        if !versions.insert(found.version.to_ascii_lowercase()) {
            return Err(fault(&format!("release `{}`", found.version), "it is there twice"));
        }
        release(found)?;
    }
    Ok(())
}

fn release(release: &Release) -> Result<(), ChannelError> {
    let version = &release.version;
    if release.bundles.is_empty() {
        return Err(fault(&format!("release `{version}`"), "it has no bundles"));
    }
    let targets = release.bundles.iter().map(|bundle| bundle.target.as_str());
    sorted(&format!("`bundles` of `{version}`"), targets)?;
    release.bundles.iter().try_for_each(bundle)?;
    for program in &release.installers {
        named("`triple`", &program.triple, names::file_fault)?;
        file(&program.file, "", LONGEST_OTHER)?;
    }
    let triples = release.installers.iter().map(|program| program.triple.as_str());
    sorted(&format!("`installers` of `{version}`"), triples)?;
    let mut files = HashSet::new();
    match release.files().find(|file| !files.insert(file.name.to_ascii_lowercase())) {
        Some(twice) => Err(fault(&format!("`{}`", twice.name), "two files have this name")),
        None => Ok(()),
    }
}

fn bundle(bundle: &Bundle) -> Result<(), ChannelError> {
    let Platform { os, libc, .. } = bundle.platform;
    let place = || format!("bundle `{}`", bundle.target);
    if (os == Os::Linux) != libc.is_some() {
        return Err(fault(&place(), "its platform is not whole: Linux has a `libc`, others none"));
    }
    let disk = bundle.contract.disk;
    if disk.unpacked > LONGEST_ARCHIVE || disk.installed > LONGEST_ARCHIVE {
        return Err(fault(&place(), "its contract asks for more room than there is"));
    }
    file(&bundle.archive, ".tar.zst", LONGEST_ARCHIVE)?;
    file(&bundle.manifest, ".manifest.json", LONGEST_MANIFEST)?;
    match &bundle.patches {
        Some(patches) => file(patches, ".patches.json", LONGEST_OTHER),
        None => Ok(()),
    }
}

fn file(file: &NamedFile, ending: &str, longest: u64) -> Result<(), ChannelError> {
    named("`name`", &file.name, names::file_fault)?;
    let place = format!("`{}`", file.name);
    if !file.name.ends_with(ending) {
        return Err(fault(&place, &format!("its name does not end with `{ending}`")));
    }
    match file.size {
        0 => Err(fault(&place, "it is empty")),
        size if size > longest => Err(fault(
            &place,
            &format!("it is said to have {size} bytes, and {longest} is the most"),
        )),
        _ => Ok(()),
    }
}

fn named(
    field: &str,
    name: &str,
    fault_of: impl Fn(&str) -> Option<&'static str>,
) -> Result<(), ChannelError> {
    match fault_of(name) {
        Some(reason) => Err(fault(&format!("{field} `{}`", name.escape_debug()), reason)),
        None => Ok(()),
    }
}

fn sorted<'a>(place: &str, mut names: impl Iterator<Item = &'a str>) -> Result<(), ChannelError> {
    let mut last = names.next();
    for name in names {
        if last.is_some_and(|last| last >= name) {
            return Err(fault(place, &format!("`{name}` is there twice, or not in order")));
        }
        last = Some(name);
    }
    Ok(())
}

fn fault(place: &str, reason: &str) -> ChannelError {
    ChannelError::Fault { place: place.to_owned(), reason: reason.to_owned() }
}
