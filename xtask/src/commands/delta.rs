//! `cargo xtask delta`: what an update from one version to the next costs, and patches where they cost less.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::delta::patch::{PATCH_VERSION, Patch, Patches};
use gangway_artifact::delta::ranges::{Costs, Range};
use gangway_artifact::delta::{self, Keeping, Update};
use gangway_artifact::{Digest, Frames, Manifest};
use serde::Serialize;

use crate::context::Context;
use crate::delta::{Bundle, UpdateError, make};
use crate::pack;
use crate::summary::size;

/// How many packages are named.
const MOST_NAMED: usize = 5;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What requests cost.
    pub costs: Costs,
    /// Where a patch is kept.
    pub patches: Option<Utf8PathBuf>,
}

/// What an update costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    app: String,
    target: String,
    old: String,
    new: String,
    /// Files that are linked from the old version.
    pub linked: Files,
    /// Files that are copied, because their mode is another.
    pub copied: Files,
    /// Files whose bytes are fetched.
    pub fetched: Files,
    /// Bytes at the archive's end with the manifest.
    pub manifest: u64,
    /// What else is fetched.
    pub ranges: Vec<Ranged>,
    /// Bytes of everything that is fetched.
    pub download: u64,
    /// Requests for it.
    pub requests: u64,
    /// Bytes of the whole archive.
    pub full: u64,
    /// Where most of it comes from.
    pub contributors: Vec<Contributor>,
    /// What a patch would cost instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patched>,
}

/// Some files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A part of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ranged {
    offset: u64,
    size: u64,
    frames: usize,
    unwanted: u64,
}

/// A package, or a folder of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contributor {
    name: String,
    /// Its changed and new files.
    #[serde(flatten)]
    files: Files,
    /// Its share of the frames that are fetched for them.
    download: u64,
}

/// A patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Patched {
    /// Its length, with that of the list that names it.
    pub size: u64,
    /// Where it was written, if it costs less.
    pub path: Option<Utf8PathBuf>,
}

/// Plans the update from `old` to `new`, and makes the patch if it is asked for.
///
/// # Errors
/// When one of them cannot be read, they are not versions of one bundle, or the patch cannot be written.
pub fn run(
    context: &Context,
    old: &Utf8Path,
    new: &Utf8Path,
    options: &Options,
) -> Result<Cost, UpdateError> {
    let (old, new) = (Bundle::open(old)?, Bundle::open(new)?);
    let update = delta::plan(&old.manifest, &new.manifest, options.costs).map_err(|source| {
        UpdateError::Unrelated { old: old.path.clone(), new: new.path.clone(), source }
    })?;
    let mut cost = cost(&old, &new, &update)?;
    if let Some(folder) = &options.patches {
        let bytes = make(context, &old, &new, &update)?;
        let pays = cost.whole(options.costs) > options.costs.request * 2 + bytes.len() as u64;
        let path = pays.then(|| keep(folder, &old, &new, &bytes)).transpose()?;
        cost.patch = Some(Patched { size: bytes.len() as u64, path });
    }
    Ok(cost)
}

fn cost(old: &Bundle, new: &Bundle, update: &Update<'_>) -> Result<Cost, UpdateError> {
    let manifest = new.tail_size()?;
    let kept = |keeping| {
        let kept = update.kept.iter().filter(move |kept| kept.keeping() == keeping);
        Files::of(kept.map(|kept| kept.file.size))
    };
    Ok(Cost {
        app: new.manifest.app.name.to_string(),
        target: new.manifest.target.to_string(),
        old: old.manifest.app.version.clone(),
        new: new.manifest.app.version.clone(),
        linked: kept(Keeping::Link),
        copied: kept(Keeping::Copy),
        fetched: Files::of(update.fetched.iter().map(|file| file.size)),
        manifest,
        ranges: update.ranges.iter().map(Ranged::of).collect(),
        download: manifest + update.bytes(),
        requests: 1 + update.ranges.len() as u64,
        full: new.size()?,
        contributors: contributors(&new.manifest, update),
        patch: None,
    })
}

