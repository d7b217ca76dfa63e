//! Bundles as a person names them: an archive, the folder it was unpacked to, or a manifest alone.
//!
//! What is read here was made by this builder, now or years ago, or is claimed to be: nothing of an archive is believed
//! ([`archive`]).

use std::fs::File;
use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::archive::{self, ArchiveError, Durability, Fault, Options, Unpacked};
use gangway_artifact::{MANIFEST_FILE, Manifest, ManifestError, Mode};
use miette::Diagnostic;

use crate::context::Context;
use crate::tree::{Node, Source, Tree};

/// No manifest is larger: a file of the bundle takes about 200 bytes.
const LARGEST_MANIFEST: u64 = 1 << 30;

/// What the builder itself takes to unpack, in bytes: it has the whole manifest in memory anyway.
const MEMORY: u64 = 1 << 30;

/// A bundle that cannot be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum UnpackedError {
    /// It could not be read.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: io::Error },
    /// An archive that cannot be taken.
    #[error(transparent)]
    #[diagnostic(help("{}", error.help()))]
    Archive { error: ArchiveError },
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
}

/// The manifest of a bundle, or the manifest itself.
///
/// # Errors
/// When it is neither, or cannot be read.
pub fn manifest(path: &Utf8Path) -> Result<Manifest, UnpackedError> {
    let read = |source| UnpackedError::Read { path: path.to_owned(), source };
    let bytes = if path.is_dir() {
        fs_err::read(path.join(MANIFEST_FILE)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => UnpackedError::NoManifest { path: path.to_owned() },
            _ => read(source),
        })?
    } else {
        let mut file = File::open(path).map_err(read)?;
        let mut bytes = Vec::new();
        file.by_ref().take(1).read_to_end(&mut bytes).map_err(read)?;
        if bytes != b"{" {
            return archive::manifest(path.as_std_path()).map_err(|error| refused(path, error));
        }
        file.take(LARGEST_MANIFEST).read_to_end(&mut bytes).map_err(read)?;
        bytes
    };
    Manifest::from_json(&bytes)
        .map_err(|source| UnpackedError::Manifest { path: path.to_owned(), source })
}

/// Unpacks an archive to the folder `to`, which must not exist or be empty.
///
/// # Errors
/// When it is no bundle's archive, or is damaged. Nothing is left of it then.
pub fn unpack(
    context: &Context,
    path: &Utf8Path,
    to: &Utf8Path,
) -> Result<Unpacked, UnpackedError> {
    let (threads, durability) = (context.jobs, Durability::Cached);
    let options = Options { threads, memory: MEMORY, durability, manifest: None };
    archive::unpack(path.as_std_path(), to.as_std_path(), &options)
        .map_err(|error| refused(path, error))
}

/// Unpacks an archive to the folder `to`, as [`unpack`], and returns what is in it. Everything was compared with the manifest.
///
/// # Errors
/// As [`unpack`].
pub fn tree(
    context: &Context,
    path: &Utf8Path,
    to: &Utf8Path,
) -> Result<(Tree, Manifest), UnpackedError> {
    let unpacked = unpack(context, path, to)?;
    let file = to.join(MANIFEST_FILE);
    let bytes =
        fs_err::read(&file).map_err(|source| UnpackedError::Read { path: file.clone(), source })?;
    let manifest = Manifest::from_json(&bytes)
        .map_err(|source| UnpackedError::Manifest { path: path.to_owned(), source })?;
    let files = manifest.files.iter().map(|file| {
        let executable = file.mode == Mode::Executable;
        let source = Source::new(to.join(file.path.as_str()), file.size, executable, file.sha256);
        (file.path.clone(), Node::File(source))
    });
    let links =
        manifest.links.iter().map(|link| (link.path.clone(), Node::Link(link.target.clone())));
    let mut tree: Tree = files.chain(links).collect();
    let source = Source::new(file, bytes.len() as u64, false, unpacked.manifest);
    let path = MANIFEST_FILE.parse().expect("its own name is a path");
    tree.insert(path, Node::File(source));
    Ok((tree, manifest))
}

