//! A stranger's side: the gateway installed from a server on this machine and updated, beside npm's global installation and beside what a
//! shell does with `curl` and `tar`.
//!
//! Every contender begins with nothing but what its user would have: npm its cache and a Node, the installer its own program. The
//! server sends from the page cache, so what is compared is the work and not a network.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trust::Channel;
use serde_json::Value;

use super::measure::{self, Contender, Measured};
use super::peers::Peers;
use super::range_server::RangeServer;
use super::{BenchError, updates};
use crate::config::Config;
use crate::context::Context;
use crate::store::Store;
use crate::summary::size;
use crate::target::Target;

const CHANNEL: &str = "stable";

/// What was measured of one contender, and what its server sent for it.
struct Row {
    measured: Measured,
    memory: u64,
    sent: Option<u64>,
}

/// Publishes two versions that differ in one file, and installs them.
pub(super) fn run(
    context: &Context,
    config: &Config,
    host: &Target,
    peers: &Peers,
    store: &Store,
    runs: u32,
) -> Result<String, BenchError> {
    let folder = peers.folder().join("installing");
    let bench = Bench { context, config, peers, folder: &folder };
    let [old, new] = updates::two_versions(context, config, host, peers, store)?;
    let (first, both) = (folder.join("first"), folder.join("both"));
    bench.release(&first, &[&old])?;
    bench.release(&both, &[&old])?;
    bench.release(&both, &[&new])?;
    let prepare = |source| BenchError::Prepare { path: folder.clone(), source };
    let servers =
        [RangeServer::start(&first).map_err(prepare)?, RangeServer::start(&both).map_err(prepare)?];

    let installer = installer(&first)?;
    let installs = bench.installs(&installer, &servers[0], &old);
    let rows = bench.measure("installing", runs, &installs, &servers[0])?;
    let mut text = render("Installing it from a server on this machine", &rows);
    let updates = bench.updates(&installer, &servers);
    let rows = bench.measure("updating", runs, &updates, &servers[1])?;
    text += &render("Updating it, one file changed", &rows);
    Ok(text)
}

struct Bench<'a> {
    context: &'a Context,
    config: &'a Config,
    peers: &'a Peers,
    folder: &'a Utf8Path,
}

