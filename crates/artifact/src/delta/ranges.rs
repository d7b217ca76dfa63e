//! Which frames are asked for together.
//!
//! One request takes one range: many a file server knows no more. A request costs time in which bytes could have come, so frames that are near each
//! other are asked for together, with what lies between them. What is between two wanted frames is decided on its own, so taking every
//! gap that is cheaper than a request is the cheapest way there is.

use std::collections::BTreeSet;
use std::ops;

use crate::Frames;

/// What fetching costs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// How many bytes could have come in the time that one request more takes.
    pub request: u64,
}

impl Default for Costs {
    /// A round trip of 50 ms at 40 Mbit/s is 250 KB; four requests are under way at a time, as every client does it. The frames of a bundle have half a
    /// megabyte and more, mostly, so that anything from 20 KB to 500 KB gives the same plans.
    fn default() -> Self {
        Self { request: 64 << 10 }
    }
}

impl Costs {
    /// What fetching `ranges` costs.
    #[must_use]
    pub fn of(self, ranges: &[Range]) -> u64 {
        ranges.iter().map(|range| self.request + range.size).sum()
    }
}

/// A part of an archive that is asked for at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub size: u64,
    /// The frames in it, by index.
    pub frames: ops::Range<usize>,
    /// How many of its bytes nobody wants.
    pub unwanted: u64,
}

/// The cheapest ranges that have all `wanted` frames.
pub(super) fn coalesce(
    frames: &Frames<'_>,
    wanted: impl IntoIterator<Item = usize>,
    costs: Costs,
) -> Vec<Range> {
    let wanted: BTreeSet<usize> = wanted.into_iter().collect();
    let mut ranges: Vec<Range> = Vec::new();
    for index in wanted {
        let frame = frames.list()[index];
        match ranges.last_mut() {
            Some(last) if frame.offset - (last.offset + last.size) <= costs.request => {
                last.unwanted += frame.offset - (last.offset + last.size);
                last.size = frame.offset + frame.size - last.offset;
                last.frames.end = index + 1;
            }
            _ => ranges.push(Range {
                offset: frame.offset,
                size: frame.size,
                frames: index..index + 1,
                unwanted: 0,
            }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Digest, Frame, Manifest};

    /// The cheapest cost of all ways to put `wanted` together.
    fn cheapest(frames: &[Frame], wanted: &[usize], costs: Costs) -> u64 {
        let borders = wanted.len().saturating_sub(1);
        let cost = |splits: u32| {
            let mut total = 0;
            let mut first = 0;
            for last in 0..wanted.len() {
                if last == borders || splits >> last & 1 == 1 {
                    let (from, to) = (frames[wanted[first]], frames[wanted[last]]);
                    total += costs.request + to.offset + to.size - from.offset;
                    first = last + 1;
                }
            }
            total
        };
        (0..1_u32 << borders).map(cost).min().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_other_ranges_are_cheaper(
            sizes in prop::collection::vec((1..100_u64, any::<bool>()), 1..12),
            request in 0..150_u64,
        ) {
            let mut offset = 0;
            let frames: Vec<_> = sizes.iter().map(|(size, _)| {
                offset += size;
                Frame { offset: offset - size, size: *size, plain: 1, sha256: Digest::of("") }
            }).collect();
            let wanted: Vec<usize> = (0..sizes.len()).filter(|index| sizes[*index].1).collect();
            let manifest = Manifest { frames: frames.clone(), ..crate::manifest::tests::smallest() };
            let costs = Costs { request };
            let ranges = coalesce(&Frames::of(&manifest).expect("they fit"), wanted.clone(), costs);

            let apart: u64 = wanted.iter().map(|index| costs.request + frames[*index].size).sum();
            prop_assert!(costs.of(&ranges) <= apart);
            prop_assert_eq!(costs.of(&ranges), cheapest(&frames, &wanted, costs));
            let covered: Vec<usize> = ranges.iter().flat_map(|range| range.frames.clone()).collect();
            prop_assert!(wanted.iter().all(|index| covered.contains(index)));
            for range in &ranges {
                let size: u64 = range.frames.clone().map(|index| frames[index].size).sum();
                let unwanted: u64 = range.frames.clone()
                    .filter(|index| !wanted.contains(index)).map(|index| frames[index].size).sum();
                prop_assert_eq!((range.offset, range.size, range.unwanted),
                    (frames[range.frames.start].offset, size, unwanted));
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].frames.end < pair[1].frames.start));
        }
    }
}
