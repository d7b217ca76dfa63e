//! `cargo xtask layout`: the closure on disk, to look at or to compare.

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;

use crate::closure::{self, ClosureError};
use crate::config::Config;
use crate::context::Context;
use crate::fetch::{self, FetchError};
use crate::layout::{self, LayoutError, Method};
use crate::own_files::{OwnFiles, OwnFilesError};
use crate::plan::{self, Inputs, PlanError};
use crate::registry::{Registry, RegistryError};
use crate::store::{Store, StoreError};
use crate::target::Target;

/// Why nothing was laid out.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the transparent ones are the errors of the parts they name")]
pub enum LayoutCommandError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Closure(#[from] ClosureError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    OwnFiles(#[from] OwnFilesError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Layout(#[from] LayoutError),
    /// There is one already.
    #[error(
        "`{path}` is there already, and what is in it would be mixed with what the lockfile says"
    )]
    #[diagnostic(help("remove it, or name another folder with `--out`"))]
    Occupied { path: Utf8PathBuf },
}

/// What was laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Laid {
    /// Packages.
    pub packages: usize,
    /// Files and links.
    pub files: usize,
}

/// Lays the closure of one target out below `out`.
/// The files are hard links to the store: look, but do not write.
///
/// # Errors
/// When a package cannot be had or a file cannot be made.
pub fn run(
    context: &Context,
    config: &Config,
    target: &Target,
    out: &Utf8Path,
) -> Result<Laid, LayoutCommandError> {
    let path = out.join("node_modules");
    if path.exists() {
        return Err(LayoutCommandError::Occupied { path });
    }
    let inputs = Inputs::load(config)?;
    let closure = plan::production_closure(config, &inputs, target)?;
    let store = Store::open(context)?;
    let registry = Registry::load(context, &config.npmrc_folder())?;
    let requests = plan::package_requests(&closure, inputs.lockfile_folder(config));
    let fetched = fetch::all(context, &store, &registry, &requests)?;
    let folders = OwnFiles::folders(inputs.lockfile_folder(config), [&closure])?;
    let closure = closure::described(&closure, &fetched, &folders)?;
    let mut tree = closure::assemble(&closure, &fetched, &folders)?;
    closure::apply_patches(&closure, &mut tree, &store)?;
    closure::settle_programs(&closure, &mut tree, &store)?;
    layout::write(&tree, out, Method::Link)?;
    let laid = Laid { packages: closure.packages.len(), files: tree.len() };
    // This is the last thing the process does; to free a hundred thousand texts one by one would take as long as a tenth
    // of the work.
    std::mem::forget((tree, fetched));
    Ok(laid)
}
