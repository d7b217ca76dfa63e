//! Releases of small bundles, by the command itself. The installer is one that a builder ships: a few bytes.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trust::Channel;
use gangway_artifact::{Digest, Manifest, VerificationStatus};

use super::bundles::Unverified;
use super::folder::State;
use super::{plan, scripts};
use crate::commands::release::{self, Done, Options};
use crate::context::Context;
use crate::native::Natives;
use crate::pack::{self, Format, Settings};
use crate::testing::{self, Sandbox};
use crate::tree::{Node, Source, Tree};

struct Releases {
    sandbox: Sandbox,
    context: Context,
    out: Utf8PathBuf,
}

impl Releases {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let mut context = sandbox.context(&[]);
        context.executable = sandbox.write("builder/gangway", "");
        for triple in
            ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl", "aarch64-apple-darwin"]
        {
            let path = format!("builder/installers/{triple}/installer");
            testing::make_executable(&sandbox.write(&path, format!("for {triple}")));
        }
        let out = sandbox.root.join("out");
        Self { sandbox, context, out }
    }

    fn bundle(&self, version: &str, target: &str, content: &str) -> Utf8PathBuf {
        self.bundle_as(version, target, content, VerificationStatus::Verified)
    }

    fn bundle_as(
        &self,
        version: &str,
        target: &str,
        content: &str,
        status: VerificationStatus,
    ) -> Utf8PathBuf {
        let file = self.sandbox.write(&format!("sources/{}", Digest::of(content)), content);
        let mut tree = Tree::default();
        let source = Source::new(file, content.len() as u64, true, Digest::of(content));
        tree.insert("bin/a".parse().expect("plain"), Node::File(source));
        let mut manifest = Manifest::from_json(testing::MANIFEST.as_bytes()).expect("it is one");
        version.clone_into(&mut manifest.app.version);
        manifest.target = target.parse().expect("a target's name");
        let targets = crate::target::Targets::built_in();
        manifest.platform = targets.find(target).expect("one of ours").platform;
        manifest.verification.status = status;
        (manifest.files, manifest.links) = pack::listing(&tree);
        manifest.unpacked_size = tree.size();
        let name = format!("bundles/a-{version}-{target}");
        self.sandbox.write(&format!("{name}.tar.zst"), "");
        let out = self.sandbox.root.join(format!("{name}.tar.zst"));
        let content = pack::Content { tree: &tree, manifest: &manifest, folder: "a" };
        let natives = Natives::default();
        let known = pack::Known { natives: &natives, frames: None };
        let settings = Settings::new(Format::TarZst);
        pack::write(&self.context, content, settings, known, &out).expect("it packs");
        let text = crate::delta::Bundle::open(&out).expect("it is one").text;
        self.sandbox.write(&format!("{name}.manifest.json"), text);
        out
    }

    fn options(&self, bundles: &[Utf8PathBuf]) -> Options {
        Options {
            bundles: bundles.to_vec(),
            channel: "stable".to_owned(),
            out: self.out.clone(),
            base: Some("https://example.com/a".parse().expect("an address")),
            sequence: None,
            keep: None,
            patches: false,
            unverified: Unverified::Refused,
        }
    }

    fn publish(&self, bundles: &[Utf8PathBuf]) -> Done {
        self.publish_as(&self.options(bundles))
    }

    #[track_caller]
    fn publish_as(&self, options: &Options) -> Done {
        release::run(&self.context, options).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// What is said when it is refused; the folder is what it was.
    #[track_caller]
    fn refused(&self, options: &Options) -> String {
        let before = self.files();
        let error = release::run(&self.context, options).expect_err("it is refused");
        assert_eq!(self.files(), before);
        testing::rendered(&error).replace(self.sandbox.root.as_str(), "~")
    }

    /// What people are told. How long anything is but the installers is the affair of others.
    fn told(&self, table: &str) -> String {
        let masked = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [state, .., name] if line.starts_with("  added") && !name.contains("-installer-") => {
                format!("  {state} {name}")
            }
            _ => line.to_owned(),
        };
        let lines: Vec<_> = table.lines().map(masked).collect();
        lines.join("\n").replace(self.sandbox.root.as_str(), "~")
    }

    /// Publishes 1.0.0, and a 1.1.0 that differs so little that a patch pays; how that one was published.
    fn almost_the_same(&self, channel: &str) -> Options {
        // What no compressor makes smaller.
        let noise: String =
            (0..40_000_u32).map(|at| Digest::of(at.to_le_bytes()).to_string()).collect();
        let options = |bundle| Options {
            channel: channel.to_owned(),
            patches: true,
            ..self.options(&[bundle])
        };
        self.publish_as(&options(self.bundle("1.0.0", "linux-x64", &noise)));
        let newer = options(self.bundle("1.1.0", "linux-x64", &format!("{noise}!")));
        self.publish_as(&newer);
        newer
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        if self.out.is_dir() { testing::contents(&self.out) } else { BTreeMap::new() }
    }

    fn channel(&self) -> Channel {
        let text = fs_err::read(self.out.join("stable.json")).expect("it is there");
        Channel::from_json(&text).expect("it is one")
    }

    fn versions(&self) -> Vec<String> {
        self.channel().releases.into_iter().map(|release| release.version).collect()
    }
}

