//! The builder's verbs, one file each.

pub mod bench;
pub mod bundle;
pub mod cache;
pub mod ci;
pub mod contract;
pub mod delta;
pub mod fuzz;
pub mod layout;
pub mod lock;
pub mod release;
pub mod targets;
pub mod unpack;
pub mod verify;
