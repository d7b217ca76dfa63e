//! What a Jetson says of itself in its files, and what its releases are called.
//!
//! Both ends ask a Jetson: the builder before it tries a bundle on one, the installer before it installs one there. They must not come to
//! different answers, so the texts are read here.

use crate::Version;

/// The compute capability of the chip in each generation, by the word in its device tree.
const CHIPS: [(&str, &str); 5] = [
    ("tegra210", "5.3"),
    ("tegra186", "6.2"),
    ("tegra194", "7.2"),
    ("tegra234", "8.7"),
    ("tegra264", "11.0"),
];

/// JetPack by the releases of L4T it came with: the first, the last, and its name.
const JETPACKS: [(&str, &str, &str); 7] = [
    ("32.6", "32.7", "JetPack 4.6"),
    ("35.1", "35.1", "JetPack 5.0.2"),
    ("35.2", "35.6", "JetPack 5.1"),
    ("36.3", "36.3", "JetPack 6.0"),
    ("36.4", "36.5", "JetPack 6.1-6.2"),
    ("38.2", "38.4", "JetPack 7.0-7.1"),
    ("39.2", "39.2", "JetPack 7.2"),
];

/// The release of L4T, from the first line of `/etc/nv_tegra_release`: `# R36 (release), REVISION: 4.3, GCID: ...` is 36.4.3.
#[must_use]
pub fn release(line: &str) -> Option<Version> {
    let after = |mark: &str| Version::leading(line.split_once(mark)?.1.trim_start());
    let (release, revision) = (after("R")?, after("REVISION:")?);
    format!("{release}.{revision}").parse().ok()
}

/// The compute capability of the graphics chip, from the words in `/proc/device-tree/compatible`.
#[must_use]
pub fn chip(compatible: &str) -> Option<Version> {
    let (_, sm) = CHIPS.iter().find(|(chip, _)| compatible.contains(chip))?;
    sm.parse().ok()
}

/// What NVIDIA calls the system with this release of L4T, if it is one that Gangway knows.
#[must_use]
pub fn jetpack(l4t: &Version) -> Option<&'static str> {
    let version = |text: &str| text.parse::<Version>().expect("a table of versions");
    let known = JETPACKS.iter().find(|(first, last, _)| {
        let last = version(last);
        version(first) <= *l4t && l4t.cut_like(&last) <= last
    });
    known.map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn releases() {
        let of = |line| release(line).map(|version| version.to_string());
        let orin = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64";
        assert_eq!(of(orin).as_deref(), Some("36.4.3"));
        let xavier = "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref";
        assert_eq!(of(xavier).as_deref(), Some("35.4.1"));
        assert_eq!(of("# R36 (release), GCID: 1"), None);
        assert_eq!(of("REVISION: 4.3"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn names_of_releases() {
        let of = |text: &str| jetpack(&text.parse().expect("a version"));
        assert_eq!(of("32.7.6"), Some("JetPack 4.6"));
        assert_eq!(of("35.6.4"), Some("JetPack 5.1"));
        assert_eq!(of("36.4.3"), Some("JetPack 6.1-6.2"));
        assert_eq!(of("39.2"), Some("JetPack 7.2"));
        assert_eq!([of("35.7"), of("36.6"), of("40.1"), of("31")], [None; 4]);
    }

    #[test]
    fn chips() {
        let of = |words| chip(words).map(|version| version.to_string());
        assert_eq!(of("nvidia,p3768-0000 nvidia,tegra234").as_deref(), Some("8.7"));
        assert_eq!(of("nvidia,jetson-nano nvidia,tegra210").as_deref(), Some("5.3"));
        assert_eq!(of("raspberrypi,4-model-b brcm,bcm2711"), None);
    }

    proptest! {
        #[test]
        fn whatever_it_says(line in ".{0,80}") {
            let _ = (release(&line), chip(&line));
        }
    }
}
