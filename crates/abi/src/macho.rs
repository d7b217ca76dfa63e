//! Mach-O: macOS.
//!
//! goblin's `MachO::parse` evaluates everything at once, with sums that overflow on broken files, finds no imports in
//! files with chained fixups, and walks the tree of exports by recursion. Here load commands are walked, and what they
//! point at is read with bounds: imports from the symbol table, which both kinds of fixups leave in place.

mod addon;
mod code;
mod exports;
mod signature;
mod symbols;

use goblin::mach::cputype::{CPU_TYPE_ARM, CPU_TYPE_ARM64, CPU_TYPE_X86, CPU_TYPE_X86_64};
use goblin::mach::header::{MH_BUNDLE, MH_DYLIB, MH_EXECUTE, MH_OBJECT};
use goblin::mach::load_command as command;
use serde::{Deserialize, Serialize};

pub use signature::{CodeSignature, Pages, Signature, Signer};
pub use symbols::{MachOImport, Source};

use crate::facts::{Format, Identity, Kind, Machine, Part};
use crate::fields::{Endian, index, text_at, u32_at, u64_at, wide};
use crate::instructions::Instructions;
use crate::node::{self, NodeFacts};
use crate::payload::{self, Payload};
use crate::version::Version;

/// More slices than there are architectures. A Java class has the same magic number, and at least 43 here.
const MAX_SLICES: usize = 20;

/// More load commands than any real binary has.
const MAX_COMMANDS: u32 = 4096;

/// More segments than any real binary has.
const MAX_SEGMENTS: usize = 64;

const CPU_SUBTYPE_ARM64E: u32 = 2;

/// The facts of a Mach-O file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachO {
    /// One per architecture; never empty when it was read from a file.
    pub slices: Vec<Slice>,
}

/// The code for one architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// What it is for.
    pub kind: Kind,
    /// Its processor.
    pub machine: Machine,
    /// Whether it is for ARM with signed pointers (`arm64e`), which only Apple's own programs may use.
    pub arm64e: bool,
    /// The name it answers to (`LC_ID_DYLIB`).
    pub install_name: Option<String>,
    /// The libraries it names, in the order imports count them.
    pub dependencies: Vec<Dependency>,
    /// Where `@rpath` points (`LC_RPATH`), in order.
    pub rpaths: Vec<String>,
    /// The systems it was built for; several in a library that serves Mac Catalyst as well.
    pub targets: Vec<BuildTarget>,
    /// The symbols it needs.
    pub imports: Vec<MachOImport>,
    /// The symbols it offers.
    pub exports: Vec<Box<str>>,
    /// Whether its pointers are filled in by chained fixups, which macOS knows since 11.
    pub chained_fixups: bool,
    /// What its code asks of the processor.
    pub instructions: Instructions,
    /// Its code signature.
    pub signature: Signature,
    /// What it is to Node and its kin; `None` when it is no addon.
    pub node: Option<NodeFacts>,
    /// Signs that its code is packed where no reader sees it. A heuristic.
    pub payload: Option<Payload>,
    /// What is there and could not be read.
    pub unread: Vec<Part>,
}

/// A library that is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its path, maybe behind `@rpath`, `@loader_path` or `@executable_path`.
    pub name: String,
    /// How it is needed.
    pub kind: DependencyKind,
    /// The oldest compatibility version that will do.
    pub compatibility: Version,
}

/// How a library is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DependencyKind {
    /// Nothing starts without it.
    Required,
    /// The loader goes on without it.
    Weak,
    /// Required, and its symbols are offered as the file's own.
    Reexported,
    /// Required by a library that the other one requires too.
    Upward,
    /// Loaded when it is first used.
    Lazy,
}

/// A system that a file was built for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildTarget {
    /// Which.
    pub platform: Platform,
    /// Its oldest version.
    pub minimum: Version,
    /// The version of the SDK.
    pub sdk: Version,
}

