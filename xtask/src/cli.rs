//! The command line: what can be said, and nothing of what it does.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use gangway_artifact::delta::ranges::Costs;

use crate::commands::bench::Table;
use crate::config::Choice;
use crate::pack::{Compression, Format};
use crate::upkeep::measure::{Age, Size};

/// Bundle a TypeScript gateway with its own runtime, for every platform, from one Linux box.
#[derive(Debug, Parser)]
#[command(
    name = "gangway",
    bin_name = "cargo xtask",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Say more; twice for everything. `RUST_LOG` chooses by module
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print results and errors as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Where downloads and unpacked packages are kept [default: $GANGWAY_CACHE, else $XDG_CACHE_HOME/gangway, else ~/.cache/gangway]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<Utf8PathBuf>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the bundle of a gateway
    ///
    /// Reads gangway.toml, gangway.lock and the package manager's lockfile, and writes
    /// `<app>-<version>-<target>.tar.zst` with the manifest beside it. Nothing is resolved anew: the same inputs give the
    /// same bytes.
    Bundle(Bundle),
    /// Say whether a bundle runs on the oldest system its target promises
    ///
    /// Looks at every binary inside, runs nothing. Ends with 0 when nothing is known to break, with 1 when something does or the
    /// bundle is damaged, and with 2 when it was asked wrongly.
    Verify(Verify),
    /// Unpack a bundle, and check every byte of it
    ///
    /// What `tar` would make of the archive, in parallel, with little memory, and compared with the digests in its manifest.
    /// The folder gets what is in the archive's own folder. When anything is wrong, nothing is left of it.
    Unpack(Unpack),
    /// Pin the runtime and the build tools in gangway.lock
    Lock(Lock),
    /// Lay out the gateway's node_modules as its bundle would have it before pruning
    ///
    /// What `npm ci --omit=dev --ignore-scripts` would do, for any target: packages for other platforms are left out, no
    /// install script runs. The folder must not hold a node_modules yet.
    Layout(Layout),
    /// List the targets and what they promise
    ///
    /// Gangway's own, and those in `targets/` beside the manifest.
    Targets(Manifest),
    /// Run finished bundles: every program, addon and service, and the gateway up to its health
    ///
    /// Each is unpacked into an empty folder and run on this machine with an empty environment; in another system, by a command
    /// that leads into it; or on a device. What cannot be tried is skipped with the reason. What came of it is written
    /// beside the archive, `<name>.evidence.json`. Ends with 1 when something failed, with 2 when it could not be tried.
    ///
    /// The command is that of `--in`, else of the variable `GANGWAY_SMOKE_<TARGET>`, for instance GANGWAY_SMOKE_JETSON_JP5. It takes
    /// `--bind HOST:GUEST` (twice), `--chdir FOLDER`, `--`, and a program with its arguments. Without one, bundles of
    /// this machine's own platform run on it, and those for Windows by `wine` if that is on the PATH.
    Smoke(Smoke),
    /// Say what bundles need of machines, and what a new one needs that an old one did not
    #[command(subcommand)]
    Contract(Contract),
    /// See what is in the cache, remove what is old, find what is damaged
    #[command(subcommand)]
    Cache(Cache),
    /// Say what an update from one version to the next costs
    ///
    /// Compares two manifests, as the updater on a user's machine does: which files it has already, which frames of the new
    /// archive it fetches, in how many requests. An archive's manifest is read from its end; nothing is unpacked.
    Delta(Delta),
    /// Make a folder that a gateway is installed and updated from
    ///
    /// Takes the `.tar.zst` bundles of one version, with the manifests beside them, and adds what an installer needs: installers for their
    /// platforms, `install.sh`, `install.ps1` and the channel's metadata, which is written last. Any server for files can have the folder,
    /// and so can a stick. Files of a release never change; older releases stay.
    Release(Release),
    /// Write the JSON schemas of gangway.toml and of target files into the source checkout
    Schema,
    /// Compare Gangway with npm, pnpm, bun and tar on this machine
    Bench(Bench),
    /// Run every check that CI runs
    Ci,
    /// Feed the readers and the checks of binaries with inputs that nobody made
    ///
    /// Guided by coverage where there is a nightly compiler and cargo-fuzz; otherwise damaged copies of real files.
    Fuzz(Fuzz),
}

/// Which manifest.
#[derive(Debug, Clone, Args)]
pub struct Manifest {
    /// The manifest, or the folder it is in [default: gangway.toml here or above, else this repository's examples/gateway]
    #[arg(long, value_name = "PATH")]
    pub manifest: Option<Utf8PathBuf>,
}

