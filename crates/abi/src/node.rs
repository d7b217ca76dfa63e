//! What an addon demands of the JavaScript runtime that loads it.
//!
//! Two contracts exist. Node-API is stable: an addon runs where its level is known. The engine's own C++ interface
//! (`v8::`, `node::`) is bound to one `NODE_MODULE_VERSION`. How an addon is registered does not tell which it is:
//! lmdb's Linux addon registers by Node-API and calls `v8::` as well, so it loads everywhere and dies at the first call
//! elsewhere. Only the undefined symbols tell. And those are not the whole truth either: addons of napi-rs for Windows
//! import no function of Node-API, they look it up while they run
//! (<https://github.com/napi-rs/napi-rs/issues/1169>).

mod entry;
mod module;
mod symbols;

use serde::{Deserialize, Serialize};

use crate::facts::Machine;

pub(crate) use module::{Struct, find as find_module};

/// What Node takes for an addon's level when it says nothing.
const DEFAULT_LEVEL: u32 = 8;

const REGISTER_NODE_API: &str = "napi_register_module_v1";
const REGISTER_ENGINE: &str = "node_register_module_v";
const DECLARE: &str = "node_api_module_get_api_version_v1";

/// More parts of a file are not searched: in a broken one each can be all of it.
pub(crate) const MAX_PARTS: usize = 16;

/// Longer lists say no more.
const MAX_NAMES: usize = 4096;

/// What an addon is to Node, Bun and Deno.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// How it makes itself known.
    pub registrations: Vec<Registration>,
    /// Its use of Node-API.
    pub node_api: Option<NodeApi>,
    /// Its use of the engine's own interface.
    pub engine: Option<Engine>,
    /// The functions of libuv it takes from its host.
    pub libuv: Vec<String>,
}

/// Which contract an addon depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeClass {
    /// Node-API: stable over versions and runtimes.
    NodeApi,
    /// The engine's C++ interface: one `NODE_MODULE_VERSION` only, whatever else it uses.
    Engine,
}

/// How an addon makes itself known to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Registration {
    /// It exports `napi_register_module_v1`.
    NodeApiExport,
    /// It calls `napi_module_register` when it is loaded.
    NodeApiCall,
    /// It exports `node_register_module_vNNN`.
    EngineExport,
    /// It calls `node_module_register` when it is loaded.
    EngineCall,
}

/// The use of Node-API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeApi {
    /// What it declares its level to be.
    pub declared: Declared,
    /// The level of the newest function among its undefined symbols; `None` when it imports none of the stable ones.
    pub imported: Option<u32>,
    /// The level of the newest function whose name stands in its data, when it imports none and therefore looks them up
    /// while it runs. An upper bound: whoever compiles all names in need not call them.
    pub mentioned: Option<u32>,
    /// Undefined symbols named like Node-API's that are in no stable level: experimental, or newer than this reader.
    pub unknown: Vec<String>,
}

/// What an addon declares its level of Node-API to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Declared {
    /// Nothing: Node takes 8.
    Nothing,
    /// This level. A runtime that knows fewer than an addon declares crashes.
    Level(u32),
    /// Whatever is experimental in the host. Runtimes take that from anyone.
    Experimental,
    /// Something: the function is there and is not the plain constant that compilers make of it.
    Unreadable,
}

/// The use of the engine's own interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// The one `NODE_MODULE_VERSION` it is for, and where that is written; `None` when it is written nowhere but maybe
    /// in the name of the file, see [`modules_in_name`].
    pub modules: Option<(u32, ModulesSource)>,
    /// Its undefined symbols of the engine.
    pub imports: Vec<String>,
}

/// Where a `NODE_MODULE_VERSION` was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ModulesSource {
    /// In the name of an exported function.
    Export,
    /// In the structure that is handed to `node_module_register`.
    Structure,
}

impl NodeFacts {
    /// The contract it depends on.
    #[must_use]
    pub fn class(&self) -> NodeClass {
        if self.engine.is_some() { NodeClass::Engine } else { NodeClass::NodeApi }
    }
}

impl Declared {
    /// `NAPI_EXPERIMENTAL`.
    const EXPERIMENTAL: u32 = 0x7fff_ffff;

    fn of(constant: u32) -> Self {
        if constant == Self::EXPERIMENTAL { Self::Experimental } else { Self::Level(constant) }
    }
}

impl NodeApi {
    /// The level a runtime must know: what is declared or imported, whichever is more. `None` when the declaration
    /// cannot be read. Functions that are looked up while the addon runs do not count.
    #[must_use]
    pub fn level(&self) -> Option<u32> {
        let declared = match self.declared {
            Declared::Nothing | Declared::Experimental => DEFAULT_LEVEL,
            Declared::Level(level) => level,
            Declared::Unreadable => return None,
        };
        Some(declared.max(self.imported.unwrap_or_default()))
    }

