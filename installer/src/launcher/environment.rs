//! What becomes of the user's environment: variables that were meant for another program do not reach the runtime.
//!
//! The launch file says which; nothing is known here. The user has the last word: with `GANGWAY_KEEP_ENVIRONMENT=1`
//! everything stays as it is.

use std::env;
use std::ffi::OsString;

use gangway_artifact::Environment;

/// The user's own switch.
const KEEP: &str = "GANGWAY_KEEP_ENVIRONMENT";

/// Changes this process's environment, which the runtime inherits.
#[expect(
    unsafe_code,
    reason = "the launcher has one thread, and nobody else reads the environment"
)]
pub(super) fn apply(policy: &Environment) {
    let keeps_all = env::var_os(KEEP).is_some_and(|value| value == "1");
    let is_removed = |name: &OsString| name.to_str().is_some_and(|name| removes(policy, name));
    let names: Vec<OsString> = env::vars_os().map(|(name, _)| name).collect();
    for name in names.iter().filter(|name| !keeps_all && is_removed(name)) {
        // SAFETY: there is no other thread.
        unsafe { env::remove_var(name) };
    }
    for (name, value) in &policy.set {
        if env::var_os(name).is_none() {
            // SAFETY: there is no other thread.
            unsafe { env::set_var(name, value) };
        }
    }
}

/// Windows does not tell the case of names apart.
fn removes(policy: &Environment, name: &str) -> bool {
    if !cfg!(windows) {
        return policy.removes(name);
    }
    let upper = |names: &[String]| names.iter().map(|name| name.to_ascii_uppercase()).collect();
    let policy = Environment {
        remove: upper(&policy.remove),
        keep: upper(&policy.keep),
        ..Environment::default()
    };
    policy.removes(&name.to_ascii_uppercase())
}
