//! Static libraries (`!<arch>`): what their members were compiled for.
//!
//! Nothing loads them; they are told apart so that one that was shipped by mistake has a name.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::facts::{self, Machine};
use crate::fields::text;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// More members than are worth listing; the others still count for [`Archive::machines`].
const MAX_MEMBERS: usize = 4096;

/// More members than any real archive has.
const MAX_WALKED: usize = 1 << 20;

/// How much of a member tells what it is.
const HEAD: usize = 4096;

/// The facts of a static library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// The first members that hold code.
    pub members: Vec<Member>,
    /// The processors that members have code for.
    pub machines: BTreeSet<Machine>,
    /// Whether it ends before its last member does.
    pub truncated: bool,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name, as far as the member's own header gives it.
    pub name: String,
    /// The processors it has code for.
    pub machines: Vec<Machine>,
}

pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

pub(crate) fn read(bytes: &[u8]) -> Option<Archive> {
    if !is_archive(bytes) {
        return None;
    }
    let mut archive = Archive::default();
    let mut start = MAGIC.len();
    for _ in 0..MAX_WALKED {
        if start >= bytes.len() {
            return Some(archive);
        }
        let Some((member, next)) = member(bytes, start) else { break };
        if let Some(member) = member {
            archive.machines.extend(&member.machines);
            if archive.members.len() < MAX_MEMBERS {
                archive.members.push(member);
            }
        }
        start = next;
    }
    archive.truncated = true;
    Some(archive)
}

/// The member that starts here, when it is code, and where the next one does.
fn member(bytes: &[u8], start: usize) -> Option<(Option<Member>, usize)> {
    let content_start = start.checked_add(HEADER)?;
    let header = bytes.get(start..content_start)?;
    if !header.ends_with(b"`\n") {
        return None;
    }
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.trim_end().parse::<usize>().ok();
    let size = number(header.get(48..58)?)?;
    let end = content_start.checked_add(size)?;
    let mut content = bytes.get(content_start..end)?;
    let mut name = header.get(..16)?;
    // BSD puts a long name before the content.
    if let Some(length) = name.strip_prefix(b"#1/") {
        (name, content) = content.split_at_checked(number(length)?)?;
    }
    let name = name.trim_ascii_end();
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let machines = machines(content.get(..HEAD).unwrap_or(content));
    let member = machines.map(|machines| Member { name: text(name), machines });
    Some((member, end.checked_add(end & 1)?))
}

/// Compiler output for Windows has no magic number of its own, only its processor's at the start.
fn machines(head: &[u8]) -> Option<Vec<Machine>> {
    if let Some(identity) = facts::identify(head) {
        return Some(identity.machines);
    }
    match head.get(..2)? {
        [0x64, 0x86] => Some(vec![Machine::X64]),
        [0x4c, 0x01] => Some(vec![Machine::X86]),
        [0x64, 0xaa] => Some(vec![Machine::Arm64]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (name, content) in members {
            bytes.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, content.len())
                    .bytes(),
            );
            bytes.extend(*content);
            bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        }
        bytes
    }

    #[test]
    fn members_are_listed_with_their_processors() {
        let bytes = archive(&[
            ("/", b"\0\0\0\0"),
            ("a.o/", b"\x64\x86\x01\0"),
            ("notes.txt/", b"odd"),
            ("#1/8", b"long.o\0\0\x64\xaa\x01\0"),
        ]);
        let archive = read(&bytes).expect("well formed");
        let member = |name: &str, machine| Member { name: name.into(), machines: vec![machine] };
        assert_eq!(
            archive.members,
            [member("a.o", Machine::X64), member("long.o", Machine::Arm64)]
        );
        assert_eq!(Vec::from_iter(archive.machines), [Machine::X64, Machine::Arm64]);
        assert!(!archive.truncated);
        assert!(read(&bytes[..bytes.len() - 1]).expect("an archive").truncated);
    }

    proptest! {
        #[test]
        fn damage_is_survived(changes in prop::collection::vec((8_usize..150, any::<u8>()), 1..8)) {
            let mut bytes = archive(&[("a.o/", b"\x64\x86\x01\0"), ("#1/4", b"b.o\0\x64\x86")]);
            for (place, value) in changes {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = value;
                }
            }
            let _ = read(&bytes);
        }
    }
}
