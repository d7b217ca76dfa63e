//! Other systems that bundles are started on: under emulation, or this machine with another root.
//!
//! A test finds such a machine through an environment variable: a command, in words separated by blanks, that takes
//! `--bind HOST:GUEST`, `--` and a program with its arguments. CONTRIBUTING.md lists the variables and says how to have
//! them set.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

/// Where programs are started.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What starts them; nothing for this machine itself.
    command: Vec<String>,
}

impl Machine {
    /// This machine, with an empty environment.
    #[must_use]
    pub fn this() -> Self {
        Self { command: Vec::new() }
    }

    /// The machine that the variable names.
    ///
    /// # Panics
    /// When it is not set.
    #[must_use]
    pub fn named(variable: &str) -> Self {
        let Ok(value) = std::env::var(variable) else {
            panic!("`{variable}` is not set; CONTRIBUTING.md says what it names")
        };
        let mut command: Vec<_> = value.split_whitespace().map(str::to_owned).collect();
        assert!(!command.is_empty(), "`{variable}` is empty");
        // The tests run in their package's folder, the variable was set elsewhere.
        let program = Utf8PathBuf::from(&command[0]);
        if program.is_relative() && program.components().count() > 1 {
            command[0] = crate::repository().join(program).into_string();
        }
        Self { command }
    }

    /// A program of a bundle, which sees the bundle, the folder `home` and nothing else of this machine. Both have the same
    /// paths there.
    #[must_use]
    pub fn start(&self, bundle: &Utf8Path, program: &str, home: &Utf8Path) -> Command {
        let program = bundle.join("bin").join(program);
        if self.command.is_empty() {
            return crate::bare(&program, home);
        }
        self.run(program.as_str(), &[(bundle, bundle.as_str()), (home, home.as_str())])
    }

    /// A program, which sees these folders of this machine, each at the path behind it.
    #[must_use]
    pub fn run(&self, program: &str, folders: &[(&Utf8Path, &str)]) -> Command {
        let Some((wrapper, options)) = self.command.split_first() else {
            let mut command = Command::new(program);
            command.env_clear();
            return command;
        };
        let mut command = Command::new(wrapper);
        command.args(options);
        for (folder, place) in folders {
            command.args(["--bind", &format!("{folder}:{place}")]);
        }
        command.args(["--", program]);
        // What the wrapper itself runs with; it gives the program variables of the machine's own.
        let kept = ["PATH", "HOME", "XDG_CACHE_HOME"];
        command
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| kept.contains(&name.as_str())));
        command
    }
}
