//! The doctor: what the machine is, what a bundle needs of it, and one line of remedy for each need that is not met.
//!
//! Pure: a [`Machine`] and a bundle's contract in, a [`Report`] out. It is the builder's own form of report, with the same names
//! of checks, so that what is told of a bundle where it is made and where it runs is read by the same programs.

use std::fmt::Write as _;

use gangway_artifact::report::{Finding, REPORT_VERSION, Report, Verdict};
use gangway_artifact::{
    App, Contract, Fact, Found, Judged, Manifest, Need, Platform, TargetName, jetson,
};
use serde_json::Value;

use crate::host::choose::words;
use crate::host::remedy::remedy;
use crate::host::{Kind, Machine};

/// What is held against the machine.
#[derive(Debug, Clone, Copy)]
pub struct Patient<'a> {
    /// Whose bundle it is.
    pub app: &'a App,
    /// The target it is for.
    pub target: &'a TargetName,
    /// The platform that stands for.
    pub platform: &'a Platform,
    /// What it needs.
    pub contract: &'a Contract,
}

impl<'a> Patient<'a> {
    /// A bundle by its manifest.
    #[must_use]
    pub fn of(manifest: &'a Manifest) -> Self {
        Self {
            app: &manifest.app,
            target: &manifest.target,
            platform: &manifest.platform,
            contract: &manifest.contract,
        }
    }
}

/// Examines the machine, for a bundle if there is one.
#[must_use]
pub fn examine(machine: &Machine, patient: Option<Patient<'_>>) -> Report {
    let mut findings: Vec<Finding> =
        patient.map(|patient| judge(machine, patient)).unwrap_or_default();
    findings.sort_by_key(|finding| finding.verdict);
    Report {
        version: REPORT_VERSION,
        app: patient.map(|patient| patient.app.clone()),
        target: patient.map(|patient| patient.target.clone()),
        passes: findings.iter().all(|finding| !finding.fails),
        findings,
        needs: patient.map(|patient| patient.contract.clone()),
        machine: facts(machine).into_iter().filter_map(known).collect(),
        verification: None,
        warnings: warnings(machine),
    }
}

