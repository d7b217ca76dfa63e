//! What tests share: a small HTTP server, contexts in folders of their own, errors as a user sees them.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Contract, Digest, Manifest, Verification, VerificationStatus};
use miette::Diagnostic;
use url::Url;

use crate::commands::bundle::{Bundle, Pruned};
use crate::context::Context;
use crate::native::Natives;
use crate::pack::{self, Format, Settings};
use crate::report::Reporter;
use crate::tree::{Node, Source, Tree};

/// A folder with everything a test touches; gone with the value.
pub(crate) struct Sandbox {
    _folder: tempfile::TempDir,
    pub(crate) root: Utf8PathBuf,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it was just made");
        let root = Utf8PathBuf::from_path_buf(root).expect("temporary folders are UTF-8");
        Self { _folder: folder, root }
    }

    /// A context that sees nothing of the machine: cache, home and npm's files are in the sandbox.
    pub(crate) fn context(&self, environment: &[(&str, &str)]) -> Context {
        let home = self.root.join("home");
        let global = self.root.join("global-npmrc");
        let own = [("HOME", home.as_str()), ("NPM_CONFIG_GLOBALCONFIG", global.as_str())];
        let environment: BTreeMap<_, _> = own
            .iter()
            .chain(environment)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Context::new(environment, self.root.clone(), self.root.join("cache"), Reporter::silent())
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Utf8PathBuf {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().expect("it is below the root")).expect("writable");
        std::fs::write(&path, content).expect("writable");
        path
    }
}

/// Lets a file be started.
#[cfg(unix)]
pub(crate) fn make_executable(path: &Utf8Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// Every file and link below `folder` with its content, and nothing else.
pub(crate) fn contents(folder: &Utf8Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir_utf8().expect("readable") {
            let path = entry.expect("readable").into_path();
            let name = path.strip_prefix(folder).expect("below it").to_string();
            if path.is_symlink() {
                let target = path.read_link_utf8().expect("readable");
                found.insert(name, format!("-> {target}").into_bytes());
            } else if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(name, std::fs::read(&path).expect("readable"));
            }
        }
    }
    found
}

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// What stands after `GET`: a path, or a URL when the server is used as a proxy.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

/// What the server says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    missing: usize,
}

impl Answer {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    pub(crate) fn html(body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
        Self { headers, ..Self::ok(body) }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self {
            status: 302,
            headers: vec![("Location".to_owned(), to.to_owned())],
            ..Self::default()
        }
    }

    /// The same with another status.
    pub(crate) fn but(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, but the connection ends `missing` bytes too early.
    pub(crate) fn cut(self, missing: usize) -> Self {
        Self { missing, ..self }
    }
}

/// Answers requests on the loopback interface until it is dropped.
pub(crate) struct Server {
    pub(crate) url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `answer` gets each request and the number of those before it.
    pub(crate) fn start(answer: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let stopped: Arc<AtomicBool> = Arc::default();
        let answer = Arc::new(answer);
        let thread = std::thread::spawn({
            let (seen, stopped) = (seen.clone(), stopped.clone());
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let Ok(stream) = stream else { continue };
                    let (seen, answer) = (seen.clone(), answer.clone());
                    // A thread for each: a client may keep a connection it says nothing on.
                    std::thread::spawn(move || serve(stream, &seen, &*answer));
                }
            }
        });
        let url = format!("http://{address}/").parse().expect("an address makes a URL");
        Self { url, seen, stopped, thread: Some(thread) }
    }

    /// Everything asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics with it").clone()
    }

    /// The paths asked so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.target).collect()
    }

    pub(crate) fn at(&self, path: &str) -> Url {
        self.url.join(path).expect("a path")
    }

    /// `127.0.0.1:<port>`
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.url.port().expect("it has one"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(self.host());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, answer: &dyn Fn(&Seen, usize) -> Answer) {
    let Some(request) = read_request(&stream) else { return };
    let before = {
        let mut seen = seen.lock().expect("no test panics with it");
        seen.push(request.clone());
        seen.len() - 1
    };
    // A client that went away is the client's affair.
    let _ = send(&mut stream, &answer(&request, before));
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Seen { target, headers })
}

fn send(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let Answer { status, headers, body, missing } = answer;
    write!(
        stream,
        "HTTP/1.1 {status} Test\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    )?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&body[..body.len() - missing])
}

/// The message, its causes and the advice, one per line, with the server's port made constant.
pub(crate) fn told(error: &dyn Diagnostic, server: &Server) -> String {
    let mut lines = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        lines.push(format!("because: {cause}"));
        next = Error::source(cause);
    }
    if let Some(help) = error.help() {
        lines.push(format!("help: {help}"));
    }
    lines.join("\n").replace(&server.host(), "127.0.0.1:port")
}

/// Where a test finds itself that must run in a process of its own.
pub(crate) enum Place {
    /// In the process that was set up for it; with the folder it was set up for.
    Inside(Utf8PathBuf),
    /// In the ordinary one. The other has run and succeeded, or the kernel does not allow what it needs.
    Outside,
}

