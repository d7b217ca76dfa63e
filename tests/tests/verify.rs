//! Bundles against what their targets promise: published addons that break, and what becomes of their bundles.

use std::collections::BTreeMap;
use std::process::Output;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{Answer, LocalRegistry, Project, copy, gangway, repository, scratch, text, unwrapped};
use serde_json::Value;

/// A gateway whose prebuilt addon asks for glibc 2.34 on Linux, where the targets promise 2.28.
struct Passwords {
    folder: tempfile::TempDir,
}

const ALLOW: &str = r#"
[[verify.allow]]
code = "glibc-floor"
path = "app/node_modules/argon2/prebuilds/linux-x64/*"
targets = ["linux-x64"]
reason = "this is a test"
expires = 9000-01-01
"#;

impl Passwords {
    fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().expect("a folder for temporary files") };
        copy(&repository().join("tests/fixtures/argon2"), this.path());
        let lock = repository().join("examples/gateway/gangway.lock");
        fs_err::copy(lock, this.path().join("gangway.lock")).expect("it is committed");
        this
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("UTF-8")
    }

    fn out(&self) -> Utf8PathBuf {
        self.path().join("out")
    }

    /// Adds to the manifest.
    fn add(&self, text: &str) {
        let path = self.path().join("gangway.toml");
        let manifest = fs_err::read_to_string(&path).expect("it is there");
        fs_err::write(&path, format!("{manifest}{text}")).expect("the folder is ours");
    }

    fn bundle(&self, arguments: &[&str]) -> Output {
        let manifest = self.path().join("gangway.toml");
        let out = self.out();
        let mut command = gangway();
        command.args(["bundle", "--manifest", manifest.as_str(), "--out", out.as_str()]);
        command.args(arguments).output().expect("it is a program")
    }

    /// What lies in the output folder.
    fn made(&self) -> Vec<String> {
        let Ok(entries) = self.out().read_dir_utf8() else { return Vec::new() };
        let names = entries.map(|entry| entry.expect("readable").file_name().to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

fn verify(arguments: &[&str]) -> Output {
    let mut command = gangway();
    command.arg("verify").args(arguments).current_dir(scratch("nowhere"));
    command.output().expect("it is a program")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)))
}