    /// Whether its functions are looked up while it runs, so that no undefined symbol tells which.
    #[must_use]
    pub fn looks_up(&self) -> bool {
        self.imported.is_none() && self.unknown.is_empty()
    }
}

/// The `NODE_MODULE_VERSION` that a file's name claims: `node.abi127.glibc.node`, `node-115.node`. The last resort.
#[must_use]
pub fn modules_in_name(name: &str) -> Option<u32> {
    let stem = name.strip_suffix(".node")?;
    stem.split(['.', '-', '_', '+']).find_map(|part| {
        let digits = part.strip_prefix("abi").unwrap_or(part);
        let is_number =
            (2..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let number = is_number.then(|| digits.parse().ok()).flatten()?;
        MODULES.contains(&number).then_some(number)
    })
}

/// The first number of io.js, and more than will be used up soon.
const MODULES: std::ops::Range<u32> = 42..1000;

/// The code of an addon, behind its container.
pub(crate) trait Code {
    /// The whole file, and where in it an exported function starts.
    fn function(&self, name: &str) -> Option<(&[u8], usize)>;

    /// `nm_version` of the structure that is handed to `node_module_register`.
    fn module_version(&self) -> Option<u32>;

    /// Where constant text is.
    fn texts(&self) -> Vec<&[u8]>;
}

/// `None`: it is no addon, and no part of one.
pub(crate) fn classify<'a>(
    machine: Machine,
    imports: impl Iterator<Item = &'a str>,
    exports: impl Iterator<Item = &'a str>,
    code: &dyn Code,
) -> Option<NodeFacts> {
    let mut seen = Seen::default();
    imports.for_each(|name| seen.import(name));
    exports.for_each(|name| seen.export(name));
    let is_engine = !seen.engine.is_empty() || seen.modules.is_some();
    let is_node_api = seen.imported.is_some()
        || !seen.unknown.is_empty()
        || seen.registrations.contains(&Registration::NodeApiExport)
        || seen.registrations.contains(&Registration::NodeApiCall);
    if !is_engine && !is_node_api {
        return None;
    }
    let node_api = is_node_api.then(|| NodeApi {
        declared: match seen.declares {
            false => Declared::Nothing,
            true => code
                .function(DECLARE)
                .and_then(|(bytes, start)| entry::constant(bytes, start, machine))
                .map_or(Declared::Unreadable, Declared::of),
        },
        imported: seen.imported,
        mentioned: (seen.imported.is_none() && seen.unknown.is_empty())
            .then(|| symbols::newest_mentioned(&code.texts()))
            .flatten(),
        unknown: seen.unknown,
    });
    let engine = is_engine.then(|| Engine {
        modules: match seen.modules {
            Some(modules) => Some((modules, ModulesSource::Export)),
            None => code.module_version().map(|modules| (modules, ModulesSource::Structure)),
        },
        imports: seen.engine,
    });
    Some(NodeFacts { registrations: seen.registrations, node_api, engine, libuv: seen.libuv })
}

#[derive(Default)]
struct Seen {
    registrations: Vec<Registration>,
    imported: Option<u32>,
    unknown: Vec<String>,
    engine: Vec<String>,
    libuv: Vec<String>,
    modules: Option<u32>,
    declares: bool,
}

impl Seen {
    fn import(&mut self, name: &str) {
        if name == "node_module_register" {
            self.registrations.push(Registration::EngineCall);
            self.engine.push(name.to_owned());
        } else if name.starts_with("napi_") || name.starts_with("node_api_") {
            if name == "napi_module_register" {
                self.registrations.push(Registration::NodeApiCall);
            }
            match symbols::level(name) {
                Some(level) => self.imported = self.imported.max(Some(level)),
                None if self.unknown.len() < MAX_NAMES => self.unknown.push(name.to_owned()),
                None => {}
            }
        } else if name.starts_with("uv_") {
            if self.libuv.len() < MAX_NAMES {
                self.libuv.push(name.to_owned());
            }
        } else if is_engine(name) && self.engine.len() < MAX_NAMES {
            self.engine.push(name.to_owned());
        }
    }

    fn export(&mut self, name: &str) {
        if name == REGISTER_NODE_API {
            self.registrations.push(Registration::NodeApiExport);
        } else if name == DECLARE {
            self.declares = true;
        } else if let Some(version) = name.strip_prefix(REGISTER_ENGINE)
            && let Ok(version) = version.parse()
            && self.modules.is_none()
        {
            self.registrations.push(Registration::EngineExport);
            self.modules = Some(version);
        }
    }
}

