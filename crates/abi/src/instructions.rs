//! Which instructions a file holds that not every processor has, and what is known of when they run.
//!
//! Three things are looked for. All code is swept from its start to its end ([`x86`], [`arm`]); what lies among code
//! without being any gives itself away by instructions that no program has, and nothing near those is counted. Then
//! signs that the file asks which processor it runs on. Last, whatever runs in any case ([`certain`]): from where the
//! system enters the file, along calls, on every path. The first two are signs; an instruction that was found the
//! third way is met by every processor that loads the file.
//!
//! Some are left out, since every processor that a 64-bit system of today starts on has them or does no harm without:
//! `cmpxchg16b`, `lahf`, `rdtscp`, `prefetchw`, and `tzcnt`, which others take for `bsf`.

mod arm;
mod certain;
mod features;
mod x86;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use features::Feature;
pub(crate) use features::Features;

use crate::facts::Machine;

/// More sections with code than any real binary has.
const MAX_REGIONS: usize = 256;

/// Code is counted in pieces of this many bytes.
const PIECE: u64 = 4096;

/// What was seen in a file's code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// How much code was looked at, in pieces of 4 KiB; 0 where there is none, or none of a processor that is known.
    pub pieces: u32,
    /// What it uses that not every processor has.
    pub uses: BTreeMap<Feature, Use>,
    /// Whether there is an instruction that tells which processor it is (`cpuid`, `mrs x0, id_aa64isar0_el1`).
    pub asks: bool,
}

/// The instructions of one feature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// How many.
    pub count: u32,
    /// In how many pieces of the code.
    pub pieces: u32,
    /// How many others stand right behind a test that leads around them: outlined atomics, and what Go makes of them.
    pub guarded: u32,
    /// The address of the first one that runs whenever the file is loaded or started.
    pub certain: Option<u64>,
}

/// Code, where it is in memory.
#[derive(Clone, Copy)]
pub(crate) struct Region<'a> {
    pub(crate) address: u64,
    pub(crate) bytes: &'a [u8],
}

/// The code of a file.
pub(crate) struct Code<'a> {
    machine: Machine,
    regions: Vec<Region<'a>>,
}

/// Where the system enters a file.
#[derive(Default)]
pub(crate) struct Roots {
    /// The first function of a program, which hands others on to the C library.
    pub(crate) start: Option<u64>,
    /// Functions that are called when the file is loaded.
    pub(crate) functions: Vec<u64>,
}

impl<'a> Code<'a> {
    /// Regions that overlap are counted once: together they are no larger than the file.
    pub(crate) fn new(
        machine: Machine,
        size: usize,
        regions: impl Iterator<Item = Region<'a>>,
    ) -> Self {
        let mut left = size;
        let mut regions: Vec<Region<'a>> = regions
            .filter(|region| !region.bytes.is_empty())
            .take(MAX_REGIONS)
            .map_while(|region| {
                left = left.checked_sub(region.bytes.len())?;
                Some(region)
            })
            .collect();
        regions.sort_by_key(|region| region.address);
        Self { machine, regions }
    }

    /// The bytes from an address to the end of its region.
    fn at(&self, address: u64) -> Option<&'a [u8]> {
        let after = self.regions.partition_point(|region| region.address <= address);
        let region = self.regions.get(after.checked_sub(1)?)?;
        let within = usize::try_from(address - region.address).ok()?;
        region.bytes.get(within..).filter(|rest| !rest.is_empty())
    }
}

/// Reads a file's code. `pointer` says what the loader writes to an address.
pub(crate) fn read(
    code: &Code<'_>,
    roots: &Roots,
    pointer: &dyn Fn(u64) -> Option<u64>,
) -> Instructions {
    let mut seen = Seen::default();
    let step: certain::Step = match code.machine {
        Machine::X64 => {
            code.regions.iter().for_each(|region| x86::sweep(*region, &mut seen));
            x86::step
        }
        Machine::Arm64 => {
            code.regions.iter().for_each(|region| arm::sweep(*region, &mut seen));
            arm::step
        }
        _ => return Instructions::default(),
    };
    let mut found = seen.found;
    let size: u64 = code.regions.iter().map(|region| region.bytes.len() as u64).sum();
    found.pieces = u32::try_from(size.div_ceil(PIECE)).unwrap_or(u32::MAX);
    if !found.uses.is_empty() {
        for (feature, address) in certain::find(code, roots, step, pointer) {
            found.uses.entry(feature).or_default().certain = Some(address);
        }
    }
    found
}

/// What a sweep has seen so far.
#[derive(Default)]
struct Seen {
    found: Instructions,
    /// The piece that each feature was last seen in.
    last: BTreeMap<Feature, u64>,
}

impl Seen {
    fn count(&mut self, address: u64, features: Features) {
        for feature in features.iter() {
            let of = self.found.uses.entry(feature).or_default();
            of.count = of.count.saturating_add(1);
            if self.last.insert(feature, address / PIECE) != Some(address / PIECE) {
                of.pieces = of.pieces.saturating_add(1);
            }
        }
    }

    fn count_guarded(&mut self, features: Features) {
        for feature in features.iter() {
            let of = self.found.uses.entry(feature).or_default();
            of.guarded = of.guarded.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
