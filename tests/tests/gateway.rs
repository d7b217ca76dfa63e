//! `examples/gateway`, bundled and run where nothing is installed.

use std::net::TcpStream;
use std::process::Command;

use e2e::{Running, bare, free_port, unpacked_example};
use tungstenite::{Message, WebSocket};

#[test]
fn the_cli_runs_with_an_empty_environment() {
    let (_folder, bundle) = unpacked_example("gateway");
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let home = camino::Utf8Path::from_path(home.path()).expect("UTF-8");
    let output =
        bare(&bundle.join("bin/echo-gateway"), home).arg("--version").output().expect("it starts");
    assert!(output.status.success(), "{}", e2e::text(&output));
    let package = fs_err::read_to_string(e2e::repository().join("examples/gateway/package.json"))
        .expect("it is there");
    let package: serde_json::Value = serde_json::from_str(&package).expect("npm reads it too");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        package["version"].as_str().expect("a version")
    );
    let left: Vec<_> = fs_err::read_dir(home).expect("readable").collect();
    assert!(left.is_empty(), "it wrote into the home folder: {left:?}");
}

#[test]
fn a_client_gets_its_echo_and_the_addons_answer() {
    let (_folder, bundle) = unpacked_example("gateway");
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let home = camino::Utf8Path::from_path(home.path()).expect("UTF-8");
    let port = free_port();
    let mut gateway = bare(&bundle.join("bin/echo-gateway-server"), home);
    gateway.args(["--port", &port.to_string()]);
    let mut running = Running(gateway.spawn().expect("it starts"));
    running.wait_for(port, "/health");

    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it answered before");
    let (mut socket, _) =
        tungstenite::client(format!("ws://127.0.0.1:{port}/"), stream).expect("a WebSocket server");
    assert_eq!(ask(&mut socket, "hello"), "hello");
    let answer = ask(&mut socket, r#"{"op":"hash","text":"abc"}"#);
    // XXH64 of "abc" with seed 0, as every implementation has it.
    assert_eq!(answer, r#"{"op":"hash","xxh64":"44bc2cf5ad770999"}"#);

    let id = running.0.id().to_string();
    let status = Command::new("kill").args(["-TERM", &id]).status().expect("kill is everywhere");
    assert!(status.success());
    let status = running.0.wait().expect("it is our child");
    assert_eq!(
        status.code(),
        Some(0),
        "the gateway ends cleanly when asked to: the signal reaches it"
    );
}

fn ask(socket: &mut WebSocket<TcpStream>, text: &str) -> String {
    socket.send(Message::text(text)).expect("connected");
    socket.read().expect("it answers").into_text().expect("text").to_string()
}
