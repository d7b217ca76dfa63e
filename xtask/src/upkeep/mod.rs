//! Looking after the cache: what is in it, what can go, what is damaged.
//!
//! [`survey`] lists everything once, [`plan`] decides what goes, [`sweep`] removes it, [`check`] reads every byte. What a
//! builder at work may be using is never removed: builders leave the time of each use ([`crate::store::touch`]), and while
//! things lose their names no builder begins. The [`shared`] cache has sizes and ages, and no more.

pub mod check;
mod error;
pub mod measure;
pub mod plan;
pub mod shared;
pub mod survey;
pub mod sweep;

pub use error::UpkeepError;

#[cfg(test)]
mod tests;
