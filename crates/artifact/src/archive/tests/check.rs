//! What is found to be different about an installed version.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

struct Installed {
    root: tempfile::TempDir,
    manifest: Manifest,
    digest: Digest,
}

impl Installed {
    fn new() -> Self {
        let sample = whole();
        let root = tempfile::tempdir().expect("a temporary folder");
        let bytes = sample.zst();
        let source: &dyn FrameSource = &bytes.as_slice();
        unpack_frames(source, Path::new("a"), &root.path().join("v"), &options(2)).expect("whole");
        Self { root, manifest: sample.frames().1, digest: Digest::of(sample.text()) }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join("v").join(path)
    }

    fn check(&self) -> Vec<String> {
        let check = |threads| {
            let threads = NonZeroUsize::new(threads).expect("not zero");
            check(&self.path(""), &self.manifest, self.digest, threads).expect("it is there")
        };
        let found = check(1);
        assert_eq!(check(3), found);
        found.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn nothing_is_different() {
    assert!(Installed::new().check().is_empty());
}

#[test]
fn everything_is_different() {
    let installed = Installed::new();
    let path = |path: &str| installed.path(path);
    let mode = |at: &str, bits| {
        std::fs::set_permissions(path(at), Permissions::from_mode(bits)).expect("ours");
    };
    std::fs::write(path("a/one.js"), "module.exports = 2;\n").expect("writable");
    std::fs::write(path("a/two.js"), "").expect("writable");
    std::fs::remove_file(path("b/empty")).expect("writable");
    mode("b/block", 0o4666);
    mode("b", 0o777);
    std::fs::write(path(MANIFEST_FILE), "{}").expect("writable");
    std::fs::remove_file(path("bin/app")).expect("writable");
    symlink("/etc/passwd", path("bin/app")).expect("writable");
    std::fs::remove_file(path("bin/far")).expect("writable");
    std::fs::write(path("bin/far"), "").expect("writable");
    // The right bytes, elsewhere.
    std::fs::rename(path("last"), path("../last")).expect("writable");
    symlink("../last", path("last")).expect("writable");
    std::fs::create_dir_all(path("cache/deep/er")).expect("writable");
    std::fs::write(path("a/more.js"), "").expect("writable");
    std::fs::remove_file(path("runtime/lib.so")).expect("writable");
    rustix::fs::mkfifoat(rustix::fs::CWD, path("runtime/lib.so"), 0o644.into()).expect("writable");
    std::fs::rename(path("runtime/bin"), path("../bin")).expect("writable");
    symlink("../../bin", path("runtime/bin")).expect("writable");
    insta::assert_snapshot!(installed.check().join("\n"), @"
`a/more.js` is not part of it
`a/one.js` was changed
`a/two.js` was changed
`b` has the mode 777, and 755 was expected
`b/block` has the mode 4666, and 644 was expected
`b/empty` is missing
the link `bin/app` leads to `/etc/passwd`, and `../a/one.js` was expected
`bin/far` is no link
`cache` is not part of it
`last` is no file
`manifest.json` was changed
`runtime/bin` is no folder
`runtime/bin/node` is missing
`runtime/lib.so` is no file
");
}

#[test]
fn folders_that_are_gone() {
    let installed = Installed::new();
    std::fs::remove_dir_all(installed.path("a")).expect("writable");
    insta::assert_snapshot!(installed.check().join("\n"), @"
`a/empty` is missing
`a/one.js` is missing
`a/two.js` is missing
");
    std::fs::remove_dir_all(installed.path("")).expect("writable");
    let threads = NonZeroUsize::MIN;
    let error = check(&installed.path(""), &installed.manifest, installed.digest, threads);
    let error = error.expect_err("there is none").to_string();
    assert!(error.starts_with("cannot check `"), "{error}");
}

#[test]
fn differences_for_programs() {
    let installed = Installed::new();
    let mode = Permissions::from_mode(0o600);
    std::fs::set_permissions(installed.path("last"), mode).expect("ours");
    std::fs::remove_file(installed.path("a/empty")).expect("writable");
    let found =
        check(&installed.path(""), &installed.manifest, installed.digest, NonZeroUsize::MIN);
    let found = serde_json::to_string(&found.expect("it is there")).expect("JSON");
    insta::assert_snapshot!(found, @r#"[{"path":"a/empty","what":"missing"},{"path":"last","what":"mode","expected":"644","found":"600"}]"#);
}
