//! `cargo xtask fuzz`: the readers and the checks of binaries on inputs that nobody made.
//!
//! cargo-fuzz and a nightly compiler let coverage guide the inputs. Where they are missing, damaged copies of real files
//! are read instead, and that is said loudly: it finds less. Either way a crash, an allocation above the limit and a
//! process above its own end it.

use std::process::{Command, ExitStatus};

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;

use crate::context::Context;
use crate::programs;

/// No reader may ask for more memory at once, whatever its input says, in MiB.
const ALLOCATION: u32 = 256;
/// And all of a process, with what the sanitizer and the corpus take, in MiB.
const RESIDENT: u32 = 512;

/// The targets that make folders of archives and patches, and the folders of their seeds.
const ARCHIVES: [&str; 2] = ["unpack", "update"];

const INSTALL: &str = "run `rustup toolchain install nightly --profile minimal` and `cargo install cargo-fuzz --locked`";

/// Why nothing was fuzzed, or what was found.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum FuzzError {
    /// The builder does not run from its checkout.
    #[error("fuzzing needs the source checkout this builder was compiled in, and it is gone")]
    #[diagnostic(help("run `cargo xtask fuzz` in a clone of the repository"))]
    NoCheckout,
    /// There is no such target.
    #[error("there is no fuzz target `{name}`")]
    #[diagnostic(help("the targets are {known}"))]
    Target { name: String, known: String },
    /// A folder cannot be read or made.
    #[error("cannot prepare the fuzz targets")]
    Folder { source: std::io::Error },
    /// Cargo is not there.
    #[error("cannot start `{command}`")]
    #[diagnostic(help("install Rust with rustup; what guides the inputs: {INSTALL}"))]
    Start { command: String, source: std::io::Error },
    /// An input was found.
    #[error("`{command}` ended with {status}")]
    #[diagnostic(help(
        "the input is in `fuzz/artifacts/{name}`; `cargo +nightly fuzz run {name} FILE` reads it again"
    ))]
    Found { name: String, command: String, status: ExitStatus },
    /// A damaged copy of a file was not survived.
    #[error("`{command}` ended with {status}")]
    #[diagnostic(help("its damage is repeatable: the same command fails at the same copy"))]
    Damaged { command: String, status: ExitStatus },
}

/// Fuzzes one target, or each in turn, for so many seconds each.
///
/// # Errors
/// When something was found, or nothing can be started.
pub fn run(context: &Context, target: Option<&str>, seconds: u32) -> Result<(), FuzzError> {
    let checkout = programs::source_checkout().ok_or(FuzzError::NoCheckout)?;
    let known = targets(checkout)?;
    let chosen: Vec<&String> =
        known.iter().filter(|name| target.is_none_or(|it| it == *name)).collect();
    if let (true, Some(name)) = (chosen.is_empty(), target) {
        let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        return Err(FuzzError::Target { name: name.to_owned(), known });
    }
    let Some(path) = nightly(context, checkout) else {
        context.reporter.warn(format!(
            "NOT GUIDED BY COVERAGE: there is no nightly compiler with cargo-fuzz; damaged copies of real files are \
             read instead, which finds less. To fuzz, {INSTALL}"
        ));
        let all = u32::try_from(chosen.len()).unwrap_or(1).saturating_mul(seconds);
        return damaged(context, checkout, all);
    };
    let fuzzer = Fuzzer { context, checkout, path, seconds };
    chosen.iter().try_for_each(|name| fuzzer.run(name))
}

/// The names of all targets: each is a file.
fn targets(checkout: &Utf8Path) -> Result<Vec<String>, FuzzError> {
    let files = files(&checkout.join("fuzz/fuzz_targets"))?;
    Ok(files.iter().filter_map(|file| file.file_stem().map(str::to_owned)).collect())
}

/// The search path with the nightly compiler first, if cargo-fuzz can be run with it. Not `cargo +nightly`: where other tools than rustup's
/// come first, that is no option, and `rustup run` leaves them there.
fn nightly(context: &Context, checkout: &Utf8Path) -> Option<String> {
    let asked =
        Command::new("rustup").args(["which", "--toolchain", "nightly", "cargo"]).output().ok()?;
    let cargo = String::from_utf8(asked.stdout).ok().filter(|_| asked.status.success())?;
    let folder = Utf8Path::new(cargo.trim()).parent()?;
    let path = format!("{folder}:{}", context.variable("PATH").unwrap_or_default());
    let fuzz = Command::new(cargo.trim())
        .args(["fuzz", "--version"])
        .current_dir(checkout)
        .env("PATH", &path)
        .output();
    fuzz.is_ok_and(|output| output.status.success()).then_some(path)
}

/// What is guided by coverage.
struct Fuzzer<'a> {
    context: &'a Context,
    checkout: &'a Utf8Path,
    path: String,
    seconds: u32,
}

