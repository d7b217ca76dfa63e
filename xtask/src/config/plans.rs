//! `[[tensorrt-plan]]`: compiled models, and what they were made with.

use gangway_artifact::{TargetName, Version};

use super::error::{FaultKind, Faults};
use super::values::{empty, globs, unique};
use super::verify::{PathGlob, glob, target};
use super::{Located, raw};

/// `[[tensorrt-plan]]`: a plan says neither the TensorRT that made it nor the chip it is for.
#[derive(Debug, Clone)]
pub struct TensorRtPlan {
    /// Which files, by their places in the bundle.
    pub path: PathGlob,
    /// The version of TensorRT that made them.
    pub tensorrt: Version,
    /// The compute capability they were made for.
    pub sm: Version,
    /// The targets it is about; empty: all.
    pub targets: Vec<Located<TargetName>>,
}

impl TensorRtPlan {
    /// Whether it speaks of this target.
    #[must_use]
    pub fn is_about(&self, target: &TargetName) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|name| name.value == *target)
    }
}

/// Takes the tables, and notes what cannot be used.
pub(super) fn plans(tables: Vec<raw::TensorRtPlan>, faults: &mut Faults) -> Vec<TensorRtPlan> {
    tables.into_iter().filter_map(|table| plan(table, faults)).collect()
}

fn plan(table: raw::TensorRtPlan, faults: &mut Faults) -> Option<TensorRtPlan> {
    let raw::TensorRtPlan { path, tensorrt, sm, targets } = table;
    if let Some(targets) = targets.as_ref().filter(|targets| targets.value.is_empty()) {
        let help = "leave the line out to speak of every target";
        empty("tensorrt-plan.targets", &targets.span, help, faults);
    }
    let written = targets.map(|targets| targets.value).unwrap_or_default();
    unique("target", &written, Clone::clone, faults);
    let targets = written.into_iter().filter_map(|name| target(name, faults)).collect();
    let tensorrt = version(
        &tensorrt,
        3,
        "as the program that made the plan says: `tensorrt = \"10.3.0\"`",
        faults,
    );
    let sm = version(
        &sm,
        2,
        "the chip's compute capability with a dot: `sm = \"8.7\"` for an Orin",
        faults,
    );
    let path = globs(vec![path], faults).remove(0);
    Some(TensorRtPlan { path: glob(&path)?, tensorrt: tensorrt?, sm: sm?, targets })
}

/// A version with exactly this many numbers: less would not say which.
fn version(
    written: &Located<String>,
    parts: usize,
    help: &str,
    faults: &mut Faults,
) -> Option<Version> {
    let version = written.value.parse().ok();
    let version = version.filter(|_| written.value.split('.').count() == parts);
    if version.is_none() {
        let kind = FaultKind::InexactVersion { text: written.value.clone() };
        let label = format!("{parts} numbers with dots between were expected");
        faults.add(&written.span, kind, &label).help(format!("write it {help}"));
    }
    version
}
