//! `[[addon]]`: what becomes of a package's native code where the package brings none for the target.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::error::{FaultKind, Faults};
use super::values::{empty, package_name, unique, variables};
use super::{Located, raw};

/// `[[addon]]`
#[derive(Debug, Clone)]
pub struct Addon {
    /// The package's name; every version of it.
    pub package: Located<String>,
    /// The targets it is about; empty: all.
    pub targets: Vec<Located<String>>,
    /// What is done.
    pub treatment: Treatment,
}

/// What is done about a package's native code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// What its makers publish beside the package is taken; the lock pins it.
    Prebuilt {
        /// Where to download it from instead of the package's own host.
        host: Option<Url>,
    },
    /// Its sources are compiled.
    Build(Recipe),
    /// It is left out.
    Omit {
        /// Why the gateway can do without.
        reason: String,
    },
}

/// How sources are compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe {
    /// What compiles them; `None`: whichever the package has files for.
    pub system: Option<BuildSystem>,
    /// Environment variables for it.
    pub env: BTreeMap<String, String>,
}

/// `action` of an `[[addon]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    /// Take what the package's install script would download for the target; the lock pins it.
    Prebuilt,
    /// Compile the package's sources for the target.
    Build,
    /// Leave the native code out.
    Omit,
}

/// What compiles an addon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuildSystem {
    /// node-gyp: the package has a `binding.gyp`.
    NodeGyp,
    /// CMake, as cmake-js calls it: the package has a `CMakeLists.txt`.
    CmakeJs,
}

impl Addon {
    /// Whether it says something about `package` on `target`.
    #[must_use]
    pub fn is_about(&self, package: &str, target: &str) -> bool {
        self.package.value == package
            && (self.targets.is_empty() || self.targets.iter().any(|name| name.value == target))
    }
}

impl Treatment {
    /// Its name in manifests.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Prebuilt { .. } => "prebuilt",
            Self::Build(_) => "build",
            Self::Omit { .. } => "omit",
        }
    }
}

impl BuildSystem {
    /// Its name in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodeGyp => "node-gyp",
            Self::CmakeJs => "cmake-js",
        }
    }

    /// The file it reads.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::NodeGyp => "binding.gyp",
            Self::CmakeJs => "CMakeLists.txt",
        }
    }
}

/// Takes the tables, and notes what contradicts itself.
pub(super) fn addons(list: Vec<raw::Addon>, faults: &mut Faults) -> Vec<Addon> {
    let addons: Vec<Addon> = list.into_iter().map(|table| addon(table, faults)).collect();
    for (index, addon) in addons.iter().enumerate() {
        let earlier = addons[..index].iter().find_map(|other| Some((other, shared(other, addon)?)));
        if let Some((first, target)) = earlier {
            let kind = FaultKind::Overlap { package: addon.package.value.clone(), target };
            let fault = faults.add(&place(addon), kind, "again here");
            fault.also(place(first), "first here").help(
                "give each table `targets` of its own, so that one alone speaks for each target",
            );
        }
    }
    addons
}

/// Where two tables for one target are told apart: at their targets, if they have any.
fn place(addon: &Addon) -> Range<usize> {
    match (addon.targets.first(), addon.targets.last()) {
        (Some(first), Some(last)) => first.span.start..last.span.end,
        _ => addon.package.span.clone(),
    }
}

/// A target that both tables speak of, in words.
fn shared(one: &Addon, other: &Addon) -> Option<String> {
    if one.package.value != other.package.value {
        return None;
    }
    let named = |name: &Located<String>| format!("`{}`", name.value.escape_debug());
    match (one.targets.as_slice(), other.targets.as_slice()) {
        ([], []) => Some("every target".to_owned()),
        ([], [name, ..]) | ([name, ..], []) => Some(named(name)),
        (ones, others) => ones.iter().find(|name| others.contains(name)).map(named),
    }
}

fn addon(table: raw::Addon, faults: &mut Faults) -> Addon {
    let raw::Addon { package, action, targets, host, reason, system, env } = table;
    package_name(&package, faults);
    let only_for = |action: Action| (action, action_name(action));
    let beside = match action {
        Action::Prebuilt => "`action = \"prebuilt\"`",
        Action::Build => "`action = \"build\"`",
        Action::Omit => "`action = \"omit\"`",
    };
    let places = [
        ("host", host.as_ref().map(|host| &host.span), only_for(Action::Prebuilt)),
        ("reason", reason.as_ref().map(|reason| &reason.span), only_for(Action::Omit)),
        ("system", system.as_ref().map(|system| &system.span), only_for(Action::Build)),
        ("env", env.as_ref().map(|env| &env.span), only_for(Action::Build)),
    ];
    for (key, span, (its, name)) in places {
        let Some(span) = span.filter(|_| its != action) else { continue };
        let kind = FaultKind::Ineffective { key, beside };
        let help = format!("take `{key}` out, or write `action = \"{name}\"`");
        faults.add(span, kind, "nothing reads it").help(help);
    }
    if let Some(targets) = targets.as_ref().filter(|targets| targets.value.is_empty()) {
        let help = "leave the line out to speak of every target";
        empty("addon.targets", &targets.span, help, faults);
    }
    let targets = targets.map(|targets| targets.value).unwrap_or_default();
    unique("target", &targets, Clone::clone, faults);
    let treatment = match action {
        Action::Prebuilt => {
            Treatment::Prebuilt { host: host.and_then(|host| address(&host, faults)) }
        }
        Action::Build => Treatment::Build(Recipe {
            system: system.map(|system| system.value),
            env: variables(env.map(|env| env.value).unwrap_or_default(), faults),
        }),
        Action::Omit => Treatment::Omit { reason: self::reason(reason, &package, faults) },
    };
    Addon { package, targets, treatment }
}

fn reason(
    reason: Option<Located<String>>,
    package: &Located<String>,
    faults: &mut Faults,
) -> String {
    let help = "say why the gateway works without this package's native code, for whoever reads this next: \
                `reason = \"it is only for ..., and ...\"`";
    match &reason {
        Some(reason) if reason.value.trim().is_empty() => {
            empty("addon.reason", &reason.span, help, faults);
        }
        Some(_) => {}
        None => {
            let what = "key `reason` in `[[addon]]` with `action = \"omit\"`".to_owned();
            let kind = FaultKind::Missing { what };
            faults.add(&package.span, kind, "left out without a reason").help(help);
        }
    }
    reason.map(|reason| reason.value).unwrap_or_default()
}

/// The address of a host of binaries.
fn address(host: &Located<String>, faults: &mut Faults) -> Option<Url> {
    match Url::parse(&host.value) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => Some(url),
        _ => {
            let kind = FaultKind::Address { text: host.value.clone() };
            let help = "write the address that stands before the version: \"https://mirror.example.com/better-sqlite3\"";
            faults.add(&host.span, kind, "no `https:` address").help(help);
            None
        }
    }
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Prebuilt => "prebuilt",
        Action::Build => "build",
        Action::Omit => "omit",
    }
}