/// `bundle`
#[derive(Debug, Args)]
pub struct Bundle {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: Manifest,
    /// A target to bundle for; may be given more than once [default: this machine's own]
    #[arg(long = "target", value_name = "TARGET", conflicts_with = "all")]
    pub targets: Vec<String>,
    /// Bundle for every target
    #[arg(long)]
    pub all: bool,
    /// The folder the bundles are written to
    #[arg(long, value_name = "DIR", default_value = "bundles")]
    pub out: Utf8PathBuf,
    /// The archive's format; may be given more than once
    #[arg(long = "format", value_name = "FORMAT", value_enum, default_value = "tar.zst")]
    pub formats: Vec<Format>,
    /// What counts when a .tar.zst is compressed [default: the manifest's, else fast]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub compression: Option<Compression>,
    /// Another runtime than the manifest's, for all targets: `bun`, or `bun@^1.4`; the lock must hold a pin of it
    #[arg(long, value_name = "ENGINE")]
    pub runtime: Option<Choice>,
    /// Run every bundle that this machine can run once it is made; see `smoke`
    #[arg(long, conflicts_with = "dry_run")]
    pub smoke: bool,
    /// Print what would be done, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Use what is in the cache; never the network
    #[arg(long)]
    pub offline: bool,
    /// Let install scripts use the network and write anywhere
    #[arg(long)]
    pub unconfined_scripts: bool,
    /// Make bundles that are known to break on systems their target promises, and mark them as unverified
    #[arg(long)]
    pub no_verify: bool,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// A bundle's archive (.tar.zst, .tar.gz, .zip), or a folder
    #[arg(value_name = "BUNDLE")]
    pub bundle: Option<Utf8PathBuf>,
    /// The target it is judged by [default: the one it was made for]
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// The manifest whose `[verify]` and targets count, or its folder [default: gangway.toml here or above, if it is the same app's]
    #[arg(long, value_name = "PATH")]
    pub manifest: Option<Utf8PathBuf>,
    /// Fail on what cannot be told, too
    #[arg(long)]
    pub deny_unknown: bool,
    /// Show advice in full
    #[arg(long)]
    pub advice: bool,
    /// Print a SARIF 2.1.0 log
    #[arg(long, conflicts_with = "json")]
    pub sarif: bool,
    /// Print the page of a check, by its name or number
    #[arg(long, value_name = "CODE", conflicts_with_all = ["bundle", "sarif"])]
    pub explain: Option<String>,
}

/// `unpack`
#[derive(Debug, Args)]
pub struct Unpack {
    /// A bundle's archive (.tar.zst, .tar.gz, .zip)
    #[arg(value_name = "ARCHIVE")]
    pub archive: Utf8PathBuf,
    /// The folder that becomes the bundle; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    pub to: Utf8PathBuf,
    /// How much memory it may take, in MiB
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(48..))]
    pub memory: u32,
    /// End when everything is on disk, so that it survives a power failure
    #[arg(long)]
    pub sync: bool,
}

/// `smoke`
#[derive(Debug, Args)]
pub struct Smoke {
    /// Archives, or folders they were unpacked to
    #[arg(required = true, value_name = "BUNDLE")]
    pub bundles: Vec<Utf8PathBuf>,
    /// Run them on this machine, by the system's ssh: `ssh://user@host`, `ssh://user@host:port`
    #[arg(long, value_name = "ADDRESS", conflicts_with = "inside")]
    pub device: Option<String>,
    /// Run them by way of this command: words separated by blanks
    #[arg(long = "in", value_name = "COMMAND")]
    pub inside: Option<String>,
}

/// `contract`
#[derive(Debug, Subcommand)]
pub enum Contract {
    /// List what a bundle needs of a machine
    Show {
        /// An archive, the folder it was unpacked to, or a manifest
        bundle: Utf8PathBuf,
    },
    /// Compare two releases: what the new one newly demands of machines
    ///
    /// Ends with 0 when machines that run OLD run NEW, as far as files can say; with 1 when NEW demands something that OLD
    /// did not; with 2 when they cannot be compared.
    Diff {
        /// The bundle that is out there: an archive, the folder it was unpacked to, or a manifest
        old: Utf8PathBuf,
        /// The one that is to follow it
        new: Utf8PathBuf,
    },
}

