//! An ssh server of this test's own, on the loopback interface, with a key that nobody else has.

use std::process::{Child, Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use crate::free_port;

/// A server that runs until the value is dropped.
#[derive(Debug)]
pub struct Sshd {
    folder: tempfile::TempDir,
    server: Child,
    port: u16,
    user: String,
}

impl Sshd {
    /// Starts one. `command` is run instead of what a client asks for, which it finds in `SSH_ORIGINAL_COMMAND`.
    ///
    /// # Panics
    /// When OpenSSH's server is not installed.
    #[must_use]
    pub fn start(command: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let at = |name: &str| utf8(folder.path()).join(name);
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", at(key).as_str()])
                .status();
            assert!(made.expect("ssh-keygen comes with ssh").success());
        }
        let port = free_port();
        let user = Command::new("id").arg("-un").output().expect("id is everywhere").stdout;
        let user = String::from_utf8(user).expect("a name").trim().to_owned();
        let force = command.map_or_else(String::new, |command| format!("ForceCommand {command}\n"));
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\nAllowStreamLocalForwarding yes\n{force}",
            at("host"),
            at("user.pub"),
        );
        fs_err::write(at("settings"), settings).expect("the folder is ours");
        let client = format!(
            "StrictHostKeyChecking no\nUserKnownHostsFile {}\nIdentityFile {}\nIdentitiesOnly yes\nLogLevel ERROR\n",
            at("known"),
            at("user"),
        );
        fs_err::write(at("client"), client).expect("the folder is ours");
        // Only root's server has a folder for its unprivileged half.
        let _ = fs_err::create_dir_all("/run/sshd");
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f", at("settings").as_str(), "-E", at("log").as_str()])
            .stdin(Stdio::null())
            .spawn()
            .expect("OpenSSH's server is installed");
        let mut started = Self { folder, server, port, user };
        started.wait();
        started
    }

    /// What `--device` takes.
    #[must_use]
    pub fn address(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}", self.user, self.port)
    }

    /// The command that knows the key.
    #[must_use]
    pub fn ssh(&self) -> String {
        format!("ssh -F {}", self.at("client"))
    }

    fn at(&self, name: &str) -> Utf8PathBuf {
        utf8(self.folder.path()).join(name)
    }

    fn wait(&mut self) {
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.server.try_wait().expect("it is our child") {
                let log = fs_err::read_to_string(self.at("log")).unwrap_or_default();
                panic!("sshd ended with {status}: {log}");
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn utf8(path: &std::path::Path) -> &Utf8Path {
    Utf8Path::from_path(path).expect("temporary folders are UTF-8")
}
