//! Whether a bundle runs on what its target promises, told from the binaries alone.
//!
//! [`report`] has the checks of `gangway_abi` judge a tree; [`judge`](allow::judge) holds the manifest's `[verify]` against
//! what they found. Around them: where trees come from that were not staged a moment ago ([`open`]), and how findings
//! are told ([`table`], [`sarif`], [`explain`], [`Refused`]).
//!
//! Platform facts are the target's ([`policy`]), what belongs to whom is told from places ([`place`]). Nothing is run.

pub mod allow;
pub mod contract;
mod error;
pub mod explain;
mod input;
pub mod open;
mod place;
pub mod plans;
mod policy;
pub mod sarif;
pub mod table;

use gangway_abi::check::{Report, check};

use crate::native::Natives;
use crate::target::Target;

pub use allow::{Judged, Judgement, Standing};
pub use error::{Reason, Refused, VerifyError};
pub use input::{Contents, Shipped};

/// What findings do to a bundle that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checking {
    /// What is known to break is not made.
    Required,
    /// It is made, and marked as unverified.
    Told,
}

/// Judges everything native in a tree by what the target promises.
///
/// # Errors
/// When a file cannot be read.
pub fn report(
    contents: &Contents<'_>,
    target: &Target,
    natives: &Natives,
) -> Result<Report, VerifyError> {
    let read = input::read(contents, natives)?;
    let provides = |library: &str| target.provides(library);
    let policy = policy::of(target, &provides, contents.runtime.as_ref());
    Ok(read.with_input(|input| check(&input, &policy)))
}
