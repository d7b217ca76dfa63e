//! `cargo xtask contract`: what bundles need of machines, and what a new one needs that an old one did not.

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Contract, Manifest, Need, Platform};
use miette::Diagnostic;
use serde::Serialize;

use crate::unpacked::{self, UnpackedError};

/// Contracts that cannot be shown or compared.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum ContractError {
    /// One could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bundle(#[from] UnpackedError),
    /// They are for different machines.
    #[error("`{old}` is for {old_platform} and `{new}` is for {new_platform}")]
    #[diagnostic(help(
        "compare the bundles of one platform: machines of the other never ran the old one"
    ))]
    Platforms { old: Utf8PathBuf, old_platform: String, new: Utf8PathBuf, new_platform: String },
}

/// What a bundle needs of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    bundle: String,
    needs: Vec<String>,
    contract: Contract,
}

/// What one bundle needs and another does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    old: String,
    new: String,
    /// What machines must have now and need not have had before.
    pub demanded: Vec<Change>,
    /// What they need no longer have.
    pub relieved: Vec<Change>,
    /// Room on the disk. It changes with every release, so it is told and never counted as a demand.
    pub disk: Option<Change>,
}

/// A need that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about.
    pub subject: String,
    /// What was needed of it.
    pub before: Option<String>,
    /// What is needed of it now.
    pub after: Option<String>,
}

/// What a bundle needs.
///
/// # Errors
/// When it cannot be read.
pub fn show(path: &Utf8Path) -> Result<Shown, ContractError> {
    let manifest = unpacked::manifest(path)?;
    let needs = manifest.contract.needs().iter().map(ToString::to_string).collect();
    Ok(Shown { bundle: name(&manifest), needs, contract: manifest.contract })
}

/// What `new` needs and `old` does not, and the other way round.
///
/// # Errors
/// When one of them cannot be read, or they are for different platforms.
pub fn diff(old: &Utf8Path, new: &Utf8Path) -> Result<Difference, ContractError> {
    let (before, after) = (unpacked::manifest(old)?, unpacked::manifest(new)?);
    if before.platform != after.platform {
        return Err(ContractError::Platforms {
            old: old.to_owned(),
            old_platform: platform(&before.platform),
            new: new.to_owned(),
            new_platform: platform(&after.platform),
        });
    }
    Ok(between(&before, &after))
}

fn between(before: &Manifest, after: &Manifest) -> Difference {
    let (old, new) = (before.contract.needs(), after.contract.needs());
    let is_disk = |need: &&Need| matches!(need, Need::Disk(_));
    let unmatched = |these: &[Need], those: &[Need]| -> Vec<Need> {
        let follows = |need: &Need| those.iter().any(|other| need.follows_from(other));
        these.iter().filter(|need| !is_disk(need) && !follows(need)).cloned().collect()
    };
    let demand = |needs: &[Need], subject: &str| {
        needs.iter().find(|need| need.subject() == subject).map(Need::demand)
    };
    let change = |need: &Need| {
        let subject = need.subject();
        let (before, after) = (demand(&old, &subject), demand(&new, &subject));
        Change { subject, before, after }
    };
    let demanded: Vec<Change> = unmatched(&new, &old).iter().map(change).collect();
    let relieved: Vec<Change> = unmatched(&old, &new).iter().map(change).collect();
    let disk = new.iter().find(is_disk).map(change).filter(|disk| disk.before != disk.after);
    Difference { old: name(before), new: name(after), demanded, relieved, disk }
}

impl Difference {
    /// As a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![format!("from {}\n  to {}", self.old, self.new)];
        let width = (self.demanded.iter().chain(&self.relieved).chain(&self.disk))
            .map(|change| change.subject.chars().count())
            .max()
            .unwrap_or_default();
        let mut section = |title: &str, changes: &[Change]| {
            lines.push(format!("\n{title}"));
            lines.extend(changes.iter().map(|change| {
                let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
                let (before, after) = (side(&change.before), side(&change.after));
                format!("  {:width$}  {before} -> {after}", change.subject)
            }));
        };
        if self.demanded.is_empty() {
            section("nothing is newly demanded of machines", &[]);
        } else {
            section("newly demanded of machines", &self.demanded);
        }
        if !self.relieved.is_empty() {
            section("no longer demanded", &self.relieved);
        }
        if let Some(disk) = &self.disk {
            section("told, not counted", std::slice::from_ref(disk));
        }
        lines.join("\n")
    }
}

impl Shown {
    /// As a list for people.
    #[must_use]
    pub fn list(&self) -> String {
        let lines = self.needs.iter().map(|need| format!("\n  {need}"));
        std::iter::once(format!("{} needs", self.bundle)).chain(lines).collect()
    }
}

