//! `install.sh` and `install.ps1`: what `templates/` has, for one release.

use gangway_artifact::Digest;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use super::address::Address;
use crate::summary;

const TEMPLATES: [(&str, &str); 2] = [
    ("install.sh", include_str!("../../../templates/install.sh")),
    (WINDOWS, include_str!("../../../templates/install.ps1")),
];

/// The one for Windows.
const WINDOWS: &str = "install.ps1";

/// The channel whose scripts have the plain names.
const USUAL_CHANNEL: &str = "stable";

/// What the scripts of a release are made of.
#[derive(Debug, Clone)]
pub struct Release<'a> {
    /// The app.
    pub app: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The channel.
    pub channel: &'a str,
    /// Where the release will be; nothing: beside the scripts, or where the user says.
    pub base: Option<&'a Address>,
    /// The installers there are.
    pub installers: Vec<Installer<'a>>,
}

/// An installer as a script knows it.
#[derive(Debug, Clone)]
pub struct Installer<'a> {
    /// What the script finds out, such as `linux-x64`.
    pub machine: &'a str,
    /// The file.
    pub name: &'a str,
    /// Its bytes.
    pub size: u64,
    /// Their digest.
    pub sha256: Digest,
}

/// A script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The file's name.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// The name of the script that `template` makes for a channel.
fn name(template: &str, channel: &str) -> String {
    match template.split_once('.') {
        Some((stem, end)) if channel != USUAL_CHANNEL => format!("{stem}-{channel}.{end}"),
        _ => template.to_owned(),
    }
}

/// All scripts.
#[must_use]
pub fn render(release: &Release<'_>) -> Vec<Script> {
    let scripts = TEMPLATES.iter().map(|(template, source)| Script {
        name: name(template, release.channel),
        text: render_one(template, source, release),
    });
    scripts.collect()
}

fn render_one(template: &str, source: &str, release: &Release<'_>) -> String {
    let for_windows = template == WINDOWS;
    // Each script is for machines of its own.
    let offered = release
        .installers
        .iter()
        .filter(|installer| installer.machine.starts_with("windows-") == for_windows);
    let rows = offered.map(|installer| {
        Value::from_pairs([
            ("machine", installer.machine.to_owned()),
            ("name", installer.name.to_owned()),
            ("size", summary::size(installer.size)),
            ("sha256", installer.sha256.to_string()),
        ])
    });
    let machines: Vec<_> = release.installers.iter().map(|installer| installer.machine).collect();
    let values = Value::from_pairs([
        ("app", Value::from(release.app)),
        ("version", Value::from(release.version)),
        ("channel", Value::from(release.channel)),
        ("base", Value::from(release.base.map(Address::as_str).unwrap_or_default())),
        ("script", Value::from(name(template, release.channel))),
        ("script_for_windows", Value::from(name(WINDOWS, release.channel))),
        ("installers", Value::from(rows.collect::<Vec<_>>())),
        ("machines", Value::from(machines.join(", "))),
    ]);
    // In checkouts, scripts for Windows have that system's ends of lines.
    let source = source.replace("\r\n", "\n");
    let rendered = environment().render_named_str(template, &source, values);
    rendered.expect("the templates are ours, and tests render them")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build().expect("the usual delimiters differ"));
    environment.add_filter("sh", |text: String| quoted(&text, r"'\''"));
    environment.add_filter("ps1", |text: String| quoted(&text, "''"));
    environment
}

/// One word of a shell, with what stands for a quotation mark in it.
fn quoted(text: &str, mark: &str) -> String {
    format!("'{}'", text.replace('\'', mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release<'a>(channel: &'a str, base: Option<&'a Address>) -> Release<'a> {
        let installer =
            |machine, name, size| Installer { machine, name, size, sha256: Digest::of(machine) };
        Release {
            app: "gateway",
            version: "1.2.3",
            channel,
            base,
            installers: vec![
                installer(
                    "linux-arm64",
                    "gateway-installer-1.2.3-aarch64-unknown-linux-musl",
                    4_900_000,
                ),
                installer("macos-x64", "gateway-installer-1.2.3-x86_64-apple-darwin", 4_100_000),
                installer(
                    "windows-x64",
                    "gateway-installer-1.2.3-x86_64-pc-windows-gnu.exe",
                    5_200_000,
                ),
                installer(
                    "linux-x64",
                    "gateway-installer-1.2.3-x86_64-unknown-linux-musl",
                    5_100_000,
                ),
            ],
        }
    }

    #[test]
    fn every_script_is_rendered() {
        let base = "https://example.com/gateway".parse().expect("an address");
        for (channel, base) in [("stable", Some(&base)), ("beta", None)] {
            for Script { name, text } in render(&release(channel, base)) {
                assert!(text.ends_with("}\n"), "{name} ends with the brace around everything");
                insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                    insta::assert_snapshot!(name, text);
                });
            }
        }
    }

    #[test]
    fn words() {
        assert_eq!(quoted("it's $(id)", r"'\''"), r"'it'\''s $(id)'");
        assert_eq!(quoted("it's $(id)", "''"), "'it''s $(id)'");
        assert_eq!(name("install.sh", "beta"), "install-beta.sh");
    }
}
