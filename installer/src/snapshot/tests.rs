//! Copies of real folders, and restores killed at each step.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::State;

use super::*;
use crate::context::Context;
use crate::interruption::Interruption;

struct Sandbox {
    _folder: tempfile::TempDir,
    root: Utf8PathBuf,
    context: Context,
    store: Store,
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("plain").canonicalize_utf8();
        let root = root.expect("it is there");
        let variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        let environment = BTreeMap::from([(variable.to_owned(), root.join("home").into_string())]);
        let context = Context::new(environment, root.clone(), root.join("installer"));
        let store = Store::at(root.join("prefix/snapshots"));
        std::fs::create_dir_all(root.join("home")).expect("ours");
        Self { _folder: folder, root, context, store }
    }

    fn state(&self) -> Utf8PathBuf {
        self.root.join("home/.claw")
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.state().join(path);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("ours");
        std::fs::write(path, content).expect("ours");
    }

    fn plan_of(&self, states: &[State]) -> Plan {
        plan(&self.context, states, Owner::User, &self.root.join("prefix")).expect("it can be read")
    }

    fn make(&self, of: &str) -> Snapshot {
        let plan = self.plan_of(&[claw()]);
        self.store.make(&plan, of, now(), &mut |_| {}).expect("it can be copied")
    }

    /// Everything below a folder, with content.
    fn content(&self, folder: &Utf8Path) -> String {
        let mut lines = Vec::new();
        let mut waiting = vec![folder.to_owned()];
        while let Some(path) = waiting.pop() {
            let name = path.strip_prefix(folder).expect("below");
            let metadata = path.symlink_metadata().expect("there");
            if metadata.is_symlink() {
                let target = path.read_link_utf8().expect("a link");
                lines.push(format!("{name} -> {target}"));
            } else if metadata.is_dir() {
                waiting.extend(
                    path.read_dir_utf8()
                        .expect("a folder")
                        .map(|entry| entry.expect("an entry").path().to_owned()),
                );
            } else if metadata.is_file() {
                lines.push(format!("{name}: {}", std::fs::read_to_string(&path).expect("a file")));
            }
        }
        lines.sort();
        lines.join("\n")
    }
}

fn claw() -> State {
    State {
        path: "~/.claw".parse().expect("one"),
        variable: Some("CLAW_HOME".to_owned()),
        exclude: vec!["logs".parse().expect("plain")],
        limit_mb: 1,
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_291_392)
}

#[test]
fn what_comes_back_is_what_was() {
    let sandbox = Sandbox::new();
    sandbox.write("config.json", "{}");
    sandbox.write("agents/a/log.txt", "one");
    sandbox.write("logs/today", "noise");
    let before = "agents/a/log.txt: one\nconfig.json: {}";
    let snapshot = sandbox.make("1.0.0");
    assert_eq!((snapshot.folders[0].files, snapshot.folders[0].changed.len()), (2, 0));
    sandbox.write("config.json", "{\"format\":2}");
    sandbox.write("new", "x");
    let restored =
        sandbox.store.restore("1.0.0", Stays::Always, now(), &mut |_| {}).expect("it is whole");
    assert_eq!(sandbox.content(&sandbox.state()), before);
    let aside = sandbox.root.join("home/.claw.before-rollback-2026-11-21-200312");
    assert_eq!(restored.folders, [Replaced { path: sandbox.state(), aside: Some(aside.clone()) }]);
    let kept = "agents/a/log.txt: one\nconfig.json: {\"format\":2}\nlogs/today: noise\nnew: x";
    assert_eq!(sandbox.content(&aside), kept);
    // A second one in the same second finds another name.
    let restored =
        sandbox.store.restore("1.0.0", Stays::Always, now(), &mut |_| {}).expect("it is whole");
    assert!(restored.folders[0].aside.as_ref().expect("it was there").as_str().ends_with("-2"));
    assert_eq!(sandbox.content(&aside), kept);
}

