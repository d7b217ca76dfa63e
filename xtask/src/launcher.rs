//! Where the launcher of a target comes from.
//!
//! A release of the builder ships the launchers of all targets in `launchers/<triple>/` beside itself. A builder
//! that runs from its source checkout builds the one it needs, with Cargo: statically linked, so that it starts on
//! any system of that platform, and with every path of this machine mapped away, so that two checkouts make the same
//! bytes. Cargo finds out by itself when there is nothing to do.
//!
//! The user's Cargo home is trusted: a linker configured there is the one that links.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;

use crate::context::Context;
use crate::process::{Command, ProcessError};

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
    #[error("the Rust toolchain has no standard library for `{triple}`")]
    #[diagnostic(help("run `rustup target add {triple}`"))]
    NoStandardLibrary { triple: String },
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
    let build = Build::new(context, workspace, triple);
    let _progress = context.reporter.spinner("Building", format!("launcher for {triple}"));
    build.run(triple)
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
    program: String,
    arguments: Vec<String>,
    folder: Utf8PathBuf,
    environment: BTreeMap<String, String>,
    /// Where the result will be.
    executable: Utf8PathBuf,
}

impl Build {
    fn new(context: &Context, workspace: &Utf8Path, triple: &str) -> Self {
        // A folder of its own: the flags differ from those of every other build, which would only evict each other.
        let target = context
            .variable("CARGO_TARGET_DIR")
            .map_or_else(|| workspace.join("target"), |folder| context.current_dir.join(folder))
            .join("launchers");
        let mut arguments: Vec<String> = [
            "build",
            "--locked",
            "--profile",
            "launcher",
            "--package",
            "installer",
            "--bin",
            "launcher",
        ]
        .map(str::to_owned)
        .into();
        arguments.extend(["--target".to_owned(), triple.to_owned()]);
        arguments.extend(["--target-dir".to_owned(), target.to_string()]);
        if context.offline {
            arguments.push("--offline".to_owned());
        }
        let mut environment = environment(&context.environment);
        environment
            .insert("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags(context, workspace, &target));
        // The messages that `explain` looks for are those of this locale.
        environment.insert("LC_ALL".to_owned(), "C".to_owned());
        Self {
            program: context.variable("CARGO").unwrap_or("cargo").to_owned(),
            arguments,
            folder: workspace.to_owned(),
            environment,
            executable: target.join(triple).join("launcher").join(file_name(triple)),
        }
    }

    fn run(self, triple: &str) -> Result<Utf8PathBuf, LauncherError> {
        let command =
            Command::new(format!("build the launcher for {triple}"), self.program.as_str())
                .args(self.arguments)
                .envs(self.environment)
                .current_dir(self.folder);
        match command.run() {
            Ok(_) => Ok(self.executable),
            Err(ProcessError::Start { source, .. }) => Err(LauncherError::NoCargo {
                program: self.program,
                triple: triple.to_owned(),
                source,
            }),
            Err(error) => Err(explain(triple, error)),
        }
    }
}

/// What Cargo is told of this process's environment. Flags and profiles meant for other builds, and what the Cargo
/// that runs this builder has set, must not reach the launcher's bytes.
fn environment(ours: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
    ];
    let is_build_setting = |name: &str| name.starts_with("CARGO") || name.starts_with("RUST");
    ours.iter()
        .filter(|(name, _)| {
            !is_build_setting(name) || KEPT.iter().any(|kept| name.starts_with(kept))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The compiler's flags, as Cargo wants them: with `\x1f` between.
fn flags(context: &Context, workspace: &Utf8Path, target: &Utf8Path) -> String {
    let cargo_home = context
        .variable("CARGO_HOME")
        .map(|folder| context.current_dir.join(folder))
        .or_else(|| context.home().map(|home| home.join(".cargo")));
    // The compiler takes the last prefix that fits; the target folder usually lies in the workspace.
    let prefixes = [
        (Some(workspace), "/gangway"),
        (Some(target), "/target"),
        (cargo_home.as_deref(), "/cargo"),
    ];
    std::iter::once("-Ctarget-feature=+crt-static".to_owned())
        .chain(prefixes.into_iter().filter_map(|(prefix, name)| {
            prefix.map(|prefix| format!("--remap-path-prefix={prefix}={name}"))
        }))
        .collect::<Vec<_>>()
        .join("\u{1f}")
}

/// What a failed build means.
fn explain(triple: &str, error: ProcessError) -> LauncherError {
    let ProcessError::Failed { output, .. } = &error else { return LauncherError::Build(error) };
    let says = |texts: &[&str]| texts.iter().any(|text| output.contains(text));
    let triple = triple.to_owned();
    if says(&["error[E0463]"]) && says(&["may not be installed"]) {
        return LauncherError::NoStandardLibrary { triple };
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
        let build = Build::new(&context(&[("HOME", "/home/me")]), "/code/g w".into(), TRIPLE);
        let flags: Vec<_> = build.environment["CARGO_ENCODED_RUSTFLAGS"].split('\u{1f}').collect();
        assert_eq!(
            flags,
            [
                "-Ctarget-feature=+crt-static",
                "--remap-path-prefix=/code/g w=/gangway",
                "--remap-path-prefix=/code/g w/target/launchers=/target",
                "--remap-path-prefix=/home/me/.cargo=/cargo",
            ]
        );
        let expected = "/code/g w/target/launchers/x86_64-unknown-linux-gnu/launcher/launcher";
        assert_eq!(build.executable, expected);

        let elsewhere =
            [("CARGO_TARGET_DIR", "out"), ("CARGO_HOME", "/ch"), ("CARGO", "/bin/cargo")];
        let build = Build::new(&context(&elsewhere), "/code".into(), "x86_64-pc-windows-msvc");
        assert!(build.environment["CARGO_ENCODED_RUSTFLAGS"].ends_with("=/ch=/cargo"));
        assert_eq!(build.program, "/bin/cargo");
        let expected = "/here/out/launchers/x86_64-pc-windows-msvc/launcher/launcher.exe";
        assert_eq!(build.executable, expected);
    }

    #[test]
    fn settings_of_other_builds_stay_outside() {
        let context = context(&[
            ("PATH", "/bin"),
            ("LANG", "de_DE.UTF-8"),
            ("CARGO_HOME", "/ch"),
            ("CARGO_HTTP_PROXY", "http://127.0.0.1:1"),
            ("RUSTUP_TOOLCHAIN", "1.95"),
            ("RUSTFLAGS", "-Ctarget-cpu=native"),
            ("CARGO_PROFILE_LAUNCHER_OPT_LEVEL", "0"),
            ("CARGO_MANIFEST_DIR", "/code/xtask"),
            ("RUSTC_WRAPPER", "sccache"),
        ]);
        let build = Build::new(&context, "/code".into(), TRIPLE);
        let names: Vec<_> = build.environment.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "CARGO_ENCODED_RUSTFLAGS",
                "CARGO_HOME",
                "CARGO_HTTP_PROXY",
                "LANG",
                "LC_ALL",
                "PATH",
                "RUSTUP_TOOLCHAIN",
            ]
        );
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
            let error = explain("aarch64-unknown-linux-gnu", failed);
            let help = error.help().map(|help| help.to_string());
            format!("{error}\n{}", help.unwrap_or_default())
        };
        let no_std = "error[E0463]: can't find crate for `core`\n  |\n  = note: the `aarch64-unknown-linux-gnu` target may not be installed\n";
        insta::assert_snapshot!(rendered(no_std), @"
        the Rust toolchain has no standard library for `aarch64-unknown-linux-gnu`
        run `rustup target add aarch64-unknown-linux-gnu`
        ");
        let no_libc = "/usr/bin/ld: cannot find -lc: No such file or directory\ncollect2: error\n";
        insta::assert_snapshot!(rendered(no_libc), @"
        the C library for `aarch64-unknown-linux-gnu` cannot be linked statically: its `libc.a` is not installed
        install the C library's development files (Debian, Ubuntu: `libc6-dev`; Fedora: `glibc-static`)
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
