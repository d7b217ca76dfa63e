//! Versions of shell scripts, and of this test's own program, which is a server when a script says so.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Manifest;

use super::*;
use crate::context::Context;

struct Version {
    _folder: tempfile::TempDir,
    root: Utf8PathBuf,
    manifest: Manifest,
}

impl Version {
    /// A version with these programs; `more` are fields of its manifest.
    fn new(programs: &[(&str, &str)], more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("plain").canonicalize_utf8();
        let root = root.expect("it is there");
        std::fs::create_dir_all(root.join("1.0.0.partial/bin")).expect("ours");
        for (name, script) in programs {
            let path = root.join("1.0.0.partial/bin").join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("ours");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, mode).expect("ours");
        }
        let text = format!(
            r#"{{"version":1,"builder":"gangway 0.1.0","app":{{"name":"claw","version":"1.0.0"}},"target":"linux-x64","platform":{{"os":"linux","cpu":"x64","libc":"glibc"}},{more}"contract":{{"disk":{{"unpacked":0,"installed":0}}}},"unpacked_size":0,"files":[],"links":[]}}"#
        );
        let manifest = Manifest::from_json(text.as_bytes()).expect("it is one");
        Self { _folder: folder, root, manifest }
    }

    fn try_it(&self, scope: Scope) -> Report {
        let environment = BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), self.root.join("user").into_string()),
            ("CLAW_STATE_DIR".to_owned(), self.root.join("user/state").into_string()),
        ]);
        let context = Context::new(environment, self.root.clone(), self.root.join("installer"));
        let options = Options { scope, factor: 1, scratch: self.root.join("smoke") };
        let folder = self.root.join("1.0.0.partial");
        version(&context, &folder, &self.manifest, &options, |_| {}).expect("there is room")
    }

    fn told(&self, scope: Scope) -> String {
        let report = self.try_it(scope);
        let lines = report.steps.iter().map(|step| match &step.outcome {
            Outcome::Passed => format!("{}: passed", step.name),
            Outcome::Skipped { reason } => format!("{}: skipped, {reason}", step.name),
            Outcome::Failed { reason, said } => {
                format!("{}: FAILED, {reason} {said:?}", step.name)
            }
        });
        assert!(!self.root.join("smoke").exists(), "its folder is gone");
        assert!(!self.root.join("user").exists(), "the user's home was not touched");
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A script that becomes a server, asked at the port in `$CLAW_PORT`.
fn server(more: &str) -> String {
    let own = std::env::current_exe().expect("it runs");
    format!("{more}\nexec '{}' --exact --ignored smoke::tests::the_server", own.display())
}

/// Not a test: what [`server`] becomes.
#[test]
#[ignore = "it is a program that tests start"]
fn the_server() {
    let port: u16 = std::env::var("CLAW_PORT").expect("given").parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    loop {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 64];
        let count = stream.read(&mut request).expect("a request");
        let status = if request[..count].starts_with(b"GET /ready ") { 200 } else { 503 };
        write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").expect("it waits");
    }
}

const HEALTH: &str = r#""entrypoints":[{"name":"claw"},{"name":"gateway"}],
    "health":{"entrypoint":"gateway","port":1,"path":"/ready","timeout_seconds":30},
    "smoke":{"gateway_args":["--port","{port}"],"env":{"CLAW_PORT":"{port}","CLAW_HOME":"{home}/claw"}},"#;

