//! Where our own programs for users' machines come from: the launcher and the installer.
//!
//! A release of the builder ships those of all targets in `launchers/<triple>/` and `installers/<triple>/` beside itself. A
//! builder that runs from its source checkout builds what it needs, with Cargo: statically linked, so that it starts on
//! any system of that platform, and with every path of this machine mapped away, so that two checkouts make the same
//! bytes. For another platform than this machine's it is linked by zig.
//!
//! The user's Cargo home is trusted: a linker configured there is the one that links.

mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use miette::Diagnostic;

use self::made::Made;
use crate::context::Context;
use crate::process::{Command, ProcessError};
use crate::toolchain::{self, Cargo, Linker, ToolchainError};

/// One of our programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `bin/<entrypoint>` of every bundle.
    Launcher,
    /// What installs bundles; the same for every app.
    Installer,
}

/// What can go wrong when one of them is wanted.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are what the messages name")]
pub enum ProgramError {
    /// It is not shipped, and there is nothing to build it from.
    #[error("there is no {} for `{triple}` beside this builder", program.name())]
    #[diagnostic(help(
        "run the builder from its source checkout, or from a release whose `{}` folder has `{triple}`", program.folder()
    ))]
    Absent { program: Program, triple: String },
    /// Cargo does not start.
    #[error("cannot run `{cargo}` to build the {} for `{triple}`", program.name())]
    #[diagnostic(help(
        "the builder runs from its source checkout, which needs Cargo: install Rust, or use a release of the builder"
    ))]
    NoCargo { program: Program, cargo: String, triple: String, source: std::io::Error },
    /// The toolchain cannot build for the target.
    #[error("cannot build the {} for `{triple}`", program.name())]
    Toolchain {
        program: Program,
        triple: String,
        #[source]
        #[diagnostic_source]
        source: ToolchainError,
    },
    /// The C library cannot be linked statically.
    #[error(
        "the C library for `{triple}` cannot be linked statically: its `libc.a` is not installed"
    )]
    #[diagnostic(help(
        "install the C library's development files (Debian, Ubuntu: `libc6-dev`; Fedora: `glibc-static`)"
    ))]
    NoStaticLibrary { triple: String },
    /// The build fails in another way.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Build(ProcessError),
}

/// The program for `triple`, ready to be given to somebody.
///
/// # Errors
/// When it is neither shipped nor can be built; the message says what is missing.
pub fn obtain(
    context: &Context,
    program: Program,
    triple: &str,
) -> Result<Utf8PathBuf, ProgramError> {
    if let Some(shipped) = program.shipped(&context.executable, triple) {
        return Ok(shipped);
    }
    let absent = || ProgramError::Absent { program, triple: triple.to_owned() };
    let workspace = source_checkout().ok_or_else(absent)?;
    let build = Build::new(context, workspace, program, &[triple])
        .map_err(|source| ProgramError::Toolchain { program, triple: triple.to_owned(), source })?;
    let _progress =
        context.reporter.spinner("Building", format!("{} for {triple}", program.name()));
    build.run(context, triple)?;
    Ok(build.executable(triple))
}

