//! The bundles that may be the one, the best first, before anything is asked of the machine but what kind it is.

use gangway_artifact::trust::Bundle;
use gangway_artifact::{Fact, L4tRange, Need, TargetName, Version};

use super::super::{Kind, Machine};
use super::refusal::{Refusal, reason, words};

/// A bundle that may be the one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) kind: Kind,
}

/// The one that was asked for. Its release of L4T is the user's word.
pub(super) fn named<'a>(
    bundles: &'a [Bundle],
    machine: &Machine,
    target: &TargetName,
    is_forced: bool,
) -> Result<Candidate<'a>, Refusal> {
    let bundle = bundles.iter().find(|bundle| bundle.target == *target);
    let bundle = bundle
        .ok_or_else(|| Refusal::Target { target: target.clone(), targets: targets(bundles) })?;
    let own = match &machine.host.platform {
        Fact::Is(platform) => platform,
        Fact::Absent | Fact::Unknown if is_forced => {
            return Ok(Candidate { bundle, kind: Kind::Same });
        }
        Fact::Absent | Fact::Unknown => return Err(Refusal::Machine { targets: targets(bundles) }),
    };
    match (kind(bundle, machine), is_forced) {
        (Some(kind), _) => Ok(Candidate { bundle, kind }),
        (None, true) => Ok(Candidate { bundle, kind: Kind::Same }),
        (None, false) => Err(Refusal::OtherPlatform {
            target: target.clone(),
            platform: words(&bundle.platform),
            machine: words(own),
        }),
    }
}

/// Those that may be the one, the best first; never none.
pub(super) fn candidates<'a>(
    bundles: &'a [Bundle],
    machine: &Machine,
) -> Result<Vec<Candidate<'a>>, Refusal> {
    let own = match &machine.host.platform {
        Fact::Is(platform) => platform,
        Fact::Absent | Fact::Unknown => return Err(Refusal::Machine { targets: targets(bundles) }),
    };
    let fitting = bundles
        .iter()
        .filter_map(|bundle| Some(Candidate { bundle, kind: kind(bundle, machine)? }));
    let (for_jetsons, plain): (Vec<_>, Vec<_>) =
        fitting.partition(|candidate| releases(candidate.bundle).is_some());
    let for_this = match (&machine.host.l4t, for_jetsons.is_empty()) {
        (Fact::Absent, _) | (_, true) => Vec::new(),
        (l4t, false) => for_release(l4t, &for_jetsons, &plain)?,
    };
    if for_this.is_empty() && plain.is_empty() {
        return Err(Refusal::Platform {
            platform: words(own),
            reason: reason(own, machine),
            targets: targets(bundles),
        });
    }
    let mut candidates = sorted(&for_this);
    candidates.extend(sorted(&plain));
    Ok(candidates)
}

/// Those for the Jetson's release.
fn for_release<'a>(
    l4t: &Fact<Version>,
    for_jetsons: &[Candidate<'a>],
    plain: &[Candidate<'a>],
) -> Result<Vec<Candidate<'a>>, Refusal> {
    let found = match l4t {
        Fact::Is(release) => Some(release),
        Fact::Absent | Fact::Unknown => None,
    };
    let is_for = |candidate: &&Candidate<'a>| {
        let range = releases(candidate.bundle);
        found.zip(range).is_some_and(|(release, range)| range.contains(release))
    };
    let for_this: Vec<_> = for_jetsons.iter().filter(is_for).copied().collect();
    if !for_this.is_empty() {
        return Ok(for_this);
    }
    let range = |candidate: &Candidate<'a>| {
        Some((candidate.bundle.target.clone(), releases(candidate.bundle)?.clone()))
    };
    Err(Refusal::L4t {
        found: found.cloned(),
        ranges: for_jetsons.iter().filter_map(range).collect(),
        generic: plain.first().map(|candidate| candidate.bundle.target.clone()),
    })
}

/// The releases of L4T that a bundle is for.
fn releases(bundle: &Bundle) -> Option<&L4tRange> {
    let needed = bundle.contract.nvidia.as_ref().and_then(|nvidia| nvidia.l4t.as_ref());
    bundle.l4t.as_ref().or(needed)
}

/// How they go together; one that brings nothing of a C library and asks for none does with any.
fn kind(bundle: &Bundle, machine: &Machine) -> Option<Kind> {
    let contract = &bundle.contract;
    let is_static =
        contract.glibc.is_none() && contract.musl.is_none() && contract.libraries.is_empty();
    match machine.kind_of(&bundle.platform) {
        Kind::Foreign if is_static && machine.is_alike(&bundle.platform) => Some(Kind::OtherLibc),
        Kind::Foreign => None,
        kind => Some(kind),
    }
}

/// The best fit first, then what asks for most, then by name.
fn sorted<'a>(candidates: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let needs: Vec<Vec<Need>> =
        candidates.iter().map(|candidate| needs(candidate.bundle)).collect();
    let holds = |one: &[Need], other: &[Need]| {
        other.iter().all(|need| one.iter().any(|holds| need.follows_from(holds)))
    };
    let score = |at: usize| {
        let below =
            needs.iter().filter(|other| holds(&needs[at], other) && !holds(other, &needs[at]));
        std::cmp::Reverse(below.count())
    };
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|at| {
        (candidates[*at].kind, score(*at), candidates[*at].bundle.target.clone())
    });
    order.into_iter().map(|at| candidates[at]).collect()
}

/// What it asks for, its releases of L4T too. Room on the disk says nothing about how near it is.
fn needs(bundle: &Bundle) -> Vec<Need> {
    let needs = bundle.contract.needs().into_iter();
    let needs = needs.filter(|need| !matches!(need, Need::Disk(_) | Need::L4t(_)));
    needs.chain(releases(bundle).cloned().map(Need::L4t)).collect()
}

fn targets(bundles: &[Bundle]) -> Vec<TargetName> {
    bundles.iter().map(|bundle| bundle.target.clone()).collect()
}
