//! The installer's whole life on another system: the example is installed from a server, runs, is updated to a version with one changed file and
//! to one with another version of a dependency, goes back to the version before, and is uninstalled. What each step takes of the server is printed.
//!
//! A machine forgets what is written outside of the folders it was given, so the prefix and the home folder are such.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::gateway::{Gateway, Places, version};
use e2e::{
    Answer, LocalRegistry, Machine, archive_for, bundles, copy, gangway, repository, scratch, text,
};
use serde_json::Value;

use super::{TARGETS, made};

/// The version after the example's own: one file has changed, which says it.
const NEXT: &str = "0.2.0";
/// The version after that: a dependency is of another version.
const BUMPED: &str = "0.3.0";

/// The dependency, as `package-lock.json` has it and as it has it in that version.
const DEPENDENCY: [[&str; 2]; 3] = [
    [r#""ws": "8.23.0""#, r#""ws": "8.22.0""#],
    [
        "\"node_modules/ws\": {\n      \"version\": \"8.23.0\"",
        "\"node_modules/ws\": {\n      \"version\": \"8.22.0\"",
    ],
    [
        "sha512-wCkmX8QMOrKjgO8HW2WyDbTSGeqkocxgDzS9iR79rEAexty6/2qzilx3Ag8Tqf9ykop3irLKle0MtVn5qjVnoQ==",
        "sha512-Ydggc987+RO0AnWtZ/7Wq9FtNvcrL1b/RO0ud9mWjUPgDrsAAwQSF51sm2hm1XofbU/4jkpGEsLFsZZxU+1DOg==",
    ],
];

/// A release's folder, and a place to install to.
pub(crate) struct Journey<'a> {
    machine: &'a Machine,
    target: &'static str,
    folder: tempfile::TempDir,
    server: LocalRegistry,
}

/// What is different about a system.
pub(crate) struct System<'a> {
    /// How its programs end.
    pub(crate) suffix: &'static str,
    /// How the example's services are reached.
    pub(crate) places: Places,
    /// Those that run there.
    pub(crate) services: &'a [&'a str],
    /// Whether it has the Python that the bundle asks for.
    pub(crate) has_python: bool,
}

impl<'a> Journey<'a> {
    /// One that begins with the example's own version published for a target.
    pub(crate) fn new(machine: &'a Machine, target: &'static str) -> Self {
        // Sockets are made below, and their paths must be short.
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let server = LocalRegistry::start(BTreeMap::new());
        let journey = Self { machine, target, folder, server };
        for name in ["site", "home", "place"] {
            fs_err::create_dir(journey.folder().join(name)).expect("the folder is ours");
        }
        journey.publish(archive_for(made(), target));
        journey
    }

    fn folder(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("UTF-8")
    }

    /// What is installed, and whatever else is to be told apart from the releases.
    pub(crate) fn place(&self) -> Utf8PathBuf {
        self.folder().join("place")
    }

    fn prefix(&self) -> Utf8PathBuf {
        self.place().join("app")
    }

    /// The folder for programs; on Windows there is no choosing it.
    pub(crate) fn bin_dir(&self) -> Utf8PathBuf {
        if self.is_windows() { self.prefix().join("bin") } else { self.place().join("bin") }
    }

    fn is_windows(&self) -> bool {
        self.target.starts_with("windows")
    }

    /// How a path is written there. Windows has all of the machine as a drive.
    pub(crate) fn written(&self, path: &Utf8Path) -> String {
        if self.is_windows() { format!("Z:{path}").replace('/', "\\") } else { path.to_string() }
    }

    fn publish(&self, archive: &Utf8Path) {
        let site = self.folder().join("site");
        let mut command = gangway();
        let output = command.args(["release", archive.as_str(), "--out", site.as_str()]).output();
        let output = output.expect("it is a program");
        assert!(output.status.success(), "{}", text(&output));
        for entry in site.read_dir_utf8().expect("it was just made") {
            let path = entry.expect("readable").into_path();
            let bytes = fs_err::read(&path).expect("readable");
            let name = path.file_name().expect("it has one");
            self.server.answer(&format!("/{name}"), Answer::File(bytes.into()));
        }
    }

    /// The installer's file, as people have downloaded it.
    pub(crate) fn installer(&self) -> Utf8PathBuf {
        let entries = self.folder().join("site").read_dir_utf8().expect("it is there");
        let mut paths = entries.map(|entry| entry.expect("readable").into_path());
        let is_one = |path: &Utf8PathBuf| path.as_str().contains("-installer-");
        paths.find(is_one).expect("a release has one")
    }

