//! Install scripts, run by the real builder. A shell stands in for the runtime: what matters is what scripts may do.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use common::{Builder, chain, text};
use gangway_artifact::{BundlePath, Cpu, Libc, Os, Platform};
use xtask::confine::Confinement;
use xtask::scripts::{self, Grounds, Interpreter, Job, ScriptError, Surroundings};
use xtask::tree::{Node, Tree};

fn job(path: &str) -> Job {
    Job {
        path: BundlePath::new(path).expect("plain"),
        name: path.rsplit_once("node_modules/").map_or(path, |(_, name)| name).to_owned(),
        version: "1.0.0".to_owned(),
        writes: Vec::new(),
        env: BTreeMap::new(),
    }
}

/// The gateway's files with a package `x` that has this postinstall script.
fn with_postinstall(builder: &Builder, script: &str) -> Tree {
    let manifest =
        serde_json::json!({"name": "x", "version": "1.0.0", "scripts": {"postinstall": script}});
    builder.tree(&[
        ("package.json", "{}"),
        ("node_modules/.bin/helper", "->../y/helper.sh"),
        ("node_modules/x/package.json", &manifest.to_string()),
        ("node_modules/x/data.txt", "original"),
        ("node_modules/x/marker", "pending"),
        ("node_modules/y/package.json", r#"{"name": "y", "version": "2.0.0"}"#),
        ("node_modules/y/data.txt", "theirs"),
        ("node_modules/y/helper.sh*", "#!/usr/bin/env node\necho helped by $0\n"),
    ])
}

fn run(
    builder: &Builder,
    tree: &Tree,
    jobs: &[Job],
    confinement: Confinement,
) -> Result<Tree, ScriptError> {
    let shell = fs_err::read("/bin/sh").expect("every system has one");
    let executable = builder.store.add_bytes(&shell, true).expect("there is room");
    let platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };
    let interpreter =
        Interpreter { executable: &executable, version: "24.1.0", platform: &platform };
    let (context, store, grounds) = (&builder.context, &builder.store, &Grounds::default());
    let surroundings = Surroundings { context, store, confinement, grounds };
    scripts::run(surroundings, interpreter, tree, jobs)
}

fn both() -> [Confinement; 2] {
    [Confinement::Required, Confinement::Unconfined]
}

/// Everything in the store that a script could damage: path, bytes, mode, time of the last change.
fn snapshot(tree: &Tree) -> Vec<(String, Vec<u8>, u32, i64)> {
    let describe = |(_, source): (&BundlePath, &xtask::tree::Source)| {
        let metadata = fs_err::metadata(source.path()).expect("the store is whole");
        let bytes = fs_err::read(source.path()).expect("the store is whole");
        (source.path().to_string(), bytes, metadata.mode(), metadata.mtime_nsec())
    };
    tree.files().map(describe).collect()
}

#[test]
fn a_script_changes_its_own_package_and_the_store_stays() {
    let script = "helper > said && echo new > data.txt && rm marker && mkdir lib && echo x > lib/made && chmod +x lib/made \
                  && ln -s lib/made link && cp package.json copy.json";
    for confinement in both() {
        let builder = Builder::new();
        let tree = with_postinstall(&builder, script);
        let before = snapshot(&tree);
        let result = run(&builder, &tree, &[job("node_modules/x")], confinement)
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(text(&result, "node_modules/x/data.txt"), "new\n");
        assert!(text(&result, "node_modules/x/said").starts_with("helped by"));
        assert!(result.get("node_modules/x/marker").is_none());
        let Some(Node::File(made)) = result.get("node_modules/x/lib/made") else {
            panic!("it was made: {result:?}")
        };
        assert!(made.executable && made.path().starts_with(&builder.context.cache));
        assert_eq!(result.get("node_modules/x/link"), Some(&Node::Link("lib/made".to_owned())));
        // Nothing else: neither the rest of the package nor anybody else's.
        for (path, node) in tree.iter() {
            if !["node_modules/x/data.txt", "node_modules/x/marker"].contains(&path.as_str()) {
                assert_eq!(result.get(path.as_str()), Some(node), "{path}");
            }
        }
        assert_eq!(result.len(), tree.len() - 1 + 4);
        assert_eq!(snapshot(&tree), before);
    }
}

