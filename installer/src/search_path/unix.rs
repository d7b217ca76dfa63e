//! Files that shells read.

use camino::{Utf8Path, Utf8PathBuf};

use super::block::{self, Removal};
use super::file::Changeable;
use super::profiles::{Shells, files};
use super::{Done, Edit, Outcome, Plan, Programs, Record};
use crate::context::Context;

pub(super) fn is_same(entry: &Utf8Path, folder: &Utf8Path) -> bool {
    entry == folder
        || match (entry.canonicalize_utf8(), folder.canonicalize_utf8()) {
            (Ok(entry), Ok(folder)) => entry == folder,
            _ => false,
        }
}

pub(super) fn plan(context: &Context, programs: Programs<'_>, before: Option<&Record>) -> Plan {
    let Programs { app, folder, for_everyone } = programs;
    if for_everyone {
        return Plan::ByHand(format!(
            "which folders all users find is decided by this system: add `{folder}`"
        ));
    }
    let Some(home) = context.home() else {
        return Plan::ByHand(format!("`HOME` is not set: add `{folder}` to your PATH"));
    };
    if folder.as_str().contains([':', '\n', '\r']) {
        return Plan::ByHand(format!("`{}` can not be on PATH", folder.as_str().escape_debug()));
    }
    let edit = |(file, syntax): (Utf8PathBuf, _)| {
        // One that cannot be read is left alone later, with the reason.
        let content = std::fs::read(&file).unwrap_or_default();
        if let Some((old, made, folders)) = before.and_then(|record| lines_in(record, &file)) {
            let content = match block::remove(&content, old) {
                Removal::Left(rest) => rest,
                Removal::Absent | Removal::Altered => content,
            };
            let text = block::text(app, folder, home, syntax, &content);
            return Edit::Profile { file, text, made, folders: folders.to_owned() };
        }
        let folders = file.ancestors().skip(1).take_while(|folder| !exists(folder));
        Edit::Profile {
            text: block::text(app, folder, home, syntax, &content),
            made: !exists(&file),
            folders: folders.map(Utf8Path::to_owned).collect(),
            file,
        }
    };
    let edits: Vec<Edit> = files(app, &shells(context, home)).into_iter().map(edit).collect();
    if edits.is_empty() {
        let shell = context.variable("SHELL").unwrap_or_default();
        return Plan::ByHand(format!("`{shell}` is no shell I know: add `{folder}` to its PATH"));
    }
    Plan::Edit(Record { folder: folder.to_owned(), edits })
}

pub(super) fn find(context: &Context, programs: Programs<'_>) -> Vec<Edit> {
    let Programs { app, folder, .. } = programs;
    let Some(home) = context.home() else { return Vec::new() };
    let edit = |(file, syntax): (Utf8PathBuf, _)| {
        let content = std::fs::read(&file).ok()?;
        // Whether they began with the end of the line before cannot be seen any more; the line keeps it.
        let text = block::text(app, folder, home, syntax, b"");
        let Removal::Left(rest) = block::remove(&content, &text) else { return None };
        Some(Edit::Profile { file, text, made: rest.is_empty(), folders: Vec::new() })
    };
    files(app, &shells(context, home)).into_iter().filter_map(edit).collect()
}

/// What a record says of a file: the lines, whether it was made for them, and the folders that were.
fn lines_in<'a>(
    record: &'a Record,
    wanted: &Utf8Path,
) -> Option<(&'a str, bool, &'a [Utf8PathBuf])> {
    record.edits.iter().find_map(|edit| match edit {
        Edit::Profile { file, text, made, folders } if file == wanted => {
            Some((text.as_str(), *made, folders.as_slice()))
        }
        _ => None,
    })
}