impl Fuzzer<'_> {
    fn run(&self, name: &str) -> Result<(), FuzzError> {
        let Self { context, checkout, path, seconds } = self;
        context.reporter.done("Fuzzing", format!("`{name}` for {seconds} s"));
        // What is found to be worth keeping goes to the first folder, which is this machine's own.
        let folders = [format!("fuzz/corpus/{name}"), format!("fuzz/seeds/{name}")];
        let more = match ARCHIVES.contains(&name) {
            true => "crates/artifact/testdata/hostile",
            false => "crates/abi/testdata",
        };
        let seeds = folders.into_iter().chain([more.to_owned()]);
        fs_err::create_dir_all(checkout.join("fuzz/corpus").join(name))
            .map_err(|source| FuzzError::Folder { source })?;
        let arguments: Vec<String> = ["cargo", "fuzz", "run", name]
            .map(str::to_owned)
            .into_iter()
            .chain(seeds.filter(|folder| checkout.join(folder).is_dir()))
            .chain([
                "--".to_owned(),
                format!("-max_total_time={seconds}"),
                format!("-malloc_limit_mb={ALLOCATION}"),
                format!("-rss_limit_mb={RESIDENT}"),
                "-print_final_stats=1".to_owned(),
                "-verbosity=0".to_owned(),
            ])
            .collect();
        // The sanitizer keeps what was freed, to notice who uses it: less of it is enough for inputs of this size.
        let environment = [("ASAN_OPTIONS", "quarantine_size_mb=64"), ("PATH", path)];
        let (command, status) = start(checkout, &arguments, &environment)?;
        match status.success() {
            true => Ok(()),
            false => Err(FuzzError::Found { name: name.to_owned(), command, status }),
        }
    }
}

fn damaged(context: &Context, checkout: &Utf8Path, seconds: u32) -> Result<(), FuzzError> {
    context.reporter.done("Reading", format!("damaged copies for {seconds} s"));
    let mut seeds = files(&checkout.join("crates/abi/testdata"))?;
    for folder in fs_err::read_dir(checkout.join("fuzz/seeds"))
        .map_err(|source| FuzzError::Folder { source })?
    {
        let folder = folder.map_err(|source| FuzzError::Folder { source })?;
        if let Ok(folder) = Utf8PathBuf::from_path_buf(folder.path())
            && !folder.file_name().is_some_and(|name| ARCHIVES.contains(&name))
        {
            seeds.extend(files(&folder)?);
        }
    }
    seeds.retain(|file| file.extension() != Some("md"));
    let mut archives = files(&checkout.join("crates/artifact/testdata/hostile"))?;
    for name in ARCHIVES {
        archives.extend(files(&checkout.join("fuzz/seeds").join(name))?);
    }
    // A third of the time is for archives.
    let (binaries, unpacking) = (seconds - seconds / 3, seconds / 3);
    let binaries = [binaries.to_string(), ALLOCATION.to_string()];
    for (example, numbers, seeds) in [
        (["gangway-abi", "mutate"], &binaries[..], seeds),
        (["gangway-artifact", "damage"], &[unpacking.to_string()], archives),
    ] {
        let [package, example] = example;
        let arguments: Vec<String> =
            ["cargo", "run", "--profile", "xtask", "--all-features", "--package"]
                .into_iter()
                .chain([package, "--example", example, "--"])
                .map(str::to_owned)
                .chain(numbers.iter().cloned())
                .chain(seeds.into_iter().map(Utf8PathBuf::into_string))
                .collect();
        let (command, status) = start(checkout, &arguments, &[])?;
        if !status.success() {
            return Err(FuzzError::Damaged { command, status });
        }
    }
    Ok(())
}

/// The files of a folder, by name.
fn files(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, FuzzError> {
    let listed = folder.read_dir_utf8().and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path().to_owned()))
            .collect::<Result<Vec<_>, _>>()
    });
    let mut files = listed.map_err(|source| FuzzError::Folder { source })?;
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

/// Runs a command with this terminal's output; the command as one can repeat it, and how it ended.
fn start(
    checkout: &Utf8Path,
    words: &[String],
    environment: &[(&str, &str)],
) -> Result<(String, ExitStatus), FuzzError> {
    let command = words.join(" ");
    let [program, arguments @ ..] = words else { unreachable!("every command has a program") };
    let status = Command::new(program)
        .args(arguments)
        .current_dir(checkout)
        .envs(environment.iter().copied())
        .status()
        .map_err(|source| FuzzError::Start { command: command.clone(), source })?;
    Ok((command, status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Reporter;

    #[test]
    fn every_target_is_one_of_cargo_fuzz() {
        let checkout = programs::source_checkout().expect("tests run in it");
        let manifest =
            fs_err::read_to_string(checkout.join("fuzz/Cargo.toml")).expect("it is there");
        let targets = targets(checkout).expect("they are there");
        assert!(targets.contains(&"elf".to_owned()), "{targets:?}");
        assert!(ARCHIVES.iter().all(|name| targets.contains(&(*name).to_owned())), "{targets:?}");
        for name in targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        }
    }

    #[test]
    fn a_target_that_is_not_there() {
        let folder = Utf8PathBuf::from(".");
        let context = Context::new(Default::default(), folder.clone(), folder, Reporter::silent());
        let error = run(&context, Some("zip"), 1).expect_err("there is none");
        insta::assert_snapshot!(error, @"there is no fuzz target `zip`");
        let help = error.help().expect("it names those that are").to_string();
        assert!(help.contains("`archive`, `check`, `elf`"), "{help}");
    }
}
