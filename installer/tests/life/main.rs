//! What an installation goes through: a journey over HTTP, newer installers, versions that are not well, machines that lack something, people who interrupt it.

#![cfg(target_os = "linux")]

mod contract;
mod damaged_installer;
mod data;
mod health;
mod interrupted;
mod journey;
mod self_update;
#[path = "../support/mod.rs"]
mod support;
