//! Releases with bundles of every kind, and machines that they are for or not.

use std::collections::{BTreeMap, BTreeSet};

use gangway_artifact::trust::NamedFile;
use gangway_artifact::{
    Contract, Cpu, Digest, Disk, Fact, Host, L4tRange, Libc, Nvidia, Os, Platform, Version,
};
use miette::Diagnostic as _;

use super::*;

fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

fn platform(os: Os, cpu: Cpu, libc: Option<Libc>) -> Platform {
    Platform { os, cpu, libc }
}

const ARM: Platform = Platform { os: Os::Linux, cpu: Cpu::Arm64, libc: Some(Libc::Glibc) };
const X64: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };
const MUSL: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Musl) };

fn bundle(target: &str, platform: Platform, contract: Contract) -> Bundle {
    let file = || NamedFile { name: "x".to_owned(), size: 1, sha256: Digest::of("x") };
    Bundle {
        target: target.parse().expect("a name"),
        platform,
        archive: file(),
        manifest: file(),
        contract,
        l4t: None,
        patches: None,
    }
}

fn range(first: &str, last: &str) -> L4tRange {
    L4tRange { first: version(first), last: version(last) }
}

fn glibc(floor: &str) -> Contract {
    let libraries =
        [("libc.so.6", format!("GLIBC_{floor}")), ("libatomic.so.1", "LIBATOMIC_1.0".to_owned())];
    Contract {
        glibc: Some(version(floor)),
        libraries: libraries.map(|(name, asked)| (name.to_owned(), [asked].into())).into(),
        disk: Disk::of([1 << 20], 0),
        ..Contract::default()
    }
}

fn musl() -> Contract {
    Contract {
        musl: Some(version("1.2.4")),
        libraries: BTreeMap::from([("libc.musl-x86_64.so.1".to_owned(), BTreeSet::new())]),
        ..Contract::default()
    }
}

fn with_tensorrt(l4t: L4tRange, major: u32) -> Contract {
    Contract {
        nvidia: Some(Nvidia { l4t: Some(l4t), tensorrt: Some(major), ..Nvidia::default() }),
        ..glibc("2.30")
    }
}

/// What a release of a gateway with JetPack's libraries offers.
fn release() -> Vec<Bundle> {
    vec![
        bundle("jetson", ARM, with_tensorrt(range("36.4", "36.5"), 10)),
        bundle("jetson-jp5", ARM, with_tensorrt(range("35.2", "35.6"), 8)),
        bundle("jetson-jp7", ARM, with_tensorrt(range("38.2", "39.2"), 10)),
        bundle("linux-arm64", ARM, glibc("2.28")),
        bundle("linux-x64", X64, glibc("2.28")),
        bundle("linux-x64-musl", MUSL, musl()),
        bundle(
            "macos-arm64",
            platform(Os::Darwin, Cpu::Arm64, None),
            Contract { macos: Some(version("13.5")), ..Contract::default() },
        ),
        bundle(
            "windows-x64",
            platform(Os::Win32, Cpu::X64, None),
            Contract { x86_64_level: Some(2), page_size: Some(4096), ..Contract::default() },
        ),
    ]
}

fn machine(platform: Platform, host: Host) -> Machine {
    let libraries = ["libatomic.so.1", "libc.musl-x86_64.so.1"].map(str::to_owned);
    let host = Host {
        platform: Fact::Is(platform),
        libraries: Fact::Is(libraries.into()),
        free: Fact::Is(1 << 30),
        page_size: Fact::Is(4096),
        ..host
    };
    Machine { host, prefix: "/opt/a".into(), ..Machine::default() }
}

fn linux(platform: Platform, floor: &str) -> Machine {
    machine(
        platform,
        Host { glibc: Fact::Is(version(floor)), l4t: Fact::Absent, ..Host::default() },
    )
}

fn orin(l4t: Fact<Version>) -> Machine {
    let host = Host {
        glibc: Fact::Is(version("2.35")),
        l4t,
        tensorrt: Fact::Is(version("10.3.0")),
        ..Host::default()
    };
    machine(ARM, host)
}

fn chosen(bundles: &[Bundle], machine: &Machine) -> String {
    match choose(bundles, machine, &Wish::default()) {
        Ok(choice) => choice.bundle.target.to_string(),
        Err(refusal) => told(&refusal),
    }
}

fn told(refusal: &Refusal) -> String {
    let help = refusal.help().map_or(String::new(), |help| format!("\nhelp: {help}"));
    format!("{refusal}{help}")
}

#[test]
fn the_machines_own() {
    let release = release();
    assert_eq!(chosen(&release, &linux(X64, "2.31")), "linux-x64");
    assert_eq!(chosen(&release, &linux(ARM, "2.35")), "linux-arm64");
    let alpine = Host { glibc: Fact::Absent, musl: Fact::Is(version("1.2.5")), ..Host::default() };
    assert_eq!(chosen(&release, &machine(MUSL, alpine)), "linux-x64-musl");
    let mac = Host { macos: Fact::Is(version("15.1")), ..Host::default() };
    let mac = machine(platform(Os::Darwin, Cpu::Arm64, None), mac);
    assert_eq!(chosen(&release, &mac), "macos-arm64");
}

