//! Which functions of libuv Bun has. It exports the names of all, outside Windows; the others end the program with a
//! message when they are called.

use super::{Os, RuntimeEngine, RuntimeFacts};
use crate::version::Version;

/// Those of every Bun that exports any, by its `uv-posix-polyfills`.
const EARLY: [&str; 10] = [
    "uv_hrtime",
    "uv_mutex_destroy",
    "uv_mutex_init",
    "uv_mutex_init_recursive",
    "uv_mutex_lock",
    "uv_mutex_trylock",
    "uv_mutex_unlock",
    "uv_once",
    "uv_os_getpid",
    "uv_os_getppid",
];

/// Those of the Bun that the table was read from; newer ones keep them.
const TABLE: &str = include_str!("bun-libuv.txt");
const TABLE_OF: &str = "1.4.5";

/// Whether the runtime has nothing but the name.
pub(super) fn is_stub(runtime: &RuntimeFacts, os: Os, name: &str) -> bool {
    if runtime.engine != RuntimeEngine::Bun || os == Os::Windows {
        return false;
    }
    match Version::parse(&runtime.version) >= Version::parse(TABLE_OF) {
        true => !TABLE.lines().any(|line| line == name),
        false => !EARLY.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bun_learns() {
        let stub = |engine, version: &str, os, name| {
            let version = version.to_owned();
            is_stub(&RuntimeFacts { engine, version, modules: 147, node_api: 10 }, os, name)
        };
        let bun = RuntimeEngine::Bun;
        assert!(stub(bun, "1.4.5", Os::Linux, "uv_poll_start"));
        assert!(!stub(bun, "1.4.5", Os::Linux, "uv_queue_work"));
        assert!(stub(bun, "1.2.0", Os::Linux, "uv_queue_work"));
        assert!(!stub(bun, "1.4.5", Os::Windows, "uv_poll_start"), "a real libuv is there");
        assert!(!stub(RuntimeEngine::Node, "24.0.0", Os::Linux, "uv_poll_start"));
    }

    #[test]
    fn nothing_is_forgotten() {
        let table: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(table.len(), 58);
        assert!(table.is_sorted());
        assert!(EARLY.iter().all(|name| table.contains(name)));
    }
}
