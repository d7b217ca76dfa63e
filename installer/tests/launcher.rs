//! The launcher as it is shipped, in small bundles whose runtime is a shell script.

#![cfg(unix)]
#![expect(unsafe_code, reason = "signals can only be set up between fork and exec")]

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Prints each argument and a NUL.
const ECHO: &str = "#!/bin/sh\nfor argument; do printf '%s\\0' \"$argument\"; done\n";

struct Bundle {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Bundle {
    /// A bundle with the program `app`, started by `runtime --flag app/cli.js first <user's>`.
    fn new(runtime: &str) -> Self {
        let launch = r#"{"version": 1, "programs": {"app": {"runtime": "runtime/bin/run",
            "runtime_args": ["--flag"], "script": "app/cli.js", "args": ["first"]}}}"#;
        Self::with(runtime.as_bytes(), launch)
    }

    fn with(runtime: &[u8], launch: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it is there").join("büro 1");
        fs::create_dir_all(root.join("bin")).expect("bin/");
        fs::create_dir_all(root.join("runtime/bin")).expect("runtime/");
        fs::write(root.join("launch.json"), launch).expect("the launch file");
        let launcher = fs::read(env!("CARGO_BIN_EXE_launcher")).expect("cargo built it");
        place(&root.join("bin/app"), &launcher);
        place(&root.join("runtime/bin/run"), runtime);
        Self { _folder: folder, root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).expect("its mode");
    }

    fn app(&self) -> Command {
        Command::new(self.path("bin/app"))
    }

    fn run(&self, arguments: &[&OsStr]) -> Output {
        self.app().args(arguments).output().expect("it starts")
    }

    /// The exit status and the message of a start that fails, without the temporary folder in it.
    fn failure(&self) -> (i32, String) {
        let output = self.run(&[]);
        assert_eq!(output.stdout, b"");
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        let folder = self.root.parent().expect("it has one").to_str().expect("UTF-8");
        (output.status.code().expect("no signal"), message.replace(folder, "TMP"))
    }
}

/// Writes an executable file. Another process does it: a file this one has open for writing would be inherited by
/// what other tests start at that moment, and could not be executed until they are done (`ETXTBSY`).
fn place(path: &Path, bytes: &[u8]) {
    let mut shell = (Command::new("/bin/sh").args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]))
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh starts");
    shell.stdin.take().expect("it is piped").write_all(bytes).expect("it reads");
    assert!(shell.wait().expect("it ends").success());
}

/// What [`ECHO`] was given.
fn echoed(output: &Output) -> Vec<OsString> {
    assert!(output.status.success(), "{output:?}");
    let mut parts: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
    assert_eq!(parts.pop(), Some(&b""[..]), "{output:?}");
    parts.into_iter().map(|part| OsString::from_vec(part.to_vec())).collect()
}

#[test]
fn arguments_arrive_as_they_are() {
    let bundle = Bundle::new(ECHO);
    let users = ["", "two words", "'\"$HOME\\", "naïve ☃", "-x", "--", "a\nb"].map(OsStr::new);
    let users = [&users[..], &[OsStr::from_bytes(b"\xff\xfe")]].concat();

    let script = bundle.path("app/cli.js");
    let ours = [OsStr::new("--flag"), script.as_os_str(), OsStr::new("first")];
    assert_eq!(echoed(&bundle.run(&users)), [&ours[..], &users[..]].concat());
    assert_eq!(echoed(&bundle.run(&[])), ours);
}

#[test]
fn a_native_program_has_no_script() {
    let launch = r#"{"version": 1, "programs": {"app": {"runtime": "runtime/bin/run"}}}"#;
    let bundle = Bundle::with(ECHO.as_bytes(), launch);
    assert_eq!(echoed(&bundle.run(&["x".as_ref()])), ["x"]);
}

#[test]
fn the_runtime_is_called_by_its_path() {
    let launch = r#"{"version": 1, "programs": {"app": {"runtime": "runtime/bin/sh",
        "runtime_args": ["-c", "printf %s \"$0\""]}}}"#;
    let bundle = Bundle::with(b"", launch);
    symlink("/bin/sh", bundle.path("runtime/bin/sh")).expect("a link");
    assert_eq!(bundle.run(&[]).stdout, bundle.path("runtime/bin/sh").as_os_str().as_bytes());
}

