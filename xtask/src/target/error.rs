//! What can be wrong with a target.

use camino::Utf8PathBuf;
use gangway_artifact::TargetName;
use miette::Diagnostic;

use crate::config::ConfigError;

/// A target that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TargetError {
    /// No such target.
    #[error("there is no target `{name}`")]
    #[diagnostic(help("{}", suggestion(name, known)))]
    Unknown {
        /// The name as given.
        name: String,
        /// The targets there are.
        known: Vec<String>,
    },
    /// A target file with faults.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(ConfigError),
    /// A user's file has the name of one of ours.
    #[error("`{name}` is one of Gangway's own targets, and `{path}` has its name")]
    #[diagnostic(help("give the file another name, and write `inherits = \"{name}\"` in it"))]
    Taken {
        /// The name.
        name: String,
        /// The user's file.
        path: Utf8PathBuf,
    },
    /// A target that lacks a runtime.
    #[error("{engine} has no build for the target `{target}` that Gangway knows of")]
    #[diagnostic(help("choose another `engine` in [runtime], or leave out this target"))]
    NoRuntime {
        /// The runtime.
        engine: &'static str,
        /// The target.
        target: TargetName,
    },
    /// A build tool nobody knows.
    #[error("Gangway knows no build tool `{name}` for `{target}`")]
    #[diagnostic(help("[tools] in gangway.toml can name: {}", known.join(", ")))]
    NoTool {
        /// The tool.
        name: String,
        /// The platform it should run on.
        target: TargetName,
        /// The tools there are.
        known: Vec<String>,
    },
    /// Bundles are made on a platform that is not a target itself.
    #[error("this machine ({os} on {cpu}) is none that Gangway can build on")]
    #[diagnostic(help("bundles are made on Linux; known platforms: {}", known.join(", ")))]
    Host {
        /// Rust's word for the operating system.
        os: &'static str,
        /// Rust's word for the processor.
        cpu: &'static str,
        /// The targets there are.
        known: Vec<String>,
    },
}

fn suggestion(name: &str, known: &[String]) -> String {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match nearest {
        Some(near) if strsim::jaro_winkler(name, near) > 0.8 => {
            format!("did you mean `{near}`? Known targets: {}", known.join(", "))
        }
        _ => format!("known targets: {}", known.join(", ")),
    }
}
