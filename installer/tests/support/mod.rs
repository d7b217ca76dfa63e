//! Releases of a small app, made for a test, and a machine that it is installed on.

#![allow(dead_code, reason = "each test uses another part of it")]

pub(crate) mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::archive::sample::Sample;
use gangway_artifact::delta::patch::{PATCH_VERSION, Patch, Patches};
use gangway_artifact::trust::{
    Bundle, CHANNEL_VERSION, Channel, InstallerProgram, NamedFile, Release,
};
use gangway_artifact::{BundlePath, Digest, Entrypoint, MANIFEST_FILE, Manifest, Mode, State};

/// What the runtime of the app is: it prints the version, which is read from the app's files.
pub(crate) const RUNTIME: &str =
    "#!/bin/sh\nread -r version < \"${1%/*}/version\"\necho \"$version\"\n";
pub(crate) const LAUNCH: &str =
    r#"{"version": 1, "programs": {"app": {"runtime": "runtime/run", "script": "app/main.js"}}}"#;

/// A folder with a channel and the files it names.
#[derive(Debug)]
pub(crate) struct Releases {
    pub(crate) folder: Utf8PathBuf,
    /// Each version's manifest.
    pub(crate) manifests: BTreeMap<String, Vec<u8>>,
    releases: Vec<Release>,
    sequence: u64,
}

impl Releases {
    pub(crate) fn new(folder: Utf8PathBuf) -> Self {
        fs::create_dir_all(&folder).expect("writable");
        Self { folder, manifests: BTreeMap::new(), releases: Vec::new(), sequence: 0 }
    }

    /// A further version, which is the newest, and different from others in a few files.
    pub(crate) fn publish(&mut self, version: &str) {
        self.publish_sample(version, Self::sample(version));
    }

    /// What is published of a version.
    pub(crate) fn sample(version: &str) -> Sample {
        let mut sample = Sample::default();
        let launcher = fs::read(env!("CARGO_BIN_EXE_launcher")).expect("cargo built it");
        sample.file("app/main.js", format!("// {version}\n").as_bytes());
        sample.file("app/version", format!("{version}\n").as_bytes());
        for index in 0..60 {
            sample.file(&format!("app/lib/{index:03}.js"), format!("module {index}\n").as_bytes());
        }
        sample.cut();
        sample.parts("bin/app", &launcher, Mode::Executable, 1 << 20);
        sample.file("launch.json", LAUNCH.as_bytes());
        sample.parts("runtime/run", RUNTIME.as_bytes(), Mode::Executable, 1 << 20);
        sample.link("app/latest", "lib/059.js");
        sample
    }

    pub(crate) fn publish_sample(&mut self, version: &str, sample: Sample) {
        self.publish_of("app", version, sample);
    }

    /// The same of another app.
    pub(crate) fn publish_of(&mut self, app: &str, version: &str, mut sample: Sample) {
        let manifest = &mut sample.manifest;
        manifest.app.name = app.parse().expect("a name");
        version.clone_into(&mut manifest.app.version);
        let script = Some(BundlePath::new("app/main.js").expect("plain"));
        let (name, program) = ("app".parse().expect("a name"), None);
        manifest.entrypoints.insert(0, Entrypoint { name, script, program });
        let path = "~/.app".parse().expect("a place for data");
        let (variable, exclude) = (None, Vec::new());
        manifest.state = vec![State { path, variable, exclude, limit_mb: State::LIMIT_MB }];
        let archive = sample.zst();
        let (_, manifest) = sample.frames();
        let json = manifest.to_json();
        let target = manifest.target.clone();
        let bundle = Bundle {
            platform: manifest.platform,
            contract: manifest.contract.clone(),
            l4t: None,
            patches: None,
            archive: self.write(&format!("{app}-{version}-{target}.tar.zst"), &archive),
            manifest: self.write(&format!("{app}-{version}-{target}.manifest.json"), &json),
            target,
        };
        let (version, bundles) = (version.to_owned(), vec![bundle]);
        self.manifests.insert(version.clone(), json);
        self.releases.retain(|release| release.version != version);
        self.releases.insert(0, Release { version, bundles, installers: Vec::new() });
        self.sequence += 1;
        self.write_channel(app);
    }

    /// The newest version brings this installer, too. Returns its file's name.
    pub(crate) fn bring_installer(&mut self, program: &[u8]) -> String {
        let triple = env!("GANGWAY_TRIPLE").to_owned();
        let name = format!("app-installer-{}-{triple}", self.releases[0].version);
        let file = self.write(&name, program);
        self.releases[0].installers = vec![InstallerProgram { triple, file }];
        self.sequence += 1;
        self.write_channel("app");
        name
    }

