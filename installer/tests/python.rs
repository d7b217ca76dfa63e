//! Services in Python, started by the launcher as it is shipped, with the Python of this machine.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Says what it sees, from a child of its own too.
const MAIN: &str = "import json, os, subprocess, sys
import wheel
ask = 'import sys, wheel; print(wheel.value, sys.dont_write_bytecode)'
child = subprocess.run([sys.executable, '-c', ask], capture_output=True, text=True, cwd='/')
kept = [name for name in ('PYTHONHOME', 'PYTHONSTARTUP', 'PYTHONUNBUFFERED', 'KEPT') if name in os.environ]
print(json.dumps([sys.argv[1:], wheel.value, child.stdout.strip() + child.stderr, kept]))
";

struct Bundle {
    folder: tempfile::TempDir,
}

impl Bundle {
    /// A bundle whose service needs a Python from `first` to `last`.
    fn new(first: &str, last: &str) -> Self {
        let bundle = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let launch = format!(
            r#"{{"version": 1, "programs": {{}}, "python": {{"worker": {{
                "versions": {{"first": "{first}", "last": "{last}"}}, "native": true,
                "script": "services/worker/main.py",
                "path": ["services/worker", "services/worker/site-packages"], "args": ["first"]}}}}}}"#
        );
        bundle.write("bundle/launch.json", &launch);
        bundle.write("bundle/services/worker/main.py", MAIN);
        bundle.write("bundle/services/worker/site-packages/wheel.py", "value = 'bundled'\n");
        bundle.write("elsewhere/json.py", "raise SystemExit('the folder it is started in')\n");
        bundle.write("elsewhere/wheel.py", "value = 'the user\\'s'\n");
        fs::create_dir(bundle.path("bundle/bin")).expect("writable");
        // Another process writes what is to be executed: see tests/launcher.rs.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_launcher"))
            .arg(bundle.path("bundle/bin/worker"))
            .status();
        assert!(copied.expect("cp starts").success());
        bundle
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is below")).expect("writable");
        fs::write(path, text).expect("writable");
    }

    fn worker(&self) -> Command {
        let mut command = Command::new(self.path("bundle/bin/worker"));
        command.current_dir(self.path("elsewhere")).env_remove("GANGWAY_PYTHON");
        command.stdin(Stdio::null());
        command
    }
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_service_sees_its_own_and_nothing_of_the_users() {
    let bundle = Bundle::new("3.8", "3.99");
    let output = bundle
        .worker()
        .args(["second", "--third"])
        .env("PYTHONPATH", bundle.path("elsewhere"))
        .env("PYTHONHOME", "/nowhere")
        .env("PYTHONSTARTUP", "/nowhere")
        .env("PYTHONUNBUFFERED", "1")
        .env("KEPT", "1")
        .output()
        .expect("it starts");
    let (stdout, stderr) = said(&output);
    assert_eq!(
        stdout,
        r#"[["first", "second", "--third"], "bundled", "bundled True", ["PYTHONUNBUFFERED", "KEPT"]]"#,
        "{stderr}"
    );
    let left: Vec<_> = fs::read_dir(bundle.path("bundle/services/worker/site-packages"))
        .expect("it is there")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(left, ["wheel.py"], "nothing is written into a bundle");
}

#[test]
fn no_python_that_fits() {
    let bundle = Bundle::new("3.98", "3.98");
    let output = bundle.worker().output().expect("it starts");
    let (_, stderr) = said(&output);
    assert_eq!(output.status.code(), Some(127));
    let needs = format!(
        "worker: cannot start `worker`: it needs Python 3.98 (CPython for {})",
        std::env::consts::ARCH
    );
    assert!(stderr.starts_with(&needs), "{stderr}");
    assert!(stderr.contains("found `/"), "{stderr}");
    assert!(stderr.ends_with("or name one in GANGWAY_PYTHON"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

#[test]
fn the_user_can_name_one() {
    let bundle = Bundle::new("3.8", "3.99");
    let fake = bundle.path("fake");
    let script = "#!/bin/sh\ncase \"$1\" in -I) echo \"cpython 3 50 1 gil 64 $(uname -m) venv\" ;; *) echo \"fake $*\" ;; esac\n";
    let wrote = Command::new("sh")
        .args(["-c", "printf %s \"$1\" > \"$0\""])
        .arg(&fake)
        .arg(script)
        .status();
    assert!(wrote.expect("sh starts").success());
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).expect("its mode");
    let output = bundle.worker().env("GANGWAY_PYTHON", &fake).output().expect("it starts");
    let main = bundle.path("bundle").canonicalize().expect("there").join("services/worker/main.py");
    assert_eq!(said(&output), (format!("fake {} first", main.display()), String::new()));

    let none = bundle.worker().env("GANGWAY_PYTHON", "/bin/false").output().expect("it starts");
    assert_eq!(none.status.code(), Some(127));
    let (_, stderr) = said(&none);
    assert!(
        stderr.contains("found `/bin/false`, which does not answer like a Python 3; install"),
        "{stderr}"
    );
}
