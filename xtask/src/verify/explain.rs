//! The page of each check, from `docs/checks`, compiled in so that a released builder needs nothing beside it.

use gangway_abi::check::Code;

use super::VerifyError;
use crate::config::near;

macro_rules! pages {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"), "/../docs/checks/", $name, ".md"
        )))),*]
    };
}

/// In the order of the checks' numbers.
const PAGES: &[(&str, &str)] = pages! {
    "glibc-floor"
    "packed-relocations"
    "libstdcxx-floor"
    "c-library"
    "library-closure"
    "search-path"
    "symbol-closure"
    "executable-stack"
    "hardening"
    "static-tls"
    "page-size"
    "allocator-page-size"
    "x86-64-level"
    "arm-features"
    "machine"
    "opened-libraries"
    "openmp"
    "cuda-driver"
    "cuda-libraries"
    "gpu-architecture"
    "tensorrt-plan"
    "node-modules-version"
    "node-api-level"
    "libuv"
    "engine-on-deno"
    "host-name"
    "macos-minimum"
    "dylib-path"
    "code-signature"
    "team-id"
    "vc-runtime"
    "windows-minimum"
    "opaque-payload"
    "duplicate-soname"
};

/// The page of a check, by its name or number.
///
/// # Errors
/// When there is no such check; the message has the names that come near.
pub fn page(code: &str) -> Result<&'static str, VerifyError> {
    let code = code.trim();
    let number = code.parse::<u8>().ok();
    let wanted = Code::ALL
        .iter()
        .find(|known| known.name().eq_ignore_ascii_case(code) || Some(known.number()) == number);
    let page = wanted.and_then(|wanted| PAGES.iter().find(|(name, _)| *name == wanted.name()));
    page.map(|(_, text)| *text).ok_or_else(|| {
        let names = Code::ALL.iter().map(|known| known.name());
        let help = match near(code, names) {
            Some(near) => format!("did you mean `{near}`? {}", listed()),
            None => listed(),
        };
        VerifyError::NoSuchCheck { code: code.to_owned(), help }
    })
}

fn listed() -> String {
    let all = Code::ALL.iter().map(|code| format!("{} ({})", code.name(), code.number()));
    format!("the checks are {}", all.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_its_page() {
        let names: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
        let checks: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names, checks);
        for code in Code::ALL {
            let start = format!("# {} ({})", code.name(), code.number());
            for asked in [
                code.name().to_owned(),
                code.number().to_string(),
                format!(" {} ", code.name().to_uppercase()),
            ] {
                assert!(page(&asked).expect("it is there").starts_with(&start), "{asked}");
            }
        }
    }

    #[test]
    fn near_matches() {
        let help = |code: &str| {
            let error = page(code).expect_err("there is no such check");
            miette::Diagnostic::help(&error).expect("it has help").to_string()
        };
        assert!(help("glibc-flor").starts_with("did you mean `glibc-floor`?"));
        assert!(help("0").starts_with("the checks are glibc-floor (1), "));
        assert!(help("35").ends_with("duplicate-soname (34)"));
    }
}
