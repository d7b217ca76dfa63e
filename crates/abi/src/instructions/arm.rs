//! 64-bit ARM: every instruction is four bytes, and which extension it belongs to stands in fixed bits.

use super::certain::{Flow, Stepped};
use super::{Feature, Features, Region, Seen};
use crate::fields::{Endian, u32_at};

/// How many words on both sides must be able to be instructions. Three of sixteen pieces of data cannot.
const CLEAN: usize = 16;

/// How many instructions for vectors of any length must be near each other.
const COMPANY: usize = 5;

/// How far behind a test an instruction still belongs to it.
const GUARDED: usize = 8;

/// Counts what is used from the start of a region to its end.
pub(super) fn sweep(region: Region<'_>, seen: &mut Seen) {
    let words: &[[u8; 4]] = region.bytes.as_chunks().0;
    let word = |at: usize| words.get(at).map(|word| u32::from_le_bytes(*word));
    let mut last_odd = None::<usize>;
    for (at, bytes) in words.iter().enumerate() {
        let code = u32::from_le_bytes(*bytes);
        if is_unallocated(code) {
            last_odd = Some(at);
            continue;
        }
        seen.found.asks |= asks(code);
        let Some(feature) = feature(code) else { continue };
        let is_far = last_odd.is_none_or(|odd| at - odd > CLEAN);
        let mut near = (at + 1..=at + CLEAN).map_while(word);
        if !is_far || near.any(is_unallocated) {
            continue;
        }
        // A vector of any length takes several instructions: to set up its mask, to load, to compute, to go on.
        let is_same = |other: &usize| word(*other).and_then(self::feature) == Some(feature);
        let around = at.saturating_sub(CLEAN)..=at.saturating_add(CLEAN);
        if feature == Feature::Sve && around.filter(is_same).count() < COMPANY {
            continue;
        }
        let features = Features::of(feature);
        let before = (at.saturating_sub(GUARDED)..at).filter_map(word);
        if feature == Feature::Lse && is_guarded(before) {
            seen.count_guarded(features);
        } else {
            seen.count(region.address.wrapping_add(4 * at as u64), features);
        }
    }
}

/// Whether a byte is loaded and tested: that is where it stands whether the processor has the extension.
fn is_guarded(words: impl Iterator<Item = u32>) -> bool {
    let mut loaded = None;
    for code in words {
        // ldrb w, [x, #N]; ldrb w, [x, x]; ldarb
        if code & 0xffc0_0000 == 0x3940_0000
            || code & 0xffe0_0c00 == 0x3860_0800
            || code & 0xffff_fc00 == 0x08df_fc00
        {
            loaded = Some(code & 31);
        }
        // cbz, cbnz; tbz, tbnz
        let is_test = code & 0x7e00_0000 == 0x3400_0000 || code & 0x7e00_0000 == 0x3600_0000;
        if is_test && loaded == Some(code & 31) {
            return true;
        }
    }
    false
}

/// What cannot be an instruction: the groups that are not allocated, and `udf`.
fn is_unallocated(code: u32) -> bool {
    match (code >> 25) & 15 {
        // SME is the upper half of the first group.
        0 => code >> 31 == 0,
        1 | 3 => true,
        _ => false,
    }
}

fn feature(code: u32) -> Option<Feature> {
    if (code >> 25) & 15 == 2 {
        return Some(Feature::Sve);
    }
    let is_ldapr = code & 0x3fff_fc00 == 0x38bf_c000;
    // ldadd, ldclr, ldeor, ldset, ldsmax, ..., swp; then cas, casp
    let is_lse = (code & 0x3f20_8c00 == 0x3820_0000 || code & 0x3f20_fc00 == 0x3820_8000)
        || code & 0x3fa0_7c00 == 0x08a0_7c00
        || code & 0xbfa0_7c00 == 0x0820_7c00;
    // sdot, udot of vectors, and by element
    let is_dot = code & 0x9fe0_fc00 == 0x0e80_9400 || code & 0x9fc0_f400 == 0x0f80_e000;
    match (is_ldapr, is_lse, is_dot) {
        (true, ..) => Some(Feature::Rcpc),
        (_, true, _) => Some(Feature::Lse),
        (.., true) => Some(Feature::DotProduct),
        _ => None,
    }
}

/// `mrs x, id_aa64...`: Linux answers in the kernel's stead.
fn asks(code: u32) -> bool {
    code & 0xffff_f000 == 0xd538_0000
}

/// One instruction, as the walk along what is certain wants it.
pub(super) fn step(bytes: &[u8], address: u64) -> Option<Stepped> {
    let code = u32_at(bytes, 0, Endian::Little).filter(|code| !is_unallocated(*code))?;
    let target = |bits: u32, low: u32| {
        let field = (code >> low) & ((1 << bits) - 1);
        let shift = 32 - bits;
        let distance = i64::from((field << shift).cast_signed() >> shift) * 4;
        address.wrapping_add_signed(distance)
    };
    let flow = if code & 0xfc00_0000 == 0x1400_0000 {
        Flow::Jump(target(26, 0))
    } else if code & 0xfc00_0000 == 0x9400_0000 {
        Flow::Call(target(26, 0))
    } else if code & 0x7e00_0000 == 0x3400_0000 || code & 0xff00_0000 == 0x5400_0000 {
        Flow::Branch(target(19, 5))
    } else if code & 0x7e00_0000 == 0x3600_0000 {
        Flow::Branch(target(14, 5))
    } else if code & 0xfe00_0000 == 0xd600_0000 {
        // br, blr, ret, and their kin with signed pointers: blr has 1 in bits 21 to 23.
        if (code >> 21) & 7 == 1 { Flow::CallElsewhere } else { Flow::End }
    } else if code & 0xffe0_001f == 0xd420_0000 {
        Flow::End // brk
    } else {
        Flow::On
    };
    let (constant, slot) = address_of(code, bytes, address);
    let features = feature(code).map_or(Features::default(), Features::of);
    Some(Stepped { next: address.wrapping_add(4), flow, features, constant, slot })
}

/// `adrp x, page` and what follows: `add x, x, #N` makes an address, `ldr x, [x, #N]` reads from one.
fn address_of(code: u32, bytes: &[u8], address: u64) -> (Option<u64>, Option<u64>) {
    if code & 0x9f00_0000 != 0x9000_0000 {
        return (None, None);
    }
    let pages = (((code >> 5) & 0x7_ffff) << 2) | ((code >> 29) & 3);
    let distance = i64::from((pages << 11).cast_signed() >> 11) * 4096;
    let page = (address & !0xfff).wrapping_add_signed(distance);
    let Some(second) = u32_at(bytes, 4, Endian::Little) else { return (None, None) };
    let (low, is_same) = ((second >> 10) & 0xfff, (second >> 5) & 31 == code & 31);
    let of = |offset: u32| page.checked_add(u64::from(offset));
    match second & 0xffc0_0000 {
        0x9100_0000 if is_same => (of(low), None),
        0xf940_0000 if is_same => (None, of(low * 8)),
        _ => (None, None),
    }
}
