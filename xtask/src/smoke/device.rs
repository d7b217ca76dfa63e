//! A machine at the other end of ssh: a Jetson, a Mac, a server.
//!
//! The system's own ssh is used, with the user's configuration, agent and keys, and asks nothing. One connection is opened and
//! everything goes through it. What is copied lies in one folder there, which is removed in the end, whatever
//! happened before; a program there ends when the connection does.

use std::io::{self, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;
use url::Url;

use super::place::Program;
use super::running::STEP;
use crate::context::Context;
use crate::process::quote;

/// What runs programs there.
const RUNNER: &str = include_str!("runner.sh");

/// Names the command to use for ssh, with its first arguments.
const VARIABLE: &str = "GANGWAY_SSH";

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum DeviceError {
    /// Not the address of one.
    #[error("`{text}` is not the address of a device")]
    #[diagnostic(help(
        "write `ssh://user@host`, or `ssh://user@host:port`; a name from ~/.ssh/config does as well"
    ))]
    Address { text: String },
    /// ssh could not be started.
    #[error("cannot start `{ssh}`, which leads to the device `{device}`")]
    #[diagnostic(help("install OpenSSH's client, or name another one with `GANGWAY_SSH`"))]
    Start { ssh: String, device: String, source: io::Error },
    /// There is no connection.
    #[error("cannot connect to the device `{device}`{said}")]
    #[diagnostic(help(
        "`ssh {device}` must connect without asking anything: set up a key, and connect once by hand to learn the host's"
    ))]
    Connect { device: String, said: String },
    /// A command there failed.
    #[error("the device `{device}` could not {purpose}{said}")]
    Failed { device: String, purpose: String, said: String },
    /// The connection broke.
    #[error("cannot {purpose} the device `{device}`")]
    Broken { device: String, purpose: String, source: io::Error },
}

/// A machine at the other end of ssh.
#[derive(Debug)]
pub struct Device {
    name: String,
    ssh: Vec<String>,
    env: Vec<(String, String)>,
    /// What leads to the host: its port, and its name.
    route: Vec<String>,
    /// The connection; it ends with this value.
    master: Child,
    /// The connection's own socket, and its messages.
    folder: tempfile::TempDir,
    /// The folder there.
    remote: Utf8PathBuf,
}

impl Device {
    /// Connects, and makes a folder there.
    ///
    /// # Errors
    /// When there is no such device, or it does not let us in.
    pub fn connect(context: &Context, address: &str) -> Result<Self, DeviceError> {
        let (name, route) = route(address)?;
        let ssh: Vec<String> = context
            .variable(VARIABLE)
            .unwrap_or("ssh")
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let kept = ["PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"];
        let value = |name: &str| Some((name.to_owned(), context.variable(name)?.to_owned()));
        let env: Vec<_> = kept.into_iter().filter_map(value).collect();
        let broken = |source| DeviceError::Broken {
            device: name.clone(),
            purpose: "keep a connection to".to_owned(),
            source,
        };
        let folder = tempfile::tempdir().map_err(broken)?;
        let log = folder.path().join("log");
        let mut command = Command::new(&ssh[0]);
        command.args(&ssh[1..]).args(["-o", "BatchMode=yes", "-o", "ServerAliveInterval=15"]);
        command.args(["-M", "-N", "-S"]).arg(folder.path().join("s")).args(&route);
        command.env_clear().envs(env.iter().cloned()).stdin(Stdio::null());
        let errors = std::fs::File::create(&log).map_err(broken)?;
        command.stdout(errors.try_clone().map_err(broken)?).stderr(errors);
        let start =
            |source| DeviceError::Start { ssh: ssh.join(" "), device: name.clone(), source };
        let master = command.spawn().map_err(start)?;
        let mut device = Self { name, ssh, env, route, master, folder, remote: Utf8PathBuf::new() };
        device.wait(&log)?;
        let made = device.ask("make a folder", "mktemp -d \"${TMPDIR:-/tmp}/gangway.XXXXXX\"")?;
        device.remote = Utf8PathBuf::from(made.trim());
        device.send(
            "take the runner",
            &format!("cat >{}", quote(device.runner().as_str())),
            |to| to.write_all(RUNNER.as_bytes()),
        )?;
        Ok(device)
    }