#[test]
fn a_folder_that_was_not_there() {
    let sandbox = Sandbox::new();
    sandbox.make("1.0.0");
    sandbox.write("config.json", "{}");
    let restored =
        sandbox.store.restore("1.0.0", Stays::Always, now(), &mut |_| {}).expect("it is whole");
    assert!(!sandbox.state().exists());
    let aside = restored.folders[0].aside.as_ref().expect("it was moved");
    assert_eq!(sandbox.content(aside), "config.json: {}");
}

#[test]
fn a_damaged_copy_is_not_put_in_place() {
    let sandbox = Sandbox::new();
    sandbox.write("config.json", "old");
    sandbox.make("1.0.0");
    sandbox.write("config.json", "new");
    let copy = sandbox.root.join("prefix/snapshots/1.0.0/0/config.json");
    std::fs::write(&copy, "odd").expect("ours");
    let error = sandbox
        .store
        .restore("1.0.0", Stays::Always, now(), &mut |_| {})
        .expect_err("it is damaged");
    assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
    assert_eq!(sandbox.content(&sandbox.root.join("home")), ".claw/config.json: new");
    std::fs::remove_file(&copy).expect("ours");
    let error = sandbox
        .store
        .restore("1.0.0", Stays::Always, now(), &mut |_| {})
        .expect_err("it is damaged");
    assert!(error.to_string().contains("nothing was `f "), "{error}");
    let error = sandbox
        .store
        .restore("0.9.0", Stays::Always, now(), &mut |_| {})
        .expect_err("there is none");
    assert_eq!(error.to_string(), "there is no copy of the app's data as version 0.9.0 left it");
}

/// Runs something until it names the step with this number, and kills it there: nothing is cleaned up. `None` when there
/// are not that many steps.
fn killed_at<T>(number: usize, run: impl FnOnce(Checkpoint<'_>) -> T) -> Option<&'static str> {
    let mut count = 0;
    let mut at = "";
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run(&mut |name| {
            if count == number {
                at = name;
                std::panic::resume_unwind(Box::new(()));
            }
            count += 1;
        })
    }));
    ended.is_err().then_some(at)
}

#[test]
fn a_restore_killed_at_each_step_ends_whole() {
    let mut seen = Vec::new();
    for number in 0.. {
        let sandbox = Sandbox::new();
        sandbox.write("config.json", "old");
        sandbox.make("1.0.0");
        sandbox.write("config.json", "new");
        let run = |checkpoint: Checkpoint<'_>| {
            sandbox.store.restore("1.0.0", Stays::Always, now(), checkpoint)
        };
        let Some(at) = killed_at(number, run) else { break };
        seen.push(at);
        let finished = sandbox.store.finish(None, &mut |_| {}).expect("it can go on");
        let home = sandbox.content(&sandbox.root.join("home"));
        match finished {
            Some(Finished::TakenBack) => assert_eq!(home, ".claw/config.json: new", "{at}"),
            Some(Finished::Done(restored)) => {
                let aside = restored.folders[0].aside.as_ref().expect("it was there");
                assert_eq!(sandbox.content(aside), "config.json: new", "{at}");
                assert_eq!(sandbox.content(&sandbox.state()), "config.json: old", "{at}");
                assert_eq!(home.lines().count(), 2, "{at}: {home}");
            }
            Some(Finished::Returned(_)) => panic!("{at}: nobody waits for a version"),
            None => panic!("{at}: it was forgotten"),
        }
        assert_eq!(sandbox.store.finish(None, &mut |_| {}).expect("nothing to do"), None, "{at}");
    }
    assert!(seen.contains(&"restore: between") && seen.len() >= 5, "{seen:?}");
}

/// The data of two folders, one of which was not there when the copy was made.
fn two_folders() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("config.json", "old");
    let plan = sandbox.plan_of(&[claw(), other()]);
    sandbox.store.make(&plan, "1.0.0", now(), &mut |_| {}).expect("it can be copied");
    sandbox.write("config.json", "new");
    sandbox.write("../.other/cache", "new");
    sandbox
}

fn other() -> State {
    State { path: "~/.other".parse().expect("one"), variable: None, ..claw() }
}

