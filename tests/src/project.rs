//! A small gateway of one file and one dependency, to be spoiled by each test in its own way.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::registry::{integrity, tarball};
use crate::{gangway, repository, text, unwrapped};

/// The scope whose packages come from a test's own registry; all others come from the machine's.
pub const LOCAL_SCOPE: &str = "@local";

/// A gateway in a folder of its own.
#[derive(Debug)]
pub struct Project {
    folder: tempfile::TempDir,
    /// The tarball of its one dependency, `@local/greeting` 1.0.0.
    pub tarball: Vec<u8>,
}

impl Project {
    /// A gateway that works, once `@local/greeting` is served.
    ///
    /// # Panics
    /// When its files cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let tarball = tarball(&[
            (
                "package/package.json",
                r#"{"name":"@local/greeting","version":"1.0.0","main":"index.js"}"#,
            ),
            ("package/index.js", "module.exports = 'hello';\n"),
            ("package/index.d.ts", "export default 'hello';\n"),
        ]);
        let project =
            Self { folder: tempfile::tempdir().expect("a folder for temporary files"), tarball };
        project.write(
            "app.js",
            "console.log(require('@local/greeting'), ...process.argv.slice(2));\n",
        );
        project.write(
            "package.json",
            &json!({"name": "sample", "version": "1.2.3", "dependencies": {"@local/greeting": "1.0.0"}}).to_string(),
        );
        project.write(
            "gangway.toml",
            r#"format = 1

[app]
name = "sample"
include = ["app.js", "package.json"]

[runtime]
engine = "node"
version = "^24.16.0"
sources = ["npm"]

[[entrypoint]]
name = "sample"
script = "app.js"

[dependencies]
lockfile = "package-lock.json"
"#,
        );
        let lock = repository().join("examples/gateway/gangway.lock");
        project.write("gangway.lock", &fs_err::read_to_string(lock).expect("it is committed"));
        project.write_lockfile(&project.lockfile());
        project
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> Utf8PathBuf {
        self.folder().join("gangway.toml")
    }

    /// The gateway's folder.
    ///
    /// # Panics
    /// When the system's folder for temporary files is not UTF-8.
    #[must_use]
    pub fn folder(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("UTF-8")
    }

    /// The lockfile as npm would write it.
    #[must_use]
    pub fn lockfile(&self) -> Value {
        json!({
            "name": "sample", "version": "1.2.3", "lockfileVersion": 3, "requires": true,
            "packages": {
                "": {"name": "sample", "version": "1.2.3", "dependencies": {"@local/greeting": "1.0.0"}},
                "node_modules/@local/greeting": {"version": "1.0.0", "integrity": integrity(&self.tarball)},
            },
        })
    }

    /// Writes `package-lock.json`.
    pub fn write_lockfile(&self, lockfile: &Value) {
        self.write("package-lock.json", &format!("{lockfile:#}\n"));
    }

    /// Says where `@local` is served.
    pub fn use_registry(&self, url: &str) {
        self.write(
            ".npmrc",
            &format!("{LOCAL_SCOPE}:registry={url}\nfetch-retries=1\nfetch-retry-mintimeout=10\n"),
        );
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        fs_err::write(self.folder().join(path), text).expect("the folder is ours");
    }

    /// Replaces text in a file that must have it.
    ///
    /// # Panics
    /// When the file does not have it.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let old = fs_err::read_to_string(self.folder().join(path)).expect("it is there");
        assert!(old.contains(from), "`{path}` has no `{from}`");
        self.write(path, &old.replace(from, to));
    }

    /// Bundles it with a cache of its own content, expects that to fail, and returns what was said. Nothing may be left in the
    /// output folder.
    ///
    /// # Panics
    /// When bundling succeeds or leaves something behind.
    #[must_use]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let out = self.folder().join("out");
        let mut command = gangway();
        command
            .args(["bundle", "--manifest", self.manifest().as_str(), "--out", out.as_str()])
            .args(arguments);
        let output = command.output().expect("it is a program");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        if out.exists() {
            let left: Vec<_> = fs_err::read_dir(&out).expect("readable").collect();
            assert!(left.is_empty(), "a failed bundle left {left:?}");
        }
        unwrapped(&said)
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}
