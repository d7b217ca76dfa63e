//! Processes as `ps` lists them.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use super::Process;

/// Every process, with its program.
pub(super) fn programs(_: &Utf8Path) -> Option<Vec<(u32, Utf8PathBuf)>> {
    let mut ps = Command::new("/bin/ps");
    ps.args(["-axww", "-o", "pid=", "-o", "comm="]).env_clear().stdin(Stdio::null());
    let output = ps.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let row = |line: &str| {
        let (id, program) = line.trim_start().split_once(' ')?;
        Some((id.parse().ok()?, Utf8PathBuf::from(program.trim())))
    };
    Some(text.lines().filter_map(row).collect())
}

/// Nothing tells that without another program.
pub(super) fn listener(_: u16, _: &[Process]) -> Option<&'static Process> {
    None
}
