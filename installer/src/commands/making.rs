//! How a version's folder is made: of the installed version, and of what is fetched.
//!
//! What is fetched is read while it comes, so unpacking ends shortly after the last byte. Files that the installed version has are linked, after every
//! byte of them was compared; what turns out to be damaged is fetched as well. Where the publisher made a patch from the installed version, and it is
//! all that has to come, it is taken; if anything is wrong with it, the archive still has everything.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::archive::{
    self, ArchiveError, Durability, Fault, FrameSource, Making, Options, PatchFile, Prepared,
    USUAL_MEMORY,
};
use gangway_artifact::delta::patch::Patches;
use gangway_artifact::delta::ranges::Costs;
use gangway_artifact::delta::{self, DeltaError, Kept, Update};
use gangway_artifact::trust::{Bundle, NamedFile};
use gangway_artifact::{BundlePath, Digest, MANIFEST_FILE, Manifest};

use super::{CommandError, Run};
use crate::checkpoint::{self, Step};
use crate::fetch::{Archive, Depot, FetchError, Meter, Wanted};
use crate::interruption::Interruption;
use crate::prefix::{self, PrefixError};

/// A version that is to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe<'a> {
    /// Where its files are.
    pub(super) depot: &'a Depot,
    /// Its number.
    pub(super) version: &'a str,
    /// Its bundle.
    pub(super) bundle: &'a Bundle,
    /// The installed version whose files are taken.
    pub(super) old: Option<&'a Old>,
    /// A folder for what is fetched.
    pub(super) downloads: &'a Utf8Path,
}

/// An installed version.
#[derive(Debug)]
pub(super) struct Old {
    /// Its folder.
    pub(super) folder: Utf8PathBuf,
    /// Its manifest; none: that is damaged, or the same as that of the version that is made.
    pub(super) manifest: Option<Manifest>,
    /// The digest that the manifest should have.
    pub(super) digest: Digest,
}

/// A version that is whole, in a folder without its name.
#[derive(Debug)]
pub(super) struct Filled {
    /// The folder.
    pub(super) prepared: Prepared,
    /// Its manifest.
    pub(super) manifest: Manifest,
}

/// How many files are taken before somebody looks whether that is still wanted.
const AT_ONCE: usize = 1000;

/// Is asked whether a version may be made, as soon as its manifest is known.
type Check<'a> = &'a dyn Fn(&Manifest) -> Result<(), CommandError>;

impl Old {
    /// The version in a folder.
    pub(super) fn read(folder: Utf8PathBuf, digest: Digest) -> Self {
        let text = std::fs::read(folder.join(MANIFEST_FILE)).unwrap_or_default();
        let is_right = Digest::of(&text) == digest;
        let manifest = is_right.then(|| Manifest::from_json(&text).ok()).flatten();
        Self { folder, manifest, digest }
    }
}

impl Filled {
    /// Where it is.
    pub(super) fn folder(&self) -> Result<&Utf8Path, CommandError> {
        let path = self.prepared.folder();
        Utf8Path::from_path(path).ok_or_else(|| CommandError::NotUtf8 { path: path.to_owned() })
    }
}

