//! Targets: a platform plus the oldest system promised to run it.
//!
//! Here are only the names both ends must agree on. What a target promises (its baseline, its runtime
//! sources) is data in `targets/*.toml`, which the builder reads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A target's name as in `targets/<name>.toml` and in file names: lower-case letters, digits and hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetName(String);

/// A text that cannot name a target.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` cannot name a target: use lower-case letters, digits and hyphens")]
pub struct TargetNameError(String);

impl TargetName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TargetName {
    type Err = TargetNameError;

    fn from_str(text: &str) -> Result<Self, TargetNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.bytes().all(plain) && text.starts_with(|first: char| first.is_ascii_lowercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TargetNameError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for TargetName {
    type Error = TargetNameError;

    fn try_from(text: String) -> Result<Self, TargetNameError> {
        text.parse()
    }
}

impl From<TargetName> for String {
    fn from(name: TargetName) -> Self {
        name.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for TargetName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// What npm's `os`, `cpu` and `libc` fields are compared with, and what an executable is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The operating system.
    pub os: Os,
    /// The processor architecture.
    pub cpu: Cpu,
    /// The C library; only Linux has a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<Libc>,
}

/// An operating system, in Node's words (`process.platform`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// Linux.
    Linux,
    /// macOS.
    Darwin,
    /// Windows.
    Win32,
}

/// A processor architecture, in Node's words (`process.arch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cpu {
    /// x86-64.
    X64,
    /// AArch64.
    Arm64,
}

/// A C library, in npm's words (`libc` in package.json).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Libc {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

impl Platform {
    /// Every platform of the same operating system, this one too.
    #[must_use]
    pub fn siblings(&self) -> Vec<Self> {
        let libcs: &[Option<Libc>] = match self.os {
            Os::Linux => &[Some(Libc::Glibc), Some(Libc::Musl)],
            Os::Darwin | Os::Win32 => &[None],
        };
        let of = |cpu: Cpu| libcs.iter().map(move |libc| Self { os: self.os, cpu, libc: *libc });
        [Cpu::X64, Cpu::Arm64].into_iter().flat_map(of).collect()
    }
}

impl Os {
    /// Node's and npm's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Darwin => "darwin",
            Self::Win32 => "win32",
        }
    }
}

impl Cpu {
    /// Node's and npm's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::Arm64 => "arm64",
        }
    }
}

impl Libc {
    /// npm's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["linux-x64", "jetson-jp5", "jetson"] {
            assert_eq!(good.parse::<TargetName>().expect(good).as_str(), good);
        }
        for bad in ["", "Linux", "-x", "5x", "a/b", "../x", "a b"] {
            assert!(bad.parse::<TargetName>().is_err(), "{bad}");
        }
    }
}
