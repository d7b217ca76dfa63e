//! `cargo xtask bench`: Gangway and its peers side by side, in one run on one machine.
//!
//! Everything is warmed up first: what is compared is the work, not the network. The peers are fetched like any other
//! pinned archive, each has a home folder of its own, and the contenders of one comparison take turns, so that a slow
//! minute of the machine hits all of them. What the builder makes goes into a cache of the bench's own: nothing of the
//! user's is thrown away to be made again.

mod checks;
mod compressed;
mod installing;
mod launcher;
mod measure;
mod peers;
mod range_server;
mod scale;
mod sizes;
mod table;
mod unpacking;
mod updates;

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;

use crate::config::{Config, Engine};
use crate::context::Context;
use crate::fetch::{self, FetchError};
use crate::lock::{Lock, LockError};
use crate::registry::{Registry, RegistryError};
use crate::runtime::{MirrorError, Mirrors};
use crate::store::{Store, StoreError};
use crate::target::{Target, TargetError};
use crate::tree::Node;

use measure::Contender;
use peers::Peers;

pub use scale::run as scale;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the transparent ones are the errors of the parts they name")]
pub enum BenchError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mirror(#[from] MirrorError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Launcher(#[from] crate::programs::ProgramError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Layout(#[from] crate::layout::LayoutError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Update(#[from] crate::delta::UpdateError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pack(#[from] crate::pack::PackError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Verify(#[from] crate::verify::VerifyError),
    /// A bundle that was just made, and is none.
    #[error("`{path}` holds no gateway whose files could be changed")]
    Bundle { path: Utf8PathBuf },
    /// The gateway has nothing to lay out.
    #[error("`{manifest}` has no [dependencies]: there is nothing to compare with npm")]
    #[diagnostic(help("measure another gateway, for instance `--manifest examples/openclaw`"))]
    NoDependencies { manifest: Utf8PathBuf },
    /// A file or folder of the bench.
    #[error("cannot prepare `{path}` for the bench")]
    Prepare { path: Utf8PathBuf, source: std::io::Error },
    /// A peer that the registry does not have.
    #[error("the registry does not have `{package}` {version}, which is measured against")]
    NoPeer { package: String, version: &'static str },
    /// A contender failed, so its time means nothing.
    #[error("`{contender}` failed ({status})")]
    Contender {
        contender: String,
        status: String,
        #[help]
        output: String,
    },
}

/// One comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "each is a title of `Bench::table`")]
pub enum Table {
    Layout,
    Bundle,
    Targets,
    Again,
    Verify,
    Updates,
    Unpacking,
    Installing,
    Launcher,
    Sizes,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often.
    pub runs: u32,
    /// Which tables are made, in which order.
    pub tables: Vec<Table>,
}

/// Measures what is asked for and gives each table to `tell` as soon as it is whole.
///
/// # Errors
/// When a contender cannot be prepared or fails.
pub fn run(
    context: &Context,
    config: &Config,
    host: &Target,
    options: &Options,
    mut tell: impl FnMut(&str),
) -> Result<(), BenchError> {
    let Some(dependencies) = &config.dependencies else {
        return Err(BenchError::NoDependencies { manifest: config.path.clone() });
    };
    let store = Store::open(context)?;
    let folder = store.temporary()?;
    let folder = Utf8Path::from_path(folder.path()).expect("the cache's path is UTF-8");
    let lockfile = config.folder.join(&dependencies.lockfile.value);
    let node = node(context, config, &store, host)?;
    let peers = Peers::prepare(context, &store, config, host, &node, &lockfile, folder)?;
    let runs = options.runs;
    tell(&format!("{} {}, {runs} runs each, medians\n", config.app.name, config.app.version));
    // Most tables are about this bundle.
    measure::once(&peers.again(context, config))?;
    let bench = Bench { context, config, host, store: &store, node: &node, peers: &peers, runs };
    options.tables.iter().try_for_each(|table| bench.table(*table).map(|text| tell(&text)))
}

struct Bench<'a> {
    context: &'a Context,
    config: &'a Config,
    host: &'a Target,
    store: &'a Store,
    node: &'a Utf8Path,
    peers: &'a Peers,
    runs: u32,
}

impl Bench<'_> {
    fn table(&self, table: Table) -> Result<String, BenchError> {
        let Self { context, config, host, store, node, peers, runs } = *self;
        let few = runs.min(3);
        let compare = |title: &str, what, runs, contenders: &[Contender]| {
            let measured = measure::compare(&context.reporter, what, runs, contenders)?;
            Ok(table::render(title, &measured))
        };
        match table {
            Table::Layout => compare(
                "Closure layout (warm caches, no scripts, production only)",
                "laying out",
                runs,
                &peers.layouts(context, config),
            ),
            Table::Bundle => compare(
                "Whole bundle (downloads cached, nothing packed before)",
                "bundling",
                few,
                &peers.bundles(context, config, host),
            ),
            Table::Targets => {
                let contenders = peers.targets(context, config, host);
                let title = "Every target (downloads cached, nothing packed before)";
                let times = compare(title, "bundling for every target", few, &contenders)?;
                // The last run may have been that of one target.
                measure::once(&contenders[1])?;
                Ok(times + &compressed::run(&peers.archive(config, host))?)
            }
            Table::Again => {
                let copy = updates::copy(context, config, host, peers, store)?;
                let changed = peers.changed(context, config, &copy);
                let again = peers.again(context, config);
                compare("Bundle again", "bundling again", runs, &[again, changed])
            }
            Table::Verify => compare(
                "Checking the bundle, unpacked (all in the page cache)",
                "verifying",
                runs,
                &checks::contenders(context, config, host, peers)?,
            ),
            Table::Updates => updates::run(context, config, host, peers, store),
            Table::Unpacking => unpacking::run(context, config, host, peers, runs),
            Table::Installing => installing::run(context, config, host, peers, store, runs),
            Table::Launcher => launcher::run(context, host, node, peers.folder(), runs * 20),
            Table::Sizes => sizes::run(context, config, host, peers),
        }
    }
}

/// The pinned runtime's executable; every peer that is a script runs under it.
fn node(
    context: &Context,
    config: &Config,
    store: &Store,
    host: &Target,
) -> Result<Utf8PathBuf, BenchError> {
    let no_node = || BenchError::NoPeer { package: "node".to_owned(), version: "as pinned" };
    let lock = Lock::load(config)?;
    let locked =
        lock.runtime(config, host)?.filter(|locked| locked.engine == Engine::Node.as_str());
    let locked = locked.ok_or_else(no_node)?;
    let registry = Registry::load(context, &config.npmrc_folder())?;
    let request = locked.request(&Mirrors::from_context(context, &config.folder)?);
    let mut fetched = fetch::all(context, store, &registry, &[request])?;
    match fetched.remove(&locked.integrity).and_then(|mut tree| tree.remove(&locked.executable)) {
        Some(Node::File(source)) => Ok(source.path()),
        _ => Err(no_node()),
    }
}
