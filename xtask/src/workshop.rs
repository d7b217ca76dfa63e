//! A private place to run the gateway's own programs in: its install scripts and its build.
//!
//! Inside, the gateway is always at the same path, the environment holds nothing of the host's, and each run gets an
//! empty home and an empty folder for temporary files. With a fence ([`confine`]) nothing but what was shown can be
//! seen or written; without one (`--unconfined-scripts`) the program is trusted, and only the habits remain.
//!
//! What programs may write to is theirs: either a private copy, or an overlay ([`Layers`]) of a folder that may be linked to
//! the store.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;

use crate::confine::{self, Access, ConfineError, Confinement, Fence, SYSTEM_PATH};
use crate::context::Context;
use crate::layers::Layers;
use crate::process::{Command, Output};
use crate::store::{Store, StoreError};

/// Where everything is, inside a fence.
const INSIDE: &str = "/gangway";

/// The time that programs who ask for one are told: 1980-01-01, the first that every archive format can hold.
const SOURCE_DATE_EPOCH: &str = "315532800";

/// A private place.
#[derive(Debug)]
pub struct Workshop<'context> {
    context: &'context Context,
    confinement: Confinement,
    layers: Option<Layers>,
    folder: tempfile::TempDir,
    shown: Vec<(Utf8PathBuf, Access)>,
    runs: usize,
}

/// How the gateway's folder is kept apart from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// What may be written to has to be laid out as private copies.
    Copies,
    /// An overlay, so that links do; where the kernel has none, copies.
    Layers,
}

/// What can go wrong with a workshop.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum WorkshopError {
    /// The fence, or the program.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Confine(#[from] ConfineError),
    /// There is no room in the store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A folder could not be made.
    #[error("cannot make `{path}`")]
    Folder {
        /// The folder or file.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program put something else where a folder was.
    #[error("`{path}` is no folder any more")]
    Replaced {
        /// The folder.
        path: Utf8PathBuf,
    },
}

impl<'context> Workshop<'context> {
    /// Makes one, on the store's file system, after trying whether programs can be fenced in.
    ///
    /// # Errors
    /// When a fence is required and cannot be had, or there is no room.
    pub fn open(
        context: &'context Context,
        store: &Store,
        confinement: Confinement,
        ground: Ground,
    ) -> Result<Self, WorkshopError> {
        let folder = store.temporary()?;
        let mut workshop =
            Self { context, confinement, layers: None, folder, shown: Vec::new(), runs: 0 };
        if confinement == Confinement::Required {
            if ground == Ground::Layers && workshop.can_layer()? {
                workshop.layers = Some(make_layers(&workshop.host("app"))?);
            } else {
                let scratch = workshop.host("try");
                make_folder(&scratch)?;
                confine::probe(context, &scratch)?;
            }
        }
        for folder in [workshop.app(), workshop.tools()] {
            make_folder(&folder)?;
        }
        Ok(workshop)
    }