/// Starts the test `name` again through `launcher` (such as `unshare -Urm`), after the shell has run `setup`, which finds
/// an empty folder in `$FOLDER`.
pub(crate) fn apart(name: &str, launcher: &[&str], setup: &str) -> Place {
    const VARIABLE: &str = "GANGWAY_TEST_FOLDER";
    if let Ok(folder) = std::env::var(VARIABLE) {
        return Place::Inside(folder.into());
    }
    let command = |script: &str| {
        let mut words = launcher.iter().copied().chain(["sh", "-c", script]);
        let mut command = Command::new(words.next().expect("there is a shell at least"));
        command.args(words);
        command
    };
    if !command("true").output().is_ok_and(|output| output.status.success()) {
        return Place::Outside;
    }
    let sandbox = Sandbox::new();
    let folder = sandbox.root.join("place");
    std::fs::create_dir(&folder).expect("writable");
    let script = format!("FOLDER=${VARIABLE}; {setup} && exec \"$0\" --exact \"$1\" --nocapture");
    let output = command(&script)
        .arg(std::env::current_exe().expect("a test is a program"))
        .arg(name)
        .env(VARIABLE, &folder)
        .output()
        .expect("it ran before");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{name}: {text}\n{errors}");
    Place::Outside
}

/// What a user sees on a terminal without colours.
pub(crate) fn rendered(error: &dyn Diagnostic) -> String {
    let mut text = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_width(200)
        .render_report(&mut text, error)
        .expect("memory takes everything");
    text
}

/// The manifest of a bundle without files.
pub(crate) const MANIFEST: &str = r#"{"version":1,"builder":"gangway 0.1.0","app":{"name":"a","version":"1.0.0"},"target":"linux-x64","platform":{"os":"linux","cpu":"x64","libc":"glibc"},"entrypoints":[],"contract":{"disk":{"unpacked":0,"installed":0}},"unpacked_size":0,"files":[],"links":[]}"#;

/// A real archive of a small bundle: a program, a link to it, and a file that only has the manifest's name.
pub(crate) fn archive(sandbox: &Sandbox, format: Format) -> Utf8PathBuf {
    let mut tree = Tree::default();
    for (path, content, executable) in
        [("app/manifest.json", "not this", false), ("bin/a", "x", true)]
    {
        let file = sandbox.write(&format!("sources/{path}"), content);
        let source = Source::new(file, content.len() as u64, executable, Digest::of(content));
        tree.insert(path.parse().expect("plain"), Node::File(source));
    }
    tree.insert("bin/b".parse().expect("plain"), Node::Link("a".to_owned()));
    let mut manifest = Manifest::from_json(MANIFEST.as_bytes()).expect("it is one");
    (manifest.files, manifest.links) = pack::listing(&tree);
    manifest.unpacked_size = tree.size();
    let content = pack::Content { tree: &tree, manifest: &manifest, folder: "a" };
    let out = sandbox.root.join(format!("a.{}", format.extension()));
    let natives = Natives::default();
    let known = pack::Known { natives: &natives, frames: None };
    let packed = pack::write(&sandbox.context(&[]), content, Settings::new(format), known, &out);
    packed.expect("it packs").path
}

/// A finished bundle whose archive and manifest would be in `folder`.
pub(crate) fn bundle(folder: &Utf8Path) -> Bundle {
    let name = "sample-1.2.3-linux-x64";
    Bundle {
        app: "sample".to_owned(),
        version: "1.2.3".to_owned(),
        target: "linux-x64".parse().expect("a target's name"),
        runtime: "node 24.18.0".to_owned(),
        archive: folder.join(format!("{name}.tar.zst")),
        size: 31_415_926,
        sha256: Digest::of("archive"),
        manifest: folder.join(format!("{name}.manifest.json")),
        manifest_sha256: Digest::of("manifest"),
        entrypoints: vec!["sample".to_owned(), "samplectl".to_owned()],
        packages: 12,
        files: 345,
        unpacked_size: 123_456_789,
        pruned: [("declarations", 70, 1_200_000), ("source-maps", 0, 0), ("tests", 8, 999)]
            .map(|(rule, files, bytes)| Pruned { rule: rule.to_owned(), files, bytes })
            .into(),
        stripped: 20_000_000,
        contract: Contract {
            glibc: Some("2.28".parse().expect("a version")),
            libstdcxx: Some("3.4.24".parse().expect("a version")),
            libraries: ["libatomic.so.1", "libc.so.6"]
                .map(|library| (library.to_owned(), std::collections::BTreeSet::new()))
                .into(),
            ..Contract::default()
        },
        uncommon: vec!["libatomic.so.1".to_owned()],
        verification: Verification {
            status: VerificationStatus::Verified,
            allowed: 2,
            unknown: BTreeMap::from([
                ("opaque-payload".to_owned(), 1),
                ("opened-libraries".to_owned(), 3),
            ]),
            allowances: Vec::new(),
        },
        warnings: Vec::new(),
        reused: false,
    }
}
