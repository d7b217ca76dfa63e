//! Reads the constant that a function returns.
//!
//! `node_api_module_get_api_version_v1` returns a number and does nothing else, so what compilers make of it is a frame,
//! or none, and a constant. Instructions of a frame are passed over by name; anything else is not guessed at.

use crate::facts::Machine;
use crate::fields::{Endian, u16_at, u32_at};

/// More instructions than a frame has.
const MAX_INSTRUCTIONS: usize = 16;

/// The number that the function at `start` returns.
pub(super) fn constant(bytes: &[u8], start: usize, machine: Machine) -> Option<u32> {
    match machine {
        Machine::X64 | Machine::X86 => x86(bytes, start, true),
        Machine::Arm64 => arm64(bytes, start),
        // Which of its two instruction sets a function is in does not matter: no code of one is meaningful in the other.
        Machine::Arm => arm(bytes, start).or_else(|| thumb(bytes, start)),
        _ => None,
    }
}

/// `mov eax, N; ret`, maybe in a frame, maybe behind the jump that an incremental link leaves.
fn x86(bytes: &[u8], start: usize, may_jump: bool) -> Option<u32> {
    const FRAME: [&[u8]; 12] = [
        &[0xf3, 0x0f, 0x1e, 0xfa], // endbr64
        &[0xf3, 0x0f, 0x1e, 0xfb], // endbr32
        &[0x48, 0x89, 0xe5],       // mov rbp, rsp
        &[0x48, 0x8b, 0xec],       // the same
        &[0x89, 0xe5],             // mov ebp, esp
        &[0x8b, 0xec],             // the same
        &[0x40, 0x57],             // push rdi
        &[0x57],
        &[0x5f], // pop rdi
        &[0x55], // push rbp
        &[0x5d], // pop rbp
        &[0xc9], // leave
    ];
    let mut code = bytes.get(start..)?;
    if may_jump && code.first() == Some(&0xe9) {
        let distance = isize::try_from(u32_at(code, 1, Endian::Little)?.cast_signed()).ok()?;
        return x86(bytes, start.checked_add(5)?.checked_add_signed(distance)?, false);
    }
    let mut value = None;
    for _ in 0..MAX_INSTRUCTIONS {
        code = match code {
            // mov eax, imm32
            [0xb8, rest @ ..] => {
                value = Some(u32_at(rest, 0, Endian::Little)?);
                rest.get(4..)?
            }
            // push imm8; pop rax
            [0x6a, small, 0x58, rest @ ..] if *small < 0x80 => {
                value = Some(u32::from(*small));
                rest
            }
            [0xc3 | 0xc2, ..] => return value,
            _ => FRAME.iter().find_map(|instruction| code.strip_prefix(*instruction))?,
        };
    }
    None
}

/// `mov w0, #N; ret`, maybe in a frame.
fn arm64(bytes: &[u8], start: usize) -> Option<u32> {
    const RET: u32 = 0xd65f_03c0;
    let is_frame = |code: u32| {
        let on_stack = (code >> 5) & 31 == 31;
        // bti, paciasp and other hints
        code & 0xffff_f01f == 0xd503_201f
            // stp, ldp on the stack, in all three forms of addressing
            || (code & 0xfe00_0000 == 0xa800_0000 && on_stack)
            // str, ldr on the stack
            || (code & 0xffa0_0000 == 0xf800_0000 && on_stack)
            || (code & 0xff80_0000 == 0xf900_0000 && on_stack)
            // add, sub of the stack pointer or the frame pointer into one of them
            || (code & 0xbf80_0000 == 0x9100_0000 && (code >> 5) & 31 >= 29 && code & 31 >= 29)
    };
    let mut value = None;
    for number in 0..MAX_INSTRUCTIONS {
        let code = u32_at(bytes, start.checked_add(4 * number)?, Endian::Little)?;
        let operand = || ((code >> 5) & 0xffff) << (16 * ((code >> 21) & 1));
        match code {
            RET => return value,
            _ if code & 0xffc0_001f == 0x5280_0000 => value = Some(operand()), // movz w0
            _ if code & 0xffc0_001f == 0x1280_0000 => value = Some(!operand()), // movn w0
            _ if is_frame(code) => {}
            _ => return None,
        }
    }
    None
}

/// `mov r0, #N; bx lr`, maybe in a frame.
fn arm(bytes: &[u8], start: usize) -> Option<u32> {
    let is_frame = |code: u32| {
        // push, pop
        code & 0xffff_0000 == 0xe92d_0000 || code & 0xffff_8000 == 0xe8bd_0000
            // str fp, [sp, #-4]!; ldr fp, [sp], #4
            || matches!(code, 0xe52d_b004 | 0xe49d_b004)
            // add fp, sp, #N; add sp, fp, #N; sub sp, fp, #N
            || matches!(code & 0xffff_ff00, 0xe28d_b000 | 0xe28b_d000 | 0xe24b_d000)
    };
    let mut value = None;
    for number in 0..MAX_INSTRUCTIONS {
        let code = u32_at(bytes, start.checked_add(4 * number)?, Endian::Little)?;
        let operand = || (code & 0xff).rotate_right(2 * ((code >> 8) & 15));
        match code {
            0xe12f_ff1e => return value,                            // bx lr
            _ if code & 0xffff_8000 == 0xe8bd_8000 => return value, // pop {..., pc}
            _ if code & 0xffff_f000 == 0xe3a0_0000 => value = Some(operand()),
            _ if code & 0xffff_f000 == 0xe3e0_0000 => value = Some(!operand()),
            _ if is_frame(code) => {}
            _ => return None,
        }
    }
    None
}

