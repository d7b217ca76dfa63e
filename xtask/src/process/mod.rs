//! The one door for external programs.
//!
//! A command says what it is for, starts from an environment that holds only what it was given, reads nothing from
//! standard input, and never goes through a shell. When it fails, the message has the purpose, the command line as
//! one can paste it, and the end of what the program said. Deliberately absent: time limits, and inheriting
//! anything from the builder's own environment.

mod error;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::process::{ExitStatus, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

pub use error::{Ending, ProcessError};

/// How much of a program's output is kept in memory: its end.
const TAIL: usize = 64 * 1024;

/// How much a program whose answer we read may say.
const ANSWER: u64 = 1024 * 1024;

/// A program to be run.
#[derive(Debug, Clone)]
pub struct Command {
    purpose: String,
    program: Utf8PathBuf,
    args: Vec<String>,
    environment: BTreeMap<String, String>,
    current_dir: Option<Utf8PathBuf>,
    secrets: Vec<String>,
    log: Option<Utf8PathBuf>,
    launcher: Option<(Utf8PathBuf, Vec<String>)>,
}

/// What a program that succeeded left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The end of what it wrote to standard output and standard error, in the order it wrote it.
    pub tail: String,
}

impl Command {
    /// `program`, for a purpose that completes "could not ...": `run the postinstall script of koffi 2.16.4`.
    pub fn new(purpose: impl Into<String>, program: impl Into<Utf8PathBuf>) -> Self {
        Self {
            purpose: purpose.into(),
            program: program.into(),
            args: Vec::new(),
            environment: BTreeMap::new(),
            current_dir: None,
            secrets: Vec::new(),
            log: None,
            launcher: None,
        }
    }

    /// One more argument. Never a secret: other users see the arguments of every process.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// More variables of its environment.
    #[must_use]
    pub fn envs(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Variables for those names that it has no value for yet.
    #[must_use]
    pub fn defaults(mut self, variables: BTreeMap<String, String>) -> Self {
        for (name, value) in variables {
            self.environment.entry(name).or_insert(value);
        }
        self
    }

    /// The folder it starts in; without one, the builder's.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<Utf8PathBuf>) -> Self {
        self.current_dir = Some(folder.into());
        self
    }

