//! Real addons, compiled for every Linux: they are for the target, and the one for this machine runs.

#[expect(dead_code, reason = "other tests use the rest of it")]
mod common;

use std::collections::BTreeMap;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use common::Builder;
use xtask::addons::{self, Code, Library, NodeAbi, Setting, build};
use xtask::closure::{self, Closure, Host, Scope};
use xtask::config::{self, Addon, Located, Recipe, Treatment};
use xtask::confine::Confinement;
use xtask::fetch;
use xtask::layout::{self, Method};
use xtask::lock::Lock;
use xtask::native::Natives;
use xtask::plan;
use xtask::registry::Registry;
use xtask::runtime::Mirrors;
use xtask::target::{Target, Targets};
use xtask::tree::{Node, Source, Tree};

const LINUX: [&str; 4] = ["linux-x64", "linux-arm64", "linux-x64-musl", "linux-arm64-musl"];

#[test]
#[ignore = "compiles SQLite four times; needs zig, make, Python and a fence"]
fn better_sqlite3() {
    let script = "const Database = require('better-sqlite3');
        const row = new Database(':memory:').prepare('select sqlite_version() as version, 6 * 7 as answer').get();
        console.log(row.answer);";
    check(&LINUX, "natives", "better-sqlite3", "build/Release/better_sqlite3.node", script, "42\n");
}

#[test]
#[ignore = "needs zig, make, Python and a fence"]
fn bufferutil() {
    let script = "const bytes = Buffer.from([1, 2]);
        require('bufferutil/build/Release/bufferutil.node').unmask(bytes, Buffer.from([1, 0, 0, 0]));
        console.log(bytes.join());";
    check(&LINUX, "natives", "bufferutil", "build/Release/bufferutil.node", script, "0,2\n");
}

#[test]
#[ignore = "compiles libjpeg-turbo twice; needs zig, CMake, make and a fence"]
fn jpeg_turbo_with_cmake() {
    let script = "const jpeg = require('@julusian/jpeg-turbo');
        const options = { format: jpeg.FORMAT_RGB, width: 8, height: 8, subsampling: jpeg.SAMP_444 };
        const image = jpeg.compressSync(Buffer.alloc(8 * 8 * 3, 90), Buffer.alloc(jpeg.bufferSize(options)), options);
        const back = jpeg.decompressSync(image, Buffer.alloc(8 * 8 * 3), { format: jpeg.FORMAT_RGB });
        console.log(image.readUInt16BE(0).toString(16), back.width, Math.abs(back.data[0] - 90) < 3);";
    // Its sources take minutes to compile: each C library once, and each processor.
    let targets = ["linux-x64", "linux-arm64-musl"];
    let package = "@julusian/jpeg-turbo";
    check(&targets, "cmake", package, "build/Release/jpegturbo.node", script, "ffd8 8 true\n");
}

/// Builds a package of a project in `testdata` for `targets`, and runs `script` with the one for this machine.
fn check(names: &[&str], project: &str, package: &str, product: &str, script: &str, answer: &str) {
    let mut builder = Builder::new();
    builder.context.environment = std::env::vars().collect();
    let targets = Targets::built_in();
    let host = targets.host().expect("tests run on a target").clone();
    let shop = Shop::open(&builder, project, &host);
    for &name in names {
        let target = targets.find(name).expect("it is built in");
        let tree = shop.build(&builder, package, target);
        let path = format!("node_modules/{package}/{product}");
        let Some(Node::File(source)) = tree.get(&path) else { panic!("{name}: no {path}") };
        let code = Code::read(&Natives::default(), source).expect("readable").expect("native code");
        assert_eq!(code.fit(&target.platform), addons::Fit::Own, "{name}: {}", code.describe());
        keep(name, package, source);
        if target.platform == host.platform {
            let folder = tempfile::tempdir().expect("there is room");
            let place = Utf8Path::from_path(folder.path()).expect("it is UTF-8");
            layout::write(&tree, place, Method::Copy).expect("it can be written");
            let node = shop.node.path();
            let run = Command::new(node).args(["-e", script]).current_dir(place).output();
            let output = run.expect("it runs here");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(String::from_utf8_lossy(&output.stdout), answer, "{said}");
        }
    }
}

