//! The version that is used of those in a prefix, where a file says so: on Windows.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The file with the name of that version's folder.
pub(super) const FILE: &str = "current";

/// The folder of the version that is used in `prefix`; `None` when what the file says is none.
pub(super) fn read(prefix: &Path) -> io::Result<Option<PathBuf>> {
    let name = fs::read_to_string(prefix.join(FILE))?;
    let name = name.trim_end();
    let mut parts = Path::new(name).components();
    let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    // Windows would take what stands behind a colon for a stream of the file.
    let is_name = is_name && !name.contains(':');
    Ok(is_name.then(|| prefix.join("versions").join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_folders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let prefix = folder.path();
        let read = |text: &str| {
            fs::write(prefix.join(FILE), text).expect("writable");
            read(prefix).expect("readable")
        };
        assert_eq!(read("1.0.0"), Some(prefix.join("versions/1.0.0")));
        assert_eq!(read("1.0.0_2\r\n"), Some(prefix.join("versions/1.0.0_2")));
        for text in ["", ".", "..", "../x", "/x", "a/b", "a:b"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