/// Killed at each step, for a version that is not used after all: what was in place is there again, and nothing else.
#[test]
fn what_gave_way_returns() {
    let before = ".claw/config.json: new\n.other/cache: new";
    let mut seen = Vec::new();
    for first in 0.. {
        let sandbox = two_folders();
        let stays = Stays::With("1.0.0");
        let run = |checkpoint: Checkpoint<'_>| {
            sandbox.store.restore("1.0.0", stays, now(), checkpoint).map(drop)
        };
        let at = killed_at(first, run).unwrap_or("restored");
        for second in 0.. {
            let sandbox = two_folders();
            let run = |checkpoint: Checkpoint<'_>| {
                sandbox.store.restore("1.0.0", stays, now(), checkpoint).map(drop)
            };
            killed_at(first, run);
            let go_on = |checkpoint: Checkpoint<'_>| {
                sandbox.store.finish(Some("2.0.0"), checkpoint).expect("it can go on")
            };
            let then = killed_at(second, go_on);
            seen.extend(then);
            sandbox.store.finish(Some("2.0.0"), &mut |_| {}).expect("it can go on");
            let home = sandbox.content(&sandbox.root.join("home"));
            assert_eq!(home, before, "{at}, then {then:?}");
            if then.is_none() {
                break;
            }
        }
        if at == "restored" {
            break;
        }
    }
    for step in ["return: begun", "restore: between", "return: switched", "return: compared"] {
        assert!(seen.contains(&step), "{step}: {seen:?}");
    }
}

/// The version was used for a while, and wrote something before it was known that it is not the one.
#[test]
fn what_was_written_meanwhile_is_kept() {
    for written in [".claw/config.json", ".claw/more", ".other/cache"] {
        let sandbox = two_folders();
        let stays = Stays::With("1.0.0");
        sandbox.store.restore("1.0.0", stays, now(), &mut |_| {}).expect("it is whole");
        let home = sandbox.root.join("home");
        assert_eq!(sandbox.content(&sandbox.state()), "config.json: old");
        assert!(!home.join(".other").exists());
        sandbox.write(&format!("../{written}"), "meanwhile");
        let returns = |used| sandbox.store.is_to_return(used).expect("it can be read");
        assert!(returns(Some("2.0.0")) && returns(None) && !returns(Some("1.0.0")));
        let finished = sandbox.store.finish(Some("2.0.0"), &mut |_| {}).expect("it can go on");
        let Some(Finished::Returned(returned)) = finished else { panic!("{finished:?}") };
        let (folder, file) = written.split_once('/').expect("a file in a folder");
        let aside = home.join(format!("{folder}.during-rollback-2026-11-21-200312"));
        assert_eq!(
            returned.folders,
            [Replaced { path: home.join(folder), aside: Some(aside.clone()) }]
        );
        assert!(sandbox.content(&aside).contains(&format!("{file}: meanwhile")));
        std::fs::remove_dir_all(&aside).expect("ours");
        let home = sandbox.content(&home);
        assert_eq!(home, ".claw/config.json: new\n.other/cache: new", "{written}");
        assert!(!returns(None));
    }
}

/// Killed while the copy is removed that was in place meanwhile: what is left of it is nothing that a program wrote.
#[test]
fn a_removal_that_was_killed_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.write("config.json", "old");
    sandbox.write("notes", "old");
    sandbox.make("1.0.0");
    let stays = Stays::With("1.0.0");
    sandbox.store.restore("1.0.0", stays, now(), &mut |_| {}).expect("it is whole");
    let kill = |checkpoint: Checkpoint<'_>| {
        let mut named = |name: &'static str| {
            if name == "return: compared" {
                checkpoint(name);
            }
        };
        sandbox.store.finish(None, &mut named).map(drop)
    };
    assert_eq!(killed_at(0, kill), Some("return: compared"));
    let copy = sandbox.root.join("home/.claw.during-rollback-2026-11-21-200312");
    std::fs::remove_file(copy.join("notes")).expect("it is there still");
    let finished = sandbox.store.finish(None, &mut |_| {}).expect("it can go on");
    let Some(Finished::Returned(returned)) = finished else { panic!("{finished:?}") };
    assert_eq!((returned.folders.len(), copy.exists()), (0, false));
}

