//! Which folders hold the app's data on this machine, and whether they are kept before an update.
//!
//! A bundle names folders, and users may put them elsewhere with variables. What a variable names is taken only where nothing
//! but the app's data can be: a copy of a whole home folder is nobody's wish.

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Os, State};

use super::error::SnapshotError;
use super::tree;
use crate::context::Context;

/// Whose installation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// One user's.
    User,
    /// All users'. Which of them have data in their homes is not known, so it is left alone.
    Everyone,
}

/// What a user says about copies of the app's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// They are made, whatever their size.
    Yes,
    /// They are not.
    No,
    /// They are made if nobody objects: at a terminal the user is asked, elsewhere those within their limits are made.
    #[default]
    Ask,
}

/// The app's data on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The folders to copy. One that is not there is here too: after a restore it is not there again.
    pub folders: Vec<Folder>,
    /// What is left alone, and why.
    pub left: Vec<(String, String)>,
}

/// A folder of the app's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// As the bundle names it.
    pub declared: String,
    /// Where it is, with no links on the way.
    pub path: Utf8PathBuf,
    /// What of it is not copied.
    pub exclude: Vec<BundlePath>,
    /// How many bytes are copied unasked.
    pub limit: u64,
    /// What is in it; `None` where it is not there.
    pub content: Option<Content>,
}

/// What is in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Databases that a program has open, as far as they show it.
    pub in_use: Vec<String>,
}

/// What is done about the app's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A copy is made.
    Make,
    /// None is made, for this reason.
    Skip(&'static str),
    /// The user is asked this, and makes a copy with yes.
    Ask(String),
}

/// Finds the folders that a bundle names. `prefix` is where the app is installed.
///
/// # Errors
/// When one of them cannot be read, or is none.
pub fn plan(
    context: &Context,
    states: &[State],
    owner: Owner,
    prefix: &Utf8Path,
) -> Result<Plan, SnapshotError> {
    let mut plan = Plan { folders: Vec::new(), left: Vec::new() };
    for state in states {
        let declared = state.path.to_string();
        match located(context, state, owner, prefix) {
            Ok(path) if plan.folders.iter().any(|known| known.path == path) => {}
            Ok(path) => {
                let content = content(&path, &state.exclude)?;
                let limit = u64::from(state.limit_mb) * 1_000_000;
                let exclude = state.exclude.clone();
                plan.folders.push(Folder { declared, path, exclude, limit, content });
            }
            Err(reason) => plan.left.push((declared, reason)),
        }
    }
    Ok(plan)
}

