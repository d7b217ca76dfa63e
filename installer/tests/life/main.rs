//! What an installation goes through: a journey over HTTP, versions that are not well.

#![cfg(target_os = "linux")]

mod health;
mod journey;
#[path = "../support/mod.rs"]
mod support;
