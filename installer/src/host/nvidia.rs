//! What a machine has of NVIDIA, from files alone: the release of L4T, the chip, the driver, CUDA, cuDNN and TensorRT.
//!
//! `nvidia-smi` is not asked: it is slow, it is not there in most containers, and a Jetson's has little to say.

use std::io::{BufRead, BufReader, Read};

use gangway_artifact::{Cpu, Fact, Version, jetson};

use super::arch::Arch;
use super::libraries::Libraries;
use super::root::Root;

/// The most of dpkg's list that is read.
const PACKAGES: u64 = 64 << 20;

/// What there is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Nvidia {
    /// The release of L4T.
    pub l4t: Fact<Version>,
    /// The compute capability of a Jetson's chip.
    pub chip: Fact<Version>,
    /// CUDA.
    pub cuda: Fact<Version>,
    /// cuDNN.
    pub cudnn: Fact<Version>,
    /// TensorRT.
    pub tensorrt: Fact<Version>,
    /// The driver of the graphics chip.
    pub driver: Fact<Version>,
    /// What the board is called.
    pub model: Option<String>,
}

/// Reads all of it.
#[must_use]
pub fn read(root: &Root, arch: &Arch, libraries: &Libraries<'_>) -> Nvidia {
    Nvidia {
        l4t: if arch.cpu == Cpu::Arm64 { l4t(root) } else { Fact::Absent },
        chip: chip(root),
        cuda: cuda(root, libraries),
        cudnn: newest(libraries, "libcudnn.so."),
        tensorrt: newest(libraries, "libnvinfer.so."),
        driver: driver(root),
        model: model(root),
    }
}

/// The file that says it, else the package that it came with. A Jetson's chip under a system without either has no L4T.
fn l4t(root: &Root) -> Fact<Version> {
    match root.text("/etc/nv_tegra_release") {
        Fact::Is(text) => {
            let line = text.lines().next().unwrap_or_default();
            jetson::release(line).map_or(Fact::Unknown, Fact::Is)
        }
        Fact::Unknown => Fact::Unknown,
        Fact::Absent => match root.open("/var/lib/dpkg/status") {
            Fact::Is(file) => package(BufReader::new(file.take(PACKAGES)), "nvidia-l4t-core"),
            Fact::Absent => Fact::Absent,
            Fact::Unknown => Fact::Unknown,
        },
    }
}

/// The version of an installed package in dpkg's list.
fn package(list: impl BufRead, name: &str) -> Fact<Version> {
    let mut is_it = false;
    let mut is_installed = false;
    for line in list.split(b'\n') {
        let Ok(line) = line else { return Fact::Unknown };
        let line = String::from_utf8_lossy(&line);
        if let Some(package) = line.strip_prefix("Package: ") {
            (is_it, is_installed) = (package.trim() == name, false);
        } else if is_it && line.starts_with("Status: ") {
            is_installed = line.trim_end().ends_with(" installed");
        } else if let Some(version) = line.strip_prefix("Version: ").filter(|_| is_installed) {
            return Version::leading(version).map_or(Fact::Unknown, Fact::Is);
        }
    }
    Fact::Absent
}

fn chip(root: &Root) -> Fact<Version> {
    // A chip of another maker has no compute capability, and one on a card says its nowhere in a file.
    let words = tree(root, "compatible");
    words.and_then(|words| jetson::chip(&words)).map_or(Fact::Unknown, Fact::Is)
}

fn model(root: &Root) -> Option<String> {
    let model = tree(root, "model")?;
    let model: String = model.chars().filter(|one| !one.is_control()).take(100).collect();
    Some(model.trim().to_owned()).filter(|model| !model.is_empty())
}

/// A property of the device tree, its words separated by blanks.
fn tree(root: &Root, property: &str) -> Option<String> {
    let folders = ["/proc/device-tree", "/sys/firmware/devicetree/base"];
    folders.into_iter().find_map(|folder| match root.text(&format!("{folder}/{property}")) {
        Fact::Is(text) => Some(text.replace('\0', " ")),
        Fact::Absent | Fact::Unknown => None,
    })
}

/// What the toolkit says of itself, else the name of its library's file.
fn cuda(root: &Root, libraries: &Libraries<'_>) -> Fact<Version> {
    let of = |path: &str, read: fn(&str) -> Option<Version>| match root.text(path) {
        Fact::Is(text) => read(&text),
        Fact::Absent | Fact::Unknown => None,
    };
    let said = of("/usr/local/cuda/version.json", cuda_json)
        .or_else(|| of("/usr/local/cuda/version.txt", cuda_text));
    said.map_or_else(|| newest(libraries, "libcudart.so."), Fact::Is)
}

fn cuda_json(text: &str) -> Option<Version> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Version::leading(value.get("cuda")?.get("version")?.as_str()?)
}

/// Until CUDA 11.0: `CUDA Version 10.2.300`.
fn cuda_text(text: &str) -> Option<Version> {
    Version::leading(text.trim_start().strip_prefix("CUDA Version ")?)
}

/// The newest of a library's files: `libnvinfer.so.10` is a link to `libnvinfer.so.10.3.0`.
fn newest(libraries: &Libraries<'_>, prefix: &str) -> Fact<Version> {
    let endings = libraries.endings(prefix);
    let versions = endings.iter().filter_map(|ending| ending.parse::<Version>().ok());
    versions.max().map_or(Fact::Absent, Fact::Is)
}

