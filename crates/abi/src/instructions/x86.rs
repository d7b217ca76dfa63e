//! x86-64, decoded by `iced-x86`, which knows what of a processor every instruction needs.

use std::sync::OnceLock;

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register,
};

use super::certain::{Flow, Stepped};
use super::{Feature, Features, Region, Seen};

/// How many instructions without a strange one must stand before and behind one that counts. About every seventh piece
/// of data that is taken for an instruction is a strange one, so data passes for code once in a hundred.
const CLEAN: usize = 16;

/// What is known of every kind of instruction.
#[derive(Clone, Copy, Default)]
struct Kind {
    features: Features,
    /// No program has it: what is decoded is data.
    is_strange: bool,
    asks: bool,
}

fn kinds() -> &'static [Kind] {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    KINDS.get_or_init(|| Code::values().map(kind).collect())
}

fn kind(code: Code) -> Kind {
    let mut kind = Kind {
        is_strange: is_strange(code),
        asks: matches!(code, Code::Cpuid | Code::Xgetbv),
        ..Kind::default()
    };
    if !matches!(code.mnemonic(), iced_x86::Mnemonic::Tzcnt) {
        for feature in code.cpuid_features().iter().filter_map(|feature| named(*feature)) {
            kind.features = kind.features.with(feature);
        }
    }
    kind
}

fn named(feature: CpuidFeature) -> Option<Feature> {
    use CpuidFeature as Its;
    Some(match feature {
        Its::SSE3 => Feature::Sse3,
        Its::SSSE3 => Feature::Ssse3,
        Its::SSE4_1 => Feature::Sse41,
        Its::SSE4_2 => Feature::Sse42,
        Its::POPCNT => Feature::Popcnt,
        Its::AVX => Feature::Avx,
        Its::AVX2 => Feature::Avx2,
        Its::BMI1 => Feature::Bmi1,
        Its::BMI2 => Feature::Bmi2,
        Its::F16C => Feature::F16c,
        Its::FMA => Feature::Fma,
        Its::LZCNT => Feature::Lzcnt,
        Its::MOVBE => Feature::Movbe,
        Its::AVX512F | Its::AVX512BW | Its::AVX512CD | Its::AVX512DQ | Its::AVX512VL => {
            Feature::Avx512
        }
        Its::AES
        | Its::PCLMULQDQ
        | Its::SHA
        | Its::RDRAND
        | Its::RDSEED
        | Its::ADX
        | Its::RTM
        | Its::GFNI
        | Its::VAES
        | Its::VPCLMULQDQ
        | Its::FMA4
        | Its::XOP
        | Its::TBM
        | Its::SSE4A
        | Its::AVX_VNNI
        | Its::AVX512_IFMA
        | Its::AVX512_VBMI
        | Its::AVX512_VBMI2
        | Its::AVX512_VNNI
        | Its::AVX512_BITALG
        | Its::AVX512_VPOPCNTDQ
        | Its::AVX512_BF16
        | Its::AVX512_FP16
        | Its::AMX_TILE
        | Its::AMX_INT8
        | Its::AMX_BF16 => Feature::BeyondLevels,
        _ => return None,
    })
}

fn is_strange(code: Code) -> bool {
    use iced_x86::Mnemonic as Its;
    let is_for_systems = matches!(
        code.mnemonic(),
        Its::INVALID
            | Its::In
            | Its::Out
            | Its::Insb
            | Its::Insd
            | Its::Insw
            | Its::Outsb
            | Its::Outsd
            | Its::Outsw
            | Its::Cli
            | Its::Sti
            | Its::Iret
            | Its::Iretd
            | Its::Iretq
            | Its::Retf
            | Its::Int1
            | Its::Xlatb
            | Its::Enter
            | Its::Cmc
            | Its::Loop
            | Its::Loope
            | Its::Loopne
            | Its::Jrcxz
            | Its::Lss
            | Its::Lfs
            | Its::Lgs
    );
    let is_far = matches!(
        code,
        Code::Jmp_m1616
            | Code::Jmp_m1632
            | Code::Jmp_m1664
            | Code::Call_m1616
            | Code::Call_m1632
            | Code::Call_m1664
    );
    // A program's start ends with `hlt`, which nothing reaches.
    let is_privileged = code.is_privileged() && code.mnemonic() != Its::Hlt;
    is_for_systems || is_far || is_privileged
}

