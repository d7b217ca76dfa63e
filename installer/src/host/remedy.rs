//! What a person can do about each need that is not met, in one line.
//!
//! Packages and systems are tables: a new library or release is a new line there. Systems and packages are named, never addresses.

use gangway_artifact::{Fact, Need, Os, PythonVersions, Version, jetson};

use super::Machine;

/// How a family of distributions installs a package, and which column of [`PACKAGES`] is its.
const FAMILIES: [(&str, &str); 5] = [
    ("debian", "sudo apt install"),
    ("fedora", "sudo dnf install"),
    ("alpine", "sudo apk add"),
    ("suse", "sudo zypper install"),
    ("arch", "sudo pacman -S"),
];

/// Other words that systems have for one of the families.
const LIKE: [(&str, &str); 7] = [
    ("ubuntu", "debian"),
    ("rhel", "fedora"),
    ("centos", "fedora"),
    ("amzn", "fedora"),
    ("opensuse", "suse"),
    ("sles", "suse"),
    ("manjaro", "arch"),
];

/// Which package has a library, in the order of [`FAMILIES`].
const PACKAGES: [(&str, [&str; 5]); 26] = [
    ("libX11.so.6", ["libx11-6", "libX11", "libx11", "libX11-6", "libx11"]),
    (
        "libXcomposite.so.1",
        ["libxcomposite1", "libXcomposite", "libxcomposite", "libXcomposite1", "libxcomposite"],
    ),
    ("libXdamage.so.1", ["libxdamage1", "libXdamage", "libxdamage", "libXdamage1", "libxdamage"]),
    ("libXext.so.6", ["libxext6", "libXext", "libxext", "libXext6", "libxext"]),
    ("libXi.so.6", ["libxi6", "libXi", "libxi", "libXi6", "libxi"]),
    ("libXrandr.so.2", ["libxrandr2", "libXrandr", "libxrandr", "libXrandr2", "libxrandr"]),
    ("libXtst.so.6", ["libxtst6", "libXtst", "libxtst", "libXtst6", "libxtst"]),
    ("libasound.so.2", ["libasound2", "alsa-lib", "alsa-lib", "libasound2", "alsa-lib"]),
    ("libatomic.so.1", ["libatomic1", "libatomic", "libatomic", "libatomic1", "gcc-libs"]),
    ("libcrypto.so.3", ["libssl3", "openssl-libs", "libcrypto3", "libopenssl3", "openssl"]),
    ("libcurl.so.4", ["libcurl4", "libcurl", "libcurl", "libcurl4", "curl"]),
    ("libdbus-1.so.3", ["libdbus-1-3", "dbus-libs", "dbus-libs", "libdbus-1-3", "dbus"]),
    ("libexpat.so.1", ["libexpat1", "expat", "libexpat", "libexpat1", "expat"]),
    ("libgcc_s.so.1", ["libgcc-s1", "libgcc", "libgcc", "libgcc_s1", "gcc-libs"]),
    ("libglib-2.0.so.0", ["libglib2.0-0", "glib2", "glib", "libglib-2_0-0", "glib2"]),
    ("libgomp.so.1", ["libgomp1", "libgomp", "libgomp", "libgomp1", "gcc-libs"]),
    ("libnspr4.so", ["libnspr4", "nspr", "nspr", "mozilla-nspr", "nspr"]),
    ("libnss3.so", ["libnss3", "nss", "nss", "mozilla-nss", "nss"]),
    ("libsecret-1.so.0", ["libsecret-1-0", "libsecret", "libsecret", "libsecret-1-0", "libsecret"]),
    ("libsqlite3.so.0", ["libsqlite3-0", "sqlite-libs", "sqlite-libs", "libsqlite3-0", "sqlite"]),
    ("libssl.so.3", ["libssl3", "openssl-libs", "libssl3", "libopenssl3", "openssl"]),
    ("libstdc++.so.6", ["libstdc++6", "libstdc++", "libstdc++", "libstdc++6", "gcc-libs"]),
    ("libudev.so.1", ["libudev1", "systemd-libs", "eudev-libs", "libudev1", "systemd-libs"]),
    ("libusb-1.0.so.0", ["libusb-1.0-0", "libusb1", "libusb", "libusb-1_0-0", "libusb"]),
    (
        "libxkbcommon.so.0",
        ["libxkbcommon0", "libxkbcommon", "libxkbcommon", "libxkbcommon0", "libxkbcommon"],
    ),
    ("libz.so.1", ["zlib1g", "zlib", "zlib", "libz1", "zlib"]),
];

