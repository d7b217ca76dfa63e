//! What the system is called, and which family of distributions it belongs to.

use gangway_artifact::{Fact, Version};

use super::root::Root;

/// A system, as it names itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System {
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub name: Option<String>,
    /// Its own word for itself and those it says it is like, the nearest first: `ubuntu`, `debian`.
    pub families: Vec<String>,
}

/// A Linux, from `os-release`.
#[must_use]
pub fn linux(root: &Root) -> System {
    let texts = ["/etc/os-release", "/usr/lib/os-release"].map(|path| root.text(path));
    let text = texts.into_iter().find_map(|text| match text {
        Fact::Is(text) => Some(text),
        Fact::Absent | Fact::Unknown => None,
    });
    text.map(|text| os_release(&text)).unwrap_or_default()
}

fn os_release(text: &str) -> System {
    let value = |key: &str| {
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
        let value = line.trim().trim_matches(['"', '\'']);
        // It is shown to people: nothing that moves their cursor.
        let shown: String = value.chars().filter(|one| !one.is_control()).take(100).collect();
        (!shown.is_empty()).then_some(shown)
    };
    let plain = || Some(format!("{} {}", value("NAME")?, value("VERSION_ID")?));
    let words = |key| value(key).unwrap_or_default();
    let families = format!("{} {}", words("ID"), words("ID_LIKE"));
    System {
        name: value("PRETTY_NAME").or_else(plain).or_else(|| value("NAME")),
        families: families.split_whitespace().map(str::to_lowercase).collect(),
    }
}

/// The version of macOS, from `SystemVersion.plist`.
#[must_use]
pub fn macos(root: &Root) -> Fact<Version> {
    let text = match root.text("/System/Library/CoreServices/SystemVersion.plist") {
        Fact::Is(text) => text,
        Fact::Absent | Fact::Unknown => return Fact::Unknown,
    };
    plist_version(&text).map_or(Fact::Unknown, Fact::Is)
}

fn plist_version(text: &str) -> Option<Version> {
    let (_, rest) = text.split_once("<key>ProductVersion</key>")?;
    let value = rest.trim_start().strip_prefix("<string>")?;
    value.split_once("</string>")?.0.trim().parse().ok()
}

/// All memory, in bytes, from `/proc/meminfo`.
#[must_use]
pub fn memory(root: &Root) -> Fact<u64> {
    let Fact::Is(text) = root.text("/proc/meminfo") else { return Fact::Unknown };
    kibibytes(&text, "MemTotal:").map_or(Fact::Unknown, Fact::Is)
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_systems() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nID=debian\n";
        let system = os_release(debian);
        assert_eq!(system.name.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(system.families, ["debian"]);
        let jetson = "NAME=\"Ubuntu\"\nVERSION_ID='22.04'\nID=ubuntu\nID_LIKE=debian\n";
        let system = os_release(jetson);
        assert_eq!(system.name.as_deref(), Some("Ubuntu 22.04"));
        assert_eq!(system.families, ["ubuntu", "debian"]);
        assert_eq!(os_release(""), System::default());
    }

    #[test]
    fn a_mac() {
        let plist = "<plist version=\"1.0\">\n<dict>\n\t<key>ProductBuildVersion</key>\n\t<string>24B83</string>\n\t<key>ProductVersion</key>\n\t<string>15.1</string>\n</dict>";
        assert_eq!(plist_version(plist).map(|v| v.to_string()).as_deref(), Some("15.1"));
        assert_eq!(plist_version("bplist00"), None);
    }

    #[test]
    fn memory_in_bytes() {
        let text = "MemTotal:       24684516 kB\nMemFree:  1 kB\n";
        assert_eq!(kibibytes(text, "MemTotal:"), Some(24_684_516 * 1024));
        assert_eq!(kibibytes("MemTotal: 99999999999999999999 kB", "MemTotal:"), None);
        assert_eq!(kibibytes("MemTotal: 18446744073709551615 kB", "MemTotal:"), None);
    }

    proptest! {
        #[test]
        fn whatever_they_say(text in "(.{0,40}\n){0,6}") {
            let _ = os_release(&text);
            let _ = plist_version(&format!("<key>ProductVersion</key><string>{text}"));
            let _ = kibibytes(&format!("MemTotal:{text}"), "MemTotal:");
        }
    }
}
