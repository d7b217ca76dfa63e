//! Parts of a file that are there and could not be read: what the check that needs them would have said is unknown.

use super::bundle::Bundle;
use super::{Code, Finding, Verdict};
use crate::facts::Part;

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    for file in &bundle.files {
        for part in file.facts.unread() {
            let (code, subject) = match part {
                Part::Dynamic => (Code::LibraryClosure, "dynamic table"),
                Part::Imports => (Code::LibraryClosure, "imports"),
                Part::DelayImports => (Code::LibraryClosure, "delay imports"),
                Part::VersionNeeds => (Code::GlibcFloor, "needed versions"),
                Part::VersionDefinitions => (Code::SymbolClosure, "defined versions"),
                Part::Symbols => (Code::SymbolClosure, "symbols"),
                Part::Exports => (Code::SymbolClosure, "exports"),
                Part::Relocations => (Code::StaticTls, "relocations"),
            };
            findings.push(Finding {
                required: "what stands in this table".to_owned(),
                because:
                    "the table is there and cannot be read: the file is damaged, or made by a \
                          tool that this reader does not know"
                        .to_owned(),
                symptom: "anything".to_owned(),
                remedy: "fetch the file again; if it is whole, load it on the oldest system"
                    .to_owned(),
                ..Finding::new(code, Verdict::Unknown, file, subject)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf};
    use super::*;

    #[test]
    fn nothing_unread_is_passed_over() {
        let facts = elf(|elf| elf.unread = vec![Part::Symbols, Part::VersionNeeds]);
        let bench = Bench::linux().file("a.so", Role::Library, facts);
        assert_eq!(
            bench.verdicts(),
            [(Code::GlibcFloor, Verdict::Unknown), (Code::SymbolClosure, Verdict::Unknown)]
        );
    }
}
