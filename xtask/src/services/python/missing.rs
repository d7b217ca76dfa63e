//! Which wheel is missing, and what there is instead.
//!
//! uv names one package and no wheels. So when it fails, every package is tried alone, and the wheels of the one that
//! fails are listed: those of the platform, and those of the Python version.

use std::collections::BTreeSet;
use std::fmt;

use camino::Utf8Path;
use gangway_artifact::{PythonVersion, TargetName};
use rayon::prelude::*;
use toml::Table;

use super::lock::{self, Lock};
use super::requirements::normalized;
use super::uv::{Dependencies, Fit, Uv};

/// A package without a wheel that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingWheel {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) python: PythonVersion,
    /// The newest tag that would have fitted.
    wanted: String,
    target: TargetName,
    /// The tags of all its wheels.
    tags: BTreeSet<String>,
}

/// The first package of `lock` that has no wheel for `fit`; `None` when that is not what is wrong.
pub(super) fn find(
    uv: &Uv<'_>,
    lock: &Lock,
    fit: Fit<'_>,
    file: &Utf8Path,
    folder: &Utf8Path,
) -> Option<MissingWheel> {
    let listed;
    let known = match lock.as_pylock() {
        Some(pylock) => pylock,
        None => {
            listed = uv.list(lock, fit, file, folder)?;
            &listed
        }
    };
    let failing = |index: &usize| {
        let place = folder.join(format!("alone-{index}"));
        let resolved = std::fs::create_dir(&place)
            .and_then(|()| lock.alone(*index, &place))
            .map(|file| uv.resolve(fit, &file, &place.join("site"), Dependencies::Ignored));
        matches!(resolved, Ok(Err(_)))
    };
    let failing: Vec<usize> = (0..lock.packages.len()).into_par_iter().filter(failing).collect();
    failing.into_iter().find_map(|index| {
        let package = &lock.packages[index];
        let version = package.version.clone()?;
        let tags = tags(known, &package.name, &version)?;
        Some(MissingWheel {
            name: package.name.clone(),
            version,
            python: fit.python,
            wanted: fit.target.wheels().tag.clone(),
            target: fit.target.name.clone(),
            tags,
        })
    })
}

/// The tags of one version's wheels.
fn tags(pylock: &Table, name: &str, version: &str) -> Option<BTreeSet<String>> {
    let package = lock::packages(pylock).find(|package| {
        lock::text_of(package, "name").is_some_and(|found| normalized(found) == name)
            && lock::text_of(package, "version") == Some(version)
    })?;
    let file = |wheel: &Table| {
        let place = ["name", "url", "path"].iter().find_map(|key| lock::text_of(wheel, key))?;
        let name = place.rsplit('/').next()?.strip_suffix(".whl")?;
        // Name, version, perhaps a build number, then three tags.
        let parts: Vec<&str> = name.rsplitn(4, '-').collect();
        (parts.len() == 4).then(|| format!("{}-{}-{}", parts[2], parts[1], parts[0]))
    };
    Some(lock::wheels(package).filter_map(file).collect())
}

impl MissingWheel {
    /// The wheels whose platform is of the same system and processor.
    fn of_platform(&self) -> Vec<&str> {
        let system = self.wanted.split('_').next().unwrap_or_default();
        let processor = match self.wanted.strip_suffix("x86_64") {
            Some(_) => "x86_64",
            None => self.wanted.rsplit('_').next().unwrap_or_default(),
        };
        let is_near = |tag: &&str| {
            let platform = tag.rsplit('-').next().unwrap_or_default();
            let of_system = |one: &str| one == "any" || one.starts_with(system);
            platform.split('.').any(|one| {
                of_system(one)
                    && (one.ends_with(processor) || one.ends_with("universal2") || one == "any")
            })
        };
        self.tags.iter().map(String::as_str).filter(is_near).collect()
    }

