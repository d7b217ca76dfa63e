//! ELF files as a whole.

use super::*;

fn needing(names: &[&str]) -> Elf {
    Elf { needed: names.iter().map(|name| (*name).to_owned()).collect(), ..Elf::default() }
}

#[test]
fn tells_c_libraries_apart() {
    for (names, library) in [
        (&["libstdc++.so.6", "libc.so.6"][..], Some(CLibrary::Glibc)),
        (&["libgcc_s.so.1", "libc.musl-x86_64.so.1"], Some(CLibrary::Musl)),
        (&["libc.so"], Some(CLibrary::Musl)),
        (&["liblog.so", "libc.so"], Some(CLibrary::Bionic)),
        (&["libfoo.so"], None),
    ] {
        assert_eq!(needing(names).c_library(), library, "{names:?}");
    }
    let program =
        Elf { interpreter: Some("/lib/ld-musl-aarch64.so.1".to_owned()), ..needing(&["libc.so"]) };
    assert_eq!(program.c_library(), Some(CLibrary::Musl));
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn reads_the_dynamic_table() {
    let path = std::env::current_exe().expect("tests run from a file");
    let elf = read(&std::fs::read(path).expect("readable")).expect("an ELF file");
    assert_eq!(elf.kind, Kind::Executable);
    assert_eq!(elf.c_library(), Some(CLibrary::Glibc));
    assert!(elf.interpreter.as_deref().expect("dynamic").contains("/ld-linux"));
    assert!(elf.needed.iter().any(|name| name == "libc.so.6"));
    let glibc =
        |need: &VersionNeed| need.file == "libc.so.6" && need.version.starts_with("GLIBC_2.");
    assert!(elf.versions.iter().any(glibc), "{:?}", elf.versions);
    let write = elf.imports.iter().find(|import| &*import.name == "write").expect("it prints");
    assert_eq!(elf.version_of(write).expect("versioned").file, "libc.so.6");
    assert_eq!((elf.stack, elf.relro, elf.unread), (Stack::Data, Relro::Full, vec![]));
}
