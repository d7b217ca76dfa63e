//! Running contenders in turns and timing them.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::BenchError;
use crate::report::Reporter;

/// One command of a comparison.
#[derive(Debug)]
pub(super) struct Contender {
    /// Its name in the table.
    pub(super) name: String,
    /// What is done before each run, untimed; program and arguments, one after the other.
    pub(super) before: Vec<Vec<String>>,
    /// Program and arguments, one after the other; all of them are timed together.
    pub(super) steps: Vec<Vec<String>>,
    /// Where it runs.
    pub(super) folder: Utf8PathBuf,
    /// Its whole environment.
    pub(super) environment: Vec<(String, String)>,
    /// Files and folders that are moved out of the way before each run, untimed.
    pub(super) set_aside: Vec<Utf8PathBuf>,
    /// Folders of the cache that are deleted before each run, untimed: what was made before must be made again.
    pub(super) forget: Vec<Utf8PathBuf>,
    /// The file whose size tells what came out, if that is part of the comparison.
    pub(super) product: Option<Utf8PathBuf>,
}

/// What was measured of one contender.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) name: String,
    /// Median of the wall time in seconds.
    pub(super) wall: f64,
    /// Median of user and system time of the command and its children, in seconds.
    pub(super) cpu: f64,
    /// Size of the product in bytes.
    pub(super) size: Option<u64>,
}

/// Runs every contender once without a clock, then `runs` times in turns. Each round begins with another contender, so
/// that none is always measured right after the same one.
pub(super) fn compare(
    reporter: &Reporter,
    what: &'static str,
    runs: u32,
    contenders: &[Contender],
) -> Result<Vec<Measured>, BenchError> {
    let progress = reporter.count(what, u64::from(runs + 1) * contenders.len() as u64);
    let mut samples: Vec<Vec<(f64, f64)>> = vec![Vec::new(); contenders.len()];
    for round in 0..=runs {
        for turn in 0..contenders.len() {
            let index = (round as usize + turn) % contenders.len();
            let (contender, samples) = (&contenders[index], &mut samples[index]);
            progress.message(contender.name.clone());
            let sample = once(contender)?;
            if round > 0 {
                samples.push(sample);
            }
            progress.advance(1);
        }
    }
    let measured = |(contender, samples): (&Contender, Vec<(f64, f64)>)| Measured {
        name: contender.name.clone(),
        wall: median(samples.iter().map(|(wall, _)| *wall)),
        cpu: median(samples.iter().map(|(_, cpu)| *cpu)),
        size: contender
            .product
            .as_ref()
            .and_then(|path| path.metadata().ok())
            .map(|metadata| metadata.len()),
    };
    Ok(contenders.iter().zip(samples).map(measured).collect())
}

pub(super) fn once(contender: &Contender) -> Result<(f64, f64), BenchError> {
    measured(contender, |_| {})
}

/// The same, and the most memory that the command and its children had at the same time, in bytes. Looking at them takes
/// time of its own: what is compared is measured without.
pub(super) fn with_memory(contender: &Contender) -> Result<((f64, f64), u64), BenchError> {
    let mut most = 0;
    let sample = measured(contender, |process| {
        // A peak that lies between two looks is seen at the second: the kernel keeps it.
        while is_running(process) {
            most = most.max(memory_of(process));
            std::thread::sleep(Duration::from_millis(3));
        }
    })?;
    Ok((sample, most))
}

/// The most memory that a contender has at the same time, in bytes.
pub(super) fn peak_memory(contender: &Contender) -> Result<u64, BenchError> {
    with_memory(contender).map(|(_, memory)| memory)
}

/// Deletes what was moved out of the way, and what was made last: a table of folders may take gigabytes.
pub(super) fn tidy(contenders: &[Contender]) {
    for path in contenders.iter().flat_map(|contender| &contender.set_aside) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let Ok(entries) = folder.read_dir_utf8() else { continue };
        let is_one = |entry: &camino::Utf8DirEntry| {
            let rest = entry.file_name().strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        for entry in entries.flatten().filter(is_one) {
            // What cannot be deleted now goes with the bench's folder.
            let _ = fs_err::remove_dir_all(entry.path());
        }
    }
}

