//! Checks 13 and 14: the processor.
//!
//! A file can be marked with the x86-64 level it needs, and glibc refuses it on a lesser processor. Most are not, so
//! their code is looked at ([`crate::instructions`]). What is met whenever a file is loaded is sure. Everything else is
//! told by signs: code of one feature that is spread thin over a whole file is what a compiler makes that was told to
//! use it everywhere, and dense code in few places is what is picked while the program runs, if something asks the
//! processor first.

use std::collections::{BTreeMap, BTreeSet};

use super::bundle::{self, Bundle, Native};
use super::finding::some_of;
use super::{Code, Cpu, File, Finding, Role, Verdict};
use crate::instructions::{Feature, Instructions, Use};
use crate::pe::ImportedSymbol;

/// A file of which this much uses a feature, and no piece of it much, was compiled for it as a whole.
const THIN_PERCENT: u64 = 15;

/// How many instructions of a feature a compiler strews into 4 KiB of code; written by hand there are hundreds.
const THIN: u32 = 20;

/// The smallest file whose code says so, in pieces of 4 KiB.
const THIN_FROM: u32 = 64;

/// Beyond this, everything uses it, however much.
const WHOLE_PERCENT: u64 = 75;

/// From here on it is no accident that a file uses what nothing asks for.
const UNASKED_PERCENT: u64 = 5;

/// What is known of how a file uses what the target's processor may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// The instruction at this address runs whenever the file is loaded or started.
    Certain(u64),
    /// In percent of its code.
    AsAWhole(u64),
    /// Nothing near it asks which processor it is; in percent of its code.
    Unasked(u64),
    /// Something asks, and it is in few places.
    Asked,
}

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    let (code, offered) = match bundle.policy.cpu {
        Cpu::X86(level) => (Code::X86Level, format!("x86-64-v{level}")),
        Cpu::Arm(major, minor) => (Code::ArmFeatures, format!("ARMv{major}.{minor}-A")),
        Cpu::Other => return,
    };
    let needed = needed(bundle);
    let asking = asking_owners(bundle);
    let mut picked: BTreeMap<&str, BTreeSet<Feature>> = BTreeMap::new();
    for (_, file, native) in bundle.natives() {
        if marked(bundle.policy.cpu, file, native, findings) {
            continue;
        }
        let instructions = instructions(native);
        let lacking = lacking(bundle.policy.cpu, instructions);
        let Some(manner) = manner(instructions, &lacking, || {
            asks(native) || file.owner.is_some_and(|owner| asking.contains(owner))
        }) else {
            continue;
        };
        if manner == Manner::Asked {
            picked.insert(file.path, lacking.keys().copied().collect());
            continue;
        }
        let is_loaded = file.role != Role::Library || needed.contains(bundle::name(file.path));
        findings.push(Finding {
            required: named(lacking.keys().copied()),
            offered: offered.clone(),
            because: because(manner, is_loaded),
            symptom: "Illegal instruction".to_owned(),
            remedy: "take a build for older processors (often called `baseline`), compile it for the target's, or \
                     have the target promise a newer one"
                .to_owned(),
            is_heuristic: !matches!(manner, Manner::Certain(_)),
            ..Finding::new(code, verdict(manner, is_loaded), file, "instructions")
        });
    }
    findings.extend(unproven(code, &picked, &offered));
}

/// The level that a file needs of an x86-64 processor in any case.
pub(super) fn level(native: Native<'_>) -> Option<u8> {
    let instructions = instructions(native);
    let is_sure = |(feature, of): (&Feature, &Use)| {
        let is_sure = of.certain.is_some() || is_whole(instructions, of);
        feature.level().filter(|level| is_sure && *level <= 4)
    };
    instructions.uses.iter().filter_map(is_sure).max()
}

