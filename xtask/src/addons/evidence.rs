//! What packages bring of native code, read from their own files once and for every target.
//!
//! The bytes tell what a binary runs on. That a package has native code although no binary is in it, is told by what it
//! is installed with: `binding.gyp`, an install script that calls node-gyp or prebuild-install, node-pre-gyp's `binary`,
//! a dependency that loads prebuilt addons, or optional dependencies that are named for platforms.

use std::collections::BTreeMap;
use std::io;

use camino::Utf8PathBuf;
use gangway_artifact::Platform;
use rayon::prelude::*;
use serde_json::Value;

use super::NodeAbi;
use super::abi::Tags;
use super::code::{Code, Fit, is_script};
use super::names::names_platform;
use super::prebuilt::Published;
use super::script;
use crate::config::BuildSystem;
use crate::integrity::Integrity;
use crate::native::Natives;
use crate::prune;
use crate::tree::{Source, Tree};

/// Programs in an install script that make or fetch an addon.
const INSTALLERS: &[&str] = &[
    "node-gyp",
    "node-gyp-build",
    "node-gyp-build-optional-packages",
    "node-gyp-build-optional",
    "node-pre-gyp",
    "prebuild-install",
    "prebuildify",
    "pkg-prebuilds",
    "pkg-prebuilds-verify",
    "cmake-js",
    "cmake-ts",
];

/// Dependencies of none but packages with an addon.
const LOADERS: &[&str] = &[
    "prebuild-install",
    "@mapbox/node-pre-gyp",
    "node-pre-gyp",
    "node-gyp-build",
    "node-gyp-build-optional-packages",
    "pkg-prebuilds",
];

/// What one package brings.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The name in its package.json.
    pub name: String,
    /// The version in its package.json.
    pub version: String,
    /// Its native code.
    pub binaries: Vec<Binary>,
    /// Why it must have native code even if none is in it; a sentence without its subject.
    pub claim: Option<String>,
    /// Its optional dependencies that are named for platforms.
    pub platform_packages: Vec<String>,
    /// What its sources are compiled with, if it brings sources.
    pub sources: Option<BuildSystem>,
    /// The package of WebAssembly its loader falls back to (napi-rs).
    pub fallback: Option<String>,
    /// How its binaries are published, if they can be downloaded.
    pub published: Option<Published>,
}

/// A file of native code.
#[derive(Debug, Clone)]
pub struct Binary {
    /// Its place in the package.
    pub path: String,
    /// What it is.
    pub code: Code,
    /// What its name says.
    tags: Tags,
}

/// The evidence of every archive and folder. The keys inside are folders of packages: `""` is the package itself,
/// `node_modules/x` one that came in its tarball.
#[derive(Debug, Default)]
pub struct Library {
    archives: BTreeMap<Integrity, BTreeMap<String, Evidence>>,
    folders: BTreeMap<Utf8PathBuf, BTreeMap<String, Evidence>>,
}

