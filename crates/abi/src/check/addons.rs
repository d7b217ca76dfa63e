//! Checks 22 to 26: what addons demand of the JavaScript runtime.
//!
//! How an addon is registered does not tell what it is bound to: its undefined symbols do, and they are compared with
//! what the shipped runtime's own file exports. Packages ship one file for each version of an engine and load the
//! right one: the others are no fault when that one is there.

use std::collections::BTreeSet;

use super::bundle::{Bundle, name};
use super::finding::some_of;
use super::process::{Process, Start};
use super::symbols::{Host, Undefined};
use super::{Code, File, Finding, RuntimeEngine, RuntimeFacts, Verdict, libuv};
use crate::node::{Declared, Engine, NodeApi, NodeClass, NodeFacts, modules_in_name};
use crate::pe::DelayHook;

pub(super) fn check(
    bundle: &Bundle<'_>,
    processes: &[Process],
    undefined: &[Undefined],
    findings: &mut Vec<Finding>,
) {
    for (number, process) in processes.iter().enumerate() {
        if process.start != Start::Addon {
            continue;
        }
        for file in process.own_files() {
            let native = bundle.native(file);
            let Some(node) = native.as_ref().and_then(|native| native.node()) else { continue };
            let Some(runtime) = &bundle.policy.runtime else {
                findings.push(no_runtime(bundle.files[file], node.class()));
                continue;
            };
            let missing: BTreeSet<(Option<Host>, &str)> = undefined
                .iter()
                .filter(|one| one.process == number && one.file == file)
                .map(|one| (one.host(), one.name.as_str()))
                .collect();
            let of = |host: Host| -> Vec<&str> {
                let wanted = Some(host);
                let those = missing.iter().filter(|(host, _)| *host == wanted);
                those.map(|(_, name)| *name).collect()
            };
            let addon = Addon { bundle, at: file, runtime, is_known: process.has_program };
            if let Some(engine) = &node.engine {
                findings.extend(addon.engine(engine, &of(Host::Engine)));
            }
            if let Some(api) = &node.node_api {
                findings.extend(addon.node_api(api, &of(Host::NodeApi)));
            }
            findings.extend(addon.libuv(node, &of(Host::Libuv)));
            findings.extend(addon.host_name(process));
        }
    }
}

fn no_runtime(file: &File<'_>, class: NodeClass) -> Finding {
    let code = match class {
        NodeClass::Engine => Code::NodeModulesVersion,
        NodeClass::NodeApi => Code::NodeApiLevel,
    };
    Finding {
        required: "a JavaScript runtime".to_owned(),
        offered: "none is pinned".to_owned(),
        because: "without a runtime there is nothing to compare the addon with".to_owned(),
        remedy: "pin a runtime, or leave the addon out".to_owned(),
        ..Finding::new(code, Verdict::Unknown, file, "runtime")
    }
}

struct Addon<'s, 'a> {
    bundle: &'s Bundle<'a>,
    at: usize,
    runtime: &'s RuntimeFacts,
    /// Whether the runtime's own file is in the bundle, so that its exports are known.
    is_known: bool,
}

