//! What a manifest lists, in little memory: read as a stream, checked, and kept without its text.
//!
//! Whoever unpacks an archive needs of its manifest which files there are, and what each must be: about 90 bytes a file
//! here, where the text and [`crate::Manifest`] together take 500.

use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::error::Fault;
use super::paths::Paths;
use crate::programs::{self, Programs};
use crate::{
    AppName, BLOCK, BundlePath, Digest, File, Frame, Link, MANIFEST_FILE, MANIFEST_VERSION, Mode,
    Os, Platform, ProgramName,
};

/// How much of the text is held.
const BUFFER: usize = 64 << 10;

/// A manifest's lists. Files, links and folders have numbers: their places, sorted by path.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) files: Paths,
    facts: Vec<Facts>,
    /// The files' numbers, in the order of the tar stream; empty if the manifest does not say.
    order: Vec<u32>,
    pub(super) links: Paths,
    targets: Vec<String>,
    /// Every folder that a file or link is in.
    pub(super) folders: Paths,
    pub(super) frames: Vec<Frame>,
    /// Bytes of all files.
    pub(super) size: u64,
}

/// What a file must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) sha256: Digest,
    pub(super) size: u64,
    block: u32,
    pub(super) mode: Mode,
}

impl Facts {
    /// Where its bytes begin in the tar stream.
    pub(super) fn start(&self) -> u64 {
        u64::from(self.block) * BLOCK
    }

    pub(super) fn end(&self) -> u64 {
        self.start().saturating_add(self.size)
    }
}

impl Listing {
    /// Reads the content of a `manifest.json`. It is refused when it takes more than `most` bytes of memory.
    pub(super) fn read(text: impl Read, most: u64) -> Result<Self, Fault> {
        let mut draft = Draft { most, ..Draft::default() };
        // It is read byte by byte, and whoever gives the bytes may have a call of the system for each.
        let text = BufReader::with_capacity(BUFFER, text);
        let mut deserializer = serde_json::Deserializer::from_reader(text);
        let read = draft.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        match (draft.fault.take(), read) {
            (Some(fault), _) => Err(fault),
            (None, Err(error)) => Err(Fault::Manifest { reason: error.to_string() }),
            (None, Ok(())) => draft.finish(),
        }
    }

    pub(super) fn facts(&self, file: usize) -> &Facts {
        &self.facts[file]
    }

    pub(super) fn path(&self, file: usize) -> String {
        let mut path = String::new();
        self.files.read(file, &mut path);
        path
    }

    pub(super) fn target(&self, link: usize) -> &str {
        &self.targets[link]
    }

    /// How many files there are in the order of the stream.
    pub(super) fn ordered(&self) -> usize {
        self.order.len()
    }

    /// The file at a place in the order of the stream.
    pub(super) fn in_order(&self, place: usize) -> usize {
        self.order[place] as usize
    }

    /// The first place in the order of the stream whose file ends after `position`, or begins there.
    pub(super) fn place(&self, position: u64) -> usize {
        self.order.partition_point(|file| {
            let facts = self.facts(*file as usize);
            facts.end() <= position && facts.start() < position
        })
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> u64 {
        memory(&[&self.files, &self.links, &self.folders], &self.facts, &self.frames, &self.targets)
            + 4 * self.order.len() as u64
    }

    /// Whether the frames follow each other from the first byte on, and have no more than the listed files and their headers: for
    /// whoever has no seek table to compare them with.
    pub(super) fn check_frames(&self) -> Result<(), Fault> {
        let (mut offset, mut plain) = (0_u64, 0_u64);
        for (index, frame) in self.frames.iter().enumerate() {
            let place =
                Fault::FramePlace { frame: index, offset: frame.offset, length: frame.size };
            let end = offset.checked_add(frame.size).filter(|_| frame.size > 0);
            match end.filter(|_| frame.offset == offset && frame.plain > 0) {
                Some(end) => offset = end,
                None => return Err(place),
            }
            plain = plain.saturating_add(frame.plain);
        }
        match self.longest_stream() {
            most if plain > most => {
                Err(Fault::Total { field: "a size of all frames of", expected: most, found: plain })
            }
            _ => Ok(()),
        }
    }

    /// No archive of these entries has a longer tar stream, however long their names are.
    pub(super) fn longest_stream(&self) -> u64 {
        // A header, and one with its content for a long name and a long target each.
        const HEADERS: u64 = 512 + 2 * (512 + BundlePath::MAX_LENGTH as u64 + 512);
        let entries = 1 + self.files.len() + self.links.len() + self.folders.len();
        self.size.saturating_add(entries as u64 * (HEADERS + BLOCK))
    }
}

/// Numbers of bytes of what grows with the number of files.
fn memory(paths: &[&Paths], facts: &Vec<Facts>, frames: &Vec<Frame>, targets: &[String]) -> u64 {
    let paths: usize = paths.iter().map(|paths| paths.memory()).sum();
    let targets: usize = targets.iter().map(|target| target.capacity() + size_of::<String>()).sum();
    let facts = facts.capacity() * size_of::<Facts>();
    (paths + targets + facts + frames.capacity() * size_of::<Frame>()) as u64
}

/// A listing that is being read.
#[derive(Default)]
struct Draft {
    most: u64,
    version: Option<u32>,
    app: Option<AppName>,
    programs: Programs,
    platform: Option<Platform>,
    unpacked_size: Option<u64>,
    files: Paths,
    facts: Vec<Facts>,
    has_blocks: Option<bool>,
    links: Paths,
    targets: Vec<String>,
    frames: Vec<Frame>,
    size: u64,
    /// Which of the lists were there.
    seen: [bool; 3],
    /// What is wrong in words of ours: the reader of JSON only knows that something is.
    fault: Option<Fault>,
}

/// The lists of a manifest.
#[derive(Clone, Copy)]
enum List {
    Files,
    Links,
    Frames,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Version,
    App,
    Entrypoints,
    Services,
    Health,
    Platform,
    UnpackedSize,
    Frames,
    Files,
    Links,
    #[serde(other)]
    Other,
}

/// The app.
#[derive(Deserialize)]
struct Named {
    name: AppName,
}

/// What is asked whether the gateway is well. It must be a name, as it is joined to folders.
#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "entrypoint")]
    _entrypoint: ProgramName,
}

