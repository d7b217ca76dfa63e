//! By this machine's `sh`, with a folder of its own for temporary files.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{Answer, text};

use super::site::{GIVEN, SECRET, SIGNATURE, Site};

/// How a script is read.
enum Read<'a> {
    /// From a pipe, as by `curl ... | sh`.
    Piped(&'a [u8]),
    /// From a file.
    File(&'a Utf8Path),
}

struct Here {
    site: Site,
    folder: tempfile::TempDir,
}

impl Here {
    fn new() -> Self {
        Self { site: Site::new(), folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn home(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("UTF-8")
    }

    fn run(&self, read: &Read<'_>, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new("/bin/sh");
        match read {
            Read::Piped(_) => command.args(["-s", "--"]),
            Read::File(path) => command.arg(path.as_str()),
        };
        let path = std::env::var("PATH").expect("tests have one");
        command.args(arguments).env_clear().env("PATH", path).env("HOME", self.home());
        command.env("TMPDIR", self.home()).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("there is a shell");
        let mut input = child.stdin.take().expect("it is piped");
        if let Read::Piped(script) = read {
            // A shell that has found a mistake reads no further.
            let _ = input.write_all(script);
        }
        drop(input);
        let output = child.wait_with_output().expect("it is our child");
        let left: Vec<_> = fs_err::read_dir(self.home()).expect("readable").collect();
        assert!(left.is_empty(), "{left:?} is left: {}", text(&output));
        output
    }

    /// Both streams, with what differs between two runs made the same.
    fn said(&self, output: &Output) -> String {
        let said = text(output).replace(&self.site.base(), "BASE");
        said.replace(self.site.out.as_str(), "~").trim_end().to_owned()
    }

    /// What is said by a script that must fail, and start nothing.
    #[track_caller]
    fn refused(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let script = self.site.script();
        let output = self.run(&Read::Piped(script.as_bytes()), arguments, variables);
        let said = self.said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(output.stdout.is_empty() && !said.contains(GIVEN), "{said}");
        said
    }
}

#[test]
fn hands_over_what_it_is_given() {
    let here = Here::new();
    let script = here.site.script();
    let output = here.run(&Read::Piped(script.as_bytes()), &["--prefix", "/a  b*", "--yes"], &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let base = here.site.base();
    assert_eq!(
        said,
        format!(
            "{GIVEN} [install] [--from] [{base}] [--channel] [stable] [--prefix] [/a  b*] [--yes]\n"
        )
    );
    assert!(output.status.success());
    let output = here.run(&Read::Piped(script.as_bytes()), &["--channel=beta", "--fail"], &[]);
    assert_eq!(output.status.code(), Some(7), "the installer's status is the script's");
    let said = here.said(&output);
    assert!(said.contains("given [install] [--from] [BASE] [--channel=beta] [--fail]"), "{said}");
}

#[test]
fn half_a_script_does_nothing() {
    let here = Here::new();
    let script = here.site.script().into_bytes();
    let line_ends = script.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    // At the end of every line, and anywhere in the first and last ones.
    let ends = line_ends.chain(0..40).chain(script.len() - 60..script.len() - 1);
    for end in ends.filter(|end| *end < script.len() - 1) {
        let output = here.run(&Read::Piped(&script[..end]), &[], &[]);
        let said = here.said(&output);
        assert!(output.stdout.is_empty() && !said.contains("downloading"), "{end}: {said}");
    }
    assert!(here.site.server.requests().is_empty(), "nothing was asked for");
}

#[test]
fn a_folder_is_a_mirror() {
    let here = Here::new();
    // A stick: what is beside the script is taken, and nothing is asked of anybody.
    let beside = here.site.out.join("install.sh");
    let output = here.run(&Read::File(&beside), &["--json"], &[("PATH", &without_downloaders())]);
    assert_eq!(here.said(&output), "given [install] [--from] [~] [--channel] [stable] [--json]");
    let stick = here.site.out.with_file_name("a stick");
    fs_err::rename(&here.site.out, &stick).expect("both are ours");
    for named in [stick.to_string(), format!("file://{stick}"), format!("{stick}//")] {
        let script = fs_err::read(stick.join("install.sh")).expect("it is there");
        let output = here.run(&Read::Piped(&script), &[], &[("GANGWAY_BASE_URL", &named)]);
        let expected = format!("given [install] [--from] [{stick}] [--channel] [stable]");
        assert_eq!(here.said(&output), expected, "{named}");
    }
    assert!(here.site.server.requests().is_empty(), "nothing was asked for");
}

/// A search path where only what the script needs is found.
fn without_downloaders() -> String {
    let folder = e2e::scratch("no-downloaders");
    for program in ["uname", "cat", "chmod", "rm", "mktemp", "mkdir", "head", "sha256sum"] {
        let link = folder.join(program);
        if !link.is_symlink() {
            let path = std::env::var("PATH").expect("tests have one");
            let mut found = path.split(':').map(|folder| Utf8PathBuf::from(folder).join(program));
            let found = found.find(|path| path.is_file()).expect("every system has it");
            // Another test may have made it in between.
            let _ = std::os::unix::fs::symlink(found, link);
        }
    }
    folder.into_string()
}

fn program(path: &Utf8Path, text: &str) {
    fs_err::write(path, text).expect("the folder is ours");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(path, executable).expect("it is ours");
}

#[test]
fn what_it_would_do() {
    let here = Here::new();
    let script = here.site.script();
    let read = Read::Piped(script.as_bytes());
    let output =
        here.run(&read, &["--dry-run", "--from", "https://me:secret@mirror.example/gw/"], &[]);
    let said = here.said(&output);
    assert!(output.status.success(), "{said}");
    for part in
        ["would install echo-gateway", "from       https://mirror.example/gw\n", "nothing was done"]
    {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert!(!said.contains("secret"), "{said}");
    let output = here.run(&read, &["--help"], &[]);
    let said = here.said(&output);
    assert!(output.status.success() && said.starts_with("Installs echo-gateway"), "{said}");
    assert!(here.site.server.requests().is_empty(), "nothing was asked for");
}

#[test]
fn a_signature_goes_with_the_file() {
    let here = Here::new();
    here.site.sign();
    let script = here.site.script();
    let read = Read::Piped(script.as_bytes());
    let base = here.site.base();
    for signed in [format!("{base}{SIGNATURE}"), format!("{base}//{SIGNATURE}#top")] {
        let output = here.run(&read, &[], &[("GANGWAY_BASE_URL", &signed)]);
        let said = here.said(&output);
        assert!(said.starts_with("given [install] [--channel] [stable]\n"), "{said}");
        assert!(said.ends_with(" from BASE?..."), "{said}");
        let said = here.said(&here.run(&read, &["--dry-run", "--from", &signed], &[]));
        assert!(said.contains("from       BASE?...\n") && !said.contains(SECRET), "{said}");
    }
    // Nobody reads it on a screen when something is wrong either.
    let installer = here.site.installer();
    let wrong = format!("{base}?signature=/wrong/{SECRET}");
    let said = here.refused(&["--from", &wrong], &[]);
    let expected = format!("error: cannot download `BASE/{installer}?...` with ");
    assert!(said.contains(&expected) && said.contains("404") && !said.contains(SECRET), "{said}");
    let path = format!("/gw/{installer}{SIGNATURE}");
    here.site.server.answer(&path, Answer::Bytes(b"<html>".to_vec()));
    let said = here.refused(&["--from", &format!("{base}{SIGNATURE}")], &[]);
    let expected = format!("error: `BASE/{installer}?...` is not the installer");
    assert!(said.contains(&expected) && !said.contains(SECRET), "{said}");
    let said = here.refused(&["--from", "http://example.com/?/signature"], &[]);
    assert!(said.contains("`http://example.com?...` is not encrypted"), "{said}");
}

#[test]
fn a_password_is_in_no_command_line() {
    let here = Here::new();
    let folder = e2e::scratch("listeners");
    let log = folder.join("arguments");
    let listener = format!(
        "#!/bin/sh\necho \"$@\" >>{log}\nPATH=${{PATH#*:}}\nexport PATH\nexec \"${{0##*/}}\" \"$@\"\n"
    );
    for name in ["curl", "wget"] {
        program(&folder.join(name), &listener);
    }
    fs_err::write(&log, "").expect("the folder is ours");
    let path = format!("{folder}:{}", std::env::var("PATH").expect("tests have one"));
    let base = here.site.base().replace("http://", &format!("http://me:{SECRET}@"));
    let read = here.site.script();
    let variables = [("PATH", path.as_str()), ("GANGWAY_BASE_URL", base.as_str())];
    let output = here.run(&Read::Piped(read.as_bytes()), &["--environment"], &variables);
    let said = here.said(&output);
    assert!(said.starts_with("given [install] [--channel] [stable] [--environment]\n"), "{said}");
    assert!(said.contains(&format!("\naddress [{base}]\n")), "{said}");
    assert!(said.ends_with(" from BASE"), "{said}");
    let started = fs_err::read_to_string(log).expect("it was written");
    assert!(started.contains("output") && !started.contains(SECRET), "{started}");
    // wget waits until it is asked for a password.
    if started.contains("--config") {
        assert_eq!(here.site.server.authorizations(), ["Basic bWU6aHVzaA=="]);
    }
}

/// Another machine is reached in clear text only if the user says that nobody in between matters; the installer knows the same word.
#[test]
fn clear_text_has_to_be_allowed() {
    let here = Here::new();
    // This machine, by a name that the script takes for another one's.
    let other = here.site.base().replace("127.0.0.1", "127.1");
    for word in [None, Some(""), Some("0")] {
        let allowed: Vec<_> = word.into_iter().map(|word| ("GANGWAY_ALLOW_HTTP", word)).collect();
        let said = here.refused(&["--from", &other], &allowed);
        assert!(
            said.contains("is not encrypted") && said.contains("GANGWAY_ALLOW_HTTP=1"),
            "{said}"
        );
    }
    let script = here.site.script();
    let allowed = [("GANGWAY_ALLOW_HTTP", "1")];
    let output = here.run(&Read::Piped(script.as_bytes()), &["--from", &other], &allowed);
    let said = here.said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{GIVEN} [install] [--from] [{other}]")), "{said}");
}

#[test]
fn what_is_wrong_is_said() {
    let here = Here::new();
    let refused = |arguments: &[&str]| here.refused(arguments, &[]);
    let tools = without_downloaders();
    let mut said = vec![
        refused(&["--from", "http://example.com/gw"]),
        refused(&["--from=http://127.0.0.1@example.com/"]),
        refused(&["--from", "ftp://example.com/gw"]),
        refused(&["--from", "https://example.com/gw\noutput=/tmp/x"]),
        refused(&["--from", "/nowhere/gw"]),
        refused(&["--from", "/"]),
        refused(&["--from"]),
        here.refused(&[], &[("PATH", &tools)]),
        here.refused(&[], &[("PATH", "/nowhere")]),
    ];
    let installer = here.site.installer();
    let path = format!("/gw/{installer}");
    here.site.server.answer(&path, Answer::Bytes(b"<html>please log in</html>".to_vec()));
    said.push(refused(&[]));
    let said = said.join("\n\n").replace(&installer, "INSTALLER");
    let digests = here.site.script();
    let digest = digests.split_once("sha256=").expect("it has one").1[..64].to_owned();
    let (before, after) = said.split_once("downloading the installer").expect("it has tried to");
    let after = after.split_once('\n').map_or("", |(_, after)| after);
    let said = format!("{before}downloading the installer\n{after}").replace(&digest, "DIGEST");
    assert_eq!(said, include_str!("said.txt").trim_end());
    here.site.server.answer(&path, Answer::Status(404));
    let said = refused(&[]);
    let expected = format!("error: cannot download `BASE/{installer}` with ");
    assert!(said.contains(&expected) && said.contains("404"), "{said}");
}

#[test]
fn half_a_download_is_not_started() {
    let here = Here::new();
    let path = format!("/gw/{}", here.site.installer());
    let bytes = fs_err::read(here.site.out.join(here.site.installer())).expect("it is there");
    here.site.server.answer(&path, Answer::Half(bytes));
    let said = here.refused(&[], &[]);
    assert!(said.contains("cannot download") || said.contains("is not the installer"), "{said}");
}

#[test]
fn no_tool_no_installation() {
    // What calculates wrong is no tool, and without one nothing is even asked for.
    let here = Here::new();
    let folder = e2e::scratch("wrong-tools");
    for name in ["sha256sum", "shasum", "openssl"] {
        program(&folder.join(name), "#!/bin/sh\necho 0123456789abcdef -\n");
    }
    let path = format!("{folder}:{}", std::env::var("PATH").expect("tests have one"));
    let said = here.refused(&[], &[("PATH", &path)]);
    assert!(said.contains("sha256sum, shasum and openssl are missing"), "{said}");
    assert!(here.site.server.requests().is_empty(), "nothing was asked for");
    // One of them is enough.
    fs_err::remove_file(folder.join("openssl")).expect("it is ours");
    let output = here.run(&Read::Piped(here.site.script().as_bytes()), &[], &[("PATH", &path)]);
    assert!(here.said(&output).contains(GIVEN), "{}", here.said(&output));
}

#[test]
fn another_machine() {
    // What `uname` and `sysctl` say there.
    let here = Here::new();
    let folder = e2e::scratch("another-machine");
    let fake =
        |name: &str, text: &str| program(&folder.join(name), &format!("#!/bin/sh\n{text}\n"));
    let path = format!("{folder}:{}", std::env::var("PATH").expect("tests have one"));
    let on = |kernel: &str, machine: &str, translated: &str| {
        fake("uname", &format!("[ $1 = -s ] && echo {kernel} || echo {machine}"));
        fake("sysctl", &format!("echo {translated}"));
        let said = here.refused(&["--dry-run"], &[("PATH", &path)]);
        said.lines().next().unwrap_or_default().to_owned()
    };
    let version = "echo-gateway: error: there is no echo-gateway";
    assert_eq!(on("Darwin", "x86_64", "1"), format!("{version} 0.1.0 for macos on arm64"));
    assert_eq!(on("Darwin", "x86_64", "0"), format!("{version} 0.1.0 for macos on x64"));
    assert_eq!(
        on("Linux", "i686", ""),
        format!("{version} for 32-bit systems, and this is one (i686)")
    );
    assert_eq!(
        on("Linux", "armv7l", ""),
        format!("{version} for 32-bit systems, and this is one (armv7l)")
    );
    assert_eq!(on("Linux", "riscv64", ""), format!("{version} for processors of the kind riscv64"));
    assert_eq!(on("FreeBSD", "amd64", ""), format!("{version} for FreeBSD"));
    assert_eq!(
        on("MINGW64_NT-10.0", "x86_64", ""),
        "echo-gateway: error: this script is not for Windows"
    );
}
