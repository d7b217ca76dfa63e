//! Where the launcher of a target comes from.
//!
//! A release of the builder ships the launchers of all targets in `launchers/<triple>/` beside itself. A builder
//! that runs from its source checkout builds the one it needs, with Cargo: statically linked, so that it starts on
//! any system of that platform, and with every path of this machine mapped away, so that two checkouts make the same
//! bytes. For another platform than this machine's it is linked by zig. Cargo finds out by itself when there is nothing
//! to do.
//!
//! The user's Cargo home is trusted: a linker configured there is the one that links.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;

use crate::context::Context;
use crate::process::{Command, ProcessError};
use crate::toolchain::{self, Cargo, Linker, ToolchainError};

/// What can go wrong when a launcher is wanted.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are what the messages name")]
pub enum LauncherError {
    /// It is not shipped, and there is nothing to build it from.
    #[error("there is no launcher for `{triple}` beside this builder")]
    #[diagnostic(help(
        "run the builder from its source checkout, or from a release whose `launchers` folder has `{triple}`"
    ))]
    Absent { triple: String },
    /// Cargo does not start.
    #[error("cannot run `{program}` to build the launcher for `{triple}`")]
    #[diagnostic(help(
        "the builder runs from its source checkout, which needs Cargo: install Rust, or use a release of the builder"
    ))]
    NoCargo { program: String, triple: String, source: std::io::Error },
    /// The toolchain cannot build for the target.
    #[error("cannot build the launcher for `{triple}`")]
    Toolchain {
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

/// The launcher for `triple`, ready to be put into a bundle.
///
/// # Errors
/// When it is neither shipped nor can be built; the message says what is missing.
pub fn obtain(context: &Context, triple: &str) -> Result<Utf8PathBuf, LauncherError> {
    if let Some(shipped) = shipped(&context.executable, triple) {
        return Ok(shipped);
    }
    let absent = || LauncherError::Absent { triple: triple.to_owned() };
    let workspace = source_checkout().ok_or_else(absent)?;
    let build = Build::new(context, workspace, &[triple])
        .map_err(|source| LauncherError::Toolchain { triple: triple.to_owned(), source })?;
    let _progress = context.reporter.spinner("Building", format!("launcher for {triple}"));
    build.run(triple)?;
    Ok(build.executable(triple))
}

/// The launchers of several other platforms, in one call of Cargo, which takes a moment only to find out that there is nothing
/// to do. Nothing where that is not possible or fails: [`obtain`] says why.
pub fn obtain_together<'triple>(
    context: &Context,
    triples: impl IntoIterator<Item = &'triple str>,
) -> BTreeMap<&'triple str, Utf8PathBuf> {
    let triples: BTreeSet<&str> = triples
        .into_iter()
        .filter(|triple| *triple != toolchain::host())
        .filter(|triple| shipped(&context.executable, triple).is_none())
        .collect();
    let triples = Vec::from_iter(triples);
    let Some(workspace) = source_checkout().filter(|_| triples.len() > 1) else {
        return BTreeMap::new();
    };
    let _progress = context.reporter.spinner("Building", "launchers");
    match Build::new(context, workspace, &triples) {
        Ok(build) if build.run("other platforms").is_ok() => {
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

/// The one a release ships.
fn shipped(builder: &Utf8Path, triple: &str) -> Option<Utf8PathBuf> {
    // The builder may have been called through a link; its launchers are beside the file.
    let folder = builder.canonicalize_utf8().ok()?.parent()?.join("launchers");
    let launcher = folder.join(triple).join(file_name(triple));
    launcher.is_file().then_some(launcher)
}

/// What Cargo calls an executable of this triple.
fn file_name(triple: &str) -> &'static str {
    if triple.split('-').any(|part| part == "windows") { "launcher.exe" } else { "launcher" }
}

/// One call of Cargo.
#[derive(Debug)]
struct Build {
    cargo: Cargo,
    folder: Utf8PathBuf,
    /// Where the results will be, each in a folder named after its triple.
    results: Utf8PathBuf,
}

impl Build {
    /// For one or more triples; the one of this machine only by itself.
    fn new(
        context: &Context,
        workspace: &Utf8Path,
        triples: &[&str],
    ) -> Result<Self, ToolchainError> {
        let linker = if triples == [toolchain::host()] { Linker::Native } else { Linker::Zig };
        let mut cargo = toolchain::cargo(context, triples[0], linker)?;
        // A folder of its own: the flags differ from those of every other build, which would only evict each other.
        let target = context
            .variable("CARGO_TARGET_DIR")
            .map_or_else(|| workspace.join("target"), |folder| context.current_dir.join(folder))
            .join("launchers");
        let what = ["--locked", "--profile", "launcher", "--package", "installer", "--bin"];
        cargo.arguments.extend(what.map(str::to_owned));
        let more = ["launcher", "--no-default-features", "--target-dir", target.as_str()];
        cargo.arguments.extend(more.map(str::to_owned));
        cargo.arguments.extend(triples.iter().map(|triple| format!("--target={triple}")));
        if context.offline {
            cargo.arguments.push("--offline".to_owned());
        }
        // The target folder usually lies in the workspace: the longer prefix goes last.
        let folders = [(workspace, "/gangway"), (target.as_path(), "/target")];
        let flags = toolchain::flags(context, &["-Ctarget-feature=+crt-static"], &folders);
        cargo.environment.insert("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags);
        Ok(Self { cargo, folder: workspace.to_owned(), results: target })
    }

    fn executable(&self, triple: &str) -> Utf8PathBuf {
        self.results.join(triple).join("launcher").join(file_name(triple))
    }

    fn run(&self, triple: &str) -> Result<(), LauncherError> {
        let command =
            Command::new(format!("build the launcher for {triple}"), self.cargo.program.as_str())
                .args(self.cargo.arguments.clone())
                .envs(self.cargo.environment.clone())
                .current_dir(self.folder.clone());
        match command.run() {
            Ok(_) => Ok(()),
            Err(ProcessError::Start { source, .. }) => Err(LauncherError::NoCargo {
                program: self.cargo.program.to_string(),
                triple: triple.to_owned(),
                source,
            }),
            Err(error) => Err(explain(triple, error)),
        }
    }
}

/// What a failed build means.
fn explain(triple: &str, error: ProcessError) -> LauncherError {
    let ProcessError::Failed { output, .. } = &error else { return LauncherError::Build(error) };
    let says = |texts: &[&str]| texts.iter().any(|text| output.contains(text));
    let triple = triple.to_owned();
    if says(&["error[E0463]"]) && says(&["may not be installed"]) {
        let source = ToolchainError::NoStandardLibrary { triple: triple.clone() };
        return LauncherError::Toolchain { triple, source };
    }
    if says(&[
        "cannot find -lc:",
        "cannot find -lc\n",
        "unable to find library -lc\n",
        "cannot find rcrt1.o",
    ]) {
        return LauncherError::NoStaticLibrary { triple };
    }
    LauncherError::Build(error)
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
        assert_eq!(shipped(&builder, TRIPLE), None);
        fs_err::write(&builder, "").expect("a file");
        assert_eq!(shipped(&builder, TRIPLE), None);
        let launcher = folder.join("launchers").join(TRIPLE).join("launcher");
        fs_err::create_dir_all(launcher.parent().expect("it has one")).expect("a folder");
        fs_err::write(&launcher, "").expect("a file");
        assert_eq!(shipped(&builder, TRIPLE).as_ref(), Some(&launcher));
        assert_eq!(shipped(&builder, "aarch64-apple-darwin"), None);

        let mut context = context(&[]);
        context.executable = folder.join("link");
        std::os::unix::fs::symlink("gangway", &context.executable).expect("a link");
        assert_eq!(obtain(&context, TRIPLE).expect("it is shipped"), launcher);
    }

    #[test]
    fn the_checkout_is_this_one() {
        assert!(source_checkout().expect("tests run from it").join("Cargo.lock").is_file());
    }

    #[test]
    fn flags_name_every_folder_of_this_machine() {
        let build = Build::new(&context(&[("HOME", "/home/me")]), "/code/g w".into(), &[TRIPLE])
            .expect("nothing is looked for");
        let flags: Vec<_> =
            build.cargo.environment["CARGO_ENCODED_RUSTFLAGS"].split('\u{1f}').collect();
        assert_eq!(
            flags,
            [
                "-Ctarget-feature=+crt-static",
                "--remap-path-prefix=/code/g w=/gangway",
                "--remap-path-prefix=/code/g w/target/launchers=/target",
                "--remap-path-prefix=/home/me/.cargo=/cargo",
            ]
        );
        assert_eq!(file_name("x86_64-pc-windows-gnu"), "launcher.exe");
        let expected = "/code/g w/target/launchers/x86_64-unknown-linux-gnu/launcher/launcher";
        assert_eq!(build.executable(TRIPLE), expected);

        let elsewhere =
            [("CARGO_TARGET_DIR", "out"), ("CARGO_HOME", "/ch"), ("CARGO", "/bin/cargo")];
        let build = Build::new(&context(&elsewhere), "/code".into(), &[TRIPLE]).expect("as above");
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
            crate::testing::rendered(&explain("aarch64-unknown-linux-gnu", failed))
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
        let error = obtain(&context, TRIPLE).expect_err("there is no such program");
        insta::assert_snapshot!(error, @"cannot run `/nowhere/cargo` to build the launcher for `x86_64-unknown-linux-gnu`");
    }
}
