//! Which bytes of the old version each step of a patch starts from.
//!
//! A file starts from the one at its place; a new one from the one of its folder that is gone and has the most similar name, because builds give files
//! names with a digest in them. A large file is made window by window, each from the bytes around the same place: code moves by
//! a few hundred kilobytes from one release to the next. Small ones are taken together.

use std::collections::{HashMap, HashSet};

use gangway_artifact::delta::patch::{MOST_NEW, MOST_OLD, Slice};
use gangway_artifact::{BundlePath, File, MANIFEST_FILE, Manifest};

/// A step without its bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sketch {
    pub(super) old: Vec<Slice>,
    pub(super) new: Vec<Slice>,
}

/// How far from its place a window is looked for.
const MARGIN: u64 = (MOST_OLD - MOST_NEW) / 2;

/// The steps that make the new manifest, of `sizes.1` bytes, of the old one, and then all of `fetched`.
pub(super) fn all(
    old: &Manifest,
    new: &Manifest,
    sizes: (u64, u64),
    fetched: &[&File],
) -> Vec<Sketch> {
    let manifest = BundlePath::new(MANIFEST_FILE).expect("a plain name");
    let mut steps = windows((&manifest, sizes.0).into(), &manifest, sizes.1);
    let counterparts = Counterparts::of(old, new);
    let mut files: Vec<_> = fetched.iter().filter(|file| file.size > 0).collect();
    // In the order of the archive what is alike stands together.
    files.sort_by_key(|file| file.block);
    let mut open = Sketch::default();
    for file in files {
        let from = counterparts.find(file);
        if file.size > MOST_NEW {
            let from = from.map(|from| (&from.path, from.size));
            steps.extend(windows(from, &file.path, file.size));
            continue;
        }
        let from = from.map(|from| slice(&from.path, 0, from.size.min(MOST_OLD)));
        let too_much = |slices: &[Slice], more: u64, most: u64| {
            slices.iter().map(|slice| slice.size).sum::<u64>() + more > most
        };
        if too_much(&open.new, file.size, MOST_NEW)
            || too_much(&open.old, from.as_ref().map_or(0, |from| from.size), MOST_OLD)
        {
            steps.push(std::mem::take(&mut open));
        }
        open.old.extend(from);
        open.new.push(slice(&file.path, 0, file.size));
    }
    if !open.new.is_empty() {
        steps.push(open);
    }
    steps
}

fn windows(old: Option<(&BundlePath, u64)>, new: &BundlePath, size: u64) -> Vec<Sketch> {
    let starts = (0..size.div_ceil(MOST_NEW)).map(|index| index * MOST_NEW);
    let step = |start: u64| {
        let length = MOST_NEW.min(size - start);
        let from = old.and_then(|(path, old_size)| {
            let first = start.saturating_sub(MARGIN);
            let last = (start + length + MARGIN).min(old_size);
            (first < last).then(|| slice(path, first, last - first))
        });
        Sketch { old: from.into_iter().collect(), new: vec![slice(new, start, length)] }
    };
    starts.map(step).collect()
}

fn slice(path: &BundlePath, offset: u64, size: u64) -> Slice {
    Slice { path: path.clone(), offset, size }
}

/// What a changed or new file was before.
struct Counterparts<'a> {
    by_path: HashMap<&'a BundlePath, &'a File>,
    /// Files that are gone, by folder and extension.
    gone: HashMap<(&'a str, &'a str), Vec<&'a File>>,
}

impl<'a> Counterparts<'a> {
    fn of(old: &'a Manifest, new: &'a Manifest) -> Self {
        let remaining: HashSet<_> = new.files.iter().map(|file| &file.path).collect();
        let mut gone: HashMap<_, Vec<_>> = HashMap::new();
        for file in old.files.iter().filter(|file| !remaining.contains(&file.path)) {
            gone.entry(kind(&file.path)).or_default().push(file);
        }
        Self { by_path: old.files.iter().map(|file| (&file.path, file)).collect(), gone }
    }

    fn find(&self, file: &File) -> Option<&'a File> {
        if let Some(same) = self.by_path.get(&file.path) {
            return Some(same);
        }
        let name = file.path.name();
        let similarity = |other: &&File| {
            let pairs = name.bytes().zip(other.path.name().bytes());
            let prefix = pairs.take_while(|(one, other)| one == other).count();
            (prefix, std::cmp::Reverse(other.size.abs_diff(file.size)))
        };
        let similar = self.gone.get(&kind(&file.path))?.iter().copied();
        similar.max_by_key(similarity).filter(|other| similarity(other).0 > 0)
    }
}

/// The folder and the extension.
fn kind(path: &BundlePath) -> (&str, &str) {
    let (folder, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    (folder, name.rsplit_once('.').map_or("", |(_, extension)| extension))
}

#[cfg(test)]
mod tests {
    use gangway_artifact::{Digest, Mode};

    use super::*;

    fn file(path: &str, size: u64) -> File {
        let path = BundlePath::new(path).expect("plain");
        File { path, size, mode: Mode::Plain, block: Some(0), sha256: Digest::of("") }
    }

    fn manifest(files: &[File]) -> Manifest {
        let manifest = serde_json::json!({
            "version": 1, "builder": "gangway 0.1.0", "app": { "name": "a", "version": "1.0.0" },
            "target": "linux-x64", "platform": { "os": "linux", "cpu": "x64", "libc": "glibc" },
            "entrypoints": [], "contract": gangway_artifact::Contract::default(),
            "unpacked_size": 0, "files": files, "links": [],
        });
        serde_json::from_value(manifest).expect("as it should be")
    }

    fn describe(old: &[File], new: &[File]) -> String {
        let (old, new) = (manifest(old), manifest(new));
        let fetched: Vec<_> = new.files.iter().collect();
        let slices = |slices: &[Slice]| {
            let slices = slices.iter().map(|slice| {
                format!("{}[{}+{}]", slice.path, slice.offset >> 20, slice.size >> 20)
            });
            slices.collect::<Vec<_>>().join(" ")
        };
        let steps = all(&old, &new, (3 << 20, 2 << 20), &fetched);
        let steps =
            steps.iter().map(|step| format!("{} -> {}", slices(&step.old), slices(&step.new)));
        steps.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_each_step_starts_from() {
        const MIB: u64 = 1 << 20;
        let old = vec![
            file("app/a.js", 2 * MIB),
            file("app/chunk-AAAA.css", MIB),
            file("app/chunk-AAAA.js", MIB),
            file("app/other-BBBB.js", MIB),
            file("node", 40 * MIB),
            file("shrunk", 30 * MIB),
        ];
        let new = vec![
            file("app/a.js", 3 * MIB),
            file("app/chunk-CCCC.js", 2 * MIB),
            file("app/zzz.js", 4 * MIB),
            file("b/chunk-AAAA.js", MIB),
            file("empty", 0),
            file("node", 41 * MIB),
            file("shrunk", 5 * MIB),
        ];
        insta::assert_snapshot!(describe(&old, &new), @"
        manifest.json[0+3] -> manifest.json[0+2]
        app/a.js[0+2] app/chunk-AAAA.js[0+1] -> app/a.js[0+3] app/chunk-CCCC.js[0+2]
        node[0+16] -> node[0+8]
        node[0+24] -> node[8+8]
        node[8+24] -> node[16+8]
        node[16+24] -> node[24+8]
        node[24+16] -> node[32+8]
        node[32+8] -> node[40+1]
         -> app/zzz.js[0+4] b/chunk-AAAA.js[0+1]
        shrunk[0+24] -> shrunk[0+5]
        ");
    }
}
