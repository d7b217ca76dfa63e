//! Check 5, and with it 18, 19, 28 and 31: libraries that no loader finds; and 6: search paths that lead out.

use super::bundle::{Bundle, folder, join, name};
use super::process::{Missing, Process, Start};
use super::{Code, File, Finding, Os, Verdict, c_library};
use crate::elf::Elf;

/// Beginnings of names of NVIDIA's libraries.
const NVIDIA: [&str; 14] = [
    "libcudart.so",
    "libcublas",
    "libcudnn",
    "libcufft",
    "libcurand",
    "libcusolver",
    "libcusparse",
    "libnvinfer",
    "libnvonnxparser",
    "libnvrtc",
    "libnvjpeg",
    "libnccl",
    "libnppc",
    "libnvJitLink",
];

/// Beginnings of names of Microsoft's redistributable libraries.
const REDISTRIBUTABLE: [&str; 6] =
    ["vcruntime1", "msvcp1", "concrt1", "vcomp1", "mfc1", "vccorlib1"];

pub(super) fn check(bundle: &Bundle<'_>, processes: &[Process], findings: &mut Vec<Finding>) {
    for process in processes {
        for missing in &process.missing {
            if !c_library::is_one(&missing.library) {
                findings.push(judge(bundle, process, missing));
            }
        }
    }
    for (_, file, elf) in bundle.elves() {
        findings.extend(search_path(file, elf));
    }
}

fn judge(bundle: &Bundle<'_>, process: &Process, missing: &Missing) -> Finding {
    let file = bundle.files[missing.file];
    let library = missing.library.as_str();
    let elsewhere = elsewhere(bundle, library);
    let (verdict, because) = match (process.start, missing.delayed) {
        (Start::Opened, _) => (
            Verdict::Unknown,
            "nothing in the bundle needs this file; whoever opens it may have the library loaded, \
             or go on without"
                .to_owned(),
        ),
        (_, true) => (
            Verdict::Unknown,
            "it is loaded when it is first used; whether it ever is cannot be told".to_owned(),
        ),
        (Start::Program | Start::Addon, false) => {
            (Verdict::Broken, format!("{} does not load without it", process.described(bundle)))
        }
    };
    let code = code(bundle.policy.os, library);
    Finding {
        required: format!("`{library}`"),
        offered: match (&elsewhere, code) {
            (Some(path), _) => format!("`{path}`, where the loader does not look"),
            (None, Code::CudaLibraries) => nvidia(bundle, library),
            (None, _) => "neither the bundle nor every system of the target has it".to_owned(),
        },
        because,
        symptom: symptom(bundle.policy.os, library),
        remedy: remedy(code, elsewhere.is_some()),
        ..Finding::new(code, verdict, file, library)
    }
}

fn code(os: Os, library: &str) -> Code {
    let lower = library.to_ascii_lowercase();
    match os {
        Os::MacOs => Code::DylibPath,
        Os::Windows if REDISTRIBUTABLE.iter().any(|start| lower.starts_with(start)) => {
            Code::VcRuntime
        }
        Os::Linux
            if library.starts_with("libcuda.so") || library.starts_with("libnvidia-ml.so") =>
        {
            Code::CudaDriver
        }
        Os::Linux if NVIDIA.iter().any(|start| library.starts_with(start)) => Code::CudaLibraries,
        Os::Linux | Os::Windows => Code::LibraryClosure,
    }
}

/// A file of the bundle that has the name of a missing library.
fn elsewhere(bundle: &Bundle<'_>, library: &str) -> Option<String> {
    let wanted = name(library);
    let is_it = |path: &str| match bundle.policy.os {
        Os::Linux => name(path) == wanted,
        Os::MacOs | Os::Windows => name(path).eq_ignore_ascii_case(wanted),
    };
    let mut natives = bundle.natives();
    natives.find(|(_, file, _)| is_it(file.path)).map(|(_, file, _)| file.path.to_owned())
}