    /// A text that must not be seen in messages and logs.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        let secret = secret.into();
        if !secret.is_empty() {
            self.secrets.push(secret);
        }
        self
    }

    /// A file for everything it says; the folder must be there.
    #[must_use]
    pub fn log_to(mut self, file: impl Into<Utf8PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// The same command, started by way of another program. Messages keep showing the command itself.
    #[must_use]
    pub fn through(&self, launcher: &Utf8Path, args: Vec<String>) -> Self {
        Self { launcher: Some((launcher.to_owned(), args)), current_dir: None, ..self.clone() }
    }

    /// The program and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.program.as_str()).chain(self.args.iter().map(String::as_str))
    }

    /// The folder it starts in, if one was given.
    #[must_use]
    pub fn folder(&self) -> Option<&Utf8Path> {
        self.current_dir.as_deref()
    }

    /// The command line as one can paste it into a shell, without secrets.
    #[must_use]
    pub fn line(&self) -> String {
        let words: Vec<String> = self.words().map(|word| quote(&self.redact(word))).collect();
        words.join(" ")
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, or does not succeed.
    pub fn run(&self) -> Result<Output, ProcessError> {
        let (status, tail) = self.watch().map_err(|fault| self.fault(fault))?;
        let output = self.redact(&tail.text());
        match ending(status) {
            Ending::Exit(0) => Ok(Output { tail: output }),
            ending => Err(self.failed(ending, output)),
        }
    }

    /// Runs it to its end and returns what it wrote to standard output.
    ///
    /// # Errors
    /// When it cannot be started, does not succeed, or answers with more than a megabyte or not in UTF-8.
    pub fn answer(&self) -> Result<String, ProcessError> {
        let output = self.listen().map_err(|fault| self.fault(fault))?;
        match ending(output.status) {
            Ending::Exit(0) => {}
            ending => {
                let said = self.redact(&String::from_utf8_lossy(&output.stderr));
                return Err(self.failed(ending, said));
            }
        }
        if output.stdout.len() as u64 > ANSWER {
            return Err(self.unusable("more than a megabyte"));
        }
        String::from_utf8(output.stdout).map_err(|_| self.unusable("bytes that are not UTF-8"))
    }

    /// The first line of what it answers: how programs tell their version.
    ///
    /// # Errors
    /// As [`Command::answer`]; and when the answer is empty.
    pub fn version(&self) -> Result<String, ProcessError> {
        let answer = self.answer()?;
        match answer.lines().map(str::trim).find(|line| !line.is_empty()) {
            Some(line) => Ok(line.to_owned()),
            None => Err(self.unusable("nothing")),
        }
    }

    /// The error for a launcher that could not start the program.
    #[must_use]
    pub fn cannot_start(&self, source: io::Error) -> ProcessError {
        self.fault(Fault::Start(source))
    }

    fn watch(&self) -> Result<(ExitStatus, Tail), Fault> {
        let log = match &self.log {
            Some(path) => Some(std::fs::File::create(path).map_err(Fault::Keep)?),
            None => None,
        };
        let (reader, writer) = io::pipe().map_err(Fault::Keep)?;
        let mut child = {
            // In a block of its own: the command holds the writing ends, and the pipe ends when all are closed.
            let mut command = self.prepare();
            command.stdout(writer.try_clone().map_err(Fault::Keep)?).stderr(writer);
            command.spawn().map_err(Fault::Start)?
        };
        let drained = self.drain(reader, log);
        if drained.is_err() {
            // Nobody reads the pipe any more: the program must not wait for that.
            let _ = child.kill();
        }
        let status = child.wait().map_err(Fault::Keep)?;
        Ok((status, drained.map_err(Fault::Keep)?))
    }

    fn drain(&self, reader: PipeReader, mut log: Option<std::fs::File>) -> io::Result<Tail> {
        let mut reader = BufReader::new(reader);
        let mut tail = Tail::default();
        let mut piece = Vec::new();
        loop {
            piece.clear();
            // By lines, so that a secret is seen whole; bounded, because a line need not end.
            if (&mut reader).take(TAIL as u64).read_until(b'\n', &mut piece)? == 0 {
                return Ok(tail);
            }
            tail.push(&piece);
            if let Some(log) = &mut log {
                if self.secrets.is_empty() {
                    log.write_all(&piece)?;
                } else {
                    log.write_all(self.redact(&String::from_utf8_lossy(&piece)).as_bytes())?;
                }
            }
        }
    }

    fn listen(&self) -> Result<std::process::Output, Fault> {
        let mut child = self
            .prepare()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Fault::Start)?;
        let stdout = child.stdout.take().expect("it was asked for two lines above");
        let stderr = child.stderr.take().expect("it was asked for two lines above");
        let (stdout, stderr) = std::thread::scope(|scope| {
            let errors = scope.spawn(move || read_bounded(stderr));
            let answer = read_bounded(stdout);
            (answer, errors.join().expect("reading a pipe does not panic"))
        });
        let status = child.wait().map_err(Fault::Keep)?;
        let (stdout, stderr) = (stdout.map_err(Fault::Keep)?, stderr.map_err(Fault::Keep)?);
        Ok(std::process::Output { status, stdout, stderr })
    }

    fn prepare(&self) -> std::process::Command {
        let mut command = match &self.launcher {
            Some((launcher, args)) => {
                let mut command = std::process::Command::new(launcher);
                command.args(args);
                command
            }
            None => {
                let mut command = std::process::Command::new(&self.program);
                command.args(&self.args);
                command
            }
        };
        command.env_clear().envs(&self.environment).stdin(Stdio::null());
        if let Some(folder) = &self.current_dir {
            command.current_dir(folder);
        }
        command
    }

    fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, "***");
        }
        text
    }

    fn fault(&self, fault: Fault) -> ProcessError {
        let (purpose, command) = (self.purpose.clone(), self.line());
        match fault {
            Fault::Start(source) => ProcessError::Start { purpose, command, source },
            Fault::Keep(source) => {
                let place =
                    self.log.as_ref().map_or_else(|| "a pipe".to_owned(), ToString::to_string);
                ProcessError::Output { purpose, command, place, source }
            }
        }
    }

    fn failed(&self, ending: Ending, output: String) -> ProcessError {
        ProcessError::Failed {
            purpose: self.purpose.clone(),
            command: self.line(),
            ending,
            output,
            log: self.log.clone(),
        }
    }

    fn unusable(&self, fault: &'static str) -> ProcessError {
        ProcessError::Answer { purpose: self.purpose.clone(), command: self.line(), fault }
    }
}