/// The program for several other platforms, in one call of Cargo. Nothing where that is not possible or fails: [`obtain`] says why.
pub fn obtain_together<'triple>(
    context: &Context,
    program: Program,
    triples: impl IntoIterator<Item = &'triple str>,
) -> BTreeMap<&'triple str, Utf8PathBuf> {
    let triples: BTreeSet<&str> = triples
        .into_iter()
        .filter(|triple| *triple != toolchain::host())
        .filter(|triple| program.shipped(&context.executable, triple).is_none())
        .collect();
    let triples = Vec::from_iter(triples);
    let Some(workspace) = source_checkout().filter(|_| triples.len() > 1) else {
        return BTreeMap::new();
    };
    let _progress = context.reporter.spinner("Building", program.folder());
    match Build::new(context, workspace, program, &triples) {
        Ok(build) if build.run(context, "other platforms").is_ok() => {
            triples.into_iter().map(|triple| (triple, build.executable(triple))).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// The checkout this builder was built from, if it is still there.
#[must_use]
pub fn source_checkout() -> Option<&'static Utf8Path> {
    let workspace = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    workspace.join("installer/Cargo.toml").is_file().then_some(workspace)
}

impl Program {
    /// What it is called.
    const fn name(self) -> &'static str {
        match self {
            Self::Launcher => "launcher",
            Self::Installer => "installer",
        }
    }

    /// The folder beside a released builder.
    const fn folder(self) -> &'static str {
        match self {
            Self::Launcher => "launchers",
            Self::Installer => "installers",
        }
    }

    /// How Cargo is told to build it.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Launcher => &["--profile=launcher", "--bin=launcher", "--no-default-features"],
            Self::Installer => &["--profile=installer", "--bin=installer"],
        }
    }

    /// The one a release ships.
    fn shipped(self, builder: &Utf8Path, triple: &str) -> Option<Utf8PathBuf> {
        // The builder may have been called through a link; its programs are beside the file.
        let folder = builder.canonicalize_utf8().ok()?.parent()?.join(self.folder());
        let program = folder.join(triple).join(self.file_name(triple));
        program.is_file().then_some(program)
    }

    /// What Cargo calls an executable of this triple.
    fn file_name(self, triple: &str) -> String {
        format!("{}{}", self.name(), suffix(triple))
    }
}

/// How names of executables end on the platform of this triple.
#[must_use]
pub fn suffix(triple: &str) -> &'static str {
    if triple.split('-').any(|part| part == "windows") { ".exe" } else { "" }
}

/// One call of Cargo.
#[derive(Debug)]
struct Build {
    program: Program,
    cargo: Cargo,
    folder: Utf8PathBuf,
    /// Where the results will be, each in a folder named after its triple.
    results: Utf8PathBuf,
    triples: Vec<String>,
}