#[track_caller]
fn says(output: &Output, status: i32, expected: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    let said = unwrapped(&said);
    for part in expected {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

#[test]
fn what_breaks_is_not_made() {
    let gateway = Passwords::new();
    let expected = [
        "the bundle would break on systems that `linux-x64` promises",
        "`app/node_modules/argon2/prebuilds/linux-x64/",
        "argon2.glibc.node` of argon2 0.44.0",
        "GLIBC_2.34",
        "2.28",
        "a user would see",
        "the way out",
        "cargo xtask verify --explain glibc-floor",
    ];
    says(&gateway.bundle(&[]), 1, &expected);
    assert_eq!(gateway.made(), Vec::<String>::new());

    let told = json(&gateway.bundle(&["--json"]));
    let finding = &told["failures"][0]["findings"][0];
    assert_eq!((&finding["code"], &finding["verdict"]), (&"glibc-floor".into(), &"broken".into()));
    assert_eq!(told["bundles"], Value::Array(Vec::new()));
}

#[test]
fn other_targets_go_on() {
    let gateway = Passwords::new();
    let output = gateway.bundle(&["--target", "linux-x64", "--target", "windows-x64", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let told = json(&output);
    assert_eq!(told["failures"][0]["targets"][0], "linux-x64");
    assert_eq!(told["bundles"][0]["target"], "windows-x64");
    assert_eq!(told["bundles"][0]["verification"]["status"], "verified");
    let made = gateway.made();
    assert!(made.iter().all(|name| name.contains("windows-x64")) && !made.is_empty(), "{made:?}");
}

#[test]
fn unverified_bundles_say_so_and_can_be_verified_later() {
    let gateway = Passwords::new();
    let formats = ["--format", "tar.zst", "--format", "tar.gz", "--format", "zip"];
    let output = gateway.bundle(&[&["--no-verify"], &formats[..]].concat());
    says(&output, 0, &["not verified", "would break on systems that `linux-x64` promises"]);
    let manifest = gateway.out().join("passwords-1.0.0-linux-x64.manifest.json");
    let manifest: Value =
        serde_json::from_slice(&fs_err::read(manifest).expect("beside it")).expect("JSON");
    assert_eq!(manifest["verification"]["status"], "unverified");
    for format in ["tar.zst", "tar.gz", "zip"] {
        let archive = gateway.out().join(format!("passwords-1.0.0-linux-x64.{format}"));
        let told = verify(&[archive.as_str(), "--json"]);
        assert_eq!(told.status.code(), Some(1), "{format}: {}", text(&told));
        let told = json(&told);
        let finding = &told["findings"][0];
        assert_eq!(finding["owner"], "argon2 0.44.0", "{format}");
        assert_eq!(finding["fails"], true, "{format}");
        assert_eq!(told["verification"]["status"], "unverified", "{format}");
    }
    let archive = gateway.out().join("passwords-1.0.0-linux-x64.tar.zst");
    says(
        &verify(&[archive.as_str()]),
        1,
        &["BROKEN  glibc-floor (1)", "passwords 1.0.0 for linux-x64: 1 finding stands against it"],
    );
    // JetPack 6 has glibc 2.35, and another processor.
    says(&verify(&[archive.as_str(), "--target", "jetson"]), 1, &["BROKEN  machine (15)"]);
    let sarif = json(&verify(&[archive.as_str(), "--sarif"]));
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "glibc-floor");

    // Nothing but the check stands between this and a bundle: it is another record.
    says(&gateway.bundle(&[]), 1, &["glibc-floor"]);
}

#[test]
fn damaged_bundles_are_refused() {
    let gateway = Passwords::new();
    gateway.add(ALLOW);
    says(&gateway.bundle(&[]), 0, &["1 allowed"]);
    let archive = gateway.out().join("passwords-1.0.0-linux-x64.tar.zst");
    let (_folder, unpacked) = e2e::unpack(&archive);
    says(&verify(&[unpacked.as_str()]), 1, &["1 finding stands against it"]);
    let manifest = gateway.path().join("gangway.toml");
    let allowed = ["--manifest", manifest.as_str()];
    says(
        &verify(&[&[unpacked.as_str()], &allowed[..]].concat()),
        0,
        &["nothing breaks, 1 allowed"],
    );
    fs_err::write(unpacked.join("app/main.js"), "gotcha").expect("the folder is ours");
    says(
        &verify(&[unpacked.as_str()]),
        1,
        &["is not what its manifest says", "`app/main.js` has the SHA-256"],
    );

    let mut bytes = fs_err::read(&archive).expect("it was just made");
    bytes.truncate(bytes.len() / 2);
    fs_err::write(&archive, bytes).expect("the folder is ours");
    says(
        &verify(&[archive.as_str()]),
        1,
        &["cannot unpack", "it ends too early, or is not a bundle"],
    );
}

#[test]
fn allowances_have_a_last_day() {
    let gateway = Passwords::new();
    gateway.add(ALLOW);
    let first = json(&gateway.bundle(&["--json"]));
    let verification = &first["bundles"][0]["verification"];
    assert_eq!(verification["allowed"], 1, "{first}");
    assert_eq!(verification["allowances"][0]["reason"], "this is a test");
    let again = json(&gateway.bundle(&["--json"]));
    assert_eq!(again["bundles"][0]["reused"], true);
    assert_eq!(again["warnings"], Value::Array(Vec::new()));

    let manifest = gateway.path().join("gangway.toml");
    let text = fs_err::read_to_string(&manifest).expect("it is there");
    fs_err::write(&manifest, text.replace("9000-01-01", "2020-01-01")).expect("it is ours");
    says(&gateway.bundle(&[]), 1, &["expired after 2020-01-01", "GLIBC_2.34"]);
    // On other targets it stands for nothing, and says nothing.
    says(&gateway.bundle(&["--target", "windows-x64"]), 0, &["passwords 1.0.0 for windows-x64"]);
}

#[test]
fn idle_allowances_are_told() {
    let gateway = Passwords::new();
    gateway.add(ALLOW);
    gateway.add(&ALLOW.replace("glibc-floor", "c-library"));
    let output = gateway.bundle(&[]);
    says(&output, 0, &["[[verify.allow]] of `c-library`", "stands for no finding"]);
    assert!(!unwrapped(&text(&output)).contains("of `glibc-floor`"), "{}", text(&output));
}

/// The sample gateway with a published addon among its own files.
fn with_addon(name: &str, test: impl FnOnce(&Project)) {
    let project = Project::new();
    let tarball = Answer::Bytes(project.tarball.clone());
    let path = "/@local/greeting/-/greeting-1.0.0.tgz".to_owned();
    let registry = LocalRegistry::start(BTreeMap::from([(path, tarball)]));
    project.use_registry(&registry.url());
    project.edit("gangway.toml", "\"app.js\",", "\"app.js\", \"native/**\",");
    project.edit("gangway.toml", "[\"npm\"]", "[\"npm\", \"pypi\"]");
    let native = project.folder().join("native");
    fs_err::create_dir(&native).expect("the folder is ours");
    let addon = repository().join("crates/abi/testdata").join(name);
    fs_err::copy(addon, native.join("addon.node")).expect("it is committed");
    test(&project);
}

#[test]
fn an_addon_for_musl_under_glibc() {
    with_addon("msgpackr-extract-linux-arm64-abi115-musl.node", |project| {
        let said = project.refused(&["--target", "linux-arm64"]);
        for part in ["[c-library]", "`app/native/addon.node`", "musl"] {
            assert!(said.contains(part), "`{part}` is not in:\n{said}");
        }
    });
}

#[test]
fn an_addon_that_may_be_for_another_node() {
    with_addon("msgpackr-extract-linux-arm64-abi115-musl.node", |project| {
        // The file's name is all that says for which one it is: it is not known to break.
        let deny = "[verify]\nunknown = \"deny\"\n\n[dependencies]";
        project.edit("gangway.toml", "[dependencies]", deny);
        let allow = "\n[[verify.allow]]\ncode = \"library-closure\"\npath = \"app/native/*\"\nreason = \"a test\"\n\
                     expires = 9000-01-01\n";
        project.edit(
            "gangway.toml",
            "lockfile = \"package-lock.json\"\n",
            &format!("lockfile = \"package-lock.json\"\n{allow}"),
        );
        let native = project.folder().join("native");
        fs_err::rename(native.join("addon.node"), native.join("node.abi115.musl.node"))
            .expect("the folder is ours");
        let said = project.refused(&["--target", "linux-arm64-musl"]);
        for part in ["it cannot be told", "[node-modules-version]", "115", "137"] {
            assert!(said.contains(part), "`{part}` is not in:\n{said}");
        }
    });
}

#[test]
fn asked_wrongly() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
    says(&verify(&[]), 2, &["nothing was named to be verified"]);
    says(&verify(&[folder.join("no").as_str()]), 2, &["there is no bundle"]);
    says(&verify(&[folder.as_str()]), 2, &["--target"]);
    says(&verify(&[folder.as_str(), "--target", "linux-x46"]), 2, &["did you mean `linux-x64`"]);
    says(&verify(&[folder.as_str(), "--target", "linux-x64"]), 0, &["nothing breaks"]);
    says(&verify(&["--explain", "glibc-flor"]), 2, &["did you mean `glibc-floor`?"]);
    says(&verify(&["--explain", "22"]), 0, &["# node-modules-version (22)"]);
}

/// The table of runtimes says what they say of themselves.
#[test]
fn what_runtimes_offer() {
    let table = fs_err::read_to_string(repository().join("xtask/src/runtime/abi.toml"));
    let table: toml::Table = table.expect("it is there").parse().expect("TOML");
    let entries = table["runtime"].as_array().expect("a list");
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let home = Utf8Path::from_path(home.path()).expect("UTF-8");
    for (runtime, engine) in [("node", "node"), ("bun@^1.4", "bun"), ("deno@^2.9", "deno")] {
        let made = e2e::gateway::bundles_with(runtime, &["linux-x64"]);
        let (_folder, bundle) = e2e::unpack(e2e::archive_for(&made, "linux-x64"));
        let mut command = e2e::bare(&bundle.join("runtime/bin").join(engine), home);
        let print = "process.versions.modules + ' ' + process.versions.napi";
        let command = match engine {
            "deno" => command.args(["eval", "-p", print]),
            _ => command.args(["-p", print]),
        };
        let said = command.output().expect("it starts");
        let version = made[0]["runtime"].as_str().and_then(|it| it.split(' ').nth(1));
        let version = numbers(version.expect("it has a version"));
        let text = |entry: &toml::Value, key: &str| entry[key].as_str().map(numbers);
        let entry = entries.iter().find(|entry| {
            entry["engine"].as_str() == Some(engine)
                && text(entry, "since").is_some_and(|since| since <= version)
                && text(entry, "before").is_some_and(|before| version < before)
        });
        let known = entry.map(|entry| format!("{} {}", entry["modules"], entry["node-api"]));
        assert_eq!(known.as_deref(), Some(text_of(&said).trim()), "{runtime}: {said:?}");
    }
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().expect("a number")).collect()
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
