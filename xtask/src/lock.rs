//! `gangway.lock`: the exact runtimes, build tools and downloaded binaries, with the digests of what is downloaded and of what
//! is run.
//!
//! It names a package, a version and digests, never the address of a registry: which server serves a package is each
//! machine's own configuration, and the digest makes it all the same. `cargo xtask lock` writes it; `bundle` only
//! reads it, and refuses it when the manifest asks for something else.

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Digest, TargetName};
use miette::Diagnostic;
use nodejs_semver::{Range, Version};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Engine, Located, RuntimeSource};
use crate::fetch::{Place, Request};
use crate::integrity::Integrity;
use crate::mode;
use crate::runtime;
use crate::target::Target;

/// The lock's file name, beside the manifest.
pub const FILE_NAME: &str = "gangway.lock";

const VERSION: u32 = 2;

/// The content of the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// One for each engine and target.
    #[serde(default, rename = "runtime")]
    pub runtimes: Vec<LockedRuntime>,
    /// One for each tool and platform it runs on.
    #[serde(default, rename = "tool")]
    pub tools: Vec<LockedTool>,
    /// One for each downloaded service and target.
    #[serde(default, rename = "service", skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<LockedService>,
    /// One for each package with a downloaded binary, and target.
    #[serde(default, rename = "addon", skip_serializing_if = "Vec::is_empty")]
    pub addons: Vec<LockedAddon>,
}

/// A runtime, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedRuntime {
    /// `node`, `bun` or `deno`.
    pub engine: String,
    /// The target it is for.
    pub target: TargetName,
    /// The exact version.
    pub version: String,
    /// Who serves it: `official`, `npm`, `pypi`, or `file` for a file of the user's.
    pub source: String,
    /// The npm package, the wheel, the archive's file name at the maker's server, or the file's path from the manifest.
    pub archive: String,
    /// The archive's digest.
    pub integrity: Integrity,
    /// The executable inside the archive.
    pub executable: String,
    /// The executable's digest.
    pub sha256: Digest,
    /// Other archives that files of it are taken from.
    #[serde(default, rename = "companion", skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<Companion>,
}

/// An archive with something that a runtime's own archive lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Companion {
    /// What is taken from it.
    pub holds: Holds,
    /// Who serves it: `npm` or `pypi`.
    pub source: String,
    /// The exact version.
    pub version: String,
    /// The npm package, or the wheel.
    pub archive: String,
    /// Its digest.
    pub integrity: Integrity,
}

/// What a companion is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// The licence text.
    License,
    /// Shared libraries.
    Libraries,
}

/// A build tool, pinned. Tools come from npm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedTool {
    /// Its name in `[tools]`.
    pub name: String,
    /// The platform it runs on.
    pub target: TargetName,
    /// The exact version.
    pub version: String,
    /// The npm package.
    pub archive: String,
    /// The tarball's digest.
    pub integrity: Integrity,
    /// The executable inside the tarball.
    pub executable: String,
    /// The executable's digest.
    pub sha256: Digest,
}

/// A service's finished program, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedService {
    /// The service's name.
    pub name: String,
    /// The target it is for.
    pub target: TargetName,
    /// What the manifest names.
    pub url: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

/// A package's binary, pinned. Where it is follows from its package.json, the runtime, and each machine's own mirrors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedAddon {
    /// The package's name.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// The target it is for.
    pub target: TargetName,
    /// What it was made for: `node-v137` (the ABI of Node), `napi-v6` (Node-API).
    pub interface: String,
    /// The archive's length in bytes.
    pub size: u64,
    /// The archive's digest.
    pub sha256: Digest,
}

/// A lock that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum LockError {
    /// There is none.
    #[error("`{path}` is missing: the runtime is not pinned yet")]
    #[diagnostic(help("run `cargo xtask lock{argument}` once and commit the file it writes"))]
    Missing {
        /// Where it should be.
        path: Utf8PathBuf,
        /// ` --manifest <path>` where the manifest is not found by itself.
        argument: String,
    },
    /// It could not be read or written.
    #[error("cannot {action} `{path}`")]
    Access {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not a lock.
    #[error("`{path}` is not a lock that this version of Gangway reads")]
    #[diagnostic(help("run `cargo xtask lock{argument}` to write it anew"))]
    Malformed {
        /// The file.
        path: Utf8PathBuf,
        /// ` --manifest <path>`
        argument: String,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A later format.
    #[error("`{path}` has version {found}, and this version of Gangway reads {VERSION}")]
    #[diagnostic(help("{}", version_help(*found, argument)))]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// ` --manifest <path>`
        argument: String,
        /// The version in it.
        found: u32,
    },
    /// The manifest asks for something else, or for something more.
    #[error("`{path}` does not match the manifest: {reason}")]
    #[diagnostic(help("run `cargo xtask lock{argument}` and commit the result"))]
    Outdated {
        /// The file.
        path: Utf8PathBuf,
        /// ` --manifest <path>`
        argument: String,
        /// What is different.
        reason: String,
    },
}