/// The same in the shorter instruction set; unoptimised code takes the way over `r3`.
fn thumb(bytes: &[u8], start: usize) -> Option<u32> {
    let (mut value, mut other) = (None, None);
    let mut place = start;
    for _ in 0..MAX_INSTRUCTIONS {
        let code = u16_at(bytes, place, Endian::Little)?;
        place = place.checked_add(2)?;
        match code {
            0x4770 => return value,                                               // bx lr
            _ if code & 0xff00 == 0xbd00 => return value,                         // pop {..., pc}
            _ if code & 0xff00 == 0x2000 => value = Some(u32::from(code & 0xff)), // movs r0
            _ if code & 0xff00 == 0x2300 => other = Some(u32::from(code & 0xff)), // movs r3
            0x4618 => value = other,                                              // mov r0, r3
            0xaf00 | 0x466f | 0x46bd => {} // mov r7, sp; mov sp, r7
            _ if matches!(code & 0xff00, 0xb400 | 0xb500 | 0xbc00) => {} // push, pop
            // ldr r7, [sp], #4
            0xf85d if u16_at(bytes, place, Endian::Little)? == 0x7b04 => {
                place = place.checked_add(2)?;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hexadecimal digits, as a disassembler prints them.
    fn code(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| {
            std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
        };
        digits.chunks(2).map(|pair| byte(pair).expect("digits")).collect()
    }

    /// The comments name the published addon that the code is from.
    #[test]
    fn reads_what_compilers_make_of_it() {
        for (machine, text, value) in [
            (Machine::X64, "b809000000 c3", 9), // sharp
            (Machine::X64, "f30f1efa b80a000000 c3", 10),
            (Machine::X64, "554889e5 b808000000 5d c3", 8),
            (Machine::X64, "4057 b808000000 5f c3", 8), // lmdb, Windows
            (Machine::X64, "6a08 58 c3", 8),
            (Machine::X64, "e902000000 cccc b8ffffff7f c3", 0x7fff_ffff),
            (Machine::X86, "5589e5 b809000000 5dc3", 9),
            (Machine::Arm64, "20018052 c0035fd6", 9),
            (Machine::Arm64, "5f2403d5 00018052 c0035fd6", 8),
            (Machine::Arm64, "0000b012 c0035fd6", 0x7fff_ffff), // koffi
            (Machine::Arm64, "fd7bbfa9 fd030091 00018052 fd7bc1a8 c0035fd6", 8),
            // lmdb, Windows
            (
                Machine::Arm64,
                "fd7bbda9 f45701a9 f61300f9 fd030091 00018052 bf030091 f61340f9 f45741a9 fd7bc3a8 \
                 c0035fd6",
                8,
            ),
            (Machine::Arm, "00482de9 0900a0e3 04b08de2 0088bde8", 9), // sharp
            (Machine::Arm, "0201e0e3 1eff2fe1", 0x7fff_ffff),         // koffi
            (Machine::Arm, "04b02de5 0300a0e3 00b08de2 00d08be2 04b09de4 1eff2fe1", 3), // classic-level
            (Machine::Arm, "0820 7047", 8),
            (Machine::Arm, "80b4 00af 0823 1846 bd46 5df8047b 7047", 8), // lmdb
            (Machine::Arm, "0a20 80b4 00af bd46 80bc 7047", 10),         // argon2
            (Machine::Arm, "80b5 6f46 0920 80bd", 9),                    // sodium-native
        ] {
            assert_eq!(constant(&code(text), 0, machine), Some(value), "{machine:?} {text}");
        }
    }

    #[test]
    fn guesses_at_nothing_else() {
        for (machine, text) in [
            (Machine::X64, ""),
            (Machine::X64, "b8090000"),
            (Machine::X64, "b809000000 90"),
            (Machine::X64, "8b0510000000 c3"),
            (Machine::X64, "c3"),
            (Machine::X64, "e9fbffffff"),
            (Machine::X64, "e900000080"),
            (Machine::Arm64, "21018052 c0035fd6"),
            (Machine::Arm64, "20018052 00000000"),
            (Machine::Arm64, "20018052 01000014 c0035fd6"),
            (Machine::Riscv, "b809000000 c3"),
        ] {
            assert_eq!(constant(&code(text), 0, machine), None, "{machine:?} {text}");
        }
        assert_eq!(constant(b"\xc3", usize::MAX, Machine::X64), None);
    }

    proptest! {
        #[test]
        fn any_code_is_survived(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            start in 0_usize..100,
        ) {
            for machine in [Machine::X64, Machine::Arm64, Machine::Arm] {
                let _ = constant(&bytes, start, machine);
            }
        }
    }
}
