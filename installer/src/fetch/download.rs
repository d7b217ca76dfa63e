//! Whole files: small ones into memory, others to a place of their own.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use gangway_artifact::trust::NamedFile;
use sha2::{Digest as _, Sha256};

use super::http::{Ask, Http, Trouble};
use super::place::redacted;
use super::{FetchError, Meter, Patience};
use crate::interruption::Interruption;

/// How much is read or copied at once.
const BUFFER: usize = 128 << 10;

/// The bytes of a small file.
pub(super) async fn read(
    http: &Http,
    name: &str,
    limit: u64,
    meter: &dyn Meter,
) -> Result<Vec<u8>, FetchError> {
    let url = http.url(name);
    let ask = Ask { url: url.clone(), range: None, size: None, may_be_kept: false };
    let too_large = || Trouble::Final(FetchError::TooLarge { url: redacted(&url), limit });
    http.with_patience(&url, meter, async || {
        let mut answer = http.ask(&ask).await?;
        if answer.end.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = http.chunk(&mut answer, bytes.len() as u64).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
        }
        // Some portals do not say what kind of thing they send.
        if looks_like_a_page(&bytes) {
            return Err(Trouble::Final(FetchError::Page { url: redacted(&url) }));
        }
        Ok(bytes)
    })
    .await
}

/// The bytes of a small file of a folder.
pub(super) fn read_local(path: &Utf8Path, limit: u64) -> Result<Vec<u8>, FetchError> {
    let failed = |source| FetchError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(FetchError::TooLarge { url: path.to_string(), limit });
    }
    Ok(bytes)
}

/// Whether `path` has the right bytes already.
pub(super) fn is_there(file: &NamedFile, path: &Utf8Path) -> Result<bool, FetchError> {
    let failed = |source| FetchError::Read { path: path.to_owned(), source };
    let found = match File::open(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    if found.metadata().map_err(failed)?.len() != file.size {
        return Ok(false);
    }
    let (digest, _) = Digest::of_reader(found).map_err(failed)?;
    Ok(digest == file.sha256)
}

/// Copies a file of a folder, and compares what was copied.
pub(super) fn copy(
    from: &Utf8Path,
    file: &NamedFile,
    to: &Utf8Path,
    (meter, interruption): (&dyn Meter, &Interruption),
) -> Result<(), FetchError> {
    let failed = |source| FetchError::Read { path: from.to_owned(), source };
    let source = File::open(from).map_err(failed)?;
    let found = source.metadata().map_err(failed)?.len();
    let (url, expected) = (from.to_string(), file.size);
    if found != expected {
        return Err(FetchError::Size { url, expected, found });
    }
    meter.expect(file.size, 0);
    let mut part = Part::begin(to)?;
    let mut source = source.take(file.size);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = source.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        if interruption.signal().is_some() {
            return Err(FetchError::Interrupted);
        }
        part.add(&buffer[..count])?;
        meter.advance(count as u64);
    }
    part.finish(file, url, to)
}

/// Downloads a file, or what is missing of it.
pub(super) async fn fetch(
    http: &Http,
    file: &NamedFile,
    to: &Utf8Path,
    meter: &dyn Meter,
) -> Result<(), FetchError> {
    let url = http.url(&file.name);
    let mut part = Part::resume(to, file.size)?;
    meter.expect(file.size, part.length);
    let mut is_second = false;
    loop {
        // What an earlier attempt left may be of another file, and what came may have been damaged on the way.
        let may_be_wrong = part.was_there || !is_second;
        complete(http, &url, file, &mut part, meter).await?;
        let length = part.length;
        match part.finish(file, redacted(&url), to) {
            Err(FetchError::Digest { .. }) if may_be_wrong => {
                is_second = true;
                meter.again(length);
                part = Part::begin(to)?;
            }
            done => return done,
        }
    }
}

