//! The Gangway builder.
//!
//! One file per stage, in the order of the pipeline: [`config`] -> [`plan`] -> [`fetch`] -> [`stage`] -> [`pack`]. Beside
//! them, one file or folder per concept: the [`closure`] read from a lockfile, the [`store`] of unpacked packages, the
//! [`tree`] that stages pass on.
//!
//! Nothing in here prints, reads the environment or exits; `main.rs` does, and hands the rest a [`context::Context`].

pub mod addons;
pub mod app_build;
pub mod buffers;
pub mod capture;
pub mod cli;
pub mod closure;
pub mod commands;
pub mod config;
pub mod confine;
pub mod context;
pub mod delta;
pub mod fetch;
pub mod file_system;
pub mod http;
pub mod integrity;
pub mod layers;
pub mod layout;
pub mod licenses;
pub mod lock;
pub mod mode;
pub mod native;
pub mod own_files;
pub mod pack;
pub mod plan;
pub mod process;
pub mod programs;
pub mod prune;
pub mod registry;
pub mod release;
pub mod report;
pub mod runpath;
pub mod runtime;
pub mod scripts;
pub mod services;
pub mod shared_cache;
pub mod smoke;
pub mod stage;
pub mod store;
pub mod strip;
pub mod summary;
pub mod target;
pub mod toolchain;
pub mod tree;
pub mod unpacked;
pub mod upkeep;
pub mod verify;
pub mod workshop;

#[cfg(test)]
mod testing;
