//! What the builder and the installer must agree on.
//!
//! Everything here is data with a written form: paths inside a bundle, digests, targets, the bundle's
//! manifest, the launch file. Nothing here reads the environment, starts a process or prints.

#[cfg(feature = "archive")]
pub mod archive;
mod contract;
mod date;
pub mod delta;
mod digest;
mod frames;
pub mod jetson;
mod json;
mod launch;
mod manifest;
mod names;
mod path;
mod programs;
mod python;
pub mod report;
#[cfg(feature = "archive")]
mod spelling;
mod state;
mod target;
#[cfg(feature = "trial")]
pub mod trial;
pub mod trust;
mod verification;
mod version;

pub use contract::{
    Contract, Disk, Fact, Found, Host, Judged, L4tRange, Need, Nvidia, Python, Unmet, is_musls,
};
pub use date::{Date, DateError};
pub use digest::{Digest, DigestError, Hasher, HashingReader, HashingWriter};
pub use frames::{BLOCK, Frame, FrameError, Frames, Piece};
pub use launch::{Environment, LAUNCH_FILE, LAUNCH_VERSION, Launch, LaunchError, Program};
pub use manifest::{
    App, Entrypoint, File, Health, Link, MANIFEST_FILE, MANIFEST_VERSION, Manifest, ManifestError,
    Mode, Runtime, Service, ServiceHealth, Smoke, TensorRtPlan,
};
pub use names::{AppName, NameError, ProgramName};
pub use path::{BundlePath, PathError};
pub use programs::ProgramsError;
pub use python::{PythonProgram, PythonVersion, PythonVersionError, PythonVersions};
#[cfg(feature = "archive")]
pub use spelling::spelling;
pub use state::{State, StatePath, StatePathError};
pub use target::{Cpu, Libc, Os, Platform, TargetName, TargetNameError};
pub use verification::{Allowance, Verification, VerificationStatus};
pub use version::{Version, VersionError};