#[test]
fn a_folder_from_nothing() {
    let releases = Releases::new();
    let bundles = ["linux-x64", "jetson", "macos-arm64"].map(|t| releases.bundle("1.0.0", t, "x"));
    let done = releases.publish(&bundles);
    insta::assert_snapshot!(releases.told(&done.table()), @"
    a 1.0.0 in ~/out: stable, number 1

      added a-1.0.0-jetson.tar.zst
      added a-1.0.0-jetson.manifest.json
      added a-1.0.0-linux-x64.tar.zst
      added a-1.0.0-linux-x64.manifest.json
      added a-1.0.0-macos-arm64.tar.zst
      added a-1.0.0-macos-arm64.manifest.json
      added           24 B  a-installer-1.0.0-aarch64-apple-darwin
      added           30 B  a-installer-1.0.0-aarch64-unknown-linux-musl
      added           29 B  a-installer-1.0.0-x86_64-unknown-linux-musl
      added install.sh
      added install.ps1
      added stable.json

      curl -fsSL https://example.com/a/install.sh | sh
    ");
    let channel = releases.channel();
    assert_eq!(channel.sequence, 1);
    // Whatever is named is there, and as it is named.
    for file in channel.releases.iter().flat_map(|release| {
        let bundles = release.bundles.iter().flat_map(|bundle| [&bundle.archive, &bundle.manifest]);
        bundles.chain(release.installers.iter().map(|installer| &installer.file))
    }) {
        let bytes = fs_err::read(releases.out.join(&file.name)).expect("it is there");
        assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (file.size, file.sha256));
    }
    let script = fs_err::read_to_string(releases.out.join("install.sh")).expect("it is there");
    let digest = Digest::of("for aarch64-apple-darwin").to_string();
    assert!(script.contains(&digest) && script.contains("https://example.com/a/install.sh"));
    let installer = releases.out.join("a-installer-1.0.0-aarch64-unknown-linux-musl");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs_err::metadata(installer).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn again_is_the_same() {
    let releases = Releases::new();
    let bundle = releases.bundle("1.0.0", "linux-x64", "x");
    releases.publish(std::slice::from_ref(&bundle));
    let files = releases.files();
    let done = releases.publish(std::slice::from_ref(&bundle));
    assert_eq!(releases.files(), files);
    assert!(done.states().all(|state| state == State::Kept), "{done:?}");
    // What is published stays what it is, whatever becomes of the archive it was made of.
    let bytes = fs_err::read(&bundle).expect("it is there");
    fs_err::write(&bundle, "overwritten in place").expect("it is ours");
    assert_eq!(releases.files(), files);
    fs_err::write(&bundle, bytes).expect("it is ours");
    // From the same bundles another folder gets the same bytes.
    let elsewhere =
        Options { out: releases.sandbox.root.join("other"), ..releases.options(&[bundle]) };
    releases.publish_as(&elsewhere);
    assert_eq!(testing::contents(&elsewhere.out), files);
}

#[test]
fn versions_and_targets_are_added() {
    let releases = Releases::new();
    releases.publish(&[releases.bundle("1.0.0", "linux-x64", "x")]);
    let old = releases.files();
    releases.publish(&[releases.bundle("1.1.0", "linux-x64", "y")]);
    assert_eq!(releases.versions(), ["1.1.0", "1.0.0"]);
    assert_eq!(releases.channel().sequence, 2);
    for (name, bytes) in &old {
        let is_replaced = ["install.sh", "install.ps1", "stable.json"].contains(&name.as_str());
        assert!(is_replaced || releases.files()[name] == *bytes, "{name} changed");
    }
    // A target that was made later belongs to its version.
    releases.publish(&[releases.bundle("1.1.0", "linux-arm64", "z")]);
    let newest = releases.channel().releases.remove(0);
    let targets: Vec<_> = newest.bundles.iter().map(|bundle| bundle.target.as_str()).collect();
    assert_eq!(targets, ["linux-arm64", "linux-x64"]);
    let triples: Vec<_> = newest.installers.iter().map(|one| one.triple.as_str()).collect();
    assert_eq!(triples, ["aarch64-unknown-linux-musl", "x86_64-unknown-linux-musl"]);
    let script = fs_err::read_to_string(releases.out.join("install.sh")).expect("it is there");
    assert!(script.contains("linux-x64") && script.contains("linux-arm64"));
}

#[test]
fn a_target_of_an_older_version_leaves_the_scripts() {
    let releases = Releases::new();
    for version in ["1.0.0", "1.1.0"] {
        releases.publish(&[releases.bundle(version, "linux-x64", version)]);
    }
    let before = releases.files();
    let done = releases.publish(&[releases.bundle("1.0.0", "linux-arm64", "z")]);
    assert_eq!(releases.versions(), ["1.1.0", "1.0.0"]);
    let files = releases.files();
    for name in ["install.sh", "install.ps1"] {
        assert!(files[name] == before[name], "{name} is no longer that of 1.1.0");
        assert!(!done.table().contains(name), "{}", done.table());
    }
    assert!(files.contains_key("a-installer-1.0.0-aarch64-unknown-linux-musl"));
}

#[test]
fn only_the_newest_are_kept() {
    let releases = Releases::new();
    for version in ["1.0.0", "1.1.0"] {
        releases.publish(&[releases.bundle(version, "linux-x64", version)]);
    }
    // Another channel goes on to name what this one does not.
    let beta = releases.bundle("1.0.0", "linux-x64", "1.0.0");
    releases.publish_as(&Options { channel: "beta".to_owned(), ..releases.options(&[beta]) });
    let newest = releases.bundle("1.2.0", "linux-x64", "1.2.0");
    let done = releases.publish_as(&Options { keep: Some(1), ..releases.options(&[newest]) });
    assert_eq!(releases.versions(), ["1.2.0"]);
    let files = releases.files();
    let is_there = |name: &str| files.contains_key(name);
    assert!(is_there("a-1.0.0-linux-x64.tar.zst") && is_there("install-beta.sh"));
    assert!(is_there("a-1.2.0-linux-x64.tar.zst") && is_there("install.sh"));
    assert!(!is_there("a-1.1.0-linux-x64.tar.zst") && !is_there("a-1.1.0-linux-x64.manifest.json"));
    assert_eq!(done.states().filter(|state| *state == State::Removed).count(), 3);
}

#[test]
fn an_older_version_is_told() {
    let releases = Releases::new();
    releases.publish(&[releases.bundle("1.10.0", "linux-x64", "x")]);
    let is_older = |version| plan::is_older(Some(&releases.channel()), version);
    assert!(is_older("1.9.0").is_some_and(|newest| newest == "1.10.0"));
    assert!(
        is_older("1.10.0").is_none() && is_older("1.10.1").is_none() && is_older("x").is_none()
    );
}

#[test]
fn patches_where_they_pay() {
    let releases = Releases::new();
    let options = releases.almost_the_same("stable");
    let files = releases.files();
    let patches = releases.channel().releases[0].bundles[0].patches.clone().expect("one pays");
    assert_eq!(patches.name, "a-1.1.0-linux-x64.patches.json");
    assert_eq!(Digest::of(&files[&patches.name]), patches.sha256);
    assert!(files.contains_key("a-1.1.0-linux-x64.from-1.0.0.patch"));
    // They stay named when nobody asks for them.
    releases.publish_as(&Options { patches: false, ..options });
    assert_eq!(releases.files(), files);
}

#[test]
fn patches_go_with_their_version() {
    let releases = Releases::new();
    for channel in ["stable", "beta"] {
        releases.almost_the_same(channel);
    }
    let names = ["from-1.0.0.patch", "patches.json"].map(|end| format!("a-1.1.0-linux-x64.{end}"));
    let newest = releases.bundle("1.2.0", "linux-x64", "1.2.0");
    let only_the_newest = |channel: &str| Options {
        channel: channel.to_owned(),
        keep: Some(1),
        ..releases.options(std::slice::from_ref(&newest))
    };
    releases.publish_as(&only_the_newest("stable"));
    let files = releases.files();
    assert!(names.iter().all(|name| files.contains_key(name)), "beta goes on to name them");
    let done = releases.publish_as(&only_the_newest("beta"));
    let files = releases.files();
    assert!(!names.iter().any(|name| files.contains_key(name)), "{}", done.table());
}

#[test]
fn files_that_are_elsewhere_are_told() {
    let releases = Releases::new();
    releases.almost_the_same("stable");
    let elsewhere = || {
        let bundle = releases.bundle("1.2.0", "linux-x64", "1.2.0");
        let done = releases.publish_as(&releases.options(&[bundle]));
        let told = serde_json::to_value(&done).expect("texts and numbers");
        told["elsewhere"].as_array().expect("a list").len()
    };
    assert_eq!(elsewhere(), 0);
    for gone in ["from-1.0.0.patch", "tar.zst"] {
        let path = releases.out.join(format!("a-1.1.0-linux-x64.{gone}"));
        fs_err::remove_file(path).expect("it is there");
    }
    assert_eq!(elsewhere(), 2);
    // What a list names that is not the published one is nobody's file.
    let list = releases.out.join("a-1.1.0-linux-x64.patches.json");
    let changed = [fs_err::read(&list).expect("it is there"), b" ".to_vec()].concat();
    fs_err::write(list, changed).expect("it is ours");
    assert_eq!(elsewhere(), 1);
}

#[test]
fn what_is_refused() {
    let releases = Releases::new();
    let good = releases.bundle("1.0.0", "linux-x64", "x");
    releases.publish(std::slice::from_ref(&good));
    let refused = |bundles: &[Utf8PathBuf]| releases.refused(&releases.options(bundles));
    let second = releases.bundle("2.0.0", "linux-arm64", "x");
    let mut said =
        vec![refused(&[good.clone(), second.clone()]), refused(&[good.clone(), good.clone()])];
    said.push(releases.refused(&Options {
        sequence: Some(1),
        ..releases.options(std::slice::from_ref(&second))
    }));
    said.push(releases.refused(&Options {
        channel: "../x".to_owned(),
        ..releases.options(std::slice::from_ref(&second))
    }));
    // A manifest of another bundle.
    let copy = Utf8PathBuf::from(second.as_str().replace(".tar.zst", ".manifest.json"));
    fs_err::write(&copy, testing::MANIFEST).expect("it is ours");
    said.push(refused(&[second]));
    let unverified = releases.bundle_as("2.1.0", "linux-x64", "x", VerificationStatus::Unverified);
    said.push(refused(&[unverified]));
    // The version that people have, with something else in it.
    let changed = releases.bundle("1.0.0", "linux-x64", "something else");
    said.push(refused(&[changed]));
    said.push(refused(&[releases.sandbox.write("bundles/a.tar.gz", "")]));
    insta::assert_snapshot!(said.join("\n"), @"
    × `~/bundles/a-1.0.0-linux-x64.tar.zst` is of a 1.0.0, and the others are of a 2.0.0
    help: a release is one version of one app: publish the others by a command of their own

    × `~/bundles/a-1.0.0-linux-x64.tar.zst` and `~/bundles/a-1.0.0-linux-x64.tar.zst` are both for linux-x64
    help: name one of them

    × the sequence number 1 is not larger than 1, which is published already
    help: leave `--sequence` out: it is one more each time

    × `../x` cannot be the name of a channel: names of files are made of it
    help: use letters, digits, `.`, `-`, `_` and `+`, and begin with a letter or digit

    × `~/bundles/a-2.0.0-linux-arm64.manifest.json` is not the manifest in `~/bundles/a-2.0.0-linux-arm64.tar.zst`
    help: they belong together: bundle both anew

    × `~/bundles/a-2.1.0-linux-x64.tar.zst` was made with `--no-verify`: nobody knows whether it runs on what its target promises
    help: bundle it without `--no-verify`, or publish it with `--allow-unverified`

    × a 1.0.0 is published already, with another bundle for linux-x64
    help: people have it: give what you have a version of its own

    × `~/bundles/a.tar.gz` is no `.tar.zst`
    help: name archives that `cargo xtask bundle` made: what is installed is unpacked from those, and updates fetch parts of them
    ");
}

#[test]
fn damage_is_found() {
    let releases = Releases::new();
    let bundle = releases.bundle("1.0.0", "linux-x64", &"what is in the first frame".repeat(100));
    let mut bytes = fs_err::read(&bundle).expect("it is there");
    bytes[20] ^= 1;
    fs_err::write(&bundle, bytes).expect("it is ours");
    let said = releases.refused(&releases.options(&[bundle]));
    assert!(said.contains("is damaged: frame 0 is not what the manifest says"), "{said}");
}

#[test]
fn a_file_in_the_way_stays() {
    let releases = Releases::new();
    releases.sandbox.write("out/a-1.0.0-linux-x64.tar.zst", "another one");
    let bundle = releases.bundle("1.0.0", "linux-x64", "x");
    let said = releases.refused(&releases.options(&[bundle]));
    assert!(said.contains("is there already, with other content"), "{said}");
}

#[test]
fn scripts_name_what_a_release_has() {
    let releases = Releases::new();
    let bundle = releases.bundle("1.0.0", "macos-arm64", "x");
    releases.publish_as(&Options { base: None, ..releases.options(&[bundle]) });
    for name in ["install.sh", "install.ps1"] {
        let text = fs_err::read_to_string(releases.out.join(name)).expect("it is there");
        assert!(text.contains("there is one for: macos-arm64") && text.is_ascii(), "{name}");
    }
    let empty = scripts::Release {
        app: "a",
        version: "1",
        channel: "stable",
        base: None,
        installers: Vec::new(),
    };
    assert_eq!(scripts::render(&empty).len(), 2);
}

#[test]
fn a_dry_run_writes_nothing() {
    let releases = Releases::new();
    let options = releases.options(&[releases.bundle("1.0.0", "linux-x64", "x")]);
    let planned = release::dry_run(&releases.context, &options).expect("it could be published");
    assert!(!Utf8Path::new(&releases.out).exists());
    insta::assert_snapshot!(releases.told(&planned.table()), @"
    a 1.0.0 would be in ~/out: stable

      added a-1.0.0-linux-x64.tar.zst
      added a-1.0.0-linux-x64.manifest.json

      installers for x86_64-unknown-linux-musl
    ");
}
