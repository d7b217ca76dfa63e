//! A machine at the other end of ssh, from what `runner.sh probe` says of it.
//!
//! Pure. What the machine does not say stays unknown, unless its absence is told by something else: a Mac has no glibc.

use std::collections::{BTreeMap, BTreeSet};

use gangway_artifact::{Cpu, Fact, Host, Libc, Os, Platform, Version, jetson};

/// What every level of x86-64 has that the one below has not, by the names Linux gives.
const LEVELS: [(u8, &[&str]); 3] = [
    (2, &["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"]),
    (3, &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]),
    (4, &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
];

/// The machine, and what it says of itself in the words of the probe.
#[must_use]
pub fn read(said: &str) -> (Host, BTreeMap<String, String>) {
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in said.lines() {
        if let Some((word, value)) = line.split_once(' ') {
            lines.entry(word).or_default().push(value.trim());
        }
    }
    let one = |word: &str| lines.get(word).and_then(|values| values.first()).copied();
    let platform = platform(&one);
    let is_linux = one("os") == Some("Linux");
    // Absent where the machine is known and something would have been said.
    let version = |word: &str, there: bool| match one(word).and_then(Version::leading) {
        Some(version) => Fact::Is(version),
        None if there => Fact::Unknown,
        None => Fact::Absent,
    };
    let libc = platform.as_ref().and_then(|platform| platform.libc);
    let is_jetson = one("tegra").is_some();
    let set = |word: &str| lines.get(word).into_iter().flatten().map(|text| (*text).to_owned());
    let host = Host {
        glibc: version("glibc", libc != Some(Libc::Musl) && is_linux),
        libstdcxx: version("libstdcxx", false),
        musl: version("musl", libc == Some(Libc::Musl)),
        kernel: version("kernel", true),
        x86_64_level: one("flags").map_or(Fact::Unknown, |flags| Fact::Is(level(flags))),
        page_size: number(one("page")),
        macos: version("macos", one("os") == Some("Darwin")),
        windows: Fact::Absent,
        libraries: match is_linux {
            true => Fact::Is(set("library").collect()),
            // macOS keeps its libraries in one file and has none to look at.
            false => Fact::Unknown,
        },
        l4t: l4t(one("tegra"), is_linux),
        cuda: version("cuda", is_jetson),
        cudnn: newest(set("cudnn")),
        tensorrt: newest(set("nvinfer")),
        chip: chip(one("compatible")),
        python: python(set("python")),
        free: match number(one("free")) {
            Fact::Is(kibibytes) => Fact::Is(kibibytes * 1024),
            other => other,
        },
        platform: platform.map_or(Fact::Unknown, Fact::Is),
    };
    let told = [
        "os",
        "machine",
        "kernel",
        "glibc",
        "musl",
        "libstdcxx",
        "macos",
        "tegra",
        "model",
        "cuda",
    ];
    let told = told.into_iter().filter_map(|word| Some((word.to_owned(), one(word)?.to_owned())));
    (host, told.collect())
}

fn platform<'a>(one: &impl Fn(&str) -> Option<&'a str>) -> Option<Platform> {
    let cpu = match one("machine")? {
        "x86_64" | "amd64" => Cpu::X64,
        "aarch64" | "arm64" => Cpu::Arm64,
        _ => return None,
    };
    let (os, libc) = match one("os")? {
        "Linux" if one("glibc").is_some() => (Os::Linux, Some(Libc::Glibc)),
        "Linux" if one("musl").is_some() => (Os::Linux, Some(Libc::Musl)),
        "Darwin" => (Os::Darwin, None),
        _ => return None,
    };
    Some(Platform { os, cpu, libc })
}

fn level(flags: &str) -> u8 {
    let has: BTreeSet<&str> = flags.split_whitespace().collect();
    let all = |(_, needed): &&(u8, &[&str])| needed.iter().all(|flag| has.contains(flag));
    LEVELS.iter().take_while(all).last().map_or(1, |(level, _)| *level)
}

