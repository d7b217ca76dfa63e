//! A gateway of one file that takes its runtime from a mirror of Node's own server, and has a cache of its own.

use std::process::Output;

use camino::Utf8PathBuf;
use serde_json::Value;

use crate::registry::LocalRegistry;
use crate::{Project, gangway, node_mirror, signing, text};

/// The gateway; its cache is empty at first.
#[derive(Debug)]
pub struct Official {
    /// Its files.
    pub project: Project,
    /// Whose server the mirror stands for: the variable that names it.
    pub mirrored: &'static str,
}

impl Official {
    /// A gateway without dependencies and without a lock.
    ///
    /// # Panics
    /// When its files cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let project = Project::new();
        project.edit("gangway.toml", "\n[dependencies]\nlockfile = \"package-lock.json\"\n", "");
        project.edit(
            "gangway.toml",
            r#"sources = ["npm"]"#,
            "sources = [\"official\"]\nstrip = false",
        );
        project.write("package.json", r#"{"name": "sample", "version": "1.2.3"}"#);
        project.write("keys.asc", &signing::public_key());
        // A server that is not there is given up soon.
        project.write(".npmrc", "fetch-retries=1\nfetch-retry-mintimeout=10\n");
        for file in ["gangway.lock", "package-lock.json"] {
            fs_err::remove_file(project.folder().join(file)).expect("it was there");
        }
        Self { project, mirrored: "GANGWAY_NODE_MIRROR" }
    }

    /// The lock.
    #[must_use]
    pub fn lock_file(&self) -> Utf8PathBuf {
        self.project.folder().join("gangway.lock")
    }

    /// The lock's text.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn lock_text(&self) -> String {
        fs_err::read_to_string(self.lock_file()).expect("there is a lock")
    }

    /// Where archives go.
    #[must_use]
    pub fn out(&self) -> Utf8PathBuf {
        self.project.folder().join("out")
    }

    /// Forgets every download.
    ///
    /// # Panics
    /// When the cache cannot be removed.
    pub fn empty_cache(&self) {
        fs_err::remove_dir_all(self.project.folder().join("cache")).expect("the cache is ours");
    }

    /// Runs a verb of the builder on it, with this mirror.
    ///
    /// # Panics
    /// When the builder is not there.
    #[must_use]
    pub fn run(&self, mirror: &str, arguments: &[&str]) -> Output {
        gangway()
            .args(arguments)
            .args(["--manifest", self.project.manifest().as_str()])
            .env("GANGWAY_CACHE", self.project.folder().join("cache"))
            .env(self.mirrored, mirror)
            .env("GANGWAY_NODE_KEYS", self.project.folder().join("keys.asc"))
            .output()
            .expect("it is a program")
    }

    /// Runs `lock` for the one target the mirror has, which must succeed, and returns what it said.
    ///
    /// # Panics
    /// When it fails.
    pub fn lock(&self, server: &LocalRegistry, arguments: &[&str]) -> String {
        let output = self.run(
            &node_mirror::url(server),
            &[&["lock", "--target", "linux-x64"], arguments].concat(),
        );
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    }

    /// Runs `bundle`, which must succeed, and returns the entry of its archive.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn bundle(&self, server: &LocalRegistry) -> Value {
        let out = self.out();
        let arguments = ["bundle", "--json", "--out", out.as_str()];
        let output = self.run(&node_mirror::url(server), &arguments);
        assert!(output.status.success(), "{}", text(&output));
        let bundles: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
        bundles["bundles"][0].clone()
    }

    /// Runs a verb that must fail, and returns what it said, in one line.
    ///
    /// # Panics
    /// When it succeeds.
    #[must_use]
    pub fn refused(&self, mirror: &str, arguments: &[&str]) -> String {
        let output = self.run(mirror, arguments);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        crate::unwrapped(&said)
    }
}

impl Default for Official {
    fn default() -> Self {
        Self::new()
    }
}
