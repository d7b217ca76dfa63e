//! The installer's own program in the prefix.
//!
//! A new one lies beside it as `<program>.next` from the time a version is made, and takes its place when that version does. It only ever
//! moves forward: who goes back to an older version of the app keeps the newer installer. Which of two is the newer one is not decided here.

use std::fs::{self, File};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Digest, HashingReader};

use super::{Layout, PrefixError, durable, platform};

/// What the name of a program that lies ready ends with.
const NEXT: &str = ".next";

/// The program that takes the place of the one that is there.
#[derive(Debug)]
pub struct Prepared {
    /// The digest of what will be in place.
    pub digest: Digest,
    /// Where it lies ready; nothing: it is in place.
    pub ready: Option<Utf8PathBuf>,
}

/// The digest of the program that is in place, if it can be read.
#[must_use]
pub fn digest(layout: &Layout, app: &str) -> Option<Digest> {
    digest_of(&layout.program(app)).ok()
}

/// Whether no program lies ready any more.
pub(super) fn is_placed(layout: &Layout, app: &str) -> bool {
    !next(&layout.program(app)).exists()
}

/// Lays the program `from` ready, if there is not the same already. `expected` is what it must be.
pub(super) fn prepare(
    layout: &Layout,
    app: &str,
    from: &Utf8Path,
    expected: Option<Digest>,
) -> Result<Prepared, PrefixError> {
    let program = layout.program(app);
    let wanted = match expected {
        Some(expected) => expected,
        None => digest_of(from).map_err(PrefixError::io("read", from))?,
    };
    if digest_of(&program).is_ok_and(|found| found == wanted) {
        discard(layout, app)?;
        return Ok(Prepared { digest: wanted, ready: None });
    }
    durable::create_folders(&layout.installer())?;
    let next = next(&program);
    let copied = copy(from, &next).map_err(PrefixError::io("write", &next))?;
    if copied != wanted {
        discard(layout, app)?;
        let reason = format!("its SHA-256 is {copied}, and {wanted} was expected");
        return Err(PrefixError::Damaged { path: from.to_owned(), reason });
    }
    durable::sync_above(&next)?;
    Ok(Prepared { digest: wanted, ready: Some(next) })
}

/// Puts the program that lies ready in its place.
pub(super) fn place(layout: &Layout, app: &str) -> Result<(), PrefixError> {
    let program = layout.program(app);
    let next = next(&program);
    if !next.exists() {
        return Ok(());
    }
    platform::replace_program(&next, &program).map_err(PrefixError::io("replace", &program))?;
    durable::sync_above(&program)
}

/// Removes the program that lies ready.
pub(super) fn discard(layout: &Layout, app: &str) -> Result<(), PrefixError> {
    durable::remove(&next(&layout.program(app))).map(drop)
}

/// Removes the program, and its folder if nothing else is in it.
pub(super) fn remove(layout: &Layout, app: &str) -> Result<(), PrefixError> {
    discard(layout, app)?;
    let program = layout.program(app);
    if program.exists() {
        platform::remove_program(&program).map_err(PrefixError::io("remove", &program))?;
    }
    for left in platform::leftovers(&layout.installer()) {
        // One that runs, this one perhaps, stays until it has ended.
        let _ = fs::remove_file(left);
    }
    durable::remove_empty(&layout.installer())
}

/// Removes whatever program lies ready.
pub(super) fn discard_all(layout: &Layout) -> Result<(), PrefixError> {
    let Ok(entries) = layout.installer().read_dir_utf8() else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.file_name().ends_with(NEXT)) {
        durable::remove(entry.path())?;
    }
    Ok(())
}

fn next(program: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{program}{NEXT}"))
}

fn digest_of(path: &Utf8Path) -> io::Result<Digest> {
    Digest::of_reader(File::open(path)?).map(|(digest, _)| digest)
}

fn copy(from: &Utf8Path, to: &Utf8Path) -> io::Result<Digest> {
    let mut reader = HashingReader::new(File::open(from)?);
    let mut file = File::create(to)?;
    io::copy(&mut reader, &mut file)?;
    platform::make_executable(&file)?;
    file.sync_all()?;
    Ok(reader.finish().0)
}
