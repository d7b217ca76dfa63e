//! Bundles as a person names them: an archive, the folder it was unpacked to, or a manifest alone.
//!
//! What is read here was made by this builder, now or years ago, or is claimed to be. Unpacking never leaves its folder.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{MANIFEST_FILE, Manifest, ManifestError};
use miette::Diagnostic;

/// No manifest is larger: a file of the bundle takes about 150 bytes.
const LARGEST_MANIFEST: u64 = 1 << 30;

/// A bundle that cannot be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum UnpackedError {
    /// It could not be read.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: io::Error },
    /// It is none of the formats.
    #[error("`{path}` is neither a bundle nor a manifest")]
    #[diagnostic(help(
        "name a `.tar.zst`, `.tar.gz` or `.zip` that `cargo xtask bundle` made, the folder it was unpacked to, or a `manifest.json`"
    ))]
    Format { path: Utf8PathBuf },
    /// There is no manifest inside.
    #[error("`{path}` has no `{MANIFEST_FILE}`")]
    #[diagnostic(help(
        "a bundle has it in its own folder; was this made by `cargo xtask bundle`?"
    ))]
    NoManifest { path: Utf8PathBuf },
    /// The manifest cannot be taken.
    #[error("cannot take the manifest of `{path}`: {source}")]
    #[diagnostic(help("it was made by another version of Gangway: bundle it anew with this one"))]
    Manifest {
        path: Utf8PathBuf,
        #[source]
        source: ManifestError,
    },
    /// It could not be unpacked.
    #[error("cannot unpack `{path}` to `{into}`")]
    Unpack { path: Utf8PathBuf, into: Utf8PathBuf, source: io::Error },
    /// It holds more than one folder.
    #[error("`{path}` does not hold one folder alone, as bundles do")]
    Shape { path: Utf8PathBuf },
}

/// What a bundle's file is, by its first bytes.
enum Format {
    Zst(File),
    Gz(File),
    Zip(File),
    Json(File),
}

/// The manifest of a bundle, or the manifest itself.
///
/// # Errors
/// When it is neither, or cannot be read.
pub fn manifest(path: &Utf8Path) -> Result<Manifest, UnpackedError> {
    let bytes = match path.is_dir() {
        true => fs_err::read(path.join(MANIFEST_FILE)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => UnpackedError::NoManifest { path: path.to_owned() },
            _ => UnpackedError::Read { path: path.to_owned(), source },
        })?,
        false => manifest_bytes(path)?,
    };
    Manifest::from_json(&bytes)
        .map_err(|source| UnpackedError::Manifest { path: path.to_owned(), source })
}

/// Unpacks an archive into the empty folder `into`, and returns the folder of the bundle in it.
///
/// # Errors
/// When it is no archive, or cannot be unpacked.
pub fn unpack(path: &Utf8Path, into: &Utf8Path) -> Result<Utf8PathBuf, UnpackedError> {
    let failed =
        |source| UnpackedError::Unpack { path: path.to_owned(), into: into.to_owned(), source };
    match format(path)? {
        Format::Zst(file) => {
            let plain = zstd::Decoder::new(file).map_err(failed)?;
            tar::Archive::new(plain).unpack(into).map_err(failed)?;
        }
        Format::Gz(file) => {
            let plain = flate2::bufread::MultiGzDecoder::new(BufReader::new(file));
            tar::Archive::new(plain).unpack(into).map_err(failed)?;
        }
        Format::Zip(file) => {
            let unpacked = zip::ZipArchive::new(BufReader::new(file))
                .and_then(|mut archive| archive.extract(into));
            unpacked.map_err(|error| failed(error.into()))?;
        }
        Format::Json(_) => return Err(UnpackedError::Format { path: path.to_owned() }),
    }
    let entries = into.read_dir_utf8().and_then(Iterator::collect::<io::Result<Vec<_>>>);
    match entries.map_err(failed)?.as_slice() {
        [folder] if folder.path().is_dir() => Ok(folder.path().to_owned()),
        _ => Err(UnpackedError::Shape { path: path.to_owned() }),
    }
}

fn format(path: &Utf8Path) -> Result<Format, UnpackedError> {
    let read = |source| UnpackedError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start).map_err(read)?;
    file.rewind().map_err(read)?;
    match start.as_slice() {
        [0x28, 0xb5, 0x2f, 0xfd] => Ok(Format::Zst(file)),
        [0x1f, 0x8b, ..] => Ok(Format::Gz(file)),
        b"PK\x03\x04" => Ok(Format::Zip(file)),
        [b'{', ..] => Ok(Format::Json(file)),
        _ => Err(UnpackedError::Format { path: path.to_owned() }),
    }
}

fn manifest_bytes(path: &Utf8Path) -> Result<Vec<u8>, UnpackedError> {
    let read = |source| UnpackedError::Read { path: path.to_owned(), source };
    let found = match format(path)? {
        Format::Json(file) => return bounded(file).map_err(read),
        Format::Zst(file) => zstd::Decoder::new(file).and_then(in_tar),
        Format::Gz(file) => in_tar(flate2::bufread::MultiGzDecoder::new(BufReader::new(file))),
        Format::Zip(file) => in_zip(file),
    };
    found.map_err(read)?.ok_or_else(|| UnpackedError::NoManifest { path: path.to_owned() })
}

