//! `examples/gateway` as its users see it: what it answers, with its services, wherever it runs.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use camino::Utf8Path;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::{Machine, Running, bundles, free_port, http_get, lock, repository, scratch, text};

/// How the services are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Places {
    /// Unix sockets in the home folder.
    Sockets,
    /// Ports of the loopback interface, where there are no sockets.
    Ports,
}

/// An unpacked bundle of the example, and where it is started.
#[derive(Debug)]
pub struct Gateway<'a> {
    /// Where.
    pub machine: &'a Machine,
    /// The bundle's folder.
    pub bundle: &'a Utf8Path,
    /// The ending of programs there.
    pub suffix: &'a str,
    /// How its services are reached.
    pub places: Places,
    /// The services that are started along.
    pub services: &'a [&'a str],
}

impl Gateway<'_> {
    /// One of its programs.
    #[must_use]
    pub fn program(&self, name: &str, home: &Utf8Path) -> Command {
        self.machine.start(self.bundle, &format!("{name}{}", self.suffix), home)
    }

    /// Runs a program to its end and returns its status and what it said.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn says(&self, name: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let home = home();
        let home = Utf8Path::from_path(home.path()).expect("UTF-8");
        let output = self.program(name, home).args(arguments).output().expect("it starts");
        (output.status.code(), text(&output).trim().to_owned())
    }

    /// It tells its version, echoes, has its addon's answer and those of its services, which are well, and ends when it
    /// is asked to.
    ///
    /// # Panics
    /// When it does not.
    pub fn works(&self) {
        self.works_as(&version());
    }

    /// The same for a version that is not the example's own.
    ///
    /// # Panics
    /// When it does not.
    pub fn works_as(&self, version: &str) {
        assert_eq!(self.says("echo-gateway", &["--version"]), (Some(0), version.to_owned()));
        let home = home();
        let home = Utf8Path::from_path(home.path()).expect("UTF-8");
        let mut services = Vec::new();
        let mut arguments = Vec::new();
        for name in self.services {
            let place = match self.places {
                Places::Sockets => home.join(format!("{name}.sock")).into_string(),
                Places::Ports => format!("127.0.0.1:{}", free_port()),
            };
            arguments.extend([format!("--{name}"), place.clone()]);
            let mut service = self.program(name, home);
            service.args(["--listen", &place]).stdout(Stdio::null());
            services.push(Running(service.spawn().expect("it starts")));
        }
        let port = free_port();
        let mut gateway = self.program("echo-gateway-server", home);
        gateway.args(["--port", &port.to_string()]).args(arguments);
        let mut gateway = Running(gateway.spawn().expect("it starts"));
        gateway.wait_for(port, "/health");
        self.wait_for_services(port, &mut services);
        self.answers(port);
        if self.places == Places::Sockets {
            gateway.ends_when_asked();
        }
    }

    /// Asks the gateway for its health until all services are well; gives up when one has ended.
    fn wait_for_services(&self, port: u16, services: &mut [Running]) {
        let well: Value =
            self.services.iter().map(|name| ((*name).to_owned(), json!("ok"))).collect();
        loop {
            let (_, body) = http_get(port, "/health").expect("it answered before");
            let health: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(health["status"], "ok");
            if self.services.is_empty() || health["services"] == well {
                return;
            }
            for (name, service) in self.services.iter().zip(&mut *services) {
                let ended = service.0.try_wait().expect("it is our child");
                assert!(ended.is_none(), "the service `{name}` ended: {ended:?}");
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn answers(&self, port: u16) {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it answered before");
        let (mut socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}/"), stream)
            .expect("a WebSocket server");
        assert_eq!(ask(&mut socket, "hello"), "hello");
        // XXH64 of "abc" with seed 0, as every implementation has it.
        let hash = ask(&mut socket, r#"{"op":"hash","text":"abc"}"#);
        assert_eq!(hash, r#"{"op":"hash","xxh64":"44bc2cf5ad770999"}"#);
        for (service, request, answer) in [
            ("words", r#"{"op":"words","text":"one two"}"#, r#"{"op":"words","words":2}"#),
            (
                "digest",
                r#"{"op":"digest","text":"hello"}"#,
                r#"{"op":"digest","digest":"f67ea07f8680e6a7"}"#,
            ),
        ] {
            let said = ask(&mut socket, request);
            if self.services.contains(&service) {
                assert_eq!(said, answer);
            } else {
                assert!(said.contains(&format!("started without `--{service}`")), "{said}");
            }
        }
    }
}

/// The version in its package.json.
///
/// # Panics
/// When that has none.
#[must_use]
pub fn version() -> String {
    let package = fs_err::read_to_string(repository().join("examples/gateway/package.json"))
        .expect("it is there");
    let package: Value = serde_json::from_str(&package).expect("npm reads it too");
    package["version"].as_str().expect("a version").to_owned()
}

/// The example's bundles with another runtime than its manifest asks for, locked in a copy of it.
///
/// # Panics
/// When it cannot be locked or bundled.
#[must_use]
pub fn bundles_with(runtime: &str, targets: &[&str]) -> Vec<Value> {
    let folder = scratch(&format!("gateway-{}", runtime.split('@').next().unwrap_or(runtime)));
    crate::copy(&repository().join("examples/gateway"), &folder);
    let manifest = folder.join("gangway.toml");
    let mut arguments = vec!["--runtime", runtime];
    arguments.extend(targets.iter().flat_map(|target| ["--target", *target]));
    lock(&manifest, &arguments);
    bundles(&manifest, &folder.join("out"), &arguments)
}

/// A folder for sockets: their paths must be short.
fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

fn ask(socket: &mut WebSocket<TcpStream>, text: &str) -> String {
    socket.send(Message::text(text)).expect("connected");
    socket.read().expect("it answers").into_text().expect("text").to_string()
}
