//! What the installer does outside of the prefix.

use camino::Utf8Path;

use super::Run;
use crate::prefix::Trouble;
use crate::prefix::state::State;
use crate::prefix::transaction::Outside;

/// The machine.
#[derive(Debug)]
pub(super) struct World<'a> {
    _run: &'a Run<'a>,
}

impl<'a> World<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Self {
        Self { _run: run }
    }
}

impl Outside for World<'_> {
    fn settle(&self, _: Option<&State>, _: Option<&State>) -> Result<(), Trouble> {
        Ok(())
    }

    fn restart(&self, _: &State) -> Result<(), Trouble> {
        Ok(())
    }

    fn health(&self, _: &State, _: &Utf8Path) -> Result<(), Trouble> {
        Ok(())
    }
}
