//! What the end-to-end tests share: running the built builder, unpacking a bundle, a registry that misbehaves.
//!
//! Everything runs the program a user runs, `gangway`, found beside the test. Downloads are kept in one cache below the
//! build folder, so a second run of the tests fetches nothing.

pub mod gateway;
mod machine;
pub mod napi;
pub mod node_mirror;
mod official;
mod project;
mod registry;
pub mod s3;
pub mod signing;
pub mod sshd;

use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

pub use machine::Machine;
pub use official::Official;
pub use project::{LOCAL_SCOPE, Project};
pub use registry::{Answer, LocalRegistry, integrity, tarball};

/// The repository.
#[must_use]
pub fn repository() -> Utf8PathBuf {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    folder.expect("this package lies in the repository").to_owned()
}

/// The folder this profile is built into: `target/<profile>`.
fn build_folder() -> Utf8PathBuf {
    let test = Utf8PathBuf::try_from(std::env::current_exe().expect("a test has a file"))
        .expect("build folders are UTF-8");
    let folder = test.ancestors().nth(2).expect("tests are in target/<profile>/deps");
    folder.to_owned()
}

/// A folder for what tests make and may use again.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn scratch(name: &str) -> Utf8PathBuf {
    let folder = build_folder().join("e2e").join(name);
    fs_err::create_dir_all(&folder).expect("the build folder can be written to");
    folder
}

/// The builder, with the tests' own cache.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn gangway() -> Command {
    let program = build_folder().join("gangway");
    assert!(program.is_file(), "`{program}` is not built: run the tests of the whole workspace");
    let mut command = Command::new(program);
    command.env("GANGWAY_CACHE", scratch("cache")).env_remove("RUST_LOG").env("NO_COLOR", "1");
    // A developer's own shared cache is no place for what tests make.
    command.env_remove("GANGWAY_SHARED_CACHE");
    command
}

/// What a finished command said, as text.
#[must_use]
pub fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// What was said, without the frame and the line breaks that fit it to a terminal.
#[must_use]
pub fn unwrapped(said: &str) -> String {
    said.lines()
        .map(|line| line.trim_start_matches([' ', '│', '╰', '─', '▶', '×']))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Bundles the gateway of a manifest and returns the entry that `--json` prints for the first archive.
///
/// # Panics
/// When that fails; with everything the builder said.
#[must_use]
pub fn bundle(manifest: &Utf8Path, out: &Utf8Path, arguments: &[&str]) -> Value {
    bundles(manifest, out, arguments).remove(0)
}

/// Bundles the gateway of a manifest and returns the entries that `--json` prints, one per archive.
///
/// # Panics
/// When that fails; with everything the builder said.
#[must_use]
pub fn bundles(manifest: &Utf8Path, out: &Utf8Path, arguments: &[&str]) -> Vec<Value> {
    let mut command = gangway();
    command
        .args(["bundle", "--json", "--manifest", manifest.as_str(), "--out", out.as_str()])
        .args(arguments);
    let output = command.output().expect("it is a program");
    assert!(output.status.success(), "{}", text(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    printed["bundles"].as_array().expect("a list").clone()
}

/// The archive for a target among the entries of [`bundles`].
///
/// # Panics
/// When there is none.
#[must_use]
pub fn archive_for<'entries>(entries: &'entries [Value], target: &str) -> &'entries Utf8Path {
    let entry = entries.iter().find(|entry| entry["target"] == target);
    let entry = entry.unwrap_or_else(|| panic!("no bundle for {target} in {entries:?}"));
    Utf8Path::new(entry["archive"].as_str().expect("a path"))
}

/// Locks the gateway of a manifest.
///
/// # Panics
/// When that fails.
pub fn lock(manifest: &Utf8Path, arguments: &[&str]) {
    let mut command = gangway();
    let output = command.args(["lock", "--manifest", manifest.as_str()]).args(arguments).output();
    let output = output.expect("it is a program");
    assert!(output.status.success(), "{}", text(&output));
}

/// Bundles one of the examples (once: nothing changes between tests) and unpacks it into a new folder.
///
/// # Panics
/// When that fails.
#[must_use]
pub fn unpacked_example(name: &str) -> (tempfile::TempDir, Utf8PathBuf) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let manifest = repository().join("examples").join(name).join("gangway.toml");
    let bundle = bundle(&manifest, &scratch("bundles"), &[]);
    drop(guard);
    let archive = Utf8Path::new(bundle["archive"].as_str().expect("a path"));
    unpack(archive)
}

/// Unpacks a `.tar.zst` with the system's tar, as a user would; returns the one folder in it.
///
/// # Panics
/// When tar fails.
#[must_use]
pub fn unpack(archive: &Utf8Path) -> (tempfile::TempDir, Utf8PathBuf) {
    let folder =
        tempfile::tempdir_in(scratch("unpacked")).expect("the build folder can be written to");
    let status = Command::new("tar")
        .args(["--zstd", "-xf", archive.as_str(), "-C"])
        .arg(folder.path())
        .status()
        .expect("tar and zstd are installed");
    assert!(status.success(), "tar could not unpack `{archive}`");
    let mut inside: Vec<_> = Utf8Path::from_path(folder.path())
        .and_then(|folder| folder.read_dir_utf8().ok())
        .expect("it was just made")
        .map(|entry| entry.expect("readable").into_path())
        .collect();
    assert_eq!(inside.len(), 1, "the archive holds one folder");
    (folder, inside.remove(0))
}

/// Copies a folder, without what package managers and builds have left in it.
///
/// # Panics
/// When that fails.
pub fn copy(from: &Utf8Path, to: &Utf8Path) {
    fs_err::create_dir_all(to).expect("the folder is ours");
    for entry in from.read_dir_utf8().expect("a folder") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if ["node_modules", "dist", "target"].contains(&entry.file_name()) {
            continue;
        }
        if entry.file_type().expect("readable").is_dir() {
            copy(entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), &target).expect("the folder is ours");
        }
    }
}

/// A program that sees nothing of this machine but an empty home.
#[must_use]
pub fn bare(program: &Utf8Path, home: &Utf8Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).current_dir(home);
    command
}

/// A port of the loopback interface that nobody listens on.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback interface has free ports");
    listener.local_addr().expect("it is bound").port()
}

/// The status and body of `http://127.0.0.1:<port><path>`, or `None` while nobody answers.
#[must_use]
pub fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Some((status, body.to_owned()))
}

/// A program of a bundle that is ended, and waited for, when the test is over.
#[derive(Debug)]
pub struct Running(pub std::process::Child);

impl Running {
    /// Asks until the answer at `path` has the status 200; gives up when the program has ended.
    ///
    /// # Panics
    /// When the program ends first.
    pub fn wait_for(&mut self, port: u16, path: &str) -> String {
        loop {
            if let Some((200, body)) = http_get(port, path) {
                return body;
            }
            if let Some(status) = self.0.try_wait().expect("it is our child") {
                panic!("it ended with {status} before `{path}` answered 200");
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Sends SIGTERM; the program must end with status 0.
    ///
    /// # Panics
    /// When it ends otherwise.
    pub fn ends_when_asked(&mut self) {
        let id = self.0.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status();
        assert!(status.expect("kill is everywhere").success());
        let status = self.0.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0), "the signal reaches it, and it ends cleanly");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