    /// Tries an overlay where the real one would be. If that is refused, the fence alone is still to be tried.
    fn can_layer(&self) -> Result<bool, WorkshopError> {
        let scratch = self.host("try-layers");
        let layers = make_layers(&scratch)?;
        let tried = confine::probe_layers(self.context, &scratch, layers.clone());
        layers.release();
        match tried {
            Ok(()) => Ok(true),
            Err(error @ ConfineError::Refused { .. }) => {
                tracing::debug!(%error, "no overlay here: making private copies");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The gateway's folder, for the builder: to lay it out in, and without [`Workshop::layers`] to look at it afterwards.
    #[must_use]
    pub fn app(&self) -> Utf8PathBuf {
        self.layers.as_ref().map_or_else(|| self.host("app"), |layers| layers.lower.clone())
    }

    /// Lays the overlay, if there is one, over `folder` instead of one of its own.
    pub fn lie_over(&mut self, folder: &Utf8Path) {
        if let Some(layers) = &mut self.layers {
            layers.lower = folder.to_owned();
        }
    }

    /// The overlay over the gateway's folder, if there is one: then what programs write goes there.
    #[must_use]
    pub fn layers(&self) -> Option<&Layers> {
        self.layers.as_ref()
    }

    /// The folder of tools, for the builder. Programs can read it.
    #[must_use]
    pub fn tools(&self) -> Utf8PathBuf {
        self.host("tools")
    }

    /// The gateway's folder, or one below it, as a program sees it.
    #[must_use]
    pub fn seen(&self, path: &str) -> Utf8PathBuf {
        join(&self.seen_folder("app"), path)
    }

    /// The folder of tools, or one below it, as a program sees it.
    #[must_use]
    pub fn seen_tools(&self, path: &str) -> Utf8PathBuf {
        join(&self.seen_folder("tools"), path)
    }

    /// The value of `PATH` that has these folders before the system's.
    #[must_use]
    pub fn search_path(&self, folders: &[Utf8PathBuf]) -> String {
        let system = match self.confinement {
            Confinement::Required => SYSTEM_PATH,
            Confinement::Unconfined => self.context.variable("PATH").unwrap_or(SYSTEM_PATH),
        };
        let folders = folders.iter().map(|folder| folder.as_str());
        folders.chain([system]).collect::<Vec<_>>().join(":")
    }

    /// Makes the folder `path` of the gateway where it is not there. Never through a link: an earlier program may have
    /// made one that leads out.
    ///
    /// # Errors
    /// When something else is in the way.
    pub fn ensure(&self, path: &str) -> Result<(), WorkshopError> {
        if let Some(layers) = &self.layers {
            let path = Utf8PathBuf::from(path);
            return match layers.ensure(path.as_str()) {
                Ok(true) => Ok(()),
                Ok(false) => Err(WorkshopError::Replaced { path }),
                Err(source) => Err(WorkshopError::Folder { path, source }),
            };
        }
        let mut folder = self.app();
        for component in path.split('/').filter(|component| !component.is_empty()) {
            folder.push(component);
            match std::fs::symlink_metadata(&folder) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(WorkshopError::Replaced { path: Utf8PathBuf::from(path) }),
                Err(_) => make_folder(&folder)?,
            }
        }
        Ok(())
    }

    /// Lets programs see files and folders of this machine, each at its own path: compilers and their caches.
    pub fn show(&mut self, shown: impl IntoIterator<Item = (Utf8PathBuf, Access)>) {
        self.shown.extend(shown);
    }

    /// Runs a program. `access` says what it may do with which folders of the gateway; later ones lie over earlier ones.
    /// The command's own variables go before the workshop's. When it fails, all it said stays in the cache, in `log`.
    ///
    /// # Errors
    /// When it fails, or the fence does.
    pub fn run(
        &mut self,
        command: Command,
        access: &[(&str, Access)],
        log: &str,
    ) -> Result<Output, WorkshopError> {
        self.runs += 1;
        let own = self.host(&self.runs.to_string());
        for name in ["fence", "home", "tmp"] {
            make_folder(&own.join(name))?;
        }
        let logs = self.context.cache.join("logs");
        make_folder(&logs)?;
        let log = logs.join(format!("{log}.log"));
        let command = command.log_to(&log);
        let output = match self.confinement {
            Confinement::Required => self.run_fenced(command, &own, access)?,
            Confinement::Unconfined => {
                let variables = variables(&own.join("home"), &own.join("tmp"));
                command.defaults(variables).run().map_err(ConfineError::from)?
            }
        };
        // It succeeded, so nobody asks; and if this fails, nobody minds.
        let _ = std::fs::remove_file(log);
        Ok(output)
    }

    fn run_fenced(
        &self,
        command: Command,
        own: &Utf8Path,
        access: &[(&str, Access)],
    ) -> Result<Output, ConfineError> {
        let (home, temporary) = (self.seen_folder("home"), Utf8Path::new("/tmp"));
        let mut fence = Fence::new(own.join("fence"))
            .show(own.join("home"), &home, Access::Write)
            .show(own.join("tmp"), temporary, Access::Write)
            .show(self.tools(), self.seen_tools(""), Access::Read);
        for (path, access) in &self.shown {
            fence = fence.show(path, path, *access);
        }
        let command = command.defaults(variables(&home, temporary));
        let Some(layers) = &self.layers else {
            for (path, access) in access {
                fence = fence.show(join(&self.app(), path), self.seen(path), *access);
            }
            return fence.run(self.context, &command);
        };
        fence = fence.show_layers(layers.clone(), self.seen(""), Access::Read);
        for (path, access) in access {
            fence = fence.change_access(self.seen(path), *access);
        }
        let output = fence.run(self.context, &command);
        layers.release();
        output
    }

    fn host(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).expect("the cache has a UTF-8 name").join(name)
    }

    fn seen_folder(&self, name: &str) -> Utf8PathBuf {
        match self.confinement {
            Confinement::Required => Utf8Path::new(INSIDE).join(name),
            Confinement::Unconfined => self.host(name),
        }
    }
}

/// What every program is told, the same on every machine.
fn variables(home: &Utf8Path, temporary: &Utf8Path) -> BTreeMap<String, String> {
    [
        ("HOME", home.as_str()),
        ("TMPDIR", temporary.as_str()),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
        ("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH),
        ("PATH", SYSTEM_PATH),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn join(folder: &Utf8Path, path: &str) -> Utf8PathBuf {
    if path.is_empty() { folder.to_owned() } else { folder.join(path) }
}

fn make_layers(folder: &Utf8Path) -> Result<Layers, WorkshopError> {
    Layers::make(folder).map_err(|source| WorkshopError::Folder { path: folder.to_owned(), source })
}

fn make_folder(path: &Utf8Path) -> Result<(), WorkshopError> {
    std::fs::create_dir_all(path)
        .map_err(|source| WorkshopError::Folder { path: path.to_owned(), source })
}