fn name(manifest: &Manifest) -> String {
    format!("{} {} for {}", manifest.app.name, manifest.app.version, manifest.target)
}

fn platform(platform: &Platform) -> String {
    let words = serde_json::to_value(platform).expect("it has a JSON form");
    let words = ["os", "cpu", "libc"].map(|key| words[key].as_str().map(str::to_owned));
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use gangway_artifact::Disk;

    use super::*;
    use crate::testing::Sandbox;

    fn manifest(version: &str, contract: Contract) -> Manifest {
        let text = r#"{"version":1,"builder":"gangway 0.1.0","app":{"name":"sample","version":"1"},"target":"linux-x64","platform":{"os":"linux","cpu":"x64","libc":"glibc"},"entrypoints":[],"contract":{"disk":{"unpacked":0,"installed":0}},"unpacked_size":0,"files":[],"links":[]}"#;
        let mut manifest = Manifest::from_json(text.as_bytes()).expect("it is one");
        manifest.app.version = version.to_owned();
        manifest.contract = contract;
        manifest
    }

    fn contract(glibc: &str, libraries: &[(&str, &[&str])], bytes: u64) -> Contract {
        let libraries = libraries.iter().map(|(name, versions)| {
            ((*name).to_owned(), versions.iter().map(|text| (*text).to_owned()).collect())
        });
        Contract {
            glibc: Some(glibc.parse().expect("a version")),
            libraries: libraries.collect::<BTreeMap<String, BTreeSet<String>>>(),
            disk: Disk::of([bytes], 0),
            ..Contract::default()
        }
    }

    #[test]
    fn what_is_newly_demanded() {
        let old = manifest(
            "1.0.0",
            contract(
                "2.28",
                &[("libc.so.6", &["GLIBC_2.28"]), ("libssl.so.3", &["OPENSSL_3.0.0"])],
                10 << 20,
            ),
        );
        let new = manifest(
            "2.0.0",
            contract(
                "2.34",
                &[("libc.so.6", &["GLIBC_2.34"]), ("libatomic.so.1", &["LIBATOMIC_1.0"])],
                12 << 20,
            ),
        );
        let difference = between(&old, &new);
        insta::assert_snapshot!(difference.table(), @"
        from sample 1.0.0 for linux-x64
          to sample 2.0.0 for linux-x64

        newly demanded of machines
          glibc                     2.28 or newer -> 2.34 or newer
          libatomic.so.1            - -> the library
          libatomic.so.1 LIBATOMIC  - -> 1.0 or newer

        no longer demanded
          libssl.so.3               the library -> -
          libssl.so.3 OPENSSL       3.0.0 or newer -> -

        told, not counted
          disk                      10 MiB -> 12 MiB
        ");
        // The way back demands what was relieved, and a lower floor demands nothing.
        let back = between(&new, &old);
        assert_eq!(back.demanded[0].subject, "libssl.so.3");
        assert!(back.relieved.iter().any(|change| change.subject == "glibc"));
    }

    #[test]
    fn nothing_new() {
        let one = manifest("1.0.0", contract("2.28", &[], 1));
        let other = manifest("1.0.1", contract("2.17", &[], 1));
        let difference = between(&one, &other);
        assert!(difference.demanded.is_empty() && difference.disk.is_none());
        insta::assert_snapshot!(difference.table(), @"
        from sample 1.0.0 for linux-x64
          to sample 1.0.1 for linux-x64

        nothing is newly demanded of machines

        no longer demanded
          glibc  2.28 or newer -> 2.17 or newer
        ");
    }

    #[test]
    fn platforms_are_not_compared() {
        let sandbox = Sandbox::new();
        let old = manifest("1", contract("2.28", &[], 1));
        let mut new = old.clone();
        new.platform.cpu = gangway_artifact::Cpu::Arm64;
        let old = sandbox.write("old.json", old.to_json());
        let new = sandbox.write("new.json", new.to_json());
        let error = diff(&old, &new).expect_err("they are for different machines").to_string();
        insta::assert_snapshot!(error.replace(sandbox.root.as_str(), "~"), @"`~/old.json` is for linux x64 glibc and `~/new.json` is for linux arm64 glibc");
        assert!(diff(&old, &old).expect("the same").demanded.is_empty());
    }

    #[test]
    fn a_contract_is_shown() {
        let sandbox = Sandbox::new();
        let path = sandbox.write("m.json", manifest("1", contract("2.28", &[], 1)).to_json());
        insta::assert_snapshot!(show(&path).expect("readable").list(), @"
        sample 1 for linux-x64 needs
          glibc 2.28 or newer
          disk 1 MiB
        ");
    }
}
