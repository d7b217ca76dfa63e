//! The whole way from a lockfile to packages, and from packages to a tree.

mod assembling;
mod errors;
mod formats;
mod mutations;
mod reading;

use camino::Utf8Path;
use gangway_artifact::{BundlePath, Cpu, Digest, Libc, Os, Platform};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};

use super::*;
use crate::tree::{Node, Source, Tree};

const LINUX: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };

/// A lockfile with these packages.
fn lock(packages: &Value) -> String {
    serde_json::to_string_pretty(&json!({ "lockfileVersion": 3, "packages": packages }))
        .expect("values can be written")
}

fn read_linux(packages: &Value) -> Closure {
    read(&lock(packages), "package-lock.json".into(), &LINUX, Scope::Production)
        .unwrap_or_else(|error| panic!("{}", rendered(&error)))
}

fn read_error(packages: &Value) -> String {
    text_error(&lock(packages))
}

fn text_error(text: &str) -> String {
    let closure = read(text, "package-lock.json".into(), &LINUX, Scope::Production);
    rendered(&closure.expect_err("it is wrong"))
}

fn rendered(error: &dyn Diagnostic) -> String {
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut text, error)
        .expect("a string takes everything");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The integrity of a tarball that is told apart by `text`.
fn integrity(text: &str) -> String {
    Integrity::sha512(text.as_bytes()).to_string()
}

/// A registry package that needs nothing.
fn plain(version: &str) -> Value {
    json!({ "version": version, "integrity": integrity(version) })
}

/// `base` with more fields.
fn with(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("an object") };
    base.as_object_mut().expect("an object").extend(more);
    base
}

fn paths(closure: &Closure) -> Vec<&str> {
    closure.packages.iter().map(|package| package.path.as_str()).collect()
}

fn path(text: &str) -> BundlePath {
    BundlePath::new(text).expect("a plain path")
}

fn tree(files: &[&str]) -> Tree {
    let mut tree = Tree::default();
    for file in files {
        let (path, source) = (*file, file.as_bytes());
        let source = Source::new(path, 0, false, Digest::of(source));
        tree.insert(self::path(file), Node::File(source));
    }
    tree
}

/// One line for each node; a file with what it came from if that is not its own path.
fn listing(tree: &Tree) -> String {
    tree.iter()
        .map(|(path, node)| match node {
            Node::File(source) => format!("{path}{}\n", if source.executable { " *" } else { "" }),
            Node::Link(to) => format!("{path} -> {to}\n"),
        })
        .collect()
}

fn from(packages: &Value, path: &str) -> Origin {
    let closure = read_linux(packages);
    let found = closure.packages.into_iter().find(|package| package.path.as_str() == path);
    found.unwrap_or_else(|| panic!("{path} is there")).origin
}

fn lockfile() -> &'static Utf8Path {
    Utf8Path::new("package-lock.json")
}