/// What the target has in place of a library of NVIDIA's.
fn nvidia(bundle: &Bundle<'_>, library: &str) -> String {
    let stem = library.split(".so").next().unwrap_or(library);
    let is_kin = |other: &&String| other.split(".so").next() == Some(stem);
    let kin = bundle.policy.gpu.as_ref().and_then(|gpu| gpu.libraries.iter().find(is_kin));
    kin.map_or("none of this name".to_owned(), |kin| format!("`{kin}`"))
}

fn symptom(os: Os, library: &str) -> String {
    match os {
        Os::Linux => format!(
            "error while loading shared libraries: {library}: cannot open shared object file"
        ),
        Os::MacOs => format!("Library not loaded: {library}"),
        Os::Windows => {
            format!("{library} was not found; or: The specified module could not be found")
        }
    }
}

fn remedy(code: Code, is_elsewhere: bool) -> String {
    match code {
        _ if is_elsewhere => "put it where the loader looks, or add a search path that leads there",
        Code::CudaDriver => "open the driver's library while running, and go on without it",
        Code::CudaLibraries => "build for the target's CUDA and TensorRT, or bring the libraries along",
        Code::VcRuntime => "put the DLL beside the file, or link the runtime statically (`/MT`)",
        Code::DylibPath => "bring the library along and name it by `@loader_path`",
        _ => "bring the library along, link it statically, or promise it in the target's `system.libraries`",
    }
    .to_owned()
}

