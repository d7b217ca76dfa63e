//! With the uv of this machine, and wheels made here.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use camino::Utf8PathBuf;
use gangway_artifact::{BundlePath, Digest};
use zip::write::SimpleFileOptions;

use super::*;
use crate::target::Targets;
use crate::testing::{Answer, Sandbox, Server, rendered};

/// Everything a test needs.
struct Bench {
    sandbox: Sandbox,
    targets: Targets,
}

/// What a test wants of a service.
struct Wish<'a> {
    lock: &'a str,
    python: &'a str,
    target: &'a str,
    start: Start,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        let script = BundlePath::new("main.py").expect("plain");
        Self {
            lock: "requirements.txt",
            python: ">=3.10",
            target: "linux-arm64",
            start: Start::Script(script),
        }
    }
}

impl Bench {
    fn new() -> Self {
        Self { sandbox: Sandbox::new(), targets: Targets::built_in() }
    }

    fn context(&self) -> Context {
        let path = std::env::var("PATH").expect("a machine that runs tests has one");
        self.sandbox.context(&[("PATH", path.as_str())])
    }

    /// Makes a wheel and returns what a lock says of it.
    fn wheel(&self, name: &str, tag: &str, files: &[(&str, &[u8])]) -> String {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let info = format!("{name}-1.0.dist-info");
        let native = !tag.ends_with("-any");
        let own = [
            (
                "METADATA",
                format!(
                    "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{}\n",
                    self.requires(name)
                ),
            ),
            (
                "WHEEL",
                format!(
                    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {}\nTag: {tag}\n",
                    !native
                ),
            ),
        ];
        let own: Vec<(String, Vec<u8>)> = own
            .into_iter()
            .map(|(file, text)| (format!("{info}/{file}"), text.into_bytes()))
            .collect();
        let all = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).chain(own);
        let mut record = String::new();
        for (path, bytes) in all {
            archive.start_file(&path, SimpleFileOptions::default()).expect("memory takes it");
            archive.write_all(&bytes).expect("memory takes it");
            record.push_str(&format!("{path},,{}\n", bytes.len()));
        }
        record.push_str(&format!("{info}/RECORD,,\n"));
        archive
            .start_file(format!("{info}/RECORD"), SimpleFileOptions::default())
            .expect("memory takes it");
        archive.write_all(record.as_bytes()).expect("memory takes it");
        let bytes = archive.finish().expect("memory takes it").into_inner();
        self.sandbox.write(&format!("wheels/{name}-1.0-{tag}.whl"), &bytes);
        format!("--hash=sha256:{}", Digest::of(&bytes))
    }

    /// One of the wheels asks for another.
    fn requires(&self, name: &str) -> &'static str {
        if name == "asking" { "Requires-Dist: pure\n" } else { "" }
    }

    /// A lock of these lines that knows the wheels of this test alone.
    fn lock(&self, lines: &[String]) -> Utf8PathBuf {
        let wheels = self.sandbox.root.join("wheels");
        let text = format!("--no-index\n--find-links {wheels}\n{}\n", lines.join("\n"));
        self.sandbox.write("requirements.txt", text)
    }

    /// A package index with the wheels made so far.
    fn index(&self) -> Server {
        let folder = self.sandbox.root.join("wheels");
        Server::start(move |seen, _| {
            let path = seen.target.trim_matches('/');
            if let Some(file) = path.strip_prefix("files/") {
                return fs_err::read(folder.join(file)).map_or(Answer::status(404), Answer::ok);
            }
            let package = path.trim_start_matches("simple/").to_owned();
            let mut page = String::new();
            for entry in folder.read_dir_utf8().expect("wheels were made") {
                let name = entry.expect("readable").file_name().to_owned();
                if name.starts_with(&format!("{package}-")) {
                    let digest = Digest::of(fs_err::read(folder.join(&name)).expect("readable"));
                    page.push_str(&format!(
                        "<a href=\"/files/{name}#sha256={digest}\">{name}</a>\n"
                    ));
                }
            }
            Answer::html(page)
        })
    }

    fn stage_with(&self, context: &Context, wish: &Wish<'_>) -> Result<Staged, PythonError> {
        let store = Store::open(context).expect("a fresh folder");
        let main = store.add_bytes(b"print('here')\n", false).expect("writable");
        let own = Tree::from_iter([(BundlePath::new("main.py").expect("plain"), Node::File(main))]);
        let requirements = self.sandbox.root.join(wish.lock);
        let service = Service {
            name: "worker",
            requirements: &requirements,
            python: range::parse(wish.python).expect("a range"),
            start: &wish.start,
            args: &[],
        };
        let target = self.targets.find(wish.target).expect("built in");
        let folder = BundlePath::new("services/worker").expect("plain");
        stage(context, &store, service, target, &own, &folder)
    }

    fn stage(&self, wish: &Wish<'_>) -> Result<Staged, PythonError> {
        self.stage_with(&self.context(), wish)
    }

    fn fault(&self, wish: &Wish<'_>) -> String {
        let error = self.stage(wish).expect_err("it has a fault");
        rendered(&error).replace(self.sandbox.root.as_str(), "<root>")
    }
}

