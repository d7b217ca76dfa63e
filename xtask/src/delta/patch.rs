//! Makes patches: what `docs/delta.md` describes and `gangway_artifact::delta::patch` reads.

use bidiff::{DiffParams, Translator};
use gangway_artifact::delta::Update;
use gangway_artifact::delta::patch::{
    self, Head, Instruction, MOST_NEW, MOST_OLD, PATCH_MAGIC, PATCH_VERSION, Step,
};
use rayon::prelude::*;

use super::sketch::{self, Sketch};
use super::{Bundle, UpdateError};
use crate::context::Context;

/// Mostly zeros, in a patch between releases that are near each other: the slowest levels are affordable.
const LEVEL: i32 = 19;

/// The bytes of the patch that makes `update` from `old` to `new`.
///
/// # Errors
/// When one of them is no archive, or damaged.
pub fn make(
    context: &Context,
    old: &Bundle,
    new: &Bundle,
    update: &Update<'_>,
) -> Result<Vec<u8>, UpdateError> {
    let sizes = (old.text.len() as u64, new.text.len() as u64);
    let sketches = sketch::all(&old.manifest, &new.manifest, sizes, &update.fetched);
    let (mut before, mut after) = (old.reader()?, new.reader()?);
    let progress = context.reporter.count("Comparing", sketches.len() as u64);
    let (mut steps, mut frames) = (Vec::new(), Vec::new());
    let mut sketches = sketches.into_iter();
    loop {
        let batch: Vec<Sketch> = sketches.by_ref().take(context.jobs.get()).collect();
        if batch.is_empty() {
            break;
        }
        let contents =
            batch.iter().map(|sketch| Ok((before.read(&sketch.old)?, after.read(&sketch.new)?)));
        let contents = contents.collect::<Result<Vec<_>, UpdateError>>()?;
        let edits = contents.par_iter().map(|(old, new)| {
            let edit = difference(old, new);
            let frame = compress(&edit)?;
            progress.advance(1);
            Ok((edit.len() as u64, frame))
        });
        let edits = edits.collect::<Result<Vec<_>, UpdateError>>()?;
        for (Sketch { old, new }, (plain, frame)) in batch.into_iter().zip(edits) {
            steps.push(Step { size: frame.len() as u64, plain, old, new });
            frames.push(frame);
        }
    }
    let head = Head { version: PATCH_VERSION, from: old.digest(), to: new.digest(), steps };
    let head = serde_json::to_vec(&head).expect("texts and numbers");
    let head = compress(&head)?;
    let length = u32::try_from(head.len()).expect("a list of files, compressed").to_le_bytes();
    Ok([&PATCH_MAGIC[..], &length, &head, &frames.concat()].concat())
}

/// The edit that makes `new` of `old`.
fn difference(old: &[u8], new: &[u8]) -> Vec<u8> {
    debug_assert!(old.len() as u64 <= MOST_OLD && new.len() as u64 <= MOST_NEW);
    let (mut instructions, mut adds, mut copies) = (Vec::new(), Vec::new(), Vec::new());
    if old.is_empty() {
        instructions.push(Instruction { add: 0, copy: new.len() as u64, seek: 0 });
        return patch::write(&instructions, &[], new);
    }
    let mut translator = Translator::new(old, new, |control| {
        let (add, copy) = (control.add.len() as u64, control.copy.len() as u64);
        instructions.push(Instruction { add, copy, seek: control.seek });
        adds.extend_from_slice(control.add);
        copies.extend_from_slice(control.copy);
        Ok::<_, std::convert::Infallible>(())
    });
    let Ok(()) =
        bidiff::diff(old, new, &DiffParams::default(), |found| translator.translate(found));
    let Ok(()) = translator.close();
    patch::write(&instructions, &adds, &copies)
}

fn compress(plain: &[u8]) -> Result<Vec<u8>, UpdateError> {
    zstd::bulk::compress(plain, LEVEL).map_err(UpdateError::Compress)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_compared_comes_back(
            old in prop::collection::vec(0..4_u8, 0..300),
            new in prop::collection::vec(0..4_u8, 0..300),
            common in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let (old, new) = ([&old[..], &common].concat(), [&common[..], &new].concat());
            let edit = difference(&old, &new);
            prop_assert_eq!(patch::edit(&old, &edit, new.len()), Ok(new));
        }
    }
}