#[test]
fn a_version_that_runs() {
    let gateway = server("test \"$1 $2\" = \"--port $CLAW_PORT\" || exit 9");
    let version =
        Version::new(&[("claw", "echo \"claw 1.0.0 $1\""), ("gateway", &gateway)], HEALTH);
    insta::assert_snapshot!(version.told(Scope::Everything), @r"
    claw --version: passed
    gateway /ready: passed
    ");
    assert_eq!(version.told(Scope::Programs), "claw --version: passed");
}

#[test]
fn what_fails_is_told_with_what_it_said() {
    let version = Version::new(
        &[("claw", "echo starting; printf 'error: \\033[31mno such symbol\\n' >&2; exit 3")],
        HEALTH,
    );
    let told = version.told(Scope::Everything);
    insta::assert_snapshot!(told, @r#"claw --version: FAILED, it ended with status 3 ["starting", "error: [31mno such symbol"]"#);
    let error = version.try_it(Scope::Everything).check("1.0.0").expect_err("it failed");
    insta::assert_snapshot!(error, @r"
    version 1.0.0 does not run on this machine: `claw --version`: it ended with status 3; it said:
      | starting
      | error: [31mno such symbol
    ");
}

#[test]
fn a_gateway_that_ends_or_answers_otherwise() {
    let dies = Version::new(&[("claw", ""), ("gateway", "kill -SEGV $$")], HEALTH);
    let told = dies.told(Scope::Everything);
    assert!(told.contains("it was killed by signal 11 (SIGSEGV) before it was well"), "{told}");
    let health = HEALTH.replace("/ready", "/never").replace(":30}", ":1}");
    let ill = Version::new(&[("claw", ""), ("gateway", &server(""))], &health);
    let told = ill.told(Scope::Everything);
    assert!(told.contains("was not well within 1 s: `/never` answers with status 503"), "{told}");
    let missing = Version::new(&[], HEALTH).told(Scope::Everything);
    assert!(missing.contains("could not start it"), "{missing}");
}

#[test]
fn it_lives_in_a_home_of_its_own() {
    let script = r#"
        for variable in "$HOME" "$XDG_CONFIG_HOME" "$XDG_RUNTIME_DIR" "$TMPDIR" "$CLAW_HOME"; do
            case "$variable" in "$PWD"*) ;; *) echo "$variable"; exit 1;; esac
        done
        test -d "$TMPDIR" && test -z "$CLAW_STATE_DIR" && touch "$HOME/x" && test ! -t 0"#;
    let version = Version::new(&[("claw", script), ("gateway", &server(""))], HEALTH);
    assert_eq!(version.told(Scope::Programs), "claw --version: passed");
}

#[test]
fn a_taken_port_says_nothing_of_the_version() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let more = format!(
        r#""entrypoints":[{{"name":"gateway"}}],"health":{{"entrypoint":"gateway","port":{port},"path":"/ready","timeout_seconds":30}},
        "services":[{{"name":"s","kind":"rust","health":{{"socket":"/run/s.sock","timeout_seconds":5}}}}],"#
    );
    let told = Version::new(&[("gateway", "exit 1")], &more).told(Scope::Everything);
    let expected = format!(
        "service s: skipped, `/run/s.sock` may be that of the version that runs\ngateway /ready: skipped, port {port} is taken, maybe by the version that runs, and the manifest lets it have no other one"
    );
    assert_eq!(told, expected);
}

#[test]
fn a_service_is_asked_in_its_own_way() {
    let more = r#""entrypoints":[],"services":[
        {"name":"asked","kind":"rust","health":{"command":["--well"],"timeout_seconds":30}},
        {"name":"port","kind":"rust","health":{"port":7,"timeout_seconds":30}},
        {"name":"quiet","kind":"rust"}],
        "smoke":{"service_args":{"port":["{port}"]}},"#;
    let asked =
        "test \"$1\" = --well && exec test -e \"$TMPDIR/../up\"; touch \"$HOME/up\"; sleep 1000";
    // The health command has a home of its own name: it is the same one, as the service's is.
    let port = server("export CLAW_PORT=$1");
    let version = Version::new(&[("asked", asked), ("port", &port)], more);
    insta::assert_snapshot!(version.told(Scope::Everything), @r"
    service asked: passed
    service port: passed
    service quiet: skipped, its [[service]] has no `health` to ask for
    gateway: skipped, the manifest has no [health] to ask for
    ");
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_runs_on() {
    let script =
        "setsid sleep 1000 & setsid sh -c 'cd /; exec sleep 1000' & (sleep 1000 &) ; echo up";
    let version = Version::new(&[("claw", script), ("gateway", &server(script))], HEALTH);
    let told = version.told(Scope::Everything);
    assert_eq!(told, "claw --version: passed\ngateway /ready: passed");
    let scratch = version.root.join("smoke");
    let alive = std::fs::read_dir("/proc").expect("Linux has it").flatten().filter(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(scratch.as_str())
    });
    assert_eq!(alive.count(), 0);
}
