//! Processes as `/proc` shows them.

use std::collections::HashSet;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};

use super::Process;

/// What the kernel puts behind the path of a program whose file was removed.
const REMOVED: &str = " (deleted)";

/// Every process, with its program.
pub(super) fn programs(versions: &Utf8Path) -> Option<Vec<(u32, Utf8PathBuf)>> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Some(ids.filter_map(|id: u32| Some((id, program(id, versions)?))).collect())
}

fn program(id: u32, versions: &Utf8Path) -> Option<Utf8PathBuf> {
    if let Ok(path) = std::fs::read_link(format!("/proc/{id}/exe")) {
        let path = path.to_str()?;
        return Some(path.strip_suffix(REMOVED).unwrap_or(path).into());
    }
    // Another user's: its arguments are there for all to see, and the launcher starts everything by its whole path.
    let arguments = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let paths = arguments.split(|byte| *byte == 0).take(2);
    let mut paths =
        paths.filter_map(|path| Some(Utf8PathBuf::from(std::str::from_utf8(path).ok()?)));
    paths.find(|path| path.starts_with(versions))
}

/// By the sockets that listen on the port, and those that the processes have open.
pub(super) fn listener(port: u16, among: &[Process]) -> Option<&Process> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let sockets: HashSet<String> =
        tables.into_iter().flatten().flat_map(|table| listening(&table, port)).collect();
    among.iter().find(|process| {
        let open = std::fs::read_dir(format!("/proc/{}/fd", process.id)).into_iter().flatten();
        open.flatten().any(|file| {
            let link = std::fs::read_link(file.path());
            link.is_ok_and(|link| sockets.contains(name(&link)))
        })
    })
}

fn name(link: &Path) -> &str {
    link.to_str().unwrap_or_default()
}

/// The sockets in a table that listen on the port, as links to them are written.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTENING: &str = "0A";
    let port = format!(":{port:04X}");
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let own = rows.filter(|row| {
        row.get(3) == Some(&LISTENING) && row.get(1).is_some_and(|local| local.ends_with(&port))
    });
    own.filter_map(|row| Some(format!("socket:[{}]", row.get(9)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Child, Command, Stdio};

    use super::super::{listener, of_app};
    use super::*;

    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn what_runs_from_a_versions_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("plain").canonicalize_utf8();
        let versions = root.expect("it is there").join("versions");
        let sleep = std::fs::canonicalize("/bin/sleep").expect("every machine has one");
        let start = |version: &str| {
            let program = versions.join(version).join("runtime/sleep");
            std::fs::create_dir_all(program.parent().expect("in a folder")).expect("ours");
            std::fs::copy(&sleep, &program).expect("ours");
            let child =
                Command::new(&program).arg0_of("sleep").arg("1000").stdin(Stdio::null()).spawn();
            Ended(child.expect("it starts"))
        };
        let (old, new) = (start("1.0.0"), start("2.0.0"));
        std::fs::remove_dir_all(versions.join("1.0.0")).expect("ours");
        let found = of_app(&versions).expect("Linux tells");
        let mut told: Vec<_> = found.iter().map(|this| (this.id, this.version.as_str())).collect();
        told.sort_by_key(|(_, version)| version.to_owned());
        assert_eq!(told, [(old.0.id(), "1.0.0"), (new.0.id(), "2.0.0")]);
        assert_eq!(of_app(&versions.join("1.0")), Some(Vec::new()));
        let port = TcpListener::bind(("127.0.0.1", 0)).expect("free");
        let number = port.local_addr().expect("bound").port();
        assert_eq!(listener(number, &found), None);
        let own = Process { id: std::process::id(), version: "0".into(), program: "/x".into() };
        assert_eq!(listener(number, &[found[0].clone(), own.clone()]), Some(&own));
    }

    trait Arg0 {
        fn arg0_of(&mut self, name: &str) -> &mut Self;
    }

    impl Arg0 for Command {
        /// busybox decides by it which program it is.
        fn arg0_of(&mut self, name: &str) -> &mut Self {
            std::os::unix::process::CommandExt::arg0(self, name)
        }
    }
}