/// The version is used: what gave way stays where it was told to be.
#[test]
fn what_was_waited_for_stays() {
    let sandbox = two_folders();
    std::fs::remove_dir_all(sandbox.root.join("home/.other")).expect("ours");
    let stays = Stays::With("1.0.0");
    let restored = sandbox.store.restore("1.0.0", stays, now(), &mut |_| {}).expect("it is whole");
    // It runs already, and makes the folder that it had not made before.
    sandbox.write("../.other/cache", "of 1.0.0");
    let finished = sandbox.store.finish(Some("1.0.0"), &mut |_| {}).expect("it can go on");
    assert_eq!(finished, Some(Finished::Done(restored)));
    assert_eq!(sandbox.store.finish(None, &mut |_| {}).expect("nothing to do"), None);
    assert_eq!(sandbox.content(&sandbox.state()), "config.json: old");
    assert_eq!(sandbox.content(&sandbox.root.join("home/.other")), "cache: of 1.0.0");
}

#[test]
fn a_copy_killed_at_each_step_is_whole_or_the_one_before() {
    let mut seen = Vec::new();
    for number in 0.. {
        let sandbox = Sandbox::new();
        sandbox.write("config.json", "first");
        sandbox.make("1.0.0");
        sandbox.write("config.json", "second");
        let plan = sandbox.plan_of(&[claw()]);
        let run =
            |checkpoint: Checkpoint<'_>| sandbox.store.make(&plan, "1.0.0", now(), checkpoint);
        let Some(at) = killed_at(number, run) else { break };
        seen.push(at);
        sandbox.store.finish(None, &mut |_| {}).expect("it can be tidied");
        sandbox
            .store
            .restore("1.0.0", Stays::Always, now(), &mut |_| {})
            .expect("one of them is whole");
        let content = sandbox.content(&sandbox.state());
        let expected = if at == "snapshot: in place" { "second" } else { "first" };
        assert_eq!(content, format!("config.json: {expected}"), "{at}");
        assert_eq!(sandbox.store.versions().expect("ours"), ["1.0.0"]);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

/// A signal that comes while files are copied: nothing is left of the copy, and what was there is as it was.
#[test]
fn a_copy_that_is_interrupted_is_given_up() {
    let mut sandbox = Sandbox::new();
    sandbox.write("config.json", "1.0.0");
    sandbox.make("1.0.0");
    sandbox.write("config.json", "2.0.0");
    let (data, copies) =
        (sandbox.content(&sandbox.state()), sandbox.content(sandbox.store.folder()));
    let interruption = Interruption::default();
    sandbox.store = sandbox.store.interrupted_by(&interruption);
    let plan = sandbox.plan_of(&[claw()]);
    let mut come = |name: &str| {
        if ["snapshot: begin", "restore: planned"].contains(&name) {
            interruption.come();
        }
    };
    let made = sandbox.store.make(&plan, "2.0.0", now(), &mut come);
    assert!(matches!(made, Err(SnapshotError::Interrupted)), "{made:?}");
    let restored = sandbox.store.restore("1.0.0", Stays::Always, now(), &mut come);
    assert!(matches!(restored, Err(SnapshotError::Interrupted)), "{restored:?}");
    assert!(!sandbox.store.is_unfinished());
    let home = sandbox.root.join("home");
    let names: Vec<_> = home.read_dir_utf8().expect("there").flatten().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(sandbox.content(&sandbox.state()), data);
    assert_eq!(sandbox.content(sandbox.store.folder()), copies);
}

#[test]
fn copies_go_with_their_versions() {
    let sandbox = Sandbox::new();
    sandbox.write("config.json", "1");
    for of in ["1.0.0", "1.1.0", "2.0.0"] {
        sandbox.make(of);
    }
    assert_eq!(sandbox.store.keep_only(&["1.1.0", "3.0.0"]).expect("ours"), ["1.0.0", "2.0.0"]);
    assert_eq!(sandbox.store.versions().expect("ours"), ["1.1.0"]);
    assert!(sandbox.store.get("1.1.0").expect("whole").is_some());
    assert!(sandbox.store.get("2.0.0").expect("none").is_none());
}

#[test]
fn only_the_apps_own_folder() {
    let mut sandbox = Sandbox::new();
    sandbox.write("x", "x");
    let left = |sandbox: &Sandbox, value: &str| {
        let mut context = Context::new(
            sandbox.context.environment.clone(),
            sandbox.root.clone(),
            sandbox.root.clone(),
        );
        context.environment.insert("CLAW_HOME".to_owned(), value.to_owned());
        let prefix = sandbox.root.join("home/prefix");
        let plan = plan(&context, &[claw()], Owner::User, &prefix).expect("readable");
        plan.left.first().map(|(_, reason)| reason.replace(sandbox.root.as_str(), ""))
    };
    let home = sandbox.root.join("home");
    assert_eq!(
        left(&sandbox, home.as_str()).as_deref(),
        Some("`/home` holds more than the app's data")
    );
    assert!(left(&sandbox, sandbox.root.as_str()).expect("left").contains("holds more"));
    let inside = home.join("prefix/versions");
    assert!(left(&sandbox, inside.as_str()).expect("left").contains("the app itself is installed"));
    assert_eq!(left(&sandbox, home.join("data").as_str()), None);
    let everyone = plan(&sandbox.context, &[claw()], Owner::Everyone, &home.join("prefix"));
    assert_eq!(everyone.expect("readable").left[0].1, "each user has one of their own");
    sandbox.context.environment.clear();
    let plan = sandbox.plan_of(&[claw()]);
    assert_eq!(plan.left[0].1, "the environment does not tell where it is");
}

#[test]
fn who_is_asked() {
    let sandbox = Sandbox::new();
    let decide = |wish, can_ask| {
        let decided = sandbox.plan_of(&[claw()]).decide(wish, can_ask);
        decided.map_err(|error| error.to_string().replace(sandbox.root.as_str(), ""))
    };
    let nothing = Decision::Skip("the app has no data yet");
    assert_eq!(decide(Wish::Yes, true), Ok(nothing.clone()));
    assert_eq!(decide(Wish::Ask, false), Ok(nothing));
    sandbox.write("config.json", "{}");
    assert_eq!(decide(Wish::Ask, false), Ok(Decision::Make));
    assert_eq!(decide(Wish::No, true), Ok(Decision::Skip("as you asked")));
    let asked = decide(Wish::Ask, true).expect("it is small");
    assert!(matches!(asked, Decision::Ask(question) if question.contains("(1 kB)")));
    sandbox.write("models/large", &"x".repeat(2_345_678));
    assert_eq!(decide(Wish::Yes, false), Ok(Decision::Make));
    let said = decide(Wish::Ask, false).expect_err("nobody was asked");
    insta::assert_snapshot!(said, @"the app's data in `/home/.claw` is 2.3 MB, more than the 1.0 MB that are copied unasked");
    let asked = decide(Wish::Ask, true).expect("there is somebody to ask");
    assert!(matches!(asked, Decision::Ask(question) if question.contains("2.3 MB, which is more")));
}

#[test]
fn what_is_written_meanwhile_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write("data.sqlite", "pages");
    sandbox.write("data.sqlite-wal", "more pages");
    let plan = sandbox.plan_of(&[claw()]);
    assert_eq!(plan.in_use().collect::<Vec<_>>(), [sandbox.state().join("data.sqlite-wal")]);
    // Files that another program makes and grows while they are copied.
    let state = sandbox.state();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    for number in 0..300 {
        sandbox.write(&format!("many/{number}"), "0");
    }
    let plan = sandbox.plan_of(&[claw()]);
    let snapshot = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u32;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                let text = number.to_string();
                std::fs::write(state.join("counter"), text).expect("ours");
            }
        });
        while !state.join("counter").exists() {
            std::thread::yield_now();
        }
        let made = sandbox.store.make(&plan, "1.0.0", now(), &mut |_| {});
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        made.expect("it can be copied")
    });
    assert_eq!(snapshot.folders[0].changed, ["counter"]);
}