/// A system of Apple's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Platform {
    /// macOS.
    MacOs,
    /// iOS programs on macOS.
    MacCatalyst,
    /// iOS, or another one, by its number in `LC_BUILD_VERSION`.
    Other(u32),
}

impl Slice {
    /// The libraries it cannot do without.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Weak)
            .map(|dependency| dependency.name.as_str())
    }

    /// The oldest macOS it was built for.
    #[must_use]
    pub fn macos(&self) -> Option<&Version> {
        let target = self.targets.iter().find(|target| target.platform == Platform::MacOs);
        target.map(|target| &target.minimum)
    }

    /// Whether it opens libraries by itself while it runs.
    #[must_use]
    pub fn opens_libraries(&self) -> bool {
        self.imports.iter().any(|import| &*import.name == "_dlopen")
    }
}

pub(crate) fn read(bytes: &[u8]) -> Option<MachO> {
    let slices = match fat(bytes) {
        Some(slices) => slices?
            .into_iter()
            .map(|(_, range)| slice(bytes.get(range)?))
            .collect::<Option<Vec<_>>>()?,
        None => vec![slice(bytes)?],
    };
    (!slices.is_empty()).then_some(MachO { slices })
}

pub(crate) fn identify(head: &[u8]) -> Option<Identity> {
    let (machines, kind) = match fat(head) {
        // The slices lie behind the head; what addons and tools ship fat are libraries, so that is the guess.
        Some(slices) => (slices?.into_iter().map(|(machine, _)| machine).collect(), Kind::Library),
        None => {
            let header = Header::read(head)?;
            (vec![header.machine], header.kind)
        }
    };
    Some(Identity { format: Format::MachO, machines, kind })
}

type FatSlices = Vec<(Machine, std::ops::Range<usize>)>;

/// The slices of a fat file; the outer `None` says that it is not one, the inner one that it is broken.
fn fat(bytes: &[u8]) -> Option<Option<FatSlices>> {
    let is_wide = match bytes.get(..4)? {
        b"\xca\xfe\xba\xbe" => false,
        b"\xca\xfe\xba\xbf" => true,
        _ => return None,
    };
    Some(fat_slices(bytes, is_wide))
}

fn fat_slices(bytes: &[u8], is_wide: bool) -> Option<FatSlices> {
    let count = wide(u32_at(bytes, 4, Endian::Big)?);
    if count == 0 || count > MAX_SLICES {
        return None;
    }
    let slice = |number: usize| {
        let start = 8 + number * if is_wide { 32 } else { 20 };
        let field = |place: usize| match is_wide {
            true => index(u64_at(bytes, start + 8 + 8 * place, Endian::Big)?),
            false => Some(wide(u32_at(bytes, start + 8 + 4 * place, Endian::Big)?)),
        };
        let offset = field(0)?;
        let range = offset..offset.checked_add(field(1)?)?;
        Some((machine(u32_at(bytes, start, Endian::Big)?), range))
    };
    let slices = (0..count).map(slice).collect::<Option<FatSlices>>()?;
    // Slices that share bytes would be read, and counted, several times.
    let mut ranges: Vec<_> = slices.iter().map(|(_, range)| (range.start, range.end)).collect();
    ranges.sort_unstable();
    ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0).then_some(slices)
}

struct Header {
    endian: Endian,
    is_wide: bool,
    machine: Machine,
    subtype: u32,
    kind: Kind,
    commands: u32,
    flags: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (endian, is_wide) = match bytes.get(..4)? {
            b"\xcf\xfa\xed\xfe" => (Endian::Little, true),
            b"\xce\xfa\xed\xfe" => (Endian::Little, false),
            b"\xfe\xed\xfa\xcf" => (Endian::Big, true),
            b"\xfe\xed\xfa\xce" => (Endian::Big, false),
            _ => return None,
        };
        Some(Self {
            endian,
            is_wide,
            machine: machine(u32_at(bytes, 4, endian)?),
            subtype: u32_at(bytes, 8, endian)? & 0x00ff_ffff,
            kind: match u32_at(bytes, 12, endian)? {
                MH_EXECUTE => Kind::Executable,
                MH_DYLIB | MH_BUNDLE => Kind::Library,
                MH_OBJECT => Kind::Object,
                _ => Kind::Other,
            },
            commands: u32_at(bytes, 16, endian)?,
            flags: u32_at(bytes, 24, endian)?,
        })
    }
}

