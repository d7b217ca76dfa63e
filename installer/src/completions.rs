//! What shells complete on the installer's command line.

use clap_complete::{Shell, generate};

/// The script of a shell for `command`, which people call by `name`.
#[must_use]
pub fn script(mut command: clap::Command, name: &str, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    script
}

/// How a user makes a shell read the script, in one line of it.
#[must_use]
pub fn hint(name: &str, shell: Shell) -> String {
    let made = format!("{name} completions {shell}");
    match shell {
        Shell::Fish => format!("{made} > ~/.config/fish/completions/{name}.fish"),
        Shell::PowerShell => format!("{made} | Out-String | Invoke-Expression   # in $PROFILE"),
        Shell::Zsh => format!("{made} > \"${{fpath[1]}}/_{name}\""),
        _ => format!("source <({made})   # in ~/.bashrc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> clap::Command {
        let update = clap::Command::new("update").arg(clap::Arg::new("channel").long("channel"));
        clap::Command::new("installer").subcommand(update)
    }

    #[test]
    fn each_shell_is_told_the_name_people_use() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let script = String::from_utf8(script(command(), "claw-installer", shell));
            let script = script.expect("text");
            for word in ["claw-installer", "update", "channel"] {
                assert!(script.contains(word), "{word} is not in that of {shell}");
            }
            assert!(hint("claw-installer", shell).contains("claw-installer completions "));
        }
    }

    #[cfg(unix)]
    #[test]
    fn shells_that_are_here_can_read_theirs() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        for (program, shell) in [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)]
        {
            let reader = Command::new(program).arg("-n").stdin(Stdio::piped()).spawn();
            let Ok(mut reader) = reader else { continue };
            let mut input = reader.stdin.take().expect("it was asked for");
            input.write_all(&script(command(), "claw-installer", shell)).expect("it reads");
            drop(input);
            assert!(reader.wait().expect("it ends").success(), "{program}");
        }
    }
}