    /// Its address without `ssh://`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder there.
    #[must_use]
    pub fn folder(&self) -> &Utf8Path {
        &self.remote
    }

    /// What it says of itself, asked for these libraries.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn probe(&self, libraries: &[&str]) -> Result<String, DeviceError> {
        let names: Vec<String> = libraries.iter().map(|name| quote(name)).collect();
        let line = format!("sh {} probe {}", quote(self.runner().as_str()), names.join(" "));
        self.ask("say what it is", &line)
    }

    /// Copies a folder's content to the folder `name` there.
    ///
    /// # Errors
    /// When it cannot be read, or does not fit there.
    pub fn copy(&self, folder: &Utf8Path, name: &str) -> Result<(), DeviceError> {
        let to = quote(self.remote.join(name).as_str());
        let line = format!("mkdir -p {to} && tar -xf - -C {to}");
        self.send("take the bundle", &line, |pipe| {
            let mut tar = tar::Builder::new(io::BufWriter::with_capacity(1 << 20, pipe));
            tar.follow_symlinks(false);
            tar.append_dir_all(".", folder)?;
            tar.into_inner()?.flush()
        })
    }

    /// Writes a file there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<(), DeviceError> {
        let line = format!("cat >{}", quote(self.remote.join(name).as_str()));
        self.send("take a file", &line, |pipe| pipe.write_all(content.as_bytes()))
    }

    /// Makes something that is listened on there reachable here: `LOCAL:REMOTE` in ssh's words.
    ///
    /// # Errors
    /// When the device forwards nothing.
    pub fn forward(&self, route: &str) -> Result<(), DeviceError> {
        let mut command = self.ssh(&["-O", "forward", "-L", route]);
        let output = command.stdin(Stdio::null()).output();
        self.succeeded("forward a port", output).map(drop)
    }

    /// The command that starts a program there.
    pub(super) fn command(&self, start: Program<'_>) -> Command {
        let mut line = vec!["sh".to_owned(), self.runner().into_string(), "run".to_owned()];
        line.push(start.home.to_string());
        line.extend(start.env.iter().map(|(name, value)| format!("{name}={value}")));
        line.push("--".to_owned());
        line.push(start.program.to_string());
        line.extend(start.args.iter().cloned());
        let line: Vec<String> = line.iter().map(|word| quote(word)).collect();
        let mut command = self.ssh(&[]);
        command.arg(line.join(" "));
        command
    }

    fn runner(&self) -> Utf8PathBuf {
        self.remote.join("runner.sh")
    }

    /// ssh by way of the connection, up to the host's name.
    fn ssh(&self, options: &[&str]) -> Command {
        let mut command = Command::new(&self.ssh[0]);
        command.args(&self.ssh[1..]).args(["-o", "BatchMode=yes", "-S"]);
        command.arg(self.folder.path().join("s")).args(options).args(&self.route);
        command.env_clear().envs(self.env.iter().cloned());
        command
    }

    fn wait(&mut self, log: &std::path::Path) -> Result<(), DeviceError> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if matches!(self.master.try_wait(), Ok(Some(_))) {
                break;
            }
            let check = self.ssh(&["-O", "check"]).stdin(Stdio::null()).output();
            if check.is_ok_and(|output| output.status.success()) {
                return Ok(());
            }
            std::thread::sleep(STEP);
        }
        let said = said(&std::fs::read(log).unwrap_or_default());
        Err(DeviceError::Connect { device: self.name.clone(), said })
    }

    /// What a command of the shell there answers.
    fn ask(&self, purpose: &str, line: &str) -> Result<String, DeviceError> {
        let output = self.ssh(&[]).arg(line).stdin(Stdio::null()).output();
        let output = self.succeeded(purpose, output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Gives something to a command there.
    fn send(
        &self,
        purpose: &str,
        line: &str,
        give: impl FnOnce(&mut std::process::ChildStdin) -> io::Result<()>,
    ) -> Result<(), DeviceError> {
        let mut command = self.ssh(&[]);
        command.arg(line).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| self.broken(purpose, source))?;
        let mut pipe = child.stdin.take().expect("it was asked for above");
        let given = give(&mut pipe);
        drop(pipe);
        // What it says is the better reason where it stopped reading.
        self.succeeded(purpose, child.wait_with_output())?;
        given.map_err(|source| self.broken(purpose, source))
    }

    fn succeeded(&self, purpose: &str, output: io::Result<Output>) -> Result<Output, DeviceError> {
        let output = output.map_err(|source| self.broken(purpose, source))?;
        if output.status.success() {
            return Ok(output);
        }
        Err(DeviceError::Failed {
            device: self.name.clone(),
            purpose: purpose.to_owned(),
            said: said(&output.stderr),
        })
    }

    fn broken(&self, purpose: &str, source: io::Error) -> DeviceError {
        let purpose = format!("have it {purpose}:");
        DeviceError::Broken { device: self.name.clone(), purpose, source }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if !self.remote.as_str().is_empty() {
            let (runner, folder) = (self.runner(), &self.remote);
            let line = format!("sh {} end {}", quote(runner.as_str()), quote(folder.as_str()));
            // The connection may be gone, and then nothing can be removed.
            if let Err(error) = self.ask("remove what was copied", &line) {
                tracing::warn!("`{folder}` may be left on `{}`: {error}", self.name);
            }
        }
        let _ = self.ssh(&["-O", "exit"]).stdin(Stdio::null()).output();
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

/// What leads to the host, and its name.
fn route(address: &str) -> Result<(String, Vec<String>), DeviceError> {
    let wrong = || DeviceError::Address { text: address.to_owned() };
    let url = Url::parse(address).map_err(|_| wrong())?;
    let host = url.host_str().filter(|host| !host.starts_with('-')).ok_or_else(wrong)?;
    let is_plain = url.scheme() == "ssh"
        && matches!(url.path(), "" | "/")
        && url.password().is_none()
        && url.query().is_none()
        && !url.username().starts_with('-');
    if !is_plain {
        return Err(wrong());
    }
    let user = match url.username() {
        "" => String::new(),
        user => format!("{user}@"),
    };
    let mut route = Vec::new();
    let mut name = format!("{user}{host}");
    if let Some(port) = url.port() {
        route.extend(["-p".to_owned(), port.to_string()]);
        name = format!("{name}:{port}");
    }
    route.push(format!("{user}{}", host.trim_matches(['[', ']'])));
    Ok((name, route))
}

fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [] => "; it said nothing".to_owned(),
        lines => format!("; it said:\n  {}", lines[lines.len().saturating_sub(10)..].join("\n  ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let of = |text| route(text).ok().map(|(name, route)| format!("{name} {}", route.join(" ")));
        assert_eq!(
            of("ssh://me@orin.local:2222").as_deref(),
            Some("me@orin.local:2222 -p 2222 me@orin.local")
        );
        assert_eq!(of("ssh://orin").as_deref(), Some("orin orin"));
        assert_eq!(of("ssh://me@[::1]").as_deref(), Some("me@[::1] me@::1"));
        for wrong in
            ["orin", "http://orin", "ssh://", "ssh://-oProxyCommand=x", "ssh://a/b", "ssh://a:b@c"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_device_that_is_not_there() {
        let sandbox = crate::testing::Sandbox::new();
        let ssh = sandbox
            .write("ssh", "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n");
        crate::testing::make_executable(&ssh);
        let context = sandbox.context(&[("GANGWAY_SSH", ssh.as_str()), ("PATH", "/usr/bin:/bin")]);
        let error = Device::connect(&context, "ssh://orin").expect_err("it lets nobody in");
        insta::assert_snapshot!(error, @r"
        cannot connect to the device `orin`; it said:
          Permission denied (publickey).
        ");
    }
}
