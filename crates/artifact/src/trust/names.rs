//! What may be a name in a channel's metadata.
//!
//! Names become parts of paths and addresses, so there is nothing in one that means something to a file system, a shell or a URL, on any platform.
//! Letters are those of ASCII: no two names look alike.

use crate::{AppName, BundlePath};

/// The longest version. Names of files are made of it and of names of apps.
const LONGEST: usize = 64;
/// The longest name of a file that every file system can have, with something to spare for `.part` and the like.
const LONGEST_FILE: usize = 240;

/// Why `name` cannot name an app: the rule of `gangway.toml`.
#[must_use]
pub fn app_fault(name: &str) -> Option<&'static str> {
    AppName::fault(name)
}

/// Why `name` cannot name a channel.
#[must_use]
pub fn channel_fault(name: &str) -> Option<&'static str> {
    app_fault(name)
}

/// Why `version` cannot be one of an app: it names a folder.
#[must_use]
pub fn version_fault(version: &str) -> Option<&'static str> {
    fault(version, LONGEST, b"-.+")
}

/// Why `name` cannot name a file beside a channel's metadata.
#[must_use]
pub fn file_fault(name: &str) -> Option<&'static str> {
    fault(name, LONGEST_FILE, b"-_.+")
}

fn fault(name: &str, longest: usize, others: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > longest {
        return Some("it is too long");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte)) {
        return Some("it has a character that is not allowed");
    }
    let ends = [name.bytes().next(), name.bytes().next_back()];
    if !ends.into_iter().flatten().all(|byte| byte.is_ascii_alphanumeric()) {
        return Some("it does not begin and end with a letter or digit");
    }
    BundlePath::windows_fault(name)
}
