//! What can be wrong with a manifest, or with the `package.json` beside it.
//!
//! A file that can be read but is wrong has one [`Fault`] per thing to mend, each with its place; all of them are
//! reported at once, so that nobody mends a manifest one error at a time.

use std::ops::Range;
use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_artifact::PathError;
use miette::{Diagnostic, LabeledSpan, NamedSource};

/// Why there is no [`Config`](super::Config).
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    #[diagnostic(help("check that the file is there and that you may read it"))]
    Unreadable {
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not text.
    #[error("`{path}` is not UTF-8 text: byte {offset} begins no character")]
    #[diagnostic(help("save the file as UTF-8"))]
    NotText {
        /// The file.
        path: Utf8PathBuf,
        /// Where it stops being text.
        offset: usize,
    },
    /// One thing is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fault(Box<Fault>),
    /// Several things are wrong.
    #[error("`{path}` has {} faults", faults.len())]
    Faults {
        /// The manifest.
        path: Utf8PathBuf,
        /// All of them, in the order of the text.
        #[related]
        faults: Vec<Fault>,
    },
}

/// One thing that is wrong, its place, and what to write instead.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{kind}")]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    #[source_code]
    text: Arc<NamedSource<String>>,
    #[label(collection)]
    labels: Vec<LabeledSpan>,
    #[help]
    help: Option<String>,
}

