//! What can go wrong when the cache is looked after.

use camino::Utf8PathBuf;
use miette::Diagnostic;

use crate::shared_cache::SharedCacheError;
use crate::store::StoreError;

/// What can go wrong when the cache is looked after.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum UpkeepError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Shared(#[from] SharedCacheError),
    /// A folder could not be listed.
    #[error("cannot list `{path}`")]
    List {
        path: Utf8PathBuf,
        #[source]
        source: std::io::Error,
    },
}
