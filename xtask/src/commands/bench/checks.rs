//! `verify` of the gateway's own bundle, unpacked: beside hashing its files, and beside auditwheel on the same ones.

use camino::{Utf8Path, Utf8PathBuf};

use super::BenchError;
use super::measure::{self, Contender};
use super::peers::Peers;
use crate::config::Config;
use crate::context::Context;
use crate::native::FactsCache;
use crate::target::Target;
use crate::toolchain;

/// What auditwheel is asked for. `uv` brings it, at the version that is named in there.
const AUDITWHEEL: &str = include_str!("read_with_auditwheel.py");

/// Unpacks the bundle. Without `uv` there is no auditwheel to compare with.
pub(super) fn contenders(
    context: &Context,
    config: &Config,
    host: &Target,
    peers: &Peers,
) -> Result<Vec<Contender>, BenchError> {
    let folder = unpack(context, config, host, peers)?;
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let verify = |name: &str, forget| Contender {
        steps: vec![words(&[
            context.executable.as_str(),
            "verify",
            folder.as_str(),
            "--manifest",
            config.path.as_str(),
        ])],
        forget,
        ..peers.contender(context, "gangway", name)
    };
    let facts = peers.cache().join(FactsCache::BUCKET);
    let hash = words(&["sh", "-c", "find \"$0\" -type f -exec sha256sum {} +", folder.as_str()]);
    let mut contenders = vec![
        verify("gangway verify", Vec::new()),
        verify("gangway verify, no facts kept", vec![facts]),
        Contender {
            steps: vec![hash.clone(), hash],
            ..peers.contender(context, "gangway", "sha256sum of every file, twice")
        },
    ];
    if toolchain::on_path(context, "uv").is_some() {
        let script = folder.with_file_name("read_with_auditwheel.py");
        fs_err::write(&script, AUDITWHEEL)
            .map_err(|source| BenchError::Prepare { path: script.clone(), source })?;
        let steps = vec![words(&["uv", "run", "--quiet", script.as_str(), folder.as_str()])];
        let name = "auditwheel, ELF files only";
        contenders.push(Contender { steps, ..peers.contender(context, "gangway", name) });
    }
    Ok(contenders)
}

/// The bundle's folder.
fn unpack(
    context: &Context,
    config: &Config,
    host: &Target,
    peers: &Peers,
) -> Result<Utf8PathBuf, BenchError> {
    let archive = peers.archive(config, host);
    let folder = archive.with_file_name("unpacked");
    fs_err::create_dir_all(&folder)
        .map_err(|source| BenchError::Prepare { path: folder.clone(), source })?;
    let step = ["tar", "--zstd", "-xf", archive.as_str(), "-C", folder.as_str()];
    let unpacked = Contender {
        steps: vec![step.map(str::to_owned).to_vec()],
        ..peers.contender(context, "gangway", "tar")
    };
    measure::once(&unpacked)?;
    Ok(folder.join(Utf8Path::new(&config.app.name)))
}
