//! The extensions of processors that matter, and which level or version has them.

use serde::{Deserialize, Serialize};

/// An extension of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Feature {
    /// x86-64-v2.
    Sse3,
    /// x86-64-v2.
    Ssse3,
    /// x86-64-v2.
    Sse41,
    /// x86-64-v2.
    Sse42,
    /// x86-64-v2.
    Popcnt,
    /// x86-64-v3.
    Avx,
    /// x86-64-v3.
    Avx2,
    /// x86-64-v3.
    Bmi1,
    /// x86-64-v3.
    Bmi2,
    /// x86-64-v3.
    F16c,
    /// x86-64-v3.
    Fma,
    /// x86-64-v3; processors without it take it for another instruction.
    Lzcnt,
    /// x86-64-v3.
    Movbe,
    /// x86-64-v4.
    Avx512,
    /// Of no level: AES, SHA, random numbers, later additions to AVX-512.
    BeyondLevels,
    /// ARMv8.1: atomic operations in one instruction.
    Lse,
    /// ARMv8.3: weaker loads (`ldapr`).
    Rcpc,
    /// ARMv8.4: dot products.
    DotProduct,
    /// ARMv9: vectors of any length.
    Sve,
}

impl Feature {
    const ALL: [Self; 19] = [
        Self::Sse3,
        Self::Ssse3,
        Self::Sse41,
        Self::Sse42,
        Self::Popcnt,
        Self::Avx,
        Self::Avx2,
        Self::Bmi1,
        Self::Bmi2,
        Self::F16c,
        Self::Fma,
        Self::Lzcnt,
        Self::Movbe,
        Self::Avx512,
        Self::BeyondLevels,
        Self::Lse,
        Self::Rcpc,
        Self::DotProduct,
        Self::Sve,
    ];

    /// The first level of x86-64 that has it; 5 stands for none.
    #[must_use]
    pub fn level(self) -> Option<u8> {
        Some(match self {
            Self::Sse3 | Self::Ssse3 | Self::Sse41 | Self::Sse42 | Self::Popcnt => 2,
            Self::Avx
            | Self::Avx2
            | Self::Bmi1
            | Self::Bmi2
            | Self::F16c
            | Self::Fma
            | Self::Lzcnt
            | Self::Movbe => 3,
            Self::Avx512 => 4,
            Self::BeyondLevels => 5,
            Self::Lse | Self::Rcpc | Self::DotProduct | Self::Sve => return None,
        })
    }

    /// The first version of ARM's architecture that must have it.
    #[must_use]
    pub fn version(self) -> Option<(u8, u8)> {
        match self {
            Self::Lse => Some((8, 1)),
            Self::Rcpc => Some((8, 3)),
            Self::DotProduct => Some((8, 4)),
            Self::Sve => Some((9, 0)),
            _ => None,
        }
    }

    /// Its name in manuals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sse3 => "SSE3",
            Self::Ssse3 => "SSSE3",
            Self::Sse41 => "SSE4.1",
            Self::Sse42 => "SSE4.2",
            Self::Popcnt => "POPCNT",
            Self::Avx => "AVX",
            Self::Avx2 => "AVX2",
            Self::Bmi1 => "BMI1",
            Self::Bmi2 => "BMI2",
            Self::F16c => "F16C",
            Self::Fma => "FMA",
            Self::Lzcnt => "LZCNT",
            Self::Movbe => "MOVBE",
            Self::Avx512 => "AVX-512",
            Self::BeyondLevels => "AES, SHA and others of no level",
            Self::Lse => "LSE atomics",
            Self::Rcpc => "RCPC",
            Self::DotProduct => "dot products",
            Self::Sve => "SVE",
        }
    }
}

/// A set of features.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Features(u32);

impl Features {
    pub(crate) fn of(feature: Feature) -> Self {
        Self(1 << feature as u32)
    }

    pub(crate) fn with(self, feature: Feature) -> Self {
        Self(self.0 | Self::of(feature).0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(move |feature| self.0 & Self::of(*feature).0 != 0)
    }
}