/// Where things are in one slice.
struct Image<'a> {
    bytes: &'a [u8],
    header: Header,
    segments: Vec<Segment>,
    symbols: Option<symbols::Table>,
    exports: Option<std::ops::Range<usize>>,
    signature: Option<(usize, usize)>,
    /// Where a program starts, from the start of the image.
    main: Option<u64>,
    /// The sections with code, or with functions to be called first.
    sections: Vec<code::Section>,
}

struct Segment {
    name: [u8; 16],
    address: u64,
    offset: u64,
    size: u64,
    is_writable: bool,
}

fn slice(bytes: &[u8]) -> Option<Slice> {
    let header = Header::read(bytes)?;
    let mut slice = Slice {
        kind: header.kind,
        machine: header.machine,
        arm64e: header.machine == Machine::Arm64 && header.subtype == CPU_SUBTYPE_ARM64E,
        ..Slice::default()
    };
    let mut start: usize = if header.is_wide { 32 } else { 28 };
    let commands = header.commands.min(MAX_COMMANDS);
    let mut image = Image {
        bytes,
        header,
        segments: Vec::new(),
        symbols: None,
        exports: None,
        signature: None,
        main: None,
        sections: Vec::new(),
    };
    for _ in 0..commands {
        let size = wide(u32_at(bytes, start.checked_add(4)?, image.header.endian)?);
        let end = start.checked_add(size).filter(|_| size >= 8)?;
        read_command(&mut slice, &mut image, start, bytes.get(start..end)?)?;
        start = end;
    }
    symbols::read(&mut slice, &image);
    exports::read(&mut slice, &image);
    slice.signature = image
        .signature
        .map_or(Signature::Absent, |(start, size)| signature::read(bytes, start, size));
    let plain = |name: &'_ str| name.strip_prefix('_').map_or(0, |_| 1);
    slice.node = node::classify(
        slice.machine,
        slice.imports.iter().map(|import| &import.name[plain(&import.name)..]),
        slice.exports.iter().map(|name| &name[plain(name)..]),
        &image,
    );
    slice.payload = payload::probe(bytes, slice.opens_libraries(), &[]);
    slice.instructions = code::read(&slice, &image);
    Some(slice)
}