/// Systems by the glibc and the libstdc++ they came with, the oldest first.
const SYSTEMS: [(&str, &str, &str); 7] = [
    ("2.28", "3.4.25", "RHEL 8, Debian 10"),
    ("2.31", "3.4.28", "Debian 11, Ubuntu 20.04, JetPack 5"),
    ("2.34", "3.4.29", "RHEL 9, Amazon Linux 2023"),
    ("2.35", "3.4.30", "Ubuntu 22.04, JetPack 6"),
    ("2.36", "3.4.30", "Debian 12"),
    ("2.39", "3.4.33", "Ubuntu 24.04, RHEL 10, JetPack 7"),
    ("2.41", "3.4.33", "Debian 13"),
];

/// Libraries that come with something larger than a package of the distribution.
const BROUGHT: [(&str, &str); 9] = [
    ("libcuda.so.", "the driver of NVIDIA"),
    ("libnvidia-", "the driver of NVIDIA"),
    ("libcudnn", "cuDNN"),
    ("libnvinfer", "TensorRT"),
    ("libnvonnxparser", "TensorRT"),
    ("libcudart.so.", "CUDA"),
    ("libcublas", "CUDA"),
    ("libcuf", "CUDA"),
    ("libcus", "CUDA"),
];

/// One line that says what can be done.
#[must_use]
pub fn remedy(need: &Need, machine: &Machine) -> String {
    match need {
        Need::Glibc(version) => {
            if let Some(place) = &machine.glibc_elsewhere {
                return format!(
                    "its own is `{place}`, where other systems' programs do not look: on NixOS enable `programs.nix-ld`"
                );
            }
            newer_system("glibc", version, machine, |(glibc, _, _)| glibc)
        }
        Need::Libstdcxx(version) => match &machine.host.libstdcxx {
            Fact::Absent => package("libstdc++.so.6", machine),
            Fact::Unknown | Fact::Is(_) => {
                newer_system("libstdc++", version, machine, |(_, libstdcxx, _)| libstdcxx)
            }
        },
        Need::Musl(version) => {
            format!("upgrade the system to one with musl {version} or newer; Alpine 3.18 has 1.2.4")
        }
        Need::Kernel(version) => format!("boot a kernel of version {version} or newer"),
        Need::X8664Level(level) => format!(
            "it takes a processor with x86-64-v{level}; a virtual machine may be given more of its host's features"
        ),
        Need::PageSize(bytes) => {
            format!("boot a kernel with pages of {} KiB at most", bytes / 1024)
        }
        Need::MacOs(version) => format!("update macOS to {version} or newer in System Settings"),
        Need::Windows(version) => format!("update Windows to {version} or newer in Settings"),
        Need::Library(library) | Need::LibraryVersion { library, .. } => package(library, machine),
        Need::L4t(range) => format!("install {}", system(&range.first, &range.last)),
        Need::Cuda(major) => nvidia(&format!("CUDA {major}"), "cuda-toolkit", *major, machine),
        Need::Cudnn(major) => nvidia(&format!("cuDNN {major}"), "cudnn", *major, machine),
        Need::TensorRt(major) => nvidia(&format!("TensorRT {major}"), "tensorrt", *major, machine),
        Need::Chip { .. } => {
            "there is no code for this graphics chip in the bundle; ask its publisher for one"
                .to_owned()
        }
        Need::Python { python, .. } => python_remedy(python.versions, machine),
        Need::Disk(bytes) => format!(
            "free {} MiB where `{}` is, or choose another place with `--prefix`",
            bytes.div_ceil(1 << 20),
            machine.prefix
        ),
    }
}

/// What NVIDIA calls the systems with these releases.
#[must_use]
pub fn system(first: &Version, last: &Version) -> String {
    let releases = format!("L4T {first} to {last}");
    match (jetson::jetpack(first), jetson::jetpack(last)) {
        (Some(one), Some(other)) if one == other => format!("{one} ({releases})"),
        (Some(one), Some(other)) => format!("{one} up to {other} ({releases})"),
        _ => releases,
    }
}

