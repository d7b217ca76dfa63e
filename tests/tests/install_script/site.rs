//! A release with a stand-in for the installer, on a server of the test's own.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{Answer, LocalRegistry, bundle, repository, scratch, text};

/// What the stand-in begins its one line with.
pub(crate) const GIVEN: &str = "given";

/// What nobody may read but the server.
pub(crate) const SECRET: &str = "hush";

/// A query that an address must have; with slashes, which end no path here.
pub(crate) const SIGNATURE: &str = "?signature=/hush/&for=you/";

/// It repeats its arguments and ends with 7 if the last one is `--fail`; with `--environment` it says what address it finds there.
/// Static: it runs in any root.
const STAND_IN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int count, char **words) {
  if (count > 1 && strcmp(words[1], "--version") == 0) return 0;
  printf("given");
  for (int at = 1; at < count; at++) printf(" [%s]", words[at]);
  printf("\n");
  if (strcmp(words[count - 1], "--environment") == 0) printf("address [%s]\n", getenv("GANGWAY_BASE_URL"));
  return strcmp(words[count - 1], "--fail") == 0 ? 7 : 0;
}
"#;

/// A release's folder, and a server that has it at `/gw`.
pub(crate) struct Site {
    _folder: tempfile::TempDir,
    /// The release's folder.
    pub(crate) out: Utf8PathBuf,
    pub(crate) server: LocalRegistry,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in(scratch("install-script")).expect("the build folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let server = LocalRegistry::start(BTreeMap::new());
        let out = root.join("out");
        let mut release = Command::new(builder(root));
        release.args([
            "release",
            example().as_str(),
            "--allow-unverified",
            "--out",
            out.as_str(),
            "--base-url",
        ]);
        let done = release.arg(format!("{}gw", server.url())).output().expect("it is a program");
        assert!(done.status.success(), "{}", text(&done));
        for entry in out.read_dir_utf8().expect("it was just made") {
            let path = entry.expect("readable").into_path();
            // The script needs no archive.
            if path.extension() != Some("zst") {
                let name = path.file_name().expect("it has one");
                let bytes = fs_err::read(&path).expect("readable");
                server.answer(&format!("/gw/{name}"), Answer::Bytes(bytes));
            }
        }
        Self { _folder: folder, out, server }
    }

    /// Where it is served.
    pub(crate) fn base(&self) -> String {
        format!("{}gw", self.server.url())
    }

    /// From now on the installer is for those who have the signature.
    pub(crate) fn sign(&self) {
        let installer = self.installer();
        let bytes = fs_err::read(self.out.join(&installer)).expect("it is there");
        self.server.answer(&format!("/gw/{installer}{SIGNATURE}"), Answer::Bytes(bytes));
        self.server.answer(&format!("/gw/{installer}"), Answer::Status(403));
    }

    /// The name of the installer for this machine.
    pub(crate) fn installer(&self) -> String {
        let entries = self.out.read_dir_utf8().expect("it is there");
        let names = entries.map(|entry| entry.expect("readable").file_name().to_owned());
        names.into_iter().find(|name| name.contains("-installer-")).expect("there is one")
    }

    pub(crate) fn script(&self) -> String {
        fs_err::read_to_string(self.out.join("install.sh")).expect("it is there")
    }
}

/// The builder, with the stand-in beside it as if it had been released so.
fn builder(root: &Utf8Path) -> Utf8PathBuf {
    let built = Utf8PathBuf::try_from(std::path::PathBuf::from(e2e::gangway().get_program()));
    let builder = root.join("gangway");
    fs_err::hard_link(built.expect("UTF-8"), &builder).expect("it is on the same disk");
    let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let folder = root.join("installers").join(triple);
    fs_err::create_dir_all(&folder).expect("the folder is ours");
    fs_err::copy(stand_in(), folder.join("installer")).expect("the folder is ours");
    builder
}

fn stand_in() -> &'static Utf8Path {
    static MADE: OnceLock<Utf8PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = scratch("stand-in");
        let (source, program) = (folder.join("stand-in.c"), folder.join("stand-in"));
        fs_err::write(&source, STAND_IN).expect("the folder is ours");
        let mut compiler = Command::new("cc");
        compiler.args(["-static", "-Os", "-o", program.as_str(), source.as_str()]);
        let made = compiler.output().expect("there is a C compiler");
        assert!(made.status.success(), "{}", text(&made));
        program
    })
}

/// The example for this machine. Nobody runs it here, so it need not be fit for others.
fn example() -> &'static Utf8Path {
    static MADE: OnceLock<Utf8PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let manifest = repository().join("examples/gateway/gangway.toml");
        let made = bundle(&manifest, &scratch("bundles-install-script"), &["--no-verify"]);
        Utf8PathBuf::from(made["archive"].as_str().expect("a path"))
    })
}
