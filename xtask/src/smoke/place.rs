//! Where the programs of a bundle are run.
//!
//! Three kinds: this machine itself, by way of a command that leads into another system (an emulator, another root, wine),
//! and a device at the other end of ssh. All three start a program with a list of words, an empty environment and a
//! folder of its own; how is told apart here and in [`super::device`] alone.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Libc, Manifest, Os, Platform};

use super::device::Device;
use super::plan::Pace;
use super::{Options, SmokeError};
use crate::context::Context;
use crate::toolchain;

/// The variable that names the command for a target begins so.
const VARIABLE: &str = "GANGWAY_SMOKE_";

/// Where programs are run.
#[derive(Debug)]
pub enum Place {
    /// This machine.
    Native,
    /// Another system on this machine.
    Through(Wrapper),
    /// Another machine.
    Device(Box<Device>),
}

/// A command that leads into another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    /// The command and its first arguments.
    pub words: Vec<String>,
    /// Whether it takes `--bind HOST:GUEST`, `--chdir FOLDER` and `--` before the program. wine takes the program alone.
    pub binds: bool,
    /// Variables it runs with; where it does not set them anew, they reach the program.
    pub env: Vec<(String, String)>,
    /// Whether it is of another processor.
    pub pace: Pace,
}

/// Where a bundle is run, or why it cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// On this machine.
    Native,
    /// In another system.
    Through(Wrapper),
    /// Nowhere, for this reason.
    Nowhere(String),
}

/// Chooses where to run a bundle: as the options say, as the environment says, as this machine can.
///
/// # Errors
/// When a command that was named is none.
pub fn choose(
    context: &Context,
    manifest: &Manifest,
    options: &Options,
) -> Result<Choice, SmokeError> {
    let target = manifest.target.as_str();
    let variable = format!("{VARIABLE}{}", target.to_ascii_uppercase().replace('-', "_"));
    let named = options.inside.as_deref().map(|command| ("--in", command));
    let named = named.or_else(|| context.variable(&variable).map(|command| (&*variable, command)));
    let platform = &manifest.platform;
    if let Some((origin, command)) = named {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(SmokeError::EmptyCommand { origin: origin.to_owned() });
        }
        let pace = if is_same_processor(platform) { Pace::Own } else { Pace::Emulated };
        let words = anchored(context, words);
        return Ok(Choice::Through(Wrapper { words, binds: true, env: kept(context), pace }));
    }
    if is_native(platform) {
        return Ok(Choice::Native);
    }
    let runs_in_wine = platform.os == Os::Win32 && is_same_processor(platform);
    if let Some(wine) = toolchain::on_path(context, "wine").filter(|_| runs_in_wine) {
        let (words, env) = (vec![wine.into_string()], kept(context));
        return Ok(Choice::Through(Wrapper { words, binds: false, env, pace: Pace::Own }));
    }
    Ok(Choice::Nowhere(why_not(platform, &variable)))
}

/// What a person can do about it.
fn why_not(platform: &Platform, variable: &str) -> String {
    let lacking = match (platform.os, platform.libc) {
        (Os::Darwin, _) => {
            return "only a Mac runs it: name one with `--device ssh://user@host`".to_owned();
        }
        (Os::Win32, _) => "there is no wine for it here",
        (Os::Linux, Some(Libc::Musl)) if is_same_processor(platform) => "there is no musl here",
        (Os::Linux, _) => "this machine has another processor or system",
    };
    format!(
        "{lacking}: name a command that leads into such a system with `{variable}`, or a machine with `--device`"
    )
}

fn is_same_processor(platform: &Platform) -> bool {
    let own = if cfg!(target_arch = "x86_64") { "x64" } else { "arm64" };
    serde_json::to_value(platform.cpu).is_ok_and(|cpu| cpu == own)
}

/// Whether this machine runs the platform's programs. A system with both C libraries runs those of both.
fn is_native(platform: &Platform) -> bool {
    let own = match std::env::consts::OS {
        "linux" => Os::Linux,
        "macos" => Os::Darwin,
        _ => Os::Win32,
    };
    let has_loader = |libc: Option<Libc>| {
        let arch = std::env::consts::ARCH;
        match libc {
            Some(Libc::Musl) => Utf8PathBuf::from(format!("/lib/ld-musl-{arch}.so.1")).exists(),
            Some(Libc::Glibc) => ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"]
                .iter()
                .any(|loader| Utf8Path::new(loader).exists()),
            None => true,
        }
    };
    platform.os == own && is_same_processor(platform) && has_loader(platform.libc)
}

/// A program that is named by a relative path is relative to where the user is.
fn anchored(context: &Context, mut words: Vec<String>) -> Vec<String> {
    if words[0].contains('/') {
        words[0] = context.current_dir.join(&words[0]).into_string();
    }
    words
}

/// What the command itself runs with.
fn kept(context: &Context) -> Vec<(String, String)> {
    let names = ["PATH", "HOME", "XDG_CACHE_HOME"];
    let value = |name: &str| Some((name.to_owned(), context.variable(name)?.to_owned()));
    names.into_iter().filter_map(value).collect()
}

/// A program, about to be started. Its paths are those it sees itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program<'a> {
    /// The folders that it must see, at the same paths.
    pub(super) folders: &'a [&'a Utf8Path],
    /// The folder it starts in.
    pub(super) home: &'a Utf8Path,
    /// The program's file.
    pub(super) program: &'a Utf8Path,
    /// Its arguments.
    pub(super) args: &'a [String],
    /// Its variables, besides `HOME`.
    pub(super) env: &'a [(String, String)],
}

