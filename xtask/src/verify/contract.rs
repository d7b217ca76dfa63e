//! The contract of a bundle: what its files need, put into the words both ends share.
//!
//! Pure. The files say what they need; the target is asked only what those needs mean there: which releases of L4T have
//! the libraries of NVIDIA that a bundle for a Jetson asks for, and which versions of CUDA and its companions those are.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use gangway_abi::GpuCodeKind;
use gangway_abi::check::Needs;
use gangway_artifact::{
    Contract, Disk, File, Nvidia, Python, PythonProgram, Service, TensorRtPlan, Version,
};

use crate::target::{Jetson, Target};

/// What a contract says besides the needs of native files.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The processes that come along.
    pub services: &'a [Service],
    /// How those in Python are started.
    pub python: &'a BTreeMap<String, PythonProgram>,
    /// Models that TensorRT compiled.
    pub plans: &'a [TensorRtPlan],
    /// Every regular file.
    pub files: &'a [File],
    /// How many symbolic links there are.
    pub links: usize,
}

/// The software of NVIDIA's that a library belongs to, by how its name begins; the driver's `libcuda` is of the system's.
const PRODUCTS: [(&str, Product); 11] = [
    ("libnvinfer", Product::TensorRt),
    ("libnvonnxparser", Product::TensorRt),
    ("libcudnn", Product::Cudnn),
    ("libcudart", Product::Cuda),
    ("libcublas", Product::Cuda),
    ("libcufft", Product::Cuda),
    ("libcurand", Product::Cuda),
    ("libcusolver", Product::Cuda),
    ("libcusparse", Product::Cuda),
    ("libnvrtc", Product::Cuda),
    ("libnvJitLink", Product::Cuda),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Cuda,
    Cudnn,
    TensorRt,
}

/// What the bundle needs of a machine.
#[must_use]
pub fn of(needs: &Needs, target: &Target, contents: Contents<'_>) -> Contract {
    Contract {
        glibc: version(needs.glibc.as_ref()),
        libstdcxx: version(needs.libstdcxx.as_ref()),
        musl: version(needs.musl.as_ref()),
        kernel: version(needs.kernel.as_ref()),
        x86_64_level: needs.x86_level,
        page_size: needs.page_size,
        macos: version(needs.macos.as_ref()),
        windows: version(needs.windows.as_ref()),
        libraries: needs.libraries.clone(),
        nvidia: nvidia(needs, contents.plans, target.jetson()),
        python: python(contents),
        disk: disk(contents),
    }
}

/// Both are numbers with dots; the artifact's is the one that is compared.
fn version(version: Option<&gangway_abi::Version>) -> Option<Version> {
    version.map(|version| version.to_string().parse().expect("numbers with dots, both of them"))
}

fn nvidia(needs: &Needs, plans: &[TensorRtPlan], jetson: Option<&Jetson>) -> Option<Nvidia> {
    let capability = |arch: u32| -> Version {
        format!("{}.{}", arch / 10, arch % 10).parse().expect("two numbers")
    };
    let code = |kind: GpuCodeKind| -> BTreeSet<Version> {
        let of_kind = needs.gpu.iter().filter(|code| code.kind == kind);
        of_kind.map(|code| capability(code.arch)).collect()
    };
    let mut nvidia =
        Nvidia { sm: code(GpuCodeKind::Elf), ptx: code(GpuCodeKind::Ptx), ..Nvidia::default() };
    if let Some(jetson) = jetson {
        let asked: Vec<&String> = (jetson.libraries.iter())
            .filter(|library| needs.libraries.contains_key(*library))
            .collect();
        let uses = |product| {
            let is_its = |library: &&String| {
                PRODUCTS.iter().any(|(start, of)| *of == product && library.starts_with(start))
            };
            asked.iter().any(is_its)
        };
        let major = |product, version: &str| {
            uses(product).then(|| Version::leading(version).map(|version| version.major()))
        };
        nvidia.cuda = major(Product::Cuda, &jetson.cuda).flatten();
        nvidia.cudnn = major(Product::Cudnn, &jetson.cudnn).flatten();
        nvidia.tensorrt = major(Product::TensorRt, &jetson.tensorrt).flatten();
        if !asked.is_empty() || !needs.gpu.is_empty() || !plans.is_empty() {
            nvidia.l4t = jetson.releases();
        }
    }
    // A plan is for one TensorRT and one chip; of several, each is for one of the chips.
    nvidia.sm.extend(plans.iter().map(|plan| plan.sm.clone()));
    if let Some(plan) = plans.iter().max_by_key(|plan| &plan.tensorrt) {
        nvidia.tensorrt = Some(plan.tensorrt.major());
    }
    (nvidia != Nvidia::default()).then_some(nvidia)
}

fn python(contents: Contents<'_>) -> BTreeMap<String, Python> {
    let needed = contents.services.iter().filter_map(|service| {
        let versions = service.python?;
        let native =
            contents.python.get(service.name.as_str()).is_some_and(|program| program.native);
        Some((service.name.to_string(), Python { versions, native }))
    });
    needed.collect()
}

fn disk(contents: Contents<'_>) -> Disk {
    let mut folders: HashSet<&str> = HashSet::new();
    for file in contents.files {
        let mut path = file.path.as_str();
        while let Some((folder, _)) = path.rsplit_once('/') {
            // Those above it are known as well.
            if !folders.insert(folder) {
                break;
            }
            path = folder;
        }
    }
    let others = folders.len() + contents.links;
    Disk::of(contents.files.iter().map(|file| file.size), others as u64)
}

