//! The targets there are: Gangway's own, and those a user keeps in `targets/` beside the manifest.
//!
//! A user's file is checked like a manifest: every fault at its place, unknown keys with a near match. What it
//! `inherits` is filled in before it is read, so that a [`Target`] never knows where a value came from.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use camino::{Utf8Path, Utf8PathBuf};
use miette::NamedSource;
use serde::Deserialize as _;
use serde_json::Value;
use toml::{Spanned, Table};

use super::file::File;
use super::{Target, TargetError};
use crate::config::{ConfigError, FaultKind, document};

/// Gangway's own target files, compiled in so that a released builder needs nothing beside it.
const FILES: &[(&str, &str)] = &[
    ("jetson", include_str!("../../../targets/jetson.toml")),
    ("jetson-jp5", include_str!("../../../targets/jetson-jp5.toml")),
    ("jetson-jp7", include_str!("../../../targets/jetson-jp7.toml")),
    ("linux-arm64", include_str!("../../../targets/linux-arm64.toml")),
    ("linux-arm64-musl", include_str!("../../../targets/linux-arm64-musl.toml")),
    ("linux-x64", include_str!("../../../targets/linux-x64.toml")),
    ("linux-x64-musl", include_str!("../../../targets/linux-x64-musl.toml")),
    ("macos-arm64", include_str!("../../../targets/macos-arm64.toml")),
    ("macos-x64", include_str!("../../../targets/macos-x64.toml")),
    ("windows-arm64", include_str!("../../../targets/windows-arm64.toml")),
    ("windows-x64", include_str!("../../../targets/windows-x64.toml")),
];

const FORMAT: i64 = 1;

/// The folder beside a manifest that holds a user's own targets.
pub const FOLDER: &str = "targets";

/// Every target by its name.
#[derive(Debug, Clone)]
pub struct Targets {
    targets: BTreeMap<String, Target>,
}

impl Targets {
    /// Gangway's own.
    #[must_use]
    pub fn built_in() -> Self {
        let mut sources = BTreeMap::new();
        for (name, text) in FILES {
            sources.insert((*name).to_owned(), own(name, text));
        }
        Self::resolve(&sources).expect("tests read every file that is compiled in")
    }

    /// Gangway's own and those in `targets/` below `folder`, the manifest's.
    ///
    /// # Errors
    /// When a file cannot be read, has faults, inherits from nothing there is, or has the name of one of Gangway's own.
    pub fn beside(folder: &Utf8Path) -> Result<Self, TargetError> {
        let mut sources: BTreeMap<_, _> =
            FILES.iter().map(|(name, text)| ((*name).to_owned(), own(name, text))).collect();
        for path in files_in(&folder.join(FOLDER))? {
            let name = path.file_stem().unwrap_or_default().to_owned();
            let text = document::read(&path).map_err(TargetError::File)?;
            let source = Source { text: Arc::new(NamedSource::new(&path, text)), path: Some(path) };
            if sources.get(&name).is_some_and(|known| known.path.is_none()) {
                return Err(TargetError::Taken { name, path: source.path.unwrap_or_default() });
            }
            sources.insert(name, source);
        }
        Self::resolve(&sources)
    }

    /// Every target, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.targets.values()
    }

    /// The target of this name.
    ///
    /// # Errors
    /// When there is none; the message has the names that come near.
    pub fn find(&self, name: &str) -> Result<&Target, TargetError> {
        self.targets.get(name).ok_or_else(|| TargetError::Unknown {
            name: name.to_owned(),
            known: self.targets.keys().cloned().collect(),
        })
    }

    /// The target this machine itself is: what build tools and commands run on.
    ///
    /// # Errors
    /// When the machine is of a kind no target describes.
    pub fn host(&self) -> Result<&Target, TargetError> {
        FILES
            .iter()
            .filter_map(|(name, _)| self.targets.get(*name))
            // What inherits (a Jetson) is a special case of what it inherits from.
            .find(|target| target.triple() == HOST_TRIPLE && target.data.inherits.is_none())
            .ok_or_else(|| TargetError::Host {
                os: std::env::consts::OS,
                cpu: std::env::consts::ARCH,
                known: self.targets.keys().cloned().collect(),
            })
    }

    fn resolve(sources: &BTreeMap<String, Source>) -> Result<Self, TargetError> {
        let targets = sources
            .keys()
            .map(|name| Ok((name.clone(), target(sources, name)?)))
            .collect::<Result<_, TargetError>>()?;
        Ok(Self { targets })
    }
}

const HOST_TRIPLE: &str = env!("GANGWAY_HOST_TRIPLE");

/// A target file as it was found.
#[derive(Debug)]
struct Source {
    text: Arc<NamedSource<String>>,
    /// `None`: compiled in.
    path: Option<Utf8PathBuf>,
}

