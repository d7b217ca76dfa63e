use proptest::prelude::*;

use super::*;

const BASE: u64 = 0x1000;

fn seen(machine: Machine, bytes: &[u8], start: Option<u64>) -> Instructions {
    let region = Region { address: BASE, bytes };
    let code = Code::new(machine, bytes.len(), [region].into_iter());
    let roots = Roots { start: None, functions: start.into_iter().collect() };
    read(&code, &roots, &|_| None)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

const NOP: u32 = 0xd503_201f;
const RET: u32 = 0xd65f_03c0;
/// `ldadd w0, w1, [x2]`
const LDADD: u32 = 0xb820_0041;
/// `vpaddd ymm0, ymm0, ymm1`, of AVX2.
const VPADDD: [u8; 4] = [0xc5, 0xfd, 0xfe, 0xc1];

#[test]
fn features_of_x86_are_named() {
    for (bytes, feature) in [
        (&VPADDD[..], Feature::Avx2),
        (&[0xf3, 0x0f, 0xb8, 0xc1], Feature::Popcnt),
        (&[0x66, 0x0f, 0x38, 0x17, 0xc0], Feature::Sse41),
        (&[0x62, 0xf1, 0x7d, 0x48, 0xfe, 0xc1], Feature::Avx512),
        (&[0xc4, 0xe2, 0x68, 0xf2, 0xc1], Feature::Bmi1),
        (&[0x66, 0x0f, 0x38, 0xdc, 0xc1], Feature::BeyondLevels),
    ] {
        let found = seen(Machine::X64, bytes, None);
        assert_eq!(found.uses.keys().copied().collect::<Vec<_>>(), [feature], "{bytes:x?}");
        assert_eq!((found.pieces, found.asks), (1, false));
    }
    // `tzcnt` is `bsf` to those who do not know it; `cmpxchg16b`, and what every processor has.
    for bytes in
        [&[0xf3, 0x0f, 0xbc, 0xc1][..], &[0x48, 0x0f, 0xc7, 0x0f], &[0x66, 0x0f, 0xfe, 0xc1]]
    {
        assert_eq!(seen(Machine::X64, bytes, None).uses, BTreeMap::new(), "{bytes:x?}");
    }
    assert!(seen(Machine::X64, &[0x0f, 0xa2], None).asks);
}

#[test]
fn data_among_code_is_none() {
    // `in al, dx` has no place in a program, so what stands near it is not believed.
    let near = [&[0xec][..], &VPADDD, &[0x90; 40]].concat();
    assert_eq!(seen(Machine::X64, &near, None).uses, BTreeMap::new());
    let far = [&[0xec][..], &[0x90; 20], &VPADDD, &[0x90; 20]].concat();
    assert_eq!(seen(Machine::X64, &far, None).uses[&Feature::Avx2].count, 1);
    let arm = |gap: usize| {
        let code = [&[0x0000_0001][..], &vec![NOP; gap], &[LDADD], &[NOP; 20]].concat();
        seen(Machine::Arm64, &words(&code), None).uses
    };
    assert_eq!(arm(2), BTreeMap::new());
    assert_eq!(arm(20)[&Feature::Lse].count, 1);
}

#[test]
fn features_of_arm_are_named() {
    for (code, feature) in [
        (LDADD, Feature::Lse),
        (0xc8e0_7c41, Feature::Lse),        // casa x0, x1, [x2]
        (0x4860_7c82, Feature::Lse),        // caspa x0, x1, x2, x3, [x4]
        (0xb8a0_8041, Feature::Lse),        // swpa w0, w1, [x2]
        (0x38bf_c041, Feature::Rcpc),       // ldaprb w1, [x2]
        (0x4e82_9420, Feature::DotProduct), // sdot v0.4s, v1.16b, v2.16b
    ] {
        let found = seen(Machine::Arm64, &words(&[code]), None);
        assert_eq!(found.uses.keys().copied().collect::<Vec<_>>(), [feature], "{code:x}");
    }
    // ldxr, stxr, ldar, ldrb, ldr q, add
    let plain =
        words(&[0x885f_7c41, 0x8800_7c41, 0x88df_fc41, 0x3940_0041, 0x3cc0_0041, 0x8b01_0000]);
    assert_eq!(seen(Machine::Arm64, &plain, None).uses, BTreeMap::new());
    // One word that could be a vector instruction is an accident; some of them are none.
    let ptrue = 0x2598_e3e0;
    assert_eq!(seen(Machine::Arm64, &words(&[ptrue, NOP, NOP]), None).uses, BTreeMap::new());
    let loops = words(&[ptrue, 0xa540_a000, NOP, 0x2598_e3e1, 0x04a0_e3e0, 0x0420_0000]);
    assert!(seen(Machine::Arm64, &loops, None).uses.contains_key(&Feature::Sve));
}

#[test]
fn outlined_atomics_are_guarded() {
    // adrp x16; ldrb w16, [x16]; cbz w16, +3; ldadd; ret
    let outlined = [0x9000_0010, 0x3940_0210, 0x3400_0070, LDADD, RET];
    let found = seen(Machine::Arm64, &words(&outlined), Some(BASE)).uses[&Feature::Lse];
    assert_eq!((found.count, found.guarded, found.certain), (0, 1, None));
    let bare = seen(Machine::Arm64, &words(&[LDADD, RET]), Some(BASE)).uses[&Feature::Lse];
    assert_eq!((bare.count, bare.guarded, bare.certain), (1, 0, Some(BASE)));
}

#[test]
fn only_what_is_on_every_path_is_certain() {
    let certain = |bytes: &[u8]| {
        seen(Machine::X64, bytes, Some(BASE)).uses[&Feature::Avx2].certain.map(|at| at - BASE)
    };
    let code = |parts: &[&[u8]]| parts.concat();
    // In a row; behind a test; where two paths meet again.
    assert_eq!(certain(&code(&[&[0x55], &VPADDD, &[0xc3]])), Some(1));
    assert_eq!(certain(&code(&[&[0x85, 0xc0, 0x74, 0x04], &VPADDD, &[0xc3]])), None);
    assert_eq!(certain(&code(&[&[0x85, 0xc0, 0x74, 0x01, 0x90], &VPADDD, &[0xc3]])), Some(5));
    // In a function that is called in any case, and in one that is called behind a test.
    let called = |before: &[u8]| {
        let call = [0xe8, 1, 0, 0, 0, 0xc3];
        certain(&code(&[before, &call, &VPADDD, &[0xc3]]))
    };
    assert_eq!(called(&[]), Some(6));
    assert_eq!(called(&[0x85, 0xc0, 0x74, 0x05]), None);
    // Behind a call that does not come back, there is only what fills the room up to the next function.
    let padded = code(&[&[0xe8, 0x20, 0, 0, 0, 0x66, 0x90], &VPADDD, &[0xc3]]);
    assert_eq!(certain(&padded), None);
    // Without an end: as far as the first test.
    assert_eq!(certain(&code(&[&VPADDD, &[0xeb, 0xfa]])), Some(0));
}

#[test]
fn a_program_hands_its_main_function_on() {
    // lea rdi, [rip + 6]; call [rip]; then `main`
    let bytes =
        [&[0x48, 0x8d, 0x3d, 6, 0, 0, 0, 0xff, 0x15, 0, 0, 0, 0][..], &VPADDD, &[0xc3]].concat();
    let region = Region { address: BASE, bytes: &bytes };
    let code = Code::new(Machine::X64, bytes.len(), [region].into_iter());
    let roots = Roots { start: Some(BASE), functions: Vec::new() };
    let found = read(&code, &roots, &|_| None);
    assert_eq!(found.uses[&Feature::Avx2].certain, Some(BASE + 13));
}

#[test]
fn regions_that_overlap_are_no_larger_than_the_file() {
    let bytes = VPADDD.repeat(10);
    let region = Region { address: BASE, bytes: &bytes };
    let code = Code::new(Machine::X64, bytes.len(), std::iter::repeat_n(region, 100));
    assert_eq!(read(&code, &Roots::default(), &|_| None).uses[&Feature::Avx2].count, 10);
}

proptest! {
    #[test]
    fn any_bytes_are_looked_at(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        start in 0_u64..2000,
        address in prop::sample::select(vec![0, BASE, u64::MAX - 100, u64::MAX]),
    ) {
        for machine in [Machine::X64, Machine::Arm64, Machine::Arm] {
            let region = Region { address, bytes: &bytes };
            let code = Code::new(machine, bytes.len(), [region].into_iter());
            let start = Some(address.wrapping_add(start));
            let roots = Roots { start, functions: start.into_iter().collect() };
            let found = read(&code, &roots, &|slot| Some(slot ^ 1));
            prop_assert!(found.uses.values().all(|of| of.pieces <= of.count.max(1)));
        }
    }
}
