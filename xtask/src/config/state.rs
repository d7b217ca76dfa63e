//! `[[state]]`: where the app keeps its own data, so that an installer can keep it before an update.

use gangway_artifact::{BundlePath, Os, StatePath};

use super::error::{FaultKind, Faults};
use super::suggest::listed;
use super::values::{bundle_path, unique, variable_names};
use super::{Located, raw};

/// `[[state]]`: a folder of the app's own data.
#[derive(Debug, Clone)]
pub struct State {
    /// Where it is; on macOS and Windows where nothing else is said.
    path: StatePath,
    macos: Option<StatePath>,
    windows: Option<StatePath>,
    variable: Option<String>,
    exclude: Vec<BundlePath>,
    limit_mb: u32,
}

impl State {
    /// As the bundle of a platform says it; `None` where that has no such folder.
    #[must_use]
    pub fn on(&self, os: Os) -> Option<gangway_artifact::State> {
        let own = match os {
            Os::Linux => None,
            Os::Darwin => self.macos.as_ref(),
            Os::Win32 => self.windows.as_ref(),
        };
        let path = own.unwrap_or(&self.path).clone();
        path.is_on(os).then(|| gangway_artifact::State {
            path,
            variable: self.variable.clone(),
            exclude: self.exclude.clone(),
            limit_mb: self.limit_mb,
        })
    }
}

/// Takes the tables, and notes what cannot be used.
pub(super) fn states(tables: Vec<raw::State>, faults: &mut Faults) -> Vec<State> {
    let paths: Vec<_> = tables.iter().map(|table| table.path.clone()).collect();
    unique("folder", &paths, Clone::clone, faults);
    tables.into_iter().filter_map(|table| state(table, faults)).collect()
}

fn state(table: raw::State, faults: &mut Faults) -> Option<State> {
    let raw::State { path, macos, windows, variable, exclude, limit_mb } = table;
    let macos = macos.map(|path| folder(&path, Os::Darwin, faults));
    let windows = windows.map(|path| folder(&path, Os::Win32, faults));
    let variable = variable_names(variable.into_iter().collect(), faults).pop();
    let exclude = exclude.into_iter().filter_map(|path| Some(bundle_path(path, faults)?.value));
    let exclude = exclude.collect();
    Some(State {
        path: folder(&path, Os::Linux, faults)?,
        macos: macos.flatten(),
        windows: windows.flatten(),
        variable,
        exclude,
        limit_mb,
    })
}

fn folder(written: &Located<String>, os: Os, faults: &mut Faults) -> Option<StatePath> {
    let bases = || listed(StatePath::bases(os));
    let (reason, help) = match written.value.parse::<StatePath>() {
        Ok(path) if path.is_on(os) => return Some(path),
        Ok(_) if os == Os::Linux => (
            format!("`{}` is a place of Windows", written.value),
            "write it as `windows`, and the folder of other systems as `path`".to_owned(),
        ),
        Ok(_) => (
            format!("`{}` is a place of another system", written.value),
            format!("begin with {}", bases()),
        ),
        Err(error) => (error.to_string(), format!("begin with {}, and a name below it", bases())),
    };
    faults.add(&written.span, FaultKind::State { reason }, "not usable").help(help);
    None
}
