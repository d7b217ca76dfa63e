//! `cargo xtask release`: bundles become a folder that installers take everything from.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trust::{Bundle, Channel, InstallerProgram, NamedFile, Release};
use serde::Serialize;

use super::delta;
use crate::context::Context;
use crate::programs::{self, Program};
use crate::release::address::Address;
use crate::release::bundles::{self, Checked, Unverified, named_file};
use crate::release::folder::{self, Incoming, Locked, State};
use crate::release::plan::{self, Identity, Machine, Publication};
use crate::release::{ReleaseError, named, scripts};
use crate::summary::size;
use crate::target::Targets;

/// What is to be published, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archives.
    pub bundles: Vec<Utf8PathBuf>,
    /// The channel.
    pub channel: String,
    /// The release's folder.
    pub out: Utf8PathBuf,
    /// Where the folder will be.
    pub base: Option<Address>,
    /// The channel's next sequence number, if it is not to be one more.
    pub sequence: Option<u64>,
    /// How many releases the channel goes on to name.
    pub keep: Option<usize>,
    /// Whether patches from the release before are made.
    pub patches: bool,
    /// What to do with bundles that were not checked.
    pub unverified: Unverified,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    app: String,
    version: String,
    channel: String,
    sequence: u64,
    /// Whether the channel says something new.
    is_new: bool,
    /// Where it is.
    folder: Utf8PathBuf,
    /// How many releases the channel names.
    releases: usize,
    /// Every file of this release, in the order in which they came; then those that were removed.
    files: Vec<FileDone>,
    /// Files of older releases that are not in the folder.
    elsewhere: Vec<String>,
    /// What people type, if the folder has an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDone {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    state: State,
}

/// What would be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    app: String,
    version: String,
    channel: String,
    folder: Utf8PathBuf,
    /// Archives and manifests.
    files: Vec<FileDone>,
    /// The triples that installers are needed for.
    installers: Vec<String>,
}

/// Says what would be done.
///
/// # Errors
/// As [`run`], as far as that is known before anything is built.
pub fn dry_run(context: &Context, options: &Options) -> Result<Planned, ReleaseError> {
    let work = Work::begin(context, options)?;
    let files = work.bundles.iter().flat_map(incoming).map(|incoming| {
        let state = folder::state(&options.out, &incoming.file)?;
        Ok(FileDone { name: incoming.file.name, size: Some(incoming.file.size), state })
    });
    Ok(Planned {
        app: work.identity.app.clone(),
        version: work.release.version.clone(),
        channel: work.identity.channel.clone(),
        folder: options.out.clone(),
        files: files.collect::<Result<_, ReleaseError>>()?,
        installers: work.machines.iter().map(|machine| machine.triple.clone()).collect(),
    })
}

/// Publishes bundles: makes the folder, or adds to it.
///
/// # Errors
/// When a bundle cannot be published, an installer cannot be had, or the folder cannot be written. What was published before is
/// as it was then.
pub fn run(context: &Context, options: &Options) -> Result<Done, ReleaseError> {
    let locked = Locked::folder(&options.out)?;
    let mut work = Work::begin(context, options)?;
    let scratch = tempfile::tempdir().map_err(|source| scratch_failed(&options.out, source))?;
    let scratch = Utf8Path::from_path(scratch.path()).expect("the system's folder is UTF-8");
    let mut files: Vec<Incoming> = work.bundles.iter().flat_map(incoming).collect();
    // Whoever would be refused is, before anything is built.
    locked.compare(&files)?;
    files.extend(work.add_patches(context, options, scratch)?);
    files.extend(work.add_installers(context, &options.out)?);
    let version = &work.release.version;
    let is_first = plan::published(work.existing.as_ref(), version).is_none();
    if let Some(newest) = plan::is_older(work.existing.as_ref(), version).filter(|_| is_first) {
        let told = "whoever updates goes back to it";
        context.reporter.warn(format!("{version} becomes the newest after {newest}: {told}"));
    }
    let Publication { channel, is_new, dropped } = plan::publish(
        work.existing.as_ref(),
        &work.identity,
        work.release.clone(),
        options.sequence,
        options.keep,
    )?;
    let mut done = Vec::new();
    for (incoming, state) in files.iter().zip(locked.compare(&files)?) {
        if state == State::Added {
            locked.add(incoming)?;
        }
        let NamedFile { name, size, .. } = incoming.file.clone();
        done.push(FileDone { name, size: Some(size), state });
    }
    locked.sync()?;
    // Scripts install the newest release: a target that comes to an older one leaves them as they are.
    let newest = channel.releases.first();
    if let Some(release) = newest.filter(|newest| newest.version == work.release.version) {
        for script in work.scripts(release, options) {
            let state = locked.replace(&script.name, script.text.as_bytes())?;
            let size = Some(script.text.len() as u64);
            done.push(FileDone { name: script.name, size, state });
        }
    }
    let text = channel.to_json();
    let name = file_of(&options.channel);
    let state = locked.replace(&name, &text)?;
    done.push(FileDone { name, size: Some(text.len() as u64), state });
    locked.sync()?;
    for name in named::no_longer(&options.out, &dropped)? {
        if locked.remove(&name)? {
            done.push(FileDone { name, size: None, state: State::Removed });
        }
    }
    work.done(options, &channel, is_new, done)
}

