//! Which parts of an archive are here, which are under way, and which are next. Only bookkeeping: no bytes, no network.
//!
//! The archive is known in pieces, each of which one request asks for. A piece is filled from its beginning, and has its own place in the scratch file:
//! that is as large as what was fetched, also on file systems that know no holes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The parts of an archive that are wanted.
#[derive(Debug)]
pub(super) struct Pieces {
    /// The archive's length.
    length: u64,
    /// The most bytes of one.
    most: u64,
    /// By their beginning in the archive; they do not overlap.
    list: BTreeMap<u64, Piece>,
    /// How long the scratch file is.
    end: u64,
}

/// A part of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) size: u64,
    /// Where it begins in the scratch file.
    pub(super) place: u64,
    /// How many of its bytes are there.
    pub(super) filled: u64,
    /// Whether a request for it is under way.
    pub(super) is_claimed: bool,
}

/// A piece as it is kept beside the scratch file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Where it begins in the archive.
    pub(super) offset: u64,
    /// Its length.
    pub(super) size: u64,
    /// Where it begins in the scratch file.
    pub(super) place: u64,
    /// How many of its bytes are there.
    pub(super) filled: u64,
}

/// Where bytes of the archive are in the scratch file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) place: u64,
    /// How many there are from there on.
    pub(super) length: u64,
}

/// What becomes of a place in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// Its bytes are there.
    Filled(Spot),
    /// They come, or will: the piece that begins there has them.
    Coming(u64),
    /// Nobody wanted them so far. What is wanted begins here again.
    Unknown(u64),
}

impl Pieces {
    pub(super) fn new(length: u64, most: u64) -> Self {
        Self { length, most: most.max(1), list: BTreeMap::new(), end: 0 }
    }

