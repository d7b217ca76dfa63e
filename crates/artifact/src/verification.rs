//! What a bundle says of the check of its native code. No time of day is in it: the same inputs give the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Date;

/// What came of the check of a bundle's native code against what its target promises.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Whether the check decided that the bundle could be made.
    pub status: VerificationStatus,
    /// How many findings stand against the bundle and were allowed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub allowed: u32,
    /// What cannot be told and was not allowed: how many findings, by the check's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<String, u32>,
    /// What allowed them, in the order of `gangway.toml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<Allowance>,
}

/// Whether a bundle was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerificationStatus {
    /// Nothing is known to break on a system that the target promises, but for what was allowed.
    Verified,
    /// Nobody looked, or what was found counted for nothing.
    #[default]
    Unverified,
}

/// Findings that somebody answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The check's name.
    pub code: String,
    /// A glob over the files' places.
    pub path: String,
    /// What of the file, if not everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why it is no harm.
    pub reason: String,
    /// The last day on which it counts.
    pub expires: Date,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
