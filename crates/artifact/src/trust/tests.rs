//! What metadata is taken, and what is not.

use proptest::prelude::*;

use super::*;
use crate::{Contract, Cpu, Digest, Libc, Os, Platform};

fn named(name: &str) -> NamedFile {
    NamedFile { name: name.to_owned(), size: 1000, sha256: Digest::of(name) }
}

fn bundle(target: &str, version: &str) -> Bundle {
    Bundle {
        target: target.parse().expect("a target"),
        platform: Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) },
        archive: named(&format!("app-{version}-{target}.tar.zst")),
        manifest: named(&format!("app-{version}-{target}.manifest.json")),
        contract: Contract::default(),
        l4t: None,
        patches: Some(named(&format!("app-{version}-{target}.patches.json"))),
    }
}

fn release(version: &str) -> Release {
    let program = |triple: &str| InstallerProgram {
        triple: triple.to_owned(),
        file: named(&format!("app-installer-{triple}")),
    };
    Release {
        version: version.to_owned(),
        bundles: vec![bundle("linux-arm64", version), bundle("linux-x64", version)],
        installers: vec![
            program("aarch64-unknown-linux-musl"),
            program("x86_64-unknown-linux-musl"),
        ],
    }
}

fn channel() -> Channel {
    Channel {
        version: CHANNEL_VERSION,
        app: "app".to_owned(),
        channel: "stable".to_owned(),
        sequence: 7,
        releases: vec![release("1.1.0"), release("1.0.0+build.5")],
    }
}

/// What is said of a channel that was changed.
fn refused(change: impl FnOnce(&mut Channel)) -> String {
    let mut channel = channel();
    change(&mut channel);
    let error = channel.check().expect_err("it was changed");
    assert_eq!(
        Channel::from_json(&channel.to_json()).expect_err("the same").to_string(),
        error.to_string()
    );
    error.to_string()
}

#[test]
fn its_own_text() {
    let channel = channel();
    assert_eq!(Channel::from_json(&channel.to_json()).expect("its own text"), channel);
    assert_eq!(channel.releases[0].files().count(), 8);
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let text = String::from_utf8(channel().to_json()).expect("JSON is UTF-8");
    let more = text.replacen('{', "{\"signed_by\": \"nobody\",", 1);
    assert_eq!(Channel::from_json(more.as_bytes()).expect("of this version"), channel());
    let other = text.replacen("\"version\": 1", "\"version\": 2", 1);
    let error = Channel::from_json(other.as_bytes()).expect_err("of another version");
    assert!(matches!(error, ChannelError::Version(2)), "{error}");
}

