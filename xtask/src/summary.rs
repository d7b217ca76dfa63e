//! What `bundle` says when it is done.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::Utf8Path;
use gangway_artifact::{VerificationStatus, Version};
use serde::Serialize;
use serde_json::Value;

use crate::commands::bundle::{Bundle, Failure};
use crate::shared_cache::Use;
use crate::{process, smoke};

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    bundles: &'a [Bundle],
    failures: Vec<Value>,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_cache: Option<&'a Use>,
    /// What came of trying them, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    smoke: Option<&'a [smoke::Report]>,
}

impl<'a> Json<'a> {
    /// With what came of trying the bundles: one document for one command.
    #[must_use]
    pub fn with_smoke(self, reports: &'a [smoke::Report]) -> Self {
        Self { smoke: Some(reports), ..self }
    }
}

/// What came of every target, for programs.
#[must_use]
pub fn json<'a>(
    bundles: &'a [Bundle],
    failures: Vec<Failure>,
    warnings: &'a [String],
    shared_cache: Option<&'a Use>,
) -> Json<'a> {
    let failures = failures.into_iter().map(|failure| {
        let mut text = String::new();
        miette::JSONReportHandler::new()
            .render_report(&mut text, &failure.error)
            .expect("strings grow");
        let error = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let mut told = serde_json::json!({ "targets": failure.targets, "error": error });
        if !failure.findings().is_empty() {
            told["findings"] = serde_json::json!(failure.findings());
        }
        told
    });
    Json { bundles, failures: failures.collect(), warnings, shared_cache, smoke: None }
}

/// Every warning, and the targets it is for.
#[must_use]
pub fn warnings(bundles: &[Bundle]) -> BTreeMap<&str, Vec<&str>> {
    let mut warnings: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for bundle in bundles {
        for warning in &bundle.warnings {
            let targets = warnings.entry(warning).or_default();
            // A target may have several archives.
            if targets.last() != Some(&bundle.target.as_str()) {
                targets.push(bundle.target.as_str());
            }
        }
    }
    warnings
}

/// A paragraph for one target's archives, a table for those of several; paths are shown relative to `folder` where
/// they are below it.
#[must_use]
pub fn of(bundles: &[Bundle], folder: &Utf8Path) -> String {
    let several = bundles.windows(2).any(|pair| pair[0].target != pair[1].target);
    if several {
        return table(bundles, folder);
    }
    bundles.iter().map(|bundle| one(bundle, folder)).collect::<Vec<_>>().join("\n\n")
}

