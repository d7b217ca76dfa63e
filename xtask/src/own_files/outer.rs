//! What the `.gitignore` files of a workspace say about one package of it.
//!
//! Git reads those of all folders up to the repository's root. Here only the workspace's own count: what lies above it is
//! not the gateway's, and may well ignore the whole checkout.

use camino::Utf8PathBuf;
use ignore::Match;
use ignore::gitignore::Gitignore;

use crate::config::Config;

/// The rules of the folders above the gateway's, up to the workspace's, nearest first.
pub(super) struct OuterRules {
    folder: Utf8PathBuf,
    rules: Vec<Gitignore>,
}

impl OuterRules {
    /// Reads them. Without a workspace there are none.
    pub(super) fn of(config: &Config) -> Self {
        let depth =
            config.dependencies.as_ref().map_or(0, |found| found.member.components().count());
        let folder = config.folder.canonicalize_utf8().unwrap_or_else(|_| config.folder.clone());
        let files = folder.ancestors().skip(1).take(depth).map(|above| above.join(".gitignore"));
        // A line that is no pattern excludes nothing, as with Git.
        let rules =
            files.filter(|file| file.is_file()).map(|file| Gitignore::new(file).0).collect();
        Self { folder, rules }
    }

    /// Whether the file at `path` in the gateway's folder is ignored.
    pub(super) fn exclude(&self, path: &str) -> bool {
        let file = self.folder.join(path);
        let verdicts = self.rules.iter().map(|rules| {
            // The folders between are judged too, but not the gateway's own: whoever bundles it wants it.
            let mut is_folder = false;
            let levels = file.ancestors().take_while(|level| *level != self.folder);
            let verdict = levels.map(|level| {
                let verdict = rules.matched(level, is_folder);
                is_folder = true;
                verdict
            });
            verdict.into_iter().find(|verdict| !verdict.is_none()).unwrap_or(Match::None)
        });
        verdicts
            .into_iter()
            .find(|verdict| !verdict.is_none())
            .is_some_and(|verdict| verdict.is_ignore())
    }
}
