//! `cargo xtask targets`: the targets, and what each promises.

use serde::Serialize;

use crate::target::Targets;

/// One target, for programs.
#[derive(Debug, Serialize)]
pub struct Listed<'a> {
    name: &'a str,
    description: &'a str,
    triple: &'a str,
    promises: Vec<String>,
}

/// Every target, for programs.
#[must_use]
pub fn list(targets: &Targets) -> Vec<Listed<'_>> {
    targets
        .iter()
        .map(|target| Listed {
            name: target.name.as_str(),
            description: target.description(),
            triple: target.triple(),
            promises: target.promises(),
        })
        .collect()
}

/// Every target, for people.
#[must_use]
pub fn table(targets: &Targets) -> String {
    let listed = list(targets);
    let width = listed.iter().map(|target| target.name.len()).max().unwrap_or_default();
    let lines = listed.iter().flat_map(|target| {
        let Listed { name, description, promises, .. } = target;
        [
            format!("{name:width$}  {description}"),
            format!("{:width$}  {}", "", promises.join(" · ")),
        ]
    });
    lines.collect::<Vec<_>>().join("\n")
}