impl Lock {
    /// An empty lock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            version: VERSION,
            runtimes: Vec::new(),
            tools: Vec::new(),
            services: Vec::new(),
            addons: Vec::new(),
        }
    }

    /// Reads the lock beside the manifest.
    ///
    /// # Errors
    /// When there is none, or it is none that this version reads.
    pub fn load(config: &Config) -> Result<Self, LockError> {
        let path = path(config);
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LockError::Missing { path, argument: argument(config) });
            }
            Err(source) => return Err(LockError::Access { action: "read", path, source }),
        };
        Self::parse(&text, &path, config)
    }

    fn parse(text: &str, path: &Utf8Path, config: &Config) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let malformed = |source: toml::de::Error| LockError::Malformed {
            path: path.to_owned(),
            argument: argument(config),
            source: Box::new(source),
        };
        let head: Head = toml::from_str(text).map_err(malformed)?;
        if head.version != VERSION {
            return Err(LockError::Version {
                path: path.to_owned(),
                argument: argument(config),
                found: head.version,
            });
        }
        toml::from_str(text).map_err(malformed)
    }

    /// Writes the lock beside the manifest; the file is replaced as a whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self, config: &Config) -> Result<Utf8PathBuf, LockError> {
        let path = path(config);
        self.runtimes.sort_by(|a, b| (&a.engine, &a.target).cmp(&(&b.engine, &b.target)));
        self.tools.sort_by(|a, b| (&a.name, &a.target).cmp(&(&b.name, &b.target)));
        self.services.sort_by(|a, b| (&a.name, &a.target).cmp(&(&b.name, &b.target)));
        self.addons.sort_by(|a, b| {
            (&a.package, &a.version, &a.target).cmp(&(&b.package, &b.version, &b.target))
        });
        let text = self.to_string();
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&config.folder)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            // A temporary file is its owner's alone; a lock is everybody's to read.
            mode::set(file.as_file(), false)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| LockError::Access {
            action: "write",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// The runtime pinned for a target, if it is what the manifest asks for; none for a native gateway.
    ///
    /// # Errors
    /// When there is no pin, or one of something else.
    pub fn runtime(
        &self,
        config: &Config,
        target: &Target,
    ) -> Result<Option<&LockedRuntime>, LockError> {
        let Some(runtime) = config.runtime(&target.name) else { return Ok(None) };
        let engine = runtime.engine;
        let outdated = |reason: String| LockError::Outdated {
            path: path(config),
            argument: argument(config),
            reason,
        };
        let locked = self
            .runtimes
            .iter()
            .find(|locked| locked.engine == engine.as_str() && locked.target == target.name)
            .ok_or_else(|| LockError::Outdated {
                path: path(config),
                argument: format!("{} --target {}", argument(config), target.name),
                reason: format!("it pins no {} for `{}`", engine.as_str(), target.name),
            })?;
        if !runtime.version.allows(&locked.version) {
            return Err(outdated(format!(
                "it pins {} {}, the manifest asks for `{}`",
                locked.engine, locked.version, runtime.version.written
            )));
        }
        if !runtime.sources.iter().any(|source| source.as_str() == locked.source) {
            return Err(outdated(format!(
                "it takes {} from `{}`, which is not among the manifest's `sources`",
                locked.engine, locked.source
            )));
        }
        Ok(Some(locked))
    }

    /// What install scripts are run with on this machine. They are written for npm, so a pinned Node comes first,
    /// whatever the bundle itself gets; Bun stands in for `node` where there is none, Deno does not.
    ///
    /// # Errors
    /// As [`Lock::runtime`], where there is no Node.
    pub fn script_runtime(
        &self,
        config: &Config,
        host: &Target,
    ) -> Result<Option<&LockedRuntime>, LockError> {
        let is_node = |locked: &&LockedRuntime| {
            locked.engine == Engine::Node.as_str() && locked.target == host.name
        };
        let own = config.runtime(&host.name).is_some_and(|asked| asked.engine == Engine::Node);
        match self.runtimes.iter().find(is_node).filter(|_| !own) {
            Some(node) => Ok(Some(node)),
            None => {
                let runtime = self.runtime(config, host)?;
                Ok(runtime.filter(|locked| locked.engine != Engine::Deno.as_str()))
            }
        }
    }

    /// The build tools of the manifest, pinned for the platform that runs them.
    ///
    /// # Errors
    /// When one is not pinned, or is another one.
    pub fn tools(&self, config: &Config, host: &Target) -> Result<Vec<&LockedTool>, LockError> {
        config.tools.iter().map(|(name, range)| self.tool(config, name, range, host)).collect()
    }

    /// What is pinned of a service for a target.
    ///
    /// # Errors
    /// When nothing is, or it is of another URL: the reason.
    pub fn service(
        &self,
        name: &str,
        target: &TargetName,
        url: &url::Url,
    ) -> Result<&LockedService, &'static str> {
        let pinned =
            self.services.iter().find(|locked| locked.name == name && locked.target == *target);
        match pinned {
            Some(locked) if locked.url == url.as_str() => Ok(locked),
            Some(_) => Err("it pins another URL"),
            None => Err("there is no pin"),
        }
    }

    /// The binary of a package that is pinned for a target.
    #[must_use]
    pub fn addon(&self, package: &str, version: &str, target: &TargetName) -> Option<&LockedAddon> {
        let is_it = |pin: &&LockedAddon| {
            pin.package == package && pin.version == version && pin.target == *target
        };
        self.addons.iter().find(is_it)
    }

    /// One build tool of the manifest, pinned for the platform that runs it.
    ///
    /// # Errors
    /// When it is not pinned, or is another one.
    pub fn tool(
        &self,
        config: &Config,
        name: &str,
        range: &Located<Range>,
        host: &Target,
    ) -> Result<&LockedTool, LockError> {
        let pinned = self.tools.iter().find(|tool| tool.name == name && tool.target == host.name);
        let reason = match pinned {
            Some(tool) if satisfies(&tool.version, &range.value) => return Ok(tool),
            Some(tool) => format!(
                "it pins {name} {}, the manifest asks for `{}`",
                tool.version,
                config.written(range)
            ),
            None => format!("it pins no {name} for `{}`", host.name),
        };
        Err(LockError::Outdated { path: path(config), argument: argument(config), reason })
    }
}