/// For people.
#[must_use]
pub fn text(machine: &Machine, report: &Report) -> String {
    let mut text = String::from("this machine\n");
    for (label, shown) in shown(machine) {
        let _ = writeln!(text, "  {label:<11}{shown}");
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    let Some((app, target)) = report.app.as_ref().zip(report.target.as_ref()) else { return text };
    let _ = writeln!(text, "\n{} {} for {target} needs", app.name, app.version);
    for finding in &report.findings {
        let (mark, offered) = match finding.verdict {
            Verdict::Met | Verdict::Advice => ("ok", finding.offered.as_str()),
            Verdict::Unknown => ("unknown", "could not be told"),
            Verdict::Broken => ("MISSING", finding.offered.as_str()),
        };
        let need = match finding.required.as_str() {
            "" => finding.subject.clone(),
            required => format!("{} {required}", finding.subject),
        };
        let _ = writeln!(text, "  {mark:<8} {need}: {offered}");
        if finding.verdict != Verdict::Met {
            let _ = writeln!(text, "           {}", finding.remedy);
        }
    }
    let missing = report.findings.iter().filter(|finding| finding.fails).count();
    let verdict = match missing {
        0 => "it runs on this machine, as far as its files can say".to_owned(),
        1 => "it does not run on this machine: one thing is missing".to_owned(),
        many => format!("it does not run on this machine: {many} things are missing"),
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}

fn judge(machine: &Machine, patient: Patient<'_>) -> Vec<Finding> {
    let host = machine.host_for(patient.platform);
    let mut findings: Vec<Finding> = platform(machine, patient.platform).into_iter().collect();
    let judged = patient.contract.judge(&host);
    let is_missing = |library: &str| {
        judged.iter().any(|Judged { need, answer }| match need {
            Need::Library(name) => name == library && answer.is_err(),
            _ => false,
        })
    };
    // That a library which is not there has not the right version goes without saying.
    let told = judged.iter().filter(|Judged { need, .. }| match need {
        Need::LibraryVersion { library, .. } => !is_missing(library),
        _ => true,
    });
    findings.extend(told.map(|judged| finding(machine, judged)));
    findings
}

/// The platform is no need of the contract, and the first of all.
fn platform(machine: &Machine, platform: &Platform) -> Option<Finding> {
    let (verdict, offered) = match machine.kind_of(platform) {
        Kind::Same => return None,
        Kind::OtherLibc | Kind::Translated => {
            let how = "the machine runs its programs, though they are not made for it";
            (Verdict::Advice, how.to_owned())
        }
        Kind::Foreign => match &machine.host.platform {
            Fact::Is(own) => (Verdict::Broken, words(own)),
            Fact::Absent | Fact::Unknown => (Verdict::Unknown, String::new()),
        },
    };
    let required = words(platform);
    Some(Finding {
        verdict,
        number: Some(15),
        code: "machine".to_owned(),
        because: format!("it is for {required}"),
        symptom: "none of its programs starts".to_owned(),
        remedy: "install the bundle that is for this machine: leave `--target` out".to_owned(),
        fails: verdict == Verdict::Broken,
        ..blank("platform", required, offered)
    })
}

fn finding(machine: &Machine, Judged { need, answer }: &Judged) -> Finding {
    let (verdict, offered) = match answer {
        Ok(found) => (Verdict::Met, found.clone()),
        Err(Found::Unknown) => (Verdict::Unknown, String::new()),
        Err(Found::Nothing) => (Verdict::Broken, "the machine has none".to_owned()),
        Err(Found::Other(found)) => (Verdict::Broken, format!("the machine has {found}")),
    };
    let (code, number) = need.check();
    let required = match need {
        Need::Library(_) => String::new(),
        _ => need.demand(),
    };
    let remedy = match verdict {
        Verdict::Met => String::new(),
        _ => remedy(need, machine),
    };
    let because = match verdict {
        Verdict::Unknown => "the machine has no file that says it",
        _ => "the bundle's contract asks for it",
    };
    Finding {
        verdict,
        number,
        code: code.to_owned(),
        because: because.to_owned(),
        symptom: symptom(need),
        remedy,
        fails: verdict == Verdict::Broken,
        ..blank(&need.subject(), required, offered)
    }
}

fn blank(subject: &str, required: String, offered: String) -> Finding {
    Finding {
        verdict: Verdict::Unknown,
        number: None,
        code: String::new(),
        path: String::new(),
        owner: None,
        subject: subject.to_owned(),
        required,
        offered,
        because: String::new(),
        symptom: String::new(),
        remedy: String::new(),
        is_heuristic: false,
        fails: false,
        allowed: None,
    }
}

/// What whoever starts it all the same would see.
fn symptom(need: &Need) -> String {
    match need {
        Need::Glibc(version) => format!("version `GLIBC_{version}' not found"),
        Need::Libstdcxx(version) => format!("version `GLIBCXX_{version}' not found"),
        Need::Musl(_) => "Error relocating: symbol not found".to_owned(),
        Need::Kernel(_) => "FATAL: kernel too old".to_owned(),
        Need::X8664Level(_) => "Illegal instruction".to_owned(),
        Need::PageSize(_) => "ELF load command address/offset not page-aligned".to_owned(),
        Need::MacOs(_) => "Symbol not found, built for a newer macOS".to_owned(),
        Need::Windows(_) => "The procedure entry point could not be located".to_owned(),
        Need::Library(library) | Need::LibraryVersion { library, .. } => {
            format!("{library}: cannot open shared object file")
        }
        Need::L4t(_) | Need::Cuda(_) | Need::Cudnn(_) => {
            "a library of CUDA is not found".to_owned()
        }
        Need::TensorRt(_) => {
            "libnvinfer is not found, or the plan file is not compatible".to_owned()
        }
        Need::Chip { .. } => "no kernel image is available for execution on the device".to_owned(),
        Need::Python { service, .. } => format!("cannot start `{service}`"),
        Need::Disk(_) => "No space left on device".to_owned(),
    }
}

fn warnings(machine: &Machine) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(place) = &machine.glibc_elsewhere {
        warnings.push(format!(
            "the system's glibc is at `{place}`: programs made for other systems do not find it"
        ));
    }
    if machine.userland_bits == Some(32) {
        warnings.push(
            "the kernel is one of 64 bits, and the system's own programs are of 32".to_owned(),
        );
    }
    match &machine.host.l4t {
        Fact::Is(release) if jetson::jetpack(release).is_none() => {
            warnings.push(format!("L4T {release} is none of the releases that are known here"));
        }
        Fact::Unknown if matches!(machine.host.chip, Fact::Is(_)) => {
            warnings.push("this is a Jetson, and its release of L4T could not be told".to_owned());
        }
        _ => {}
    }
    warnings
}

/// A fact about the machine for programs.
type Named = (&'static str, Fact<Value>);

/// A fact that is known; what the machine has not is `null`.
fn known((name, fact): Named) -> Option<(String, Value)> {
    match fact {
        Fact::Unknown => None,
        Fact::Absent => Some((name.to_owned(), Value::Null)),
        Fact::Is(value) => Some((name.to_owned(), value)),
    }
}

fn facts(machine: &Machine) -> Vec<Named> {
    let host = &machine.host;
    let words = host.python.as_ref().map(|versions| {
        let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
        Value::from(versions)
    });
    let graphics = match machine.graphics.is_empty() {
        true => Fact::Unknown,
        false => Fact::Is(Value::from(machine.graphics.clone())),
    };
    let option = |text: &Option<String>| {
        text.as_ref().map_or(Fact::Unknown, |text| Fact::Is(Value::from(text.as_str())))
    };
    vec![
        (
            "platform",
            host.platform
                .as_ref()
                .map(|platform| serde_json::to_value(platform).expect("it has a JSON form")),
        ),
        ("system", option(&machine.system.name)),
        ("model", option(&machine.model)),
        ("glibc", string(&host.glibc)),
        ("libstdcxx", string(&host.libstdcxx)),
        ("musl", string(&host.musl)),
        ("kernel", string(&host.kernel)),
        ("macos", string(&host.macos)),
        ("windows", string(&host.windows)),
        ("x86_64_level", host.x86_64_level.as_ref().map(|level| Value::from(*level))),
        ("page_size", host.page_size.as_ref().map(|bytes| Value::from(*bytes))),
        (
            "userland_bits",
            machine.userland_bits.map_or(Fact::Unknown, |bits| Fact::Is(bits.into())),
        ),
        ("translated", Fact::Is(machine.is_translated.into())),
        ("l4t", string(&host.l4t)),
        ("cuda", string(&host.cuda)),
        ("cudnn", string(&host.cudnn)),
        ("tensorrt", string(&host.tensorrt)),
        ("chip", string(&host.chip)),
        ("nvidia_driver", string(&machine.nvidia_driver)),
        ("graphics", graphics),
        ("python", words),
        ("memory", machine.memory.as_ref().map(|bytes| Value::from(*bytes))),
        ("free", host.free.as_ref().map(|bytes| Value::from(*bytes))),
        ("prefix", Fact::Is(Value::from(machine.prefix.as_str()))),
    ]
}

fn string<T: ToString>(fact: &Fact<T>) -> Fact<Value> {
    fact.as_ref().map(|value| Value::from(value.to_string()))
}

/// The same for people: what is of no interest on a machine of its kind is left out.
fn shown(machine: &Machine) -> Vec<(&'static str, String)> {
    let host = &machine.host;
    let platform = match &host.platform {
        Fact::Is(platform) => words(platform),
        Fact::Absent | Fact::Unknown => "of no kind that is known here".to_owned(),
    };
    let name = machine.system.name.as_ref().map(|name| format!("{name}: {platform}"));
    let mut lines = vec![("system", name.unwrap_or(platform))];
    let mut line = |label: &'static str, text: Option<String>| {
        lines.extend(text.map(|text| (label, text)));
    };
    line("model", machine.model.clone());
    line("kernel", is(&host.kernel, ToString::to_string));
    line("glibc", is(&host.glibc, ToString::to_string));
    line("libstdc++", is(&host.libstdcxx, |version| format!("GLIBCXX_{version}")));
    line("musl", is(&host.musl, ToString::to_string));
    line("processor", is(&host.x86_64_level, |level| format!("x86-64-v{level}")));
    line("translated", machine.is_translated.then(|| "this program runs translated".to_owned()));
    line("pages", is(&host.page_size, |bytes| format!("{} KiB", bytes / 1024)));
    line(
        "L4T",
        is(&host.l4t, |release| {
            let name = jetson::jetpack(release).unwrap_or("unknown");
            format!("{release} ({name})")
        }),
    );
    line("CUDA", is(&host.cuda, ToString::to_string));
    line("cuDNN", is(&host.cudnn, ToString::to_string));
    line("TensorRT", is(&host.tensorrt, ToString::to_string));
    line("chip", is(&host.chip, |chip| format!("compute capability {chip}")));
    line("driver", is(&machine.nvidia_driver, |version| format!("NVIDIA {version}")));
    line("graphics", (!machine.graphics.is_empty()).then(|| machine.graphics.join(", ")));
    line(
        "Python",
        is(&host.python, |versions| {
            versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }),
    );
    line("memory", is(&machine.memory, |bytes| gibibytes(*bytes)));
    line(
        "disk",
        is(&host.free, |bytes| format!("{} free for `{}`", gibibytes(*bytes), machine.prefix)),
    );
    lines
}

fn is<T>(fact: &Fact<T>, show: impl Fn(&T) -> String) -> Option<String> {
    match fact {
        Fact::Is(value) => Some(show(value)),
        Fact::Absent | Fact::Unknown => None,
    }
}

fn gibibytes(bytes: u64) -> String {
    let tenths = bytes / (1 << 20) * 10 / 1024;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use gangway_artifact::{Cpu, Disk, Libc, Nvidia, Os, Python, PythonVersions, Version};

    use super::*;
    use crate::host::{self, Asked, Kernel, Senses, testing};

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    fn contract() -> Contract {
        let python = Python {
            versions: PythonVersions::exactly("3.12".parse().expect("a version")),
            native: true,
        };
        Contract {
            glibc: Some(version("2.34")),
            libstdcxx: Some(version("3.4.32")),
            page_size: Some(65536),
            libraries: BTreeMap::from([
                ("libatomic.so.1".to_owned(), BTreeSet::from(["LIBATOMIC_1.0".to_owned()])),
                ("libnvinfer.so.10".to_owned(), BTreeSet::new()),
            ]),
            nvidia: Some(Nvidia {
                cuda: Some(12),
                sm: [version("8.7")].into(),
                ..Nvidia::default()
            }),
            python: BTreeMap::from([("vision".to_owned(), python)]),
            disk: Disk::of([300 << 20], 0),
            ..Contract::default()
        }
    }

    fn orin(contract: &Contract) -> Machine {
        let machine = testing::orin();
        let kernel = Kernel {
            os: Some(Os::Linux),
            cpu: Some(Cpu::Arm64),
            version: Fact::Is(version("5.15.148")),
            page_size: Fact::Is(4096),
            x86_64_level: Fact::Absent,
            ..Kernel::default()
        };
        let python = BTreeSet::from(["3.10".parse().expect("a version")]);
        let senses = Senses {
            root: &machine.root(),
            kernel: &kernel,
            has_library: &|_| None,
            pythons: &|_| Fact::Is(python.clone()),
        };
        host::read(&senses, &Asked::about([contract], "/home/me/.local/share/a"))
    }

    const ARM: Platform = Platform { os: Os::Linux, cpu: Cpu::Arm64, libc: Some(Libc::Glibc) };

    #[test]
    fn for_people_and_for_programs() {
        let (contract, app) =
            (contract(), App { name: "a".parse().expect("a name"), version: "1.0.0".to_owned() });
        let machine = orin(&contract);
        let target = "jetson".parse().expect("a name");
        let patient = Patient { app: &app, target: &target, platform: &ARM, contract: &contract };
        let report = examine(&machine, Some(patient));
        assert!(!report.passes);
        insta::assert_snapshot!(text(&machine, &report), @"
        this machine
          system     Ubuntu 22.04.5 LTS: Linux on arm64 with glibc
          model      NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super
          kernel     5.15.148
          glibc      2.35
          libstdc++  GLIBCXX_3.4.30
          pages      4 KiB
          L4T        36.4.3 (JetPack 6.1-6.2)
          CUDA       12.6.68
          cuDNN      9.3.0
          TensorRT   10.3.0
          chip       compute capability 8.7
          driver     NVIDIA 540.4.0
          Python     3.10
          memory     7.4 GiB

        a 1.0.0 for jetson needs
          MISSING  libstdc++ GLIBCXX_3.4.32 or newer: the machine has 3.4.30
                   it comes with the system: JetPack 7 and newer have libstdc++ 3.4.32
          MISSING  libatomic.so.1: the machine has none
                   `sudo apt install libatomic1`
          MISSING  Python for `vision` 3.12, CPython: the machine has 3.10
                   install Python 3.12: `sudo apt install python3.12`
          unknown  disk 300 MiB: could not be told
                   free 300 MiB where `/home/me/.local/share/a` is, or choose another place with `--prefix`
          ok       glibc 2.34 or newer: 2.35
          ok       memory pages at most 64 KiB: pages of 4 KiB
          ok       libnvinfer.so.10: it is there
          ok       CUDA 12.x: 12.6.68
          ok       graphics chip 8.7: 8.7

        it does not run on this machine: 3 things are missing
        ");
        let json = serde_json::to_string(&report).expect("it has a JSON form");
        assert_eq!(serde_json::from_str::<Report>(&json).expect("its own text"), report);
        insta::assert_snapshot!(serde_json::to_string(&report.findings[0]).expect("JSON"), @r#"{"verdict":"broken","number":3,"code":"libstdcxx-floor","path":"","owner":null,"subject":"libstdc++","required":"GLIBCXX_3.4.32 or newer","offered":"the machine has 3.4.30","because":"the bundle's contract asks for it","symptom":"version `GLIBCXX_3.4.32' not found","remedy":"it comes with the system: JetPack 7 and newer have libstdc++ 3.4.32","is_heuristic":false,"fails":true,"allowed":null}"#);
        insta::assert_snapshot!(serde_json::to_string(&report.machine).expect("JSON"), @r#"{"chip":"8.7","cuda":"12.6.68","cudnn":"9.3.0","glibc":"2.35","kernel":"5.15.148","l4t":"36.4.3","libstdcxx":"3.4.30","macos":null,"memory":7989288960,"model":"NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super","musl":null,"nvidia_driver":"540.4.0","page_size":4096,"platform":{"cpu":"arm64","libc":"glibc","os":"linux"},"prefix":"/home/me/.local/share/a","python":["3.10"],"system":"Ubuntu 22.04.5 LTS","tensorrt":"10.3.0","translated":false,"userland_bits":64,"windows":null,"x86_64_level":null}"#);
    }

    #[test]
    fn the_machine_alone() {
        let machine = orin(&Contract::default());
        let report = examine(&machine, None);
        assert!(report.passes && report.findings.is_empty() && report.app.is_none());
        assert!(!text(&machine, &report).contains("needs"));
    }

    #[test]
    fn another_platform() {
        let machine = orin(&Contract::default());
        let app = App { name: "a".parse().expect("a name"), version: "1".to_owned() };
        let target = "linux-x64".parse().expect("a name");
        let platform = Platform { cpu: Cpu::X64, ..ARM };
        let contract = Contract::default();
        let patient =
            Patient { app: &app, target: &target, platform: &platform, contract: &contract };
        let report = examine(&machine, Some(patient));
        assert_eq!((report.findings[0].code.as_str(), report.passes), ("machine", false));
        assert_eq!(report.findings[0].offered, "Linux on arm64 with glibc");
    }
}