#[test]
fn jetsons_by_their_release() {
    let release = release();
    assert_eq!(chosen(&release, &orin(Fact::Is(version("36.4.3")))), "jetson");
    assert_eq!(chosen(&release, &orin(Fact::Is(version("39.2")))), "jetson-jp7");
    // One that is not NVIDIA's system, on a Jetson's chip.
    assert_eq!(chosen(&release, &orin(Fact::Absent)), "linux-arm64");
    // Where no bundle is for a Jetson at all, its release does not matter.
    assert_eq!(chosen(&release[3..], &orin(Fact::Is(version("99.1")))), "linux-arm64");
    // Without NVIDIA's libraries the contract names no release, and the target's counts.
    let mut plain =
        vec![bundle("jetson", ARM, glibc("2.34")), bundle("linux-arm64", ARM, glibc("2.28"))];
    plain[0].l4t = Some(range("36.4", "36.5"));
    assert_eq!(chosen(&plain, &orin(Fact::Is(version("36.4.3")))), "jetson");
    assert_eq!(chosen(&plain, &linux(ARM, "2.39")), "linux-arm64");
}

#[test]
fn a_jetson_that_nobody_knows() {
    let release = release();
    insta::assert_snapshot!(chosen(&release, &orin(Fact::Is(version("36.3")))), @"
    no bundle is for this Jetson's L4T 36.3 (JetPack 6.0); there are `jetson` for 36.4 to 36.5, `jetson-jp5` for 35.2 to 35.6, `jetson-jp7` for 38.2 to 39.2
    help: install JetPack 6.1-6.2 (L4T 36.4 to 36.5) or JetPack 5.1 (L4T 35.2 to 35.6) or JetPack 7.0-7.1 up to JetPack 7.2 (L4T 38.2 to 39.2), or take the one that is not for a Jetson: `--target linux-arm64`
    ");
    insta::assert_snapshot!(chosen(&release, &orin(Fact::Is(version("40.1")))), @"
    no bundle is for this Jetson's L4T 40.1; there are `jetson` for 36.4 to 36.5, `jetson-jp5` for 35.2 to 35.6, `jetson-jp7` for 38.2 to 39.2
    help: install JetPack 6.1-6.2 (L4T 36.4 to 36.5) or JetPack 5.1 (L4T 35.2 to 35.6) or JetPack 7.0-7.1 up to JetPack 7.2 (L4T 38.2 to 39.2), or take the one that is not for a Jetson: `--target linux-arm64`
    ");
    insta::assert_snapshot!(chosen(&release, &orin(Fact::Unknown)), @"
    this is a Jetson, and its release of L4T could not be told from `/etc/nv_tegra_release`; there are `jetson` for 36.4 to 36.5, `jetson-jp5` for 35.2 to 35.6, `jetson-jp7` for 38.2 to 39.2
    help: install JetPack 6.1-6.2 (L4T 36.4 to 36.5) or JetPack 5.1 (L4T 35.2 to 35.6) or JetPack 7.0-7.1 up to JetPack 7.2 (L4T 38.2 to 39.2), or take the one that is not for a Jetson: `--target linux-arm64`
    ");
    let wish = Wish { target: Some("linux-arm64".parse().expect("a name")), is_forced: false };
    let asked = orin(Fact::Is(version("40.1")));
    let choice = choose(&release, &asked, &wish).expect("it was asked for");
    assert_eq!(choice.bundle.target.as_str(), "linux-arm64");
}

#[test]
fn a_jetson_without_tensorrt_gets_what_runs() {
    let mut bare = orin(Fact::Is(version("36.4.3")));
    bare.host.tensorrt = Fact::Absent;
    let release = release();
    let choice = choose(&release, &bare, &Wish::default()).expect("one runs");
    assert_eq!(choice.bundle.target.as_str(), "linux-arm64");
    assert_eq!(choice.passed_over.len(), 1);
    let lacking = &choice.passed_over[0].unmet[0];
    assert_eq!(lacking.unmet.to_string(), "it needs TensorRT 10.x, and the machine has none");
    assert!(lacking.remedy.contains("nvidia-jetpack"));
}

#[test]
fn what_asks_for_more_is_nearer() {
    let fast = Contract { x86_64_level: Some(3), ..glibc("2.28") };
    let bundles = [
        bundle("a-plain", X64, glibc("2.28")),
        bundle("b-new", X64, glibc("2.36")),
        bundle("c-fast", X64, fast),
    ];
    let with = |floor, level| {
        let mut machine = linux(X64, floor);
        machine.host.x86_64_level = Fact::Is(level);
        chosen(&bundles, &machine)
    };
    assert_eq!(with("2.36", 2), "b-new");
    assert_eq!(with("2.31", 3), "c-fast");
    assert_eq!(with("2.31", 2), "a-plain");
}

/// musl is never chosen where glibc does, and otherwise only where it is installed.
#[test]
fn the_other_c_library() {
    let release = release();
    let mut both = linux(X64, "2.31");
    both.host.musl = Fact::Is(version("1.2.5"));
    assert_eq!(chosen(&release, &both), "linux-x64");
    both.host.glibc = Fact::Is(version("2.17"));
    assert_eq!(chosen(&release, &both), "linux-x64-musl");
    // One that brings nothing of either runs everywhere.
    let native = [bundle("linux-x64-musl", MUSL, Contract::default())];
    assert_eq!(chosen(&native, &linux(X64, "2.17")), "linux-x64-musl");
    // A library of the system's glibc is none for musl.
    let mut asks = release[5].clone();
    asks.contract.libraries.insert("libatomic.so.1".to_owned(), BTreeSet::new());
    let refused = choose(&[asks], &both, &Wish::default()).expect_err("it lacks one");
    assert!(refused.to_string().contains("libatomic.so.1"), "{refused}");
}

#[test]
fn a_system_that_is_too_old() {
    let mut old = linux(X64, "2.17");
    old.system.families = vec!["centos".to_owned(), "rhel".to_owned()];
    old.host.libraries = Fact::Is(BTreeSet::new());
    let refusal = choose(&release(), &old, &Wish::default()).expect_err("it is too old");
    insta::assert_snapshot!(told(&refusal), @"
    the bundle for `linux-x64` does not run on this machine
      it needs glibc 2.28 or newer, and the machine has 2.17
      it needs libatomic.so.1, and the machine has none
    help: glibc: it comes with the system: RHEL 8, Debian 10 and newer have glibc 2.28
    libatomic.so.1: `sudo dnf install libatomic`
    ");
    let release = release();
    let wish = Wish { target: None, is_forced: true };
    let choice = choose(&release, &old, &wish).expect("it was forced");
    assert_eq!(choice.bundle.target.as_str(), "linux-x64");
    assert_eq!(choice.forced.len(), 2, "what was overridden is recorded");
}

#[test]
fn nothing_for_the_platform() {
    let mut pi = machine(
        platform(Os::Linux, Cpu::Arm64, None),
        Host { glibc: Fact::Absent, musl: Fact::Absent, l4t: Fact::Absent, ..Host::default() },
    );
    pi.userland_bits = Some(32);
    insta::assert_snapshot!(chosen(&release(), &pi), @"
    there is no bundle for this machine, which is Linux on arm64 without a C library for it: its kernel is one of 64 bits and its programs are of 32
    help: there are `jetson`, `jetson-jp5`, `jetson-jp7`, `linux-arm64`, `linux-x64`, `linux-x64-musl`, `macos-arm64`, `windows-x64`
    ");
    insta::assert_snapshot!(chosen(&release(), &Machine::default()), @"
    this machine is of no kind that there are bundles for
    help: there are `jetson`, `jetson-jp5`, `jetson-jp7`, `linux-arm64`, `linux-x64`, `linux-x64-musl`, `macos-arm64`, `windows-x64`; name one with `--target`, and `--force`
    ");
    let wish =
        |target: &str| Wish { target: Some(target.parse().expect("a name")), is_forced: false };
    let of = |target| {
        told(&choose(&release(), &linux(X64, "2.31"), &wish(target)).expect_err("not here"))
    };
    insta::assert_snapshot!(of("windows-x64"), @"
    the bundle for `windows-x64` is for Windows on x86-64, and this machine is Linux on x86-64 with glibc
    help: leave `--target` out, and the one for this machine is taken
    ");
    insta::assert_snapshot!(of("linux-riscv"), @"
    there is no bundle for `linux-riscv`
    help: there are `jetson`, `jetson-jp5`, `jetson-jp7`, `linux-arm64`, `linux-x64`, `linux-x64-musl`, `macos-arm64`, `windows-x64`
    ");
}

#[test]
fn what_the_system_translates() {
    let mut windows = machine(platform(Os::Win32, Cpu::Arm64, None), Host::default());
    let release = release();
    assert!(chosen(&release, &windows).starts_with("there is no bundle for this machine"));
    windows.translates = BTreeSet::from([Cpu::X64]);
    let choice = choose(&release, &windows, &Wish::default()).expect("it is translated");
    assert_eq!((choice.bundle.target.as_str(), choice.is_translated), ("windows-x64", true));
    let mut both = release.clone();
    both.push(bundle("windows-arm64", platform(Os::Win32, Cpu::Arm64, None), Contract::default()));
    assert_eq!(chosen(&both, &windows), "windows-arm64");
}

#[test]
fn what_cannot_be_told_does_not_refuse() {
    let mut unsure = linux(X64, "2.31");
    unsure.host.free = Fact::Unknown;
    let release = release();
    let choice = choose(&release, &unsure, &Wish::default()).expect("it may run");
    assert_eq!(choice.unknown.len(), 1);
}
