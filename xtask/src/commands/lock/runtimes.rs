//! The runtimes' part of `lock`: who gets which build, and what is pinned of it.

use std::collections::BTreeMap;

use gangway_artifact::Digest;

use super::{LockCommandError, Named, Session};
use crate::config::{Engine, Runtime, RuntimeSource};
use crate::fetch::{Place, Request};
use crate::integrity::Integrity;
use crate::lock::{Companion, Holds, LockedRuntime};
use crate::runtime::{self, Finder, Offer, RuntimeError, Shelf};
use crate::store::PROGRAM;
use crate::target::Target;
use crate::tree::{Node, Tree};

/// The runtimes of all targets that have one: pins that `kept` gives, and new ones for the rest.
pub(super) fn pin(
    session: &Session<'_>,
    targets: &[Target],
    named: Named,
    kept: impl Fn(&Target) -> Option<LockedRuntime>,
) -> Result<Vec<LockedRuntime>, LockCommandError> {
    let mut finder = Finder::new(&session.registry, &session.mirrors);
    let mut pinned = Vec::new();
    let mut groups: BTreeMap<(Engine, &str), Vec<Wish<'_>>> = BTreeMap::new();
    for target in targets {
        let Some(asked) = session.config.runtime(&target.name) else { continue };
        let kept = kept(target);
        let shelf = match &kept {
            Some(kept) => pinned_shelf(kept),
            None if asked.file.is_some() => {
                pinned.push(own_file(session, target, asked)?);
                continue;
            }
            None => session.context.block_on(finder.offers(asked, target)),
        };
        let group = (asked.engine, asked.version.written.as_str());
        groups.entry(group).or_default().push(Wish { target, asked, kept, shelf });
    }
    let mut refused = Vec::new();
    for wishes in groups.into_values() {
        let shelves: Vec<&[Offer]> =
            wishes.iter().map(|wish| wish.shelf.offers.as_slice()).collect();
        let chosen = runtime::choose(&shelves);
        tell(session, &wishes, &chosen);
        for (wish, chosen) in std::iter::zip(wishes, chosen) {
            match (wish.kept, chosen) {
                (Some(kept), _) => pinned.push(kept),
                (None, Some(number)) => {
                    let offer = &wish.shelf.offers[number];
                    pinned.push(lock(session, &mut finder, wish.target, wish.asked, offer)?);
                }
                (None, None) => refused.push(no_match(wish.target, wish.asked, &wish.shelf)),
            }
        }
    }
    match (named, refused.len()) {
        (_, 0) => Ok(pinned),
        (Named::All, _) if !pinned.is_empty() => {
            for error in refused {
                let help = miette::Diagnostic::help(&error).map(|help| format!(" ({help})"));
                let help = help.unwrap_or_default().replace('\n', "; ");
                session.context.reporter.warn(format!("{error}{help}"));
            }
            Ok(pinned)
        }
        (_, 1) => Err(refused.remove(0).into()),
        _ => Err(RuntimeError::Several(refused).into()),
    }
}

/// A target, what is asked for it, and what there is.
struct Wish<'a> {
    target: &'a Target,
    asked: &'a Runtime,
    kept: Option<LockedRuntime>,
    shelf: Shelf,
}

/// A pin that stays is all its target can have: the others are to follow it.
fn pinned_shelf(kept: &LockedRuntime) -> Shelf {
    let version = nodejs_semver::Version::parse(&kept.version).ok();
    let offer = |version| Offer {
        source: RuntimeSource::named(&kept.source).unwrap_or(RuntimeSource::File),
        version,
        archive: kept.archive.clone(),
        integrity: Some(kept.integrity.clone()),
    };
    Shelf { offers: version.map(offer).into_iter().collect(), misses: Vec::new() }
}

/// Says which sources could not be asked, and which targets differ from the others.
fn tell(session: &Session<'_>, wishes: &[Wish<'_>], chosen: &[Option<usize>]) {
    let reporter = &session.context.reporter;
    let mut said: Vec<String> = Vec::new();
    let mut versions: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (wish, chosen) in std::iter::zip(wishes, chosen) {
        let Some(offer) = chosen.and_then(|number| wish.shelf.offers.get(number)) else { continue };
        versions.entry(offer.version.to_string()).or_default().push(wish.target.name.as_str());
        for miss in wish.shelf.misses.iter().filter(|miss| miss.is_failure) {
            let text = format!("{miss}, taken from {} instead", offer.source.as_str());
            if !said.contains(&text) {
                reporter.warn(&text);
                said.push(text);
            }
        }
    }
    if versions.len() > 1 {
        let engine = wishes.first().map_or("", |wish| wish.asked.engine.as_str());
        let parts: Vec<String> = versions
            .iter()
            .map(|(version, targets)| format!("{version} for {}", targets.join(", ")))
            .collect();
        reporter.warn(format!(
            "no version of {engine} is there for every target: {}",
            parts.join("; ")
        ));
    }
}