    /// The installer's command line: what is said, and where all of it is.
    pub(crate) fn words(&self, said: &str) -> Vec<String> {
        let mut words: Vec<String> = said.split(' ').map(str::to_owned).collect();
        words.extend(["--prefix".to_owned(), self.written(&self.prefix()), "--yes".to_owned()]);
        if said.starts_with("install") {
            words.extend(["--from".to_owned(), self.server.url()]);
            if !self.is_windows() {
                words.extend(["--bin-dir".to_owned(), self.written(&self.bin_dir())]);
            }
        }
        words
    }

    /// A program, which sees the journey's folders.
    pub(crate) fn run(&self, program: &str) -> Command {
        let folder = self.folder();
        let home = folder.join("home");
        self.machine.run(program, &[(folder, folder.as_str()), (&home, "/root")])
    }

    fn installs(&self, said: &str) -> Output {
        let mut command = self.run(self.installer().as_str());
        command.args(self.words(said)).output().expect("it starts")
    }

    /// The installer that was installed.
    fn installed(&self, system: &System<'_>) -> Utf8PathBuf {
        let folder = if self.is_windows() { "bin" } else { "installer" };
        self.prefix().join(folder).join(format!("echo-gateway-installer{}", system.suffix))
    }

    /// What people do: the installer that was installed removes itself with all the rest.
    fn uninstalls_itself(&self, system: &System<'_>) {
        let installed = self.installed(system);
        let output = if self.is_windows() {
            // A running file is removed by another program, after it has ended; the machine must last that long.
            let rest = self.written(&self.place().join(".*.exe"));
            let wait =
                format!("for /l %%n in (1,1,600) do if exist \"{rest}\" ping -n 2 127.0.0.1 >nul");
            self.session(&[self.line(&installed, "uninstall"), wait])
        } else {
            self.run(installed.as_str()).args(self.words("uninstall")).output().expect("it starts")
        };
        assert!(output.status.success(), "{}", text(&output));
        self.is_left_as_it_was();
        assert_eq!(names(&self.place()), [""; 0], "{}", text(&output));
    }

    /// A line of a batch file: a program of the installer's, and what is said to it.
    pub(crate) fn line(&self, program: &Utf8Path, said: &str) -> String {
        let words = self.words(said);
        words.into_iter().fold(self.written(program), |line, word| format!("{line} \"{word}\""))
    }

    /// Runs a batch file: what happens in it, happens in one start of the machine.
    pub(crate) fn session(&self, lines: &[String]) -> Output {
        let script = self.script();
        let lines = [&["@echo off".to_owned()], lines].concat();
        fs_err::write(&script, lines.join("\r\n")).expect("the folder is ours");
        let mut session = self.run("cmd.exe");
        session.args(["/c", &self.written(&script)]).output().expect("it starts")
    }

    fn script(&self) -> Utf8PathBuf {
        self.folder().join("session.bat")
    }

    /// Runs the installer, which must do it. Returns how many bytes the server has sent for it.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "what each step costs is to be seen")]
    fn does(&self, said: &str) -> u64 {
        let before = self.server.sent();
        let output = self.installs(said);
        assert!(output.status.success(), "`{said}`: {}", text(&output));
        let sent = self.server.sent() - before;
        println!("{}: `{said}`: {sent} bytes over the wire", self.target);
        sent
    }

    /// What is installed, by the installer's own state.
    fn state(&self) -> Value {
        let state = fs_err::read(self.prefix().join("state.json")).expect("it is installed");
        serde_json::from_slice(&state).expect("the installer's own")
    }