/// The first bytes of programs of two systems.
fn code(machine: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x200];
    match machine {
        "elf-arm64" => {
            bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0");
        }
        _ => {
            bytes[..2].copy_from_slice(b"MZ");
            bytes[0x3c] = 0x80;
            bytes[0x80..0x86].copy_from_slice(b"PE\0\0\x64\xaa");
            // A library's characteristics, and the mark of a 64-bit header.
            bytes[0x96..0x9a].copy_from_slice(b"\x22\x20\x0b\x02");
        }
    }
    bytes
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path.as_str()).collect()
}

fn text(tree: &Tree, path: &str) -> String {
    match tree.get(path) {
        Some(Node::File(source)) => fs_err::read_to_string(source.path()).expect("text"),
        other => panic!("{path}: {other:?}"),
    }
}

fn pure(bench: &Bench) -> String {
    let files: [(&str, &[u8]); 7] = [
        ("pure/__init__.py", b"value = 1\n"),
        ("pure/__main__.py", b"print('pure')\n"),
        ("pure/__pycache__/__init__.cpython-310.pyc", b"compiled"),
        ("pure/launcher.exe", &code("pe")),
        ("pure-1.0.data/scripts/pure.py", b"#!python\nprint('pure')\n"),
        ("pure-1.0.dist-info/entry_points.txt", b"[console_scripts]\npure-run = pure:main\n"),
        ("pure.pth", b"# more\npure\nimport pure\nnowhere\n"),
    ];
    format!("pure==1.0 {}", bench.wheel("pure", "py3-none-any", &files))
}