/// Check 6: what is looked at first, and is not the bundle's.
fn search_path(file: &File<'_>, elf: &Elf) -> Vec<Finding> {
    let path = if elf.runpath.is_empty() { &elf.rpath } else { &elf.runpath };
    let entry = |entry: &String| {
        let (subject, because) = if entry.is_empty() {
            ("(empty)", "an empty entry is the current folder of whoever starts it")
        } else if let Some(rest) =
            entry.strip_prefix("$ORIGIN").or_else(|| entry.strip_prefix("${ORIGIN}"))
        {
            match join(folder(file.path), rest.trim_start_matches('/')) {
                Some(_) => return None,
                None => (entry.as_str(), "it leads out of the bundle"),
            }
        } else if entry.starts_with('/') {
            (entry.as_str(), "it is a folder of the machine it was built on")
        } else {
            (
                entry.as_str(),
                "it counts from the current folder, or names what only the loader knows",
            )
        };
        Some(Finding {
            required: format!("`{entry}`"),
            offered: "folders of the bundle".to_owned(),
            because: because.to_owned(),
            symptom: "a library of another program is loaded, or the sibling is not found"
                .to_owned(),
            remedy: "set it to `$ORIGIN` and what lies below".to_owned(),
            ..Finding::new(Code::SearchPath, Verdict::Advice, file, subject)
        })
    };
    path.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Gpu;
    use super::super::Role;
    use super::super::testing::{Bench, elf, macho, needing, owned, pe};
    use super::*;
    use crate::facts::{Facts, Kind};
    use crate::macho::{Dependency, DependencyKind};
    use crate::pe::{DelayHook, HostImport, PeImport};

    fn gpu(libraries: &[&str]) -> Gpu {
        Gpu { libraries: owned(libraries), ..Gpu::default() }
    }

    fn program(needed: &[&str], rpath: &[&str]) -> Facts {
        elf(|elf| {
            elf.kind = Kind::Executable;
            elf.needed = owned(needed);
            elf.rpath = owned(rpath);
        })
    }

    fn library(needed: &[&str], runpath: &[&str], soname: &str) -> Facts {
        elf(|elf| {
            elf.needed = owned(needed);
            elf.runpath = owned(runpath);
            elf.soname = Some(soname.to_owned());
        })
    }

    #[test]
    fn what_nobody_has_is_missing() {
        let bench =
            Bench::linux().file("runtime/node", Role::Runtime, program(&["libatomic.so.1"], &[]));
        assert_eq!(
            bench.said(),
            ["broken library-closure runtime/node libatomic.so.1: `libatomic.so.1` / \
              neither the bundle nor every system of the target has it"]
        );
    }

    #[test]
    fn rpath_is_inherited_and_runpath_is_not() {
        let codes = |bench: Bench, first: Facts| {
            bench
                .file("bin/a", Role::Program, first)
                .file("lib/libb.so", Role::Library, library(&["libc2.so"], &[], "libb.so"))
                .file("lib/libc2.so", Role::Library, library(&[], &[], "libc2.so"))
                .codes()
        };
        let by_rpath = || program(&["libb.so"], &["$ORIGIN/../lib"]);
        let by_runpath = || {
            elf(|elf| {
                elf.kind = Kind::Executable;
                elf.needed = owned(&["libb.so"]);
                elf.runpath = owned(&["${ORIGIN}/../lib"]);
            })
        };
        assert_eq!(codes(Bench::linux(), by_rpath()), []);
        assert_eq!(codes(Bench::linux(), by_runpath()), [Code::LibraryClosure]);
        assert_eq!(codes(Bench::musl(), by_runpath()), [], "musl inherits both");
    }

    #[test]
    fn a_library_that_is_loaded_already_is_found_by_its_soname() {
        let bench = |bench: Bench| {
            bench
                .file("bin/node", Role::Runtime, program(&["libx-1.so"], &["$ORIGIN"]))
                .file("bin/libx-1.so", Role::Library, library(&[], &[], "libx.so"))
                .file("app/a.node", Role::Addon, needing(&["libx.so"], &[]))
        };
        assert_eq!(bench(Bench::linux()).codes(), []);
        assert_eq!(bench(Bench::musl()).codes(), [Code::LibraryClosure], "musl knows names only");
    }

    #[test]
    fn links_are_followed_and_count_as_the_place() {
        let mut bench = Bench::linux()
            .file("bin/a", Role::Program, program(&["libx.so.1"], &["$ORIGIN/../lib"]))
            .file(
                "store/x/libx.so.1.2",
                Role::Library,
                library(&["liby.so"], &["$ORIGIN"], "libx.so.1"),
            )
            .file("lib/liby.so", Role::Library, library(&[], &[], "liby.so"));
        bench.links = vec![("lib/libx.so.1", "../store/x/libx.so.1.2")];
        assert_eq!(bench.codes(), []);
    }

    #[test]
    fn one_for_another_processor_is_passed_over() {
        let other = elf(|elf| elf.machine = crate::Machine::Arm64);
        let bench = Bench::linux()
            .file("bin/a", Role::Program, program(&["libx.so"], &["$ORIGIN"]))
            .file("bin/libx.so", Role::Library, other);
        assert_eq!(bench.codes(), [Code::LibraryClosure, Code::Machine]);
    }

    #[test]
    fn what_nobody_opens_is_unknown() {
        let bench = Bench::linux().file("x/plugin.so", Role::Library, needing(&["libq.so.9"], &[]));
        assert_eq!(bench.verdicts(), [(Code::LibraryClosure, Verdict::Unknown)]);
    }

    #[test]
    fn another_generation_of_cuda() {
        let service = || program(&["libcudart.so.12"], &[]);
        let mut bench = Bench::linux().file("services/s/s", Role::Service, service());
        bench.policy.gpu = Some(gpu(&["libcudart.so.13"]));
        assert_eq!(
            bench.said(),
            [
                "broken cuda-libraries services/s/s libcudart.so.12: `libcudart.so.12` / `libcudart.so.13`"
            ]
        );
        bench.policy.gpu = Some(gpu(&["libcudart.so.12"]));
        assert_eq!(bench.codes(), []);
    }

    #[test]
    fn the_driver_as_a_hard_dependency() {
        let bench = || Bench::linux().file("s", Role::Service, program(&["libcuda.so.1"], &[]));
        assert_eq!(bench().verdicts(), [(Code::CudaDriver, Verdict::Broken)]);
        let mut jetson = bench();
        jetson.policy.gpu = Some(gpu(&["libcuda.so.1"]));
        assert_eq!(jetson.codes(), []);
    }

    #[test]
    fn paths_that_lead_out() {
        let facts =
            elf(|elf| elf.runpath = owned(&["$ORIGIN", "", "/opt/x", "$ORIGIN/../..", "lib"]));
        let bench = Bench::linux().file("a/a.so", Role::Library, facts);
        assert_eq!(bench.verdicts(), [(Code::SearchPath, Verdict::Advice); 4]);
    }

    fn dylib(names: &[&str], rpaths: &[&str]) -> Facts {
        macho(|slice| {
            slice.rpaths = owned(rpaths);
            let of = |name: &&str| Dependency {
                name: (*name).to_owned(),
                kind: DependencyKind::Required,
                compatibility: crate::Version::of(1, 0, 0),
            };
            slice.dependencies = names.iter().map(of).collect();
        })
    }

    #[test]
    fn paths_of_macos() {
        let bench = Bench::macos()
            .file(
                "bin/node",
                Role::Runtime,
                macho(|slice| {
                    slice.kind = Kind::Executable;
                    slice.rpaths = owned(&["@executable_path/../lib"]);
                }),
            )
            .file("lib/libx.dylib", Role::Library, dylib(&[], &[]))
            .file("app/liby.dylib", Role::Library, dylib(&[], &[]))
            .file(
                "app/a.node",
                Role::Addon,
                dylib(
                    &[
                        "@rpath/libx.dylib",
                        "@loader_path/liby.dylib",
                        "/usr/lib/libSystem.B.dylib",
                        "/nix/store/z.dylib",
                    ],
                    &[],
                ),
            );
        assert_eq!(
            bench.said(),
            ["broken dylib-path app/a.node /nix/store/z.dylib: `/nix/store/z.dylib` / \
              neither the bundle nor every system of the target has it"]
        );
    }

    #[test]
    fn names_of_windows() {
        let import = |library: &str, delayed| PeImport {
            library: library.into(),
            delayed,
            symbols: Vec::new(),
        };
        let addon = pe(|pe| {
            pe.imports = vec![
                import("KERNEL32.dll", false),
                import("node.exe", true),
                import("Sibling.DLL", false),
                import("VCRUNTIME140.dll", false),
                import("late.dll", true),
            ];
            pe.host = Some(HostImport { library: "node.exe".into(), hook: DelayHook::Likely });
        });
        let bench = Bench::windows().file("a/a.node", Role::Addon, addon).file(
            "a/sibling.dll",
            Role::Library,
            pe(|_| {}),
        );
        assert_eq!(
            bench.verdicts(),
            [(Code::VcRuntime, Verdict::Broken), (Code::LibraryClosure, Verdict::Unknown)]
        );
    }

    #[test]
    fn microsoft_s_runtime_beside_the_addon() {
        let addon = || {
            pe(|pe| {
                pe.imports = vec![PeImport {
                    library: "VCRUNTIME140.dll".into(),
                    delayed: false,
                    symbols: Vec::new(),
                }];
            })
        };
        let bench = |place: &str| {
            Bench::windows()
                .file("a/a.node", Role::Addon, addon())
                .file(place, Role::Library, pe(|_| {}))
                .verdicts()
        };
        assert_eq!(bench("a/vcruntime140.dll"), []);
        assert_eq!(bench("b/vcruntime140.dll"), [(Code::VcRuntime, Verdict::Broken)]);
    }

    #[test]
    fn libraries_of_macos_that_are_found() {
        let codes = |name: &str| {
            let addon = macho(|slice| {
                slice.rpaths = owned(&["@loader_path/lib"]);
                slice.dependencies = vec![Dependency {
                    name: name.to_owned(),
                    kind: DependencyKind::Required,
                    compatibility: crate::Version::of(1, 0, 0),
                }];
            });
            Bench::macos()
                .file("a/a.node", Role::Addon, addon)
                .file("a/lib/libx.dylib", Role::Library, macho(|_| {}))
                .codes()
        };
        for found in ["/usr/lib/libc++.1.dylib", "@loader_path/lib/libx.dylib", "@rpath/libx.dylib"]
        {
            assert_eq!(codes(found), [], "{found}");
        }
        for gone in ["/opt/lib/libx.dylib", "@loader_path/libx.dylib", "@rpath/liby.dylib"] {
            assert!(codes(gone).contains(&Code::DylibPath), "{gone}");
        }
    }
}
