# /// script
# requires-python = ">=3.11"
# dependencies = ["pyelftools==0.33"]
# ///
"""Writes `src/check/system.txt`: what the C libraries define, and since when.

    uv run system.py MACHINES > ../src/check/system.txt

MACHINES is what `.ci/machines MACHINES roots` made: glibc 2.31 and 2.36 for both processors, 2.41 for x86-64, musl 1.2.3
and 1.2.5 for both.

A name without a version is bound to the first version of it, or to the default one, so it can be had since its first
version. Names that only those get who ask for a version are marked `?`: whether others get them depends on the loader.
"""

import collections
import pathlib
import sys

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerSymSection

LIBRARIES = [
    "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libutil.so.1",
    "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libgcc_s.so.1", "libstdc++.so.6",
]
# What every glibc has that is a target's: names as old as that, or older, say nothing more.
ALWAYS = (2, 17)
HIDDEN = 0x8000


def definitions(path: pathlib.Path):
    """Name, version and whether it is the default, of everything a library defines."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        symbols = elf.get_section_by_name(".dynsym")
        numbers = next((part for part in elf.iter_sections() if isinstance(part, GNUVerSymSection)), None)
        section = next((part for part in elf.iter_sections() if isinstance(part, GNUVerDefSection)), None)
        names = {}
        for definition, auxiliaries in section.iter_versions() if section else []:
            names[definition["vd_ndx"]] = next(auxiliaries).name
        for number, symbol in enumerate(symbols.iter_symbols()):
            if symbol["st_shndx"] == "SHN_UNDEF" or not symbol.name or symbol["st_info"]["bind"] == "STB_LOCAL":
                continue
            index = numbers.get_symbol(number)["ndx"] if numbers else 1
            index = {"VER_NDX_LOCAL": 0, "VER_NDX_GLOBAL": 1}.get(index, index)
            if index == 0 or symbol["st_info"]["type"] == "STT_SECTION":
                continue
            version = names.get(index & ~HIDDEN, "")
            if symbol.name == version:
                continue  # the version itself
            yield symbol.name, version, not index & HIDDEN, index & ~HIDDEN <= 2


def numbered(version: str):
    """`GLIBC_2.34` as numbers; those of the compiler's libraries are asked of the floors."""
    if not version.startswith("GLIBC_") or not version[6:7].isdigit():
        return None
    return tuple(map(int, version[6:].split(".")))


def find(root: pathlib.Path, library: str):
    places = [place for part in ("lib", "usr/lib") for place in (root / part).glob("*-linux-gnu")] + [
        root / "lib64", root / "usr/lib64", root / "lib", root / "usr/lib"]
    return next((place / library for place in places if (place / library).exists()), None)


def glibc(roots: dict[str, list[pathlib.Path]]):
    """Library -> name -> processor -> since (`?` when hidden); the library is the oldest release's."""
    found = collections.defaultdict(lambda: collections.defaultdict(dict))
    for cpu, folders in roots.items():
        seen = collections.defaultdict(list)
        for folder in folders:
            for library in LIBRARIES:
                path = find(folder, library)
                for name, version, default, first in definitions(path) if path else []:
                    if "PRIVATE" in version or name.startswith("_Z"):
                        continue
                    seen[name].append((library, version, default or first))
        for name, all_of_it in seen.items():
            library = all_of_it[0][0]
            since = [numbered(version) for _, version, _ in all_of_it if numbered(version)]
            is_open = any(default for _, _, default in all_of_it)
            text = "?" if not is_open else "" if not since or min(since) <= ALWAYS else ".".join(map(str, min(since)))
            found[library][name][cpu] = text
    return found


def musl(machines: pathlib.Path):
    found = collections.defaultdict(dict)
    for cpu, architecture in (("x64", "amd64"), ("arm64", "arm64")):
        for release, since in (("bookworm", ""), ("trixie", "1.2.5")):
            folder = machines / f"musl-of-{release}-{architecture}"
            [path] = {path.resolve() for path in folder.rglob("libc.so") if path.is_file()}
            for name, *_ in definitions(path):
                found[name].setdefault(cpu, since)
    return found


def write(library: str, names: dict) -> None:
    print(f"[{library}]")
    for name in sorted(names):
        since = names[name]
        if len(since) == 2 and len(set(since.values())) == 1:
            print(" ".join([name, *filter(None, [since["x64"]])]))
            continue
        for cpu in sorted(since):
            print(" ".join([name, since[cpu] or "-", cpu]))


def main() -> None:
    machines = pathlib.Path(sys.argv[1])
    print("# What glibc 2.31 to 2.41 and musl 1.2.3 to 1.2.5 define. Written by oracles/system.py; do not edit.")
    print("# A line is a name, since when (nothing or `-`: always; `?`: only for who asks for a version), and for which processor.")
    roots = {
        "x64": [machines / f"root-{release}" for release in ("bullseye", "bookworm", "trixie")],
        "arm64": [machines / "arm64/root" / release for release in ("bullseye", "bookworm")],
    }
    for library, names in sorted(glibc(roots).items()):
        write(library, names)
    write("musl", musl(machines))


main()