/// The folders that a bundle names and that are there, whatever is in them.
#[must_use]
pub fn folders(
    context: &Context,
    states: &[State],
    owner: Owner,
    prefix: &Utf8Path,
) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    for path in states.iter().filter_map(|state| located(context, state, owner, prefix).ok()) {
        if path.is_dir() && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

impl Plan {
    /// Decides what is done. `can_ask`: there is a user at a terminal.
    ///
    /// # Errors
    /// When the data is too large to be copied unasked, and there is nobody to ask.
    pub fn decide(&self, wish: Wish, can_ask: bool) -> Result<Decision, SnapshotError> {
        let there = || self.folders.iter().filter(|folder| folder.content.is_some());
        if wish == Wish::No {
            return Ok(Decision::Skip("as you asked"));
        }
        if there().next().is_none() {
            return Ok(Decision::Skip("the app has no data yet"));
        }
        if wish == Wish::Yes {
            return Ok(Decision::Make);
        }
        let names: Vec<String> = there().map(|folder| format!("`{}`", folder.path)).collect();
        let size = size(there().map(Folder::bytes).sum());
        let over: Vec<_> = there().filter(|folder| folder.bytes() > folder.limit).collect();
        if can_ask {
            let note = if over.is_empty() { "" } else { ", which is more than its maker expects" };
            return Ok(Decision::Ask(format!(
                "keep a copy of {} ({size}{note}), so that a rollback can bring it back?",
                names.join(" and ")
            )));
        }
        if over.is_empty() {
            return Ok(Decision::Make);
        }
        let folders = over.iter().map(|folder| format!("`{}`", folder.path)).collect::<Vec<_>>();
        Err(SnapshotError::TooLarge {
            folders: folders.join(" and "),
            size: self::size(over.iter().map(|folder| folder.bytes()).sum()),
            limit: self::size(over.iter().map(|folder| folder.limit).sum()),
        })
    }

    /// Looks whether every file may be read that is to be copied.
    ///
    /// # Errors
    /// When one may not.
    pub fn check_readable(&self) -> Result<(), SnapshotError> {
        let mut there = self.folders.iter().filter(|folder| folder.content.is_some());
        there
            .try_for_each(|folder| tree::check_readable(folder.path.as_std_path(), &folder.exclude))
    }

    /// Databases that a program has open: a copy of one that is written to may be of no use.
    pub fn in_use(&self) -> impl Iterator<Item = Utf8PathBuf> {
        let of = |folder: &Folder| {
            let content = folder.content.as_ref();
            let names = content.map_or(Vec::new(), |content| content.in_use.clone());
            let path = folder.path.clone();
            names.into_iter().map(move |name| path.join(name))
        };
        self.folders.iter().flat_map(of)
    }
}

impl Folder {
    fn bytes(&self) -> u64 {
        self.content.as_ref().map_or(0, |content| content.bytes)
    }
}

fn located(
    context: &Context,
    state: &State,
    owner: Owner,
    prefix: &Utf8Path,
) -> Result<Utf8PathBuf, String> {
    if owner == Owner::Everyone && state.path.is_of_a_user() {
        return Err("each user has one of their own".to_owned());
    }
    let variable = |name: &str| context.variable(name).map(str::to_owned);
    let Some(path) = state.folder(own_os(), variable) else {
        return Err("the environment does not tell where it is".to_owned());
    };
    let path = Utf8PathBuf::from(path);
    // The folder itself may be a link to where the data is; beyond it no link is followed.
    let path = path.canonicalize_utf8().map_or(path, |path| plain(&path));
    let home =
        context.home().map(|home| home.canonicalize_utf8().unwrap_or_else(|_| home.to_owned()));
    let prefix = prefix.canonicalize_utf8().unwrap_or_else(|_| prefix.to_owned());
    if path.parent().is_none() || home.is_some_and(|home| plain(&home).starts_with(&path)) {
        return Err(format!("`{path}` holds more than the app's data"));
    }
    let prefix = plain(&prefix);
    if prefix.starts_with(&path) || path.starts_with(&prefix) {
        return Err(format!("`{path}` is where the app itself is installed"));
    }
    Ok(path)
}

fn content(path: &Utf8Path, exclude: &[BundlePath]) -> Result<Option<Content>, SnapshotError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SnapshotError::read(path.as_std_path())(error)),
        Ok(metadata) if !metadata.is_dir() => {
            Err(SnapshotError::NotAFolder { path: path.to_owned() })
        }
        Ok(_) => {
            let tree::Measured { files, bytes, in_use } =
                tree::measure(path.as_std_path(), exclude)?;
            Ok(Some(Content { files, bytes, in_use }))
        }
    }
}

/// Without what Windows puts before a path whose links were resolved.
fn plain(path: &Utf8Path) -> Utf8PathBuf {
    let text = path.as_str();
    text.strip_prefix(r"\\?\").filter(|rest| !rest.starts_with("UNC")).unwrap_or(text).into()
}

fn own_os() -> Os {
    if cfg!(windows) {
        Os::Win32
    } else if cfg!(target_vendor = "apple") {
        Os::Darwin
    } else {
        Os::Linux
    }
}

/// A number of bytes, for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
    }
}
