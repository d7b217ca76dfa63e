//! Binaries that a package's makers publish beside its npm tarball, and that its install script would download.
//!
//! Two programs do that for nearly every package: prebuild-install and node-pre-gyp. [`Published`] is what they would read
//! in its package.json, and tells what they would download on a machine of the target's platform with the pinned runtime.
//! `lock` pins the digest of each archive; `bundle` takes what is pinned and puts it into the package.
//!
//! No address is pinned: it follows from a package.json whose digest the lockfile has, the runtime that is pinned, and each
//! machine's own mirrors. What is pinned is what a binary was made for, so a lock that was written for another runtime is noticed.
//!
//! Deliberately absent: what else an install script does, Electron, and downloads of a package's own make.

mod contents;
mod error;
mod node_pre_gyp;
mod pin;
mod prebuild_install;
mod take;

use gangway_artifact::Platform;
use serde_json::Value;
use url::Url;

use self::node_pre_gyp::NodePreGyp;
use self::prebuild_install::PrebuildInstall;
use super::NodeAbi;
use super::script;
use crate::registry::Registry;

pub use error::{PrebuiltError, Unpublished};
pub use pin::{Pinned, Wish, pin};
pub use take::{Supply, fetch, place};

/// How a package's binaries are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// prebuild-install downloads them.
    PrebuildInstall(Box<PrebuildInstall>),
    /// node-pre-gyp downloads them.
    NodePreGyp(Box<NodePreGyp>),
}

/// What a binary is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The platform.
    pub platform: &'a Platform,
    /// The interface of its runtime.
    pub abi: Option<NodeAbi>,
}

/// Where an archive's files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder in the package; empty: the package's own.
    pub folder: String,
    /// How many components each name loses in front.
    pub strip: usize,
}

impl Published {
    /// What a package.json says; `text` is the file as it is.
    #[must_use]
    pub fn read(manifest: &Value, text: &str) -> Option<Self> {
        let scripts =
            ["preinstall", "install", "postinstall"].map(|event| &manifest["scripts"][event]);
        let call = |program: &str| {
            scripts.iter().find_map(|script| script::arguments(script.as_str()?, program))
        };
        let depends = |name: &str| manifest["dependencies"][name].is_string();
        let by_prebuild_install = |arguments: &[String]| {
            let read = PrebuildInstall::read(manifest, text, arguments);
            Self::PrebuildInstall(Box::new(read))
        };
        if let Some(arguments) = call("prebuild-install") {
            return Some(by_prebuild_install(&arguments));
        }
        let arguments = call("node-pre-gyp").unwrap_or_default();
        if let Some(read) = NodePreGyp::read(manifest, &arguments) {
            return Some(Self::NodePreGyp(Box::new(read)));
        }
        // A script of the package's own may call it.
        depends("prebuild-install").then(|| by_prebuild_install(&[]))
    }

    /// What a binary for `destination` is made for: `node-v137`, `napi-v6`.
    ///
    /// # Errors
    /// When there can be none: the reason.
    pub fn interface(&self, destination: Destination<'_>) -> Result<String, String> {
        let abi = known(destination)?;
        match self {
            Self::PrebuildInstall(package) => package.interface(abi),
            Self::NodePreGyp(package) => package.interface(abi),
        }
    }

    /// Where the archive for `destination` is. `mirror` takes the place of the package's own host.
    ///
    /// # Errors
    /// When there can be none: the reason.
    pub fn url(&self, destination: Destination<'_>, mirror: Option<&str>) -> Result<Url, String> {
        let (platform, abi) = (destination.platform, known(destination)?);
        let text = match self {
            Self::PrebuildInstall(package) => package.url(platform, abi, mirror),
            Self::NodePreGyp(package) => package.url(platform, abi, mirror),
        }?;
        if let Some(variable) = unknown_variable(&text) {
            return Err(variable);
        }
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "https" | "http") => Ok(url),
            _ => Err(format!("`{text}` is no address to download from")),
        }
    }

    /// Where the files of the archive for `destination` go.
    ///
    /// # Errors
    /// When that is no place in the package: the reason.
    pub fn place(&self, destination: Destination<'_>) -> Result<Place, String> {
        match self {
            Self::PrebuildInstall(package) => package.place(),
            Self::NodePreGyp(package) => package.place(destination.platform, known(destination)?),
        }
    }

    /// The host to ask instead of the package's own: the one that npm's configuration names as these programs read it, else
    /// that of the manifest.
    #[must_use]
    pub fn mirror(&self, registry: &Registry, host: Option<&Url>) -> Option<String> {
        let settings = match self {
            Self::PrebuildInstall(package) => package.mirror_settings(),
            Self::NodePreGyp(package) => package.mirror_settings(),
        };
        let named = settings.iter().find_map(|setting| registry.setting(setting));
        named.map(str::to_owned).or_else(|| host.map(ToString::to_string))
    }
}

fn known(destination: Destination<'_>) -> Result<NodeAbi, String> {
    destination.abi.ok_or_else(|| "the ABI of its runtime is not known here".to_owned())
}

/// Why an address cannot be known, if something in it was not put in.
fn unknown_variable(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('{')?;
    let (name, _) = rest.split_once('}')?;
    Some(format!("its binaries are named by `{{{name}}}`, which nobody knows of a target"))
}

/// A folder in a package as these programs name it, without detours.
fn folder(written: &str) -> Result<String, String> {
    if let Some(reason) = unknown_variable(written) {
        return Err(reason);
    }
    let outside = || Err(format!("`{written}` is not a folder in the package"));
    if written.starts_with('/') || written.contains(['\\', ':']) {
        return outside();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.is_empty() => return outside(),
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// The versions of Node-API that a package's builds are for.
fn napi_versions(manifest: &Value) -> Vec<u32> {
    let listed = manifest["binary"]["napi_versions"].as_array();
    let numbers =
        listed.into_iter().flatten().filter_map(|version| version.as_u64()?.try_into().ok());
    numbers.collect()
}

/// The newest of them that a runtime has.
fn newest_napi(versions: &[u32], abi: NodeAbi) -> Option<u32> {
    versions.iter().copied().filter(|version| (1..=abi.napi).contains(version)).max()
}

/// Why none of them will do.
fn no_napi(versions: &[u32], abi: NodeAbi) -> String {
    let listed: Vec<_> = versions.iter().map(ToString::to_string).collect();
    match listed.as_slice() {
        [] => "its package.json names no version of Node-API".to_owned(),
        listed => format!(
            "its builds are for Node-API {}, and the runtime has {}",
            listed.join(", "),
            abi.napi
        ),
    }
}

#[cfg(test)]
mod tests;