#[test]
fn exit_statuses_and_deaths_arrive() {
    for status in [0, 1, 42, 255] {
        let bundle = Bundle::new(&format!("#!/bin/sh\nexit {status}\n"));
        assert_eq!(bundle.run(&[]).status.code(), Some(status));
    }
    // Not SIGINT or SIGHUP: whoever runs the tests in the background may have them ignored, and that is inherited.
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGUSR1] {
        let bundle = Bundle::new(&format!("#!/bin/sh\nkill -{signal} $$\n"));
        assert_eq!(bundle.run(&[]).status.signal(), Some(signal));
    }
}

#[test]
fn it_becomes_the_runtime() {
    let bundle = Bundle::new("#!/bin/sh\necho $$\nread line\necho \"$line\"\n");
    let mut child =
        (bundle.app().stdin(Stdio::piped()).stdout(Stdio::piped())).spawn().expect("it starts");
    let pid = child.id();
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"through standard input\n").expect("it reads");
    drop(stdin);
    let mut text = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut text).expect("UTF-8");
    assert_eq!(text, format!("{pid}\nthrough standard input\n"));
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn environment_and_working_folder_stay() {
    let bundle = Bundle::new("#!/bin/sh\npwd\nexec /usr/bin/env\n");
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let elsewhere = elsewhere.path().canonicalize().expect("it is there");
    let odd = OsStr::from_bytes(b"\xff=");
    let output = (bundle.app().env_clear().env("ODD", odd).env("EMPTY", ""))
        .current_dir(&elsewhere)
        .output()
        .expect("it starts");
    let mut lines: Vec<_> = output.stdout.split(|byte| *byte == b'\n').collect();
    // Those a shell sets of itself.
    lines.retain(|line| {
        !["", "PWD", "OLDPWD", "SHLVL", "_"]
            .iter()
            .any(|name| line.split(|byte| *byte == b'=').next() == Some(name.as_bytes()))
    });
    lines.sort_unstable();
    let expected = [elsewhere.as_os_str().as_bytes(), b"EMPTY=", b"ODD=\xff="];
    assert_eq!(lines, expected, "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn signals_stay_as_they_are() {
    let bundle = Bundle::new("#!/bin/sh\nexec grep -E '^Sig(Ign|Blk):' /proc/self/status\n");
    let status = |program: &mut Command, set_up: fn() -> std::io::Result<()>| {
        // SAFETY: `set_up` only calls functions that are safe between fork and exec.
        unsafe { program.pre_exec(set_up) };
        program.output().expect("it starts").stdout
    };
    let set_up = || {
        // SAFETY: both are safe after fork; the set is initialised by `sigemptyset`.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGUSR2);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        }
        Ok(())
    };
    for set_up in [set_up, || Ok(())] {
        let bare = status(&mut Command::new(bundle.path("runtime/bin/run")), set_up);
        assert_eq!(status(&mut bundle.app(), set_up), bare);
    }
}

#[test]
fn links_lead_to_the_bundle() {
    let bundle = Bundle::new(ECHO);
    let links = tempfile::tempdir().expect("a temporary folder");
    let link = |target: &Path, name: &str| {
        let path = links.path().join(name);
        symlink(target, &path).expect("a link");
        path
    };
    let absolute = link(&bundle.path("bin/app"), "absolute");
    let relative = link("absolute".as_ref(), "relative");
    let folder = link(&bundle.root, "folder").join("bin/app");
    let script = bundle.path("app/cli.js");

    for called in [absolute, relative, folder] {
        let output = Command::new(&called).output().expect("it starts");
        assert_eq!(echoed(&output)[1], script, "{}", called.display());
    }
    let output =
        (Command::new("/bin/sh").args(["-c", "relative"]).env("PATH", links.path())).output();
    assert_eq!(echoed(&output.expect("sh starts"))[1], script);
}

#[test]
fn the_name_it_was_called_by_does_not_matter() {
    let bundle = Bundle::new(ECHO);
    let output = bundle.app().arg0("something else").output().expect("it starts");
    assert_eq!(echoed(&output).len(), 3);
    let output = Command::new("../bin/app").current_dir(bundle.path("runtime")).output();
    assert_eq!(echoed(&output.expect("it starts")).len(), 3);
}

#[test]
fn a_bundle_can_be_moved() {
    let bundle = Bundle::new(ECHO);
    let moved = bundle.root.with_file_name("elsewhere");
    fs::rename(&bundle.root, &moved).expect("a folder can be renamed");
    let output = Command::new(moved.join("bin/app")).output().expect("it starts");
    assert_eq!(echoed(&output)[1], moved.join("app/cli.js"));
}

/// As on Windows, where a file and not a link says which version is used.
#[test]
fn the_launcher_of_a_prefix_starts_the_version_that_is_used() {
    let bundle = Bundle::new(ECHO);
    let prefix = bundle.root.with_file_name("prefix");
    for folder in ["bin", "versions"] {
        fs::create_dir_all(prefix.join(folder)).expect("writable");
    }
    fs::rename(&bundle.root, prefix.join("versions/1.0.0_2")).expect("a folder can be renamed");
    let launcher = fs::read(env!("CARGO_BIN_EXE_launcher")).expect("cargo built it");
    place(&prefix.join("bin/app"), &launcher);
    let start = || Command::new(prefix.join("bin/app")).arg("user's").output().expect("it starts");

    fs::write(prefix.join("current"), "1.0.0_2").expect("writable");
    let script = prefix.join("versions/1.0.0_2/app/cli.js");
    let expected: [&OsStr; 4] =
        ["--flag".as_ref(), script.as_ref(), "first".as_ref(), "user's".as_ref()];
    assert_eq!(echoed(&start()), expected);

    let failure = |text: &str| {
        fs::write(prefix.join("current"), text).expect("writable");
        let output = start();
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        let folder = prefix.parent().expect("it has one").to_str().expect("UTF-8");
        (output.status.code(), message.replace(folder, "TMP"))
    };
    let (status, message) = failure("../elsewhere");
    assert_eq!(status, Some(127));
    insta::assert_snapshot!(message, @"app: `TMP/prefix/current` names no version; run the installer's `repair`, or install again");
    let (status, message) = failure("2.0.0");
    assert_eq!(status, Some(127));
    insta::assert_snapshot!(message, @"app: `TMP/prefix/versions/2.0.0/launch.json` is missing; a bundle's programs only work inside it: link to this file instead of copying it, or unpack the bundle again");
}

#[test]
fn without_a_launch_file() {
    let bundle = Bundle::new(ECHO);
    fs::remove_file(bundle.path("launch.json")).expect("it was there");
    let (status, message) = bundle.failure();
    assert_eq!(status, 127);
    insta::assert_snapshot!(message, @"app: `TMP/büro 1/launch.json` is missing; a bundle's programs only work inside it: link to this file instead of copying it, or unpack the bundle again");
}

#[test]
fn with_a_damaged_launch_file() {
    let bundle = Bundle::with(b"", r#"{"version": 1, "programs": {"app""#);
    let (status, message) = bundle.failure();
    assert_eq!(status, 126);
    insta::assert_snapshot!(message, @"app: cannot use `TMP/büro 1/launch.json`: it is not a launch file (EOF while parsing an object at line 1 column 33); unpack the bundle again");
}

#[test]
fn with_a_launch_file_of_a_later_version() {
    let bundle = Bundle::with(b"", r#"{"version": 2, "starts": []}"#);
    let (status, message) = bundle.failure();
    assert_eq!(status, 126);
    insta::assert_snapshot!(message, @"app: cannot use `TMP/büro 1/launch.json`: its format is version 2, and version 1 was expected; unpack the bundle again");
}

#[test]
fn under_an_unknown_name() {
    let bundle = Bundle::new(ECHO);
    fs::rename(bundle.path("bin/app"), bundle.path("bin/other")).expect("a file can be renamed");
    let output = Command::new(bundle.path("bin/other")).output().expect("it starts");
    assert_eq!(output.status.code(), Some(127));
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    let message = message.replace(bundle.root.to_str().expect("UTF-8"), "BUNDLE");
    insta::assert_snapshot!(message, @"other: `BUNDLE/launch.json` names no program `other`, only `app`; a bundle's programs cannot be renamed, link to them instead");
}

#[test]
fn without_a_runtime() {
    let bundle = Bundle::new(ECHO);
    fs::remove_file(bundle.path("runtime/bin/run")).expect("it was there");
    let (status, message) = bundle.failure();
    assert_eq!(status, 127);
    insta::assert_snapshot!(message, @"app: `TMP/büro 1/runtime/bin/run` is missing; the bundle is incomplete, unpack it again");
}

#[test]
fn with_a_runtime_that_lost_its_mode() {
    let bundle = Bundle::new(ECHO);
    bundle.mode("runtime/bin/run", 0o644);
    let (status, message) = bundle.failure();
    assert_eq!(status, 126);
    insta::assert_snapshot!(message, @"app: `TMP/büro 1/runtime/bin/run` is not an executable file; unpack the bundle again, with its file modes");
}

#[test]
fn with_a_runtime_of_another_machine() {
    let bundle = Bundle::new("echo a shell would run this\n");
    let (status, message) = bundle.failure();
    assert_eq!(status, 126);
    insta::assert_snapshot!(message, @"app: cannot start `TMP/büro 1/runtime/bin/run`: this machine cannot run it; take the bundle that was built for this machine");

    fs::write(bundle.path("manifest.json"), r#"{"target": "linux-x64"}"#).expect("a manifest");
    let (_, message) = bundle.failure();
    insta::assert_snapshot!(message, @"app: cannot start `TMP/büro 1/runtime/bin/run`: this machine cannot run it; the bundle was built for linux-x64, take the one for this machine");
}

#[test]
fn with_a_runtime_whose_loader_is_elsewhere() {
    let bundle = Bundle::new("#!/nowhere/ld.so\n");
    let (status, message) = bundle.failure();
    assert_eq!(status, 127);
    insta::assert_snapshot!(message, @"app: cannot start `TMP/büro 1/runtime/bin/run`: this system does not have the loader it needs; take the bundle that was built for this machine");
}

/// The environment that the runtime of a bundle with a policy finds, with these variables given.
fn environment_with(variables: &[(&str, &str)]) -> Vec<String> {
    let launch = r#"{"version": 1, "programs": {"app": {"runtime": "runtime/bin/run", "environment": {
        "remove": ["NODE_OPTIONS", "npm_*"], "keep": ["npm_config_cafile"], "set": {"SET": "ours", "GIVEN": "ours"}}}}}"#;
    let bundle = Bundle::with(b"#!/bin/sh\nenv\n", launch);
    let mut command = Command::new(bundle.root.join("bin/app"));
    let output = command.env_clear().envs(variables.iter().copied()).output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("plain");
    // What a shell sets by itself is not ours.
    let own = |line: &&str| !["PWD=", "SHLVL=", "_="].iter().any(|start| line.starts_with(start));
    let mut lines: Vec<String> = text.lines().filter(own).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_was_meant_for_others_is_taken_out() {
    let given = [
        ("GIVEN", "theirs"),
        ("NODE_OPTIONS", "--require x"),
        ("NODE_OPTIONS_OF_MINE", "1"),
        ("NODE_EXTRA_CA_CERTS", "ca.pem"),
        ("npm_config_cafile", "ca.pem"),
        ("npm_config_registry", "x"),
        ("npm_package_name", "x"),
    ];
    assert_eq!(
        environment_with(&given),
        [
            "GIVEN=theirs",
            "NODE_EXTRA_CA_CERTS=ca.pem",
            "NODE_OPTIONS_OF_MINE=1",
            "SET=ours",
            "npm_config_cafile=ca.pem",
        ]
    );
}

#[test]
fn the_user_has_the_last_word() {
    let given = [("GANGWAY_KEEP_ENVIRONMENT", "1"), ("NODE_OPTIONS", "--require x")];
    assert_eq!(
        environment_with(&given),
        ["GANGWAY_KEEP_ENVIRONMENT=1", "GIVEN=ours", "NODE_OPTIONS=--require x", "SET=ours"]
    );
    let given = [("GANGWAY_KEEP_ENVIRONMENT", "0"), ("NODE_OPTIONS", "--require x")];
    let expected = ["GANGWAY_KEEP_ENVIRONMENT=0", "GIVEN=ours", "SET=ours"];
    assert_eq!(environment_with(&given), expected);
}