fn no_match(target: &Target, asked: &Runtime, shelf: &Shelf) -> RuntimeError {
    match target.runtime(asked.engine) {
        Err(error) => error.into(),
        Ok(_) => RuntimeError::NoMatch {
            engine: asked.engine.as_str(),
            target: target.name.clone(),
            range: asked.version.written.clone(),
            tried: shelf.misses.iter().map(ToString::to_string).collect(),
        },
    }
}

/// Pins one build, with everything it needs from elsewhere.
fn lock(
    session: &Session<'_>,
    finder: &mut Finder<'_>,
    target: &Target,
    asked: &Runtime,
    offer: &Offer,
) -> Result<LockedRuntime, LockCommandError> {
    let context = session.context;
    let package = target.runtime(asked.engine).map_err(RuntimeError::from)?;
    let build = package.build(offer.source).expect("it was offered");
    let mut companions = Vec::new();
    if let Some(license) = context.block_on(finder.license(build, &offer.version)) {
        companions.extend(companion(Holds::License, license));
    }
    if let Some(libraries) = context.block_on(finder.libraries(package))? {
        companions.extend(companion(Holds::Libraries, libraries));
    }
    let mut locked = LockedRuntime {
        engine: asked.engine.as_str().to_owned(),
        target: target.name.clone(),
        version: offer.version.to_string(),
        source: offer.source.as_str().to_owned(),
        archive: offer.archive.clone(),
        integrity: context.block_on(finder.digest(asked.engine, offer))?,
        executable: build.executable.clone(),
        sha256: Digest::of([]),
        companions,
    };
    locked.sha256 = session.executable(locked.request(&session.mirrors), &locked.executable)?;
    Ok(locked)
}

fn companion(holds: Holds, offer: Offer) -> Option<Companion> {
    Some(Companion {
        holds,
        source: offer.source.as_str().to_owned(),
        version: offer.version.to_string(),
        archive: offer.archive,
        integrity: offer.integrity?,
    })
}

/// Pins a file of the user's: the executable itself, or an archive laid out like one of the sources'.
fn own_file(
    session: &Session<'_>,
    target: &Target,
    asked: &Runtime,
) -> Result<LockedRuntime, LockCommandError> {
    let package = target.runtime(asked.engine).map_err(RuntimeError::from)?;
    let archive = asked.file.as_ref().expect("it was looked at").value.to_string();
    let path = session.mirrors.file(&archive);
    let unreadable = |source| LockCommandError::File { path: path.clone(), source };
    let file = std::fs::File::open(&path).map_err(unreadable)?;
    let (sha256, _) = Digest::of_reader(file).map_err(unreadable)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(sha256.to_string(), &mut bytes).expect("a digest is hexadecimal");
    let integrity = Integrity::from_sha256(bytes);
    let request = Request {
        what: archive.clone(),
        integrity: integrity.clone(),
        place: Place::File(path.clone()),
    };
    let tree: Tree = session.tree(request)?;
    let builds = [&package.official, &package.npm, &package.pypi];
    let mut places: Vec<String> = std::iter::once(PROGRAM.to_owned())
        .chain(builds.into_iter().flatten().map(|build| build.executable.clone()))
        .collect();
    let found = places.iter().find_map(|place| match tree.get(place) {
        Some(Node::File(source)) => Some((place.clone(), source.sha256)),
        _ => None,
    });
    let Some((executable, sha256)) = found else {
        return Err(LockCommandError::EmptyFile {
            path,
            engine: asked.engine.as_str(),
            target: target.name.to_string(),
            looked_for: places.split_off(1),
        });
    };
    let mut finder = Finder::new(&session.registry, &session.mirrors);
    let libraries = session.context.block_on(finder.libraries(package))?;
    Ok(LockedRuntime {
        engine: asked.engine.as_str().to_owned(),
        target: target.name.clone(),
        version: asked.version.written.clone(),
        source: RuntimeSource::File.as_str().to_owned(),
        archive,
        integrity,
        executable,
        sha256,
        companions: libraries
            .and_then(|offer| companion(Holds::Libraries, offer))
            .into_iter()
            .collect(),
    })
}
