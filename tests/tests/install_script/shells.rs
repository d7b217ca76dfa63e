//! In roots with one shell and nothing but the programs that a test names.
//!
//! The variable names a folder with those programs and their libraries; `.ci/machines` makes it of Debian's packages. A root is entered by
//! `tests/in-root.sh`, which needs user namespaces.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{repository, text};

use super::site::{GIVEN, SECRET, SIGNATURE, Site};

const VARIABLE: &str = "GANGWAY_TEST_SHELLS";

/// What every system has, however small.
const USUAL: [&str; 8] = ["uname", "cat", "chmod", "rm", "mkdir", "mktemp", "head", "ls"];

/// What a shell is called, and where Debian has it.
const SHELLS: [(&str, &str); 5] =
    [("bash", "bash"), ("dash", "dash"), ("ash", "busybox"), ("zsh", "zsh"), ("mksh", "mksh")];

/// How the script comes to the shell.
const CURL: &str = "curl -fsSL BASE/install.sh";
const WGET: &str = "wget -qO- BASE/install.sh";

struct Root {
    site: Site,
    folder: tempfile::TempDir,
    shell: &'static str,
}

impl Root {
    /// A root with the shell and these programs; `busybox:wget` is busybox's own.
    fn new(shell: &'static str, program: &str, others: &[&str]) -> Self {
        let site = Site::new();
        let folder = tempfile::tempdir_in(e2e::scratch("roots")).expect("the build folder");
        let root = Self { site, folder, shell };
        for name in ["bin", "lib", "lib64", "usr/lib", "proc", "sys", "dev", "tmp", "root"] {
            fs_err::create_dir_all(root.path().join(name)).expect("the folder is ours");
        }
        // Scripts name their interpreters there.
        std::os::unix::fs::symlink("../bin", root.path().join("usr/bin")).expect("it is ours");
        root.add(program, shell);
        for other in USUAL.iter().chain(others) {
            match other.strip_prefix("busybox:") {
                Some(applet) => root.add("busybox", applet),
                None => root.add(other, other),
            }
        }
        root
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("UTF-8")
    }

    fn add(&self, program: &str, name: &str) {
        let from = parts();
        let found = ["usr/bin", "bin"].map(|folder| from.join(folder).join(program));
        let found = found.iter().find(|path| path.is_file());
        let found = found.unwrap_or_else(|| panic!("`{program}` is not in `{from}`"));
        fs_err::copy(found, self.path().join("bin").join(name)).expect("the folder is ours");
    }

    /// From now on `/arguments` has what a program is started with.
    fn listen(&self, name: &str) {
        let program = self.path().join("bin").join(name);
        fs_err::rename(&program, format!("{program}.own")).expect("the folder is ours");
        let shell = self.shell;
        let listener =
            format!("#!/bin/{shell}\necho \"$@\" >>/arguments\nexec /bin/{name}.own \"$@\"\n");
        fs_err::write(&program, listener).expect("the folder is ours");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(&program, executable).expect("it is ours");
    }

    /// Runs a line of the root's shell; what it says, and how it ends.
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let mut command = Command::new(repository().join("tests/in-root.sh"));
        command.arg(self.path());
        let parts = parts();
        for folder in ["lib", "lib64", "usr/lib", "usr/share/perl", "usr/share/perl5"] {
            if parts.join(folder).is_dir() {
                command.args(["--bind", &format!("{}:/{folder}", parts.join(folder))]);
            }
        }
        command.args(["--bind", &format!("{}:/stick", self.site.out)]);
        command.args(["--", &format!("/bin/{}", self.shell), "-c", line]);
        // mksh complains about languages that the root lacks.
        command.env_remove("LANG").env("LC_ALL", "C");
        let output = command.output().expect("it is a program");
        let said = text(&output).replace(&self.site.base(), "BASE");
        (output.status.code(), said)
    }

    /// Fetches the script as a person would, and runs it.
    fn install(&self, fetch: &str, more: &str) -> (Option<i32>, String) {
        let fetch = fetch.replace("BASE", &self.site.base());
        self.run(&format!(
            "{fetch} | /bin/{} -s -- {more}; code=$?; ls /tmp; exit $code",
            self.shell
        ))
    }
}