fn own(name: &str, text: &str) -> Source {
    let text = Arc::new(NamedSource::new(format!("targets/{name}.toml"), text.to_owned()));
    Source { text, path: None }
}

/// The user's target files, in the order of their names.
fn files_in(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, TargetError> {
    let unreadable =
        |source| TargetError::File(ConfigError::Unreadable { path: folder.to_owned(), source });
    let entries = match folder.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.into_path();
        if path.extension() == Some("toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn target(sources: &BTreeMap<String, Source>, name: &str) -> Result<Target, TargetError> {
    let merged = merged(sources, name, &mut Vec::new())?;
    let source = &sources[name];
    let unexpected = |message: String| {
        let kind = FaultKind::Unexpected { message };
        TargetError::File(document::fault(&source.text, 0..0, kind, "in this file"))
    };
    // Whatever is missing is missing in the file that inherits from nothing, and was found there.
    let data = File::deserialize(toml::Value::Table(merged))
        .map_err(|error| unexpected(error.message().to_owned()))?;
    Target::new(name, data).map_err(unexpected)
}

/// The content of a file over that of the one it inherits from. `heirs` are those that led here.
fn merged(
    sources: &BTreeMap<String, Source>,
    name: &str,
    heirs: &mut Vec<String>,
) -> Result<Table, TargetError> {
    let source = &sources[name];
    let (table, parent) = read(source)?;
    heirs.push(name.to_owned());
    let Some(parent) = parent else { return Ok(table) };
    let place = parent.span();
    let parent = parent.into_inner();
    let fault = |kind| document::fault(&source.text, place.clone(), kind, "inherited here");
    if heirs.contains(&parent) {
        let chain = [heirs.as_slice(), &[parent]].concat().join(" -> ");
        return Err(TargetError::File(fault(FaultKind::InheritsItself { chain })));
    }
    if !sources.contains_key(&parent) {
        let known: Vec<String> = sources.keys().filter(|known| *known != name).cloned().collect();
        let error = TargetError::Unknown { name: parent.clone(), known };
        let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
        let mut fault = document::Fault::new(
            &source.text,
            place.clone(),
            FaultKind::UnknownParent { name: parent },
            "inherited here",
        );
        fault.help(help.unwrap_or_default());
        return Err(TargetError::File(fault.into()));
    }
    let mut whole = merged(sources, &parent, heirs)?;
    overlay(&mut whole, table);
    Ok(whole)
}

/// One file's own content, checked, and the name of the one it inherits from.
fn read(source: &Source) -> Result<(Table, Option<Spanned<String>>), TargetError> {
    #[derive(serde::Deserialize)]
    struct Head {
        inherits: Option<Spanned<String>>,
    }
    /// To make a schema takes longer than to read a file, and there are eleven of them.
    static WHOLE: LazyLock<Value> = LazyLock::new(document::schema_value::<File>);
    /// What an heir must have: it may leave out everything but its format.
    static HEIR: LazyLock<Value> = LazyLock::new(|| without_required(WHOLE.clone()));
    let inherits = |schema: &Value| -> Result<Option<Spanned<String>>, ConfigError> {
        Ok(document::parse::<Head>(&source.text, schema, FORMAT)?.inherits)
    };
    let parent = inherits(&HEIR).map_err(TargetError::File)?;
    if parent.is_none() {
        inherits(&WHOLE).map_err(TargetError::File)?;
    }
    let table = document::parse::<Table>(&source.text, &HEIR, FORMAT).map_err(TargetError::File)?;
    check_versions(source)?;
    Ok((table, parent))
}

/// Every version of the baseline must be one, so that nothing later has to doubt it.
fn check_versions(source: &Source) -> Result<(), TargetError> {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(default)]
        baseline: BTreeMap<String, Spanned<toml::Value>>,
    }
    const WORDS: [&str; 2] = ["cpu", "page-size"];
    let head: Head = toml::from_str(source.text.inner()).map_err(|error| {
        let kind = FaultKind::Unexpected { message: error.message().to_owned() };
        TargetError::File(document::fault(&source.text, error.span().unwrap_or(0..0), kind, "here"))
    })?;
    for (key, value) in &head.baseline {
        let text = value.get_ref().as_str().unwrap_or_default();
        if !WORDS.contains(&key.as_str()) && gangway_abi::Version::parse(text).is_none() {
            let kind = FaultKind::DottedVersion { text: text.to_owned() };
            return Err(TargetError::File(document::fault(
                &source.text,
                value.span(),
                kind,
                "numbers with dots, for instance `2.28`",
            )));
        }
    }
    Ok(())
}