fn exists(path: &Utf8Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn shells<'a>(context: &'a Context, home: &'a Utf8Path) -> Shells<'a> {
    Shells {
        home,
        shell: context.variable("SHELL"),
        zsh: context.variable("ZDOTDIR"),
        config: context.variable("XDG_CONFIG_HOME"),
        exists: &exists,
    }
}

pub(super) fn all(edits: &[Edit], each: impl Fn(&Edit) -> Outcome) -> Vec<Outcome> {
    edits.iter().map(each).collect()
}

pub(super) fn apply(edit: &Edit) -> Outcome {
    on_profile(edit, |file, text| {
        let done =
            Changeable::open(file).and_then(|found| match block::add(&found.content, text) {
                None => Ok(Done::Unchanged),
                Some(content) => {
                    if let Some(folder) = file.parent().filter(|_| !found.is_there()) {
                        std::fs::create_dir_all(folder)
                            .map_err(|error| format!("`{folder}` cannot be made ({error})"))?;
                    }
                    found.replace(&content).map(|()| Done::Changed)
                }
            });
        done.map_err(|reason| {
            (reason, format!("add these lines where your shell reads them:\n{text}"))
        })
    })
}

pub(super) fn undo(edit: &Edit) -> Outcome {
    let (made, folders) = match edit {
        Edit::Profile { made, folders, .. } => (*made, folders.as_slice()),
        Edit::Registry { .. } => (false, &[][..]),
    };
    let outcome = on_profile(edit, |file, text| {
        let by_hand = || format!("take these lines out:\n{text}");
        let found = Changeable::open(file).map_err(|reason| (reason, by_hand()))?;
        match block::remove(&found.content, text) {
            Removal::Absent => Ok(Done::Unchanged),
            Removal::Altered => {
                Err(("the lines in it are others than were put there".to_owned(), by_hand()))
            }
            Removal::Left(content) => {
                let is_done = match content.is_empty() && made {
                    true => found.remove().map(|()| Done::Removed),
                    false => found.replace(&content).map(|()| Done::Changed),
                };
                is_done.map_err(|reason| (reason, by_hand()))
            }
        }
    });
    if matches!(outcome.done, Done::Removed | Done::Unchanged) {
        for folder in folders {
            // Who put something else there keeps it.
            let _ = std::fs::remove_dir(folder);
        }
    }
    outcome
}

fn on_profile(
    edit: &Edit,
    change: impl FnOnce(&Utf8Path, &str) -> Result<Done, (String, String)>,
) -> Outcome {
    match edit {
        Edit::Profile { file, text, .. } => {
            let done = change(file, text);
            let done = done.unwrap_or_else(|(reason, help)| Done::Refused { reason, help });
            Outcome { place: file.to_string(), done }
        }
        Edit::Registry { entry, .. } => {
            let reason = "this is not Windows".to_owned();
            Outcome { place: entry.clone(), done: Done::Refused { reason, help: String::new() } }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;

    use super::*;

    fn claw(folder: &Utf8Path) -> Programs<'_> {
        Programs { app: "claw", folder, for_everyone: false }
    }

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a temporary folder"))
        }

        fn path(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).expect("plain")
        }

        fn record(&self, shell: &str) -> Record {
            let environment = BTreeMap::from([
                ("HOME".to_owned(), self.path().to_string()),
                ("SHELL".to_owned(), shell.to_owned()),
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ]);
            let context = Context::new(environment, self.path().to_owned(), self.path().to_owned());
            match super::super::plan(&context, claw(&self.path().join("my bin")), None) {
                Plan::Edit(record) => record,
                other => panic!("{other:?}"),
            }
        }

        fn names(&self) -> Vec<String> {
            let entries = self.path().read_dir_utf8().expect("ours");
            let mut names: Vec<_> =
                entries.map(|entry| entry.expect("one").file_name().to_owned()).collect();
            names.sort();
            names
        }
    }

    fn done(outcomes: &[Outcome]) -> Vec<&Done> {
        outcomes.iter().map(|outcome| &outcome.done).collect()
    }

    #[test]
    fn nothing_is_left() {
        let home = Home::new();
        std::fs::write(home.path().join(".bashrc"), "alias x=y").expect("ours");
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(home.path().join(".bashrc"), mode).expect("ours");
        std::fs::create_dir(home.path().join(".config")).expect("ours");
        let fish = home.record("/usr/bin/fish");
        let bash = home.record("/bin/bash");
        for record in [&bash, &fish] {
            assert!(
                done(&record.apply())
                    .iter()
                    .all(|done| matches!(done, Done::Changed | Done::Unchanged))
            );
            assert!(done(&record.apply()).iter().all(|done| **done == Done::Unchanged));
        }
        assert!(home.path().join(".config/fish/conf.d/claw.fish").is_file());
        let found = home.path().join(".bashrc").metadata().expect("there").permissions().mode();
        assert_eq!(found & 0o777, 0o640);
        for record in [&bash, &fish] {
            let text = serde_json::to_string(record).expect("plain data");
            let record: Record = serde_json::from_str(&text).expect("its own text");
            assert!(!done(&record.undo()).iter().any(|done| matches!(done, Done::Refused { .. })));
            assert!(done(&record.undo()).iter().all(|done| **done == Done::Unchanged));
        }
        assert_eq!(home.names(), [".bashrc", ".config"]);
        assert_eq!(std::fs::read(home.path().join(".bashrc")).expect("there"), b"alias x=y");
        assert_eq!(home.path().join(".config").read_dir().expect("there").count(), 0);
    }

    /// What was put there is found again without the record, and goes as if there were one.
    #[test]
    fn lines_are_found_again() {
        let home = Home::new();
        std::fs::write(home.path().join(".bashrc"), "alias x=y\n").expect("ours");
        let find = |shell: &str, folder: &str| {
            let environment = BTreeMap::from([
                ("HOME".to_owned(), home.path().to_string()),
                ("SHELL".to_owned(), shell.to_owned()),
            ]);
            let context = Context::new(environment, home.path().to_owned(), home.path().to_owned());
            super::super::find(&context, claw(&home.path().join(folder)))
        };
        assert_eq!(find("/bin/bash", "my bin"), None);
        for shell in ["/bin/bash", "/usr/bin/fish"] {
            let record = home.record(shell);
            assert!(done(&record.apply()).contains(&&Done::Changed));
        }
        assert_eq!(find("/bin/bash", "other"), None);
        let record = find("/bin/bash", "my bin").expect("it is there");
        assert_eq!(record.edits.len(), 3);
        assert!(!done(&record.undo()).iter().any(|done| matches!(done, Done::Refused { .. })));
        assert_eq!(std::fs::read(home.path().join(".bashrc")).expect("there"), b"alias x=y\n");
        assert!(!home.path().join(".profile").exists());
        assert!(!home.path().join(".config/fish/conf.d/claw.fish").exists());
    }

    #[test]
    fn shells_find_it() {
        let home = Home::new();
        let record = home.record("/bin/sh");
        record.apply().iter().for_each(|outcome| assert_eq!(outcome.done, Done::Changed));
        for (shell, start) in [
            ("sh", "unset PATH; . ./.profile; . ./.profile; echo \"$PATH\""),
            ("bash", "set -eu; PATH=/x; . ./.profile; . ./.profile; echo \"$PATH\""),
        ] {
            let output = Command::new(format!("/bin/{shell}"))
                .args(["-c", start])
                .current_dir(home.path())
                .env("HOME", home.path())
                .output()
                .expect("every machine has one");
            let said = String::from_utf8(output.stdout).expect("text");
            let bin = home.path().join("my bin");
            let expected = if shell == "sh" { format!("{bin}\n") } else { format!("{bin}:/x\n") };
            assert_eq!(said, expected, "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn files_of_somebody_else_are_left_alone() {
        let home = Home::new();
        let profile = home.path().join(".profile");
        std::fs::write(&profile, "mine\n").expect("ours");
        let read_only = std::fs::Permissions::from_mode(0o444);
        std::fs::set_permissions(&profile, read_only).expect("ours");
        // A link to nowhere: a mount that is missing, or a store that was cleaned.
        symlink("/nix/store/x-home-manager-files/.bashrc", home.path().join(".bashrc"))
            .expect("ours");
        let outcomes = home.record("/bin/bash").apply();
        let reasons: Vec<_> = outcomes
            .iter()
            .map(|outcome| match &outcome.done {
                Done::Refused { reason, help } => {
                    assert!(help.contains("my bin"), "{help}");
                    reason.as_str()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(reasons[0], "it is read-only");
        assert!(reasons[1].starts_with("it cannot be found"), "{reasons:?}");
        assert_eq!(std::fs::read(&profile).expect("there"), b"mine\n");
        assert_eq!(home.names(), [".bashrc", ".profile"]);
    }

    #[test]
    fn the_file_behind_a_link_is_changed() {
        let home = Home::new();
        let real = home.path().join("dotfiles");
        std::fs::write(&real, "mine\n").expect("ours");
        symlink("dotfiles", home.path().join(".profile")).expect("ours");
        let record = home.record("/bin/sh");
        assert_eq!(done(&record.apply()), [&Done::Changed]);
        assert!(home.path().join(".profile").is_symlink());
        assert!(std::fs::read_to_string(&real).expect("text").contains(">>> claw >>>"));
        assert_eq!(done(&record.undo()), [&Done::Changed]);
        assert_eq!(std::fs::read(&real).expect("there"), b"mine\n");
    }

    #[test]
    fn lines_that_were_altered_stay() {
        let home = Home::new();
        let record = home.record("/bin/sh");
        record.apply().iter().for_each(|outcome| assert_eq!(outcome.done, Done::Changed));
        let profile = home.path().join(".profile");
        let text = std::fs::read_to_string(&profile).expect("text").replace("export", "readonly");
        std::fs::write(&profile, &text).expect("ours");
        assert!(matches!(done(&record.undo())[..], [Done::Refused { .. }]));
        assert_eq!(std::fs::read_to_string(&profile).expect("text"), text);
    }

    #[test]
    fn what_is_on_the_path_needs_nothing() {
        let home = Home::new();
        let bin = home.path().join("bin");
        std::fs::create_dir(&bin).expect("ours");
        symlink("bin", home.path().join("link")).expect("ours");
        std::fs::write(bin.join("claw"), "").expect("ours");
        let on = |entry: &str| {
            let path = format!("/usr/bin:{}/{entry}", home.path());
            let environment = BTreeMap::from([
                ("HOME".to_owned(), home.path().to_string()),
                ("PATH".to_owned(), path),
            ]);
            Context::new(environment, home.path().to_owned(), home.path().to_owned())
        };
        for entry in ["bin", "bin/", "link"] {
            assert_eq!(super::super::plan(&on(entry), claw(&bin), None), Plan::Found, "{entry}");
        }
        assert_ne!(super::super::plan(&on("binary"), claw(&bin), None), Plan::Found);
        assert_eq!(super::super::found(&on("bin"), "claw"), Some(bin.join("claw")));
        assert_eq!(super::super::found(&on("bin"), "crab"), None);
    }
}