/// On an overlay as on private copies: what a script leaves is the same, and neither the store nor another name of the same
/// bytes is touched.
#[test]
fn whatever_it_does_to_files_the_result_is_that_of_private_copies() {
    let scripts = [
        "echo more >> data.txt && echo more >> lib/data.txt",
        ": > data.txt && chmod 755 marker && chmod 700 lib && chmod 644 lib/deep/tool",
        "mv data.txt renamed && mv marker data.txt && mv lib/deep/tool tool",
        "ln data.txt twin && echo more >> twin && ln -s lib/deep to",
        "rm -r lib && mkdir lib && echo x > lib/made",
        "rm -r lib && echo a file > lib",
        "rm data.txt && mkdir data.txt && echo x > data.txt/made",
        "rm -r lib && ln -s marker lib && rm marker && ln -s data.txt marker",
        "rm -r lib/deep && mkdir -p lib/deep/deeper && cp data.txt lib/deep/deeper/tool",
        "mkdir new && mv lib/* new && rmdir lib && mkdir lib && cp -p new/data.txt lib",
        "cp data.txt tmp && mv tmp data.txt && touch marker && mkdir empty",
        "rm -r lib data.txt marker package.json",
        "mkdir ../../cache/new && echo x > ../../cache/new/x && rm -r ../../cache/old",
    ];
    for script in scripts {
        let [layers, copies] = both().map(|confinement| {
            let builder = Builder::new();
            let mut tree = with_postinstall(&builder, script);
            tree.extend(builder.tree(&[
                // The bytes of `data.txt`, twice more.
                ("node_modules/x/lib/data.txt", "original"),
                ("node_modules/y/same.txt", "original"),
                ("node_modules/x/lib/deep/tool*", "#!/bin/sh\n"),
                ("cache/old/x", "x"),
            ]));
            let before = snapshot(&tree);
            let mut job = job("node_modules/x");
            job.writes.push(BundlePath::new("cache").expect("plain"));
            let result = run(&builder, &tree, &[job], confinement)
                .unwrap_or_else(|error| panic!("{script}: {}", chain(&error)));
            assert_eq!(snapshot(&tree), before, "{script}");
            let describe = |(path, node): (&BundlePath, &Node)| match node {
                Node::File(source) => {
                    let bytes = fs_err::read_to_string(source.path()).expect("it is there");
                    format!("{path} {} {bytes:?}", source.executable)
                }
                Node::Link(target) => format!("{path} -> {target}"),
            };
            result.iter().map(describe).collect::<Vec<_>>()
        });
        assert_eq!(layers, copies, "{script}");
    }
}

#[test]
fn what_an_overlay_cannot_do_is_done_on_copies() {
    let builder = Builder::new();
    let script = "stat -f -c %T . >> log && [ $(stat -f -c %T .) != overlayfs ]";
    let tree = with_postinstall(&builder, script);
    let result = run(&builder, &tree, &[job("node_modules/x")], Confinement::Required)
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let log = text(&result, "node_modules/x/log");
    assert_eq!(log.lines().count(), 1, "the second try begins anew:\n{log}");
}