/// The schema of a part of a document: nothing is missing in it but its format.
fn without_required(mut schema: Value) -> Value {
    fn strip(schema: &mut Value) {
        match schema {
            Value::Object(object) => {
                object.remove("required");
                object.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut schema);
    schema["required"] = serde_json::json!(["format"]);
    schema
}

/// Puts `above` over `whole`: tables are merged, everything else replaced.
fn overlay(whole: &mut Table, above: Table) {
    for (key, value) in above {
        match (whole.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => overlay(below, above),
            (_, value) => {
                whole.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Engine;
    use crate::testing::{Sandbox, rendered};

    fn beside(files: &[(&str, &str)]) -> (Sandbox, Result<Targets, TargetError>) {
        let sandbox = Sandbox::new();
        for (name, text) in files {
            sandbox.write(&format!("targets/{name}.toml"), text);
        }
        let targets = Targets::beside(&sandbox.root);
        (sandbox, targets)
    }

    fn fault(files: &[(&str, &str)]) -> String {
        let (sandbox, targets) = beside(files);
        rendered(&targets.expect_err("it is wrong")).replace(sandbox.root.as_str(), "")
    }

    const KIOSK: &str = "format = 1\ninherits = \"jetson\"\ndescription = \"kiosks\"\n[baseline]\nglibc = \"2.36\"\n[system]\nlibraries = [\"libc.so.6\"]\n";

    #[test]
    fn every_file_is_compiled_in() {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets");
        let on_disk = files_in(&folder).expect("the folder is part of the sources");
        let mut names: Vec<_> = on_disk.iter().filter_map(|path| path.file_stem()).collect();
        names.sort_unstable();
        let compiled: Vec<_> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, compiled);
    }

    #[test]
    fn a_users_target_says_only_what_is_different() {
        let (_sandbox, targets) =
            beside(&[("kiosk", KIOSK), ("shop", "format = 1\ninherits = \"kiosk\"\n")]);
        let targets = targets.expect("both are right");
        assert_eq!(targets.iter().count(), FILES.len() + 2);
        for name in ["kiosk", "shop"] {
            let target = targets.find(name).expect("it is there");
            let jetson = targets.find("jetson").expect("it is there");
            assert_eq!(target.baseline().glibc.as_deref(), Some("2.36"));
            assert_eq!(target.baseline().libstdcxx, jetson.baseline().libstdcxx);
            assert_eq!(target.jetson(), jetson.jetson());
            assert_eq!(target.description(), "kiosks");
            assert!(target.provides("libc.so.6") && !target.provides("libm.so.6"));
            assert_eq!(target.runtime(Engine::Node).ok(), jetson.runtime(Engine::Node).ok());
        }
    }

    #[test]
    fn the_host_is_no_heir() {
        let host = Targets::built_in();
        let host = host.host().expect("tests run where bundles are made");
        assert_eq!(host.triple(), HOST_TRIPLE);
        assert!(host.jetson().is_none());
    }

    #[test]
    fn a_near_miss_is_suggested() {
        let targets = Targets::built_in();
        let help = |name: &str| {
            let error = targets.find(name).expect_err("there is no such target");
            miette::Diagnostic::help(&error).expect("it has help").to_string()
        };
        assert!(
            help("linux-x46").starts_with("did you mean `linux-x64`?"),
            "{}",
            help("linux-x46")
        );
        assert!(
            help("jetson-jp6").starts_with("did you mean `jetson-jp"),
            "{}",
            help("jetson-jp6")
        );
        assert!(help("amiga").starts_with("known targets: jetson, "), "{}", help("amiga"));
    }

    #[test]
    fn faults_have_their_place() {
        insta::assert_snapshot!(fault(&[("kiosk", &KIOSK.replace("glibc =", "glib ="))]));
        insta::assert_snapshot!(fault(&[("kiosk", &KIOSK.replace("2.36", "new"))]));
        insta::assert_snapshot!(fault(&[("kiosk", "format = 1\ninherits = \"linux-arm46\"\n")]));
        insta::assert_snapshot!(fault(&[("kiosk", "format = 1\ndescription = \"alone\"\n")]));
        insta::assert_snapshot!(fault(&[("kiosk", "format = 2\n")]));
    }

    #[test]
    fn nobody_inherits_from_itself() {
        let cycle =
            [("a", "format = 1\ninherits = \"b\"\n"), ("b", "format = 1\ninherits = \"a\"\n")];
        insta::assert_snapshot!(fault(&cycle));
    }

    #[test]
    fn gangways_names_are_taken() {
        let text = fault(&[("jetson", KIOSK)]);
        assert!(text.contains("`jetson` is one of Gangway's own targets"), "{text}");
    }

    #[test]
    fn a_name_no_target_can_have() {
        let text = fault(&[("My Kiosk", KIOSK)]);
        assert!(text.contains("`My Kiosk` cannot name a target"), "{text}");
    }
}
