//! What a user brings: a runtime of their own, and finished services at a URL.

use std::collections::BTreeMap;
use std::process::Command;

use camino::Utf8Path;
use e2e::node_mirror::{self, Release};
use e2e::{
    Answer, LocalRegistry, Official, archive_for, bare, bundles, gangway, lock, tarball, text,
    unpack, unpacked_example, unwrapped,
};

/// Every part of `expected` must be said.
#[track_caller]
fn says(said: &str, expected: &[&str]) {
    for part in expected {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

/// A gateway with the runtime of another bundle in its folder, as the file that `vendor` makes of it.
fn with_runtime(file: &str, vendor: impl FnOnce(&Utf8Path, &Utf8Path)) -> tempfile::TempDir {
    let (_example, bundle) = unpacked_example("gateway");
    let node = bundle.join("runtime/bin/node");
    let version = Command::new(&node).arg("--version").output().expect("it starts");
    let version = text(&version).trim().trim_start_matches('v').to_owned();
    let kept = tempfile::tempdir().expect("a folder for temporary files");
    let folder = Utf8Path::from_path(kept.path()).expect("UTF-8");
    fs_err::create_dir(folder.join("vendor")).expect("the folder is ours");
    vendor(&node, &folder.join(file));
    let manifest = format!(
        "format = 1\n[app]\nname = \"gw\"\nversion = \"1.2.3\"\ninclude = [\"main.js\"]\n\
         [runtime]\nengine = \"node\"\nversion = \"{version}\"\nfile = \"{file}\"\n\
         [[entrypoint]]\nname = \"gw\"\nscript = \"main.js\"\n"
    );
    fs_err::write(folder.join("gangway.toml"), manifest).expect("the folder is ours");
    let main = "console.log(process.version, process.execPath.endsWith('runtime/bin/node'));\n";
    fs_err::write(folder.join("main.js"), main).expect("the folder is ours");
    kept
}

/// Locks and bundles it; it must run under that very runtime.
fn runs_under_it(folder: &Utf8Path) {
    let manifest = folder.join("gangway.toml");
    let target = ["--target", "linux-x64"];
    lock(&manifest, &target);
    let pinned = fs_err::read_to_string(folder.join("gangway.lock")).expect("it was written");
    says(&pinned, &[r#"source = "file""#]);
    let made = bundles(&manifest, &folder.join("out"), &target);
    let (_folder, bundle) = unpack(archive_for(&made, "linux-x64"));
    let output = bare(&bundle.join("bin/gw"), folder).output().expect("it starts");
    let version = made[0]["runtime"].as_str().and_then(|runtime| runtime.strip_prefix("node "));
    assert_eq!(text(&output), format!("v{} true\n", version.expect("it is node")));
}

#[test]
fn a_runtime_that_is_an_executable() {
    let kept = with_runtime("vendor/node", |node, file| {
        fs_err::copy(node, file).expect("the folder is ours");
    });
    runs_under_it(Utf8Path::from_path(kept.path()).expect("UTF-8"));
}

#[test]
fn a_runtime_in_an_archive_and_another_one_in_its_place() {
    let kept = with_runtime("vendor/node.tar.gz", |node, file| {
        // Laid out as Node's own.
        let root = file.with_file_name("node-v24-linux-x64");
        fs_err::create_dir_all(root.join("bin")).expect("the folder is ours");
        fs_err::copy(node, root.join("bin/node")).expect("the folder is ours");
        let mut tar = Command::new("tar");
        tar.args(["--use-compress-program=gzip -1", "-cf", file.as_str(), "-C"]);
        tar.args([root.parent().expect("it was joined").as_str(), "node-v24-linux-x64"]);
        assert!(tar.status().expect("tar is installed").success());
        fs_err::remove_dir_all(&root).expect("the folder is ours");
    });
    let folder = Utf8Path::from_path(kept.path()).expect("UTF-8");
    runs_under_it(folder);

    let archive = folder.join("vendor/node.tar.gz");
    let mut bytes = fs_err::read(&archive).expect("it is there");
    bytes.push(0);
    fs_err::write(&archive, bytes).expect("the folder is ours");
    let bundle = |what: &str| {
        let mut command = gangway();
        let manifest = folder.join("gangway.toml");
        command.args(["bundle", "--manifest", manifest.as_str(), "--target", "linux-x64"]);
        // Nothing of the first bundle counts.
        command.env("GANGWAY_CACHE", folder.join(what));
        let output = command.args(["--out", folder.join(what).as_str()]).output();
        let output = output.expect("it is a program");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        unwrapped(&text(&output))
    };
    says(&bundle("replaced"), &["vendor/node.tar.gz", "digest"]);
    fs_err::remove_file(&archive).expect("the folder is ours");
    says(&bundle("gone"), &["vendor/node.tar.gz"]);
}

const BROKER: &str = "#!/bin/sh\necho \"broker: $*\"\n";

/// A gateway whose service `broker` is at this URL.
fn with_broker(url: &str) -> Official {
    let gateway = Official::new();
    let manifest = fs_err::read_to_string(gateway.project.manifest()).expect("ours");
    let service = format!(
        "\n[[service]]\nname = \"broker\"\nkind = \"prebuilt\"\nprogram = \"bin/broker\"\n\
         args = [\"--quiet\"]\n[service.targets]\nlinux-x64 = \"{url}\"\n\
         [[entrypoint]]\nname = \"broker-status\"\nservice = \"broker\"\nargs = [\"status\"]\n"
    );
    gateway.project.write("gangway.toml", &format!("{manifest}{service}"));
    gateway
}

#[test]
fn a_service_at_a_url_is_pinned_and_other_bytes_are_refused() {
    let node = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
    let archive = tarball(&[("bin/broker", BROKER), ("share/notes.txt", "notes\n")]);
    let path = "/broker-1.0.tar.gz";
    let server = LocalRegistry::start(BTreeMap::from([(path.to_owned(), Answer::Bytes(archive))]));
    let gateway = with_broker(&format!("{}broker-1.0.tar.gz", server.url()));
    gateway.lock(&node, &[]);
    gateway.empty_cache();
    let made = gateway.bundle(&node);
    let (_folder, bundle) = unpack(Utf8Path::new(made["archive"].as_str().expect("a path")));
    let mut broker = bare(&bundle.join("bin/broker"), gateway.project.folder());
    let output = broker.arg("a b").output().expect("it starts");
    assert_eq!(text(&output), "broker: --quiet a b\n");
    let output = bare(&bundle.join("bin/broker-status"), gateway.project.folder()).output();
    assert_eq!(text(&output.expect("it starts")), "broker: status\n");
    assert!(bundle.join("services/broker/share/notes.txt").is_file(), "what it came with is kept");

    // Somebody replaces it under the same name.
    let other = tarball(&[("bin/broker", "#!/bin/sh\necho gotcha\n")]);
    server.answer(path, Answer::Bytes(other));
    gateway.empty_cache();
    fs_err::remove_dir_all(gateway.out()).expect("ours");
    let mirror = node_mirror::url(&node);
    let bundle = ["bundle", "--out", gateway.out().into_string().leak()];
    let said = gateway.refused(&mirror, &bundle);
    says(&said, &["broker-1.0.tar.gz", "gangway.lock", "digest", "cargo xtask lock --update"]);

    // Its help is right.
    gateway.lock(&node, &["--update"]);
    assert_eq!(gateway.bundle(&node)["reused"], false);

    // And a server that no longer has it.
    server.answer(path, Answer::Status(404));
    gateway.empty_cache();
    fs_err::remove_dir_all(gateway.out()).expect("ours");
    says(&gateway.refused(&mirror, &bundle), &["broker", "404"]);
}

#[test]
fn a_service_at_a_url_that_the_lock_does_not_pin() {
    let node = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
    let gateway = Official::new();
    gateway.lock(&node, &[]);
    let later = with_broker("http://127.0.0.1:9/broker");
    let manifest = fs_err::read_to_string(later.project.manifest()).expect("ours");
    gateway.project.write("gangway.toml", &manifest);
    let out = gateway.out();
    let said = gateway.refused(&node_mirror::url(&node), &["bundle", "--out", out.as_str()]);
    says(&said, &["broker", "linux-x64", "cargo xtask lock"]);
}
