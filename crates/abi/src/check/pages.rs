//! Checks 11 and 12: page sizes.

use super::bundle::Bundle;
use super::{Code, File, Finding, Verdict};
use crate::elf::{Elf, Load};
use crate::facts::Kind;

/// What jemalloc is compiled for when nobody says otherwise.
const USUAL: u64 = 4096;

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    let page = bundle.policy.page_size;
    for (_, file, elf) in bundle.elves() {
        findings.extend(segments(file, elf, page));
        if elf.jemalloc && page > USUAL {
            findings.push(Finding {
                required: "pages of the size that its allocator was compiled for".to_owned(),
                offered: format!("pages of up to {page} bytes"),
                because:
                    "it contains jemalloc, which works with pages up to one size; which one does \
                          not stand in the file"
                        .to_owned(),
                symptom: "<jemalloc>: Unsupported system page size".to_owned(),
                remedy: "build jemalloc with `--with-lg-page=16`, or start it on such a machine"
                    .to_owned(),
                ..Finding::new(Code::AllocatorPageSize, Verdict::Unknown, file, "jemalloc")
            });
        }
    }
}

fn segments(file: &File<'_>, elf: &Elf, page: u64) -> Option<Finding> {
    // The kernel maps static programs, and does not look at their alignment.
    let is_checked = elf.kind == Kind::Library || elf.interpreter.is_some();
    let fits = |load: &Load| {
        let aligned =
            |to: u64| to == 0 || load.offset.wrapping_sub(load.address).checked_rem(to) == Some(0);
        aligned(page) && (!is_checked || (load.align >= page && aligned(load.align)))
    };
    let load = elf.loads.iter().find(|load| !fits(load))?;
    Some(Finding {
        required: format!("pages of at most {} bytes", load.align),
        offered: format!("pages of up to {page} bytes"),
        because: format!(
            "a segment at {:#x} of the file is for {:#x} in memory, aligned to {:#x}",
            load.offset, load.address, load.align
        ),
        symptom: "ELF load command alignment not page-aligned".to_owned(),
        remedy: format!("link it with `-Wl,-z,max-page-size={page}`"),
        ..Finding::new(Code::PageSize, Verdict::Broken, file, "segments")
    })
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf};
    use super::*;

    #[test]
    fn segments_must_fit_pages() {
        let codes = |page, align, offset| {
            let facts = elf(|elf| (elf.loads[0].align, elf.loads[0].offset) = (align, offset));
            let mut bench = Bench::linux().file("a.so", Role::Library, facts);
            bench.policy.page_size = page;
            bench.codes()
        };
        assert_eq!(codes(4096, 4096, 0), []);
        assert_eq!(codes(65536, 4096, 0), [Code::PageSize]);
        assert_eq!(codes(65536, 65536, 4096), [Code::PageSize]);
        assert_eq!(codes(16384, 65536, 65536), []);
    }

    #[test]
    fn a_static_program_is_mapped_by_the_kernel() {
        let facts = elf(|elf| (elf.kind, elf.loads[0].align) = (Kind::Executable, 4096));
        let mut bench = Bench::linux().file("a", Role::Program, facts);
        bench.policy.page_size = 65536;
        assert_eq!(bench.codes(), []);
    }

    #[test]
    fn allocators() {
        let mut bench = Bench::linux().file("a.so", Role::Library, elf(|elf| elf.jemalloc = true));
        assert_eq!(bench.codes(), []);
        bench.policy.page_size = 16384;
        assert_eq!(bench.verdicts(), [(Code::AllocatorPageSize, Verdict::Unknown)]);
    }
}