/// What is known before anything is made.
struct Work {
    identity: Identity,
    existing: Option<Channel>,
    bundles: Vec<Checked>,
    release: Release,
    machines: Vec<Machine>,
}

impl Work {
    fn begin(context: &Context, options: &Options) -> Result<Self, ReleaseError> {
        if !bundles::is_plain(&options.channel) {
            let (what, value) = ("the name of a channel", options.channel.clone());
            return Err(ReleaseError::Unnamable { what, value });
        }
        let bundles = bundles::check(context, &options.bundles, options.unverified)?;
        let app = &bundles.first().expect("the command line asks for one").manifest.app;
        let identity = Identity { app: app.name.to_string(), channel: options.channel.clone() };
        let existing = existing(&options.out, &identity)?;
        let entries = bundles.iter().map(|bundle| bundle.entry.clone()).collect();
        let release = plan::release(existing.as_ref(), app.name.as_str(), &app.version, entries)?;
        let machines = plan::machines(&release, &Targets::built_in())?;
        Ok(Self { identity, existing, bundles, release, machines })
    }

    /// Makes the patches that are not published yet, each where it pays.
    fn add_patches(
        &mut self,
        context: &Context,
        options: &Options,
        scratch: &Utf8Path,
    ) -> Result<Vec<Incoming>, ReleaseError> {
        let mut files = Vec::new();
        if !options.patches {
            return Ok(files);
        }
        for bundle in &self.bundles {
            let version = &self.release.version;
            let target = &bundle.manifest.target;
            let Some(older) = plan::before(self.existing.as_ref(), version, target) else {
                continue;
            };
            let entry = self.release.bundles.iter_mut().find(|entry| entry.target == *target);
            let Some(entry) = entry.filter(|entry| entry.patches.is_none()) else { continue };
            let old = options.out.join(&older.archive.name);
            if !old.is_file() {
                let name = &older.archive.name;
                context
                    .reporter
                    .warn(format!("no patch is made from `{name}`, which is not in the folder"));
                continue;
            }
            let making =
                delta::Options { patches: Some(scratch.to_owned()), ..delta::Options::default() };
            let cost = delta::run(context, &old, &bundle.archive, &making)?;
            let Some(path) = cost.patch.and_then(|patch| patch.path) else { continue };
            let list = scratch.join(list_of(entry));
            for path in [path, list.clone()] {
                let name = path.file_name().unwrap_or_default().to_owned();
                files.push(Incoming { file: named_file(name, &path)?, from: path });
            }
            entry.patches = Some(named_file(list_of(entry), &list)?);
        }
        Ok(files)
    }

    /// Gets the installers that are not published yet; those that are stay what they are.
    fn add_installers(
        &mut self,
        context: &Context,
        out: &Utf8Path,
    ) -> Result<Vec<Incoming>, ReleaseError> {
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        for Machine { triple, .. } in &self.machines {
            let published = plan::published(self.existing.as_ref(), &self.release.version);
            let published = published.map(|release| release.installers.iter());
            match published.and_then(|mut all| all.find(|known| known.triple == *triple)) {
                Some(InstallerProgram { file, .. }) if folder::state(out, file)? == State::Kept => {
                    let (file, from) = (file.clone(), out.join(&file.name));
                    files.push(Incoming { file, from });
                }
                _ => missing.push(triple.as_str()),
            }
        }
        let mut known =
            programs::obtain_together(context, Program::Installer, missing.iter().copied());
        for triple in missing {
            let from = match known.remove(triple) {
                Some(path) => path,
                None => programs::obtain(context, Program::Installer, triple)?,
            };
            let Identity { app, .. } = &self.identity;
            let version = &self.release.version;
            let name = format!("{app}-installer-{version}-{triple}{}", programs::suffix(triple));
            let file = named_file(name, &from)?;
            let installers = &mut self.release.installers;
            match installers.iter().find(|known| known.triple == triple) {
                Some(known) if known.file != file => {
                    return Err(ReleaseError::Taken { path: out.join(&file.name) });
                }
                Some(_) => {}
                None => installers
                    .push(InstallerProgram { triple: triple.to_owned(), file: file.clone() }),
            }
            files.push(Incoming { file, from });
        }
        self.release.installers.sort_by(|one, other| one.triple.cmp(&other.triple));
        Ok(files)
    }

