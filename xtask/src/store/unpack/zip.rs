//! Archives that are no tar: zip files (wheels, Bun's and Deno's releases, Node for Windows), and a lone executable.
//!
//! The same three rules hold as for tar. A top folder is dropped only when everything is in it: a wheel has several.

use std::fs::File;
use std::io::{self, BufReader, Read as _};

use ::zip::ZipArchive;
use ::zip::result::ZipError;
use camino::Utf8Path;
use gangway_artifact::BundlePath;

use super::{Unpacking, place};
use crate::store::UnpackError;
use crate::store::index::IndexedLink;

/// What a lone executable is called once it is unpacked.
pub(crate) const PROGRAM: &str = "program";

/// The longest target of a link that is worth reading.
const LINK: u64 = 4096;

/// Whether a file starts as zip files do.
pub(super) fn is_zip(start: &[u8]) -> bool {
    start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06")
}

/// Whether a file starts as programs do: ELF, Mach-O (of one or several processors), PE.
pub(super) fn is_program(start: &[u8]) -> bool {
    const MAGIC: [&[u8]; 4] =
        [b"\x7fELF", &[0xcf, 0xfa, 0xed, 0xfe], &[0xca, 0xfe, 0xba, 0xbe], b"MZ"];
    MAGIC.iter().any(|magic| start.starts_with(magic))
}

/// Takes in every entry of a zip file.
pub(super) fn unpack(
    archive: BufReader<File>,
    unpacking: &mut Unpacking<'_>,
) -> Result<(), UnpackError> {
    let mut archive = ZipArchive::new(archive).map_err(malformed)?;
    let has_top = has_common_top(&archive);
    for number in 0..archive.len() {
        let mut entry = archive.by_index(number).map_err(malformed)?;
        let size = entry.size();
        unpacking.budget.spend(size)?;
        let name = entry.name_raw();
        // `place` drops one folder; where there is none to drop, one is put above.
        let placed = if has_top { place(name) } else { below_top(name) };
        let Some(path) = placed? else { continue };
        if entry.is_dir() {
            continue;
        }
        if entry.is_symlink() {
            let mut target = String::new();
            entry
                .by_ref()
                .take(LINK)
                .read_to_string(&mut target)
                .map_err(UnpackError::Malformed)?;
            unpacking.links.push(IndexedLink { path, target });
            continue;
        }
        let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        // One byte more than is stated says that the statement is a lie, and fills no disk.
        unpacking.write(path, entry.take(size.saturating_add(1)), size, executable)?;
    }
    Ok(())
}

/// Takes in a file that is no archive, but a program itself.
pub(super) fn program(
    archive: &Utf8Path,
    unpacking: &mut Unpacking<'_>,
) -> Result<(), UnpackError> {
    let file = File::open(archive).map_err(UnpackError::Malformed)?;
    let size = file.metadata().map_err(UnpackError::Malformed)?.len();
    unpacking.budget.spend(size)?;
    let path = BundlePath::new(PROGRAM).map_err(UnpackError::Name)?;
    unpacking.write(path, file, size, true)
}

/// Whether one folder holds everything.
fn has_common_top(archive: &ZipArchive<BufReader<File>>) -> bool {
    let top = |name: Result<std::borrow::Cow<'_, str>, ZipError>| {
        Some(name.ok()?.split_once('/')?.0.to_owned())
    };
    let mut tops = archive.file_names().map(top);
    let Some(Some(first)) = tops.next() else { return false };
    tops.all(|top| top.as_deref() == Some(first.as_str()))
}

fn below_top(name: &[u8]) -> Result<Option<BundlePath>, UnpackError> {
    if name.starts_with(b"/") {
        return place(name);
    }
    place(&[b"./", name].concat())
}

fn malformed(error: ZipError) -> UnpackError {
    match error {
        ZipError::Io(error) => UnpackError::Malformed(error),
        error => UnpackError::Malformed(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ::zip::ZipWriter;
    use ::zip::write::SimpleFileOptions;

    use super::super::{LIMITS, Unpacked, unpack};
    use super::*;
    use crate::testing::Sandbox;

    fn unpacked(files: &[(&str, &str, u32)]) -> (Sandbox, Result<Unpacked, UnpackError>) {
        let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, text, mode) in files {
            let options = SimpleFileOptions::default().unix_permissions(*mode);
            writer.start_file(*name, options).expect("memory takes it");
            writer.write_all(text.as_bytes()).expect("memory takes it");
        }
        bytes_unpacked(writer.finish().expect("memory takes it").into_inner())
    }

    fn bytes_unpacked(bytes: Vec<u8>) -> (Sandbox, Result<Unpacked, UnpackError>) {
        let sandbox = Sandbox::new();
        let archive = sandbox.write("archive", bytes);
        let into = sandbox.root.join("into");
        fs_err::create_dir(&into).expect("a fresh folder");
        let result = unpack(&archive, &into, &LIMITS);
        (sandbox, result)
    }

    fn listed(unpacked: &Unpacked) -> Vec<(&str, bool)> {
        unpacked.files.iter().map(|file| (file.path.as_str(), file.executable)).collect()
    }

    #[test]
    fn a_folder_around_everything_is_dropped_and_no_other() {
        let (_sandbox, bun) = unpacked(&[("bun-linux-x64/bun", "x", 0o755)]);
        assert_eq!(listed(&bun.expect("a zip file")), [("bun", true)]);
        let (_sandbox, deno) = unpacked(&[("deno", "x", 0o755)]);
        assert_eq!(listed(&deno.expect("a zip file")), [("deno", true)]);
        let (sandbox, wheel) = unpacked(&[("a/bin/node", "x", 0o755), ("a.libs/c.so", "y", 0o644)]);
        assert_eq!(
            listed(&wheel.expect("a zip file")),
            [("a.libs/c.so", false), ("a/bin/node", true)]
        );
        let text = fs_err::read_to_string(sandbox.root.join("into/a.libs/c.so"));
        assert_eq!(text.expect("it was written"), "y");
    }

    #[test]
    fn names_that_lead_out() {
        for name in ["../x", "a/../../x", "/etc/x", "a\\..\\x"] {
            let (sandbox, result) = unpacked(&[("ok", "1", 0o644), (name, "2", 0o644)]);
            assert!(matches!(result, Err(UnpackError::Name(_))), "{name}: {result:?}");
            assert!(!sandbox.root.join("x").exists());
        }
    }

    #[test]
    fn a_lone_program() {
        let (_sandbox, program) = bytes_unpacked(b"\x7fELF and so on".to_vec());
        assert_eq!(listed(&program.expect("a program")), [(PROGRAM, true)]);
    }

    #[test]
    fn a_zip_file_that_is_cut_short() {
        let (_sandbox, result) = bytes_unpacked(b"PK\x03\x04 and no more".to_vec());
        assert!(matches!(result, Err(UnpackError::Malformed(_))));
    }
}
