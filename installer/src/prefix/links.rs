//! The app's programs in a folder of the search path.
//!
//! On Unix they are links to `current/bin/<program>`, so they never change while versions do. On Windows they are copies of the launcher in
//! `<prefix>\bin`, which follow `current` by themselves.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use super::layout::{program_file, program_name};
use super::state::State;
use super::{Layout, PrefixError, durable, platform};

/// What a file of somebody else's is called when it had to give way.
const REPLACED: &str = ".replaced";

/// What is done about a file of somebody else's that has the name of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// It is an error.
    Refuse,
    /// It gets another name.
    MoveAside,
}

/// Looks whether there is room for these programs, and says which names somebody else's files have.
///
/// # Errors
/// When there are any and they are not to give way, or had to before.
pub fn check(
    layout: &Layout,
    bin_dir: &Utf8Path,
    app: &str,
    programs: &[String],
    foreign: Foreign,
) -> Result<Vec<String>, PrefixError> {
    let mut found = Vec::new();
    for name in programs.iter().cloned().chain([program_name(app)]) {
        let path = bin_dir.join(program_file(&name));
        if path.symlink_metadata().is_err() || platform::is_ours(&path, layout.prefix()) {
            continue;
        }
        if foreign == Foreign::Refuse || aside(&path).symlink_metadata().is_ok() {
            return Err(PrefixError::Occupied { path });
        }
        found.push(name);
    }
    Ok(found)
}

/// Programs that are not there, or are not ours.
#[must_use]
pub fn wrong(layout: &Layout, state: &State) -> Vec<Utf8PathBuf> {
    let programs = state.programs.iter().map(|name| {
        let file = program_file(name);
        (state.bin_dir.join(&file), layout.current().join("bin").join(&file))
    });
    let own = layout.program(&state.app);
    let own_link = state.bin_dir.join(program_file(&program_name(&state.app)));
    let own_link = (own_link != own).then_some((own_link, own));
    let is_wrong = |(path, target): &(Utf8PathBuf, Utf8PathBuf)| {
        !platform::starts(path, target, layout.prefix(), &launcher(layout, target))
    };
    programs.chain(own_link).filter(is_wrong).map(|(path, _)| path).collect()
}

/// The names of an app's programs that there are in a folder, sorted. On Windows all programs there are its.
#[must_use]
pub fn there(layout: &Layout, bin_dir: &Utf8Path, app: &str) -> Vec<String> {
    let Ok(entries) = bin_dir.read_dir_utf8() else { return Vec::new() };
    let own = program_file(&program_name(app));
    let mut names: Vec<String> = (entries.flatten())
        .filter(|entry| entry.file_name() != own)
        .filter(|entry| platform::is_ours(entry.path(), layout.prefix()))
        .filter_map(|entry| {
            entry.file_name().strip_suffix(std::env::consts::EXE_SUFFIX).map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// Whether the installer is linked into a folder.
#[must_use]
pub fn has_installer(layout: &Layout, bin_dir: &Utf8Path, app: &str) -> bool {
    platform::is_ours(&bin_dir.join(program_file(&program_name(app))), layout.prefix())
}

/// Which of these programs, and the installer, had to give way in a folder, sorted.
#[must_use]
pub fn replaced(bin_dir: &Utf8Path, app: &str, programs: &[String]) -> Vec<String> {
    let all = programs.iter().cloned().chain([program_name(app)]);
    let is_aside =
        |name: &String| aside(&bin_dir.join(program_file(name))).symlink_metadata().is_ok();
    let mut names: Vec<String> = all.filter(is_aside).collect();
    names.sort();
    names
}

/// Makes the links be those of `to` and no others of `from`.
pub(super) fn change(
    layout: &Layout,
    from: Option<&State>,
    to: Option<&State>,
) -> Result<(), PrefixError> {
    if let Some(from) = from {
        let stays = |name: &String| {
            to.is_some_and(|to| to.bin_dir == from.bin_dir && to.programs.contains(name))
        };
        let gone: Vec<_> = from.programs.iter().filter(|name| !stays(name)).cloned().collect();
        remove(layout, &from.bin_dir, &gone, &from.replaced)?;
        if to.is_none_or(|to| to.bin_dir != from.bin_dir) {
            remove(layout, &from.bin_dir, &[program_name(&from.app)], &from.replaced)?;
        }
    }
    if let Some(from) = from {
        let stays = |folder: &&Utf8PathBuf| to.is_some_and(|to| to.created.contains(folder));
        let gone: Vec<_> = from.created.iter().filter(|it| !stays(it)).cloned().collect();
        durable::remove_empties(&gone);
    }
    let Some(to) = to else { return Ok(()) };
    durable::create_folders(&to.bin_dir)?;
    for name in &to.programs {
        let file = program_file(name);
        let target = layout.current().join("bin").join(&file);
        place(layout, &to.bin_dir.join(&file), &target)?;
    }
    place_installer(layout, to)
}

/// Links the installer itself, unless it is in that folder.
fn place_installer(layout: &Layout, state: &State) -> Result<(), PrefixError> {
    let program = layout.program(&state.app);
    let link = state.bin_dir.join(program_file(&program_name(&state.app)));
    if link == program { Ok(()) } else { place(layout, &link, &program) }
}

fn place(layout: &Layout, path: &Utf8Path, target: &Utf8Path) -> Result<(), PrefixError> {
    let launcher = launcher(layout, target);
    if platform::starts(path, target, layout.prefix(), &launcher) {
        return Ok(());
    }
    if path.symlink_metadata().is_ok() && !platform::is_ours(path, layout.prefix()) {
        // That it may was asked before anything was done.
        let aside = aside(path);
        if aside.symlink_metadata().is_ok() {
            return Err(PrefixError::Occupied { path: path.to_owned() });
        }
        durable::rename(path, &aside)?;
    }
    let new = durable::beside(path);
    durable::remove(&new)?;
    platform::make_program(&new, target, &launcher).map_err(PrefixError::io("write", path))?;
    platform::replace_program(&new, path).map_err(PrefixError::io("replace", path))?;
    durable::sync_above(path)
}

/// The launcher of the version that is used.
fn launcher(layout: &Layout, target: &Utf8Path) -> Utf8PathBuf {
    let name = target.file_name().unwrap_or_default();
    match super::current::read(layout) {
        Ok(Some(slot)) => layout.version(&slot).join("bin").join(name),
        _ => target.to_owned(),
    }
}

/// Removes these programs, those that are ours, and gives back what had given way to them.
pub(super) fn remove(
    layout: &Layout,
    bin_dir: &Utf8Path,
    programs: &[String],
    replaced: &[String],
) -> Result<(), PrefixError> {
    for name in programs {
        let path = bin_dir.join(program_file(name));
        if path.symlink_metadata().is_ok() && platform::is_ours(&path, layout.prefix()) {
            platform::remove_program(&path).map_err(PrefixError::io("remove", &path))?;
            durable::sync_above(&path)?;
        }
        durable::remove(&durable::beside(&path))?;
        let aside = aside(&path);
        let is_free = path.symlink_metadata().is_err();
        if replaced.contains(name) && is_free && aside.symlink_metadata().is_ok() {
            durable::rename(&aside, &path)?;
        }
    }
    for left in platform::leftovers(bin_dir) {
        // What is still running cannot be removed yet.
        let _ = fs::remove_file(left);
    }
    Ok(())
}

fn aside(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}{REPLACED}"))
}