impl Place {
    /// What the evidence calls it.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Native => "native".to_owned(),
            Self::Through(wrapper) if !wrapper.binds => "wine".to_owned(),
            Self::Through(wrapper) => match wrapper.pace {
                Pace::Own => "other system".to_owned(),
                Pace::Emulated => "emulated".to_owned(),
            },
            Self::Device(device) => format!("device {}", device.name()),
        }
    }

    /// How fast it is.
    #[must_use]
    pub fn pace(&self) -> Pace {
        match self {
            Self::Native | Self::Device(_) => Pace::Own,
            Self::Through(wrapper) => wrapper.pace,
        }
    }

    /// The command that starts a program there.
    pub(super) fn command(&self, start: Program<'_>) -> Command {
        let mut command = match self {
            Self::Native => {
                let mut command = Command::new(start.program);
                command.args(start.args).env_clear().env("HOME", start.home);
                command.envs(start.env.iter().cloned()).current_dir(start.home);
                command
            }
            Self::Through(wrapper) => {
                let mut command = Command::new(&wrapper.words[0]);
                command.args(&wrapper.words[1..]).env_clear();
                if wrapper.binds {
                    for folder in start.folders {
                        command.args(["--bind", &format!("{folder}:{folder}")]);
                    }
                    command.args(["--chdir", start.home.as_str(), "--"]);
                }
                command.arg(start.program).args(start.args).current_dir(start.home);
                command.envs(wrapper.env.iter().cloned());
                if !wrapper.binds {
                    command.env("HOME", start.home).env("WINEDEBUG", "-all");
                }
                command.envs(start.env.iter().cloned());
                command
            }
            Self::Device(device) => device.command(start),
        };
        command.stdin(match self {
            // The runner there is told by it what to do, and ends the program when it closes.
            Self::Device(_) => Stdio::piped(),
            _ => Stdio::null(),
        });
        command
    }
}

#[cfg(test)]
mod tests {
    use gangway_artifact::Cpu;

    use super::*;
    use crate::testing::Sandbox;

    fn manifest(target: &str, os: Os, cpu: Cpu, libc: Option<Libc>) -> Manifest {
        let text = r#"{"version":1,"builder":"gangway 0.1.0","app":{"name":"a","version":"1.0.0"},"target":"linux-x64","platform":{"os":"linux","cpu":"x64","libc":"glibc"},"entrypoints":[],"contract":{"disk":{"unpacked":0,"installed":0}},"unpacked_size":0,"files":[],"links":[]}"#;
        let mut manifest = Manifest::from_json(text.as_bytes()).expect("it is one");
        manifest.target = target.parse().expect("a name");
        manifest.platform = Platform { os, cpu, libc };
        manifest
    }

    fn other_processor() -> Cpu {
        if cfg!(target_arch = "x86_64") { Cpu::Arm64 } else { Cpu::X64 }
    }

    #[test]
    fn what_cannot_run_here_says_what_would_help() {
        let sandbox = Sandbox::new();
        let nowhere = |manifest: &Manifest| {
            let context = sandbox.context(&[]);
            match choose(&context, manifest, &Options::default()).expect("nothing is named") {
                Choice::Nowhere(reason) => reason,
                other => panic!("{other:?}"),
            }
        };
        insta::assert_snapshot!(
            nowhere(&manifest("macos-arm64", Os::Darwin, Cpu::Arm64, None)),
            @"only a Mac runs it: name one with `--device ssh://user@host`"
        );
        insta::assert_snapshot!(
            nowhere(&manifest("jetson-jp5", Os::Linux, other_processor(), Some(Libc::Glibc))),
            @"this machine has another processor or system: name a command that leads into such a system with `GANGWAY_SMOKE_JETSON_JP5`, or a machine with `--device`"
        );
    }

    #[test]
    fn a_command_that_is_named_counts_before_this_machine() {
        let sandbox = Sandbox::new();
        let manifest = manifest("my-box", Os::Linux, other_processor(), Some(Libc::Glibc));
        let context = sandbox.context(&[("GANGWAY_SMOKE_MY_BOX", "./run.sh  root")]);
        let chosen = choose(&context, &manifest, &Options::default()).expect("it is a command");
        let Choice::Through(wrapper) = chosen else { panic!("{chosen:?}") };
        assert_eq!(wrapper.words, [sandbox.root.join("./run.sh").as_str(), "root"]);
        assert_eq!(wrapper.pace, Pace::Emulated);
        let options = Options { inside: Some("enter".to_owned()), ..Options::default() };
        let chosen = choose(&context, &manifest, &options).expect("it is a command");
        let Choice::Through(wrapper) = chosen else { panic!("{chosen:?}") };
        assert_eq!(wrapper.words, ["enter"]);
        let options = Options { inside: Some("  ".to_owned()), ..Options::default() };
        let error = choose(&context, &manifest, &options).expect_err("it is none");
        assert_eq!(error.to_string(), "the command of `--in` is empty");
    }

    #[test]
    fn what_another_system_is_told() {
        let place = Place::Through(Wrapper {
            words: vec!["enter".to_owned(), "root".to_owned()],
            binds: true,
            env: vec![("PATH".to_owned(), "/bin".to_owned())],
            pace: Pace::Own,
        });
        let args = ["--version".to_owned()];
        let command = place.command(Program {
            folders: &["/t/b".into(), "/t/h".into()],
            home: "/t/h/1".into(),
            program: "/t/b/bin/a".into(),
            args: &args,
            env: &[],
        });
        assert_eq!(
            format!("{command:?}").split("\"enter\" ").nth(1).expect("it is started so"),
            r#""root" "--bind" "/t/b:/t/b" "--bind" "/t/h:/t/h" "--chdir" "/t/h/1" "--" "/t/b/bin/a" "--version""#
        );
    }
}