impl Files {
    fn of(sizes: impl Iterator<Item = u64>) -> Self {
        sizes.fold(Self::default(), |sum, size| Self {
            files: sum.files + 1,
            bytes: sum.bytes + size,
        })
    }
}

impl Ranged {
    fn of(range: &Range) -> Self {
        let Range { offset, size, unwanted, .. } = *range;
        Self { offset, size, frames: range.frames.len(), unwanted }
    }
}

/// Packages by what is fetched for them. A frame that several need is shared by the bytes they have in it.
fn contributors(new: &Manifest, update: &Update<'_>) -> Vec<Contributor> {
    let Ok(frames) = Frames::of(new) else { return Vec::new() };
    let mut wanted: BTreeMap<usize, u64> = BTreeMap::new();
    for piece in update.fetched.iter().flat_map(|file| frames.pieces(file)) {
        *wanted.entry(piece.frame).or_default() += piece.length;
    }
    let mut packages: BTreeMap<&str, Contributor> = BTreeMap::new();
    for file in &update.fetched {
        let name = pack::group(file.path.as_str());
        let package = packages.entry(name).or_insert_with(|| Contributor {
            name: name.to_owned(),
            files: Files::default(),
            download: 0,
        });
        package.files.files += 1;
        package.files.bytes += file.size;
        for piece in frames.pieces(file) {
            let share = u128::from(frames.list()[piece.frame].size) * u128::from(piece.length);
            let share = share / u128::from(wanted[&piece.frame]);
            package.download += u64::try_from(share).expect("less than a frame");
        }
    }
    let mut packages: Vec<_> = packages.into_values().collect();
    packages.sort_by_key(|package| std::cmp::Reverse(package.download));
    packages
}

/// Writes a patch and enters it in the list of the patches to this version.
fn keep(
    folder: &Utf8Path,
    old: &Bundle,
    new: &Bundle,
    bytes: &[u8],
) -> Result<Utf8PathBuf, UpdateError> {
    let Manifest { app, target, .. } = &new.manifest;
    let name = format!("{}-{}-{target}", app.name, app.version);
    let version = old.manifest.app.version.clone();
    let patch = Patch {
        name: format!("{name}.from-{version}.patch"),
        version,
        from: old.digest(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    let list = folder.join(format!("{name}.patches.json"));
    let mut patches = Patches {
        version: PATCH_VERSION,
        app: app.name.to_string(),
        target: target.clone(),
        to: new.digest(),
        patches: Vec::new(),
    };
    if let Ok(text) = fs_err::read(&list) {
        let there: Patches = serde_json::from_slice(&text)
            .map_err(|source| UpdateError::Patches { path: list.clone(), source })?;
        // Those to another build of this version lead nowhere now.
        if there.to == patches.to {
            patches.patches = there.patches;
        }
    }
    patches.patches.retain(|other| other.name != patch.name);
    let path = folder.join(&patch.name);
    patches.patches.push(patch);
    patches.patches.sort_by(|one, other| one.name.cmp(&other.name));
    write(&path, bytes)?;
    write(&list, &patches.to_json())?;
    Ok(path)
}

/// Replaces a file as a whole or not at all.
fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), UpdateError> {
    let failed = |source| UpdateError::Write { path: path.to_owned(), source };
    let partial = Utf8PathBuf::from(format!("{path}.partial"));
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder).map_err(failed)?;
    }
    fs_err::write(&partial, bytes).map_err(failed)?;
    fs_err::rename(&partial, path).map_err(failed)
}

impl Cost {
    /// What it costs without a patch, requests counted.
    fn whole(&self, costs: Costs) -> u64 {
        self.download + costs.request * self.requests
    }