fn read_command(
    slice: &mut Slice,
    image: &mut Image<'_>,
    start: usize,
    content: &[u8],
) -> Option<()> {
    let endian = image.header.endian;
    let word = |place: usize| u32_at(content, place, endian);
    let name = |place: usize| text_at(image.bytes, start.checked_add(wide(word(place)?))?);
    let mut dependency = |kind| {
        let compatibility = version(word(20)?);
        slice.dependencies.push(Dependency { name: name(8)?, kind, compatibility });
        Some(())
    };
    match word(0)? {
        command::LC_LOAD_DYLIB => dependency(DependencyKind::Required)?,
        command::LC_LOAD_WEAK_DYLIB => dependency(DependencyKind::Weak)?,
        command::LC_REEXPORT_DYLIB => dependency(DependencyKind::Reexported)?,
        command::LC_LOAD_UPWARD_DYLIB => dependency(DependencyKind::Upward)?,
        command::LC_LAZY_LOAD_DYLIB => dependency(DependencyKind::Lazy)?,
        command::LC_ID_DYLIB => slice.install_name = Some(name(8)?),
        command::LC_RPATH => slice.rpaths.push(name(8)?),
        command::LC_BUILD_VERSION => slice.targets.push(BuildTarget {
            platform: match word(8)? {
                1 => Platform::MacOs,
                6 => Platform::MacCatalyst,
                other => Platform::Other(other),
            },
            minimum: version(word(12)?),
            sdk: version(word(16)?),
        }),
        kind @ (command::LC_VERSION_MIN_MACOSX
        | command::LC_VERSION_MIN_IPHONEOS
        | command::LC_VERSION_MIN_TVOS
        | command::LC_VERSION_MIN_WATCHOS) => slice.targets.push(BuildTarget {
            platform: match kind {
                command::LC_VERSION_MIN_MACOSX => Platform::MacOs,
                command::LC_VERSION_MIN_IPHONEOS => Platform::Other(2),
                command::LC_VERSION_MIN_TVOS => Platform::Other(3),
                _ => Platform::Other(4),
            },
            minimum: version(word(8)?),
            sdk: version(word(12)?),
        }),
        command::LC_SEGMENT | command::LC_SEGMENT_64 if image.segments.len() < MAX_SEGMENTS => {
            code::sections(image, content)?;
            image.segments.push(segment(content, endian)?);
        }
        command::LC_SYMTAB => {
            image.symbols = Some(symbols::Table {
                start: wide(word(8)?),
                count: wide(word(12)?),
                strings: wide(word(16)?),
            });
        }
        command::LC_DYLD_INFO | command::LC_DYLD_INFO_ONLY => {
            image.exports = range(word(40)?, word(44)?);
        }
        command::LC_DYLD_EXPORTS_TRIE => image.exports = range(word(8)?, word(12)?),
        command::LC_DYLD_CHAINED_FIXUPS => slice.chained_fixups = true,
        command::LC_MAIN => image.main = u64_at(content, 8, endian),
        command::LC_CODE_SIGNATURE => image.signature = Some((wide(word(8)?), wide(word(12)?))),
        _ => {}
    }
    Some(())
}

fn range(start: u32, size: u32) -> Option<std::ops::Range<usize>> {
    Some(wide(start)..wide(start).checked_add(wide(size))?).filter(|_| size > 0)
}

fn segment(content: &[u8], endian: Endian) -> Option<Segment> {
    const VM_PROT_WRITE: u32 = 2;
    let is_wide = u32_at(content, 0, endian)? == command::LC_SEGMENT_64;
    let field = |place: usize| match is_wide {
        true => u64_at(content, 24 + 8 * place, endian),
        false => u32_at(content, 24 + 4 * place, endian).map(u64::from),
    };
    let protection = if is_wide { 24 + 8 * 4 + 4 } else { 24 + 4 * 4 + 4 };
    Some(Segment {
        name: content.get(8..24)?.try_into().ok()?,
        address: field(0)?,
        offset: field(2)?,
        size: field(3)?,
        is_writable: u32_at(content, protection, endian)? & VM_PROT_WRITE != 0,
    })
}

/// `X.Y.Z` in nibbles `xxxx.yy.zz`.
fn version(packed: u32) -> Version {
    Version::of(packed >> 16, (packed >> 8) & 0xff, packed & 0xff)
}

fn machine(cpu: u32) -> Machine {
    match cpu {
        CPU_TYPE_X86 => Machine::X86,
        CPU_TYPE_X86_64 => Machine::X64,
        CPU_TYPE_ARM => Machine::Arm,
        CPU_TYPE_ARM64 => Machine::Arm64,
        other => Machine::Other(other),
    }
}

impl Image<'_> {
    /// Where in the file the bytes at a virtual address are.
    fn offset(&self, address: u64) -> Option<usize> {
        self.segments
            .iter()
            .find_map(|segment| {
                let within = address.checked_sub(segment.address)?;
                (within < segment.size).then(|| segment.offset.checked_add(within)).flatten()
            })
            .and_then(index)
    }

    /// The address that offsets of exports count from.
    fn base(&self) -> Option<u64> {
        let text = self.segments.iter().find(|segment| segment.name.starts_with(b"__TEXT\0"))?;
        Some(text.address)
    }

    fn segment_bytes(&self, segment: &Segment) -> Option<&[u8]> {
        let start = index(segment.offset)?;
        self.bytes.get(start..start.checked_add(index(segment.size)?)?)
    }
}

#[cfg(test)]
mod tests;