/// `NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build ...`
fn driver(root: &Root) -> Fact<Version> {
    match root.text("/proc/driver/nvidia/version") {
        Fact::Is(text) => driver_version(&text).map_or(Fact::Unknown, Fact::Is),
        Fact::Unknown => Fact::Unknown,
        Fact::Absent => match root.text("/sys/module/nvidia/version") {
            Fact::Is(text) => Version::leading(text.trim()).map_or(Fact::Unknown, Fact::Is),
            Fact::Absent => Fact::Absent,
            Fact::Unknown => Fact::Unknown,
        },
    }
}

fn driver_version(text: &str) -> Option<Version> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let numbers = line.split_whitespace().filter(|word| word.contains('.'));
    numbers.filter_map(|word| word.parse().ok()).next()
}

/// What drives the graphics chips that are not NVIDIA's, by the kernel's own word: `amdgpu`, `i915`.
#[must_use]
pub fn other_drivers(root: &Root) -> Vec<String> {
    let cards = root.names("/sys/class/drm").into_iter();
    let cards = cards.filter(|name| {
        name.strip_prefix("card").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let mut drivers: Vec<String> = cards
        .filter_map(|card| {
            let driver = root.resolve(&format!("/sys/class/drm/{card}/device/driver"))?;
            let name = driver.rsplit('/').next()?.to_owned();
            (name != "driver" && name != "nvidia").then_some(name)
        })
        .collect();
    drivers.sort();
    drivers.dedup();
    drivers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(version: Option<Version>) -> Option<String> {
        version.map(|version| version.to_string())
    }

    #[test]
    fn versions_in_texts() {
        let json = r#"{"cuda":{"name":"CUDA SDK","version":"12.6.68"},"cuda_cudart":{"version":"12.6.68"}}"#;
        assert_eq!(text(cuda_json(json)).as_deref(), Some("12.6.68"));
        assert_eq!(text(cuda_text("CUDA Version 10.2.300\n")).as_deref(), Some("10.2.300"));
        let orin = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain@mobile-u64)\nGCC version:  collect2: error";
        assert_eq!(text(driver_version(orin)).as_deref(), Some("540.4.0"));
        let desktop = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n";
        assert_eq!(text(driver_version(desktop)).as_deref(), Some("550.54.14"));
    }

    #[test]
    fn packages_of_dpkg() {
        let list = "Package: nvidia-l4t-core-extra\nStatus: install ok installed\nVersion: 1.0\n\n\
                    Package: nvidia-l4t-core\nStatus: install ok installed\nArchitecture: arm64\nVersion: 36.4.3-20250107174145\n";
        let of = |list: &str| package(list.as_bytes(), "nvidia-l4t-core");
        assert_eq!(of(list), Fact::Is("36.4.3".parse().expect("a version")));
        assert_eq!(of(&list.replace("ok installed\nArch", "ok config-files\nArch")), Fact::Absent);
        assert_eq!(of(""), Fact::Absent);
    }

    #[cfg(unix)]
    mod machines {
        use super::super::super::testing::{self, Machine};
        use super::*;

        fn seen(machine: &Machine) -> Nvidia {
            let root = machine.root();
            let arch = Arch::of(Cpu::Arm64);
            read(&root, arch, &Libraries::new(&root, arch))
        }

        fn is(text: &str) -> Fact<Version> {
            Fact::Is(text.parse().expect("a version"))
        }

        #[test]
        fn an_orin_with_jetpack_6() {
            let seen = seen(&testing::orin());
            assert_eq!((seen.l4t, seen.chip), (is("36.4.3"), is("8.7")));
            assert_eq!((seen.cuda, seen.cudnn), (is("12.6.68"), is("9.3.0")));
            assert_eq!((seen.tensorrt, seen.driver), (is("10.3.0"), is("540.4.0")));
            assert_eq!(
                seen.model.as_deref(),
                Some("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super")
            );
        }

        #[test]
        fn without_the_file_the_package_tells() {
            let machine = testing::orin();
            machine.remove("etc/nv_tegra_release");
            assert_eq!(seen(&machine).l4t, is("36.4.3"));
            machine.write("etc/nv_tegra_release", b"# R?? (release)\n");
            assert_eq!(seen(&machine).l4t, Fact::Unknown);
        }

        #[test]
        fn a_board_of_another_maker() {
            let machine = Machine::new(&[
                ("proc/device-tree/compatible", "raspberrypi,4-model-b\0brcm,bcm2711\0"),
                ("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
                ("var/lib/dpkg/status", "Package: base-files\nStatus: install ok installed\n"),
            ]);
            let seen = seen(&machine);
            assert_eq!((seen.l4t, seen.chip), (Fact::Absent, Fact::Unknown));
            assert_eq!((seen.cuda, seen.driver), (Fact::Absent, Fact::Absent));
            assert_eq!(seen.model.as_deref(), Some("Raspberry Pi 4 Model B Rev 1.4"));
        }

        #[test]
        fn the_driver_of_another_chip() {
            let machine = Machine::new(&[("sys/bus/pci/drivers/amdgpu/bind", "")]);
            machine.link("../../../bus/pci/drivers/amdgpu", "sys/devices/pci/0000/driver");
            machine.link("../../../devices/pci/0000", "sys/class/drm/card0/device");
            machine.write("sys/class/drm/card0-DP-1/status", b"");
            assert_eq!(other_drivers(&machine.root()), ["amdgpu"]);
        }
    }

    proptest! {
        #[test]
        fn whatever_they_say(text in "(.{0,60}\n){0,6}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (cuda_json(&text), cuda_text(&text), driver_version(&text));
            let _ = driver_version(&format!("NVRM version: {text}"));
            let _ = package(text.as_bytes(), "nvidia-l4t-core");
            let mut list = b"Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: ".to_vec();
            list.extend(bytes);
            let _ = package(list.as_slice(), "nvidia-l4t-core");
        }
    }
}