impl Bench<'_> {
    /// Adds bundles to the folder of releases.
    fn release(&self, folder: &Utf8Path, bundles: &[&Utf8Path]) -> Result<(), BenchError> {
        let mut step = words(&[self.context.executable.as_str(), "release"]);
        step.extend(bundles.iter().map(ToString::to_string));
        step.extend(words(&["--channel", CHANNEL, "--out", folder.as_str()]));
        let contender = Contender {
            steps: vec![step],
            folder: self.config.folder.clone(),
            ..self.peers.contender(self.context, "gangway", "gangway release")
        };
        measure::once(&contender).map(drop)
    }

    fn installs(
        &self,
        installer: &Utf8Path,
        server: &RangeServer,
        archive: &Utf8Path,
    ) -> Vec<Contender> {
        let ours = self.place("ours");
        let by_tar = self.place("tar");
        let name = archive.file_name().unwrap_or_default();
        let pipe =
            format!("curl -fsS --noproxy '*' {}{name} | tar --zstd -x -C {by_tar}", server.url());
        let tar = vec![words(&["mkdir", by_tar.as_str()]), words(&["sh", "-c", &pipe])];
        // What is started has memory of its own, and takes its time.
        let mut untried = self.install(installer, server);
        untried.extend(words(&["--trial", "none"]));
        let mut contenders = vec![
            self.contender(
                "installer install, every byte checked",
                &ours,
                vec![self.install(installer, server)],
            ),
            self.contender("installer install --trial none", &ours, vec![untried]),
            self.contender("curl | tar --zstd -x, nothing checked", &by_tar, tar),
        ];
        contenders.extend(self.npm());
        contenders
    }

    /// npm, if the gateway is a package of the same name: what its users do today.
    fn npm(&self) -> Option<Contender> {
        let text = fs_err::read(self.config.folder.join("package.json")).ok()?;
        let package: Value = serde_json::from_slice(&text).ok()?;
        let name = &self.config.app.name;
        let version = package["dependencies"][name].as_str()?;
        let place = self.place("npm");
        let package = format!("{name}@{version}");
        let step = self.peers.npm(&[
            "install",
            "--global",
            "--prefix",
            place.as_str(),
            "--prefer-offline",
            "--no-audit",
            "--no-fund",
            &package,
        ]);
        let contender =
            self.peers.contender(self.context, "npm", "npm install --global, warm cache");
        Some(Contender { steps: vec![step], set_aside: vec![place], ..contender })
    }

    fn updates(&self, installer: &Utf8Path, servers: &[RangeServer; 2]) -> Vec<Contender> {
        let place = self.place("ours");
        let url = servers[1].url();
        let update = ["update", "--prefix", place.as_str(), "--from", &url, "--yes"];
        let update = [&[installer.as_str()], &update[..]].concat();
        let untried = [&update[..], &["--trial", "none"]].concat();
        let contender = |name: &str, step: &[&str]| Contender {
            before: vec![self.install(installer, &servers[0])],
            ..self.contender(name, &place, vec![words(step)])
        };
        vec![
            contender("installer update", &update),
            contender("installer update --trial none", &untried),
        ]
    }

    fn install(&self, installer: &Utf8Path, server: &RangeServer) -> Vec<String> {
        let place = self.place("ours");
        let bin = place.join("bin-links");
        words(&[
            installer.as_str(),
            "install",
            "--from",
            &server.url(),
            "--channel",
            CHANNEL,
            "--prefix",
            place.as_str(),
            "--bin-dir",
            bin.as_str(),
            "--no-modify-path",
            "--yes",
        ])
    }

    fn place(&self, name: &str) -> Utf8PathBuf {
        self.folder.join(format!("by-{name}"))
    }

    fn contender(&self, name: &str, place: &Utf8Path, steps: Vec<Vec<String>>) -> Contender {
        Contender {
            steps,
            set_aside: vec![place.to_owned()],
            ..self.peers.contender(self.context, "gangway", name)
        }
    }

    /// Times all of them; then each once more, for its memory and for what it downloads.
    fn measure(
        &self,
        what: &'static str,
        runs: u32,
        contenders: &[Contender],
        server: &RangeServer,
    ) -> Result<Vec<Row>, BenchError> {
        let measured = measure::compare(&self.context.reporter, what, runs, contenders)?;
        let rows = measured.into_iter().zip(contenders).map(|(measured, contender)| {
            let before = server.sent();
            let memory = measure::peak_memory(contender)?;
            let sent = Some(server.sent() - before).filter(|&sent| sent > 0);
            Ok(Row { measured, memory, sent })
        });
        let rows = rows.collect();
        measure::tidy(contenders);
        rows
    }
}

/// The installer for this machine, which the first release brings.
fn installer(folder: &Utf8Path) -> Result<Utf8PathBuf, BenchError> {
    let path = folder.join(format!("{CHANNEL}.json"));
    let prepare = |source| BenchError::Prepare { path: path.clone(), source };
    let bytes = fs_err::read(&path).map_err(prepare)?;
    let channel =
        Channel::from_json(&bytes).map_err(|error| prepare(std::io::Error::other(error)))?;
    let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let mut programs = channel.releases.iter().flat_map(|release| &release.installers);
    let program = programs.find(|program| program.triple == triple);
    let program = program.ok_or_else(|| prepare(std::io::ErrorKind::NotFound.into()))?;
    Ok(folder.join(&program.file.name))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn render(title: &str, rows: &[Row]) -> String {
    let mut text = format!("\n{title}\n");
    let width = rows.iter().map(|row| row.measured.name.len()).max().unwrap_or_default();
    let first = rows.first().map_or(f64::NAN, |row| row.measured.wall);
    for Row { measured: Measured { name, wall, cpu, .. }, memory, sent } in rows {
        let (ratio, memory) = (wall / first, size(*memory));
        let sent = sent.map(|sent| format!("{:>11} sent", size(sent))).unwrap_or_default();
        writeln!(
            text,
            "  {name:<width$} {wall:>9.3} s {cpu:>9.2} s CPU {ratio:>7.2}x {memory:>11} of memory{sent}"
        )
        .expect("strings grow");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_memory_and_bytes() {
        let row = |name: &str, wall, sent| Row {
            measured: Measured { name: name.to_owned(), wall, cpu: 1.0, size: None },
            memory: 50_000_000,
            sent,
        };
        let rows = [row("installer install", 1.5, Some(142_000_000)), row("npm", 6.0, None)];
        insta::assert_snapshot!(render("Installing it", &rows), @r"

        Installing it
          installer install     1.500 s      1.00 s CPU    1.00x    50.00 MB of memory  142.00 MB sent
          npm                   6.000 s      1.00 s CPU    4.00x    50.00 MB of memory
        ");
    }
}