/// What all builds share.
struct Shop {
    project: Utf8PathBuf,
    lockfile: String,
    registry: Registry,
    node: Source,
    headers: Tree,
    npm: Tree,
}

impl Shop {
    fn open(builder: &Builder, project: &str, host: &Target) -> Self {
        let xtask = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        let project = xtask.join("src/addons/testdata").join(project);
        let registry = Registry::load(&builder.context, &project).expect("npm's configuration");
        let gateway = xtask.parent().expect("it is in the workspace").join("examples/gateway");
        let config = config::load(&gateway.join("gangway.toml")).expect("it is committed");
        let lock = Lock::load(&config).expect("it is committed");
        let runtime = lock.runtime(&config, host).expect("it is pinned").expect("it has one");
        let mirrors =
            Mirrors::from_context(&builder.context, &config.folder).expect("sane settings");
        let requests = [runtime.request(&mirrors), build::request()];
        let mut fetched =
            fetch::all(&builder.context, &builder.store, &registry, &requests).expect("served");
        let archive = fetched.remove(&runtime.integrity).expect("fetched");
        let Some(Node::File(node)) = archive.get(&runtime.executable) else { panic!("no node") };
        Self {
            lockfile: fs_err::read_to_string(project.join("package-lock.json")).expect("committed"),
            project,
            registry,
            node: node.clone(),
            headers: build::headers(&archive),
            npm: fetched.remove(build::integrity()).expect("fetched"),
        }
    }

    /// The production tree of the project with the package built.
    fn build(&self, builder: &Builder, package: &str, target: &Target) -> Tree {
        let closure = self.closure(target);
        let requests = plan::package_requests(&closure, &self.project);
        let fetched = fetch::all(&builder.context, &builder.store, &self.registry, &requests)
            .expect("served");
        let mut tree = closure::assemble(&closure, &fetched, &BTreeMap::new()).expect("it fits");
        let library =
            Library::read(&fetched, &BTreeMap::new(), &Natives::default()).expect("readable");
        let setting = Setting {
            target: &target.name,
            platform: &target.platform,
            abi: NodeAbi::of("node", "24.21.0"),
            closure: &closure,
            references: &[],
        };
        let addon = Addon {
            package: Located { value: package.to_owned(), span: 0..0 },
            targets: Vec::new(),
            treatment: Treatment::Build(Recipe::default()),
        };
        let decision = addons::decide(&setting, &library, &[addon], &[]);
        let [job] = &decision.jobs[..] else { panic!("{:?}", decision.jobs) };
        let bench = build::Bench {
            context: &builder.context,
            store: &builder.store,
            confinement: Confinement::Required,
            node: &self.node,
            npm: &self.npm,
            headers: &self.headers,
            target,
        };
        let recipe = job.recipe().expect("it is to be built");
        build::run(&bench, job, recipe, &mut tree)
            .unwrap_or_else(|error| panic!("{}: {}", target.name, common::chain(&error)));
        tree
    }

    fn closure(&self, target: &Target) -> Closure {
        let host = Host { platform: &target.platform, node: None };
        let path = self.project.join("package-lock.json");
        closure::read(&self.lockfile, &path, host, Scope::Production).expect("npm wrote it")
    }
}

/// Leaves what was built where it can be tried under emulation.
fn keep(target: &str, package: &str, product: &Source) {
    let folder = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("addons").join(target);
    fs_err::create_dir_all(&folder).expect("ours");
    let name = package.replace('/', "+");
    fs_err::copy(product.path(), folder.join(format!("{name}.node"))).expect("ours");
}