#[cfg(test)]
mod tests {
    use gangway_abi::GpuCode;
    use gangway_artifact::{BundlePath, Digest, Mode, PythonVersions};

    use super::*;
    use crate::target::Targets;

    fn target(name: &str) -> Target {
        Targets::built_in().find(name).expect("it is there").clone()
    }

    fn libraries(names: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        names.iter().map(|name| ((*name).to_owned(), BTreeSet::new())).collect()
    }

    fn contract(needs: &Needs, target_name: &str) -> Contract {
        with_plans(needs, &[], target_name)
    }

    fn with_plans(needs: &Needs, plans: &[TensorRtPlan], target_name: &str) -> Contract {
        let contents =
            Contents { services: &[], python: &BTreeMap::new(), plans, files: &[], links: 0 };
        of(needs, &target(target_name), contents)
    }

    #[test]
    fn a_plan_needs_its_tensorrt_and_its_chip() {
        let plan = |tensorrt: &str, sm: &str| TensorRtPlan {
            path: BundlePath::new("services/vision/model.engine").expect("plain"),
            tensorrt: tensorrt.parse().expect("a version"),
            sm: sm.parse().expect("a version"),
        };
        let said = |plans: &[TensorRtPlan], target: &str| {
            let contract = with_plans(&Needs::default(), plans, target);
            serde_json::to_string(&contract.nvidia).expect("plain data")
        };
        assert_eq!(said(&[], "jetson"), "null");
        insta::assert_snapshot!(
            said(&[plan("10.3.0", "8.7")], "jetson"),
            @r#"{"l4t":{"first":"36.4","last":"36.5"},"tensorrt":10,"sm":["8.7"]}"#
        );
        insta::assert_snapshot!(
            said(&[plan("8.5.2", "8.7"), plan("8.5.2", "7.2")], "linux-arm64"),
            @r#"{"tensorrt":8,"sm":["7.2","8.7"]}"#
        );
    }

    #[test]
    fn a_jetson_is_asked_for_only_by_who_needs_one() {
        let plain = Needs { libraries: libraries(&["libc.so.6"]), ..Needs::default() };
        assert_eq!(contract(&plain, "jetson").nvidia, None);
        let driver = Needs { libraries: libraries(&["libcuda.so.1"]), ..Needs::default() };
        assert_eq!(contract(&driver, "linux-arm64").nvidia, None);
        let nvidia = contract(&driver, "jetson").nvidia.expect("the driver's library");
        assert_eq!((nvidia.cuda, nvidia.l4t.is_some()), (None, true));
    }

    #[test]
    fn what_tensorrt_means_on_each_jetson() {
        let of = |name: &str, library: &str| {
            let needs = Needs {
                libraries: libraries(&[library, "libcudart.so.12", "libcudart.so.11.0"]),
                gpu: BTreeSet::from([
                    GpuCode { kind: GpuCodeKind::Elf, arch: 87 },
                    GpuCode { kind: GpuCodeKind::Ptx, arch: 110 },
                ]),
                ..Needs::default()
            };
            let nvidia = contract(&needs, name).nvidia.expect("it needs NVIDIA's");
            serde_json::to_string(&nvidia).expect("it has a JSON form")
        };
        assert_eq!(
            of("jetson", "libnvinfer.so.10"),
            r#"{"l4t":{"first":"36.4","last":"36.5"},"cuda":12,"tensorrt":10,"sm":["8.7"],"ptx":["11.0"]}"#
        );
        assert_eq!(
            of("jetson-jp5", "libnvinfer.so.8"),
            r#"{"l4t":{"first":"35.2","last":"35.6"},"cuda":11,"tensorrt":8,"sm":["8.7"],"ptx":["11.0"]}"#
        );
        assert_eq!(of("linux-x64", "libnvinfer.so.10"), r#"{"sm":["8.7"],"ptx":["11.0"]}"#);
    }

    /// A library that a target says a Jetson has is of one of the products, or the driver's.
    #[test]
    fn every_library_of_a_jetson_is_known() {
        for target in Targets::built_in().iter() {
            for library in target.jetson().iter().flat_map(|jetson| &jetson.libraries) {
                let is_known = library.starts_with("libcuda.")
                    || PRODUCTS.iter().any(|(start, _)| library.starts_with(start));
                assert!(is_known, "{}: {library}", target.name);
            }
        }
    }

    #[test]
    fn python_and_disk() {
        let path = |text: &str| BundlePath::new(text).expect("plain");
        let versions = PythonVersions::exactly("3.10".parse().expect("a version"));
        let service = Service {
            name: "vision".parse().expect("a name"),
            kind: "python".to_owned(),
            program: None,
            python: Some(versions),
            args: Vec::new(),
            env: BTreeMap::new(),
            health: None,
        };
        let program = PythonProgram {
            versions,
            native: true,
            script: path("services/vision/main.py"),
            path: Vec::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
        };
        let file = |name: &str, size| File {
            path: path(name),
            size,
            mode: Mode::Plain,
            block: None,
            sha256: Digest::of(name),
        };
        let contents = Contents {
            services: &[service],
            python: &BTreeMap::from([("vision".to_owned(), program)]),
            plans: &[],
            files: &[file("a/b/c", 1), file("a/d", 5000)],
            links: 1,
        };
        let contract = of(&Needs::default(), &target("jetson"), contents);
        assert_eq!(contract.python["vision"], Python { versions, native: true });
        // Two folders, a link, and one and two blocks.
        assert_eq!(contract.disk, Disk { unpacked: 5001, installed: 6 * 4096 });
    }
}
