//! Wheels that hold a runtime, or libraries for one.

use globset::GlobBuilder;
use nodejs_semver::Version;

use crate::registry::Wheel;

/// The wheels that fit a platform, with their versions, oldest first. Pre-releases (`24.8.0rc0`) are none.
pub(super) fn fitting(wheels: &[Wheel], tag: &str) -> Vec<(Version, Wheel)> {
    let Ok(glob) = GlobBuilder::new(tag).build() else { return Vec::new() };
    let glob = glob.compile_matcher();
    let mut fitting: Vec<(Version, Wheel)> = wheels
        .iter()
        .filter_map(|wheel| {
            let name = wheel.file.strip_suffix(".whl")?;
            let version = name.split('-').nth(1)?;
            // One file may be for several platforms: `manylinux_2_17_x86_64.manylinux2014_x86_64`.
            let fits = name.rsplit('-').next()?.split('.').any(|tag| glob.is_match(tag));
            let version = Version::parse(version).ok().filter(|read| read.to_string() == version);
            Some((version.filter(|_| fits)?, wheel.clone()))
        })
        .collect();
    fitting.sort_by(|(a, _), (b, _)| a.cmp(b));
    fitting
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::integrity::Integrity;

    fn fit(tag: &str) -> Vec<String> {
        let wheel = |rest: &str| Wheel {
            file: format!("p-{rest}.whl"),
            integrity: Integrity::from_sha256([0; 32]),
            url: Url::parse("http://127.0.0.1/").expect("a URL"),
        };
        let wheels = [
            "24.10.0-py2.py3-none-manylinux_2_28_x86_64",
            "24.9.0-py2.py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64",
            "24.11.0rc1-py2.py3-none-manylinux_2_28_x86_64",
            "24.12.0-py2.py3-none-manylinux_2_34_x86_64",
            "24.10.0-py2.py3-none-win_amd64",
            "strange",
        ]
        .map(wheel);
        fitting(&wheels, tag).into_iter().map(|(version, _)| version.to_string()).collect()
    }

    #[test]
    fn what_fits_a_platform() {
        assert_eq!(fit("manylinux_2_{17,28}_x86_64"), ["24.9.0", "24.10.0"]);
        assert_eq!(fit("win_amd64"), ["24.10.0"]);
        assert_eq!(fit("win_arm64"), [""; 0]);
    }
}