/// The written form is for ever: `docs/channel.md` describes it.
#[test]
fn how_it_is_written() {
    let mut channel = channel();
    channel.releases.truncate(1);
    let release = &mut channel.releases[0];
    release.bundles.truncate(1);
    release.installers.truncate(1);
    let text = String::from_utf8(channel.to_json()).expect("JSON is UTF-8");
    insta::assert_snapshot!(text, @r#"
    {
      "version": 1,
      "app": "app",
      "channel": "stable",
      "sequence": 7,
      "releases": [
        {"version":"1.1.0","bundles":[{"target":"linux-arm64","platform":{"os":"linux","cpu":"x64","libc":"glibc"},"archive":{"name":"app-1.1.0-linux-arm64.tar.zst","size":1000,"sha256":"28223fb366cd7d6481a6062ea153bf076e7a29da98f7c0c41edc5d0558f8709e"},"manifest":{"name":"app-1.1.0-linux-arm64.manifest.json","size":1000,"sha256":"b3304a10524d9c74f4072f0345a124ecda2774669b88a5c86d38afd05d64eeaf"},"contract":{"disk":{"unpacked":0,"installed":0}},"patches":{"name":"app-1.1.0-linux-arm64.patches.json","size":1000,"sha256":"8eece57c573f569e13193fb3fda91922117c546d956dab2a7a4bad8fe7693122"}}],"installers":[{"triple":"aarch64-unknown-linux-musl","file":{"name":"app-installer-aarch64-unknown-linux-musl","size":1000,"sha256":"0a4b779336fb579ca1486bb7e7aefd4e5cd127a64b309d1819d4d647a732d39a"}}]}
      ]
    }
    "#);
}

#[test]
fn what_cannot_be() {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Channel)| all.push(refused(change));
    add(&|channel| channel.app = "../app".to_owned());
    add(&|channel| channel.app = "App".to_owned());
    add(&|channel| channel.channel = "con".to_owned());
    add(&|channel| channel.sequence = u64::MAX);
    add(&|channel| channel.releases.clear());
    add(&|channel| channel.releases[0].version = "..".to_owned());
    add(&|channel| channel.releases[0].version = "1.0.0+BUILD.5".to_owned());
    add(&|channel| channel.releases[0].version = "1".repeat(65));
    add(&|channel| channel.releases[1].bundles.clear());
    add(&|channel| channel.releases[0].bundles.reverse());
    add(&|channel| channel.releases[0].bundles[1] = channel.releases[0].bundles[0].clone());
    add(&|channel| channel.releases[0].bundles[0].platform.libc = None);
    add(&|channel| channel.releases[0].bundles[0].platform.os = Os::Darwin);
    add(&|channel| channel.releases[0].bundles[0].contract.disk.installed = u64::MAX);
    add(&|channel| channel.releases[0].installers.reverse());
    add(&|channel| channel.releases[0].installers[0].triple = "a/b".to_owned());
    add(&|channel| channel.releases[0].installers[0].file.size = 1 << 30);
    insta::assert_snapshot!(all.join("\n"), @r"
    `app` `../app`: it is a path
    `app` `App`: it has upper-case letters
    `channel` `con`: Windows keeps that name for a device
    `sequence`: it is too large
    `releases`: there is none
    `version` `..`: it does not begin and end with a letter or digit
    release `1.0.0+build.5`: it is there twice
    `version` `11111111111111111111111111111111111111111111111111111111111111111`: it is too long
    release `1.0.0+build.5`: it has no bundles
    `bundles` of `1.1.0`: `linux-arm64` is there twice, or not in order
    `bundles` of `1.1.0`: `linux-arm64` is there twice, or not in order
    bundle `linux-arm64`: its platform is not whole: Linux has a `libc`, others none
    bundle `linux-arm64`: its platform is not whole: Linux has a `libc`, others none
    bundle `linux-arm64`: its contract asks for more room than there is
    `installers` of `1.1.0`: `aarch64-unknown-linux-musl` is there twice, or not in order
    `triple` `a/b`: it has a character that is not allowed
    `app-installer-aarch64-unknown-linux-musl`: it is said to have 1073741824 bytes, and 67108864 is the most
    ");
}

#[test]
fn files_that_cannot_be() {
    let archive = |change: &dyn Fn(&mut NamedFile)| {
        refused(|channel| change(&mut channel.releases[0].bundles[0].archive))
    };
    let mut all = vec![
        archive(&|file| file.size = 0),
        archive(&|file| file.size = u64::MAX),
        archive(&|file| file.name = "app-1.1.0-linux-x64.tar.zst".to_owned()),
        archive(&|file| file.name = "APP-1.1.0-linux-x64.tar.zst".to_owned()),
    ];
    for name in [
        "",
        ".",
        "..",
        "a/b.tar.zst",
        "a\\b.tar.zst",
        "C:a.tar.zst",
        "-a.tar.zst",
        ".a.tar.zst",
        "a b.tar.zst",
        "a%2f.tar.zst",
        "a?b.tar.zst",
        "a\nb.tar.zst",
        "\u{430}pp.tar.zst",
        "nul.tar.zst",
        "a.tar.zst.",
        "a.tar.gz",
    ] {
        all.push(archive(&|file| file.name = name.to_owned()));
    }
    insta::assert_snapshot!(all.join("\n"), @r"
    `app-1.1.0-linux-arm64.tar.zst`: it is empty
    `app-1.1.0-linux-arm64.tar.zst`: it is said to have 18446744073709551615 bytes, and 1099511627776 is the most
    `app-1.1.0-linux-x64.tar.zst`: two files have this name
    `app-1.1.0-linux-x64.tar.zst`: two files have this name
    `name` ``: it is empty
    `name` `.`: it does not begin and end with a letter or digit
    `name` `..`: it does not begin and end with a letter or digit
    `name` `a/b.tar.zst`: it has a character that is not allowed
    `name` `a\\b.tar.zst`: it has a character that is not allowed
    `name` `C:a.tar.zst`: it has a character that is not allowed
    `name` `-a.tar.zst`: it does not begin and end with a letter or digit
    `name` `.a.tar.zst`: it does not begin and end with a letter or digit
    `name` `a b.tar.zst`: it has a character that is not allowed
    `name` `a%2f.tar.zst`: it has a character that is not allowed
    `name` `a?b.tar.zst`: it has a character that is not allowed
    `name` `a\nb.tar.zst`: it has a character that is not allowed
    `name` `аpp.tar.zst`: it has a character that is not allowed
    `name` `nul.tar.zst`: the name is that of a device
    `name` `a.tar.zst.`: it does not begin and end with a letter or digit
    `a.tar.gz`: its name does not end with `.tar.zst`
    ");
    assert!(file_fault(&"a".repeat(240)).is_none() && file_fault(&"a".repeat(241)).is_some());
}

#[test]
fn old_answers_and_other_channels() {
    let channel = channel();
    assert!(channel.newer_than(0).is_ok() && channel.newer_than(7).is_ok());
    let error = channel.newer_than(8).expect_err("an old answer");
    insta::assert_snapshot!(error, @"its sequence number is 7, and 8 was seen before");
    assert!(channel.expect_name("stable").is_ok());
    insta::assert_snapshot!(channel.expect_name("beta").expect_err("another"), @"it is the channel `stable` of `app`, and `beta` was asked for");
    let large = vec![b' '; usize::try_from(MOST_BYTES).expect("some megabytes") + 1];
    assert!(matches!(Channel::from_json(&large), Err(ChannelError::Large { .. })));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Channel::from_json(&bytes);
    }

    /// Texts that are almost right get further than any bytes.
    #[test]
    fn a_damaged_text_is_read_or_refused(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut text = channel().to_json();
        for (place, byte) in damage {
            let place = place.index(text.len());
            text[place] = byte;
        }
        if let Ok(channel) = Channel::from_json(&text) {
            prop_assert!(channel.check().is_ok());
            prop_assert_eq!(Channel::from_json(&channel.to_json()).expect("its own text"), channel);
        }
        let end = end.index(text.len());
        let _ = Channel::from_json(&text[..end]);
    }

    /// Whatever is taken as a name is one component of a path, of an address and of a command line.
    #[test]
    fn names_mean_nothing_else(name in "[a-zA-Z0-9./\\\\:%?#~$ +_-]{0,12}") {
        for fault in [app_fault, channel_fault, version_fault, file_fault] {
            if fault(&name).is_none() {
                let mut components = std::path::Path::new(&name).components();
                prop_assert!(matches!(components.next(), Some(std::path::Component::Normal(_))));
                prop_assert!(components.next().is_none());
                prop_assert!(!name.starts_with(['-', '.', '+', '~']));
                prop_assert!(!name.contains(['/', '\\', ':', '%', '?', '#', '$', ' ', '~']));
            }
        }
    }
}