impl Build {
    /// For one or more triples; the one of this machine only by itself.
    fn new(
        context: &Context,
        workspace: &Utf8Path,
        program: Program,
        triples: &[&str],
    ) -> Result<Self, ToolchainError> {
        let linker = if triples == [toolchain::host()] { Linker::Native } else { Linker::Zig };
        let mut cargo = toolchain::cargo(context, triples[0], linker)?;
        // A folder of its own: the flags differ from those of every other build, which would only evict each other.
        let target = context
            .variable("CARGO_TARGET_DIR")
            .map_or_else(|| workspace.join("target"), |folder| context.current_dir.join(folder))
            .join("launchers");
        let what = ["--locked", "--package=installer", "--target-dir", target.as_str()];
        cargo.arguments.extend(what.iter().chain(program.options()).map(|&word| word.to_owned()));
        cargo.arguments.extend(triples.iter().map(|triple| format!("--target={triple}")));
        if context.offline {
            cargo.arguments.push("--offline".to_owned());
        }
        // The target folder usually lies in the workspace: the longer prefix goes last.
        let folders = [(workspace, "/gangway"), (target.as_path(), "/target")];
        let flags = toolchain::flags(context, &["-Ctarget-feature=+crt-static"], &folders);
        cargo.environment.insert("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags);
        let triples = triples.iter().map(|&triple| triple.to_owned()).collect();
        Ok(Self { program, cargo, folder: workspace.to_owned(), results: target, triples })
    }

    fn executable(&self, triple: &str) -> Utf8PathBuf {
        // The profile has the program's name.
        let Self { program, results, .. } = self;
        results.join(triple).join(program.name()).join(program.file_name(triple))
    }

    /// Builds it, if anything is not as it was the last time. Messages speak of `triple`.
    fn run(&self, context: &Context, triple: &str) -> Result<(), ProgramError> {
        let made = self.made(context);
        if made.as_ref().is_some_and(Made::is_current) {
            return Ok(());
        }
        let started = SystemTime::now();
        self.call(triple)?;
        if let Some(made) = made {
            let executables: Vec<_> =
                self.triples.iter().map(|triple| self.executable(triple)).collect();
            let settings = toolchain::settings(context, &self.folder);
            made.record(&executables, (&self.folder, &settings), started);
        }
        Ok(())
    }

    /// What was made from what, where zig links: by itself, Cargo finds out in a moment that there is nothing to do.
    fn made(&self, context: &Context) -> Option<Made> {
        // What a shell notes for itself says nothing to anybody else.
        const OF_SHELLS: [&str; 4] = ["_", "OLDPWD", "PWD", "SHLVL"];
        let Cargo { program, arguments, environment, linker } = &self.cargo;
        if linker.is_empty() {
            return None;
        }
        let environment =
            environment.iter().filter(|(name, _)| !OF_SHELLS.contains(&name.as_str()));
        let environment: Vec<_> = environment.collect();
        let rust = toolchain::rust(context, &self.folder).ok()?;
        let call = format!("{program:?} {arguments:?} {environment:?} {linker:?} {rust:?}");
        let triples = Digest::of(self.triples.join(" ")).to_string();
        let name = format!("{}-{}", self.program.name(), &triples[..16]);
        Some(Made::new(&self.results, &name, Digest::of(call)))
    }

    fn call(&self, triple: &str) -> Result<(), ProgramError> {
        let purpose = format!("build the {} for {triple}", self.program.name());
        let command = Command::new(purpose, self.cargo.program.as_str())
            .args(self.cargo.arguments.clone())
            .envs(self.cargo.environment.clone())
            .current_dir(self.folder.clone());
        match command.run() {
            Ok(_) => Ok(()),
            Err(ProcessError::Start { source, .. }) => Err(ProgramError::NoCargo {
                program: self.program,
                cargo: self.cargo.program.to_string(),
                triple: triple.to_owned(),
                source,
            }),
            Err(error) => Err(explain(self.program, triple, error)),
        }
    }
}

/// What a failed build means.
fn explain(program: Program, triple: &str, error: ProcessError) -> ProgramError {
    let ProcessError::Failed { output, .. } = &error else { return ProgramError::Build(error) };
    let says = |texts: &[&str]| texts.iter().any(|text| output.contains(text));
    let triple = triple.to_owned();
    if says(&["error[E0463]"]) && says(&["may not be installed"]) {
        let source = ToolchainError::NoStandardLibrary { triple: triple.clone() };
        return ProgramError::Toolchain { program, triple, source };
    }
    if says(&[
        "cannot find -lc:",
        "cannot find -lc\n",
        "unable to find library -lc\n",
        "cannot find rcrt1.o",
    ]) {
        return ProgramError::NoStaticLibrary { triple };
    }
    ProgramError::Build(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Ending;
    use crate::report::Reporter;

    const TRIPLE: &str = "x86_64-unknown-linux-gnu";

    fn context(environment: &[(&str, &str)]) -> Context {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Context::new(environment, "/here".into(), "/cache".into(), Reporter::silent())
    }

    #[test]
    fn a_release_ships_it_beside_the_builder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = Utf8Path::from_path(folder.path())
            .expect("UTF-8")
            .canonicalize_utf8()
            .expect("it is there");
        let builder = folder.join("gangway");
        let shipped = |triple| Program::Launcher.shipped(&builder, triple);
        assert_eq!(shipped(TRIPLE), None);
        fs_err::write(&builder, "").expect("a file");
        assert_eq!(shipped(TRIPLE), None);
        let launcher = folder.join("launchers").join(TRIPLE).join("launcher");
        fs_err::create_dir_all(launcher.parent().expect("it has one")).expect("a folder");
        fs_err::write(&launcher, "").expect("a file");
        assert_eq!(shipped(TRIPLE).as_ref(), Some(&launcher));
        assert_eq!(shipped("aarch64-apple-darwin"), None);
        assert_eq!(Program::Installer.shipped(&builder, TRIPLE), None);

        let mut context = context(&[]);
        context.executable = folder.join("link");
        std::os::unix::fs::symlink("gangway", &context.executable).expect("a link");
        assert_eq!(obtain(&context, Program::Launcher, TRIPLE).expect("it is shipped"), launcher);
    }

    #[test]
    fn the_checkout_is_this_one() {
        assert!(source_checkout().expect("tests run from it").join("Cargo.lock").is_file());
    }

    #[test]
    fn flags_name_every_folder_of_this_machine() {
        let home = context(&[("HOME", "/home/me")]);
        let build = |program| {
            let build = Build::new(&home, "/code/g w".into(), program, &[TRIPLE]);
            build.expect("nothing is looked for")
        };
        let launcher = build(Program::Launcher);
        let flags: Vec<_> =
            launcher.cargo.environment["CARGO_ENCODED_RUSTFLAGS"].split('\u{1f}').collect();
        assert_eq!(
            flags,
            [
                "-Ctarget-feature=+crt-static",
                "--remap-path-prefix=/code/g w=/gangway",
                "--remap-path-prefix=/code/g w/target/launchers=/target",
                "--remap-path-prefix=/home/me/.cargo=/cargo",
            ]
        );
        assert_eq!(Program::Launcher.file_name("x86_64-pc-windows-gnu"), "launcher.exe");
        let expected = "/code/g w/target/launchers/x86_64-unknown-linux-gnu/launcher/launcher";
        assert_eq!(launcher.executable(TRIPLE), expected);
        let expected = "/code/g w/target/launchers/x86_64-unknown-linux-gnu/installer/installer";
        assert_eq!(build(Program::Installer).executable(TRIPLE), expected);

        let elsewhere =
            [("CARGO_TARGET_DIR", "out"), ("CARGO_HOME", "/ch"), ("CARGO", "/bin/cargo")];
        let build = Build::new(&context(&elsewhere), "/code".into(), Program::Launcher, &[TRIPLE])
            .expect("as above");
        assert!(build.cargo.environment["CARGO_ENCODED_RUSTFLAGS"].ends_with("=/ch=/cargo"));
        assert_eq!(build.cargo.program, "/bin/cargo");
        let expected = "/here/out/launchers/x86_64-unknown-linux-gnu/launcher/launcher";
        assert_eq!(build.executable(TRIPLE), expected);
    }

    #[test]
    fn failures_name_their_remedy() {
        let rendered = |messages: &str| {
            let failed = ProcessError::Failed {
                purpose: "build the launcher".to_owned(),
                command: "cargo build".to_owned(),
                ending: Ending::Exit(101),
                output: messages.to_owned(),
                log: None,
            };
            let program = Program::Launcher;
            crate::testing::rendered(&explain(program, "aarch64-unknown-linux-gnu", failed))
        };
        let no_std = "error[E0463]: can't find crate for `core`\n  |\n  = note: the `aarch64-unknown-linux-gnu` target may not be installed\n";
        insta::assert_snapshot!(rendered(no_std), @"
        × cannot build the launcher for `aarch64-unknown-linux-gnu`
        ╰─▶   × the Rust toolchain has no standard library for `aarch64-unknown-linux-gnu`
              help: run `rustup target add aarch64-unknown-linux-gnu`
        ");
        let no_libc = "/usr/bin/ld: cannot find -lc: No such file or directory\ncollect2: error\n";
        insta::assert_snapshot!(rendered(no_libc), @"
        × the C library for `aarch64-unknown-linux-gnu` cannot be linked statically: its `libc.a` is not installed
        help: install the C library's development files (Debian, Ubuntu: `libc6-dev`; Fedora: `glibc-static`)
        ");
        let no_linker = rendered("error: linker `cc` not found\n");
        assert!(no_linker.contains("error: linker `cc` not found"), "{no_linker}");
    }

    #[test]
    fn without_cargo() {
        let context = context(&[("CARGO", "/nowhere/cargo")]);
        let error = obtain(&context, Program::Launcher, TRIPLE);
        let error = error.expect_err("there is no such program");
        insta::assert_snapshot!(error, @"cannot run `/nowhere/cargo` to build the launcher for `x86_64-unknown-linux-gnu`");
    }
}
