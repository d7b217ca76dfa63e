//! What a target promises, in the words of the checks. Everything is from `targets/*.toml` and the table of runtimes.

use gangway_abi::check::{Cpu, Gpu, Os, Policy, RuntimeEngine, RuntimeFacts};
use gangway_abi::{CLibrary, Machine, Version};
use gangway_artifact as artifact;

use super::Shipped;
use crate::runtime::NodeAbi;
use crate::target::{Jetson, Target};

/// What a target promises. `provides` is the target's.
pub(super) fn of<'a>(
    target: &Target,
    provides: &'a (dyn Fn(&str) -> bool + Sync),
    runtime: Option<&Shipped>,
) -> Policy<'a> {
    let baseline = target.baseline();
    let version = |text: &Option<String>| text.as_deref().and_then(Version::parse);
    let os = match target.platform.os {
        artifact::Os::Linux => Os::Linux,
        artifact::Os::Darwin => Os::MacOs,
        artifact::Os::Win32 => Os::Windows,
    };
    let machine = match target.platform.cpu {
        artifact::Cpu::X64 => Machine::X64,
        artifact::Cpu::Arm64 => Machine::Arm64,
    };
    Policy {
        c_library: target.platform.libc.map(|libc| match libc {
            artifact::Libc::Glibc => CLibrary::Glibc,
            artifact::Libc::Musl => CLibrary::Musl,
        }),
        glibc: version(&baseline.glibc),
        libstdcxx: version(&baseline.libstdcxx),
        musl: version(&baseline.musl),
        macos: version(&baseline.macos),
        windows: version(&baseline.windows),
        page_size: baseline.page_size.into(),
        cpu: Cpu::parse(&baseline.cpu).unwrap_or(Cpu::Other),
        gpu: target.jetson().map(gpu),
        runtime: runtime.and_then(facts),
        ..Policy::new(os, machine, provides)
    }
}

fn gpu(jetson: &Jetson) -> Gpu {
    Gpu {
        sm: jetson.sm.iter().filter_map(|sm| sm.replace('.', "").parse().ok()).collect(),
        libraries: jetson.libraries.clone(),
        tensorrt: Version::parse(&jetson.tensorrt),
    }
}

/// What is known of a runtime; `None` if it is one that nobody here has heard of.
fn facts(runtime: &Shipped) -> Option<RuntimeFacts> {
    let engine = match runtime.engine.as_str() {
        "node" => RuntimeEngine::Node,
        "bun" => RuntimeEngine::Bun,
        "deno" => RuntimeEngine::Deno,
        _ => return None,
    };
    let version = runtime.version.clone()?;
    let abi = NodeAbi::of(&runtime.engine, &version)?;
    Some(RuntimeFacts { engine, version, modules: abi.modules, node_api: abi.napi })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::target::Targets;

    #[test]
    fn every_target_is_told_in_full() {
        let mut told = String::new();
        for target in Targets::built_in().iter() {
            let policy = of(target, &|_| false, None);
            let shown = |version: &Option<Version>| {
                version.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
            };
            let floors =
                [&policy.glibc, &policy.libstdcxx, &policy.musl, &policy.macos, &policy.windows];
            let floors: Vec<String> = floors.into_iter().map(shown).collect();
            let gpu = policy.gpu.map_or_else(String::new, |gpu| {
                format!(" sm {:?} TensorRT {}", gpu.sm, shown(&gpu.tensorrt))
            });
            writeln!(
                told,
                "{} {:?} {:?} {:?} {} {} {:?}{gpu}",
                target.name,
                policy.os,
                policy.machine,
                policy.c_library,
                floors.join(" "),
                policy.page_size,
                policy.cpu
            )
            .expect("strings grow");
        }
        insta::assert_snapshot!(told);
    }

    #[test]
    fn unknown_runtimes_stay_unknown() {
        let shipped = |engine: &str, version: Option<&str>| Shipped {
            engine: engine.to_owned(),
            version: version.map(str::to_owned),
            path: artifact::BundlePath::new("runtime/bin/x").expect("plain"),
        };
        let known = facts(&shipped("bun", Some("1.4.5"))).expect("it is in the table");
        assert_eq!((known.engine, known.modules), (RuntimeEngine::Bun, 147));
        assert_eq!(facts(&shipped("node", Some("99.0.0"))), None);
        assert_eq!(facts(&shipped("node", None)), None);
        assert_eq!(facts(&shipped("goja", Some("1.0.0"))), None);
    }
}
