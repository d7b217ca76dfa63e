//! The end user's side of Gangway.
//!
//! So far it holds the [`launcher`], the small program that stands in every bundle's `bin/`.

pub mod launcher;
