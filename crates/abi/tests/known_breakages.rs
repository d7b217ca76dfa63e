//! Published addons on targets that they break on (`testdata/README.md`).

use gangway_abi::check::{
    Code, Cpu, File, Gpu, Input, Os, Policy, Report, Role, RuntimeEngine, RuntimeFacts, Verdict,
};
use gangway_abi::{CLibrary, Facts, Machine, Version, check, read};

const MIXED: &[u8] = include_bytes!("../testdata/msgpackr-extract-linux-arm64-abi115-musl.node");
const PLAIN: &[u8] = include_bytes!("../testdata/msgpackr-extract-linux-x64-napi-glibc.node");
const MACOS: &[u8] = include_bytes!("../testdata/bufferutil-darwin-x64.node");

const CUDA: &[u8] = include_bytes!("../testdata/cuda12-linux-arm64.so");

fn gnu(library: &str) -> bool {
    [
        "libc.so.6",
        "ld-linux-x86-64.so.2",
        "libstdc++.so.6",
        "libpthread.so.0",
        "libm.so.6",
        "libgcc_s.so.1",
    ]
    .contains(&library)
}

fn alpine(library: &str) -> bool {
    ["libc.musl-aarch64.so.1", "libc.so", "libstdc++.so.6", "libgcc_s.so.1"].contains(&library)
}

fn apple(library: &str) -> bool {
    library.starts_with("/usr/lib/")
}

fn node(modules: u32) -> Option<RuntimeFacts> {
    let version = "24.21.0".to_owned();
    Some(RuntimeFacts { engine: RuntimeEngine::Node, version, modules, node_api: 10 })
}

fn linux(machine: Machine, c_library: CLibrary) -> Policy<'static> {
    Policy {
        c_library: Some(c_library),
        glibc: Version::parse("2.28"),
        libstdcxx: Version::parse("3.4.24"),
        musl: Version::parse("1.2.4"),
        runtime: node(137),
        ..Policy::new(Os::Linux, machine, if c_library == CLibrary::Glibc { &gnu } else { &alpine })
    }
}

fn macos(machine: Machine) -> Policy<'static> {
    Policy {
        macos: Version::parse("13.5"),
        runtime: node(137),
        ..Policy::new(Os::MacOs, machine, &apple)
    }
}

fn judge(path: &str, bytes: &[u8], policy: &Policy<'_>) -> Report {
    let facts: Facts = read(bytes).expect("a real file");
    let owner = Some("a-package");
    check(
        &Input {
            files: &[File { path, owner, role: Role::Addon, facts: &facts }],
            ..Input::default()
        },
        policy,
    )
}

fn broken(report: &Report) -> Vec<Code> {
    let broken = report.findings.iter().filter(|finding| finding.verdict == Verdict::Broken);
    broken.map(|finding| finding.code).collect()
}

#[test]
fn a_file_for_musl_in_a_package_for_glibc() {
    let policy = linux(Machine::Arm64, CLibrary::Glibc);
    let report = judge("p/node.abi115.musl.node", MIXED, &policy);
    assert!(broken(&report).contains(&Code::CLibrary), "{report:#?}");
    // What it asks of libgcc_s is called GLIBC_2.0 and is not glibc's.
    assert_eq!(report.demands.all().glibc, None);
    assert!(!report.findings.iter().any(|finding| finding.code == Code::GlibcFloor));
}

#[test]
fn a_registration_by_node_api_hides_no_v8() {
    let policy = linux(Machine::Arm64, CLibrary::Musl);
    let report = judge("p/node.abi115.musl.node", MIXED, &policy);
    let finding = report.findings.iter().find(|finding| finding.code == Code::NodeModulesVersion);
    let finding = finding.expect("it calls V8");
    // The runtime's file is not here, and the number stands in the addon's name alone.
    assert_eq!(finding.verdict, Verdict::Unknown);
    assert_eq!(finding.required, "NODE_MODULE_VERSION 115");
    assert_eq!(finding.owner.as_deref(), Some("a-package"));
    let deno = Policy {
        runtime: node(147).map(|runtime| RuntimeFacts { engine: RuntimeEngine::Deno, ..runtime }),
        ..policy
    };
    assert!(broken(&judge("p/a.node", MIXED, &deno)).contains(&Code::EngineOnDeno));
}