    /// Takes what an earlier attempt left in a scratch file of that length, if it makes sense.
    pub(super) fn adopt(&mut self, kept: &[Kept], scratch: u64) -> bool {
        let mut list = BTreeMap::new();
        let mut places = Vec::new();
        let (mut end, mut last) = (0, 0);
        for &Kept { offset, size, place, filled } in kept {
            let ends =
                (offset.checked_add(size), place.checked_add(size), place.checked_add(filled));
            let (Some(after), Some(place_after), Some(filled_after)) = ends else { return false };
            if offset < last || size == 0 || filled > size || after > self.length {
                return false;
            }
            if filled_after > scratch && filled > 0 {
                return false;
            }
            last = after;
            end = end.max(place_after);
            places.push((place, place_after));
            list.insert(offset, Piece { size, place, filled, is_claimed: false });
        }
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return false;
        }
        (self.list, self.end) = (list, end);
        true
    }

    /// What is to be kept of them.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let kept = |(offset, piece): (&u64, &Piece)| {
            let Piece { size, place, filled, .. } = *piece;
            Kept { offset: *offset, size, place, filled }
        };
        self.list.iter().map(kept).collect()
    }

    /// Wants the bytes from `start` to `end`. Says how many of those are missing, which were not wanted before.
    pub(super) fn want(&mut self, start: u64, end: u64) -> u64 {
        let end = end.min(self.length);
        let mut position = start;
        let mut added = 0;
        while position < end {
            match self.here(position) {
                Here::Unknown(until) => {
                    let size = until.min(end).saturating_sub(position).min(self.most);
                    let piece = Piece { size, place: self.end, filled: 0, is_claimed: false };
                    self.list.insert(position, piece);
                    self.end += size;
                    position += size;
                    added += size;
                }
                Here::Filled(spot) => position += spot.length,
                Here::Coming(begin) => position = begin + self.list[&begin].size,
            }
        }
        added
    }

    /// What is known of a place before the archive's end.
    pub(super) fn here(&self, position: u64) -> Here {
        if let Some((&begin, piece)) = self.list.range(..=position).next_back() {
            let within = position - begin;
            if within < piece.filled {
                let (place, length) = (piece.place + within, piece.filled - within);
                return Here::Filled(Spot { place, length });
            }
            if within < piece.size {
                return Here::Coming(begin);
            }
        }
        let next = self.list.range(position..).next();
        Here::Unknown(next.map_or(self.length, |(&begin, _)| begin))
    }

    /// Takes a piece to fetch: the first of `urgent` that is not complete, or else the first of all.
    pub(super) fn claim(&mut self, urgent: impl IntoIterator<Item = u64>) -> Option<u64> {
        let is_open = |piece: &Piece| !piece.is_claimed && piece.filled < piece.size;
        let is_open_at = |begin: &u64| self.list.get(begin).is_some_and(is_open);
        let begin = urgent.into_iter().find(is_open_at).or_else(|| {
            let open = self.list.iter().find(|(_, piece)| is_open(piece));
            open.map(|(&begin, _)| begin)
        })?;
        self.list.get_mut(&begin)?.is_claimed = true;
        Some(begin)
    }

    /// How many could be claimed; counted to `most` only.
    pub(super) fn open(&self, most: usize) -> usize {
        let is_open = |piece: &&Piece| !piece.is_claimed && piece.filled < piece.size;
        self.list.values().filter(is_open).take(most).count()
    }

    /// Gives back a piece that was claimed.
    pub(super) fn release(&mut self, begin: u64) {
        if let Some(piece) = self.list.get_mut(&begin) {
            piece.is_claimed = false;
        }
    }

    /// Where the bytes that come at `position` belong: how many of them are there already, and where the others go, up to the piece's end. `None` where
    /// nobody wants them.
    pub(super) fn next(&self, position: u64) -> Option<Next> {
        let (&begin, piece) = self.list.range(..=position).next_back()?;
        let within = position - begin;
        if within >= piece.size {
            return None;
        }
        if within > piece.filled {
            // With a gap before them they cannot be kept.
            return Some(Next { begin, known: piece.size - within, place: 0, room: 0 });
        }
        let known = piece.filled - within;
        Some(Next {
            begin,
            known,
            place: piece.place + piece.filled,
            room: piece.size - piece.filled,
        })
    }

    /// So many bytes more of a piece are there, from `position` on. Says how many are new: another request may have brought them meanwhile.
    pub(super) fn fill(&mut self, begin: u64, position: u64, count: u64) -> u64 {
        match self.list.get_mut(&begin) {
            Some(piece) if begin + piece.filled == position => {
                let new = count.min(piece.size - piece.filled);
                piece.filled += new;
                new
            }
            _ => 0,
        }
    }

    /// Whether a request is under way for a piece that has some of these bytes.
    pub(super) fn is_busy(&self, start: u64, end: u64) -> bool {
        let touched = self.list.range(..end).filter(|(begin, piece)| *begin + piece.size > start);
        touched.into_iter().any(|(_, piece)| piece.is_claimed)
    }

    /// Forgets bytes that are no good. Says how many they were. A piece under way is left alone: it is being filled behind them.
    pub(super) fn reject(&mut self, start: u64, end: u64) -> u64 {
        let touched: Vec<_> = (self.list.range(..end))
            .filter(|(begin, piece)| *begin + piece.size > start)
            .map(|(&begin, &piece)| (begin, piece))
            .collect();
        let mut rejected = 0;
        for (begin, piece) in touched {
            let (from, to) = (start.max(begin), end.min(begin + piece.size));
            let filled_to = begin + piece.filled;
            if piece.is_claimed || filled_to <= from {
                continue;
            }
            rejected += to.min(filled_to) - from;
            self.list.remove(&begin);
            for (from, to, filled) in [
                (begin, from, from - begin),
                (from, to, 0),
                (to, begin + piece.size, filled_to.saturating_sub(to)),
            ] {
                let (size, place) = (to - from, piece.place + (from - begin));
                if size > 0 {
                    self.list.insert(from, Piece { size, place, filled, is_claimed: false });
                }
            }
        }
        rejected
    }

    /// The piece that begins there.
    pub(super) fn get(&self, begin: u64) -> Option<Piece> {
        self.list.get(&begin).copied()
    }

    /// How many bytes are wanted and not there.
    pub(super) fn missing(&self) -> u64 {
        self.list.values().map(|piece| piece.size - piece.filled).sum()
    }

    /// How many bytes are there.
    pub(super) fn present(&self) -> u64 {
        self.list.values().map(|piece| piece.filled).sum()
    }
}