#[test]
fn a_file_is_no_folder() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.state(), "x").expect("ours");
    let prefix = sandbox.root.join("prefix");
    let error = plan(&sandbox.context, &[claw()], Owner::User, &prefix).expect_err("a file");
    assert!(matches!(error, SnapshotError::NotAFolder { .. }));
}

#[cfg(unix)]
mod unix {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn everything_a_folder_can_hold() {
        let sandbox = Sandbox::new();
        sandbox.write("secret", "key");
        let state = sandbox.state();
        let mode = |path: &str, mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(state.join(path), permissions).expect("ours");
        };
        mode("secret", 0o600);
        std::fs::hard_link(state.join("secret"), state.join("again")).expect("ours");
        // Out of the folder, to a folder, and to nowhere: copied as they are.
        std::fs::write(sandbox.root.join("outside"), "not ours").expect("ours");
        symlink("../../outside", state.join("out")).expect("ours");
        symlink("/etc", state.join("etc")).expect("ours");
        symlink("nowhere", state.join("dangling")).expect("ours");
        let _socket = UnixListener::bind(state.join("s.sock")).expect("a short path");
        let strange = std::ffi::OsStr::from_bytes(b"b\xffad\nname");
        std::fs::write(state.as_std_path().join(strange), "odd").expect("ours");
        sandbox.write("closed/inside", "x");
        mode("closed", 0o500);
        let snapshot = sandbox.make("1.0.0");
        let kept = &snapshot.folders[0];
        assert_eq!(kept.skipped, [("s.sock".to_owned(), "a socket".to_owned())]);
        assert!(kept.changed.is_empty(), "{:?}", kept.changed);
        let copy = sandbox.root.join("prefix/snapshots/1.0.0/0");
        let of = |path: &str| copy.join(path).symlink_metadata().expect(path);
        assert_eq!(of("secret").mode() & 0o777, 0o600);
        assert_eq!(of("closed").mode() & 0o777, 0o500);
        assert_eq!((of("secret").ino(), of("secret").nlink()), (of("again").ino(), 2));
        assert_eq!(of("secret").mtime(), state.join("secret").metadata().expect("there").mtime());
        assert_eq!(copy.join("out").read_link_utf8().expect("a link"), "../../outside");
        assert_eq!(copy.join("etc").read_link_utf8().expect("a link"), "/etc");
        let store = sandbox.root.join("prefix/snapshots").metadata().expect("there");
        assert_eq!(store.mode() & 0o777, 0o700);
        let list = std::fs::read_to_string(copy.with_file_name("0.list")).expect("text");
        assert!(list.contains("b\\xffad\\nname"), "{list}");
        // A restore of it all is the same again, and a copy with a closed folder can be removed.
        sandbox.store.restore("1.0.0", Stays::Always, now(), &mut |_| {}).expect("it is whole");
        assert_eq!(state.join("closed").metadata().expect("there").mode() & 0o777, 0o500);
        sandbox.store.keep_only(&[]).expect("ours");
        assert!(!copy.exists());
        mode("closed", 0o700);
        for entry in sandbox.root.join("home").read_dir_utf8().expect("ours") {
            let closed = entry.expect("one").path().join("closed");
            std::fs::set_permissions(closed, std::fs::Permissions::from_mode(0o700)).expect("ours");
        }
    }

    #[test]
    fn a_link_to_the_data_stays_one() {
        let sandbox = Sandbox::new();
        let real = sandbox.root.join("disk/claw");
        std::fs::create_dir_all(&real).expect("ours");
        std::fs::write(real.join("a"), "1").expect("ours");
        symlink(&real, sandbox.state()).expect("ours");
        sandbox.make("1.0.0");
        std::fs::write(real.join("a"), "2").expect("ours");
        let restored =
            sandbox.store.restore("1.0.0", Stays::Always, now(), &mut |_| {}).expect("it is whole");
        assert_eq!(restored.folders[0].path, real);
        assert!(sandbox.state().is_symlink());
        assert_eq!(sandbox.content(&real), "a: 1");
    }
}
