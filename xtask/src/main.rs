//! The builder's program: reads the process's surroundings once, calls the library, prints.

use std::io::Write as _;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser as _;
use gangway_artifact::delta::ranges::Costs;
use gangway_artifact::{Date, Digest, TargetName};
use miette::{Context as _, IntoDiagnostic as _, miette};
use tracing_subscriber::EnvFilter;
use xtask::addons;
use xtask::cli::{self, Cli, Command, Global};
use xtask::commands::{
    bench, bundle, cache, ci, contract, delta, fuzz, layout, lock, release, targets, unpack, verify,
};
use xtask::config::{self, Choice, Config};
use xtask::confine::Confinement;
use xtask::context::Context;
use xtask::release::bundles::Unverified;
use xtask::report::Reporter;
use xtask::target::{self, Target, Targets};
use xtask::verify::{Checking, VerifyError, explain, sarif, table};
use xtask::{confine, programs, smoke, summary};

/// The system's own asks the kernel for a thread's memory a few pages at a time, which takes 5 % of a warm layout.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything starts a thread: a process with threads cannot enter a user namespace.
    if let Some(status) = confine::entered(std::env::args_os()) {
        return status;
    }
    let cli = Cli::parse();
    set_up_messages(&cli.global);
    match run(&cli) {
        Ok(status) => status,
        Err(error) => {
            report(&error, cli.global.json);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> miette::Result<ExitCode> {
    let mut context = context(&cli.global)?;
    let done = match &cli.command {
        Command::Bundle(arguments) => {
            return bundle_command(&mut context, arguments, cli.global.json);
        }
        Command::Verify(arguments) => {
            return Ok(verify_command(&context, arguments, cli.global.json));
        }
        Command::Unpack(arguments) => unpack_command(&context, arguments, cli.global.json),
        Command::Lock(arguments) => lock_command(&context, arguments, cli.global.json),
        Command::Layout(arguments) => layout_command(&mut context, arguments),
        Command::Targets(manifest) => targets_command(&context, manifest, cli.global.json),
        Command::Smoke(arguments) => {
            return Ok(smoke_command(&context, arguments, cli.global.json));
        }
        Command::Contract(arguments) => {
            return contract_command(&context, arguments, cli.global.json);
        }
        Command::Cache(arguments) => {
            let told = cache::run(&context, arguments, cli.global.json)?;
            print(&told.text)?;
            return Ok(if told.is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Delta(arguments) => delta_command(&context, arguments, cli.global.json),
        Command::Release(arguments) => release_command(&context, arguments, cli.global.json),
        Command::Schema => schema_command(&context),
        Command::Bench(arguments) => {
            let host = Targets::built_in().host()?.clone();
            if arguments.scale {
                let mut printed = Ok(());
                bench::scale(&context, &host, &checkout()?, |line| {
                    printed = std::mem::replace(&mut printed, Ok(())).and_then(|()| print(line));
                })?;
                return printed.map(|()| ExitCode::SUCCESS);
            }
            let manifest = manifest(&context, &arguments.manifest, "openclaw")?;
            let config = config::load(&manifest)?;
            let tables = arguments.tables.clone();
            let options = bench::Options { runs: arguments.runs, tables };
            let mut printed = Ok(());
            bench::run(&context, &config, &host, &options, |table| {
                printed =
                    std::mem::replace(&mut printed, Ok(())).and_then(|()| print(table.trim_end()));
            })?;
            printed
        }
        Command::Ci => Ok(ci::run(&context)?),
        Command::Fuzz(arguments) => {
            Ok(fuzz::run(&context, arguments.target.as_deref(), arguments.seconds)?)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn bundle_command(
    context: &mut Context,
    arguments: &cli::Bundle,
    json: bool,
) -> miette::Result<ExitCode> {
    context.offline = arguments.offline;
    context.builder = builder(&context.executable)?;
    let (config, targets) = gateway(context, &arguments.manifest, arguments.runtime.as_ref())?;
    let host = targets.host()?.clone();
    addons::check_targets(&config, &targets)?;
    let mut formats = arguments.formats.clone();
    formats.sort_unstable();
    formats.dedup();
    let options = bundle::Options {
        targets: match (arguments.all, arguments.targets.is_empty()) {
            (true, _) => targets.iter().cloned().collect(),
            (false, true) => vec![host.clone()],
            (false, false) => chosen(&targets, &arguments.targets)?,
        },
        host,
        formats,
        compression: arguments.compression.unwrap_or(config.compression),
        out: context.current_dir.join(&arguments.out),
        confinement: if arguments.unconfined_scripts {
            Confinement::Unconfined
        } else {
            Confinement::Required
        },
        checking: match arguments.no_verify {
            true => Checking::Told,
            false => Checking::Required,
        },
        known_targets: targets.iter().map(|target| target.name.clone()).collect(),
    };
    if arguments.dry_run {
        let (_, plan) = bundle::plan(&config, &options)?;
        print(&if json { to_json(&plan)? } else { plan.lines().join("\n") })?;
        let status = if plan.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        return Ok(status);
    }
    let mut outcome = bundle::run(context, &config, &options)?;
    if options.targets.len() == 1
        && let Some(failure) =
            outcome.failures.pop_if(|failure| !json || failure.findings().is_empty())
    {
        return Err(failure.error.into());
    }
    let made: Vec<_> = outcome.bundles.iter().map(|bundle| bundle.archive.clone()).collect();
    let tries = arguments.smoke && outcome.failures.is_empty();
    if tries && json {
        let reports = tried(context, made, &smoke::Options::default(), |_| Ok(()))?;
        let bundle::Outcome { bundles, failures, warnings, shared_cache } = outcome;
        let told = summary::json(&bundles, failures, &warnings, shared_cache.as_ref());
        print(&to_json(&told.with_smoke(&reports))?)?;
        return Ok(smoke_status(&reports));
    }
    let status = told(context, outcome, json)?;
    if tries {
        return try_bundles(context, made, &smoke::Options::default(), json);
    }
    Ok(status)
}

/// Prints the verdict on a bundle; its status is that of `verify`.
fn verify_command(context: &Context, arguments: &cli::Verify, json: bool) -> ExitCode {
    /// How a command ends that was asked wrongly; clap's own mistakes end so too.
    const USAGE: u8 = 2;
    match verified(context, arguments, json) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err((error, is_usage)) => {
            report(&error, json);
            if is_usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Whether a bundle passes; with an error, whether it is about what was asked.
fn verified(
    context: &Context,
    arguments: &cli::Verify,
    json: bool,
) -> Result<bool, (miette::Report, bool)> {
    let usage = |error: VerifyError| (error.into(), true);
    let plain = |error: miette::Report| (error, false);
    if let Some(code) = &arguments.explain {
        let page = explain::page(code).map_err(usage)?;
        print(page.trim_end()).map_err(plain)?;
        return Ok(true);
    }
    let bundle = arguments.bundle.as_ref().ok_or_else(|| usage(VerifyError::Unnamed))?;
    let bundle = context.current_dir.join(bundle);
    let given = cli::Manifest { manifest: arguments.manifest.clone() };
    let (config, near) = match (&arguments.manifest, config::find(&context.current_dir)) {
        (Some(_), _) => (Some(gateway(context, &given, None)), verify::Near::Named),
        (None, Some(path)) => {
            let found = cli::Manifest { manifest: Some(path) };
            (Some(gateway(context, &found, None)), verify::Near::Found)
        }
        (None, None) => (None, verify::Near::Found),
    };
    let config = config.transpose().map_err(|error| (error, true))?;
    let built_in = Targets::built_in();
    let options = verify::Options {
        bundle: &bundle,
        target: arguments.target.as_deref(),
        manifest: config.as_ref().map(|(config, _)| (config, near)),
        targets: config.as_ref().map_or(&built_in, |(_, targets)| targets),
        deny_unknown: arguments.deny_unknown,
    };
    let outcome = verify::run(context, &options).map_err(|error| {
        let is_usage = error.is_usage();
        (error.into(), is_usage)
    })?;
    tell_verdict(context, arguments, json, &outcome).map_err(plain)?;
    Ok(outcome.judgement.passes())
}

fn tell_verdict(
    context: &Context,
    arguments: &cli::Verify,
    json: bool,
    outcome: &verify::Outcome,
) -> miette::Result<()> {
    if json {
        return print(&to_json(&outcome.json())?);
    }
    let about = outcome.about();
    let verify::Outcome { judgement, verify, warnings, .. } = outcome;
    if arguments.sarif {
        return print(&to_json(&sarif::log(judgement, verify, &about))?);
    }
    for warning in warnings {
        context.reporter.warn(warning);
    }
    /// Where nobody says how wide a line may be.
    const WIDTH: usize = 100;
    let screen = console::Term::stdout().size_checked();
    let width = screen.map_or(WIDTH, |(_, columns)| usize::from(columns));
    let style = table::Style { width, advice: arguments.advice };
    print(&table::of(judgement, verify, &about, style))
}

/// Says what came of every target.
fn told(context: &Context, outcome: bundle::Outcome, json: bool) -> miette::Result<ExitCode> {
    let bundle::Outcome { bundles, failures, warnings, shared_cache } = outcome;
    let status = if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if json {
        print(&to_json(&summary::json(&bundles, failures, &warnings, shared_cache.as_ref()))?)?;
        return Ok(status);
    }
    for (warning, targets) in summary::warnings(&bundles) {
        let of =
            if bundles.len() > 1 { format!(" [{}]", targets.join(", ")) } else { String::new() };
        context.reporter.warn(format!("{warning}{of}"));
    }
    for warning in warnings {
        context.reporter.warn(warning);
    }
    if !bundles.is_empty() {
        print(&summary::of(&bundles, &context.current_dir))?;
    }
    if let Some(used) = &shared_cache {
        print(&summary::shared_cache(used))?;
    }
    for failure in failures {
        let targets: Vec<&str> = failure.targets.iter().map(TargetName::as_str).collect();
        context.reporter.done("Failed", format!("no bundle for {}:", targets.join(", ")));
        report(&failure.error.into(), false);
    }
    Ok(status)
}

fn unpack_command(context: &Context, arguments: &cli::Unpack, json: bool) -> miette::Result<()> {
    let options = unpack::Options {
        archive: context.current_dir.join(&arguments.archive),
        to: context.current_dir.join(&arguments.to),
        memory: u64::from(arguments.memory) << 20,
        sync: arguments.sync,
    };
    let start = std::time::Instant::now();
    let mut done = unpack::run(context, &options)?;
    done.seconds = start.elapsed().as_secs_f64();
    print(&if json { to_json(&done)? } else { done.line() })
}

fn lock_command(context: &Context, arguments: &cli::Lock, json: bool) -> miette::Result<()> {
    let (config, targets) = gateway(context, &arguments.manifest, arguments.runtime.as_ref())?;
    addons::check_targets(&config, &targets)?;
    let host = targets.host()?;
    let chosen = match arguments.targets.as_slice() {
        [] => targets.iter().cloned().collect(),
        names => chosen(&targets, names)?,
    };
    let refresh = if arguments.update { lock::Refresh::All } else { lock::Refresh::Missing };
    let named = match arguments.targets.is_empty() {
        true => lock::Named::All,
        false => lock::Named::Each,
    };
    let outcome = lock::run(context, &config, &chosen, named, host, refresh)?;
    if json {
        return print(&to_json(&outcome.lock)?);
    }
    let state = if outcome.changed { "written" } else { "unchanged" };
    print(&format!("{} {state}\n  {}", outcome.path, outcome.lines().join("\n  ")))
}

fn layout_command(context: &mut Context, arguments: &cli::Layout) -> miette::Result<()> {
    context.offline = arguments.offline;
    let (config, targets) = gateway(context, &arguments.manifest, arguments.runtime.as_ref())?;
    let target = match &arguments.target {
        Some(name) => targets.find(name)?,
        None => targets.host()?,
    };
    let laid = layout::run(context, &config, target, &context.current_dir.join(&arguments.out))?;
    context.reporter.done("Laid out", format!("{} packages, {} files", laid.packages, laid.files));
    Ok(())
}

fn targets_command(context: &Context, given: &cli::Manifest, json: bool) -> miette::Result<()> {
    // Without a manifest there are no targets beside it: Gangway's own are listed all the same.
    let folder = match (&given.manifest, config::find(&context.current_dir)) {
        (Some(_), _) => Some(manifest(context, given, "gateway")?),
        (None, found) => found,
    };
    let targets = match folder.as_deref().and_then(Utf8Path::parent) {
        Some(folder) => Targets::beside(folder)?,
        None => Targets::built_in(),
    };
    print(&if json { to_json(&targets::list(&targets))? } else { targets::table(&targets) })
}

/// Ends with 2 when a bundle could not be tried: 1 says that one failed.
fn smoke_command(context: &Context, arguments: &cli::Smoke, json: bool) -> ExitCode {
    let options =
        smoke::Options { device: arguments.device.clone(), inside: arguments.inside.clone() };
    let paths = arguments.bundles.iter().map(|path| context.current_dir.join(path)).collect();
    match try_bundles(context, paths, &options, json) {
        Ok(status) => status,
        Err(error) => {
            report(&error, json);
            ExitCode::from(2)
        }
    }
}

/// Tries bundles and tells of each.
fn try_bundles(
    context: &Context,
    paths: Vec<Utf8PathBuf>,
    options: &smoke::Options,
    json: bool,
) -> miette::Result<ExitCode> {
    let told = |report: &smoke::Report| if json { Ok(()) } else { print(&report.table()) };
    let reports = tried(context, paths, options, told)?;
    if json {
        print(&to_json(&reports)?)?;
    }
    Ok(smoke_status(&reports))
}

/// Tries one after the other, and hands each on as soon as it is done.
fn tried(
    context: &Context,
    paths: Vec<Utf8PathBuf>,
    options: &smoke::Options,
    told: impl Fn(&smoke::Report) -> miette::Result<()>,
) -> miette::Result<Vec<smoke::Report>> {
    let mut reports = Vec::new();
    for path in paths {
        let report = smoke::run(context, &path, options)?;
        told(&report)?;
        reports.push(report);
    }
    Ok(reports)
}

fn smoke_status(reports: &[smoke::Report]) -> ExitCode {
    let has_failed = reports.iter().any(smoke::Report::has_failed);
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Ends with 2 on errors: 1 says that machines are asked for more.
fn contract_command(
    context: &Context,
    arguments: &cli::Contract,
    json: bool,
) -> miette::Result<ExitCode> {
    let path = |path: &Utf8Path| context.current_dir.join(path);
    let done = match arguments {
        cli::Contract::Show { bundle } => {
            contract::show(&path(bundle)).map_err(miette::Report::from).and_then(|shown| {
                print(&if json { to_json(&shown)? } else { shown.list() })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        cli::Contract::Diff { old, new } => contract::diff(&path(old), &path(new))
            .map_err(miette::Report::from)
            .and_then(|difference| {
                print(&if json { to_json(&difference)? } else { difference.table() })?;
                Ok(ExitCode::from(u8::from(!difference.demanded.is_empty())))
            }),
    };
    Ok(done.unwrap_or_else(|error| {
        report(&error, json);
        ExitCode::from(2)
    }))
}

fn delta_command(context: &Context, arguments: &cli::Delta, json: bool) -> miette::Result<()> {
    let path = |path: &Utf8PathBuf| context.current_dir.join(path);
    let options = delta::Options {
        costs: Costs { request: arguments.request_cost },
        patches: arguments.patches.as_ref().map(path),
    };
    let cost = delta::run(context, &path(&arguments.old), &path(&arguments.new), &options)?;
    print(&if json { to_json(&cost)? } else { cost.table() })
}

fn release_command(context: &Context, arguments: &cli::Release, json: bool) -> miette::Result<()> {
    let path = |path: &Utf8PathBuf| context.current_dir.join(path);
    let base = arguments.base_url.as_deref().map(str::parse).transpose()?;
    let options = release::Options {
        bundles: arguments.bundles.iter().map(path).collect(),
        channel: arguments.channel.clone(),
        out: path(&arguments.out),
        base,
        sequence: arguments.sequence,
        keep: arguments.keep.map(|keep| keep as usize),
        patches: arguments.patches,
        unverified: match arguments.allow_unverified {
            true => Unverified::Allowed,
            false => Unverified::Refused,
        },
    };
    if arguments.dry_run {
        let planned = release::dry_run(context, &options)?;
        return print(&if json { to_json(&planned)? } else { planned.table() });
    }
    let done = release::run(context, &options)?;
    print(&if json { to_json(&done)? } else { done.table() })
}

fn schema_command(context: &Context) -> miette::Result<()> {
    let checkout = checkout()?;
    for (path, schema) in
        [("docs/gangway.schema.json", config::schema()), ("targets/schema.json", target::schema())]
    {
        fs_err::write(checkout.join(path), schema).into_diagnostic()?;
        context.reporter.done("Wrote", path);
    }
    Ok(())
}

/// The manifest with the runtime that was chosen, and the targets it may speak of.
fn gateway(
    context: &Context,
    given: &cli::Manifest,
    choice: Option<&Choice>,
) -> miette::Result<(Config, Targets)> {
    let mut config = config::load(&manifest(context, given, "gateway")?)?;
    let targets = Targets::beside(&config.folder)?;
    let known: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    config.check_targets(&known)?;
    if let Some(choice) = choice {
        config.choose_runtime(choice);
    }
    Ok((config, targets))
}

/// The targets named, each once.
fn chosen(targets: &Targets, names: &[String]) -> miette::Result<Vec<Target>> {
    let mut chosen =
        names.iter().map(|name| targets.find(name).cloned()).collect::<Result<Vec<_>, _>>()?;
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    chosen.dedup_by(|a, b| a.name == b.name);
    Ok(chosen)
}

/// The manifest's path: as given, found from the current folder, or this repository's example.
fn manifest(
    context: &Context,
    given: &cli::Manifest,
    example: &str,
) -> miette::Result<Utf8PathBuf> {
    if let Some(path) = &given.manifest {
        let path = context.current_dir.join(path);
        return Ok(if path.is_dir() { path.join(config::FILE_NAME) } else { path });
    }
    if let Some(path) = config::find(&context.current_dir) {
        return Ok(path);
    }
    match checkout() {
        Ok(checkout) if context.current_dir.starts_with(&checkout) => {
            Ok(checkout.join("examples").join(example).join(config::FILE_NAME))
        }
        _ => Err(miette!(
            help = "go to the gateway's folder, or name its manifest with `--manifest PATH`; docs/manifest.md says what it holds",
            "there is no `{}` in `{}` or above it",
            config::FILE_NAME,
            context.current_dir
        )),
    }
}

fn checkout() -> miette::Result<Utf8PathBuf> {
    programs::source_checkout()
        .map(Utf8Path::to_owned)
        .ok_or_else(|| miette!("this builder does not run from its source checkout"))
}

fn context(global: &Global) -> miette::Result<Context> {
    let utf8 = |text: std::ffi::OsString| text.into_string().ok();
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((utf8(name)?, utf8(value)?)));
    let current_dir = std::env::current_dir()
        .into_diagnostic()
        .wrap_err("cannot tell which folder this is")
        .and_then(|path| Utf8PathBuf::try_from(path).into_diagnostic())?;
    let mut context = Context::new(
        environment.collect(),
        current_dir,
        Utf8PathBuf::new(),
        Reporter::standard_error(),
    );
    context.cache = match (&global.cache, context.variable("GANGWAY_CACHE")) {
        (Some(path), _) => context.current_dir.join(path),
        (None, Some(path)) => context.current_dir.join(path),
        (None, None) => default_cache(&context)?,
    };
    if let Some(jobs) = context.variable("GANGWAY_JOBS").and_then(|jobs| jobs.parse().ok()) {
        context.jobs = jobs;
    }
    // A clock that says it is before 1970 is wrong, and no allowance has ended.
    context.now = std::time::SystemTime::now();
    let since = context.now.duration_since(std::time::UNIX_EPOCH);
    context.today = since.map_or(Date::EPOCH, |since| Date::from_unix(since.as_secs()));
    context.executable = std::env::current_exe()
        .into_diagnostic()
        .wrap_err("cannot find this program's own file")
        .and_then(|path| Utf8PathBuf::try_from(path).into_diagnostic())?;
    Ok(context)
}

fn default_cache(context: &Context) -> miette::Result<Utf8PathBuf> {
    let named =
        context.variable("XDG_CACHE_HOME").map(Utf8PathBuf::from).filter(|path| path.is_absolute());
    named
        .or_else(|| context.home().map(|home| home.join(".cache")))
        .map(|folder| folder.join("gangway"))
        .ok_or_else(|| {
            miette!(
                help = "set HOME, or name a folder with `--cache DIR`",
                "there is no folder for the cache: neither XDG_CACHE_HOME nor HOME is set"
            )
        })
}

/// The builder's version and the digest of its own bytes: a rebuilt builder may do things differently.
fn builder(program: &Utf8Path) -> miette::Result<String> {
    let file = fs_err::File::open(program).into_diagnostic()?;
    let (digest, _) = Digest::of_reader(file).into_diagnostic()?;
    Ok(format!("gangway {} {digest}", env!("CARGO_PKG_VERSION")))
}

fn set_up_messages(global: &Global) {
    let default = match global.verbose {
        0 => "warn",
        1 => "xtask=debug",
        _ => "xtask=trace,reqwest=debug,hyper_util=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
}

fn to_json(value: &impl serde::Serialize) -> miette::Result<String> {
    serde_json::to_string_pretty(value).into_diagnostic()
}

fn print(text: &str) -> miette::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        // Whoever stopped reading has what they wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.into_diagnostic().wrap_err("cannot write to standard output"),
    }
}

fn report(error: &miette::Report, json: bool) {
    // Nothing is left to tell when the reader is gone.
    let _ = if json {
        let mut text = String::new();
        miette::JSONReportHandler::new()
            .render_report(&mut text, error.as_ref())
            .expect("strings grow");
        writeln!(std::io::stdout(), "{text}")
    } else {
        writeln!(std::io::stderr(), "{error:?}")
    };
}
