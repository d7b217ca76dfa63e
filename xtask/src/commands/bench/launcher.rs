//! What the launcher costs over starting the runtime by hand.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, LAUNCH_FILE, LAUNCH_VERSION, Launch, Program};

use super::BenchError;
use super::measure::median;
use crate::context::Context;
use crate::programs;
use crate::target::Target;

/// Starts an empty script both ways in turns, and a program that does nothing at all, to tell the runtime's noise from
/// the launcher's cost.
pub(super) fn run(
    context: &Context,
    host: &Target,
    node: &Utf8Path,
    folder: &Utf8Path,
    runs: u32,
) -> Result<String, BenchError> {
    let bundle = bundle(context, host, node, &folder.join("launched"))?;
    let script = bundle.join("app/nothing.js");
    let runtime = bundle.join("runtime/bin/node");
    let (through, by_hand) =
        in_turns(&bundle.join("bin/nothing"), &[], &runtime, &[script.as_str()], runs)?;
    let nothing = Utf8Path::new("/bin/true");
    let (through_true, true_by_hand) =
        in_turns(&bundle.join("bin/true"), &[], nothing, &[], runs * 5)?;
    Ok(format!(
        "\nLauncher ({runs} starts each, medians)\n  an empty script:        {:>7.2} ms, the runtime by hand {:>7.2} ms\n  a program that ends at once: {:>7.2} ms, by hand {:>7.2} ms; the launcher costs {:.2} ms\n",
        through * 1e3,
        by_hand * 1e3,
        through_true * 1e3,
        true_by_hand * 1e3,
        (through_true - true_by_hand) * 1e3,
    ))
}

fn bundle(
    context: &Context,
    host: &Target,
    node: &Utf8Path,
    folder: &Utf8Path,
) -> Result<Utf8PathBuf, BenchError> {
    let place = |path: &str| BundlePath::new(path).expect("a plain path");
    let program = |runtime: &str, script: Option<&str>| Program {
        runtime: place(runtime),
        runtime_args: Vec::new(),
        script: script.map(place),
        args: Vec::new(),
        environment: None,
    };
    let launch = Launch {
        version: LAUNCH_VERSION,
        programs: BTreeMap::from([
            ("nothing".to_owned(), program("runtime/bin/node", Some("app/nothing.js"))),
            ("true".to_owned(), program("runtime/bin/true", None)),
        ]),
        python: BTreeMap::new(),
    };
    let launcher = programs::obtain(context, programs::Program::Launcher, host.launcher_triple())?;
    let make = || {
        for folder in ["app", "bin", "runtime/bin"].map(|name| folder.join(name)) {
            fs_err::create_dir_all(folder)?;
        }
        fs_err::write(folder.join("app/nothing.js"), "")?;
        fs_err::write(folder.join(LAUNCH_FILE), launch.to_json())?;
        fs_err::copy(node, folder.join("runtime/bin/node"))?;
        fs_err::copy("/bin/true", folder.join("runtime/bin/true"))?;
        fs_err::copy(&launcher, folder.join("bin/nothing"))?;
        fs_err::copy(&launcher, folder.join("bin/true"))
    };
    make().map_err(|source| BenchError::Prepare { path: folder.to_owned(), source })?;
    Ok(folder.to_owned())
}

/// Median seconds of two commands that are started in turns.
fn in_turns(
    one: &Utf8Path,
    one_arguments: &[&str],
    other: &Utf8Path,
    other_arguments: &[&str],
    runs: u32,
) -> Result<(f64, f64), BenchError> {
    let mut times = (Vec::new(), Vec::new());
    start(one, one_arguments)?;
    start(other, other_arguments)?;
    for _ in 0..runs {
        times.0.push(start(one, one_arguments)?);
        times.1.push(start(other, other_arguments)?);
    }
    Ok((median(times.0.into_iter()), median(times.1.into_iter())))
}

fn start(program: &Utf8Path, arguments: &[&str]) -> Result<f64, BenchError> {
    let clock = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|source| BenchError::Prepare { path: program.to_owned(), source })?;
    let time = clock.elapsed().as_secs_f64();
    if status.success() {
        return Ok(time);
    }
    Err(BenchError::Contender {
        contender: program.to_string(),
        status: status.to_string(),
        output: "an empty script should end well".to_owned(),
    })
}