impl std::fmt::Display for Lock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let content = toml::to_string(self).expect("strings and numbers only");
        write!(formatter, "# Written by `cargo xtask lock`. Commit it; do not edit it.\n{content}")
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self::new()
    }
}

impl LockedRuntime {
    /// The archive to fetch.
    #[must_use]
    pub fn request(&self, mirrors: &runtime::Mirrors) -> Request {
        let what = format!("{} {} for {}", self.engine, self.version, self.target);
        let place = place(&self.source, &self.archive, &self.version).unwrap_or_else(|| {
            // What neither npm nor a Python index serves is a file of the user's or the maker's.
            match (RuntimeSource::named(&self.source), Engine::named(&self.engine)) {
                (Some(RuntimeSource::File), _) | (_, None) => {
                    Place::File(mirrors.file(&self.archive))
                }
                (_, Some(engine)) => {
                    Place::Url(mirrors.archive(engine, &self.version, &self.archive))
                }
            }
        });
        Request { what, integrity: self.integrity.clone(), place }
    }

    /// The archive and its companions.
    pub fn requests(&self, mirrors: &runtime::Mirrors) -> impl Iterator<Item = Request> {
        let companions = self.companions.iter().filter_map(|companion| {
            let Companion { source, archive, version, integrity, .. } = companion;
            let place = place(source, archive, version)?;
            let what = format!("{archive} {version}");
            Some(Request { what, integrity: integrity.clone(), place })
        });
        std::iter::once(self.request(mirrors)).chain(companions)
    }

    /// What is taken from elsewhere.
    #[must_use]
    pub fn companion(&self, holds: Holds) -> Option<&Companion> {
        self.companions.iter().find(|companion| companion.holds == holds)
    }
}

impl LockedTool {
    /// The archive to fetch.
    #[must_use]
    pub fn request(&self) -> Request {
        Request {
            what: format!("{} {}", self.name, self.version),
            integrity: self.integrity.clone(),
            place: npm(&self.archive, &self.version),
        }
    }
}

/// Where the lock of a manifest is.
#[must_use]
pub fn path(config: &Config) -> Utf8PathBuf {
    config.folder.join(FILE_NAME)
}

/// Where npm or a Python index has an archive; they have none of other sources.
fn place(source: &str, archive: &str, version: &str) -> Option<Place> {
    match RuntimeSource::named(source)? {
        RuntimeSource::Npm => Some(npm(archive, version)),
        RuntimeSource::Pypi => Some(Place::Wheel(archive.to_owned())),
        RuntimeSource::Official | RuntimeSource::File => None,
    }
}

fn npm(package: &str, version: &str) -> Place {
    Place::Registry { name: package.to_owned(), version: version.to_owned(), resolved: None }
}

fn version_help(found: u32, argument: &str) -> String {
    let anew = format!("run `cargo xtask lock{argument}` to write it anew");
    if found < VERSION {
        format!("an older Gangway wrote it: {anew}, and commit the result")
    } else {
        format!("use the newer Gangway that wrote it, or {anew}")
    }
}

fn satisfies(version: &str, range: &Range) -> bool {
    Version::parse(version).is_ok_and(|version| range.satisfies(&version))
}

/// What `lock` must be told to find this manifest.
fn argument(config: &Config) -> String {
    let mut argument = format!(" --manifest {}", config.path);
    if let Some(choice) = config.chosen_runtime().map(ToString::to_string) {
        // A range may hold what a shell reads as its own.
        let plain = choice.chars().all(|char| char.is_ascii_alphanumeric() || "@.-".contains(char));
        argument +=
            &if plain { format!(" --runtime {choice}") } else { format!(" --runtime '{choice}'") };
    }
    argument
}

#[cfg(test)]
mod tests;