/// Deletes what must be made again.
fn forget(contender: &Contender) -> Result<(), BenchError> {
    for path in &contender.forget {
        if path.exists() {
            fs_err::remove_dir_all(path)
                .map_err(|source| BenchError::Prepare { path: path.clone(), source })?;
        }
    }
    Ok(())
}

fn measured(
    contender: &Contender,
    mut meanwhile: impl FnMut(u32),
) -> Result<(f64, f64), BenchError> {
    forget(contender)?;
    for path in &contender.set_aside {
        set_aside(path).map_err(|source| BenchError::Prepare { path: path.clone(), source })?;
    }
    for step in &contender.before {
        run(contender, step, |_| {})?;
    }
    // What was written before goes to disk now; otherwise it would while the next one is measured.
    rustix::fs::sync();
    let cpu = children_seconds();
    let start = Instant::now();
    for step in &contender.steps {
        run(contender, step, &mut meanwhile)?;
    }
    Ok((start.elapsed().as_secs_f64(), children_seconds() - cpu))
}

/// Runs one step to its end, and `meanwhile` beside it.
fn run(
    contender: &Contender,
    step: &[String],
    mut meanwhile: impl FnMut(u32),
) -> Result<(), BenchError> {
    let (program, arguments) = step.split_first().expect("a step has a program");
    let prepare = |source| BenchError::Prepare { path: program.into(), source };
    let child = Command::new(program)
        .args(arguments)
        .current_dir(&contender.folder)
        .env_clear()
        .envs(contender.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(prepare)?;
    let process = child.id();
    let output = std::thread::scope(|scope| {
        let output = scope.spawn(|| child.wait_with_output());
        meanwhile(process);
        output.join().expect("waiting does not panic")
    })
    .map_err(prepare)?;
    if output.status.success() {
        return Ok(());
    }
    Err(BenchError::Contender {
        contender: contender.name.clone(),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    })
}

/// Whether a process of ours has not ended.
fn is_running(process: u32) -> bool {
    let stat = fs_err::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// The highest resident size of a process so far, and of those that it started and that still run.
fn memory_of(process: u32) -> u64 {
    let read = |path: String| fs_err::read_to_string(path).unwrap_or_default();
    let status = read(format!("/proc/{process}/status"));
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let children = read(format!("/proc/{process}/task/{process}/children"));
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    kilobytes.unwrap_or_default() * 1024 + children.map(memory_of).sum::<u64>()
}

/// Moves what an earlier run made out of the way. It is not deleted before all is measured: ext4 looks long for an inode
/// when thousands were freed in the last seconds, and that would be measured instead.
fn set_aside(path: &Utf8Path) -> std::io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let aside = Utf8PathBuf::from(format!("{path}.{count}"));
    match fs_err::rename(path, aside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

/// User and system time of all children that were waited for, in seconds: the fields `cutime` and `cstime` of
/// proc_pid_stat(5), in ticks of 1/100 s on every Linux we build on.
fn children_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name and may hold blanks; it ends with the last parenthesis.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = |index| {
        fields.split_ascii_whitespace().nth(index).and_then(|field| field.parse::<f64>().ok())
    };
    (ticks(13).unwrap_or_default() + ticks(14).unwrap_or_default()) / TICKS_PER_SECOND
}

/// The middle value; of an even number of them the mean of the two in the middle.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_children_too() {
        let contender = Contender {
            name: "sh".to_owned(),
            before: Vec::new(),
            // The shell waits for its child, which has as much as it reads at once.
            steps: vec![
                ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=40M count=20 2>&1; true"]
                    .map(str::to_owned)
                    .to_vec(),
            ],
            folder: "/".into(),
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            set_aside: Vec::new(),
            forget: Vec::new(),
            product: None,
        };
        let (_, memory) = with_memory(&contender).expect("it runs");
        assert!((40 << 20..80 << 20).contains(&memory), "{memory}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