fn l4t(line: Option<&str>, is_linux: bool) -> Fact<Version> {
    match line {
        Some(line) => jetson::release(line).map_or(Fact::Unknown, Fact::Is),
        None if is_linux => Fact::Absent,
        None => Fact::Unknown,
    }
}

fn chip(compatible: Option<&str>) -> Fact<Version> {
    compatible.and_then(jetson::chip).map_or(Fact::Unknown, Fact::Is)
}

fn newest(versions: impl Iterator<Item = String>) -> Fact<Version> {
    let versions = versions.filter_map(|text| Version::leading(&text));
    versions.max().map_or(Fact::Absent, Fact::Is)
}

fn python(
    versions: impl Iterator<Item = String>,
) -> Fact<BTreeSet<gangway_artifact::PythonVersion>> {
    let versions: BTreeSet<_> = versions.filter_map(|text| text.parse().ok()).collect();
    if versions.is_empty() { Fact::Absent } else { Fact::Is(versions) }
}

fn number(text: Option<&str>) -> Fact<u64> {
    text.and_then(|text| text.parse().ok()).map_or(Fact::Unknown, Fact::Is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Fact<Version> {
        Fact::Is(text.parse().expect(text))
    }

    #[test]
    fn an_orin() {
        let (host, told) = read(
            "os Linux\nmachine aarch64\nkernel 5.15.148-tegra\npage 4096\nglibc 2.35\nlibstdcxx 3.4.30\n\
             tegra # R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n\
             model NVIDIA Jetson Orin Nano\ncompatible nvidia,p3768-0000+p3767-0005 nvidia,tegra234\n\
             cuda 12.6.68\nnvinfer 10\nnvinfer 10.3.0\npython 3.10\npython 3.10\nfree 1024\n\
             library libatomic.so.1\nend of probe\n",
        );
        let platform = Platform { os: Os::Linux, cpu: Cpu::Arm64, libc: Some(Libc::Glibc) };
        assert_eq!(host.platform, Fact::Is(platform));
        assert_eq!(host.l4t, version("36.4.3"));
        assert_eq!(host.kernel, version("5.15.148"));
        assert_eq!((host.cuda, host.tensorrt), (version("12.6.68"), version("10.3.0")));
        assert_eq!((host.cudnn, host.chip), (Fact::Absent, version("8.7")));
        assert_eq!((host.free, host.page_size), (Fact::Is(1 << 20), Fact::Is(4096)));
        assert_eq!(host.libraries, Fact::Is(BTreeSet::from(["libatomic.so.1".to_owned()])));
        assert_eq!(host.python, Fact::Is(BTreeSet::from(["3.10".parse().expect("a version")])));
        assert_eq!(told["model"], "NVIDIA Jetson Orin Nano");
    }

    #[test]
    fn a_mac_and_a_box_with_musl() {
        let (mac, _) = read("os Darwin\nmachine arm64\nkernel 24.1.0\npage 16384\nmacos 15.1\n");
        assert_eq!(
            mac.platform,
            Fact::Is(Platform { os: Os::Darwin, cpu: Cpu::Arm64, libc: None })
        );
        assert_eq!((mac.macos, mac.glibc), (version("15.1"), Fact::Absent));
        assert_eq!(mac.libraries, Fact::Unknown);
        let (alpine, _) = read("os Linux\nmachine x86_64\nkernel 6.6.1\nmusl 1.2.5\n");
        assert_eq!(
            alpine.platform,
            Fact::Is(Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Musl) })
        );
        assert_eq!((alpine.glibc, alpine.l4t), (Fact::Absent, Fact::Absent));
    }

    #[test]
    fn levels_of_processors() {
        let v2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3";
        let v3 = format!("{v2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave");
        assert_eq!([level(""), level(v2), level(&v3)], [1, 2, 3]);
        // What has the newest and lacks something below is no more than that.
        assert_eq!(level("avx512f avx512bw avx512cd avx512dq avx512vl"), 1);
    }

    proptest::proptest! {
        #[test]
        fn whatever_it_says(said in "(.{0,30}\n){0,8}") {
            let _ = read(&said);
        }
    }
}