    /// The wheels made for the same Python.
    fn of_python(&self) -> Vec<&str> {
        let mine = format!("cp3{}-", self.python.minor);
        self.tags.iter().map(String::as_str).filter(|tag| tag.starts_with(&mine)).collect()
    }
}

impl fmt::Display for MissingWheel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, python, wanted, target, tags } = self;
        let (platform, same_python) = (self.of_platform(), self.of_python());
        if tags.is_empty() {
            return write!(
                formatter,
                "{name} {version} is published as source only: build a wheel of it for `{wanted}` and name that file in the lock, \
                 or take another package"
            );
        }
        if !platform.is_empty() {
            return write!(
                formatter,
                "its wheels for this platform are {}, and the tag of `{target}` is `{wanted}`: lock another version of {name}, or set \
                 `python` of the service to a version that has a wheel",
                list(&platform)
            );
        }
        let others = if same_python.is_empty() {
            tags.iter().map(String::as_str).collect()
        } else {
            same_python
        };
        write!(
            formatter,
            "no wheel of it is for this platform (`{wanted}`); there are {}: lock another version of {name}, leave it out where it \
             is not needed with a marker such as `; sys_platform != 'win32'`, or leave the service out of `{target}` (Python {python})",
            list(&others)
        )
    }
}

fn list(tags: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = tags.iter().take(SHOWN).map(|tag| format!("`{tag}`")).collect();
    match tags.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(wanted: &str, tags: &[&str]) -> MissingWheel {
        MissingWheel {
            name: "msgpack".to_owned(),
            version: "1.2.4".to_owned(),
            python: PythonVersion { minor: 10 },
            wanted: wanted.to_owned(),
            target: "windows-arm64".parse().expect("a name"),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }

    #[test]
    fn wheels_that_come_near() {
        let tags = [
            "cp310-cp310-macosx_11_0_arm64",
            "cp310-cp310-manylinux_2_28_x86_64.manylinux_2_27_x86_64",
            "cp310-cp310-win_amd64",
            "cp311-cp311-macosx_10_9_universal2",
            "cp311-cp311-musllinux_1_2_aarch64",
            "cp311-cp311-win_arm64",
        ];
        let near = |wanted: &str| missing(wanted, &tags).of_platform().join(" ");
        assert_eq!(near("win_arm64"), "cp311-cp311-win_arm64");
        assert_eq!(near("win_amd64"), "cp310-cp310-win_amd64");
        assert_eq!(
            near("macosx_13_0_arm64"),
            "cp310-cp310-macosx_11_0_arm64 cp311-cp311-macosx_10_9_universal2"
        );
        assert_eq!(near("manylinux_2_17_x86_64"), tags[1]);
        assert_eq!(near("manylinux_2_28_aarch64"), "");
        assert_eq!(near("musllinux_1_2_aarch64"), "cp311-cp311-musllinux_1_2_aarch64");
    }

    #[test]
    fn tags_are_read_from_file_names() {
        let pylock: Table = toml::from_str(
            r#"
            [[packages]]
            name = "Foo.Bar"
            version = "1.0"
            wheels = [
              { url = "https://example.com/a/foo_bar-1.0-py2.py3-none-any.whl" },
              { path = "wheels/foo_bar-1.0-7-cp310-abi3-win_arm64.whl" },
              { name = "foo_bar-1.0.tar.gz" },
            ]"#,
        )
        .expect("TOML");
        let found = tags(&pylock, "foo-bar", "1.0").expect("it is there");
        assert_eq!(Vec::from_iter(found), ["cp310-abi3-win_arm64", "py2.py3-none-any"]);
        assert_eq!(tags(&pylock, "foo-bar", "1.1"), None);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list(&["a"; 8]).matches('a').count(), 8);
        assert_eq!(list(&["x"; 10]).split("`x`").count(), 9);
        assert!(list(&["x"; 10]).ends_with(" and 2 more"));
    }
}