/// Where bytes that come belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    /// The piece.
    pub(super) begin: u64,
    /// How many of them are there already, or cannot be kept.
    pub(super) known: u64,
    /// Where the others go in the scratch file, and how many of them.
    pub(super) place: u64,
    pub(super) room: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: u64 = 200;

    fn fill(pieces: &mut Pieces, scratch: &mut Vec<u8>, begin: u64, count: u64) {
        let piece = pieces.get(begin).expect("it was claimed");
        scratch.resize(scratch.len().max(LENGTH as usize * 2), 0);
        for within in piece.filled..(piece.filled + count).min(piece.size) {
            scratch[(piece.place + within) as usize] = (begin + within) as u8;
        }
        pieces.fill(begin, begin + piece.filled, count);
    }

    /// What is said to be there is there.
    fn check(pieces: &Pieces, scratch: &[u8]) {
        for position in 0..LENGTH {
            if let Here::Filled(spot) = pieces.here(position) {
                for within in 0..spot.length {
                    let byte = scratch[(spot.place + within) as usize];
                    assert_eq!(u64::from(byte), position + within);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_are_where_they_are_said_to_be(
            steps in prop::collection::vec((0..5_u8, 0..LENGTH, 0..60_u64), 1..60),
        ) {
            let mut pieces = Pieces::new(LENGTH, 32);
            let mut scratch = Vec::new();
            let mut claimed = Vec::new();
            for (step, offset, count) in steps {
                match step {
                    0 => drop(pieces.want(offset, offset + count)),
                    1 => claimed.extend(pieces.claim([offset])),
                    2 => if let Some(begin) = claimed.last() {
                        fill(&mut pieces, &mut scratch, *begin, count);
                    },
                    3 => if let Some(begin) = claimed.pop() {
                        pieces.release(begin);
                    },
                    _ => {
                        pieces.reject(offset, offset + count);
                    }
                }
                check(&pieces, &scratch);
                let mut other = Pieces::new(LENGTH, 32);
                prop_assert!(other.adopt(&pieces.kept(), scratch.len() as u64));
                prop_assert_eq!(other.kept(), pieces.kept());
            }
            claimed.into_iter().for_each(|begin| pieces.release(begin));
            pieces.want(0, LENGTH);
            while let Some(begin) = pieces.claim([]) {
                fill(&mut pieces, &mut scratch, begin, 7);
                pieces.release(begin);
            }
            check(&pieces, &scratch);
            prop_assert_eq!((pieces.missing(), pieces.present()), (0, LENGTH));
        }

        #[test]
        fn what_makes_no_sense_is_not_adopted(
            kept in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()), 0..4),
        ) {
            let kept: Vec<_> = kept.into_iter().map(|(offset, size, place, filled)| Kept {
                offset: offset.into(), size: size.into(), place: place.into(), filled: filled.into(),
            }).collect();
            let mut pieces = Pieces::new(LENGTH, 32);
            if pieces.adopt(&kept, 300) {
                let mut end = 0;
                for piece in &kept {
                    prop_assert!(piece.offset >= end && piece.filled <= piece.size);
                    end = piece.offset + piece.size;
                }
                prop_assert!(end <= LENGTH);
            }
        }
    }

    #[test]
    fn the_urgent_first() {
        let mut pieces = Pieces::new(100, 10);
        assert_eq!(pieces.want(0, 50), 50);
        assert_eq!(pieces.want(40, 60), 10);
        assert_eq!(pieces.claim([30]), Some(30));
        assert_eq!(pieces.claim([30]), Some(0));
        assert_eq!(pieces.open(3), 3);
        assert_eq!(pieces.open(10), 4);
        assert_eq!(pieces.here(70), Here::Unknown(100));
    }

    #[test]
    fn a_bad_frame_is_fetched_alone() {
        let mut pieces = Pieces::new(100, 100);
        pieces.want(0, 100);
        let begin = pieces.claim([]).expect("there is one");
        assert_eq!(pieces.fill(begin, 1, 100), 0);
        assert_eq!(pieces.fill(begin, 0, 100), 100);
        assert_eq!(pieces.reject(20, 30), 0, "it is under way");
        assert!(pieces.is_busy(20, 30));
        pieces.release(begin);
        assert!(!pieces.is_busy(20, 30));
        assert_eq!(pieces.reject(20, 30), 10);
        assert_eq!(pieces.missing(), 10);
        assert_eq!(pieces.claim([]), Some(20));
        assert_eq!(pieces.here(35), Here::Filled(Spot { place: 35, length: 65 }));
    }
}