fn parts() -> Utf8PathBuf {
    let named = std::env::var(VARIABLE);
    named
        .unwrap_or_else(|_| panic!("`{VARIABLE}` is not set; CONTRIBUTING.md says what it names"))
        .into()
}

#[track_caller]
fn installs(root: &Root, fetch: &str) {
    let (status, said) = root.install(fetch, "--prefix '/a b'");
    let shell = root.shell;
    assert_eq!(status, Some(0), "{shell}: {said}");
    let given =
        format!("{GIVEN} [install] [--from] [BASE] [--channel] [stable] [--prefix] [/a b]\n");
    assert!(said.contains(&given), "{shell}: {said}");
    // Nothing is left in /tmp, which `ls` would have listed, and no shell complained.
    assert_eq!(said.lines().count(), 2, "{shell}: {said}");
    let (status, said) = root.install(fetch, "--fail");
    assert_eq!(status, Some(7), "{shell}: {said}");
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn with_curl() {
    for (shell, program) in SHELLS {
        installs(&Root::new(shell, program, &["curl", "sha256sum"]), CURL);
    }
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn with_wget() {
    for (shell, program) in SHELLS {
        installs(&Root::new(shell, program, &["wget", "sha256sum"]), WGET);
    }
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn with_wget_of_busybox() {
    for (shell, program) in SHELLS {
        let tools = ["busybox:wget", "busybox:sha256sum"];
        installs(&Root::new(shell, program, &tools), WGET);
    }
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn with_a_signed_address() {
    for (shell, program) in SHELLS {
        for (fetch, tools) in [
            (CURL, ["curl", "sha256sum"]),
            (WGET, ["wget", "sha256sum"]),
            (WGET, ["busybox:wget", "busybox:sha256sum"]),
        ] {
            let root = Root::new(shell, program, &tools);
            root.site.sign();
            let base = root.site.base();
            let (status, said) =
                root.install(fetch, &format!("--from '{base}{SIGNATURE}' --environment"));
            assert_eq!(status, Some(0), "{shell}, {}: {said}", tools[0]);
            let given = format!("{GIVEN} [install] [--channel] [stable] [--environment]\n");
            let address = format!("address [BASE{SIGNATURE}]\n");
            let is_told = said.contains(&(given + &address));
            assert!(is_told && said.lines().count() == 3, "{shell}, {}: {said}", tools[0]);
            // Whatever the tools have to say when it is the wrong one.
            let (status, said) = root.install(fetch, &format!("--from '{base}?{SECRET}'"));
            assert_eq!(status, Some(1), "{shell}, {}: {said}", tools[0]);
            let is_told = said.contains("cannot download `BASE/") && said.contains("404");
            assert!(is_told && !said.contains(SECRET), "{shell}, {}: {said}", tools[0]);
            // Nor does anybody see it in a list of processes. busybox's wget, its shell's own, is told no other way.
            if tools[0] == "curl" || (tools[0] == "wget" && program != "busybox") {
                root.listen(tools[0]);
                let install = format!("/bin/{shell} /stick/install.sh --from '{base}{SIGNATURE}'");
                let (_, said) = root.run(&format!("{install}; cat /arguments"));
                assert!(said.contains(GIVEN) && said.contains("--output"), "{shell}: {said}");
                assert!(!said.contains(SECRET), "{shell}, {}: {said}", tools[0]);
            }
        }
    }
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn with_other_tools_for_digests() {
    installs(&Root::new("dash", "dash", &["curl", "openssl"]), CURL);
    installs(&Root::new("bash", "bash", &["curl", "perl", "shasum"]), CURL);
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn without_a_network() {
    for (shell, program) in SHELLS {
        let root = Root::new(shell, program, &["sha256sum"]);
        let (status, said) = root.run(&format!("cd /; /bin/{shell} stick/install.sh --yes"));
        assert_eq!(status, Some(0), "{shell}: {said}");
        let given = format!("{GIVEN} [install] [--from] [/stick] [--channel] [stable] [--yes]\n");
        assert_eq!(said, given, "{shell}");
    }
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn what_is_missing_is_said() {
    for (shell, program) in SHELLS {
        let root = Root::new(shell, program, &["sha256sum"]);
        let base = root.site.base();
        let (status, said) = root.run(&format!("/bin/{shell} /stick/install.sh --from {base}"));
        if program == "busybox" {
            // It has a `wget` and a `sha256sum` of its own, whatever is in the folders.
            assert!(status == Some(0) && said.contains(GIVEN), "{said}");
            continue;
        }
        assert_eq!(status, Some(1), "{shell}: {said}");
        assert!(
            said.contains("error: nothing here downloads: curl and wget are missing"),
            "{said}"
        );
        let root = Root::new(shell, program, &["curl"]);
        let (status, said) = root.install(CURL, "");
        assert_eq!(status, Some(1), "{shell}: {said}");
        let missing =
            "error: nothing here calculates a SHA-256, so a download could not be checked";
        assert!(said.contains(missing) && !said.contains(GIVEN), "{shell}: {said}");
    }
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn programs_cannot_be_started_in_tmp() {
    for (shell, program) in SHELLS {
        let root = Root::new(shell, program, &["curl", "sha256sum", "mount"]);
        let fetch = CURL.replace("BASE", &root.site.base());
        let mounted = "mount -t tmpfs -o noexec tmpfs /tmp";
        let line = format!("{mounted} && {fetch} | /bin/{shell} -s -- --yes; ls -A /tmp /root");
        let (_, said) = root.run(&line);
        assert!(said.contains(GIVEN), "{shell}: {said}");
        assert!(said.contains("/root:\n\n/tmp:\n"), "{shell}: something is left: {said}");
        // Neither there nor anywhere else.
        let everywhere = format!("{mounted} && mount -t tmpfs -o noexec tmpfs /root");
        let (_, said) = root.run(&format!("{everywhere} && {fetch} | /bin/{shell}"));
        let expected =
            "programs cannot be started in any folder that can be written to (/tmp, /root)";
        assert!(said.contains(expected), "{shell}: {said}");
    }
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
fn there_is_no_room_in_tmp() {
    let mounted = "mount -t tmpfs -o size=4k tmpfs /tmp";
    for (shell, program) in SHELLS {
        for (from, tools) in [
            ("BASE", ["curl", "sha256sum", "mount"]),
            ("BASE", ["wget", "sha256sum", "mount"]),
            ("BASE", ["busybox:wget", "busybox:sha256sum", "mount"]),
            ("/stick", ["curl", "sha256sum", "mount"]),
        ] {
            let root = Root::new(shell, program, &tools);
            let from = from.replace("BASE", &root.site.base());
            let install = format!("/bin/{shell} /stick/install.sh --from {from}");
            let (_, said) = root.run(&format!("{mounted} && {install}; ls -A /tmp /root"));
            assert!(said.contains(GIVEN), "{shell}, {}: {said}", tools[0]);
            assert!(said.contains("/root:\n\n/tmp:\n"), "{shell}: something is left: {said}");
            // Nor anywhere else.
            let everywhere = format!("{mounted} && mount -t tmpfs -o size=4k tmpfs /root");
            let (status, said) = root.run(&format!("{everywhere} && {install}"));
            let is_told = said.contains("error: there is no room for the installer (")
                && said.contains(") in any folder that can be written to (/tmp, /root)");
            assert!(is_told && status == Some(1), "{shell}, {}: {said}", tools[0]);
            // Nor where it could be started.
            let elsewhere = format!("{mounted} && mount -t tmpfs -o noexec tmpfs /root");
            let (_, said) = root.run(&format!("{elsewhere} && {install}"));
            let is_told = said.contains("that can be written to (/root)\n")
                && said.contains("  there is no room in others (/tmp)\n");
            assert!(is_told, "{shell}, {}: {said}", tools[0]);
        }
    }
}

#[test]
#[ignore = "needs programs of Debian's, named by GANGWAY_TEST_SHELLS"]
#[cfg(target_arch = "x86_64")]
fn a_32_bit_system_on_a_64_bit_kernel() {
    let root = Root::new("sh", "busybox-i386", &["curl", "sha256sum"]);
    let (status, said) = root.install(CURL, "");
    assert_eq!(status, Some(1), "{said}");
    let expected = "there is no echo-gateway for 32-bit systems: the kernel of this one has 64 bits (x86_64), its programs have 32";
    assert!(said.contains(expected) && !said.contains(GIVEN), "{said}");
}