impl<'a> Addon<'_, 'a> {
    fn file(&self) -> &'a File<'a> {
        self.bundle.files[self.at]
    }

    fn host(&self) -> String {
        format!("{} {}", self.runtime.engine.name(), self.runtime.version)
    }

    /// Checks 22 and 25.
    fn engine(&self, engine: &Engine, missing: &[&str]) -> Option<Finding> {
        let written = modules(engine, self.file().path);
        let offered = format!("{}, NODE_MODULE_VERSION {}", self.host(), self.runtime.modules);
        let is_deno = self.runtime.engine == RuntimeEngine::Deno;
        let fits = written == Some(self.runtime.modules) && missing.is_empty() && !is_deno;
        if fits && self.is_known {
            return None;
        }
        let wanted = self.runtime.modules;
        let has_variant = self.has_right_variant();
        let verdict = match () {
            () if has_variant && !fits => Verdict::Advice,
            () if is_deno || (self.is_known && !missing.is_empty()) => Verdict::Broken,
            () if engine.modules.is_some_and(|(written, _)| written != wanted) => Verdict::Broken,
            () => Verdict::Unknown,
        };
        let symptom = match (is_deno, missing.first()) {
            (_, Some(name)) => format!("symbol lookup error: undefined symbol: {name}"),
            (true, None) => "undefined symbol: node_module_register".to_owned(),
            (false, None) => {
                "was compiled against a different Node.js version using NODE_MODULE_VERSION"
                    .to_owned()
            }
        };
        let code = if is_deno { Code::EngineOnDeno } else { Code::NodeModulesVersion };
        Some(Finding {
            required: written.map_or("V8's own interface, of a version that is written nowhere".to_owned(), |modules| {
                format!("NODE_MODULE_VERSION {modules}")
            }),
            offered,
            because: match verdict {
                Verdict::Advice => "its package has an addon for this runtime beside it".to_owned(),
                Verdict::Broken if !missing.is_empty() => {
                    format!("the runtime does not export {}", some_of(missing))
                }
                Verdict::Broken if is_deno => "Deno has no interface of V8 for addons".to_owned(),
                Verdict::Broken => "the engine's interface changes with every such version".to_owned(),
                Verdict::Unknown if !self.is_known => {
                    "the runtime's file is not in the bundle, so its exports are not known".to_owned()
                }
                // `msgpackr-extract` for 115 works on 137 and 147: it registers by Node-API, which asks for no version.
                Verdict::Unknown if written.is_some() => {
                    "the runtime exports every symbol; that it was compiled for another version stands in its \
                     name only"
                        .to_owned()
                }
                Verdict::Unknown => {
                    "the runtime exports every symbol, but not even the file's name tells for which \
                     version it was compiled"
                        .to_owned()
                }
            },
            symptom,
            remedy: format!(
                "take the package's build for NODE_MODULE_VERSION {wanted}, have it built from source, or \
                 use a version on Node-API"
            ),
            is_heuristic: verdict == Verdict::Advice,
            ..Finding::new(code, verdict, self.file(), "V8")
        })
    }

    /// Whether the package has an addon that this runtime takes: on Node-API, or for its own version.
    fn has_right_variant(&self) -> bool {
        self.bundle.has_variant(self.at, |file, node| match &node.engine {
            None => true,
            Some(engine) => {
                self.runtime.engine != RuntimeEngine::Deno
                    && modules(engine, file.path) == Some(self.runtime.modules)
            }
        })
    }

    /// Check 23.
    fn node_api(&self, api: &NodeApi, missing: &[&str]) -> Vec<Finding> {
        let (most, file) = (self.runtime.node_api, self.file());
        let offered = format!("{}, Node-API {most}", self.host());
        let finding = |verdict, subject: &str| Finding {
            offered: offered.clone(),
            symptom: "undefined symbol: napi_...".to_owned(),
            remedy: "take a newer runtime, or an older release of the package".to_owned(),
            ..Finding::new(Code::NodeApiLevel, verdict, file, subject)
        };
        let mut findings = Vec::new();
        let declared = match api.declared {
            Declared::Level(level) => level,
            Declared::Nothing | Declared::Experimental | Declared::Unreadable => 0,
        };
        // Bun and Deno take any declaration; Node dies of one beyond its own.
        if declared > most && self.runtime.engine == RuntimeEngine::Node {
            findings.push(Finding {
                required: format!("Node-API {declared}"),
                because: "it declares a level that the runtime does not know (nodejs/node#57233)"
                    .to_owned(),
                symptom: "Segmentation fault, before any JavaScript can catch it".to_owned(),
                ..finding(Verdict::Broken, "declared level")
            });
        }
        if api.declared == Declared::Unreadable {
            findings.push(Finding {
                required: "a level of Node-API".to_owned(),
                because: "the function that declares it is more than a constant".to_owned(),
                ..finding(Verdict::Unknown, "declared level")
            });
        }
        if let Some(imported) = api.imported.filter(|imported| *imported > most) {
            findings.push(Finding {
                required: format!("Node-API {imported}"),
                because: "it calls functions of that level".to_owned(),
                ..finding(Verdict::Broken, "imported level")
            });
        }
        if !missing.is_empty() {
            findings.push(Finding {
                required: some_of(missing),
                because: "the runtime does not export it".to_owned(),
                symptom: format!("undefined symbol: {}", missing[0]),
                ..finding(
                    if self.is_known { Verdict::Broken } else { Verdict::Unknown },
                    "functions",
                )
            });
        }
        if api.looks_up() && api.mentioned.is_none_or(|mentioned| mentioned > most) {
            findings.push(Finding {
                required: api.mentioned.map_or("functions that cannot be seen".to_owned(), |level| {
                    format!("maybe Node-API {level}")
                }),
                because: "it looks its functions up while it runs; their names in the file are an upper bound".to_owned(),
                is_heuristic: true,
                ..finding(Verdict::Unknown, "functions that are looked up")
            });
        }
        findings
    }

    /// Check 24.
    fn libuv(&self, node: &NodeFacts, missing: &[&str]) -> Option<Finding> {
        let is_stub = |name: &&str| libuv::is_stub(self.runtime, self.bundle.policy.os, name);
        let names: Vec<&str> = node.libuv.iter().map(String::as_str).filter(is_stub).collect();
        let (verdict, names, because, symptom) = match (missing.first(), names.first()) {
            (Some(first), _) => (
                if self.is_known { Verdict::Broken } else { Verdict::Unknown },
                missing,
                "the runtime does not export it",
                format!("undefined symbol: {first}"),
            ),
            (None, Some(first)) => (
                Verdict::Unknown,
                &names[..],
                "Bun exports it, and ends the program when it is called, unless it has learnt it since",
                format!("panic: unsupported uv function: {first}"),
            ),
            (None, None) => return None,
        };
        Some(Finding {
            required: some_of(names),
            offered: self.host(),
            because: because.to_owned(),
            symptom,
            remedy: "run the gateway on Node, or use a package that needs Node-API alone"
                .to_owned(),
            ..Finding::new(Code::Libuv, verdict, self.file(), "libuv")
        })
    }

    /// Check 26.
    fn host_name(&self, process: &Process) -> Option<Finding> {
        let host = self.bundle.pe(self.at)?.host.as_ref()?;
        let program = process.loaded.first().filter(|_| process.has_program)?;
        let own = name(self.bundle.files[program.file].path);
        if own.eq_ignore_ascii_case(&host.library) {
            return None;
        }
        let verdict = match host.hook {
            DelayHook::Likely => return None,
            DelayHook::None => Verdict::Broken,
            DelayHook::Unseen => Verdict::Unknown,
        };
        Some(Finding {
            required: format!("a program of the name `{}`", host.library),
            offered: format!("`{own}`"),
            because: match verdict {
                Verdict::Broken => {
                    "it is an ordinary import, so Windows looks for a file of that name"
                }
                Verdict::Unknown | Verdict::Advice => {
                    "it is a delay import, and no trace of the hook that takes any host was found"
                }
            }
            .to_owned(),
            symptom: "The specified module could not be found, or a second runtime is loaded"
                .to_owned(),
            remedy: format!(
                "ship the runtime as `{}`, or build the addon with node-gyp's hook",
                host.library
            ),
            is_heuristic: verdict == Verdict::Unknown,
            ..Finding::new(Code::HostName, verdict, self.file(), &host.library)
        })
    }
}