    /// The gateway whose programs are in `bin` below this folder.
    fn gateway<'b>(&'b self, system: &System<'b>, bundle: &'b Utf8Path) -> Gateway<'b> {
        let System { suffix, places, services, .. } = *system;
        Gateway { machine: self.machine, bundle, suffix, places, services }
    }

    /// All of it.
    pub(crate) fn goes_well(&self, system: &System<'_>) {
        // Services are started by whoever looks after the gateway; only its own programs are where people find them.
        let works = |version: &str| {
            let folder = self.prefix().join("versions").join(version);
            self.gateway(system, &folder).works_as(version);
        };
        let is = |expected: &str| {
            let bin_dir = self.bin_dir();
            let folder = bin_dir.parent().expect("it is in a folder");
            let said = self.gateway(system, folder).says("echo-gateway", &["--version"]);
            assert_eq!(said, (Some(0), expected.to_owned()));
        };
        let all = if system.has_python {
            let all = self.does("install");
            assert!(!self.state().to_string().contains("Python"), "nothing was overruled");
            all
        } else {
            self.refuses_without_python();
            self.does("install --force")
        };
        is(&version());
        works(&version());
        self.publish(archive_for(next(), self.target));
        // What was overruled need not be overruled again.
        let file = self.does("update");
        assert!(file * 50 < all, "{file} of {all} are more than 2 %");
        is(NEXT);
        self.publish(archive_for(bumped(), self.target));
        let dependency = self.does("update");
        // The example's packages are small and lie together, so this takes little more than one file.
        assert!(dependency * 50 < all, "{dependency} of {all} are more than 2 %");
        is(BUMPED);
        let package = "app/node_modules/ws/package.json";
        let package = self.prefix().join("versions").join(BUMPED).join(package);
        let package = fs_err::read_to_string(package).expect("it is installed");
        assert!(package.contains(r#""version": "8.22.0""#), "{package}");
        works(BUMPED);
        assert_eq!(self.does("rollback"), 0);
        is(NEXT);
        works(NEXT);
        self.uninstalls_itself(system);
    }

    /// Windows has links for few, and a copy of the launcher elsewhere would not find the version that is used.
    pub(crate) fn refuses_another_folder_for_programs(&self) {
        let folder = self.written(&self.place().join("elsewhere"));
        let output = self.installs(&format!("install --force --bin-dir {folder}"));
        let said = e2e::unwrapped(&text(&output));
        assert!(!output.status.success(), "{said}");
        let usual = self.written(&self.bin_dir());
        for part in [&*folder, &*usual, "leave `--bin-dir` out"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
        self.is_left_as_it_was();
    }

    /// A service that cannot start is a need like any other: it is told with a way out, and whoever knows better is believed.
    fn refuses_without_python(&self) {
        let output = self.installs("install");
        let said = e2e::unwrapped(&text(&output));
        assert!(!output.status.success(), "{said}");
        for part in ["Python for `digest` 3.8 or newer", "--force"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
        self.is_left_as_it_was();
        let forced = self.installs("install --force");
        assert!(forced.status.success(), "{}", text(&forced));
        let recorded = self.state()["installed"][0]["forced"].to_string();
        assert!(recorded.contains("Python for `digest`"), "{recorded}");
        self.does("uninstall");
        self.is_left_as_it_was();
    }

    /// Nothing is where something was installed to, and nothing at home.
    pub(crate) fn is_left_as_it_was(&self) {
        let prefix = self.prefix();
        assert!(!prefix.exists(), "`{prefix}` is left: {:?}", names(&prefix));
        for folder in [self.bin_dir(), self.folder().join("home")] {
            // Folders that hold nothing are nobody's.
            assert_eq!(names(&folder), [""; 0], "in `{folder}`");
        }
    }
}

/// The files below a folder, by their paths in it.
fn names(folder: &Utf8Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir_utf8() else { return Vec::new() };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.expect("readable");
        match entry.file_type().expect("readable").is_dir() {
            true => names.extend(self::names(entry.path())),
            false => names.push(entry.path().to_string()),
        }
    }
    names
}

/// The example's next version, for every target.
fn next() -> &'static [Value] {
    static MADE: OnceLock<Vec<Value>> = OnceLock::new();
    MADE.get_or_init(|| changed("gateway-next", NEXT, &[]))
}

/// The version after that, for every target.
fn bumped() -> &'static [Value] {
    static MADE: OnceLock<Vec<Value>> = OnceLock::new();
    MADE.get_or_init(|| changed("gateway-bumped", BUMPED, &DEPENDENCY))
}

/// The example as a version of this number, with these changes.
fn changed(name: &str, number: &str, changes: &[[&str; 2]]) -> Vec<Value> {
    let folder = scratch(name);
    copy(&repository().join("examples/gateway"), &folder);
    let (old, new) =
        (format!(r#""version": "{}""#, version()), format!(r#""version": "{number}""#));
    let package = folder.join("package.json");
    let text = fs_err::read_to_string(&package).expect("it was just copied");
    fs_err::write(&package, text.replacen(&old, &new, 1)).expect("the folder is ours");
    for [old, new] in changes {
        let mut found = 0;
        for file in ["package.json", "package-lock.json"] {
            let path = folder.join(file);
            let text = fs_err::read_to_string(&path).expect("it was just copied");
            found += text.matches(old).count();
            fs_err::write(&path, text.replace(old, new)).expect("the folder is ours");
        }
        assert!(found > 0, "`{old}` is nowhere");
    }
    let targets: Vec<_> = TARGETS.iter().flat_map(|target| ["--target", *target]).collect();
    bundles(&folder.join("gangway.toml"), &folder.join("out"), &targets)
}