fn table(bundles: &[Bundle], folder: &Utf8Path) -> String {
    let width = bundles.iter().map(|bundle| bundle.target.as_str().len()).max().unwrap_or(0);
    let runtime = bundles.iter().map(|bundle| bundle.runtime.len()).max().unwrap_or(0);
    let mut text = String::new();
    for bundle in bundles {
        let archive = bundle.archive.strip_prefix(folder).unwrap_or(&bundle.archive);
        let (target, size) = (bundle.target.as_str(), size(bundle.size));
        let unchanged = if bundle.reused { "  (nothing changed)" } else { "" };
        writeln!(
            text,
            "{target:width$}  {:runtime$}  {:>6} files  {size:>9}  {archive}{unchanged}\n{:width$}  sha256 {}",
            bundle.runtime, bundle.files, "", bundle.sha256
        )
        .expect("strings grow");
        if bundle.verification.status == VerificationStatus::Unverified
            || bundle.verification.allowed > 0
            || !bundle.verification.unknown.is_empty()
        {
            writeln!(text, "{:width$}  checked {}", "", checked(bundle)).expect("strings grow");
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn one(bundle: &Bundle, folder: &Utf8Path) -> String {
    let archive = bundle.archive.strip_prefix(folder).unwrap_or(&bundle.archive);
    let mut text = format!("{} {} for {}", bundle.app, bundle.version, bundle.target);
    if bundle.reused {
        text.push_str(" (nothing changed)");
    }
    let mut row = |name: &str, value: String| {
        write!(text, "\n{name:>10}  {value}").expect("strings grow");
    };
    let symbols = match bundle.stripped {
        0 => String::new(),
        bytes => format!(", {} of debugging symbols taken out", size(bytes)),
    };
    row("runtime", format!("{}{symbols}", bundle.runtime));
    row(
        "inside",
        format!(
            "{} packages, {} files, {}",
            bundle.packages,
            bundle.files,
            size(bundle.unpacked_size)
        ),
    );
    for (index, rule) in bundle.pruned.iter().filter(|rule| rule.files > 0).enumerate() {
        let name = if index == 0 { "pruned" } else { "" };
        row(name, format!("{:<20} {:>6} files {:>9}", rule.rule, rule.files, size(rule.bytes)));
    }
    row("needs", needs(bundle));
    row("checked", checked(bundle));
    if !bundle.verification.unknown.is_empty() {
        row("", format!("`cargo xtask verify {}` tells", process::quote(archive.as_str())));
    }
    row("archive", archive.to_string());
    row("size", format!("{} ({} bytes)", size(bundle.size), bundle.size));
    row("sha256", bundle.sha256.to_string());
    if let Some(line) = try_it(bundle, archive) {
        row("try it", line);
    }
    text
}

/// What came of the check of the native code, in one line.
fn checked(bundle: &Bundle) -> String {
    let verification = &bundle.verification;
    if verification.status == VerificationStatus::Unverified {
        return "not verified".to_owned();
    }
    let mut text = "nothing is known to break".to_owned();
    if verification.allowed > 0 {
        write!(text, ", {} allowed", verification.allowed).expect("strings grow");
    }
    let codes: Vec<String> =
        verification.unknown.iter().map(|(code, count)| format!("{code} {count}")).collect();
    if !codes.is_empty() {
        let count: u32 = verification.unknown.values().sum();
        write!(text, ", {count} cannot be told ({})", codes.join(", ")).expect("strings grow");
    }
    text
}

fn needs(bundle: &Bundle) -> String {
    let needs = &bundle.contract;
    let named = |what: &str, version: &Option<Version>| {
        version.as_ref().map(|version| format!("{what}{version}"))
    };
    let mut parts: Vec<String> = [
        named("glibc ", &needs.glibc),
        named("libstdc++ with GLIBCXX_", &needs.libstdcxx),
        named("musl ", &needs.musl),
        named("macOS ", &needs.macos),
        named("Windows ", &needs.windows),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.extend(bundle.uncommon.iter().cloned());
    if parts.is_empty() { "nothing of the system".to_owned() } else { parts.join(", ") }
}

/// What the shared cache was good for, in one line.
#[must_use]
pub fn shared_cache(used: &Use) -> String {
    let Use { place, found, found_bytes, sent, sent_bytes, damaged, unsent, reachable } = used;
    let mut text = format!(
        "{:>10}  {found} frames and builds came from {place} ({}), {sent} went there ({})",
        "shared",
        size(*found_bytes),
        size(*sent_bytes)
    );
    for (count, what) in [(damaged, "damaged and made anew"), (unsent, "not sent")] {
        if *count > 0 {
            write!(text, ", {count} {what}").expect("strings grow");
        }
    }
    if !reachable {
        text.push_str("; it was given up");
    }
    text
}

/// Commands that unpack the archive and start its first program.
fn try_it(bundle: &Bundle, archive: &Utf8Path) -> Option<String> {
    let name = archive.file_name()?;
    let unpack = match name {
        name if name.ends_with(".tar.zst") => "tar --zstd -xf",
        name if name.ends_with(".tar.gz") => "tar -xzf",
        _ => "unzip -q",
    };
    let program = bundle.entrypoints.first()?;
    let archive = process::quote(archive.as_str());
    Some(format!("{unpack} {archive} && {}/bin/{program} --version", bundle.app))
}

/// Bytes as people read them, in powers of ten.
#[must_use]
pub fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// The sample's bundle for two targets; one of them was there already.
    fn two() -> Vec<Bundle> {
        let one = testing::bundle("/home/me/gateway/bundles".into());
        let target = "macos-arm64".parse().expect("a target's name");
        let archive = "/home/me/gateway/bundles/sample-1.2.3-macos-arm64.tar.zst".into();
        let warnings = [one.warnings.clone(), vec!["only there".to_owned()]].concat();
        let other = Bundle { target, archive, warnings, reused: true, ..one.clone() };
        vec![one, other]
    }

    #[test]
    fn several_targets_are_a_table() {
        insta::assert_snapshot!(of(&two(), "/home/me/gateway".into()));
    }

    #[test]
    fn a_warning_is_given_once() {
        let bundles = two();
        let warnings = warnings(&bundles);
        assert_eq!(warnings["only there"], ["macos-arm64"]);
        for warning in &bundles[0].warnings {
            assert_eq!(warnings[warning.as_str()], ["linux-x64", "macos-arm64"]);
        }
    }

    #[test]
    fn programs_are_told_what_failed() {
        let error = crate::commands::bundle::BundleError::Damaged { path: "cache/x".into() };
        let failure = Failure { targets: vec!["jetson".parse().expect("a target's name")], error };
        let json =
            serde_json::to_value(json(&two(), vec![failure], &[], None)).expect("plain JSON");
        assert_eq!(json["bundles"].as_array().map(Vec::len), Some(2));
        assert_eq!(json["failures"][0]["targets"][0], "jetson");
        assert_eq!(
            json["failures"][0]["error"]["message"],
            "`cache/x` in the cache was damaged; it was thrown away"
        );
    }

    #[test]
    fn what_the_shared_cache_was_good_for() {
        let good = Use {
            place: "s3://team/gangway".to_owned(),
            found: 41,
            found_bytes: 98_120_000,
            sent: 3,
            sent_bytes: 2_100_000,
            damaged: 0,
            unsent: 0,
            reachable: true,
        };
        insta::assert_snapshot!(shared_cache(&good), @"    shared  41 frames and builds came from s3://team/gangway (98.12 MB), 3 went there (2.10 MB)");
        let bad = Use { damaged: 1, unsent: 2, reachable: false, ..good };
        insta::assert_snapshot!(shared_cache(&bad), @"    shared  41 frames and builds came from s3://team/gangway (98.12 MB), 3 went there (2.10 MB), 1 damaged and made anew, 2 not sent; it was given up");
    }

    #[test]
    fn everything_there_is_to_say() {
        let bundle = testing::bundle("/home/me/gateway/bundles".into());
        insta::assert_snapshot!(of(&[bundle], "/home/me/gateway".into()), @"
        sample 1.2.3 for linux-x64
           runtime  node 24.18.0, 20.00 MB of debugging symbols taken out
            inside  12 packages, 345 files, 123.46 MB
            pruned  declarations             70 files   1.20 MB
                    tests                     8 files     999 B
             needs  glibc 2.28, libstdc++ with GLIBCXX_3.4.24, libatomic.so.1
           checked  nothing is known to break, 2 allowed, 4 cannot be told (opaque-payload 1, opened-libraries 3)
                    `cargo xtask verify bundles/sample-1.2.3-linux-x64.tar.zst` tells
           archive  bundles/sample-1.2.3-linux-x64.tar.zst
              size  31.42 MB (31415926 bytes)
            sha256  0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3
            try it  tar --zstd -xf bundles/sample-1.2.3-linux-x64.tar.zst && sample/bin/sample --version
        ");
    }

    #[test]
    fn nothing_to_say() {
        let bundle = Bundle {
            pruned: Vec::new(),
            stripped: 0,
            contract: gangway_artifact::Contract::default(),
            uncommon: Vec::new(),
            verification: gangway_artifact::Verification {
                status: VerificationStatus::Verified,
                ..gangway_artifact::Verification::default()
            },
            entrypoints: Vec::new(),
            reused: true,
            ..testing::bundle("/mnt/out".into())
        };
        insta::assert_snapshot!(of(&[bundle], "/home/me/gateway".into()), @"
        sample 1.2.3 for linux-x64 (nothing changed)
           runtime  node 24.18.0
            inside  12 packages, 345 files, 123.46 MB
             needs  nothing of the system
           checked  nothing is known to break
           archive  /mnt/out/sample-1.2.3-linux-x64.tar.zst
              size  31.42 MB (31415926 bytes)
            sha256  0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3
        ");
    }

    #[test]
    fn the_command_to_try_fits_the_archive() {
        let sample = testing::bundle("/a".into());
        let line = |archive: &str| try_it(&sample, archive.into()).expect("it has a program");
        assert_eq!(line("a.tar.gz"), "tar -xzf a.tar.gz && sample/bin/sample --version");
        assert_eq!(line("a.zip"), "unzip -q a.zip && sample/bin/sample --version");
        assert_eq!(
            line("my out/a.tar.zst"),
            "tar --zstd -xf 'my out/a.tar.zst' && sample/bin/sample --version"
        );
    }
}