impl Draft {
    fn deserialize<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn add_file(&mut self, file: &File) -> Result<(), Fault> {
        let path = file.path.as_str();
        let listed = |reason| Fault::Listed { path: path.to_owned(), reason };
        if path == MANIFEST_FILE {
            return Err(listed("it cannot be one of its own files"));
        }
        self.files.push(path).map_err(|_| listed("it is not after the file before it"))?;
        if *self.has_blocks.get_or_insert(file.block.is_some()) != file.block.is_some() {
            return Err(listed("it and other files differ in whether their place is known"));
        }
        self.size = self.size.checked_add(file.size).ok_or_else(|| listed("it is too large"))?;
        let File { size, mode, sha256, .. } = *file;
        self.facts.push(Facts { sha256, size, block: file.block.unwrap_or_default(), mode });
        self.check_memory(self.facts.len())
    }

    fn add_link(&mut self, link: Link) -> Result<(), Fault> {
        let Link { path, target } = link;
        let listed = |reason| Fault::Listed { path: path.to_string(), reason };
        if path.as_str() == MANIFEST_FILE {
            return Err(listed("it cannot be a link"));
        }
        if !path.holds_link_to(&target) {
            return Err(Fault::LinkOut { path, target });
        }
        self.links.push(path.as_str()).map_err(|_| listed("it is not after the link before it"))?;
        self.targets.push(target);
        self.check_memory(self.targets.len())
    }

    fn add_frame(&mut self, frame: Frame) -> Result<(), Fault> {
        self.frames.push(frame);
        self.check_memory(self.frames.len())
    }

    /// Looked at now and then: it adds up what there is.
    fn check_memory(&self, count: usize) -> Result<(), Fault> {
        if !count.is_multiple_of(4096) {
            return Ok(());
        }
        let needed = memory(&[&self.files, &self.links], &self.facts, &self.frames, &self.targets);
        match needed > self.most {
            true => Err(Fault::Memory { needed, most: self.most }),
            false => Ok(()),
        }
    }

    fn finish(self) -> Result<Listing, Fault> {
        let Some(unpacked_size) = self.unpacked_size.filter(|_| self.version.is_some()) else {
            let reason = "it has no `version` or no `unpacked_size`".to_owned();
            return Err(Fault::Manifest { reason });
        };
        if unpacked_size != self.size {
            let field = "an `unpacked_size` of";
            return Err(Fault::Total { field, expected: self.size, found: unpacked_size });
        }
        let checked = self.app.as_ref().map_or(Ok(()), |app| self.programs.check(app));
        checked.map_err(|error| Fault::Manifest { reason: error.to_string() })?;
        let Self { mut files, mut facts, mut links, targets, frames, size, most, .. } = self;
        for list in [&mut files, &mut links] {
            list.shrink();
        }
        facts.shrink_to_fit();
        let order = match self.has_blocks {
            Some(true) => order(&files, &facts)?,
            Some(false) | None => Vec::new(),
        };
        let folders = folders(&files, &links)?;
        if let Some(Platform { os, .. }) = self.platform {
            check_names(os, &files, &links, &folders)?;
        }
        let listing = Listing { files, facts, order, links, targets, folders, frames, size };
        match listing.memory() {
            needed if needed > most => Err(Fault::Memory { needed, most }),
            _ => Ok(listing),
        }
    }
}

/// The numbers of the files in the order of the stream, in which none is in another.
fn order(files: &Paths, facts: &[Facts]) -> Result<Vec<u32>, Fault> {
    let count = u32::try_from(facts.len()).map_err(|_| Fault::Manifest {
        reason: "it lists more files than can be counted".to_owned(),
    })?;
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_unstable_by_key(|file| facts[*file as usize].block);
    let mut end = 0_u64;
    for file in &order {
        let facts = &facts[*file as usize];
        // Before each file is its header.
        if end.saturating_add(BLOCK) > facts.start() {
            let mut path = String::new();
            files.read(*file as usize, &mut path);
            return Err(Fault::Listed { path, reason: "it is said to be where something else is" });
        }
        end = facts.end();
    }
    Ok(order)
}