/// Whether a mark decides. One that asks for no more than there is promises nothing: a compiler sets it for its own
/// part of a file.
fn marked(cpu: Cpu, file: &File<'_>, native: Native<'_>, findings: &mut Vec<Finding>) -> bool {
    let (Cpu::X86(level), Native::Elf(elf)) = (cpu, native) else { return false };
    let Some(needed) = elf.properties.x86_level.filter(|needed| *needed > level) else {
        return false;
    };
    findings.push(Finding {
        required: format!("x86-64-v{needed}"),
        offered: format!("x86-64-v{level}"),
        because: "it is marked so, and glibc does not load it on a lesser processor".to_owned(),
        symptom: "CPU ISA level is lower than required, or Illegal instruction".to_owned(),
        remedy:
            "compile it for the level of the target (`-march=x86-64`), or take a `baseline` build"
                .to_owned(),
        is_heuristic: false,
        ..Finding::new(Code::X86Level, Verdict::Broken, file, "level")
    });
    true
}

fn instructions(native: Native<'_>) -> &Instructions {
    match native {
        Native::Elf(elf) => &elf.instructions,
        Native::MachO(slice) => &slice.instructions,
        Native::Pe(pe) => &pe.instructions,
    }
}

/// What a file uses that the target's least processor need not have.
fn lacking(cpu: Cpu, instructions: &Instructions) -> BTreeMap<Feature, Use> {
    let is_lacking = |feature: &Feature| match cpu {
        Cpu::X86(offered) => feature.level().is_some_and(|level| level > offered),
        Cpu::Arm(major, minor) => feature.version().is_some_and(|first| first > (major, minor)),
        Cpu::Other => false,
    };
    let uses = instructions.uses.iter().map(|(feature, of)| (*feature, *of));
    uses.filter(|(feature, of)| is_lacking(feature) && of.count > 0).collect()
}

/// How a file uses them; the worst of all. `None` if it uses none.
fn manner(
    instructions: &Instructions,
    lacking: &BTreeMap<Feature, Use>,
    asks: impl FnOnce() -> bool,
) -> Option<Manner> {
    let most = lacking.values().map(|of| percent(instructions, of)).max()?;
    if let Some(address) = lacking.values().find_map(|of| of.certain) {
        return Some(Manner::Certain(address));
    }
    let whole = lacking.values().filter(|of| is_whole(instructions, of));
    if let Some(percent) = whole.map(|of| percent(instructions, of)).max() {
        return Some(Manner::AsAWhole(percent));
    }
    Some(if asks() { Manner::Asked } else { Manner::Unasked(most) })
}

fn is_whole(instructions: &Instructions, of: &Use) -> bool {
    let percent = percent(instructions, of);
    let is_thin = percent >= THIN_PERCENT && of.count / of.pieces.max(1) <= THIN;
    instructions.pieces >= THIN_FROM && (is_thin || percent >= WHOLE_PERCENT)
}

fn percent(instructions: &Instructions, of: &Use) -> u64 {
    u64::from(of.pieces) * 100 / u64::from(instructions.pieces.max(1))
}

/// A library that nothing names is opened by somebody, who may have asked.
fn verdict(manner: Manner, is_loaded: bool) -> Verdict {
    let is_bad = match manner {
        Manner::Certain(_) | Manner::AsAWhole(_) => true,
        Manner::Unasked(percent) => percent >= UNASKED_PERCENT,
        Manner::Asked => false,
    };
    if is_bad && is_loaded { Verdict::Broken } else { Verdict::Unknown }
}

fn because(manner: Manner, is_loaded: bool) -> String {
    let how = match manner {
        Manner::Certain(address) => {
            format!("the instruction at {address:#x} runs whenever it is loaded or started")
        }
        Manner::AsAWhole(percent) => format!(
            "{percent} % of its code uses them, as a compiler does that was told that every processor has them"
        ),
        Manner::Unasked(percent) => format!(
            "nothing in it or its package asks which processor it runs on; {} of its code uses them",
            if percent == 0 { "less than 1 %".to_owned() } else { format!("{percent} %") }
        ),
        Manner::Asked => String::new(),
    };
    let opened = "; nothing names it as a library it needs, so whoever opens it may ask before";
    format!("{how}{}", if is_loaded { "" } else { opened })
}