/// Whether a symbol is of the namespace `v8`, `node` or `cppgc`, as either family of compilers writes it.
pub(crate) fn is_engine(name: &str) -> bool {
    if let Some(name) = name.strip_prefix("_Z") {
        // A table of virtual functions, its type, a name in a namespace, a constant method.
        let name = ["TV", "TI", "TS", "TT"]
            .iter()
            .find_map(|kind| name.strip_prefix(kind))
            .unwrap_or(name);
        let Some(name) = name.strip_prefix('N') else { return false };
        let name = name.strip_prefix('K').unwrap_or(name);
        return ["2v8", "4node", "5cppgc"].iter().any(|space| name.starts_with(space));
    }
    name.starts_with('?')
        && ["@v8@@", "@node@@", "@cppgc@@"].iter().any(|space| name.contains(space))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An addon without code.
    struct Nothing;

    impl Code for Nothing {
        fn function(&self, _: &str) -> Option<(&[u8], usize)> {
            None
        }
        fn module_version(&self) -> Option<u32> {
            None
        }
        fn texts(&self) -> Vec<&[u8]> {
            vec![b"napi_create_function\0node_api_create_sharedarraybuffer\0napi_add_finalizer"]
        }
    }

    fn of(imports: &[&str], exports: &[&str]) -> Option<NodeFacts> {
        classify(Machine::X64, imports.iter().copied(), exports.iter().copied(), &Nothing)
    }

    #[test]
    fn what_has_nothing_of_a_host_is_no_addon() {
        assert_eq!(of(&["malloc", "dlopen", "uv_run", "_ZN3foo4nodeE"], &["main"]), None);
    }

    #[test]
    fn a_registration_by_node_api_does_not_hide_the_engine() {
        let facts = of(
            &["napi_create_int32", "_ZN2v87Isolate10GetCurrentEv", "uv_mutex_init"],
            &["napi_register_module_v1"],
        )
        .expect("an addon");
        assert_eq!(facts.class(), NodeClass::Engine);
        assert_eq!(facts.registrations, [Registration::NodeApiExport]);
        assert_eq!(facts.node_api.and_then(|api| api.level()), Some(8));
        assert_eq!(facts.libuv, ["uv_mutex_init"]);
        assert_eq!(facts.engine.expect("it calls V8").modules, None);
    }

    #[test]
    fn the_engine_is_known_in_every_spelling() {
        for name in [
            "node_module_register",
            "_ZNK2v85Value10IsFunctionEv",
            "_ZTVN4node10ObjectWrapE",
            "_ZN4node21AddEnvironmentCleanupHookEPN2v87IsolateEPFvPvES3_",
            "?GetCurrent@Isolate@v8@@SAPEAV12@XZ",
        ] {
            assert_eq!(of(&[name], &[]).expect(name).class(), NodeClass::Engine, "{name}");
        }
    }

    #[test]
    fn the_export_names_the_version() {
        let facts = of(&[], &["node_register_module_v127"]).expect("an addon");
        let engine = facts.engine.expect("bound");
        assert_eq!(engine.modules, Some((127, ModulesSource::Export)));
    }

    #[test]
    fn the_newest_function_decides_the_level() {
        let level = |imports: &[&str]| {
            let facts = of(imports, &["napi_register_module_v1"]).expect("an addon");
            let api = facts.node_api.expect("it says so");
            (api.imported, api.level())
        };
        assert_eq!(level(&["napi_create_function"]), (Some(1), Some(8)));
        assert_eq!(level(&["napi_create_function", "node_api_symbol_for"]), (Some(9), Some(9)));
    }

    #[test]
    fn functions_that_are_looked_up_give_an_upper_bound_only() {
        let facts = of(&[], &["napi_register_module_v1"]).expect("an addon");
        let api = facts.node_api.expect("it says so");
        assert!(api.looks_up());
        assert_eq!((api.imported, api.mentioned, api.level()), (None, Some(5), Some(8)));
    }

    #[test]
    fn names_that_no_level_has_are_kept() {
        let facts = of(&["node_api_post_finalizer"], &[]).expect("a part of an addon");
        let api = facts.node_api.expect("by its imports");
        assert_eq!(api.unknown, ["node_api_post_finalizer"]);
        assert!(!api.looks_up());
    }

    #[test]
    fn a_declaration_that_cannot_be_read_is_not_passed_over() {
        let facts = of(&[], &[REGISTER_NODE_API, DECLARE]).expect("an addon");
        let api = facts.node_api.expect("it says so");
        assert_eq!((api.declared, api.level()), (Declared::Unreadable, None));
    }

    #[test]
    fn file_names_are_the_last_resort() {
        for (name, modules) in [
            ("node.abi127.glibc.node", Some(127)),
            ("node-115.node", Some(115)),
            ("node.napi.armv8.node", None),
            ("addon-x64.node", None),
            ("lib-12.so", None),
            ("v8-9999.node", None),
        ] {
            assert_eq!(modules_in_name(name), modules, "{name}");
        }
    }
}
