//! What an installation goes through: a journey over HTTP.

#![cfg(target_os = "linux")]

mod journey;
#[path = "../support/mod.rs"]
mod support;