/// What the work of one script leaves is there for the next, even in a folder that did not exist before.
#[test]
fn scripts_see_what_others_did() {
    let builder = Builder::new();
    let manifest = |script: &str| {
        serde_json::json!({"scripts": {"preinstall": script, "install": script}}).to_string()
    };
    let tree = builder.tree(&[
        (
            "node_modules/a/package.json",
            &manifest("cat ../b/said >> said; echo a >> said; rm -rf ../../log/b"),
        ),
        (
            "node_modules/b/package.json",
            &manifest(
                "cat ../a/said >> said; echo b >> said; ls -A ../../log/b; echo x > ../../log/b/x",
            ),
        ),
        ("log/b/old", "old"),
    ]);
    let mut jobs = ["node_modules/a", "node_modules/b"].map(job);
    jobs[0].writes.push(BundlePath::new("log").expect("plain"));
    jobs[1].writes.push(BundlePath::new("log/b").expect("plain"));
    let [layers, copies] = both().map(|confinement| {
        let result = run(&builder, &tree, &jobs, confinement)
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert!(result.get("log/b/old").is_none());
        assert_eq!(text(&result, "log/b/x"), "x\n");
        text(&result, "node_modules/b/said")
    });
    assert_eq!(layers, copies);
}

#[test]
fn nothing_outside_can_be_altered() {
    let builder = Builder::new();
    let mine = builder.context.current_dir.join("mine");
    fs_err::write(&mine, "precious").expect("the folder is ours");
    for script in [
        "echo new > ../y/data.txt".to_owned(),
        "echo more >> ../y/data.txt".to_owned(),
        "chmod 777 ../y/data.txt".to_owned(),
        "touch -d 2001-01-01 ../y/data.txt".to_owned(),
        "rm -f ../y/data.txt".to_owned(),
        "rm -f ../y/data.txt; echo new > ../y/data.txt".to_owned(),
        "mv ../y/data.txt .".to_owned(),
        "ln ../y/data.txt mine && echo new > mine".to_owned(),
        "mkdir ../z".to_owned(),
        "echo x > ../../package.json".to_owned(),
        "echo x > ../.bin/more".to_owned(),
        "echo x > \"$NODE\"".to_owned(),
        format!("echo new > {mine}"),
        format!("rm {mine}"),
        format!("cat {mine}"),
    ] {
        let tree = with_postinstall(&builder, &script);
        let before = snapshot(&tree);
        let error = run(&builder, &tree, &[job("node_modules/x")], Confinement::Required);
        assert!(matches!(error, Err(ScriptError::Failed { .. })), "{script}: {error:?}");
        assert_eq!(snapshot(&tree), before, "{script}");
    }
    assert_eq!(fs_err::read_to_string(&mine).expect("it is there"), "precious");
}

#[test]
fn an_unconfined_script_may_do_more_but_not_to_the_store() {
    let builder = Builder::new();
    let script = "echo new > ../y/data.txt && chmod 700 ../y/helper.sh && echo x > ../../made && echo x >> \"$NODE\"";
    let tree = with_postinstall(&builder, script);
    let before = snapshot(&tree);
    let result = run(&builder, &tree, &[job("node_modules/x")], Confinement::Unconfined)
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(text(&result, "node_modules/y/data.txt"), "new\n");
    assert_eq!(text(&result, "made"), "x\n");
    assert_eq!(snapshot(&tree), before);
    let shell = fs_err::read("/bin/sh").expect("every system has one");
    let node = builder.store.add_bytes(&shell, true).expect("there is room");
    assert_eq!(fs_err::read(node.path()).expect("it is there"), shell);
}

#[test]
fn home_and_temporary_files_are_private_and_gone() {
    for confinement in both() {
        let builder = Builder::new();
        let script = "echo x > \"$HOME/made\" && echo x > \"$TMPDIR/made\" && ls \"$HOME\" \"$TMPDIR\" > said";
        let tree = with_postinstall(&builder, script);
        let jobs = [job("node_modules/x")];
        let result = run(&builder, &tree, &jobs, confinement)
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(text(&result, "node_modules/x/said").matches("made").count(), 2);
        assert!(!std::path::Path::new("/tmp/made").exists());
        assert_eq!(result.len(), tree.len() + 1);
    }
}