/// What is picked while the program runs, told once for all files.
fn unproven(
    code: Code,
    picked: &BTreeMap<&str, BTreeSet<Feature>>,
    offered: &str,
) -> Option<Finding> {
    let files: Vec<&str> = picked.keys().copied().collect();
    let features: BTreeSet<Feature> = picked.values().flatten().copied().collect();
    (!files.is_empty()).then(|| Finding {
        required: format!("{} in {}", named(features.into_iter()), some_of(&files)),
        offered: offered.to_owned(),
        because:
            "they ask which processor they run on, and use these in few places: most likely only after asking, \
             which cannot be proven from the files"
                .to_owned(),
        symptom: "Illegal instruction".to_owned(),
        remedy: "run the bundle on the least processor, or under an emulation of it".to_owned(),
        is_heuristic: true,
        ..Finding::bundle(code, Verdict::Unknown, "instructions")
    })
}

/// Features and the level they are of: `AVX, AVX2 (x86-64-v3)`.
fn named(features: impl Iterator<Item = Feature>) -> String {
    let features: Vec<Feature> = features.collect();
    let names: Vec<&str> = features.iter().map(|feature| feature.name()).collect();
    let level =
        features.iter().filter_map(|feature| feature.level()).filter(|level| *level <= 4).max();
    let version = features.iter().filter_map(|feature| feature.version()).max();
    match (level, version) {
        (Some(level), _) => format!("{} (x86-64-v{level})", names.join(", ")),
        (None, Some((major, minor))) => format!("{} (ARMv{major}.{minor}-A)", names.join(", ")),
        (None, None) => names.join(", "),
    }
}

/// The names of libraries that some file needs.
fn needed<'a>(bundle: &Bundle<'a>) -> BTreeSet<&'a str> {
    bundle.files.iter().flat_map(|file| file.facts.libraries()).map(bundle::name).collect()
}

/// The packages that ask, in whichever of their files.
fn asking_owners<'a>(bundle: &Bundle<'a>) -> BTreeSet<&'a str> {
    bundle
        .natives()
        .filter(|(_, _, native)| asks(*native))
        .filter_map(|(_, file, _)| file.owner)
        .collect()
}