/// A file that could not be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The file.
    pub path: Utf8PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Library {
    /// Reads everything.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read<'tree>(
        archives: impl IntoIterator<Item = (&'tree Integrity, &'tree Tree)>,
        folders: &BTreeMap<Utf8PathBuf, Tree>,
        natives: &Natives,
    ) -> Result<Self, Unreadable> {
        let archives: Vec<_> = archives.into_iter().collect();
        let archives = archives
            .into_par_iter()
            .map(|(integrity, tree)| Ok((integrity.clone(), Evidence::of(tree, natives)?)))
            .collect::<Result<_, _>>()?;
        let folders = folders
            .iter()
            .map(|(path, tree)| Ok((path.clone(), Evidence::of(tree, natives)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { archives, folders })
    }

    /// What is known of a tarball.
    #[must_use]
    pub fn archive(&self, integrity: &Integrity) -> Option<&BTreeMap<String, Evidence>> {
        self.archives.get(integrity)
    }

    /// What is known of a folder of the gateway.
    #[must_use]
    pub fn folder(&self, path: &Utf8PathBuf) -> Option<&BTreeMap<String, Evidence>> {
        self.folders.get(path)
    }
}

impl Evidence {
    /// Reads a package and those inside it.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(tree: &Tree, natives: &Natives) -> Result<BTreeMap<String, Self>, Unreadable> {
        let mut files: BTreeMap<&str, Vec<(&str, &Source)>> = BTreeMap::new();
        for (path, source) in tree.files() {
            let path = path.as_str();
            let (folder, inside) = match prune::owner(path) {
                Some((folder, _)) => (folder, &path[folder.len() + 1..]),
                None => ("", path),
            };
            files.entry(folder).or_default().push((inside, source));
        }
        files
            .into_iter()
            .map(|(folder, files)| Ok((folder.to_owned(), Self::of_package(&files, natives)?)))
            .collect()
    }

    fn of_package(files: &[(&str, &Source)], natives: &Natives) -> Result<Self, Unreadable> {
        let file = |name: &str| files.iter().find(|(inside, _)| *inside == name);
        let text = match file("package.json") {
            Some((_, source)) => bytes(source)?,
            None => Vec::new(),
        };
        // One that is malformed says nothing here; that is for others to complain about.
        let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
        let published = Published::read(&manifest, &String::from_utf8_lossy(&text));
        let has_gyp = file("binding.gyp").is_some();
        let mut evidence = Self {
            name: string(&manifest["name"]),
            version: string(&manifest["version"]),
            published,
            claim: claim(&manifest, has_gyp),
            platform_packages: platform_packages(&manifest),
            sources: sources(&manifest, |name| file(name).is_some()),
            ..Self::default()
        };
        for (inside, source) in files.iter().filter(|(inside, source)| may_be_code(inside, source))
        {
            if let Some(code) = Code::read(natives, source).map_err(unreadable(source))?
                && code.runs()
            {
                let tags = Tags::of(inside);
                evidence.binaries.push(Binary { path: (*inside).to_owned(), code, tags });
            }
        }
        evidence.fallback = fallback(&evidence.platform_packages, files)?;
        Ok(evidence)
    }

    /// The first binary that a runtime with `abi` can load on `platform`.
    #[must_use]
    pub fn usable(&self, platform: &Platform, abi: Option<NodeAbi>) -> Option<&Binary> {
        self.binaries.iter().find(|binary| binary.unfit(platform, abi).is_none())
    }
}

impl Binary {
    /// Why it is of no use on `platform`: what it was made for.
    #[must_use]
    pub fn unfit(&self, platform: &Platform, abi: Option<NodeAbi>) -> Option<String> {
        match self.code.fit(platform) {
            Fit::Own | Fit::Emulated => {
                self.tags.unfit(platform, abi, self.code.c_library.is_some())
            }
            Fit::Foreign | Fit::NoCode => Some(format!("made for {}", self.code.describe())),
        }
    }
}

fn may_be_code(inside: &str, source: &Source) -> bool {
    let name = inside.rsplit('/').next().unwrap_or(inside).to_ascii_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    ends(&[".node", ".so", ".dylib", ".dll", ".exe"])
        || name.contains(".so.")
        || (source.executable && !is_script(&name))
}

/// What a package's sources are compiled with: what its install script calls, else what it has files for.
fn sources(manifest: &Value, has: impl Fn(&str) -> bool) -> Option<BuildSystem> {
    let (gyp, cmake) = (BuildSystem::NodeGyp, BuildSystem::CmakeJs);
    let calls = |program: &str| {
        let mut scripts = ["preinstall", "install", "postinstall"].into_iter();
        scripts.any(|event| {
            let script = manifest["scripts"][event].as_str().unwrap_or_default();
            script::arguments(script, program).is_some()
        })
    };
    let depends = manifest["dependencies"]["cmake-js"].is_string();
    let order = match (calls("cmake-js"), calls("node-gyp")) {
        (true, false) => [cmake, gyp],
        _ => [gyp, cmake],
    };
    let is_whole = |system: &BuildSystem| {
        has(system.file()) && (*system == gyp || depends || calls("cmake-js"))
    };
    order.into_iter().find(is_whole)
}

fn claim(manifest: &Value, has_gyp: bool) -> Option<String> {
    for event in ["preinstall", "install", "postinstall"] {
        let script = manifest["scripts"][event].as_str().unwrap_or_default();
        let words = script.split(|char: char| char.is_whitespace() || "&|;()/\"'".contains(char));
        if let Some(tool) = words.into_iter().find(|word| INSTALLERS.contains(word)) {
            return Some(format!("its `{event}` script calls `{tool}`"));
        }
    }
    if has_gyp && manifest["gypfile"] != Value::Bool(false) {
        return Some("npm compiles its `binding.gyp`".to_owned());
    }
    if manifest["binary"]["module_name"].is_string() {
        return Some("its package.json has node-pre-gyp's `binary`".to_owned());
    }
    let loader = LOADERS.iter().find(|name| manifest["dependencies"][**name].is_string())?;
    Some(format!("it depends on `{loader}`"))
}