#[test]
fn an_addon_that_runs_is_not_broken() {
    let policy = linux(Machine::X64, CLibrary::Glibc);
    let report = judge("p/node.napi.glibc.node", PLAIN, &policy);
    assert_eq!(broken(&report), []);
    assert!(report.demands.all().glibc.is_some_and(|glibc| Some(glibc) <= policy.glibc));
    // Marked for no level, and its code has nothing that the first lacks.
    let report = judge("p/a.node", PLAIN, &Policy { cpu: Cpu::X86(1), ..policy });
    assert!(report.findings.iter().all(|finding| finding.code != Code::X86Level));
}

#[test]
fn older_than_what_it_was_linked_with() {
    let policy = Policy { glibc: Version::parse("2.2"), ..linux(Machine::X64, CLibrary::Glibc) };
    assert_eq!(broken(&judge("p/a.node", PLAIN, &policy)), [Code::GlibcFloor]);
}

#[test]
fn an_unsigned_addon_of_macos() {
    assert_eq!(broken(&judge("a.node", MACOS, &macos(Machine::X64))), []);
    assert_eq!(broken(&judge("a.node", MACOS, &macos(Machine::Arm64))), [Code::Machine]);
    // The same file, as if it had been built for Apple's processor.
    let Some(Facts::MachO(mut facts)) = read(MACOS) else { panic!("it is one") };
    facts.slices[0].machine = Machine::Arm64;
    let facts = Facts::MachO(facts);
    let files = [File { path: "a.node", owner: None, role: Role::Addon, facts: &facts }];
    let report = check(&Input { files: &files, ..Input::default() }, &macos(Machine::Arm64));
    assert_eq!(broken(&report), [Code::CodeSignature]);
}

/// A service for CUDA on a Jetson with this CUDA and these chips.
fn on_jetson(cuda: u32, sm: &[u32]) -> Vec<Code> {
    let libraries = vec![format!("libcudart.so.{cuda}"), "libcuda.so.1".to_owned()];
    let gpu = Gpu { sm: sm.to_vec(), libraries, tensorrt: None };
    let policy = Policy { gpu: Some(gpu), ..linux(Machine::Arm64, CLibrary::Glibc) };
    let facts = read(CUDA).expect("a real file");
    let program = facts_of_a_program("libdetect.so");
    let files = [
        File { path: "services/detect", owner: None, role: Role::Service, facts: &program },
        File { path: "services/libdetect.so", owner: None, role: Role::Library, facts: &facts },
    ];
    broken(&check(&Input { files: &files, ..Input::default() }, &policy))
}

fn facts_of_a_program(library: &str) -> Facts {
    Facts::Elf(gangway_abi::Elf {
        kind: gangway_abi::Kind::Executable,
        machine: Machine::Arm64,
        needed: vec![library.to_owned()],
        runpath: vec!["$ORIGIN".to_owned()],
        ..gangway_abi::Elf::default()
    })
}

#[test]
fn cuda_12_on_jetpack_7_and_code_for_other_chips() {
    assert_eq!(on_jetson(13, &[86]), [Code::CudaLibraries]);
    assert_eq!(on_jetson(12, &[86]), []);
    // Orin is 8.7; Thor is 11.0, which the driver can compile the assembly for 9.0 for.
    assert_eq!(on_jetson(12, &[72]), [Code::GpuArchitecture]);
    assert_eq!(on_jetson(12, &[110]), []);
    assert_eq!(on_jetson(13, &[72, 110]), [Code::CudaLibraries, Code::GpuArchitecture]);
}