/// `cache`
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Say what is in the cache: how much of what, and since when
    Stats {
        /// The shared cache that $GANGWAY_SHARED_CACHE names, instead of this machine's
        #[arg(long)]
        shared: bool,
    },
    /// Remove what was not used for long, and formats that are read no more
    ///
    /// What a builder at work may be using stays. Without limits only what is of no use to anybody goes.
    Gc(CacheGc),
    /// Read every byte, compare it with its digest and remove what is damaged
    ///
    /// Ends with 1 when something was. The next build makes or fetches it again.
    Verify,
}

/// `cache gc`
#[derive(Debug, Args)]
pub struct CacheGc {
    /// Remove what was not used for longer: `12h`, `30d`, `2w`
    #[arg(long, value_name = "AGE")]
    pub max_age: Option<Age>,
    /// Remove what was not used for longest until no more than this is left: `500MB`, `10GB`, `10GiB`
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// The shared cache that $GANGWAY_SHARED_CACHE names, instead of this machine's
    #[arg(long)]
    pub shared: bool,
}

/// `delta`
#[derive(Debug, Args)]
pub struct Delta {
    /// The version that is out there: a .tar.zst, or a manifest
    pub old: Utf8PathBuf,
    /// The one that is to follow it
    pub new: Utf8PathBuf,
    /// Make a patch from OLD to NEW in this folder if it costs less than the frames, and list it in `<name>.patches.json` there; both must
    /// be archives
    #[arg(long, value_name = "DIR")]
    pub patches: Option<Utf8PathBuf>,
    /// What a request costs, in bytes that could have come in its time
    #[arg(long, value_name = "BYTES", default_value_t = Costs::default().request)]
    pub request_cost: u64,
}

/// `release`
#[derive(Debug, Args)]
pub struct Release {
    /// Archives that `bundle` made, all of one version
    #[arg(required = true, value_name = "BUNDLE")]
    pub bundles: Vec<Utf8PathBuf>,
    /// The channel they are published in
    #[arg(long, value_name = "NAME", default_value = "stable")]
    pub channel: String,
    /// The release's folder; one that has releases of this app gets one more
    #[arg(long, value_name = "DIR")]
    pub out: Utf8PathBuf,
    /// Where the folder will be: the address in the scripts [default: none, they look beside themselves]
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// The channel's next sequence number, larger than all before [default: one more]
    #[arg(long, value_name = "N")]
    pub sequence: Option<u64>,
    /// Name only the newest releases, and remove the files of those before them [default: all stay]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Make patches from the release before, where they cost less than an update without
    #[arg(long)]
    pub patches: bool,
    /// Publish bundles that were made with `--no-verify`
    #[arg(long)]
    pub allow_unverified: bool,
    /// Say what would be published; nothing is built or written
    #[arg(long)]
    pub dry_run: bool,
}

/// `layout`
#[derive(Debug, Args)]
pub struct Layout {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: Manifest,
    /// The target to lay out for [default: this machine's own]
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Another runtime than the manifest's: `bun`, or `bun@^1.4`; the lock must hold a pin of it
    #[arg(long, value_name = "ENGINE")]
    pub runtime: Option<Choice>,
    /// The folder that gets the node_modules
    #[arg(long, value_name = "DIR")]
    pub out: Utf8PathBuf,
    /// Use what is in the cache; never the network
    #[arg(long)]
    pub offline: bool,
}

/// `lock`
#[derive(Debug, Args)]
pub struct Lock {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: Manifest,
    /// A target to pin the runtime for; may be given more than once [default: all]
    #[arg(long = "target", value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Pin another runtime than the manifest's as well: `bun`, or `bun@^1.4`; pins of other runtimes stay
    #[arg(long, value_name = "ENGINE")]
    pub runtime: Option<Choice>,
    /// Move every pin to the newest version the manifest allows
    #[arg(long)]
    pub update: bool,
}

/// `bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// Which manifest; its gateway is what is measured [default: this repository's examples/openclaw]
    #[command(flatten)]
    pub manifest: Manifest,
    /// How often each thing is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// The tables, separated by commas [default: all of them; `sizes` takes longest]
    #[arg(long, value_name = "TABLES", value_enum, value_delimiter = ',', hide_default_value = true, default_values_t = Table::value_variants().to_vec(), conflicts_with = "scale")]
    pub tables: Vec<Table>,
    /// Bundle and unpack gateways of 25,000 to 200,000 files instead, and write docs/scale.md; takes 15 GB of disk
    #[arg(long)]
    pub scale: bool,
}

/// `fuzz`
#[derive(Debug, Args)]
pub struct Fuzz {
    /// The target, a file of fuzz/fuzz_targets [default: each in turn]
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// How long, for each target
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
}
