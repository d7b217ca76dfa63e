//! What a file offers: the tree of exported names, or the symbol table of older files.
//!
//! The tree is walked without recursion, and no node twice: a broken one can point back at itself.

use std::collections::HashSet;

use super::symbols;
use super::{Image, Slice};
use crate::facts::Part;
use crate::fields::{Budget, index, name_at};

const REEXPORT: u64 = 0x08;

/// The longest name taken from a file.
const MAX_NAME: usize = 4096;

pub(super) fn read(slice: &mut Slice, image: &Image<'_>) {
    let mut budget = Budget::of(image.bytes.len());
    let names = &mut slice.exports;
    let mut add = |name: &[u8]| {
        names.push(budget.text(name)?.into_boxed_str());
        Some(())
    };
    let read = match tree(image) {
        Some(Some(tree)) => walk(tree, |name, _| add(name)),
        Some(None) => None,
        None => symbols::each(image, |symbol| match symbol.is_exported() {
            true => add(symbol.name),
            false => Some(()),
        }),
    };
    if read.is_none() {
        slice.unread.push(Part::Exports);
    }
}

/// Where an exported function starts in the file.
pub(super) fn place(image: &Image<'_>, wanted: &str) -> Option<usize> {
    let mut found = None;
    walk(tree(image)??, |name, address| {
        if name == wanted.as_bytes() {
            found = address;
        }
        Some(())
    })?;
    image.offset(image.base()?.checked_add(found?)?)
}

/// The bytes of the tree; the outer `None` says that there is none, the inner one that it is not in the file.
fn tree<'a>(image: &Image<'a>) -> Option<Option<&'a [u8]>> {
    Some(image.bytes.get(image.exports.clone()?))
}

/// Hands every name to `visit`, with its offset from the start of the image unless it comes from another library.
fn walk(tree: &[u8], mut visit: impl FnMut(&[u8], Option<u64>) -> Option<()>) -> Option<()> {
    let mut name = Vec::new();
    let mut seen = HashSet::new();
    // Node, how long the name is that leads to its parent, and what comes behind that.
    let mut pending: Vec<(usize, usize, &[u8])> = vec![(0, 0, b"")];
    while let Some((node, parent, edge)) = pending.pop() {
        if !seen.insert(node) {
            return None;
        }
        name.truncate(parent);
        name.extend_from_slice(edge);
        if name.len() > MAX_NAME {
            return None;
        }
        let mut place = node;
        let size = index(number(tree, &mut place)?)?;
        let children = place.checked_add(size)?;
        if size > 0 {
            let flags = number(tree, &mut place)?;
            let address = number(tree, &mut place)?;
            visit(&name, (flags & REEXPORT == 0).then_some(address))?;
        }
        let count = *tree.get(children)?;
        let mut place = children.checked_add(1)?;
        for _ in 0..count {
            let edge = name_at(tree, place)?;
            place = place.checked_add(edge.len())?.checked_add(1)?;
            pending.push((index(number(tree, &mut place)?)?, name.len(), edge));
        }
    }
    Some(())
}

/// A number in groups of seven bits (ULEB128).
fn number(bytes: &[u8], place: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*place)?;
        *place += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::text;

    fn names(tree: &[u8]) -> Option<Vec<(String, Option<u64>)>> {
        let mut names = Vec::new();
        walk(tree, |name, address| {
            names.push((text(name), address));
            Some(())
        })?;
        Some(names)
    }

    #[test]
    fn names_are_put_together_along_the_branches() {
        // "_a" at 5, "_ab" re-exported, "_c" at 300.
        let tree = [
            &b"\0\x01_\0\x05"[..],
            b"\0\x02a\0\x0dc\0\x19",
            b"\x02\0\x05\x01b\0\x14",
            b"\x03\x08\x01\0\0",
            b"\x03\0\xac\x02\0",
        ]
        .concat();
        let mut found = names(&tree).expect("well formed");
        found.sort();
        assert_eq!(
            found,
            [("_a".to_owned(), Some(5)), ("_ab".to_owned(), None), ("_c".to_owned(), Some(300))]
        );
    }

    #[test]
    fn a_tree_that_points_at_itself_ends() {
        assert_eq!(names(b"\0\x01a\0\0"), None);
        assert_eq!(names(b"\0\xff"), None);
        assert_eq!(names(b""), None);
        assert_eq!(names(b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"), None);
    }
}
