//! The bundle for this machine.

use gangway_artifact::trust::{Bundle, Release};
use gangway_artifact::{Fact, TargetName, Unmet};

use super::{CommandError, Run};
use crate::host::choose::{Refusal, Wish, choose};
use crate::host::{self, Asked};
use crate::prefix::Layout;
use crate::prefix::state::Installed;

/// The bundle that was chosen.
#[derive(Debug)]
pub(super) struct Choice {
    /// The bundle.
    pub(super) bundle: Bundle,
    /// What it needs, is not there, and was overruled.
    pub(super) forced: Vec<String>,
}

/// What is asked of the choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) layout: &'a Layout,
    pub(super) release: &'a Release,
    /// This target and no other.
    pub(super) target: Option<&'a TargetName>,
    pub(super) is_forced: bool,
    /// The version that is used.
    pub(super) used: Option<&'a Installed>,
}

impl Run<'_> {
    /// Chooses among a release's bundles.
    pub(super) fn choose(&self, question: Question<'_>) -> Result<Choice, CommandError> {
        let Question { layout, release, used, .. } = question;
        let contracts = release.bundles.iter().map(|bundle| &bundle.contract);
        let mut machine = host::detect(self.context, &Asked::about(contracts, layout.prefix()));
        if used.is_some() {
            // What has to be written is known only when it is planned: mostly little.
            machine.host.free = Fact::Unknown;
        }
        let wish = |is_forced| Wish { target: question.target.cloned(), is_forced };
        let mut chosen = choose(&release.bundles, &machine, &wish(question.is_forced));
        let known = used.map(|used| used.forced.as_slice()).unwrap_or_default();
        if let (Err(Refusal::Unmet { .. }), false) = (&chosen, known.is_empty()) {
            // What was overruled once need not be overruled for each update, but nothing else is.
            let again = choose(&release.bundles, &machine, &wish(true));
            let is_known = |unmet: &Unmet| known.iter().any(|said| is_about(said, unmet));
            if again.as_ref().is_ok_and(|choice| choice.forced.iter().all(is_known)) {
                chosen = again;
            }
        }
        let chosen = chosen.map_err(|refusal| {
            let version = release.version.clone();
            CommandError::Machine { version, refusal: Box::new(refusal) }
        })?;
        let forced: Vec<String> = chosen.forced.iter().map(said).collect();
        for unmet in &forced {
            self.reporter.warn(format_args!("{unmet}; it is installed all the same"));
        }
        for passed in &chosen.passed_over {
            let lacking = passed.unmet.iter().map(|lacking| said(&lacking.unmet));
            let lacking: Vec<_> = lacking.collect();
            self.reporter.say(format_args!(
                "the bundle for {} would be nearer: {}",
                passed.target,
                lacking.join(", ")
            ));
        }
        Ok(Choice { bundle: chosen.bundle.clone(), forced })
    }
}

fn said(unmet: &Unmet) -> String {
    unmet.to_string()
}

/// Whether the same need was recorded. What the machine has instead may be another thing by now: that asks for nothing more.
fn is_about(recorded: &str, unmet: &Unmet) -> bool {
    let need = format!("it needs {}, and ", unmet.need);
    recorded.starts_with(&need)
}

#[cfg(test)]
mod tests {
    use gangway_artifact::{Found, Need};

    use super::*;

    #[test]
    fn a_need_is_the_same_whatever_there_is_instead() {
        let glibc = |needed: &str, found: &str| Unmet {
            need: Need::Glibc(needed.parse().expect("a version")),
            found: Found::Other(found.to_owned()),
        };
        let recorded = said(&glibc("2.40", "2.31"));
        assert!(is_about(&recorded, &glibc("2.40", "2.36")));
        assert!(!is_about(&recorded, &glibc("2.41", "2.31")));
        let library = Unmet { need: Need::Library("libx.so.1".to_owned()), found: Found::Nothing };
        assert!(is_about(&said(&library), &library) && !is_about(&recorded, &library));
    }
}