fn in_tar(plain: impl Read) -> io::Result<Option<Vec<u8>>> {
    for entry in tar::Archive::new(plain).entries()? {
        let entry = entry?;
        if is_manifest(&String::from_utf8_lossy(&entry.path_bytes())) {
            return bounded(entry).map(Some);
        }
    }
    Ok(None)
}

fn in_zip(file: File) -> io::Result<Option<Vec<u8>>> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file))?;
    let found = archive.file_names().flatten().find(|name| is_manifest(name));
    let Some(name) = found.map(std::borrow::Cow::into_owned) else { return Ok(None) };
    bounded(archive.by_name(&name)?).map(Some)
}

/// In the one folder, and not further down.
fn is_manifest(name: &str) -> bool {
    name.split_once('/').is_some_and(|(_, rest)| rest == MANIFEST_FILE)
}

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LARGEST_MANIFEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::testing::Sandbox;

    const MANIFEST: &str = r#"{"version":1,"builder":"gangway 0.1.0","app":{"name":"a","version":"1.0.0"},"target":"linux-x64","platform":{"os":"linux","cpu":"x64","libc":"glibc"},"entrypoints":[],"contract":{"disk":{"unpacked":0,"installed":0}},"unpacked_size":0,"files":[],"links":[]}"#;

    fn tar() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in
            [("a/app/manifest.json", "not this"), ("a/bin/a", "x"), ("a/manifest.json", MANIFEST)]
        {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, content.as_bytes()).expect("memory");
        }
        tar.into_inner().expect("memory")
    }

    fn archives(sandbox: &Sandbox) -> Vec<Utf8PathBuf> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar()).expect("memory");
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, content) in [("a/app/manifest.json", "not this"), ("a/manifest.json", MANIFEST)]
        {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("memory");
            zip.write_all(content.as_bytes()).expect("memory");
        }
        vec![
            sandbox.write("a.tar.zst", zstd::encode_all(tar().as_slice(), 1).expect("memory")),
            sandbox.write("a.tar.gz", gz.finish().expect("memory")),
            sandbox.write("a.zip", zip.finish().expect("memory").into_inner()),
        ]
    }

    #[test]
    fn every_form_of_a_bundle() {
        let sandbox = Sandbox::new();
        for (index, archive) in archives(&sandbox).iter().enumerate() {
            assert_eq!(manifest(archive).expect("it is inside").app.name, "a", "{archive}");
            let into = sandbox.root.join(format!("into-{index}"));
            fs_err::create_dir(&into).expect("writable");
            let folder = unpack(archive, &into).expect("it is a bundle");
            assert_eq!(folder, into.join("a"));
            assert_eq!(manifest(&folder).expect("it was unpacked").app.version, "1.0.0");
        }
        let alone = sandbox.write("x.manifest.json", MANIFEST);
        assert_eq!(manifest(&alone).expect("it is one").app.name, "a");
    }

    #[test]
    fn what_is_no_bundle() {
        let sandbox = Sandbox::new();
        let text = sandbox.write("a.txt", "hello");
        let said = |path: &Utf8Path| {
            manifest(path).expect_err("it is none").to_string().replace(sandbox.root.as_str(), "~")
        };
        insta::assert_snapshot!(said(&text), @"`~/a.txt` is neither a bundle nor a manifest");
        insta::assert_snapshot!(said(&sandbox.root), @"`~` has no `manifest.json`");
        insta::assert_snapshot!(said(&sandbox.root.join("gone")), @"cannot read `~/gone`");
        let empty = tar::Builder::new(Vec::new()).into_inner().expect("memory");
        let empty =
            sandbox.write("e.tar.zst", zstd::encode_all(empty.as_slice(), 1).expect("memory"));
        insta::assert_snapshot!(said(&empty), @"`~/e.tar.zst` has no `manifest.json`");
        let later = sandbox.write("later.json", r#"{"version": 2}"#);
        insta::assert_snapshot!(said(&later), @"cannot take the manifest of `~/later.json`: its format is version 2, and version 1 was expected");
    }

    #[test]
    fn nothing_is_written_outside() {
        let sandbox = Sandbox::new();
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.set_mode(0o644);
        header.as_ustar_mut().expect("ustar").name[..9].copy_from_slice(b"../../out");
        header.set_cksum();
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&header, &b"x"[..]).expect("memory");
        let bytes = tar.into_inner().expect("memory");
        let archive =
            sandbox.write("evil.tar.zst", zstd::encode_all(bytes.as_slice(), 1).expect("memory"));
        let into = sandbox.root.join("deep/into");
        fs_err::create_dir_all(&into).expect("writable");
        assert!(unpack(&archive, &into).is_err());
        assert!(!sandbox.root.join("out").exists());
    }
}
