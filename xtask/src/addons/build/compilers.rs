//! The compilers as node-gyp's makefiles call them.
//!
//! Node's own `common.gypi` links addons with `--exclude-libs`, which hides the symbols of static libraries, and zig's
//! linker does not know it. The option is taken out on the way; the addon then exports more names than it has to.

use crate::process::quote;
use crate::toolchain::Compilers;

/// Takes options out of the arguments; the compiler's call follows.
pub(super) const WRAPPER: &str = "#!/bin/sh\n\
count=$#\n\
while [ \"$count\" -gt 0 ]; do\n  argument=$1\n  shift\n  count=$((count - 1))\n  case $argument in\n    \
-Wl,--exclude-libs*) ;;\n    *) set -- \"$@\" \"$argument\" ;;\n  esac\ndone\n";

/// Programs by their place among the tools.
pub(super) fn wrappers(compilers: &Compilers) -> [(&'static str, String); 2] {
    let wrap = |program: &str| format!("{WRAPPER}exec {} \"$@\"\n", quote(program));
    [("bin/cc", wrap(compilers.cc.as_str())), ("bin/c++", wrap(compilers.cxx.as_str()))]
}

#[cfg(all(test, unix))]
mod tests {
    use crate::process::Command;

    use super::*;

    #[test]
    fn every_other_argument_comes_through_as_it_was() {
        let script =
            format!("{}printf '%s\\n' \"$@\"\n", WRAPPER.trim_start_matches("#!/bin/sh\n"));
        let arguments = ["-o", "a b", "-Wl,--exclude-libs,ALL", "", "$HOME", "-Wl,-z,now"];
        let answer = Command::new("try it", "/bin/sh")
            .args(["-c", &script, "sh"])
            .args(arguments)
            .answer()
            .expect("a shell");
        assert_eq!(answer, "-o\na b\n\n$HOME\n-Wl,-z,now\n");
    }
}
