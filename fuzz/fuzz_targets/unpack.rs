//! Archives of bundles: nothing may be kept of a bad one, and nothing be outside.

#![no_main]

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use gangway_artifact::archive::{self, Durability, Options};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let root = std::env::temp_dir().join(format!("gangway-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("temporary folders are writable");
    unpack(bytes, &root);
});

/// Unpacks `bytes` as a whole archive, and as the tar stream of a `.tar.gz`, in which no digest stands before its entries.
fn unpack(bytes: &[u8], root: &Path) {
    let to = root.join("to");
    let options = Options {
        threads: NonZeroUsize::MIN,
        memory: 48 << 20,
        durability: Durability::Cached,
        manifest: None,
    };
    let mut gz = GzEncoder::new(Vec::new(), Compression::none());
    let gz = gz.write_all(bytes).and_then(|()| gz.finish()).expect("memory");
    for (name, bytes) in [("whole", bytes), ("gz", &gz)] {
        let archive = root.join(name);
        std::fs::write(&archive, bytes).expect("writable");
        let unpacked = archive::unpack(&archive, &to, &options);
        std::fs::remove_file(&archive).expect("it was written");
        if unpacked.is_ok() {
            std::fs::remove_dir_all(&to).expect("it was unpacked");
        }
        let left = std::fs::read_dir(root).expect("it is there").count();
        assert_eq!(left, 0, "something was kept, or is outside: {unpacked:?}");
    }
}
