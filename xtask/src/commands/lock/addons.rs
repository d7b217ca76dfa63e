//! The addons' part of `lock`: which packages a binary is downloaded for, on which targets.

use std::collections::{BTreeMap, BTreeSet};

use super::{LockCommandError, Named, Session};
use crate::addons::prebuilt::{self, PrebuiltError, Wish};
use crate::addons::{AddonError, Evidence, NodeAbi, Unreadable};
use crate::closure::{Closure, Origin, Package};
use crate::config::{Addon, Treatment};
use crate::fetch;
use crate::integrity::Integrity;
use crate::lock::{Lock, LockedAddon};
use crate::native::Natives;
use crate::plan::{self, Inputs};
use crate::target::Target;

/// What each package's tarball brings, by the folders of packages in it.
type Known = BTreeMap<Integrity, BTreeMap<String, Evidence>>;

/// The binaries of all targets that the manifest wants downloaded. `lock` has the runtimes, `kept` the pins that may stay.
pub(super) fn pin(
    session: &Session<'_>,
    targets: &[Target],
    named: Named,
    lock: &Lock,
    kept: Option<&Lock>,
) -> Result<Vec<LockedAddon>, LockCommandError> {
    let is_asked = |addon: &&Addon| matches!(addon.treatment, Treatment::Prebuilt { .. });
    let asked: Vec<&Addon> = session.config.addons.iter().filter(is_asked).collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let inputs = Inputs::with(session.config, lock.clone())?;
    let mut known = Known::new();
    let mut wishes = Vec::new();
    for target in targets {
        let speaks = |addon: &&&Addon| asked_of(&addon.package.value, &asked, target).is_some();
        // A target without a runtime was left out, and told.
        let has_runtime = lock.runtime(session.config, target).is_ok()
            && asked.iter().any(|addon| speaks(&addon));
        if has_runtime {
            wishes.extend(of_target(session, &inputs, target, &asked, kept, &mut known)?);
        }
    }
    let pinned = prebuilt::pin(session.context, &session.store, &session.registry, wishes)
        .map_err(AddonError::from)?;
    if pinned.unpublished.lacks.is_empty() {
        return Ok(pinned.pins);
    }
    if named == Named::Each || pinned.pins.is_empty() {
        return Err(AddonError::from(PrebuiltError::Unpublished(pinned.unpublished)).into());
    }
    for line in pinned.unpublished.lines() {
        session.context.reporter.warn(format!(
            "no binary to download of {line}; `action = \"build\"` or `\"omit\"` in its \
             [[addon]] can speak for that target instead"
        ));
    }
    Ok(pinned.pins)
}

/// The table that wants `package` downloaded for `target`.
fn asked_of<'a>(package: &str, asked: &[&'a Addon], target: &Target) -> Option<&'a Addon> {
    asked.iter().copied().find(|addon| addon.is_about(package, target.name.as_str()))
}

/// What one target wishes for: packages that have nothing it can load.
fn of_target<'a>(
    session: &Session<'a>,
    inputs: &Inputs,
    target: &'a Target,
    asked: &[&'a Addon],
    kept: Option<&Lock>,
    known: &mut Known,
) -> Result<Vec<Wish<'a>>, LockCommandError> {
    let closure = plan::production_closure(session.config, inputs, target)?;
    let runtime = inputs.lock.runtime(session.config, target)?;
    let abi = runtime.and_then(|runtime| NodeAbi::of(&runtime.engine, &runtime.version));
    let about = |package: &&Package| asked_of(&package.name, asked, target).is_some();
    let packages: Vec<&Package> = closure.packages.iter().filter(about).collect();
    read(session, inputs, &closure, &packages, known)?;
    let names: BTreeSet<&str> =
        closure.packages.iter().map(|package| package.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut wishes = Vec::new();
    for package in packages {
        let evidence = archive(&closure, package)
            .and_then(|(integrity, folder)| known.get(integrity)?.get(folder));
        let has_one = evidence.is_some_and(|evidence| {
            let mut members = evidence.platform_packages.iter();
            evidence.usable(&target.platform, abi).is_some()
                || members.any(|member| names.contains(member.as_str()))
        });
        if has_one || !seen.insert((&package.name, &package.version)) {
            continue;
        }
        let table = asked_of(&package.name, asked, target);
        wishes.push(Wish {
            target,
            abi,
            name: package.name.clone(),
            version: package.version.clone(),
            path: package.path.clone(),
            evidence: evidence.cloned(),
            host: table.and_then(|table| match &table.treatment {
                Treatment::Prebuilt { host } => host.as_ref(),
                Treatment::Build(_) | Treatment::Omit { .. } => None,
            }),
            kept: kept
                .and_then(|old| old.addon(&package.name, &package.version, &target.name))
                .cloned(),
        });
    }
    Ok(wishes)
}

/// Fetches the tarballs that `packages` lie in and reads what they bring.
fn read(
    session: &Session<'_>,
    inputs: &Inputs,
    closure: &Closure,
    packages: &[&Package],
    known: &mut Known,
) -> Result<(), LockCommandError> {
    let wanted: BTreeSet<&Integrity> = packages
        .iter()
        .filter_map(|package| Some(archive(closure, package)?.0))
        .filter(|integrity| !known.contains_key(*integrity))
        .collect();
    let folder = inputs.lockfile_folder(session.config);
    let mut requests = plan::package_requests(closure, folder);
    requests.retain(|request| wanted.contains(&request.integrity));
    let trees = fetch::all(session.context, &session.store, &session.registry, &requests)?;
    for (integrity, tree) in trees {
        let read = |Unreadable { path, source }| AddonError::Read { path, source };
        known.insert(integrity, Evidence::of(&tree, &Natives::default()).map_err(read)?);
    }
    Ok(())
}

/// The tarball that a package came in, and its folder in there; a folder of the gateway came in none.
fn archive<'a>(closure: &'a Closure, package: &'a Package) -> Option<(&'a Integrity, &'a str)> {
    match &package.origin {
        Origin::Registry { integrity, .. }
        | Origin::Url { integrity, .. }
        | Origin::File { integrity, .. } => Some((integrity, "")),
        Origin::Folder { .. } => None,
        Origin::Bundled => {
            let above = closure.packages.iter().filter(|other| other.origin != Origin::Bundled);
            let carriers =
                above.filter_map(|other| Some((other, package.path.below(other.path.as_str())?)));
            let (carrier, folder) = carriers.min_by_key(|(_, folder)| folder.len())?;
            Some((archive(closure, carrier)?.0, folder))
        }
    }
}
