use gangway_abi::{Facts, Pages, Signature};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

const LINKEDIT: usize = 0x4000;

/// How many entries for debuggers there are.
const ENTRIES: usize = 1500;

const TRIE: &[u8] = b"the trie of exports, as long as it is";
const STARTS: &[u8] = b"starts of functions";
const FIXUPS: &[u8] = b"chained fixups, 8..";

/// What a file becomes; `None` when nothing was taken out. Then, and when it is refused, it is as it was.
fn strip(bytes: &[u8]) -> Result<Option<Vec<u8>>, StripError> {
    let mut stripped = bytes.to_vec();
    let outcome = super::strip(&mut stripped);
    assert!(outcome == Ok(true) || stripped == bytes);
    outcome.map(|is_less| is_less.then_some(stripped))
}

/// Parts of a signature that say nothing.
const REQUIREMENTS: &[u8] = b"\xfa\xde\x0c\x01\0\0\0\x0c\0\0\0\0";
const CERTIFICATE: &[u8] = b"\xfa\xde\x0b\x01\0\0\0\x08";

/// Types of symbols.
const STAB: u8 = 0x24;
const LOCAL: u8 = 0x0e;
const PRIVATE: u8 = 0x1e;
const GLOBAL: u8 = 0x0f;
const IMPORT: u8 = 0x01;
const ALIAS: u8 = 0x0b;

