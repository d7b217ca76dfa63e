//! Install scripts: never unseen.
//!
//! [`decide()`] compares the closure with the manifest: a package with a script that the manifest does not name is an
//! error. [`run()`] executes those that it wants run, with the pinned runtime and npm's environment, inside a fence, and
//! returns the gateway's tree with what they changed. Neither this stage nor any script can alter the store.
//!
//! Deliberately absent: `node-gyp`. What has to be compiled for the target is built by another stage.

mod decide;
mod error;
mod ground;
mod lifecycle;
mod run;

pub use decide::{Decision, Job, decide};
pub use error::ScriptError;
pub use ground::Grounds;
pub use lifecycle::{Event, Lifecycle};
pub use run::{Interpreter, Surroundings, run};
