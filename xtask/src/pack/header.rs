//! The blocks of tar that stand before an entry's bytes.
//!
//! The format is POSIX ustar. A name that does not fit into it stands in a GNU long-name entry before, because that is
//! what every `tar` reads; a pax record says the same more properly, and busybox passes over it.

use std::borrow::Cow;

use tar::{EntryType, Header};

use super::MODIFIED;
use super::entry::{Entry, Kind};

/// tar is made of blocks of this size.
pub(super) const BLOCK: usize = 512;

/// The room for a name, in bytes.
const NAME: usize = 100;

/// The room for a link's target, in bytes.
const LINK_NAME: usize = 100;

/// The name GNU tar gives to an entry that holds a long name.
const LONG_NAME: &str = "././@LongLink";

/// The headers of `entry`: everything before its bytes.
pub(super) fn blocks(entry: &Entry<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK);
    let (kind, mode, target) = match entry.kind {
        Kind::Folder => (EntryType::Directory, 0o755, ""),
        Kind::File(_, source) if source.executable => (EntryType::Regular, 0o755, ""),
        Kind::File(..) | Kind::Manifest(_) => (EntryType::Regular, 0o644, ""),
        Kind::Link(target) => (EntryType::Symlink, 0o777, target),
    };
    let mut header = header(kind, mode, entry.file_size());
    let ustar = header.as_ustar_mut().expect("it was made as one");
    if !fill(&mut ustar.linkname, target) {
        long_name(&mut bytes, EntryType::GNULongLink, target);
    }
    let name = with_slash(entry);
    match split(&name) {
        Some((prefix, name)) => {
            fill(&mut ustar.prefix, prefix);
            fill(&mut ustar.name, name);
        }
        None => {
            long_name(&mut bytes, EntryType::GNULongName, &name);
            fill(&mut ustar.name, &name);
        }
    }
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// How many bytes [`blocks`] are, without making them.
pub(super) fn length(entry: &Entry<'_>) -> u64 {
    let target = match entry.kind {
        Kind::Link(target) if target.len() > LINK_NAME => long_name_length(target.len()),
        _ => 0,
    };
    let slash = usize::from(matches!(entry.kind, Kind::Folder));
    // What fits into the field for names is by far the most, and needs no look for a slash.
    let name = match entry.name.len() + slash {
        length if length <= NAME => 0,
        length if split(&with_slash(entry)).is_none() => long_name_length(length),
        _ => 0,
    };
    (target + name + BLOCK) as u64
}

/// How many zeros follow `length` bytes, so that the next block can begin.
pub(super) fn padding(length: u64) -> usize {
    let block = BLOCK as u64;
    usize::try_from((block - length % block) % block).expect("less than a block")
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MODIFIED);
    header.set_size(size);
    header
}

/// An entry whose bytes are the name of the next one.
fn long_name(bytes: &mut Vec<u8>, kind: EntryType, name: &str) {
    let length = name.len() as u64 + 1;
    let mut header = header(kind, 0o644, length);
    fill(&mut header.as_ustar_mut().expect("it was made as one").name, LONG_NAME);
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(bytes.len() + 1 + padding(length), 0);
}

/// How many bytes [`long_name`] adds for a name of `length` bytes.
fn long_name_length(length: usize) -> usize {
    BLOCK + (length + 1).next_multiple_of(BLOCK)
}

/// A folder's name ends with a slash.
fn with_slash<'entry>(entry: &'entry Entry<'_>) -> Cow<'entry, str> {
    match entry.kind {
        Kind::Folder => Cow::Owned(format!("{}/", entry.name)),
        _ => Cow::Borrowed(&entry.name),
    }
}

/// Puts as much of `text` into a field as it takes; says whether that is all.
fn fill(field: &mut [u8], text: &str) -> bool {
    let end = text.floor_char_boundary(field.len());
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    end == text.len()
}

/// A name as ustar's prefix (155 bytes) and name (100 bytes), the prefix as long as it may be; `None` if it does not fit.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= NAME {
        return Some(("", name));
    }
    let body = name.strip_suffix('/').unwrap_or(name);
    let slash = body[..body.floor_char_boundary(156)].rfind('/').filter(|at| *at > 0)?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (rest.len() <= NAME).then_some((prefix, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_slashes() {
        let a = |count| "a".repeat(count);
        assert_eq!(split(&a(100)), Some(("", &*a(100))));
        assert_eq!(split(&a(101)), None);
        let fits = format!("{}/{}", a(155), a(100));
        assert_eq!(split(&fits), Some((&*a(155), &*a(100))));
        assert_eq!(split(&format!("{}/{}", a(156), a(50))), None);
        assert_eq!(split(&format!("{}/{}", a(50), a(101))), None);
        // A folder's last slash is no place to cut.
        assert_eq!(split(&format!("{}/", a(120))), None);
        let folder = format!("{}/{}/", a(60), a(60));
        assert_eq!(split(&folder), Some((&*a(60), &folder[61..])));
        let longest = format!("{}/{}/{}", a(60), a(60), a(60));
        assert_eq!(split(&longest), Some((&longest[..121], &*a(60))));
        // Byte 156 is in the middle of a character here.
        let wide = format!("{}/{}/x", a(60), "\u{2603}".repeat(40));
        assert_eq!(split(&wide), None);
    }

    #[test]
    fn lengths_are_those_of_blocks() {
        let a = |count| "a".repeat(count);
        let lengths = [1, 99, 100, 101, 155, 156, 255, 256, 257, 511, 512, 513, 900];
        let slashes = [0, 40, 99, 100, 101, 150, 155, 156, 200];
        let target = a(600);
        for (length, slash) in lengths.iter().flat_map(|length| slashes.map(|at| (*length, at))) {
            let name = match length > slash + 1 && slash > 0 {
                true => format!("{}/{}", a(slash), a(length - slash - 1)),
                false => a(length),
            };
            let links =
                [1, 99, 100, 101, 511, 512, 600].map(|length| Kind::Link(&target[..length]));
            for kind in links.into_iter().chain([Kind::Folder, Kind::Manifest(b"{}")]) {
                let mut entry = Entry::manifest("app", b"{}");
                (entry.name, entry.kind) = (name.clone(), kind);
                assert_eq!(super::length(&entry), blocks(&entry).len() as u64, "{entry:?}");
            }
        }
    }

    #[test]
    fn padding_fills_blocks() {
        for (length, zeros) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)] {
            assert_eq!(padding(length), zeros);
        }
    }
}