/// A symbol: its name, its type and its value; for an alias, the number of the symbol it stands for.
type Made = (&'static str, u8, u64);

/// A made-up library for macOS on arm64.
struct Library {
    symbols: Vec<Made>,
    indirect: Vec<u32>,
    /// What is behind the code directory of its signature, by slot.
    signature: Option<Vec<(u32, &'static [u8])>>,
    flags: u32,
}

/// One with so many entries for debuggers that whole pages go with them.
fn library() -> Library {
    let mut library = small();
    library.symbols.splice(0..0, vec![("/src/b.c", STAB, 0); ENTRIES]);
    for number in library.indirect.iter_mut().filter(|number| **number < 0x4000_0000) {
        *number += u32::try_from(ENTRIES).expect("few");
    }
    let aliases = library.symbols.iter_mut().filter(|(_, kind, _)| *kind == ALIAS);
    aliases.for_each(|(_, _, value)| *value += ENTRIES as u64);
    library
}

fn small() -> Library {
    let symbols = vec![
        ("/src/a.c", STAB, 0),
        ("_hidden", LOCAL, 1),
        ("_inner", PRIVATE, 2),
        ("_hidden_and_much_longer", LOCAL, 3),
        ("_alias", ALIAS, 6),
        ("_other", GLOBAL, 4),
        ("_shown", GLOBAL, 5),
        ("", IMPORT, 0),
        ("_printf", IMPORT, 0),
    ];
    let indirect = vec![8, 0x8000_0000, 5, 0x4000_0000, 0xc000_0000];
    Library { symbols, indirect, signature: Some(Vec::new()), flags: 0x2_0002 }
}

impl Library {
    fn unsigned() -> Self {
        Self { signature: None, ..library() }
    }

    fn bytes(&self) -> Vec<u8> {
        let (strings, places) = self.strings();
        let entries: Vec<u8> = (self.symbols.iter().zip(&places))
            .flat_map(|((_, kind, value), place)| {
                let value =
                    if *kind == ALIAS { u64::from(places[*value as usize]) } else { *value };
                [&place.to_le_bytes()[..], &[*kind, 1, 0, 0], &value.to_le_bytes()].concat()
            })
            .collect();
        let indirect: Vec<u8> = self.indirect.iter().flat_map(|one| one.to_le_bytes()).collect();
        let mut out = vec![b'c'; LINKEDIT];
        let mut add = |content: &[u8]| {
            out.resize(out.len().next_multiple_of(8), 0);
            out.extend(content);
            [out.len() - content.len(), content.len()]
        };
        let (fixups, trie, starts) = (add(FIXUPS), add(TRIE), add(STARTS));
        let empty = [starts[0] + starts[1], 0];
        let (entries, indirect, strings) = (add(&entries), add(&indirect), add(&strings));
        let mut commands = vec![
            segment("__TEXT", 0..LINKEDIT, 1),
            Vec::new(),
            linked(LC_FIXUPS, fixups),
            linked(LC_TRIE, trie),
            self.symbol_table(entries, strings),
            self.dynamic_symbols(indirect),
            linked(0x26, starts),
            linked(0x29, [empty[0].next_multiple_of(8), 0]),
            words(&[0x1b, 24, 1, 2, 3, 4]),
        ];
        let signed = out.len().next_multiple_of(16);
        let size = self.signature(&vec![0; signed]).map_or(0, |signature| signature.len());
        if size > 0 {
            out.resize(signed, 0);
            commands.push(linked(0x1d, [signed, size]));
        }
        commands[1] = segment("__LINKEDIT", LINKEDIT..out.len() + size, 0);
        let lengths = commands.iter().map(Vec::len).sum::<usize>();
        let header = words(&[0xfeed_facf, 0x100_000c, 0, 6, commands.len(), lengths, 0x85, 0]);
        let head = [header, commands.concat()].concat();
        out[..head.len()].copy_from_slice(&head);
        let signature = self.signature(&out).unwrap_or_default();
        out.extend(signature);
        out
    }

    /// The table of strings as ld64 has it, and where each name is.
    fn strings(&self) -> (Vec<u8>, Vec<u32>) {
        let mut strings = b" \0".to_vec();
        let mut places = Vec::new();
        for (name, ..) in &self.symbols {
            places.push(u32::try_from(strings.len()).expect("few"));
            strings.extend([name.as_bytes(), b"\0"].concat());
        }
        strings.resize(strings.len().next_multiple_of(8), 0);
        (strings, places)
    }

    fn symbol_table(&self, entries: [usize; 2], strings: [usize; 2]) -> Vec<u8> {
        words(&[2, 24, entries[0], self.symbols.len(), strings[0], strings[1]])
    }

    fn dynamic_symbols(&self, indirect: [usize; 2]) -> Vec<u8> {
        let is_import = |kind: u8| kind == IMPORT;
        let is_local = |kind: u8| kind & EXTERNAL == 0;
        let count = |matches: &dyn Fn(u8) -> bool| {
            self.symbols.iter().filter(|(_, kind, _)| matches(*kind)).count()
        };
        let (locals, undefined) = (count(&is_local), count(&is_import));
        let external = self.symbols.len() - locals - undefined;
        let groups = [0, locals, locals, external, locals + external, undefined];
        let tables = [0, 0, 0, 0, 0, 0, indirect[0], indirect[1] / 4, 0, 0, 0, 0];
        words(&[&[0xb, 80][..], &groups, &tables].concat())
    }

    /// A signature as a linker writes it, made in another way than the one that is tested.
    fn signature(&self, code: &[u8]) -> Option<Vec<u8>> {
        let others = self.signature.as_ref()?;
        let pages: Vec<u8> = code.chunks(4096).flat_map(Sha256::digest).collect();
        let special = 2 * 32;
        let head = 88 + b"name\0".len() + special;
        let length = head + pages.len();
        let count = code.len().div_ceil(4096);
        let mut directory = big(&[0xfade_0c02, length, 0x2_0400, self.flags as usize]);
        directory.extend(big(&[head, 88, 2, count, code.len()]));
        directory.extend([32, 2, 0, 12]);
        directory.extend(big(&[0, 0, 0, 0, 0, 0, 0, 0, 0, LINKEDIT, 0, 0]));
        directory.extend(b"name\0");
        // The digests of the requirements and of a bundle's `Info.plist`, which there is none of.
        let requirements = others.iter().find(|(slot, _)| *slot == 2);
        directory.extend(requirements.map_or([0; 32], |(_, part)| Sha256::digest(part).into()));
        directory.extend([0; 32]);
        directory.extend(pages);
        let mut offset = 12 + 8 * (1 + others.len());
        let mut index = big(&[0, offset]);
        offset += directory.len();
        for (slot, part) in others {
            index.extend(big(&[*slot as usize, offset]));
            offset += part.len();
        }
        let parts: Vec<u8> = others.iter().flat_map(|(_, part)| part.iter().copied()).collect();
        let head = big(&[0xfade_0cc0, offset, 1 + others.len()]);
        let mut signature = [head, index, directory, parts].concat();
        signature.resize(signature.len().next_multiple_of(8), 0);
        Some(signature)
    }
}

/// What is said of signatures whose numbers do not fit.
const UNKNOWN: StripError = StripError::Signed("its form is not known here");

const EXTERNAL: u8 = 1;
const LC_TRIE: usize = 0x8000_0033;
const LC_FIXUPS: usize = 0x8000_0034;

fn words(numbers: &[usize]) -> Vec<u8> {
    let number = |number: &usize| u32::try_from(*number).expect("32 bits").to_le_bytes();
    numbers.iter().flat_map(number).collect()
}

fn big(numbers: &[usize]) -> Vec<u8> {
    let number = |number: &usize| u32::try_from(*number).expect("32 bits").to_be_bytes();
    numbers.iter().flat_map(number).collect()
}

fn linked(kind: usize, [offset, size]: [usize; 2]) -> Vec<u8> {
    words(&[kind, 16, offset, size])
}

fn segment(name: &str, place: std::ops::Range<usize>, sections: usize) -> Vec<u8> {
    let mut segment = words(&[0x19, 72 + 80 * sections]);
    segment.extend(name.bytes());
    segment.resize(24, 0);
    let size = place.len() as u64;
    for field in [place.start as u64, size.next_multiple_of(0x4000), place.start as u64, size] {
        segment.extend(field.to_le_bytes());
    }
    segment.extend(words(&[7, 5, sections, 0]));
    segment.resize(72 + 80 * sections, 0);
    segment
}

fn commands(bytes: &[u8]) -> Commands {
    Commands::read(bytes).expect("well formed")
}

fn content(bytes: &[u8], holds: Holds) -> &[u8] {
    &bytes[commands(bytes).table(holds).expect("it has one").place()]
}

/// Name, type and value of each symbol; of an alias the name it stands for.
fn symbols(bytes: &[u8]) -> Vec<(String, u8, String)> {
    let strings = content(bytes, Holds::Strings);
    let name = |place: usize| {
        let end = memchr::memchr(0, &strings[place..]).expect("names end");
        String::from_utf8(strings[place..place + end].to_vec()).expect("ASCII")
    };
    let symbol = |entry: &[u8]| {
        let value = wide_at(entry, 8).expect("16 bytes");
        let value = match entry[4] {
            ALIAS => name(usize::try_from(value).expect("small")),
            _ => value.to_string(),
        };
        (name(index_at(entry, 0).expect("16 bytes")), entry[4], value)
    };
    content(bytes, Holds::Symbols).chunks_exact(16).map(symbol).collect()
}

fn groups(bytes: &[u8]) -> Vec<u32> {
    let place = commands(bytes).dynamic_symbols + 8;
    (0..6).map(|number| number_at(bytes, place + 4 * number).expect("inside")).collect()
}

fn indirect(bytes: &[u8]) -> Vec<u32> {
    let numbers = content(bytes, Holds::Indirect).chunks_exact(4);
    numbers.map(|number| number_at(number, 0).expect("four bytes")).collect()
}

fn stripped(library: &Library) -> Vec<u8> {
    let bytes = library.bytes();
    let stripped = strip(&bytes).expect("well formed").expect("it has local symbols");
    assert!(stripped.len() < bytes.len());
    assert_eq!(strip(&stripped), Ok(None));
    stripped
}

fn assert_signed(bytes: &[u8]) {
    let Some(Facts::MachO(file)) = gangway_abi::read(bytes) else { panic!("it is no binary") };
    let Signature::Present(signature) = &file.slices[0].signature else { panic!("{file:?}") };
    assert_eq!(signature.pages, Pages::Intact);
    assert_eq!(signature.identifier, "name");
}

#[test]
fn local_symbols_go_and_all_else_follows() {
    let library = Library::unsigned();
    let (before, after) = (library.bytes(), stripped(&library));
    let expected = [
        ("_alias", ALIAS, "_shown"),
        ("_other", GLOBAL, "4"),
        ("_shown", GLOBAL, "5"),
        ("", IMPORT, "0"),
        ("_printf", IMPORT, "0"),
    ];
    let expected = expected.map(|(name, kind, value)| (name.to_owned(), kind, value.to_owned()));
    assert_eq!(symbols(&after), expected);
    assert_eq!(groups(&after), [0, 0, 0, 3, 3, 2]);
    assert_eq!(indirect(&after), [4, 0x8000_0000, 1, 0x4000_0000, 0xc000_0000]);
    let commands = commands(&after);
    let others: Vec<&[u8]> = (commands.tables.iter())
        .filter(|table| table.holds == Holds::Other)
        .map(|table| &after[table.place()])
        .collect();
    assert_eq!(others, [FIXUPS, TRIE, STARTS, b""]);
    assert!(commands.tables.iter().all(|table| table.offset % 8 == 0));
    assert_eq!(commands.linkedit.end, after.len());
    // Of the rest only load commands differ, and those are as long as they were.
    assert_eq!(before[0x800..LINKEDIT], after[0x800..LINKEDIT]);
    assert_eq!(before[..32], after[..32]);
}

#[test]
fn memory_shrinks_with_the_file() {
    let library = Library::unsigned();
    let size = |bytes: &[u8]| {
        let command = commands(bytes).linkedit_command;
        wide_at(bytes, command + 32).expect("inside")
    };
    assert_eq!((size(&library.bytes()), size(&stripped(&library))), (0xc000, 0x4000));
}

#[test]
fn a_local_symbol_that_is_used_by_number_stays() {
    let library = Library { indirect: vec![2, 8, 1, 2], signature: None, ..small() };
    let after = stripped(&library);
    let names: Vec<String> = symbols(&after).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["_hidden", "_inner", "_alias", "_other", "_shown", "", "_printf"]);
    assert_eq!(indirect(&after), [1, 6, 0, 1]);
    assert_eq!(groups(&after), [0, 2, 2, 3, 5, 2]);
}

#[test]
fn an_empty_table_keeps_its_place_before_the_next() {
    let after = stripped(&Library::unsigned());
    let tables = commands(&after).tables;
    let empty = tables.iter().position(|table| table.size == 0).expect("there is one");
    assert_eq!(tables[empty].offset, tables[empty + 1].offset);
    // And one that lay behind everything lies there again.
    let mut bytes = Library::unsigned().bytes();
    let (field, end) = (commands(&bytes).tables[empty].field, bytes.len());
    put(&mut bytes, field, end);
    let after = strip(&bytes).expect("well formed").expect("it has local symbols");
    assert_eq!(index_at(&after, field), Ok(after.len()));
}

#[test]
fn a_signature_is_made_again_as_its_linker_made_it() {
    for others in [vec![], vec![(2, REQUIREMENTS), (0x1_0000, CERTIFICATE)]] {
        let library = Library { signature: Some(others), ..library() };
        let bytes = library.bytes();
        let place = commands(&bytes).signature().expect("it is signed").place();
        let signature = AdHoc::read(&bytes, place.clone()).expect("well formed");
        let mut again = signature.of(&bytes[..place.start]);
        again.resize(signature.size(place.start), 0);
        assert_eq!(again, bytes[place]);
        assert_signed(&bytes);
    }
}

#[test]
fn what_is_stripped_is_signed_anew() {
    let parts = [vec![], vec![(2, REQUIREMENTS), (0x1_0000, CERTIFICATE)]];
    // Another symbol with a name of seven letters makes 24 bytes more, which are not a multiple of 16.
    for (parts, more) in std::iter::zip(parts, [vec![], vec![("_letter", IMPORT, 0)]]) {
        let mut library = Library { signature: Some(parts), ..library() };
        library.symbols.extend(more.clone());
        let after = stripped(&library);
        assert_signed(&after);
        let place = commands(&after).signature().expect("it is signed").place();
        assert_eq!((place.start % 16, place.end), (0, after.len()));
        let expected = library.signature(&after[..place.start]).expect("it is signed");
        assert_eq!(after[place], expected);
        library.signature = None;
        assert_eq!(symbols(&after), symbols(&stripped(&library)));
    }
}

#[test]
fn what_somebody_signed_is_left_alone() {
    let holds = "it holds a certificate, requirements or entitlements";
    let cases: [(Library, &str); 4] = [
        (Library { flags: 0, ..library() }, "it is somebody's"),
        (
            Library {
                signature: Some(vec![(0x1_0000, b"\xfa\xde\x0b\x01\0\0\0\x0ccert")]),
                ..library()
            },
            holds,
        ),
        (
            Library {
                signature: Some(vec![(5, b"\xfa\xde\x71\x71\0\0\0\x10<plist/>")]),
                ..library()
            },
            holds,
        ),
        (
            Library { signature: Some(vec![(0x1000, b"\xfa\xde\x0c\x02\0\0\0\x08")]), ..library() },
            "it has several lists of digests",
        ),
    ];
    for (library, reason) in cases {
        assert_eq!(strip(&library.bytes()), Err(StripError::Signed(reason)));
    }
    // A team: its name would be at this offset.
    let mut bytes = library().bytes();
    let start = commands(&bytes).signature().expect("it is signed").offset;
    bytes[start + 20 + 51] = 88;
    let reason = "it names a team, or more than one piece of code";
    assert_eq!(strip(&bytes), Err(StripError::Signed(reason)));
}

#[test]
fn a_signature_of_other_bytes_is_left_alone() {
    let library = library();
    let start = commands(&library.bytes()).signature().expect("it is signed").offset;
    // The limit of the code, the number of pages, the kind of digest, the size of a page.
    for place in [start + 20 + 35, start + 20 + 31, start + 20 + 37, start + 20 + 39] {
        let mut bytes = library.bytes();
        bytes[place] += 1;
        assert_eq!(strip(&bytes), Err(UNKNOWN), "{place}");
    }
    // Something in the padding, and two parts at one place.
    let two = vec![(2, REQUIREMENTS), (3, REQUIREMENTS)];
    let mut padded = Library { signature: Some(vec![(2, REQUIREMENTS)]), ..small() }.bytes();
    let mut overlapping = Library { signature: Some(two), ..small() }.bytes();
    let start = commands(&overlapping).signature().expect("it is signed").offset;
    overlapping.copy_within(start + 24..start + 28, start + 32);
    *padded.last_mut().expect("it is long") += 1;
    for bytes in [padded, overlapping] {
        assert_eq!(strip(&bytes), Err(UNKNOWN));
    }
}

#[test]
fn names_that_share_their_bytes_do_not_multiply() {
    let mut bytes = Library::unsigned().bytes();
    let place = commands(&bytes).table(Holds::Symbols).expect("it has one").place();
    for (number, entry) in bytes[place].chunks_exact_mut(16).skip(2).enumerate() {
        entry[..4].copy_from_slice(&u32::try_from(number).expect("few").to_le_bytes());
        entry[4] = GLOBAL;
    }
    let command = commands(&bytes).dynamic_symbols;
    let count = u32::try_from(ENTRIES).expect("few") + 7;
    for (field, value) in [(12, 2), (16, 2), (20, count), (24, 2 + count), (28, 0)] {
        bytes[command + field..command + field + 4].copy_from_slice(&value.to_le_bytes());
    }
    let strings = commands(&bytes).table(Holds::Strings).expect("it has one").place();
    bytes[strings.start..strings.end - 8].fill(b'n');
    assert_eq!(strip(&bytes), Err(StripError::Unusual("its symbols share their names")));
}

#[test]
fn payloads_are_refused() {
    let mut behind = library().bytes();
    let end = behind.len();
    behind.extend(b"payload");
    assert_eq!(strip(&behind), Err(StripError::Payload { offset: end, size: 7 }));
    let mut between = library().bytes();
    let trie = commands(&between).tables[1].offset;
    between[trie - 1] = 1;
    let payload = StripError::Payload { offset: LINKEDIT + FIXUPS.len(), size: 5 };
    assert_eq!(strip(&between), Err(payload));
}

#[test]
fn what_is_not_known_is_left_alone() {
    let changed = |place: usize, value: u32| {
        let mut bytes = library().bytes();
        bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
        strip(&bytes)
    };
    let dynamic = commands(&library().bytes()).dynamic_symbols;
    let find = |kind: usize| {
        let (bytes, kind) = (library().bytes(), u32::try_from(kind).expect("32 bits"));
        (32..).step_by(4).find(|place| number_at(&bytes, *place) == Ok(kind)).expect("it has one")
    };
    let uuid = find(0x1b);
    let unusual = |place, value| match changed(place, value) {
        Err(StripError::Unusual(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(unusual(0, 0xbeba_feca), "it is for several processors");
    assert_eq!(unusual(0, 0xfeed_face), "its numbers are not of 64 bits in little-endian order");
    assert_eq!(unusual(4, 0x200_000c), "its processor is not known here");
    assert_eq!(unusual(uuid, 0x31), "it has a load command that is not known here");
    assert_eq!(unusual(dynamic + 12, 3), "its symbols are not in the usual order");
    assert_eq!(unusual(dynamic + 68, 1), "it has tables of an old linker");
    assert_eq!(changed(0, 0x4d5a), Err(StripError::Unknown));
    assert_eq!(changed(12, 1), Err(StripError::NotLinked));
    assert_eq!(unusual(80, 0x4001), "`__LINKEDIT` is not the last segment");
    assert_eq!(unusual(104 + 60, 1), "its sections have relocations");
    let (trie, order) = (find(LC_TRIE), "its symbols are not in the usual order");
    assert_eq!(unusual(trie, 0x1d), "its code signature is not behind everything else");
    // The first external symbol for debuggers, the last local one external, groups that begin elsewhere.
    let bytes = library().bytes();
    let entries = commands(&bytes).table(Holds::Symbols).expect("it has one").offset;
    assert_eq!(unusual(entries + 16 * (ENTRIES + 4) + 4, u32::from(STAB)), order);
    assert_eq!(unusual(entries + 16 * (ENTRIES + 3) + 4, u32::from(GLOBAL)), order);
    assert_eq!(unusual(dynamic + 16, 7), order);
}

proptest! {
    #[test]
    fn damage_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        is_in_head in any::<bool>(),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = library().bytes();
        let end = if is_in_head { 600 } else { bytes.len() };
        for (place, value) in changes {
            *place.get_mut(&mut bytes[..end]) = value;
        }
        if let Ok(Some(stripped)) = strip(&bytes) {
            prop_assert!(stripped.len() < bytes.len());
            prop_assert!(Commands::read(&stripped).is_ok());
        }
        let _ = strip(&bytes[..keep.index(bytes.len())]);
    }

    #[test]
    fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = strip(&[&b"\xcf\xfa\xed\xfe\x0c\0\0\x01\0\0\0\0\x02\0\0\0"[..], &noise].concat());
    }
}