impl Recipe<'_> {
    /// Makes the version, so that it can get the name `to`.
    pub(super) fn make(
        &self,
        run: &Run<'_>,
        to: &Utf8Path,
        check: Check<'_>,
    ) -> Result<Filled, CommandError> {
        let patch = self.patch(run);
        run.proceed()?;
        if let Some((old, patch)) = patch {
            match self.make_with_patch(run, to, check, (old, &patch)) {
                Err(CommandError::Archive { source, .. }) if is_about_the_archive(&source) => run
                    .reporter
                    .say(format_args!("the patch from this version does not do: {source}")),
                // The archive may be there all the same, unless there is no room for what comes.
                Err(CommandError::Fetch(error))
                    if !matches!(error, FetchError::Write { .. } | FetchError::Interrupted) =>
                {
                    let reporter = run.reporter;
                    reporter
                        .say(format_args!("the patch from this version is not to be had: {error}"));
                }
                made => return made,
            }
        }
        match self.make_of_archive(run, to, check) {
            // What an earlier attempt left may be why.
            Err((CommandError::Archive { source, .. }, true)) if is_about_the_archive(&source) => {
                self.make_of_archive(run, to, check).map_err(|(error, _)| error)
            }
            made => made.map_err(|(error, _)| error),
        }
    }

    /// The patch from the installed version, if there is one.
    fn patch(&self, run: &Run<'_>) -> Option<(&Old, NamedFile)> {
        let (old, list) = self.old.zip(self.bundle.patches.as_ref())?;
        let path = self.downloads.join(&list.name);
        self.depot.fetch(list, &path, &run.reporter.progress("fetching")).ok()?;
        let patches: Patches = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        let patch = patches.from(&old.digest)?;
        // One that is no smaller than everything is a mistake.
        (patches.to == self.bundle.manifest.sha256 && patch.size < self.bundle.archive.size).then(
            || {
                let (name, size, sha256) = (patch.name.clone(), patch.size, patch.sha256);
                (old, NamedFile { name, size, sha256 })
            },
        )
    }

    fn make_with_patch(
        &self,
        run: &Run<'_>,
        to: &Utf8Path,
        check: Check<'_>,
        (old, patch): (&Old, &NamedFile),
    ) -> Result<Filled, CommandError> {
        let path = self.downloads.join(&patch.name);
        self.depot.fetch(patch, &path, &run.reporter.progress("fetching"))?;
        let folder = old.folder.as_std_path();
        let file = File::open(&path).map_err(PrefixError::io("read", &path))?;
        let file = Watched { file, interruption: &run.context.interruption };
        let file = PatchFile::open(&file, path.as_std_path()).map_err(self.failed())?;
        let text = file.manifest(folder).map_err(self.failed())?;
        let manifest = self.parse(&text, to)?;
        check(&manifest)?;
        checkpoint::reached(Step::Planned);
        let mut making = self.begin(run, &text, to)?;
        {
            let plan = self.plan(&manifest, &[])?;
            // Whatever was changed is missing at the end, and then the archive has it.
            self.keep(run, &mut making, (&plan.kept, folder))?;
        }
        checkpoint::reached(Step::Kept);
        making.patch(&file, folder).map_err(self.failed())?;
        self.end(making, manifest)
    }

    /// With the error it says whether another attempt may do better.
    fn make_of_archive(
        &self,
        run: &Run<'_>,
        to: &Utf8Path,
        check: Check<'_>,
    ) -> Result<Filled, (CommandError, bool)> {
        let meter: Arc<dyn Meter> = Arc::new(run.reporter.progress("fetching"));
        let scratch = self.downloads.join(&self.bundle.archive.name);
        let archive = self.depot.archive(&self.bundle.archive, Wanted::Nothing, &scratch, meter);
        let archive = archive.map_err(|error| (error.into(), false))?;
        let made = self.make_from(&archive, run, to, check);
        made.map_err(|error| {
            let is_resumed = archive.is_resumed();
            match &error {
                // What came stays for the next attempt, unless it is of no use.
                CommandError::Archive { source, .. } if is_about_the_archive(source) => {
                    let _ = archive.discard();
                }
                _ => {}
            }
            (error, is_resumed)
        })
    }

    fn make_from(
        &self,
        archive: &Archive,
        run: &Run<'_>,
        to: &Utf8Path,
        check: Check<'_>,
    ) -> Result<Filled, CommandError> {
        let name = Path::new(&self.bundle.archive.name);
        let options = self.options(run);
        let read = || archive::read_manifest(archive, name, &options);
        let read = match read() {
            Err(error) if is_about_the_archive(&error) && archive.forget_end() => read(),
            read => read,
        };
        let (text, manifest) = read.map_err(self.failed())?;
        check(&manifest)?;
        let mut making;
        {
            let mut plan = self.plan(&manifest, &[])?;
            archive.want(Wanted::Ranges(&plan.ranges));
            checkpoint::reached(Step::Planned);
            making = self.begin(run, &text, to)?;
            if let Some(old) = self.old {
                let mut lost: Vec<BundlePath> = Vec::new();
                loop {
                    let kept = (plan.kept.as_slice(), old.folder.as_std_path());
                    let changed = self.keep(run, &mut making, kept)?;
                    // A file that is changed is found once; what else has its bytes may be another one.
                    if changed.iter().all(|path| lost.contains(path)) {
                        break;
                    }
                    lost.extend(changed);
                    plan = self.plan(&manifest, &lost)?;
                    archive.want(Wanted::Ranges(&plan.ranges));
                }
            }
        }
        drop(text);
        checkpoint::reached(Step::Kept);
        making.fetch(archive).map_err(self.failed())?;
        self.end(making, manifest)
    }

    /// Takes files of the installed version, some at a time, and returns which of them are changed.
    fn keep(
        &self,
        run: &Run<'_>,
        making: &mut Making,
        (kept, old): (&[Kept<'_>], &Path),
    ) -> Result<Vec<BundlePath>, CommandError> {
        let mut changed = Vec::new();
        for some in kept.chunks(AT_ONCE) {
            run.proceed()?;
            changed.extend(making.keep(some, old).map_err(self.failed())?);
        }
        Ok(changed)
    }

    /// Everything is there: what is left are links, and the right to write.
    fn end(&self, making: Making, manifest: Manifest) -> Result<Filled, CommandError> {
        let prepared = making.finish().map_err(self.failed())?;
        let filled = Filled { prepared, manifest };
        let paths = filled.manifest.files.iter().map(|file| file.path.as_str());
        prefix::seal(filled.folder()?, paths.chain([MANIFEST_FILE]))?;
        Ok(filled)
    }

    fn begin(&self, run: &Run<'_>, text: &[u8], to: &Utf8Path) -> Result<Making, CommandError> {
        Making::begin(text, to.as_std_path(), &self.options(run)).map_err(self.failed())
    }

    /// What is kept and what is fetched. A version of another target has nothing that could be kept.
    fn plan<'a>(
        &'a self,
        new: &'a Manifest,
        lost: &[BundlePath],
    ) -> Result<Update<'a>, CommandError> {
        let costs = Costs::default();
        let plan = match self.old {
            // What is not as in the new version is found when it is looked at.
            Some(old) => {
                delta::plan_without(old.manifest.as_ref().unwrap_or(new), new, lost, costs)
            }
            None => delta::whole(new, costs),
        };
        let plan = match plan {
            Err(DeltaError::App { .. } | DeltaError::Target { .. }) => delta::whole(new, costs),
            plan => plan,
        };
        let version = || self.version.to_owned();
        plan.map_err(|source| CommandError::Plan { version: version(), source })
    }

    fn options(&self, run: &Run<'_>) -> Options {
        Options {
            threads: run.context.jobs,
            memory: USUAL_MEMORY,
            durability: Durability::Synced,
            manifest: Some(self.bundle.manifest.sha256),
        }
    }

    fn parse(&self, text: &[u8], to: &Utf8Path) -> Result<Manifest, CommandError> {
        let path = to.join(MANIFEST_FILE);
        Manifest::from_json(text)
            .map_err(|error| PrefixError::Damaged { path, reason: error.to_string() }.into())
    }

    fn failed(&self) -> impl Fn(ArchiveError) -> CommandError + use<> {
        let version = self.version.to_owned();
        move |source| CommandError::Archive { version: version.clone(), source }
    }
}

/// A file that is read until a signal comes.
struct Watched<'a> {
    file: File,
    interruption: &'a Interruption,
}

impl FrameSource for Watched<'_> {
    fn length(&self) -> io::Result<u64> {
        FrameSource::length(&self.file)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self.interruption.signal() {
            Some(_) => Err(io::Error::other(FetchError::Interrupted)),
            None => FrameSource::read_at(&self.file, buffer, offset),
        }
    }
}

/// Whether nothing else would do better, as what fails is writing.
pub(super) fn is_about_the_disk(error: &ArchiveError) -> bool {
    matches!(
        *error.fault,
        Fault::Write { .. } | Fault::Exists { .. } | Fault::Busy { .. } | Fault::Occupied { .. }
    )
}

/// Whether what came of the archive is not what it should be.
fn is_about_the_archive(error: &ArchiveError) -> bool {
    !is_about_the_disk(error) && FetchError::beneath(error).is_none()
}