/// Whether a file asks which processor it runs on: by an instruction, or through the system.
fn asks(native: Native<'_>) -> bool {
    const SYSTEM: [&str; 6] = [
        "getauxval",
        "__getauxval",
        "elf_aux_info",
        "__cpu_model",
        "_sysctlbyname",
        "IsProcessorFeaturePresent",
    ];
    let is_question = |name: &str| SYSTEM.contains(&name);
    instructions(native).asks
        || match native {
            // A static program finds what the kernel tells it of the processor without asking anybody by name.
            Native::Elf(elf) => {
                (native.is_program() && elf.needed.is_empty())
                    || elf.imports.iter().any(|import| is_question(&import.name))
            }
            Native::MachO(slice) => slice.imports.iter().any(|import| is_question(&import.name)),
            Native::Pe(pe) => pe
                .imports
                .iter()
                .flat_map(|import| &import.symbols)
                .any(|symbol| matches!(symbol, ImportedSymbol::Name(name) if is_question(name))),
        }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, elf, imports, owned};
    use super::*;
    use crate::facts::Facts;

    fn marked(level: Option<u8>) -> Facts {
        elf(|elf| elf.properties.x86_level = level)
    }

    /// A file of which this much of 100 pieces has so many instructions of AVX2 each.
    fn avx2(pieces: u32, each: u32, certain: Option<u64>, asks: bool) -> Facts {
        elf(|elf| {
            elf.instructions.pieces = 100;
            let of = Use { count: pieces * each, pieces, guarded: 0, certain };
            elf.instructions.uses.insert(Feature::Avx2, of);
            elf.instructions.asks = asks;
        })
    }

    fn verdicts(level: u8, role: Role, facts: Facts) -> Vec<(Code, Verdict)> {
        let mut bench = Bench::linux().file("a.so", role, facts);
        bench.policy.cpu = Cpu::X86(level);
        bench.verdicts()
    }

    #[test]
    fn marks_decide() {
        assert_eq!(verdicts(2, Role::Addon, marked(Some(2))), []);
        assert_eq!(verdicts(2, Role::Addon, marked(Some(3))), [(Code::X86Level, Verdict::Broken)]);
        assert_eq!(verdicts(2, Role::Addon, marked(None)), []);
    }

    #[test]
    fn what_runs_in_any_case_breaks() {
        let broken = [(Code::X86Level, Verdict::Broken)];
        let unknown = [(Code::X86Level, Verdict::Unknown)];
        let certain = || avx2(1, 1, Some(0x1000), true);
        assert_eq!(verdicts(2, Role::Addon, certain()), broken);
        assert_eq!(verdicts(3, Role::Addon, certain()), []);
        // Nothing needs the library: it may be the one of several that fits.
        assert_eq!(verdicts(2, Role::Library, certain()), unknown);
        let mut bench = Bench::linux().file("a.so", Role::Library, certain()).file(
            "b.node",
            Role::Addon,
            elf(|elf| {
                elf.needed = owned(&["a.so"]);
                elf.runpath = owned(&["$ORIGIN"]);
            }),
        );
        bench.policy.cpu = Cpu::X86(2);
        assert_eq!(bench.verdicts(), broken);
    }

    #[test]
    fn how_it_is_spread_tells_how_it_is_used() {
        let broken = [(Code::X86Level, Verdict::Broken)];
        let unknown = [(Code::X86Level, Verdict::Unknown)];
        // Strewn over a quarter of the code, by a compiler; dense in a quarter of it, by hand; everywhere.
        assert_eq!(verdicts(2, Role::Runtime, avx2(25, 7, None, true)), broken);
        assert_eq!(verdicts(2, Role::Runtime, avx2(25, 300, None, true)), unknown);
        assert_eq!(verdicts(2, Role::Runtime, avx2(90, 300, None, true)), broken);
        // Nothing asks.
        assert_eq!(verdicts(2, Role::Addon, avx2(8, 300, None, false)), broken);
        assert_eq!(verdicts(2, Role::Addon, avx2(1, 1, None, false)), unknown);
    }

    #[test]
    fn another_file_of_the_package_can_ask() {
        let said = |owner: Option<&str>| {
            let (one, other) = (avx2(8, 300, None, false), avx2(0, 0, None, true));
            let file = |path, facts| File { path, owner, role: Role::Addon, facts };
            let bench = Bench::linux();
            let policy = super::super::Policy { cpu: Cpu::X86(2), ..bench.policy };
            let files = [file("a.node", &one), file("b.node", &other)];
            let input = super::super::Input { files: &files, ..Default::default() };
            let findings = super::super::check(&input, &policy).findings;
            findings.into_iter().map(|one| (one.path, one.verdict)).collect::<Vec<_>>()
        };
        assert_eq!(said(None), [("a.node".to_owned(), Verdict::Broken)]);
        assert_eq!(said(Some("p@1.0.0")), [(String::new(), Verdict::Unknown)]);
    }

    #[test]
    fn arm_has_versions() {
        let verdicts = |version: (u8, u8), guarded: bool| {
            let mut bench = Bench::linux().file(
                "a.node",
                Role::Addon,
                elf(|elf| {
                    elf.instructions.pieces = 100;
                    let count = if guarded { (0, 0, 30) } else { (30, 30, 0) };
                    let (count, pieces, guarded) = count;
                    let of = Use { count, pieces, guarded, certain: None };
                    elf.instructions.uses.insert(Feature::Lse, of);
                    elf.imports = imports(&[]);
                }),
            );
            bench.policy.cpu = Cpu::Arm(version.0, version.1);
            bench.verdicts()
        };
        assert_eq!(verdicts((8, 0), false), [(Code::ArmFeatures, Verdict::Broken)]);
        assert_eq!(verdicts((8, 1), false), []);
        assert_eq!(verdicts((8, 0), true), []);
    }

    #[test]
    fn names_and_levels() {
        let features = [Feature::Sse41, Feature::Avx2];
        assert_eq!(named(features.into_iter()), "SSE4.1, AVX2 (x86-64-v3)");
        assert_eq!(named([Feature::Sve].into_iter()), "SVE (ARMv9.0-A)");
        assert_eq!(named([Feature::BeyondLevels].into_iter()), "AES, SHA and others of no level");
    }
}
