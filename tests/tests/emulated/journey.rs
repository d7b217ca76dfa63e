//! The installer's whole life on another system: the example is installed from a release's folder, runs, is updated, goes back to the
//! version before, and is uninstalled.
//!
//! A machine forgets what is written outside of the folders it was given, so the prefix and the home folder are such.

use std::process::{Command, Output};
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::gateway::{Gateway, Places, version};
use e2e::{Machine, archive_for, bundles, copy, gangway, repository, scratch, text};
use serde_json::Value;

use super::{TARGETS, made};

/// The version after the example's own.
const NEXT: &str = "0.2.0";

/// A release's folder, and a place to install to.
pub(crate) struct Journey<'a> {
    machine: &'a Machine,
    target: &'static str,
    folder: tempfile::TempDir,
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
        let journey = Self { machine, target, folder };
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
            words.extend(["--from".to_owned(), self.written(&self.folder().join("site"))]);
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

    /// Runs the installer, which must do it.
    #[track_caller]
    fn does(&self, said: &str) {
        let output = self.installs(said);
        assert!(output.status.success(), "`{said}`: {}", text(&output));
    }

    /// What is installed, by the installer's own state.
    fn state(&self) -> Value {
        let state = fs_err::read(self.prefix().join("state.json")).expect("it is installed");
        serde_json::from_slice(&state).expect("the installer's own")
    }

    /// All of it.
    pub(crate) fn goes_well(&self, system: &System<'_>) {
        let bin_dir = self.bin_dir();
        let found = bin_dir.parent().expect("it is in a folder");
        let within = |bundle| Gateway {
            machine: self.machine,
            bundle,
            suffix: system.suffix,
            places: system.places,
            services: system.services,
        };
        // Services are started by whoever looks after the gateway; only its own programs are where people find them.
        let tree = self.prefix().join("versions").join(version());
        let gateway = within(&tree);
        let is = |expected: &str| {
            let said = within(found).says("echo-gateway", &["--version"]);
            assert_eq!(said, (Some(0), expected.to_owned()));
        };
        if system.has_python {
            self.does("install");
            assert!(!self.state().to_string().contains("Python"), "nothing was overruled");
        } else {
            self.refuses_without_python();
            self.does("install --force");
        }
        is(&version());
        gateway.works();
        self.publish(archive_for(next(), self.target));
        // What was overruled need not be overruled again.
        self.does("update");
        is(NEXT);
        self.does("rollback");
        is(&version());
        gateway.works();
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
    MADE.get_or_init(|| {
        let folder = scratch("gateway-next");
        copy(&repository().join("examples/gateway"), &folder);
        let package = folder.join("package.json");
        let text = fs_err::read_to_string(&package).expect("it was just copied");
        let (old, new) = (version(), NEXT);
        let text =
            text.replacen(&format!(r#""version": "{old}""#), &format!(r#""version": "{new}""#), 1);
        fs_err::write(&package, text).expect("the folder is ours");
        let targets: Vec<_> = TARGETS.iter().flat_map(|target| ["--target", *target]).collect();
        bundles(&folder.join("gangway.toml"), &folder.join("out"), &targets)
    })
}