#[test]
fn the_environment_is_npms_and_nobody_elses() {
    let builder = Builder::new();
    let tree = with_postinstall(
        &builder,
        "env | sort | grep -v -e ^_= -e ^PWD= -e ^OLDPWD= -e ^SHLVL= > said",
    );
    let mut job = job("node_modules/x");
    job.env.insert("EXTRA".to_owned(), "from the manifest".to_owned());
    let result = run(&builder, &tree, &[job], Confinement::Required)
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let cpu = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let said = text(&result, "node_modules/x/said").replace(&format!("linux {cpu}"), "linux CPU");
    insta::assert_snapshot!(said, @"
    COLOR=0
    EDITOR=vi
    EXTRA=from the manifest
    HOME=/gangway/home
    INIT_CWD=/gangway/app
    LANG=C.UTF-8
    NODE=/gangway/tools/bin/node
    PATH=/gangway/app/node_modules/x/node_modules/.bin:/gangway/app/node_modules/.bin:/gangway/tools/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
    SOURCE_DATE_EPOCH=315532800
    TMPDIR=/tmp
    TZ=UTC
    npm_command=ci
    npm_config_arch=x64
    npm_config_cpu=x64
    npm_config_libc=glibc
    npm_config_os=linux
    npm_config_platform=linux
    npm_config_user_agent=npm/11.6.2 node/v24.1.0 linux CPU workspaces/false
    npm_lifecycle_event=postinstall
    npm_lifecycle_script=env | sort | grep -v -e ^_= -e ^PWD= -e ^OLDPWD= -e ^SHLVL= > said
    npm_node_execpath=/gangway/tools/bin/node
    npm_package_json=/gangway/app/node_modules/x/package.json
    npm_package_name=x
    npm_package_version=1.0.0
    ");
}

#[test]
fn phases_are_npms() {
    let builder = Builder::new();
    let manifest = |name: &str| {
        let say = |event: &str| format!("echo {name} {event} >> ../../log/order");
        let event = |event: &str| (event.to_owned(), serde_json::Value::from(say(event)));
        let scripts: serde_json::Map<_, _> =
            ["postinstall", "preinstall", "install", "prepare"].map(event).into_iter().collect();
        serde_json::json!({"name": name, "version": "1.0.0", "scripts": scripts}).to_string()
    };
    let tree = builder.tree(&[
        ("node_modules/a/package.json", &manifest("a")),
        ("node_modules/b/package.json", &manifest("b")),
    ]);
    let jobs = ["node_modules/a", "node_modules/b"].map(|path| {
        let mut job = job(path);
        job.writes.push(BundlePath::new("log").expect("plain"));
        job
    });
    let result = run(&builder, &tree, &jobs, Confinement::Required)
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    insta::assert_snapshot!(text(&result, "log/order"), @"
    a preinstall
    b preinstall
    a install
    b install
    a postinstall
    b postinstall
    ");
}

#[test]
fn a_result_is_kept_until_something_changes() {
    let builder = Builder::new();
    // Different on every run, were it run.
    let script = "cat /proc/sys/kernel/random/uuid > said";
    let tree = with_postinstall(&builder, script);
    let jobs = [job("node_modules/x")];
    let go = |tree: &Tree, jobs: &[Job], confinement| {
        let result = run(&builder, tree, jobs, confinement)
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        text(&result, "node_modules/x/said")
    };
    let first = go(&tree, &jobs, Confinement::Required);
    assert_eq!(go(&tree, &jobs, Confinement::Required), first);
    assert_ne!(go(&tree, &jobs, Confinement::Unconfined), first);

    let mut other_tree = tree.clone();
    other_tree.extend(builder.tree(&[("node_modules/y/data.txt", "other")]));
    assert_ne!(go(&other_tree, &jobs, Confinement::Required), first);
    let mut other_jobs = jobs.clone();
    other_jobs[0].env.insert("A".to_owned(), "b".to_owned());
    assert_ne!(go(&tree, &other_jobs, Confinement::Required), first);

    // What was kept has lost a file: run again, and kept again.
    let result = run(&builder, &tree, &jobs, Confinement::Required).expect("it was run before");
    let Some(Node::File(said)) = result.get("node_modules/x/said") else { panic!("{result:?}") };
    fs_err::remove_file(said.path()).expect("the cache is ours");
    let second = go(&tree, &jobs, Confinement::Required);
    assert_ne!(second, first);
    assert_eq!(go(&tree, &jobs, Confinement::Required), second);
}

#[test]
fn failure_shows_what_it_said_and_where_the_rest_is() {
    let builder = Builder::new();
    let tree = with_postinstall(&builder, "echo looking; echo no compiler here >&2; exit 3");
    for confinement in both() {
        let error =
            run(&builder, &tree, &[job("node_modules/x")], confinement).expect_err("it fails");
        let log = builder.context.cache.join("logs/x-1.0.0-postinstall.log");
        assert_eq!(
            fs_err::read_to_string(&log).expect("it is kept"),
            "looking\nno compiler here\n"
        );
        insta::allow_duplicates! {
            insta::assert_snapshot!(chain(&error).replace(builder.context.cache.as_str(), "CACHE"), @"
            the postinstall script of x 1.0.0 failed
            could not run the postinstall script of x 1.0.0: `/bin/sh -c 'echo looking; echo no compiler here >&2; exit 3'` ended with exit status 3; it said:
              looking
              no compiler here
            all of its output is in `CACHE/logs/x-1.0.0-postinstall.log`
            ");
        }
    }
    // A failure is not kept.
    let error = run(&builder, &tree, &[job("node_modules/x")], Confinement::Required);
    assert!(error.is_err());
}

#[test]
fn what_cannot_be_bundled_is_refused() {
    let builder = Builder::new();
    for (script, message) in [
        ("ln -s /etc/passwd out", "points to `/etc/passwd`"),
        ("ln -s ../../../../etc out", "outside the gateway's folder"),
        ("mkfifo pipe", "`node_modules/x/pipe` is a socket, a pipe or a device"),
        ("echo x > 'a\\b'", "contains a backslash"),
        ("echo x > \"$(printf 'a\\377')\"", "it is not UTF-8"),
    ] {
        let tree = with_postinstall(&builder, script);
        let error = run(&builder, &tree, &[job("node_modules/x")], Confinement::Required)
            .expect_err(script);
        assert!(chain(&error).contains(message), "{script}: {}", chain(&error));
    }
}

#[test]
fn a_link_planted_by_one_script_is_not_followed_for_the_next() {
    let builder = Builder::new();
    let outside = builder.context.current_dir.join("outside");
    fs_err::create_dir(&outside).expect("the folder is ours");
    let manifest =
        |script: String| serde_json::json!({"scripts": {"postinstall": script}}).to_string();
    let tree = builder.tree(&[
        ("node_modules/a/package.json", &manifest(format!("ln -s {outside} ../../shared/b"))),
        ("node_modules/b/package.json", &manifest("echo x > ../../shared/b/made".to_owned())),
    ]);
    let mut jobs = ["node_modules/a", "node_modules/b"].map(job);
    jobs[0].writes.push(BundlePath::new("shared").expect("plain"));
    jobs[1].writes.push(BundlePath::new("shared/b").expect("plain"));
    let error = run(&builder, &tree, &jobs, Confinement::Required).expect_err("it is refused");
    assert!(chain(&error).contains("`shared/b` is no folder any more"), "{}", chain(&error));
    assert_eq!(fs_err::read_dir(&outside).expect("it is there").count(), 0);
}

#[test]
fn what_wants_a_compiler_is_refused_before_anything_runs() {
    let builder = Builder::new();
    let tree = builder.tree(&[
        ("node_modules/x/package.json", r#"{"name": "x", "version": "1.0.0"}"#),
        ("node_modules/x/binding.gyp", "{}"),
    ]);
    let error = run(&builder, &tree, &[job("node_modules/x")], Confinement::Unconfined)
        .expect_err("there is no node-gyp");
    insta::assert_snapshot!(error, @"x 1.0.0 compiles an addon when it is installed (`node-gyp rebuild`), which cannot be run as a script");
}
