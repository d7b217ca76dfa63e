//! What gave way to data that was brought back returns to its place: the version that data is of is not used after all.
//!
//! It is moved back as it is. What was in place meanwhile goes if it is the copy still, and otherwise is kept beside it: a program wrote
//! something into it.

use gangway_artifact::Digest;

use super::error::SnapshotError;
use super::exchange::{Move, free, is_untouched, switch};
use super::restore::{Phase, Record, Replaced, Restored};
use super::store::Store;
use super::{Checkpoint, listing, tree};

impl Store {
    /// Lets the folders that changed places change them once more.
    pub(super) fn give_back(
        &self,
        mut record: Record,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Restored, SnapshotError> {
        let mut back = Vec::new();
        for this in std::mem::take(&mut record.moves) {
            if record.phase == Phase::Switching && is_untouched(&this) {
                record.useless.push(this.new);
                continue;
            }
            if record.phase == Phase::Switching {
                // From the middle of it there is no way back.
                switch(&this, checkpoint)?;
            }
            let aside = free(&this.path, "during-rollback", &record.stamp);
            back.push(this.reversed(aside));
        }
        record.moves = back;
        record.phase = Phase::Returning;
        self.note(&record)?;
        checkpoint("return: begun");
        self.go_on_giving_back(record, checkpoint)
    }

    /// The same from wherever it was killed. Says where what was written meanwhile is.
    pub(super) fn go_on_giving_back(
        &self,
        mut record: Record,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Restored, SnapshotError> {
        self.switch_all(&record, checkpoint)?;
        checkpoint("return: switched");
        let (copies, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut record.moves).into_iter().partition(is_copy);
        record.useless.extend(copies.into_iter().map(|this| this.aside));
        record.moves = others;
        // Whoever is killed while they are removed would take what is left of them for something that a program wrote.
        self.note(&record)?;
        checkpoint("return: compared");
        for path in &record.useless {
            tree::remove(path.as_std_path())?;
        }
        let written = record.moves.into_iter().filter(|this| this.aside.symlink_metadata().is_ok());
        let folders = written.map(|Move { path, aside, .. }| Replaced { path, aside: Some(aside) });
        Ok(Restored { of: record.of, folders: folders.collect() })
    }
}

/// Whether what was in place meanwhile is the copy that was brought back, and nothing else.
fn is_copy(this: &Move) -> bool {
    let now = listing::of(this.aside.as_std_path()).map(Digest::of);
    this.list.is_some_and(|list| now.is_ok_and(|now| now == list))
}