fn native(bench: &Bench, tags: &[&str]) -> String {
    let wheel = |tag: &&str| {
        let machine = if tag.contains("win") { "pe" } else { "elf-arm64" };
        bench.wheel("native", tag, &[("native.abi.so", &code(machine))])
    };
    format!("native==1.0 {}", tags.iter().map(wheel).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_site_has_what_runs_on_the_target_and_nothing_else() {
    let bench = Bench::new();
    let tags = [
        "cp310-cp310-manylinux_2_17_aarch64",
        "cp310-cp310-win_arm64",
        "cp310-cp310-manylinux_2_34_aarch64",
    ];
    bench.lock(&[pure(&bench), native(&bench, &tags)]);
    let staged = bench.stage(&Wish::default()).expect("there are wheels");
    assert_eq!(
        paths(&staged.tree),
        [
            "main.py",
            "site-packages/native-1.0.dist-info/METADATA",
            "site-packages/native-1.0.dist-info/RECORD",
            "site-packages/native-1.0.dist-info/WHEEL",
            "site-packages/native.abi.so",
            "site-packages/pure-1.0.dist-info/METADATA",
            "site-packages/pure-1.0.dist-info/RECORD",
            "site-packages/pure-1.0.dist-info/WHEEL",
            "site-packages/pure-1.0.dist-info/entry_points.txt",
            "site-packages/pure.pth",
            "site-packages/pure/__init__.py",
            "site-packages/pure/__main__.py",
        ]
    );
    let record = text(&staged.tree, "site-packages/pure-1.0.dist-info/RECORD");
    let listed: Vec<_> = record.lines().filter_map(|line| line.split(',').next()).collect();
    assert_eq!(
        listed,
        [
            "pure-1.0.dist-info/METADATA",
            "pure-1.0.dist-info/RECORD",
            "pure-1.0.dist-info/WHEEL",
            "pure-1.0.dist-info/entry_points.txt",
            "pure.pth",
            "pure/__init__.py",
            "pure/__main__.py",
        ]
    );
    insta::assert_snapshot!(serde_json::to_string(&staged.program).expect("JSON"), @r#"{"versions":{"first":"3.10","last":"3.10"},"native":true,"script":"services/worker/main.py","path":["services/worker","services/worker/site-packages","services/worker/site-packages/pure"]}"#);
    insta::assert_snapshot!(staged.warnings.join("\n"), @"`pure.pth` in the wheels of the service `worker` holds code for the start of every Python; the service runs without");
    assert!(staged.uv.starts_with("uv "), "{}", staged.uv);
}

#[test]
fn each_target_gets_its_own_wheel() {
    let bench = Bench::new();
    let tags = [
        "cp310-cp310-manylinux_2_17_aarch64",
        "cp310-cp310-win_arm64",
        "cp312-cp312-manylinux_2_17_aarch64",
        "cp310-cp310-macosx_13_0_arm64",
        "cp310-cp310-musllinux_1_2_aarch64",
        "cp38-abi3-manylinux_2_31_aarch64",
    ];
    bench.lock(&[native(&bench, &tags)]);
    let chosen = |target: &str, python: &str| {
        let staged =
            bench.stage(&Wish { target, python, ..Wish::default() }).expect("there is a wheel");
        format!("{} for {}", staged.packages[0].tags.join(" "), staged.program.versions)
    };
    let chosen: BTreeMap<_, _> = [
        ("linux-arm64", ">=3.10"),
        ("linux-arm64-musl", ">=3.10"),
        ("macos-arm64", ">=3.10"),
        ("windows-arm64", ">=3.10"),
        ("jetson", ">=3.8"),
        ("jetson-jp5", ">=3.8"),
        ("jetson-jp7", ">=3.8"),
    ]
    .map(|(target, python)| (target, chosen(target, python)))
    .into();
    insta::assert_debug_snapshot!(chosen, @r#"
{
    "jetson": "cp310-cp310-manylinux_2_17_aarch64 for Python 3.10",
    "jetson-jp5": "cp38-abi3-manylinux_2_31_aarch64 for Python 3.8 or newer",
    "jetson-jp7": "cp312-cp312-manylinux_2_17_aarch64 for Python 3.12",
    "linux-arm64": "cp310-cp310-manylinux_2_17_aarch64 for Python 3.10",
    "linux-arm64-musl": "cp310-cp310-musllinux_1_2_aarch64 for Python 3.10",
    "macos-arm64": "cp310-cp310-macosx_13_0_arm64 for Python 3.10",
    "windows-arm64": "cp310-cp310-win_arm64 for Python 3.10",
}
"#);
}

#[test]
fn the_same_files_wherever_it_is_made_and_no_uv_the_second_time() {
    let bench = Bench::new();
    bench.lock(&[pure(&bench)]);
    let first = bench.stage(&Wish::default()).expect("there are wheels");
    let again = bench.sandbox.context(&[("PATH", "/nowhere")]);
    let again = bench.stage_with(&again, &Wish::default()).expect("all of it is in the store");
    assert_eq!(first.tree, again.tree);
    assert_eq!((first.uv, first.warnings), (again.uv, again.warnings));

    let path = std::env::var("PATH").expect("a machine that runs tests has one");
    let mut elsewhere = bench.sandbox.context(&[("PATH", &path)]);
    elsewhere.cache = bench.sandbox.root.join("another/cache");
    let elsewhere = bench.stage_with(&elsewhere, &Wish::default()).expect("there are wheels");
    assert_eq!(capture::fingerprint(&first.tree), capture::fingerprint(&elsewhere.tree));
}

#[test]
fn modules_are_started_by_a_script() {
    let bench = Bench::new();
    bench.lock(&[pure(&bench)]);
    let module = |name: &str| Wish { start: Start::Module(name.to_owned()), ..Wish::default() };
    let staged = bench.stage(&module("pure")).expect("a wheel has it");
    assert_eq!(staged.program.script.as_str(), "services/worker/__gangway__.py");
    assert_eq!(staged.program.path[0].as_str(), "services/worker");
    insta::assert_snapshot!(text(&staged.tree, START), @r#"
import runpy

# The module stands for the program, as with `python -m`.
runpy.run_module("pure", run_name="__main__", alter_sys=True)
"#);
    bench.stage(&module("main")).expect("it is the service's own");
    insta::assert_snapshot!(bench.fault(&module("pure.run")), @r#"
× the module `pure.run` of the service `worker` is not in the bundle
help: one of `pure/run.py`, `pure/run/__main__.py` must be among the service's own files or in a wheel of its lock
"#);
    let start = Start::Script(BundlePath::new("mian.py").expect("plain"));
    insta::assert_snapshot!(bench.fault(&Wish { start, ..Wish::default() }), @r#"
× the script `mian.py` of the service `worker` is not in the bundle
help: it must be one of the service's own files
"#);
}

#[test]
fn locks_of_other_kinds() {
    let bench = Bench::new();
    let tags = ["cp310-abi3-manylinux_2_17_aarch64", "cp310-abi3-win_arm64"];
    let line = native(&bench, &tags);
    let digests: Vec<&str> = line.split("sha256:").skip(1).map(str::trim).collect();
    let wheels: Vec<String> = std::iter::zip(tags, digests)
        .map(|(tag, digest)| {
            let digest = digest.trim_end_matches(" --hash=");
            format!(
                "{{ path = \"wheels/native-1.0-{tag}.whl\", hashes = {{ sha256 = \"{digest}\" }} }}"
            )
        })
        .collect();
    let pylock = format!(
        "lock-version = \"1.0\"\ncreated-by = \"test\"\n[[packages]]\nname = \"native\"\nversion = \"1.0\"\nwheels = [{}]\n",
        wheels.join(", ")
    );
    bench.sandbox.write("pylock.toml", pylock);
    let staged =
        bench.stage(&Wish { lock: "pylock.toml", ..Wish::default() }).expect("there is a wheel");
    assert_eq!(staged.packages[0].tags, [tags[0]]);
    insta::assert_snapshot!(bench.fault(&Wish { lock: "pylock.toml", target: "macos-x64", ..Wish::default() }), @r#"
× no wheel of native 1.0 fits `macos-x64` with Python 3.10; the service `worker` needs one
help: no wheel of it is for this platform (`macosx_13_0_x86_64`); there are `cp310-abi3-manylinux_2_17_aarch64`, `cp310-abi3-win_arm64`: lock another version of native, leave it out where it is
      not needed with a marker such as `; sys_platform != 'win32'`, or leave the service out of `macos-x64` (Python 3.10)
"#);

    let index = bench.index();
    bench.sandbox.write(
        "pyproject.toml",
        format!(
            "[project]\nname = \"worker\"\nversion = \"0.1.0\"\nrequires-python = \">=3.10\"\ndependencies = [\"native\"]\n\
             [[tool.uv.index]]\nurl = \"{}\"\ndefault = true\n",
            index.at("simple")
        ),
    );
    let context = bench.context();
    let uv =
        crate::process::Command::new("lock", "uv").arg("lock").envs(context.environment.clone());
    uv.current_dir(&bench.sandbox.root).run().expect("it can be locked");
    let staged =
        bench.stage(&Wish { lock: "uv.lock", ..Wish::default() }).expect("there is a wheel");
    assert_eq!(staged.packages[0].tags, [tags[0]]);
}

#[test]
fn what_is_no_lock() {
    let bench = Bench::new();
    bench.sandbox.write("requirements.txt", "six==1.17.0\nmsgpack>=1\n-r more.txt\n");
    insta::assert_snapshot!(bench.fault(&Wish::default()), @r#"
 × the requirements of the service `worker` are not locked
  ╭─[<root>/requirements.txt:1:1]
1 │ six==1.17.0
  · ─────┬─────
  ·      ╰── no `--hash=sha256:...`
2 │ msgpack>=1
  · ─────┬────
  ·      ╰── not one version: `name==1.2.3` is
3 │ -r more.txt
  · ─────┬─────
  ·      ╰── a lock cannot have this option
  ╰────
 help: keep what you want in `requirements.in` and run `uv pip compile --universal --generate-hashes requirements.in --output-file requirements.txt`; options that read other files or change what is
       chosen belong to that command
"#);
    insta::assert_snapshot!(bench.fault(&Wish { lock: "gone.txt", ..Wish::default() }), @r#"
× cannot read the requirements of the service `worker`: `<root>/gone.txt`
╰─▶ No such file or directory (os error 2)
"#);
    bench.sandbox.write("pylock.toml", "lock-version = \"2.0\"\n");
    insta::assert_snapshot!(bench.fault(&Wish { lock: "pylock.toml", ..Wish::default() }), @r#"
× `<root>/pylock.toml` is not a lock file of Python (PEP 751): its `lock-version` is `2.0`, and `1.0` was expected
help: run `uv pip compile --universal --format pylock.toml requirements.in --output-file <root>/pylock.toml`
"#);
}

#[test]
fn no_wheel_for_the_target() {
    let bench = Bench::new();
    let tags = ["cp311-cp311-win_arm64", "cp310-cp310-manylinux_2_17_aarch64"];
    bench.lock(&[pure(&bench), native(&bench, &tags)]);
    let fault = |target: &str| bench.fault(&Wish { target, ..Wish::default() });
    insta::assert_snapshot!(fault("windows-arm64"), @r#"
× no wheel of native 1.0 fits `windows-arm64` with Python 3.10; the service `worker` needs one
help: its wheels for this platform are `cp311-cp311-win_arm64`, and the tag of `windows-arm64` is `win_arm64`: lock another version of native, or set `python` of the service to a version that has
      a wheel
"#);
    insta::assert_snapshot!(fault("macos-x64"), @r#"
× no wheel of native 1.0 fits `macos-x64` with Python 3.10; the service `worker` needs one
help: no wheel of it is for this platform (`macosx_13_0_x86_64`); there are `cp310-cp310-manylinux_2_17_aarch64`: lock another version of native, leave it out where it is not needed with a marker
      such as `; sys_platform != 'win32'`, or leave the service out of `macos-x64` (Python 3.10)
"#);
}

#[test]
fn a_wheel_that_is_not_the_locked_one() {
    let bench = Bench::new();
    bench.wheel("pure", "py3-none-any", &[]);
    bench.lock(&[format!("pure==1.0 --hash=sha256:{}", Digest::of("another"))]);
    let fault = bench.fault(&Wish::default());
    for part in [
        "cannot get the wheels of the service `worker` for `linux-arm64`",
        "--require-hashes",
        "Hash mismatch for `pure==1.0`",
    ] {
        assert!(fault.contains(part), "{part}: {fault}");
    }
}

#[test]
fn what_the_system_must_bring() {
    let bench = Bench::new();
    bench.lock(&[format!("asking==1.0 {}", bench.wheel("asking", "py3-none-any", &[]))]);
    let staged = bench.stage(&Wish::default()).expect("the lock is enough for the bundle");
    insta::assert_snapshot!(staged.warnings.join("\n"), @"the lock of the service `worker` does not hold all that its packages ask for; what is missing must come with the system's Python (uv says: Because pure was not found in the provided package locations and all versions of asking depend on pure, we can conclude that all versions of asking cannot be used.)");
}

#[test]
fn no_uv() {
    let bench = Bench::new();
    bench.lock(&[pure(&bench)]);
    let context = bench.sandbox.context(&[("PATH", "/nowhere")]);
    let error = bench.stage_with(&context, &Wish::default()).expect_err("there is no uv");
    insta::assert_snapshot!(rendered(&error), @r#"
× uv is not installed; it chooses and unpacks the wheels of the service `worker`
help: run `pip install uv` or `pipx install uv`, or use uv's standalone installer: https://docs.astral.sh/uv
"#);
}

#[test]
fn names_the_builder_needs() {
    let bench = Bench::new();
    bench.lock(&[pure(&bench)]);
    let context = bench.context();
    let store = Store::open(&context).expect("a fresh folder");
    let target = bench.targets.find("linux-x64").expect("built in");
    let requirements = bench.sandbox.root.join("requirements.txt");
    for path in ["site-packages/six.py", "__gangway__.py"] {
        let file = store.add_bytes(b"", false).expect("writable");
        let own = Tree::from_iter([(BundlePath::new(path).expect("plain"), Node::File(file))]);
        let service = Service {
            name: "worker",
            requirements: &requirements,
            python: range::parse(">=3.10").expect("a range"),
            start: &Start::Module("pure".to_owned()),
            args: &[],
        };
        let folder = BundlePath::new("services/worker").expect("plain");
        let error =
            stage(&context, &store, service, target, &own, &folder).expect_err("it is taken");
        assert_eq!(
            error.to_string(),
            format!(
                "the service `worker` has a file `{path}` of its own; Gangway puts its own there"
            )
        );
    }
}