    fn scripts(&self, release: &Release, options: &Options) -> Vec<scripts::Script> {
        let installers = self.machines.iter().filter_map(|machine| {
            let program = release.installers.iter().find(|known| known.triple == machine.triple)?;
            Some(scripts::Installer {
                machine: &machine.name,
                name: &program.file.name,
                size: program.file.size,
                sha256: program.file.sha256,
            })
        });
        scripts::render(&scripts::Release {
            app: &self.identity.app,
            version: &release.version,
            channel: &options.channel,
            base: options.base.as_ref(),
            installers: installers.collect(),
        })
    }

    fn done(
        &self,
        options: &Options,
        channel: &Channel,
        is_new: bool,
        files: Vec<FileDone>,
    ) -> Result<Done, ReleaseError> {
        let mut elsewhere = named::by(&options.out, &channel.releases)?;
        elsewhere.retain(|name| !options.out.join(name).is_file());
        let script = files.iter().find(|file| file.name.ends_with(".sh"));
        let command = options.base.as_ref().zip(script);
        Ok(Done {
            app: self.identity.app.clone(),
            version: self.release.version.clone(),
            channel: self.identity.channel.clone(),
            sequence: channel.sequence,
            is_new,
            folder: options.out.clone(),
            releases: channel.releases.len(),
            command: command
                .map(|(base, script)| format!("curl -fsSL {base}/{} | sh", script.name)),
            files,
            elsewhere: elsewhere.into_iter().collect(),
        })
    }
}

/// `<channel>.json`
fn file_of(channel: &str) -> String {
    format!("{channel}.json")
}

/// `<app>-<version>-<target>.patches.json`
fn list_of(bundle: &Bundle) -> String {
    let stem = bundle.archive.name.strip_suffix(".tar.zst").unwrap_or(&bundle.archive.name);
    format!("{stem}.patches.json")
}

fn existing(out: &Utf8Path, identity: &Identity) -> Result<Option<Channel>, ReleaseError> {
    let path = out.join(file_of(&identity.channel));
    let bytes = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ReleaseError::Read { path, source }),
    };
    let channel = Channel::from_json(&bytes)
        .map_err(|source| ReleaseError::Channel { path: path.clone(), source })?;
    if (&channel.app, &channel.channel) != (&identity.app, &identity.channel) {
        let Channel { app, channel, .. } = channel;
        return Err(ReleaseError::Foreign { path, app, channel });
    }
    Ok(Some(channel))
}

/// The archive and the copy of its manifest.
fn incoming(bundle: &Checked) -> [Incoming; 2] {
    let Checked { archive, copy, entry, .. } = bundle;
    let of =
        |file: &NamedFile, from: &Utf8PathBuf| Incoming { file: file.clone(), from: from.clone() };
    [of(&entry.archive, archive), of(&entry.manifest, copy)]
}

fn scratch_failed(out: &Utf8Path, source: std::io::Error) -> ReleaseError {
    ReleaseError::Write { path: out.to_owned(), source }
}

impl Done {
    /// What became of each file.
    pub fn states(&self) -> impl Iterator<Item = State> {
        self.files.iter().map(|file| file.state)
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let Self { app, version, channel, sequence, folder, .. } = self;
        let told = if self.is_new { "" } else { ", as it was" };
        let mut text =
            format!("{app} {version} in {folder}: {channel}, number {sequence}{told}\n\n");
        rows(&mut text, &self.files);
        if self.releases > 1 {
            writeln!(text, "\n  {} releases in the channel", self.releases).expect("strings grow");
        }
        if !self.elsewhere.is_empty() {
            let count = self.elsewhere.len();
            let what = "files of it are not in this folder: they must be where it is published";
            writeln!(text, "  {count} {what}").expect("strings grow");
        }
        if let Some(command) = &self.command {
            writeln!(text, "\n  {command}").expect("strings grow");
        }
        text.trim_end().to_owned()
    }
}

impl Planned {
    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let Self { app, version, channel, folder, .. } = self;
        let mut text = format!("{app} {version} would be in {folder}: {channel}\n\n");
        rows(&mut text, &self.files);
        text.push_str("\n  installers for ");
        text.push_str(&self.installers.join(", "));
        text
    }
}

fn rows(text: &mut String, files: &[FileDone]) {
    for file in files {
        let state = match file.state {
            State::Added => "added",
            State::Kept => "kept",
            State::Replaced => "replaced",
            State::Removed => "removed",
        };
        let bytes = file.size.map(size).unwrap_or_default();
        writeln!(text, "  {state:<9}{bytes:>11}  {}", file.name).expect("strings grow");
    }
}
