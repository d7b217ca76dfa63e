//! Which binary interface an addon was made for, by its name.
//!
//! The names are those of node-gyp-build (`node.abi137.musl.node`), node-pre-gyp (`node-v137-linux-x64`), and of all who
//! say `napi-v3`. A name is only asked where the bytes do not tell: what processor a file is for is never read from it.

use gangway_artifact::{Libc, Platform};

use crate::runtime::NodeAbi;

/// What a file's path says of the interface it was made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tags {
    modules: Option<u32>,
    napi: Option<u32>,
    is_napi: bool,
    is_electron: bool,
    libc: Option<Libc>,
}

impl Tags {
    /// Reads the path of a file in its package.
    #[must_use]
    pub(super) fn of(path: &str) -> Self {
        let mut tags = Self::default();
        let words: Vec<&str> = path.split(['/', '.', '-', '_', '+']).collect();
        for (index, word) in words.iter().enumerate() {
            let version = words.get(index + 1).and_then(|next| number(next, "v"));
            match *word {
                "napi" => (tags.is_napi, tags.napi) = (true, version),
                "node" if version.is_some() => tags.modules = version,
                "electron" => tags.is_electron = true,
                "musl" | "linuxmusl" => tags.libc = Some(Libc::Musl),
                "glibc" | "gnu" => tags.libc = Some(Libc::Glibc),
                word => {
                    tags.modules = number(word, "abi").or(tags.modules);
                    tags.napi = number(word, "napi").or(tags.napi);
                    tags.is_napi |= tags.napi.is_some();
                }
            }
        }
        tags
    }

    /// Why a runtime on `platform` would not take the file. `knows_libc`: its bytes say which C library it is for.
    #[must_use]
    pub(super) fn unfit(
        &self,
        platform: &Platform,
        abi: Option<NodeAbi>,
        knows_libc: bool,
    ) -> Option<String> {
        if self.is_electron {
            return Some("made for Electron".to_owned());
        }
        if let (Some(made), Some(own), false) = (self.libc, platform.libc, knows_libc)
            && made != own
        {
            return Some(format!("made for {}", made.as_str()));
        }
        let abi = abi?;
        match (self.is_napi, self.napi, self.modules) {
            (true, Some(napi), _) if napi > abi.napi => {
                Some(format!("made for Node-API {napi}, and the runtime has {}", abi.napi))
            }
            (false, _, Some(modules)) if modules != abi.modules => Some(format!(
                "made for the ABI {modules} of Node, and the runtime has {}",
                abi.modules
            )),
            _ => None,
        }
    }
}

/// The number in a word such as `abi137`.
fn number(word: &str, prefix: &str) -> Option<u32> {
    word.strip_prefix(prefix)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use gangway_artifact::{Cpu, Os};

    use super::*;

    const LINUX: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };

    #[test]
    fn names_that_say_what_they_were_made_for() {
        let abi = NodeAbi::of("node", "24.21.0");
        for (path, unfit) in [
            ("prebuilds/linux-x64/node.napi.node", None),
            ("prebuilds/linux-x64/node.napi.glibc.node", None),
            ("prebuilds/linux-x64/node.abi137.node", None),
            ("prebuilds/linux-x64/pty.node", None),
            ("build/Release/better_sqlite3.node", None),
            ("bin/napi-v3/linux/x64/onnxruntime_binding.node", None),
            ("lib/binding/node-v137-linux-x64/x.node", None),
            ("prebuilds/HID-linux-x64/node-napi-v4.node", None),
            (
                "prebuilds/linux-x64/node.abi108.node",
                Some("made for the ABI 108 of Node, and the runtime has 137"),
            ),
            (
                "lib/binding/node-v115-linux-x64/x.node",
                Some("made for the ABI 115 of Node, and the runtime has 137"),
            ),
            ("bin/napi-v11/linux/x64/x.node", Some("made for Node-API 11, and the runtime has 10")),
            ("prebuilds/linux-x64/electron.napi.node", Some("made for Electron")),
            ("prebuilds/linux-x64/node.napi.musl.node", Some("made for musl")),
        ] {
            let found = Tags::of(path).unfit(&LINUX, abi, false);
            assert_eq!(found.as_deref(), unfit, "{path}");
        }
        let musl = Tags::of("linuxmusl-x64/a.node");
        assert_eq!(musl.unfit(&LINUX, abi, true), None, "the bytes know better");
    }
}