/// Every folder that something is in. None of them is a file or link itself, and nothing is both.
fn folders(files: &Paths, links: &Paths) -> Result<Paths, Fault> {
    let mut found = std::collections::BTreeSet::new();
    let mut fault = None;
    let mut last = String::new();
    for paths in [files, links] {
        paths.each(|_, path| {
            let Some((folder, _)) = path.rsplit_once('/') else { return };
            if folder != last {
                folder.clone_into(&mut last);
                let mut folder = folder;
                while found.insert(folder.to_owned()) {
                    let Some((above, _)) = folder.rsplit_once('/') else { break };
                    folder = above;
                }
            }
        });
    }
    let mut check = |path: &str, is_known: bool| {
        if is_known && fault.is_none() {
            let reason = "it is both of a folder, a file and a link";
            fault = Some(Fault::Listed { path: path.to_owned(), reason });
        }
    };
    if found.contains(MANIFEST_FILE) {
        check(MANIFEST_FILE, true);
    }
    files.each(|_, path| check(path, found.contains(path)));
    links.each(|_, path| check(path, found.contains(path) || files.find(path).is_some()));
    let mut folders = Paths::default();
    for folder in &found {
        let pushed = folders.push(folder);
        pushed.map_err(|_| Fault::Listed {
            path: folder.clone(),
            reason: "it is one folder too many",
        })?;
    }
    folders.shrink();
    fault.map_or(Ok(folders), Err)
}

/// Whether the system a bundle is for can have its names.
fn check_names(os: Os, files: &Paths, links: &Paths, folders: &Paths) -> Result<(), Fault> {
    if os == Os::Linux {
        return Ok(());
    }
    let mut fault = None;
    let mut spellings: Vec<(u64, u32)> =
        Vec::with_capacity(files.len() + links.len() + folders.len());
    let lists = [files, links, folders];
    for (list, paths) in lists.into_iter().enumerate() {
        paths.each(|index, path| {
            let reason = (os == Os::Win32).then(|| BundlePath::windows_fault(path)).flatten();
            if let (Some(reason), None) = (reason, &fault) {
                fault = Some(Fault::Listed { path: path.to_owned(), reason });
            }
            let spelling = crate::spelling(path);
            if let (MANIFEST_FILE, None) = (spelling.as_str(), &fault) {
                let (first, second) = (MANIFEST_FILE.to_owned(), path.to_owned());
                fault = Some(Fault::Collision { first, second });
            }
            // Two bits say in which list it is.
            spellings
                .push((number(&spelling), u32::try_from(index * 4 + list).unwrap_or(u32::MAX)));
        });
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    spellings.sort_unstable();
    let text = |place: u32| {
        let mut text = String::new();
        lists[place as usize % 4].read(place as usize / 4, &mut text);
        text
    };
    for pair in spellings.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let (first, second) = (text(pair[0].1), text(pair[1].1));
        // Folders of two spellings are one folder, and nothing is lost.
        let are_folders = pair.iter().all(|(_, place)| place % 4 == 2);
        if !are_folders && crate::spelling(&first) == crate::spelling(&second) {
            return Err(Fault::Collision { first, second });
        }
    }
    Ok(())
}

/// A number for a text. Others may have it, too.
fn number(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl<'de> Visitor<'de> for &mut Draft {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a bundle's manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Version => {
                    let found = map.next_value()?;
                    if found != MANIFEST_VERSION {
                        self.fault = Some(Fault::Version { found });
                        return Err(A::Error::custom("of another version"));
                    }
                    self.version = Some(found);
                }
                Field::App => self.app = Some(map.next_value::<Named>()?.name),
                Field::Entrypoints | Field::Services => {
                    map.next_value_seed(programs::List(&mut self.programs))?;
                }
                Field::Health => drop(map.next_value::<Asked>()?),
                Field::Platform => self.platform = Some(map.next_value()?),
                Field::UnpackedSize => self.unpacked_size = Some(map.next_value()?),
                Field::Frames => map.next_value_seed(Entries(self, List::Frames))?,
                Field::Files => map.next_value_seed(Entries(self, List::Files))?,
                Field::Links => map.next_value_seed(Entries(self, List::Links))?,
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// One list that is being read into a draft.
struct Entries<'a>(&'a mut Draft, List);

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self(draft, kind) = self;
        if std::mem::replace(&mut draft.seen[kind as usize], true) {
            return Err(A::Error::custom("a list is there twice"));
        }
        loop {
            let added = match kind {
                List::Files => list.next_element::<File>()?.map(|file| draft.add_file(&file)),
                List::Links => list.next_element::<Link>()?.map(|link| draft.add_link(link)),
                List::Frames => list.next_element::<Frame>()?.map(|frame| draft.add_frame(frame)),
            };
            match added {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(fault)) => {
                    draft.fault = Some(fault);
                    return Err(A::Error::custom("refused"));
                }
            }
        }
    }
}