/// The version an addon is bound to, by what is written in it, or else by its name or its folder's.
fn modules(engine: &Engine, path: &str) -> Option<u32> {
    engine.modules.map(|(modules, _)| modules).or_else(|| modules_in_name(name(path)))
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf, imports, node_api, offers, pe};
    use super::*;
    use crate::facts::{Facts, Kind};
    use crate::node::{ModulesSource, Registration};
    use crate::pe::HostImport;

    fn runtime(engine: RuntimeEngine) -> RuntimeFacts {
        RuntimeFacts { engine, version: "1".to_owned(), modules: 137, node_api: 10 }
    }

    fn api(change: impl FnMut(&mut NodeApi)) -> NodeFacts {
        let mut node = node_api();
        node.node_api.as_mut().into_iter().for_each(change);
        node
    }

    fn v8(modules: Option<u32>) -> NodeFacts {
        NodeFacts {
            registrations: vec![Registration::EngineExport],
            node_api: None,
            engine: Some(Engine {
                modules: modules.map(|modules| (modules, ModulesSource::Export)),
                imports: vec!["_ZN2v85ValueE".to_owned()],
            }),
            libuv: Vec::new(),
        }
    }

    fn addon(node: NodeFacts, names: &[&str]) -> Facts {
        elf(|elf| {
            elf.node = Some(node);
            elf.imports = imports(names);
        })
    }

    fn bench(engine: RuntimeEngine, exports: &[&str], path: &str, facts: Facts) -> Bench {
        let program = elf(|elf| {
            elf.kind = Kind::Executable;
            elf.exports = offers(exports);
        });
        let mut bench =
            Bench::linux().file("bin/node", Role::Runtime, program).file(path, Role::Addon, facts);
        bench.policy.runtime = Some(runtime(engine));
        bench
    }

    const V8: &str = "_ZN2v85ValueE";

    #[test]
    fn one_version_only() {
        use RuntimeEngine::{Bun, Deno, Node};
        use Verdict::{Broken, Unknown};
        let code = Code::NodeModulesVersion;
        for (engine, exports, written, path, expected) in [
            (Node, &[V8][..], Some(137), "a/a.node", None),
            (Node, &[V8], Some(127), "a/a.node", Some((code, Broken))),
            (Node, &[V8], None, "a/a.node", Some((code, Unknown))),
            (Node, &[V8], None, "a/node.abi137.glibc.node", None),
            (Node, &[V8], None, "a/node.abi115.glibc.node", Some((code, Unknown))),
            (Node, &[], None, "a/node.abi115.glibc.node", Some((code, Broken))),
            (Node, &[], Some(137), "a/a.node", Some((code, Broken))),
            (Bun, &[V8], Some(137), "a/a.node", None),
            (Bun, &[], Some(137), "a/a.node", Some((code, Broken))),
            (Deno, &[], Some(137), "a/a.node", Some((Code::EngineOnDeno, Broken))),
        ] {
            let bench = bench(engine, exports, path, addon(v8(written), &[V8]));
            assert_eq!(bench.verdicts(), Vec::from_iter(expected), "{engine:?} {written:?} {path}");
        }
    }

    #[test]
    fn exports_that_are_not_known_decide_nothing() {
        let mut bench = Bench::linux().file("a.node", Role::Addon, addon(v8(Some(137)), &[V8]));
        bench.policy.runtime = Some(runtime(RuntimeEngine::Node));
        assert_eq!(bench.verdicts(), [(Code::NodeModulesVersion, Verdict::Unknown)]);
    }

    #[test]
    fn variants_beside_the_right_one() {
        let bench = bench(RuntimeEngine::Node, &[V8], "p/a-127.node", addon(v8(Some(127)), &[V8]))
            .file("p/a-137.node", Role::Addon, addon(v8(Some(137)), &[V8]));
        assert_eq!(bench.verdicts(), [(Code::NodeModulesVersion, Verdict::Advice)]);
    }

    #[test]
    fn what_is_not_loaded_needs_nothing() {
        let old = elf(|elf| {
            elf.node = Some(v8(Some(127)));
            elf.needed = vec!["libgone.so.1".to_owned()];
            elf.versions = vec![crate::VersionNeed::new("libc.so.6", "GLIBC_2.99", false)];
        });
        let right = addon(v8(Some(137)), &[V8]);
        let bench = bench(RuntimeEngine::Node, &[V8], "p/a-127.node", old).file(
            "p/a-137.node",
            Role::Addon,
            right,
        );
        assert_eq!(bench.verdicts(), [(Code::NodeModulesVersion, Verdict::Advice)]);
        assert_eq!(bench.report().demands.all().glibc, None);
    }

    #[test]
    fn levels_of_node_api() {
        use RuntimeEngine::{Bun, Node};
        use Verdict::{Broken, Unknown};
        let verdicts = |engine, node, names: &[&str]| {
            bench(engine, &["napi_create_int32"], "a.node", addon(node, names)).verdicts()
        };
        let found = |verdict| vec![(Code::NodeApiLevel, verdict)];
        assert_eq!(verdicts(Node, api(|_| {}), &["napi_create_int32"]), []);
        assert_eq!(
            verdicts(Node, api(|api| api.declared = Declared::Level(11)), &[]),
            found(Broken)
        );
        assert_eq!(verdicts(Bun, api(|api| api.declared = Declared::Level(11)), &[]), []);
        assert_eq!(
            verdicts(Node, api(|api| api.declared = Declared::Unreadable), &[]),
            found(Unknown)
        );
        assert_eq!(verdicts(Node, api(|_| {}), &["napi_of_tomorrow"]), found(Broken));
        assert_eq!(
            verdicts(Node, api(|api| (api.imported, api.mentioned) = (None, Some(11))), &[]),
            found(Unknown)
        );
        assert_eq!(
            verdicts(Node, api(|api| (api.imported, api.mentioned) = (None, Some(10))), &[]),
            []
        );
    }

    #[test]
    fn without_a_runtime_nothing_is_decided() {
        let mut bench = bench(RuntimeEngine::Node, &[], "a.node", addon(api(|_| {}), &[]));
        bench.policy.runtime = None;
        assert_eq!(bench.verdicts(), [(Code::NodeApiLevel, Verdict::Unknown)]);
    }

    #[test]
    fn libuv_outside_node() {
        use RuntimeEngine::{Bun, Deno, Node};
        use Verdict::{Broken, Unknown};
        for (engine, name, exported, expected) in [
            (Node, "uv_run", true, None),
            (Node, "uv_run", false, Some((Code::Libuv, Broken))),
            (Bun, "uv_mutex_lock", true, None),
            (Bun, "uv_run", true, Some((Code::Libuv, Unknown))),
            (Deno, "uv_run", true, None),
            (Deno, "uv_run", false, Some((Code::Libuv, Broken))),
        ] {
            let mut node = api(|_| {});
            node.libuv = vec![name.to_owned()];
            let exports: &[&str] = if exported { &[name] } else { &[] };
            let bench = bench(engine, exports, "a.node", addon(node, &[name]));
            assert_eq!(bench.verdicts(), Vec::from_iter(expected), "{engine:?} {name} {exported}");
        }
    }

    #[test]
    fn the_host_s_name() {
        for (program, hook, expected) in [
            ("node.exe", DelayHook::None, None),
            ("bun.exe", DelayHook::Likely, None),
            ("bun.exe", DelayHook::Unseen, Some((Code::HostName, Verdict::Unknown))),
            ("bun.exe", DelayHook::None, Some((Code::HostName, Verdict::Broken))),
        ] {
            let addon = pe(|pe| {
                pe.node = Some(api(|_| {}));
                pe.host = Some(HostImport { library: "node.exe".into(), hook });
            });
            let mut bench = Bench::windows()
                .file(program, Role::Runtime, pe(|pe| pe.kind = Kind::Executable))
                .file("a/a.node", Role::Addon, addon);
            bench.policy.runtime = Some(runtime(RuntimeEngine::Bun));
            assert_eq!(bench.verdicts(), Vec::from_iter(expected), "{program} {hook:?}");
        }
    }
}
