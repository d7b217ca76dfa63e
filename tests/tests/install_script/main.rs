//! `install.sh` of a release, as people start it.
//!
//! [`here`] runs it by this machine's `sh`. [`shells`] runs it in roots that have one shell and the few programs a test names; it
//! needs a folder with such programs, which a variable names; CONTRIBUTING.md says which. What the script hands over to is a stand-in that
//! repeats what it was given: what the real one does is tested elsewhere.

mod here;
mod shells;
mod site;
