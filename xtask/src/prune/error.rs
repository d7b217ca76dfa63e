//! What can go wrong with pruning, and what is worth a word.

use std::ops::Range;

use camino::Utf8PathBuf;
use miette::Diagnostic;

/// What can go wrong when a tree is pruned. Variants with a place belong to the text of `gangway.toml`; whoever reports
/// them adds it with [`miette::Report::with_source_code`].
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PruneError {
    /// `[prune.rules]` names something else.
    #[error("there is no prune rule `{name}`")]
    UnknownRule {
        /// The name as written.
        name: String,
        /// What to write instead.
        #[help]
        help: String,
        /// Its place.
        #[label("not a rule")]
        span: Range<usize>,
    },
    /// A `keep` pattern that cannot be one.
    #[error("cannot read the pattern `{glob}`")]
    BadGlob {
        /// The pattern as written.
        glob: String,
        /// Its place.
        #[label("not a pattern")]
        span: Range<usize>,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// A file of the tree that cannot be looked into.
    #[error("cannot read `{path}` to see whether it is needed")]
    Read {
        /// The file in the store.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Something in the manifest that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum Finding {
    /// Nothing to keep.
    #[error("the pattern `{glob}` keeps nothing: no file of a dependency matches it")]
    #[diagnostic(
        severity(Warning),
        help(
            "patterns start at the app's folder, as in `node_modules/ws/**`; only dependencies are pruned"
        )
    )]
    KeepsNothing {
        /// The pattern as written.
        glob: String,
        /// Its place.
        #[label("matches nothing")]
        span: Range<usize>,
    },
}