fn refused(path: &Utf8Path, error: ArchiveError) -> UnpackedError {
    match *error.fault {
        Fault::Format => UnpackedError::Format { path: path.to_owned() },
        Fault::NoManifest => UnpackedError::NoManifest { path: path.to_owned() },
        _ => UnpackedError::Archive { error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::Format;
    use crate::testing::{MANIFEST, Sandbox, archive, contents};

    /// A bundle in every format.
    fn archives(sandbox: &Sandbox) -> Vec<Utf8PathBuf> {
        [Format::TarZst, Format::TarGz, Format::Zip]
            .into_iter()
            .map(|format| archive(sandbox, format))
            .collect()
    }

    #[test]
    fn every_form_of_a_bundle() {
        let sandbox = Sandbox::new();
        let context = sandbox.context(&[]);
        for archive in archives(&sandbox) {
            assert_eq!(
                manifest(&archive).expect("it is inside").app.name.as_str(),
                "a",
                "{archive}"
            );
            let to = sandbox.root.join("to");
            let (tree, inside) = tree(&context, &archive, &to).expect("it is a bundle");
            assert_eq!(manifest(&to).expect("it was unpacked"), inside);
            let names: Vec<&str> = tree.iter().map(|(path, _)| path.as_str()).collect();
            assert_eq!(names, ["app/manifest.json", "bin/a", "bin/b", "manifest.json"]);
            assert_eq!(tree.len(), contents(&to).len());
            std::fs::remove_dir_all(&to).expect("it was unpacked");
        }
        let alone = sandbox.write("x.manifest.json", MANIFEST);
        assert_eq!(manifest(&alone).expect("it is one").app.name.as_str(), "a");
    }

    #[test]
    fn what_is_no_bundle() {
        let sandbox = Sandbox::new();
        let text = sandbox.write("a.txt", "hello");
        let said = |path: &Utf8Path| {
            let error = manifest(path).expect_err("it is none");
            let help = error.help().map_or_else(String::new, |help| format!("; {help}"));
            let why = std::error::Error::source(&error);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            let why = if error.to_string().ends_with(&why) { "" } else { &why };
            format!("{error}{why}{help}").replace(sandbox.root.as_str(), "~")
        };
        insta::assert_snapshot!(said(&text), @"`~/a.txt` is neither a bundle nor a manifest; name a `.tar.zst`, `.tar.gz` or `.zip` that `cargo xtask bundle` made, the folder it was unpacked to, or a `manifest.json`");
        insta::assert_snapshot!(said(&sandbox.root), @"`~` has no `manifest.json`; a bundle has it in its own folder; was this made by `cargo xtask bundle`?");
        insta::assert_snapshot!(said(&sandbox.root.join("gone")), @"cannot read `~/gone`: No such file or directory (os error 2)");
        let other = zstd::encode_all(&b"something else"[..], 1).expect("memory");
        let other = sandbox.write("e.tar.zst", other);
        insta::assert_snapshot!(said(&other), @"cannot read the manifest of `~/e.tar.zst`: its last bytes are not those of a seek table: it ends too early, or is not a bundle; it was damaged or changed after it was made: fetch it again, or bundle it again");
        let later = sandbox.write("later.json", r#"{"version": 2}"#);
        insta::assert_snapshot!(said(&later), @"cannot take the manifest of `~/later.json`: its format is version 2, and version 1 was expected; it was made by another version of Gangway: bundle it anew with this one");
    }

    #[test]
    fn what_is_damaged_is_not_unpacked() {
        let sandbox = Sandbox::new();
        let context = sandbox.context(&[]);
        for archive in archives(&sandbox) {
            let whole = std::fs::read(&archive).expect("it was made");
            let to = sandbox.root.join("damaged/to");
            unpack(&context, &archive, &to).expect("it is whole");
            let expected = contents(&to);
            std::fs::remove_dir_all(&to).expect("it was unpacked");
            let mut refused = 0;
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1;
                let damaged = sandbox.write("damaged/archive", bytes);
                match unpack(&context, &damaged, &to) {
                    Err(error) => {
                        refused += 1;
                        assert!(error.to_string().contains("damaged/archive"), "{error}");
                        assert_eq!(contents(&sandbox.root.join("damaged")).len(), 1);
                    }
                    // Some bytes mean nothing: a time in gzip's header, a name that a ZIP file has twice.
                    Ok(_) => {
                        assert_eq!(contents(&to), expected, "{archive}, byte {at}");
                        std::fs::remove_dir_all(&to).expect("it was unpacked");
                    }
                }
            }
            assert!(refused * 2 > whole.len(), "{archive}: {refused} of {}", whole.len());
        }
    }
}