    /// The newest version has a patch from this one. Returns its file's name.
    pub(crate) fn offer_patch(&mut self, version: &str, patch: &[u8]) -> String {
        let newest = &self.releases[0];
        let (to, target) = (newest.bundles[0].manifest.sha256, newest.bundles[0].target.clone());
        let name = format!("app-{}-{target}", newest.version);
        let from = Digest::of(&self.manifests[version]);
        let file = self.write(&format!("{name}.from-{version}.patch"), patch);
        let NamedFile { name: file, size, sha256 } = file;
        let version = version.to_owned();
        let patch = Patch { version, from, name: file.clone(), size, sha256 };
        let (app, patches) = ("app".to_owned(), vec![patch]);
        let list = Patches { version: PATCH_VERSION, app, target, to, patches };
        let list = self.write(&format!("{name}.patches.json"), &list.to_json());
        self.releases[0].bundles[0].patches = Some(list);
        self.sequence += 1;
        self.write_channel("app");
        file
    }

    fn write_channel(&self, app: &str) {
        let channel = Channel {
            version: CHANNEL_VERSION,
            app: app.to_owned(),
            channel: "stable".to_owned(),
            sequence: self.sequence,
            releases: self.releases.clone(),
        };
        self.write("stable.json", &channel.to_json());
    }

    fn write(&self, name: &str, bytes: &[u8]) -> NamedFile {
        fs::write(self.folder.join(name), bytes).expect("writable");
        let (size, sha256) = (bytes.len() as u64, Digest::of(bytes));
        NamedFile { name: name.to_owned(), size, sha256 }
    }
}

/// A home folder, and the installer.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) home: Utf8PathBuf,
}

impl Machine {
    pub(crate) fn new(home: Utf8PathBuf) -> Self {
        fs::create_dir_all(&home).expect("writable");
        Self { home }
    }

    pub(crate) fn prefix(&self) -> Utf8PathBuf {
        self.home.join(".local/share/app")
    }

    pub(crate) fn bin_dir(&self) -> Utf8PathBuf {
        self.home.join(".local/bin")
    }

    /// The installer that was fetched.
    pub(crate) fn fetched(&self) -> Command {
        self.program(env!("CARGO_BIN_EXE_installer").as_ref())
    }

    /// The installer that was installed.
    pub(crate) fn installed(&self) -> Command {
        self.program(self.bin_dir().join("app-installer").as_std_path())
    }

    fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &self.home).env("PATH", "/usr/bin:/bin");
        command.current_dir(&self.home);
        #[cfg(unix)]
        heed_signals(&mut command);
        command
    }

    /// Its data, which the app has in the home folder.
    pub(crate) fn data(&self) -> Utf8PathBuf {
        self.home.join(".app")
    }

    /// What the app says; `None` if it is not there.
    pub(crate) fn app(&self) -> Option<String> {
        let program = self.bin_dir().join("app");
        program.symlink_metadata().ok()?;
        let output = Command::new(&program).output().expect("the link leads to a program");
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).expect("text").trim().to_owned())
    }

    /// Looks whether every file of the version that is used is what it should be, and says which that is.
    pub(crate) fn check_used(&self, releases: &Releases) -> Option<String> {
        let version = self.app()?;
        let folder = self.prefix().join("current");
        let json = fs::read(folder.join(MANIFEST_FILE)).expect("it is there");
        assert!(json == releases.manifests[&version], "the manifest of {version}");
        check_tree(&folder, &Manifest::from_json(&json).expect("it was published"));
        Some(version)
    }

    /// The names in a folder; none if it is not there.
    pub(crate) fn names(folder: &Utf8Path) -> Vec<String> {
        let Ok(entries) = folder.read_dir_utf8() else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_owned()).collect();
        names.sort();
        names
    }
}

/// Panics unless the folder has the manifest's files and nothing else, each with its bytes and mode.
pub(crate) fn check_tree(folder: &Utf8Path, manifest: &Manifest) {
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    let mut expected: Vec<&str> = (manifest.files.iter().map(|file| file.path.as_str()))
        .chain(manifest.links.iter().map(|link| link.path.as_str()))
        .chain([MANIFEST_FILE])
        .collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    for file in &manifest.files {
        let path = folder.join(file.path.as_str());
        assert_eq!(Digest::of(fs::read(&path).expect("readable")), file.sha256, "{path}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = path.metadata().expect("it is there").permissions().mode() & 0o7777;
            let expected = if file.mode == Mode::Executable { 0o555 } else { 0o444 };
            assert_eq!(mode, expected, "{path}");
        }
    }
}

fn walk(folder: &Utf8Path, above: &str, found: &mut Vec<String>) {
    for entry in folder.read_dir_utf8().expect("it is there") {
        let entry = entry.expect("readable");
        let name = format!("{above}{}", entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            walk(entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

/// Has signals do to a program what they usually do. Whoever runs the tests may have them ignored, as `nohup` and a shell's `&` do, and programs keep that.
#[cfg(unix)]
#[expect(unsafe_code, reason = "what a child does before it is another program")]
pub(crate) fn heed_signals(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    let reset = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            // SAFETY: no handler is named.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: these are system calls and nothing else, so they may be made between fork and exec.
    unsafe { command.pre_exec(reset) };
}

/// What a program said, for messages.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
