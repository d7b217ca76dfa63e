//! What was bundled before: with nothing changed, a second run finds the first one's archive and is done.
//!
//! A key names everything that goes into an archive. A record is only believed when the archive and the manifest
//! in the output folder still have the digests it names.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;

use super::{Bundle, BundleError, Options};
use crate::config::Config;
use crate::context::Context;
use crate::own_files::OwnFiles;
use crate::pack::Format;
use crate::plan::{Inputs, TargetPlan};
use crate::services::Sources;
use crate::store;
use crate::tree::{Node, Tree};

/// Where the records are in the cache.
pub(crate) const BUCKET: &str = "bundles-v1";

/// The digest of everything that goes into an archive.
#[derive(Debug, Clone)]
pub(super) struct Key(Digest);

/// Makes the keys of one command: what all targets share is hashed once.
#[derive(Debug)]
pub(super) struct Keys {
    shared: String,
}

impl Keys {
    pub(super) fn new(
        context: &Context,
        inputs: &Inputs,
        own: &OwnFiles,
        services: &Sources,
        config: &Config,
        options: &Options,
    ) -> Self {
        let Options { confinement, checking, compression, .. } = options;
        let mut shared =
            format!("{}\n{confinement:?}\n{checking:?}\n{compression:?}\n", context.builder);
        if let Some(choice) = config.chosen_runtime() {
            line(&mut shared, format!("runtime {choice}"));
        }
        for text in [config.source.inner(), &inputs.lock.to_string()] {
            line(&mut shared, Digest::of(text));
        }
        for (path, text) in inputs.lockfile.iter().chain(&inputs.package_json) {
            line(
                &mut shared,
                format!("{} {}", path.file_name().unwrap_or_default(), Digest::of(text)),
            );
        }
        for (path, text) in &inputs.patches {
            line(&mut shared, format!("{path} {}", Digest::of(text)));
        }
        // The same package.json and lockfile mean something else in another place of the workspace.
        line(&mut shared, &inputs.member);
        for tree in own.trees() {
            line(&mut shared, digest(tree));
        }
        for service in services.lines() {
            line(&mut shared, service);
        }
        Self { shared }
    }

    pub(super) fn of(
        &self,
        target: &TargetPlan,
        launcher: &Utf8Path,
        format: Format,
    ) -> Result<Key, BundleError> {
        let launcher = fs_err::read(launcher)
            .map_err(|source| BundleError::Read { path: launcher.to_owned(), source })?;
        let text = format!(
            "{}{} {} {} {}",
            self.shared,
            target.target,
            format.extension(),
            Digest::of(launcher),
            // A user's own target may promise something else today.
            Digest::of(format!("{:?}", target.data))
        );
        Ok(Key(Digest::of(text)))
    }
}

/// The bundle of an earlier run with the same key, if its archive is still there and whole.
pub(super) fn find(context: &Context, key: &Key, out: &Utf8Path) -> Option<Bundle> {
    let path = path(&context.cache, key);
    let text = fs_err::read(&path).ok()?;
    let bundle: Bundle = serde_json::from_slice(&text).ok()?;
    let archive = out.join(bundle.archive.file_name()?);
    let manifest = out.join(bundle.manifest.file_name()?);
    let same = |path: &Utf8Path, digest| {
        fs_err::File::open(path).and_then(Digest::of_reader).is_ok_and(|(found, _)| found == digest)
    };
    let whole = same(&manifest, bundle.manifest_sha256) && same(&archive, bundle.sha256);
    whole.then(|| store::touch(&path, context.now));
    whole.then_some(Bundle { archive, manifest, reused: true, ..bundle })
}

/// Remembers a finished bundle. That it could not be remembered only costs the next run its time.
pub(super) fn save(context: &Context, key: &Key, bundle: &Bundle) {
    let path = path(&context.cache, key);
    let text = serde_json::to_vec(bundle).expect("strings and numbers only");
    let write = || {
        let folder = path.parent().expect("it is below the cache");
        fs_err::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, &text)?;
        file.persist(&path).map_err(std::io::Error::from)
    };
    if let Err(error) = write() {
        tracing::warn!(%path, %error, "cannot remember the bundle");
    }
}

fn path(cache: &Utf8Path, key: &Key) -> Utf8PathBuf {
    cache.join(BUCKET).join(format!("{}.json", key.0))
}

fn digest(tree: &Tree) -> Digest {
    let mut text = String::new();
    for (path, node) in tree.iter() {
        match node {
            Node::File(source) => {
                line(&mut text, format!("{path} {} {}", source.executable, source.sha256));
            }
            Node::Link(target) => line(&mut text, format!("{path} -> {target}")),
        }
    }
    Digest::of(text)
}

fn line(text: &mut String, value: impl std::fmt::Display) {
    writeln!(text, "{value}").expect("strings grow");
}

#[cfg(test)]
mod tests;
