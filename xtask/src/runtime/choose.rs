//! Which version each target gets, of all that its sources offer.
//!
//! One version for all targets comes before a newer one for some: people compare notes across machines. So the version
//! that most targets can have is taken, the newest of those that tie, and the rest is decided among the rest.

use nodejs_semver::Version;

/// For each target, the versions that it can have; the answer has the chosen one, or none where there is none.
#[must_use]
pub(super) fn choose(targets: &[Vec<Version>]) -> Vec<Option<Version>> {
    let mut chosen: Vec<Option<Version>> = vec![None; targets.len()];
    loop {
        let open = || targets.iter().zip(&chosen).filter(|(_, chosen)| chosen.is_none());
        let served =
            |version: &Version| open().filter(|(versions, _)| versions.contains(version)).count();
        let best = open()
            .flat_map(|(versions, _)| versions)
            .max_by(|a, b| served(a).cmp(&served(b)).then_with(|| a.cmp(b)))
            .cloned();
        let Some(best) = best else { return chosen };
        for (versions, chosen) in targets.iter().zip(&mut chosen) {
            if chosen.is_none() && versions.contains(&best) {
                *chosen = Some(best.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen(targets: &[&[&str]]) -> Vec<String> {
        let parse = |text: &&str| Version::parse(text).expect("a version");
        let targets: Vec<Vec<Version>> =
            targets.iter().map(|versions| versions.iter().map(parse).collect()).collect();
        choose(&targets)
            .into_iter()
            .map(|version| version.map_or_else(|| "-".to_owned(), |version| version.to_string()))
            .collect()
    }

    #[test]
    fn one_version_for_all_comes_before_a_newer_one_for_some() {
        assert_eq!(chosen(&[&["1.9.0", "1.10.0"], &["1.9.0"]]), ["1.9.0", "1.9.0"]);
        assert_eq!(chosen(&[&["1.9.0", "1.10.0"], &["1.10.0", "1.9.0"]]), ["1.10.0", "1.10.0"]);
    }

    #[test]
    fn who_cannot_have_it_has_the_next_best() {
        let targets: [&[&str]; 4] = [&["1.0.0", "2.0.0"], &["2.0.0"], &["1.5.0", "1.0.0"], &[]];
        assert_eq!(chosen(&targets), ["2.0.0", "2.0.0", "1.5.0", "-"]);
    }

    proptest! {
        #[test]
        fn everybody_gets_what_they_can_have(targets in prop::collection::vec(prop::collection::vec(0_u64..6, 0..5), 0..6)) {
            let targets: Vec<Vec<Version>> = targets
                .iter()
                .map(|minors| minors.iter().map(|minor| Version::from((1, *minor, 0))).collect())
                .collect();
            for (versions, chosen) in targets.iter().zip(choose(&targets)) {
                prop_assert_eq!(chosen.is_none(), versions.is_empty());
                prop_assert!(chosen.is_none_or(|version| versions.contains(&version)));
            }
        }
    }
}
