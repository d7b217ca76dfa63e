//! Checks 20 and 21: code and models for graphics chips. Which libraries of NVIDIA's are there is a question of the
//! closure.

use super::bundle::{Bundle, Native};
use super::{Code, Finding, Gpu, Verdict};
use crate::fatbin::{GpuCode, GpuCodeKind};

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    let Some(gpu) = &bundle.policy.gpu else {
        plans(bundle, &Gpu::default(), findings);
        return;
    };
    for (_, file, native) in bundle.natives() {
        let code = match native {
            Native::Elf(elf) => &elf.gpu,
            Native::Pe(pe) => &pe.gpu,
            Native::MachO(_) => continue,
        };
        for sm in gpu.sm.iter().filter(|sm| !code.is_empty() && !runs(code, **sm)) {
            let made: Vec<String> = code.iter().map(described).collect();
            findings.push(Finding {
                required: made.join(", "),
                offered: format!("a chip of compute capability {}", dotted(*sm)),
                because: "a chip runs machine code made for it, and assembly (PTX) of its own or a lower \
                          capability"
                    .to_owned(),
                symptom: "no kernel image is available for execution on the device".to_owned(),
                remedy: format!("compile it with `-gencode arch=compute_{sm},code=sm_{sm}`"),
                ..Finding::new(Code::GpuArchitecture, Verdict::Broken, file, &format!("sm_{sm}"))
            });
        }
    }
    plans(bundle, gpu, findings);
}

fn plans(bundle: &Bundle<'_>, gpu: &Gpu, findings: &mut Vec<Finding>) {
    for plan in bundle.plans {
        let wrong_version = match (&plan.tensorrt, &gpu.tensorrt) {
            (Some(made), Some(there)) => Some(made != there),
            _ => None,
        };
        let wrong_chip =
            plan.sm.filter(|_| !gpu.sm.is_empty()).map(|made| gpu.sm.iter().any(|sm| *sm != made));
        let verdict = match (wrong_version, wrong_chip) {
            (Some(true), _) | (_, Some(true)) => Verdict::Broken,
            (Some(false), Some(false)) => continue,
            _ => Verdict::Unknown,
        };
        let version = plan.tensorrt.as_ref().map_or("?".to_owned(), ToString::to_string);
        let chips: Vec<String> = gpu.sm.iter().map(|sm| dotted(*sm)).collect();
        findings.push(Finding {
            path: plan.path.to_owned(),
            owner: plan.owner.map(str::to_owned),
            required: format!(
                "TensorRT {version} on compute capability {}",
                plan.sm.map_or("?".to_owned(), dotted)
            ),
            offered: match &gpu.tensorrt {
                Some(version) => format!("TensorRT {version} on {}", chips.join(", ")),
                None => "whatever is installed there: the target promises no TensorRT".to_owned(),
            },
            because: match (&plan.tensorrt, plan.sm) {
                (Some(_), Some(_)) => {
                    "a plan runs with the very TensorRT and chip that it was made with".to_owned()
                }
                _ => "a plan runs with the very TensorRT and chip that it was made with, and nothing says which \
                      those are: declare it in a `[[tensorrt-plan]]`"
                    .to_owned(),
            },
            symptom: "The engine plan file is not compatible with this version of TensorRT"
                .to_owned(),
            remedy: "ship the ONNX model and make the plan on the machine".to_owned(),
            ..Finding::bundle(Code::TensorRtPlan, verdict, "plan")
        });
    }
}

fn runs(code: &[GpuCode], sm: u32) -> bool {
    code.iter().any(|code| match code.kind {
        GpuCodeKind::Elf => code.arch == sm,
        GpuCodeKind::Ptx => code.arch <= sm,
    })
}

fn described(code: &GpuCode) -> String {
    match code.kind {
        GpuCodeKind::Elf => format!("sm_{}", code.arch),
        GpuCodeKind::Ptx => format!("compute_{}", code.arch),
    }
}

fn dotted(sm: u32) -> String {
    format!("{}.{}", sm / 10, sm % 10)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, elf};
    use super::super::{Plan, Role};
    use super::*;
    use crate::version::Version;

    fn jetson() -> Gpu {
        Gpu { sm: vec![72, 87], tensorrt: Version::parse("8.5.2"), ..Gpu::default() }
    }

    #[test]
    fn every_chip_needs_code() {
        use GpuCodeKind::{Elf, Ptx};
        let codes = |code: &[(GpuCodeKind, u32)]| {
            let gpu =
                code.iter().map(|(kind, arch)| GpuCode { kind: *kind, arch: *arch }).collect();
            let mut bench = Bench::linux().file("a.so", Role::Library, elf(|elf| elf.gpu = gpu));
            bench.policy.gpu = Some(jetson());
            bench.codes()
        };
        assert_eq!(codes(&[]), []);
        assert_eq!(codes(&[(Elf, 72), (Elf, 87)]), []);
        assert_eq!(codes(&[(Ptx, 72)]), []);
        assert_eq!(codes(&[(Elf, 87)]), [Code::GpuArchitecture]);
        assert_eq!(codes(&[(Ptx, 90)]), [Code::GpuArchitecture; 2]);
    }

    #[test]
    fn plans_are_for_one_version_and_chip() {
        let verdicts = |tensorrt: Option<&str>, sm| {
            let tensorrt = tensorrt.and_then(Version::parse);
            let mut bench = Bench::linux();
            bench.plans = vec![Plan { path: "m.plan", owner: None, tensorrt, sm }];
            bench.policy.gpu = Some(Gpu { sm: vec![87], ..jetson() });
            bench.verdicts()
        };
        assert_eq!(verdicts(Some("8.5.2"), Some(87)), []);
        assert_eq!(verdicts(Some("8.6.1"), Some(87)), [(Code::TensorRtPlan, Verdict::Broken)]);
        assert_eq!(verdicts(Some("8.5.2"), Some(72)), [(Code::TensorRtPlan, Verdict::Broken)]);
        assert_eq!(verdicts(None, Some(87)), [(Code::TensorRtPlan, Verdict::Unknown)]);
        // A target that promises no TensorRT.
        let mut bench = Bench::linux();
        let tensorrt = Version::parse("8.5.2");
        bench.plans = vec![Plan { path: "m.plan", owner: None, tensorrt, sm: Some(87) }];
        assert_eq!(bench.verdicts(), [(Code::TensorRtPlan, Verdict::Unknown)]);
    }
}