/// What is wrong at one place.
#[expect(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// Not TOML.
    #[error("invalid TOML: {message}")]
    Syntax { message: String },
    /// The value of `format` is one this program does not read.
    #[error("cannot read format {found} of this file")]
    Format { found: String },
    /// A key nobody reads.
    #[error("unknown key `{key}` {place}")]
    UnknownKey { key: String, place: String },
    /// A key that must be there.
    #[error("missing {what}")]
    Missing { what: String },
    /// A string where a list is wanted, and the like.
    #[error("`{key}` is {found}, not {expected}")]
    Type { key: String, found: &'static str, expected: &'static str },
    /// A number too small or too large.
    #[error("`{key}` is {found}, not a number from {minimum} to {maximum}")]
    OutOfRange { key: String, found: String, minimum: i64, maximum: i64 },
    /// None of the words the key takes.
    #[error("unknown value `{value}` of `{key}`")]
    UnknownValue { key: String, value: String },
    /// A key that names no target.
    #[error("`{}` cannot name a target: {reason}", name.escape_debug())]
    TargetName { name: String, reason: String },
    /// A target the manifest speaks of, and that is not there.
    #[error("there is no target `{}`", name.escape_debug())]
    UnknownTarget { name: String },
    /// A file of one's own with a range of versions.
    #[error("`{}` is not the version of a file", written.escape_debug())]
    FileVersion { written: String },
    /// An entrypoint that says in no way, or in two ways, what it starts.
    #[error("the entrypoint `{name}` {reason}")]
    Start { name: String, reason: &'static str },
    /// A script, and nothing to run it.
    #[error(
        "the entrypoint `{name}` is a script, and `engine = \"none\"` brings nothing that runs it"
    )]
    NoInterpreter { name: String },
    /// The structure is right, and serde finds fault with it all the same.
    #[error("cannot read this file: {message}")]
    Unexpected { message: String },
    /// Not a range of Python's versions.
    #[error("cannot use `{}` as versions of Python: {reason}", text.escape_debug())]
    PythonVersions { text: String, reason: String },
    /// Not a version of a system or library.
    #[error("`{}` is not a version", text.escape_debug())]
    DottedVersion { text: String },
    /// A target that inherits from one there is not.
    #[error("there is no target `{}` to inherit from", name.escape_debug())]
    UnknownParent { name: String },
    /// Targets that inherit from each other.
    #[error("a target inherits from itself: {chain}")]
    InheritsItself { chain: String },
    /// A name that cannot be one.
    #[error("`{}` cannot name {what}: {reason}", name.escape_debug())]
    Name { what: &'static str, name: String, reason: &'static str },
    /// The same name or value a second time.
    #[error("{what} `{}` appears twice", name.escape_debug())]
    Duplicate { what: &'static str, name: String },
    /// A list or text without content.
    #[error("`{key}` is empty")]
    Empty { key: &'static str },
    /// A path no bundle may have.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A path that is laid out from the lockfile.
    #[error("`{path}` cannot be an output of the build")]
    Output { path: String },
    /// Not an npm version range.
    #[error("`{}` is not an npm version range", text.escape_debug())]
    VersionRange { text: String },
    /// Not a version.
    #[error("`{}` is not a version", text.escape_debug())]
    Version { text: String },
    /// Neither the manifest nor package.json has a version.
    #[error("the app has no version")]
    NoVersion,
    /// A glob that cannot be read, or that matches nothing.
    #[error("cannot use the glob `{}`: {reason}", glob.escape_debug())]
    Glob { glob: String, reason: String },
    /// A lockfile of another package manager.
    #[error("cannot read a lockfile named `{name}`")]
    LockfileKind { name: String },
    /// Lockfiles of several package managers.
    #[error("there are several lockfiles: {names}")]
    Lockfiles { names: String },
    /// A path that is only right on one machine.
    #[error("`{}` is absolute", path.as_str().escape_debug())]
    Absolute { path: Utf8PathBuf },
    /// A lockfile that is not there.
    #[error("missing lockfile `{}`", path.as_str().escape_debug())]
    MissingLockfile { path: Utf8PathBuf },
    /// `health.entrypoint` names none.
    #[error("no entrypoint is named `{}`", name.escape_debug())]
    UnknownEntrypoint { name: String },
    /// `smoke.service-args` names none.
    #[error("no service that is a process is named `{}`", name.escape_debug())]
    UnknownService { name: String },
    /// Not the path of a URL.
    #[error("`{}` is not the path of a URL: {reason}", path.escape_debug())]
    UrlPath { path: String, reason: &'static str },
    /// Not the address of a server.
    #[error("`{}` is not the address of a server", text.escape_debug())]
    Address { text: String },
    /// Not a folder of an app's data.
    #[error("cannot keep this folder: {reason}")]
    State { reason: String },
    /// No program takes such an argument or variable.
    #[error("`{key}` holds a NUL character")]
    Nul { key: &'static str },
    /// A key that another key makes useless.
    #[error("`{key}` has no effect with {beside}")]
    Ineffective { key: &'static str, beside: &'static str },
    /// Two tables that speak of the same package and target.
    #[error("two `[[addon]]` tables say what to do with `{package}` on {target}")]
    Overlap { package: String, target: String },
    /// A key that a service of this kind does not read.
    #[error("`{key}` is no key of a service of the kind `{kind}`")]
    NotForKind { key: &'static str, kind: &'static str },
    /// A command line in one string.
    #[error("`{command}` is one word: no shell splits it")]
    CommandLine { command: String },
    /// Not a version, or one that leaves open which.
    #[error("`{text}` does not say which version")]
    InexactVersion { text: String },
    /// Not a day, or more than one.
    #[error("`{text}` is not a day")]
    Day { text: String },
    /// `package.json` is not what npm would take.
    #[error("cannot understand `package.json`: {message}")]
    PackageJson { message: String },
}

/// Gathers what is wrong with one text.
#[derive(Debug)]
pub(super) struct Faults {
    text: Arc<NamedSource<String>>,
    found: Vec<Fault>,
}

impl Fault {
    /// A fault at `span` of `text`.
    pub(crate) fn new(
        text: &Arc<NamedSource<String>>,
        span: Range<usize>,
        kind: FaultKind,
        label: impl Into<String>,
    ) -> Self {
        let labels = vec![LabeledSpan::new_with_span(Some(label.into()), span)];
        Self { kind, text: Arc::clone(text), labels, help: None }
    }

    /// Says what to write instead.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Points to a second place.
    pub(super) fn also(&mut self, span: Range<usize>, label: &str) -> &mut Self {
        self.labels.push(LabeledSpan::new_with_span(Some(label.to_owned()), span));
        self
    }
}

impl Faults {
    /// None yet.
    pub(super) fn new(text: &Arc<NamedSource<String>>) -> Self {
        Self { text: Arc::clone(text), found: Vec::new() }
    }

    /// Notes one more, at `span` of the text.
    pub(super) fn add(
        &mut self,
        span: &Range<usize>,
        kind: FaultKind,
        label: impl Into<String>,
    ) -> &mut Fault {
        self.add_fault(Fault::new(&self.text, span.clone(), kind, label))
    }

    /// Notes one more, which may be of another text.
    pub(super) fn add_fault(&mut self, fault: Fault) -> &mut Fault {
        self.found.push(fault);
        self.found.last_mut().expect("one was just added")
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The text they are in.
    pub(super) fn text(&self) -> &Arc<NamedSource<String>> {
        &self.text
    }

    /// All of them as one error.
    pub(super) fn into_error(mut self) -> ConfigError {
        if self.found.len() == 1 {
            return ConfigError::Fault(Box::new(self.found.remove(0)));
        }
        self.found.sort_by_key(|fault| fault.labels.first().map(LabeledSpan::offset));
        ConfigError::Faults { path: self.text.name().into(), faults: self.found }
    }
}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}