    /// As a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let Self { app, target, old, new, .. } = self;
        let mut text = format!("{app} {old} -> {new} for {target}\n\n");
        for (what, Files { files, bytes }) in
            [("linked", self.linked), ("copied", self.copied), ("fetched", self.fetched)]
        {
            if files > 0 {
                line(&mut text, what, bytes, &count(files, "file"));
            }
        }
        text.push('\n');
        line(&mut text, "manifest", self.manifest, "1 request");
        if !self.ranges.is_empty() {
            let sum = |part: fn(&Ranged) -> u64| self.ranges.iter().map(part).sum::<u64>();
            let frames = sum(|range| range.frames as u64);
            let unwanted = match sum(|range| range.unwanted) {
                0 => String::new(),
                bytes => format!(", {} between them unwanted", size(bytes)),
            };
            let requests = count(self.ranges.len() as u64, "request");
            let what = format!("{} in {requests}{unwanted}", count(frames, "frame"));
            line(&mut text, "frames", sum(|range| range.size), &what);
        }
        let of =
            format!("{} of the archive's {}", percent(self.download, self.full), size(self.full));
        line(&mut text, "download", self.download, &of);
        if let Some(Patched { size: bytes, path }) = &self.patch {
            let of = percent(*bytes, self.full);
            let what = match path {
                Some(path) => format!("{of}, written to {path}"),
                None => format!("{of}, which does not pay: nothing is written"),
            };
            line(&mut text, "as a patch", *bytes, &what);
        }
        if !self.contributors.is_empty() {
            text.push_str("\nmost of it for\n");
        }
        for Contributor { name, files, download } in self.contributors.iter().take(MOST_NAMED) {
            let what = format!("{name}, {} of {}", count(files.files, "file"), size(files.bytes));
            line(&mut text, "", *download, &what);
        }
        text.trim_end().to_owned()
    }
}

fn line(text: &mut String, what: &str, bytes: u64, more: &str) {
    writeln!(text, "  {what:<10} {:>10}  {more}", size(bytes)).expect("strings grow");
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn percent(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / whole.max(1) as f64;
    if part > 0 && percent < 0.01 { "< 0.01 %".to_owned() } else { format!("{percent:.2} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_are_told() {
        let files = |files, bytes| Files { files, bytes };
        let package = |name: &str, count, bytes, download| Contributor {
            name: name.to_owned(),
            files: files(count, bytes),
            download,
        };
        let mut cost = Cost {
            app: "gw".to_owned(),
            target: "linux-x64".to_owned(),
            old: "1.0.0".to_owned(),
            new: "1.1.0".to_owned(),
            linked: files(1200, 90_000_000),
            copied: files(1, 300),
            fetched: files(3, 80_000),
            manifest: 60_000,
            ranges: vec![
                Ranged { offset: 0, size: 1_000_000, frames: 1, unwanted: 0 },
                Ranged { offset: 5_000_000, size: 700_000, frames: 2, unwanted: 40_000 },
            ],
            download: 1_760_000,
            requests: 3,
            full: 30_000_000,
            contributors: vec![
                package("app", 1, 10_000, 1_000_000),
                package("app/node_modules/ws", 2, 70_000, 660_000),
            ],
            patch: Some(Patched { size: 900, path: Some("/out/a.patch".into()) }),
        };
        insta::assert_snapshot!(cost.table(), @"
        gw 1.0.0 -> 1.1.0 for linux-x64

          linked       90.00 MB  1200 files
          copied          300 B  1 file
          fetched      80.00 kB  3 files

          manifest     60.00 kB  1 request
          frames        1.70 MB  3 frames in 2 requests, 40.00 kB between them unwanted
          download      1.76 MB  5.87 % of the archive's 30.00 MB
          as a patch      900 B  < 0.01 %, written to /out/a.patch

        most of it for
                        1.00 MB  app, 1 file of 10.00 kB
                      660.00 kB  app/node_modules/ws, 2 files of 70.00 kB
        ");
        cost.ranges.clear();
        cost.contributors.clear();
        (cost.copied, cost.fetched, cost.download) = (files(0, 0), files(0, 0), 60_000);
        cost.patch = Some(Patched { size: 61_000, path: None });
        insta::assert_snapshot!(cost.table(), @"
        gw 1.0.0 -> 1.1.0 for linux-x64

          linked       90.00 MB  1200 files

          manifest     60.00 kB  1 request
          download     60.00 kB  0.20 % of the archive's 30.00 MB
          as a patch   61.00 kB  0.20 %, which does not pay: nothing is written
        ");
    }
}