fn newer_system(
    what: &str,
    needed: &Version,
    machine: &Machine,
    column: fn(&(&'static str, &'static str, &'static str)) -> &'static str,
) -> String {
    // Who has a Jetson cannot do anything with another system.
    let for_this = |name: &&str| name.starts_with("JetPack") == is_jetson(machine);
    let names = |system: &(&'static str, &'static str, &'static str)| {
        let is_enough = column(system).parse::<Version>().is_ok_and(|version| version >= *needed);
        let names: Vec<&str> = system.2.split(", ").filter(for_this).collect();
        (is_enough && !names.is_empty()).then(|| names.join(", "))
    };
    match SYSTEMS.iter().find_map(names) {
        Some(systems) => {
            format!("it comes with the system: {systems} and newer have {what} {needed}")
        }
        None => format!("it comes with the system: a newer one has {what} {needed}"),
    }
}

fn package(library: &str, machine: &Machine) -> String {
    let lower = library.to_lowercase();
    if lower.ends_with(".dll") {
        let is_runtime =
            ["vcruntime", "msvcp", "concrt"].iter().any(|start| lower.starts_with(start));
        return match (is_runtime, lower.starts_with("python")) {
            (true, _) => "install the Microsoft Visual C++ Redistributable: `winget install Microsoft.VCRedist.2015+.x64`".to_owned(),
            (_, true) => "it comes with Python: `winget install Python.Python.3.12`".to_owned(),
            _ => "it is no part of Windows: install the program that brings it".to_owned(),
        };
    }
    let brought = BROUGHT.iter().find(|(start, _)| library.starts_with(start));
    if let Some((_, with)) = brought {
        return match is_jetson(machine) {
            true => format!("it comes with {with}: `sudo apt install nvidia-jetpack`"),
            false => format!("it comes with {with}, which NVIDIA has for your system"),
        };
    }
    let known = PACKAGES.iter().find(|(name, _)| *name == library);
    match (family(machine), known) {
        (Some(at), Some((_, packages))) => format!("`{} {}`", FAMILIES[at].1, packages[at]),
        (None, Some((_, packages))) => {
            format!("install the package that has it, `{}` on Debian", packages[0])
        }
        (_, None) => "install the package of your system that has it".to_owned(),
    }
}

/// Which family the system belongs to: what it is itself counts before what it is like.
fn family(machine: &Machine) -> Option<usize> {
    let families = machine.system.families.iter();
    let named = families.filter_map(|word| {
        let like = LIKE.iter().find(|(name, _)| word.starts_with(name)).map(|(_, family)| *family);
        let family = like.unwrap_or(word.as_str());
        FAMILIES.iter().position(|(name, _)| *name == family)
    });
    named.into_iter().next()
}

fn is_jetson(machine: &Machine) -> bool {
    matches!(machine.host.l4t, Fact::Is(_))
}

fn nvidia(what: &str, package: &str, major: u32, machine: &Machine) -> String {
    match is_jetson(machine) {
        true => {
            format!("`sudo apt install nvidia-jetpack`; if that has no {what}, another JetPack has")
        }
        false => format!("install {what}: NVIDIA's package `{package}` of version {major}"),
    }
}

fn python_remedy(versions: PythonVersions, machine: &Machine) -> String {
    let os = match &machine.host.platform {
        Fact::Is(platform) => Some(platform.os),
        Fact::Absent | Fact::Unknown => None,
    };
    let is_exact = versions.last == Some(versions.first);
    let numbered = |start: &str, end: &str| match is_exact {
        true => format!("{start}{}", versions.first),
        false => format!("{start}{end}"),
    };
    let command = match (os, family(machine).map(|at| FAMILIES[at])) {
        (Some(Os::Darwin), _) => format!("brew install {}", numbered("python@", "3")),
        (Some(Os::Win32), _) => format!("winget install {}", numbered("Python.Python.", "3.12")),
        (_, Some((name, install))) => match name {
            "arch" => format!("{install} python"),
            // They have one Python, and that is it.
            "alpine" => format!("{install} python3"),
            _ => format!("{install} {}", numbered("python", "3")),
        },
        (_, None) => return format!("install {versions}"),
    };
    format!("install {versions}: `{command}`")
}

#[cfg(test)]
mod tests {
    use gangway_artifact::{Host, L4tRange};

    use super::super::system::System;
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    fn on(families: &[&str]) -> Machine {
        let families = families.iter().map(|family| (*family).to_owned()).collect();
        Machine {
            system: System { name: None, families },
            prefix: "/opt/a".into(),
            ..Machine::default()
        }
    }

    #[test]
    fn packages_of_families() {
        let atomic = Need::Library("libatomic.so.1".to_owned());
        let of = |families: &[&str]| remedy(&atomic, &on(families));
        assert_eq!(of(&["ubuntu", "debian"]), "`sudo apt install libatomic1`");
        assert_eq!(of(&["rocky", "rhel", "centos", "fedora"]), "`sudo dnf install libatomic`");
        assert_eq!(of(&["alpine"]), "`sudo apk add libatomic`");
        assert_eq!(of(&["opensuse-leap", "suse"]), "`sudo zypper install libatomic1`");
        assert_eq!(of(&["void"]), "install the package that has it, `libatomic1` on Debian");
        let sorted = PACKAGES.is_sorted_by_key(|(name, _)| *name);
        assert!(sorted, "a table is read by people as well");
    }

    #[test]
    fn a_line_for_every_need() {
        let range = L4tRange { first: version("36.4"), last: version("36.5") };
        let python = gangway_artifact::Python {
            versions: PythonVersions::exactly("3.10".parse().expect("a version")),
            native: false,
        };
        let needs = [
            Need::Glibc(version("2.34")),
            Need::Glibc(version("2.50")),
            Need::Libstdcxx(version("3.4.30")),
            Need::Musl(version("1.2.4")),
            Need::Kernel(version("5.15")),
            Need::X8664Level(3),
            Need::PageSize(4096),
            Need::MacOs(version("13.5")),
            Need::Windows(version("10.0.17763")),
            Need::Library("vcruntime140.dll".to_owned()),
            Need::Library("python3.dll".to_owned()),
            Need::Library("libnvinfer.so.10".to_owned()),
            Need::Library("libodd.so.1".to_owned()),
            Need::L4t(range),
            Need::Cuda(12),
            Need::Chip { sm: [version("8.7")].into(), ptx: Default::default() },
            Need::Python { service: "s".to_owned(), python },
            Need::Disk(100 << 20),
        ];
        let machine = Machine {
            host: Host {
                l4t: Fact::Is(version("35.4")),
                libstdcxx: Fact::Is(version("3.4.28")),
                ..Host::default()
            },
            ..on(&["ubuntu"])
        };
        let lines: Vec<_> = needs.iter().map(|need| remedy(need, &machine)).collect();
        assert!(lines.iter().all(|line| !line.contains('\n') && !line.is_empty()));
        insta::assert_snapshot!(lines.join("\n"), @"
        it comes with the system: JetPack 6 and newer have glibc 2.34
        it comes with the system: a newer one has glibc 2.50
        it comes with the system: JetPack 6 and newer have libstdc++ 3.4.30
        upgrade the system to one with musl 1.2.4 or newer; Alpine 3.18 has 1.2.4
        boot a kernel of version 5.15 or newer
        it takes a processor with x86-64-v3; a virtual machine may be given more of its host's features
        boot a kernel with pages of 4 KiB at most
        update macOS to 13.5 or newer in System Settings
        update Windows to 10.0.17763 or newer in Settings
        install the Microsoft Visual C++ Redistributable: `winget install Microsoft.VCRedist.2015+.x64`
        it comes with Python: `winget install Python.Python.3.12`
        it comes with TensorRT: `sudo apt install nvidia-jetpack`
        install the package of your system that has it
        install JetPack 6.1-6.2 (L4T 36.4 to 36.5)
        `sudo apt install nvidia-jetpack`; if that has no CUDA 12, another JetPack has
        there is no code for this graphics chip in the bundle; ask its publisher for one
        install Python 3.10: `sudo apt install python3.10`
        free 100 MiB where `/opt/a` is, or choose another place with `--prefix`
        ");
    }

    #[test]
    fn nixos() {
        let machine =
            Machine { glibc_elsewhere: Some("/nix/store/x".to_owned()), ..Machine::default() };
        assert!(remedy(&Need::Glibc(version("2.28")), &machine).contains("nix-ld"));
    }
}