/// Gets the rest of a file.
async fn complete(
    http: &Http,
    url: &url::Url,
    file: &NamedFile,
    part: &mut Part,
    meter: &dyn Meter,
) -> Result<(), FetchError> {
    let mut patience = Patience::new(http, url, meter);
    let mut knows_ranges = true;
    while part.length < file.size {
        let range = (part.length > 0 && knows_ranges).then_some((part.length, file.size));
        let ask = Ask { url: url.clone(), range, size: Some(file.size), may_be_kept: true };
        let before = part.length;
        let added = add(http, &ask, part, meter).await;
        let brought = part.length.saturating_sub(before);
        patience.progressed(brought);
        match added {
            Ok(()) => {
                if Patience::is_too_little(brought, file.size - before) {
                    let received = part.length;
                    patience.after(Trouble::Broken { received, source: None }).await?;
                }
            }
            Err(Trouble::Ranges(_)) if range.is_some() => knows_ranges = false,
            Err(trouble) => patience.after(trouble).await?,
        }
    }
    Ok(())
}

/// One attempt at the rest.
async fn add(http: &Http, ask: &Ask, part: &mut Part, meter: &dyn Meter) -> Result<(), Trouble> {
    let mut answer = http.ask(ask).await?;
    let size = ask.size.unwrap_or(u64::MAX);
    let mut position = answer.start;
    while let Some(chunk) = http.chunk(&mut answer, position).await? {
        let end = position + chunk.len() as u64;
        if end > size {
            let url = redacted(&ask.url);
            let error = FetchError::Size { url, expected: size, found: end };
            return Err(Trouble::Final(error));
        }
        // From a server that knows no ranges everything comes again.
        let known = usize::try_from(part.length.saturating_sub(position)).unwrap_or(usize::MAX);
        let new = chunk.get(known..).unwrap_or_default();
        part.add(new).map_err(Trouble::Final)?;
        meter.advance(new.len() as u64);
        position = end;
    }
    match position < size && answer.end.is_none_or(|end| position < end) {
        true => Err(Trouble::Broken { received: position, source: None }),
        false => Ok(()),
    }
}

/// A file that is being downloaded, and the digest of what there is of it.
struct Part {
    path: Utf8PathBuf,
    file: File,
    length: u64,
    hasher: Sha256,
    /// Whether some of it is from an earlier attempt.
    was_there: bool,
}

impl Part {
    fn path(to: &Utf8Path) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{to}.part"))
    }

    /// An empty one.
    fn begin(to: &Utf8Path) -> Result<Self, FetchError> {
        let path = Self::path(to);
        let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
        let file = made.and_then(|()| {
            File::options().read(true).write(true).create(true).truncate(true).open(&path)
        });
        let file = file.map_err(|source| FetchError::Write { path: path.clone(), source })?;
        Ok(Self { path, file, length: 0, hasher: Sha256::new(), was_there: false })
    }

    /// What there is from an earlier attempt, unless it is more than it can be.
    fn resume(to: &Utf8Path, size: u64) -> Result<Self, FetchError> {
        let path = Self::path(to);
        let Ok(mut file) = File::options().read(true).write(true).open(&path) else {
            return Self::begin(to);
        };
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        let mut length = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    length += count as u64;
                }
                Err(_) => return Self::begin(to),
            }
        }
        if length > size {
            return Self::begin(to);
        }
        Ok(Self { path, file, length, hasher, was_there: length > 0 })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let written = self.file.seek(SeekFrom::Start(self.length));
        let written = written.and_then(|_| self.file.write_all(bytes));
        let path = &self.path;
        written.map_err(|source| FetchError::Write { path: path.clone(), source })?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives it its name, if it is what it must be; otherwise nothing is left of it.
    fn finish(self, file: &NamedFile, url: String, to: &Utf8Path) -> Result<(), FetchError> {
        let Self { path, file: open, hasher, .. } = self;
        let found = Digest::from_bytes(hasher.finalize().into());
        let expected = file.sha256;
        if found != expected {
            drop(open);
            let removed = std::fs::remove_file(&path);
            removed.map_err(|source| FetchError::Write { path, source })?;
            return Err(FetchError::Digest { url, expected, found });
        }
        let named = open.sync_all().and_then(|()| {
            drop(open);
            std::fs::rename(&path, to)
        });
        named.map_err(|source| FetchError::Write { path: to.to_owned(), source })
    }
}

/// Whether the first bytes are those of a web page.
fn looks_like_a_page(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    [b"<!doctype html".as_slice(), b"<html"]
        .iter()
        .any(|begin| text.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin)))
}