/// What failed on our side.
enum Fault {
    Start(io::Error),
    Keep(io::Error),
}

/// Reads to the end, and keeps one byte more than an answer may have.
fn read_bounded(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut stream).take(ANSWER + 1).read_to_end(&mut bytes)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(bytes)
}

/// The last bytes of a stream.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    is_cut: bool,
}

impl Tail {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend(piece);
        let surplus = self.bytes.len().saturating_sub(TAIL);
        self.is_cut |= surplus > 0;
        self.bytes.drain(..surplus);
    }

    /// As text, from the beginning of a line on.
    fn text(mut self) -> String {
        let bytes = self.bytes.make_contiguous();
        let start = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) if self.is_cut => end + 1,
            _ => 0,
        };
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }
}

#[cfg(unix)]
pub(crate) fn ending(status: ExitStatus) -> Ending {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exit(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::Exit(status.into_raw()),
    }
}

#[cfg(not(unix))]
pub(crate) fn ending(status: ExitStatus) -> Ending {
    Ending::Exit(status.code().expect("there is always one on this system"))
}

/// One word for a POSIX shell.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command::new("try it", "/bin/sh").args(["-c", script])
    }

    #[test]
    fn starts_with_nothing_but_what_it_was_given() {
        let answer = shell("echo \"$GREETING${HOME-}${PATH_OF_NOBODY-}\"; cat")
            .env("GREETING", "hello")
            .env("PATH", "/usr/bin:/bin")
            .answer()
            .expect("it runs");
        assert_eq!(answer, "hello\n");
    }

    #[test]
    fn shows_how_it_failed() {
        let error =
            shell("echo to stdout; echo it\\'s broken >&2; exit 3").run().expect_err("it fails");
        insta::assert_snapshot!(error, @r"
        could not try it: `/bin/sh -c 'echo to stdout; echo it\'\''s broken >&2; exit 3'` ended with exit status 3; it said:
          to stdout
          it's broken
        ");
        let error = shell("kill -KILL $$").run().expect_err("it fails");
        insta::assert_snapshot!(error, @"could not try it: `/bin/sh -c 'kill -KILL $$'` ended with signal 9; it said nothing");
        let error = Command::new("try it", "/nowhere/at-all").run().expect_err("it fails");
        insta::assert_snapshot!(error, @"could not try it: `/nowhere/at-all` cannot be started");
    }

    #[test]
    fn keeps_the_end_in_memory_and_everything_in_the_log() {
        let folder = tempfile::tempdir().expect("there is room");
        let log = Utf8PathBuf::from_path_buf(folder.path().join("log")).expect("it is UTF-8");
        let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i + 1)); done";
        let output = shell(script).log_to(&log).run().expect("it succeeds");
        assert!(output.tail.len() <= TAIL);
        assert!(output.tail.starts_with("line "), "{}", &output.tail[..20]);
        assert!(output.tail.ends_with("line 19999\n"));
        let logged = fs_err::read_to_string(&log).expect("it was written");
        assert_eq!(logged.lines().count(), 20000);
    }

    #[test]
    fn secrets_are_nowhere_to_be_seen() {
        let folder = tempfile::tempdir().expect("there is room");
        let log = Utf8PathBuf::from_path_buf(folder.path().join("log")).expect("it is UTF-8");
        let error = shell("echo using hunter2; exit 1")
            .secret("hunter2")
            .secret("")
            .log_to(&log)
            .run()
            .expect_err("it fails");
        let message = error.to_string();
        assert!(message.contains("using ***"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
        assert_eq!(fs_err::read_to_string(&log).expect("it was written"), "using ***\n");
    }

    #[test]
    fn a_version_is_the_first_line_that_says_something() {
        let version = shell("echo; echo ' v24.1.0 '; echo more").version().expect("it answers");
        assert_eq!(version, "v24.1.0");
        let error = shell("true").version().expect_err("it says nothing");
        insta::assert_snapshot!(error, @"could not try it: `/bin/sh -c true` answered with nothing");
    }

    #[test]
    fn quotes_what_a_shell_would_take_apart() {
        assert_eq!(quote("a/b-c_d.e=1"), "a/b-c_d.e=1");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