/// Counts what is used from the start of a region to its end.
pub(super) fn sweep(region: Region<'_>, seen: &mut Seen) {
    let kinds = kinds();
    let mut decoder = Decoder::with_ip(64, region.bytes, region.address, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    // The start of a region is as good as code before it.
    let mut clean = CLEAN;
    let mut pending: Vec<(u64, Features, usize)> = Vec::new();
    while decoder.can_decode() {
        let start = decoder.position();
        decoder.decode_out(&mut instruction);
        let Some(kind) = kinds.get(instruction.code() as usize) else { continue };
        if kind.is_strange {
            clean = 0;
            pending.clear();
            if instruction.is_invalid() && decoder.set_position(start + 1).is_ok() {
                decoder.set_ip(region.address.wrapping_add(start as u64 + 1));
            }
            continue;
        }
        clean = clean.saturating_add(1);
        if !kind.features.is_empty() && clean > CLEAN {
            pending.push((instruction.ip(), kind.features, clean));
        }
        seen.found.asks |= kind.asks && clean > CLEAN / 2;
        if pending.first().is_some_and(|(_, _, since)| clean - since >= CLEAN) {
            for (address, features, _) in pending.drain(..) {
                seen.count(address, features);
            }
        }
    }
    for (address, features, _) in pending {
        seen.count(address, features);
    }
}

/// One instruction, as the walk along what is certain wants it.
pub(super) fn step(bytes: &[u8], address: u64) -> Option<Stepped> {
    let bytes = bytes.get(..15).unwrap_or(bytes);
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let instruction = decoder.decode();
    let kind = kinds().get(instruction.code() as usize)?;
    if kind.is_strange {
        return None;
    }
    let target = || instruction.near_branch_target();
    let flow = match instruction.flow_control() {
        FlowControl::Next => Flow::On,
        FlowControl::ConditionalBranch => Flow::Branch(target()),
        FlowControl::UnconditionalBranch => Flow::Jump(target()),
        FlowControl::Call if instruction.is_call_near() => Flow::Call(target()),
        FlowControl::Call if instruction.mnemonic() == iced_x86::Mnemonic::Syscall => Flow::On,
        FlowControl::IndirectCall | FlowControl::Call => Flow::CallElsewhere,
        FlowControl::IndirectBranch
        | FlowControl::Return
        | FlowControl::Interrupt
        | FlowControl::XbeginXabortXend
        | FlowControl::Exception => Flow::End,
    };
    Some(Stepped {
        next: instruction.next_ip(),
        flow: if instruction.mnemonic() == iced_x86::Mnemonic::Hlt { Flow::End } else { flow },
        features: kind.features,
        constant: constant(&instruction),
        slot: slot(&instruction),
    })
}

/// The address that `lea reg, [rip + N]` or `mov reg, N` puts into a register.
fn constant(instruction: &Instruction) -> Option<u64> {
    match instruction.mnemonic() {
        iced_x86::Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => {
            Some(instruction.memory_displacement64())
        }
        iced_x86::Mnemonic::Mov
            if instruction.op0_kind() == OpKind::Register
                && matches!(
                    instruction.op1_kind(),
                    OpKind::Immediate32 | OpKind::Immediate32to64 | OpKind::Immediate64
                ) =>
        {
            Some(instruction.immediate(1))
        }
        _ => None,
    }
}

/// The address that `mov reg, [rip + N]` reads from.
fn slot(instruction: &Instruction) -> Option<u64> {
    let reads = instruction.mnemonic() == iced_x86::Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() != Register::None
        && instruction.is_ip_rel_memory_operand();
    reads.then(|| instruction.memory_displacement64())
}