fn platform_packages(manifest: &Value) -> Vec<String> {
    let optional = manifest["optionalDependencies"].as_object();
    let names = optional.into_iter().flat_map(|names| names.keys());
    names.filter(|name| names_platform(name)).cloned().collect()
}

/// What a napi-rs loader requires when no binary loads: only believed when the loader says so itself.
fn fallback(
    platform_packages: &[String],
    files: &[(&str, &Source)],
) -> Result<Option<String>, Unreadable> {
    const LONGEST_LOADER: u64 = 256 << 10;
    let Some(package) = platform_packages.iter().find(|name| name.ends_with("-wasm32-wasi")) else {
        return Ok(None);
    };
    let loaders = files.iter().filter(|(inside, source)| {
        let is_loader = [".js", ".cjs", ".mjs"].iter().any(|end| inside.ends_with(end));
        is_loader && source.size <= LONGEST_LOADER
    });
    for (_, source) in loaders {
        if bytes(source)?.windows(package.len()).any(|text| text == package.as_bytes()) {
            return Ok(Some(package.clone()));
        }
    }
    Ok(None)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn bytes(source: &Source) -> Result<Vec<u8>, Unreadable> {
    fs_err::read(source.path()).map_err(unreadable(source))
}

fn unreadable(source: &Source) -> impl FnOnce(io::Error) -> Unreadable {
    let path = source.path();
    move |source| Unreadable { path, source }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_says_that_a_package_has_native_code() {
        for (manifest, has_gyp, expected) in [
            (json!({}), false, None),
            (json!({}), true, Some("npm compiles its `binding.gyp`")),
            (json!({"gypfile": false}), true, None),
            (
                json!({"scripts": {"install": "prebuild-install || node-gyp rebuild --release"}}),
                true,
                Some("its `install` script calls `prebuild-install`"),
            ),
            (json!({"scripts": {"install": "node scripts/node-gyp-not.js"}}), false, None),
            (
                json!({"scripts": {"postinstall": "npx cmake-js compile"}}),
                false,
                Some("its `postinstall` script calls `cmake-js`"),
            ),
            (
                json!({"binary": {"module_name": "x", "host": "https://example.com"}}),
                false,
                Some("its package.json has node-pre-gyp's `binary`"),
            ),
            (
                json!({"dependencies": {"node-gyp-build": "4"}}),
                false,
                Some("it depends on `node-gyp-build`"),
            ),
            (json!({"dependencies": {"node-gyp": "11"}}), false, None),
            (json!({"devDependencies": {"prebuildify": "6"}}), false, None),
        ] {
            assert_eq!(claim(&manifest, has_gyp).as_deref(), expected, "{manifest}");
        }
    }

    #[test]
    fn what_sources_are_compiled_with() {
        let (gyp, cmake) = (Some(BuildSystem::NodeGyp), Some(BuildSystem::CmakeJs));
        let script = |text: &str| json!({"scripts": {"install": text}});
        let both: &[&str] = &["binding.gyp", "CMakeLists.txt"];
        for (manifest, files, expected) in [
            (json!({}), &both[..1], gyp),
            (json!({}), &both[1..], None),
            (json!({"dependencies": {"cmake-js": "8"}}), &both[1..], cmake),
            (script("prebuild-install -r napi || cmake-js compile --target x"), both, cmake),
            (script("prebuild-install || node-gyp rebuild"), both, gyp),
            (script("cmake-js compile"), &both[..1], gyp),
        ] {
            assert_eq!(sources(&manifest, |name| files.contains(&name)), expected, "{manifest}");
        }
    }

    #[test]
    fn optional_dependencies_that_are_named_for_platforms() {
        let manifest = json!({"optionalDependencies": {
            "@img/sharp-linuxmusl-x64": "1", "sqlite-vec-windows-x64": "1", "fsevents": "2", "jszip": "3",
            "@scope/binding-wasm32-wasi": "1", "turbo-linux-64": "1",
        }});
        assert_eq!(
            platform_packages(&manifest),
            [
                "@img/sharp-linuxmusl-x64",
                "@scope/binding-wasm32-wasi",
                "sqlite-vec-windows-x64",
                "turbo-linux-64"
            ]
        );
    }
}
