# /// script
# requires-python = ">=3.11"
# dependencies = ["auditwheel==6.8.2", "pyelftools==0.33", "lief==1.0.0", "pefile==2024.8.26"]
# ///
"""Compares the facts of gangway-abi with what other readers say: `uv run compare.py FOLDER [FACTS]`.

FOLDER is what fetch.py filled; FACTS is the built example `facts`. Every ELF file is read by auditwheel and pyelftools,
every Mach-O and PE file by lief, PE files by pefile as well. Prints a table by package and each difference, as Markdown.
"""

import collections
import concurrent.futures
import json
import logging
import multiprocessing
import pathlib
import re
import subprocess
import sys

import lief
import pefile
from auditwheel.elfutils import elf_find_versioned_symbols, elf_read_dt_needed
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection, GNUVerSymSection

ROOT = pathlib.Path(__file__).resolve().parents[3]
MAGICS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")

FORK = multiprocessing.get_context("fork")

Values = dict[str, object]


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    facts = sys.argv[2] if len(sys.argv) > 2 else str(ROOT / "target/xtask/examples/facts")
    paths = sorted(str(path) for path in folder.rglob("*") if is_binary(path))
    read = subprocess.Popen([facts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    read.stdin.write("\n".join(paths))
    read.stdin.close()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        report(folder, pool.map(guarded, read.stdout))


def is_binary(path: pathlib.Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4)
    return head in MAGICS or head[:2] == b"MZ"


def guarded(line: str):
    """Compares in a process of its own: other readers crash on some files."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = FORK.Process(target=lambda: theirs.send(compare(line)))
    process.start()
    theirs.close()
    try:
        result = ours.recv()
    except EOFError:
        process.join()
        result = json.loads(line)["path"], "crashed", 1, [("exit", "a reader", "", process.exitcode)]
    process.join()
    return result


def compare(line: str) -> tuple[str, str, int, list[tuple[str, str, object, object]]]:
    """Path, format, how many values were compared, and the differences: (value, oracle, ours, theirs)."""
    logging.disable(logging.CRITICAL)
    lief.logging.disable()
    record = json.loads(line)
    path, facts = record["path"], record["facts"]
    if facts is None:
        return path, "unread", 1, [("read", "", None, "a binary")]
    (kind, facts), = facts.items()
    pairs = {"Elf": elf, "MachO": macho, "Pe": pe}[kind](path, facts)
    differences, count = [], 0
    for oracle, ours, theirs in pairs:
        for name, value in theirs.items():
            count += 1
            if ours[name] != value:
                differences.append((name, oracle, *shorten(ours[name], value)))
    return path, kind, count, differences


def shorten(ours: object, theirs: object) -> tuple[object, object]:
    """Of two collections only what the other one lacks."""
    if isinstance(ours, list) and isinstance(theirs, list):
        count = [collections.Counter(map(str, side)) for side in (ours, theirs)]
        left, right = list((count[0] - count[1]).elements()), list((count[1] - count[0]).elements())
        return (left[:6] + ["..."] * (len(left) > 6), right[:6] + ["..."] * (len(right) > 6))
    return ours, theirs


# ELF ------------------------------------------------------------------------------------------------------------------


def elf(path: str, facts: Values):
    versions = [(need["file"], need["version"]) for need in facts["versions"]]
    ours = {
        "needed": facts["needed"],
        "versions": sorted(versions),
        "floors": floors(versions),
        "weak": sorted(need["version"] for need in facts["versions"] if need["weak"]),
        "soname": facts["soname"],
        "interpreter": facts["interpreter"],
        "search": [":".join(facts["rpath"]), ":".join(facts["runpath"])],
        "definitions": sorted(facts["definitions"]),
        "imports": sorted([i["name"], i["weak"], version(facts, i)] for i in facts["imports"]),
        "exports": sorted(e["name"] for e in facts["exports"]),
        "loads": [[l["offset"], l["address"], l["align"]] for l in facts["loads"]],
        "stack": facts["stack"],
        "tls": facts["tls"]["size"],
        "relr": facts["relr"],
        "static tls": facts["tls"]["is_static"],
        "build id": facts["properties"]["build_id"],
    }
    yield "auditwheel", ours, from_auditwheel(path)
    yield "pyelftools", ours, from_pyelftools(path)


def floors(versions: list[tuple[str, str]]) -> dict[str, str]:
    """The newest number of each family of versions of each library."""
    newest: dict[str, str] = {}
    for file, version in versions:
        family, _, number = version.rpartition("_")
        if re.fullmatch(r"[0-9.]+", number):
            key = f"{file} {family}"
            newest[key] = max(newest.get(key, "0"), number, key=numbers)
    return newest


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part]


def version(facts: Values, symbol: Values) -> str:
    return facts["versions"][symbol["version"]]["version"] if symbol["version"] is not None else ""


def from_auditwheel(path: str) -> Values:
    try:
        needed = elf_read_dt_needed(pathlib.Path(path))
    except ValueError:  # a static program
        needed = []
    with open(path, "rb") as file:
        elf = ELFFile(file)
        section = elf.get_section_by_name(".gnu.version_r")
        if section and not isinstance(section, GNUVerNeedSection):
            # Go marks its empty table as plain data, at which auditwheel fails.
            return {"needed": needed}
        # auditwheel leaves the loader's own versions out of its list.
        versions = sorted([*elf_find_versioned_symbols(elf), *loader_versions(section)])
    return {"needed": needed, "versions": versions, "floors": floors(versions)}


def loader_versions(section: GNUVerNeedSection | None):
    for need, auxiliaries in section.iter_versions() if section else []:
        if need.name.startswith("ld-linux") or need.name in ("ld64.so.2", "ld64.so.1"):
            yield from ((need.name, auxiliary.name) for auxiliary in auxiliaries)


def from_pyelftools(path: str) -> Values:
    with open(path, "rb") as file:
        elf = ELFFile(file)
        segments = list(elf.iter_segments())
        sections = {section.name: section for section in elf.iter_sections()}
        dynamic = next((s for s in sections.values() if isinstance(s, DynamicSection)), None)
        tags = list(dynamic.iter_tags()) if dynamic else []
        of = lambda tag: [entry for entry in tags if entry.entry.d_tag == tag]
        text = lambda tag, field: next((getattr(entry, field) for entry in of(tag)), "")
        flags = next((entry.entry.d_val for entry in of("DT_FLAGS")), 0)
        stack = next((s["p_flags"] for s in segments if s["p_type"] == "PT_GNU_STACK"), None)
        notes = [note for s in segments if s["p_type"] == "PT_NOTE" for note in s.iter_notes()]
        table = lambda kind: next((s for s in sections.values() if isinstance(s, kind)), None)
        needs, defined = table(GNUVerNeedSection), table(GNUVerDefSection)
        weak, by_number = [], {}
        for need, auxiliaries in needs.iter_versions() if needs else []:
            for auxiliary in auxiliaries:
                by_number[auxiliary["vna_other"] & 0x7FFF] = auxiliary.name
                if auxiliary["vna_flags"] & 2:
                    weak.append(auxiliary.name)
        imports, exports = symbols(sections.get(".dynsym"), table(GNUVerSymSection), by_number)
        return {
            "soname": text("DT_SONAME", "soname") or None,
            "interpreter": next((s.get_interp_name() for s in segments if s["p_type"] == "PT_INTERP"), None),
            "search": [text("DT_RPATH", "rpath"), text("DT_RUNPATH", "runpath")],
            "weak": sorted(weak),
            "definitions": sorted(
                next(names).name
                for definition, names in (defined.iter_versions() if defined else [])
                if not definition["vd_flags"] & 1
            ),
            "imports": imports,
            "exports": exports,
            "loads": [[s["p_offset"], s["p_vaddr"], s["p_align"]] for s in segments if s["p_type"] == "PT_LOAD"],
            "stack": "Unsaid" if stack is None else "Executable" if stack & 1 else "Data",
            "tls": next((s["p_memsz"] for s in segments if s["p_type"] == "PT_TLS"), 0),
            "relr": bool(of("DT_RELR")),
            "static tls": bool(flags & 0x10),
            "build id": next((n["n_desc"] for n in notes if n["n_type"] == "NT_GNU_BUILD_ID"), None),
        }


def symbols(table, versions, by_number: dict[int, str]) -> tuple[list, list]:
    imports, exports = [], []
    for number, symbol in enumerate(table.iter_symbols() if table else []):
        binding, hidden = symbol["st_info"]["bind"], symbol["st_other"]["visibility"]
        if binding == "STB_LOCAL" or hidden in ("STV_HIDDEN", "STV_INTERNAL") or not symbol.name:
            continue
        if symbol["st_shndx"] == "SHN_UNDEF":
            index = versions.get_symbol(number)["ndx"] if versions else 0
            wanted = by_number.get(index & 0x7FFF, "") if isinstance(index, int) else ""
            imports.append([symbol.name, binding == "STB_WEAK", wanted])
        else:
            exports.append(symbol.name)
    return sorted(imports), sorted(exports)


# Mach-O ---------------------------------------------------------------------------------------------------------------

COMMANDS = {
    "LOAD_DYLIB": "Required", "LOAD_WEAK_DYLIB": "Weak", "REEXPORT_DYLIB": "Reexported",
    "LOAD_UPWARD_DYLIB": "Upward", "LAZY_LOAD_DYLIB": "Lazy",
}


def macho(path: str, facts: Values):
    # Its slices die with the file.
    file = lief.MachO.parse(path)
    binaries = list(file)
    yield "lief", {"slices": len(facts["slices"])}, {"slices": len(binaries)}
    for ours, theirs in zip(facts["slices"], binaries):
        platforms = {"MacOs": "MACOS", "MacCatalyst": "MAC_CATALYST"}
        target = ours["targets"][0] if ours["targets"] else None
        yield "lief", {
            "dependencies": [[d["name"], d["kind"]] for d in ours["dependencies"]],
            "install name": ours["install_name"],
            "rpaths": ours["rpaths"],
            "minimum": plain(target["minimum"]) if target else None,
            "sdk": plain(target["sdk"]) if target else None,
            "platform": platforms.get(str(target["platform"]), "other") if target else None,
            "imports": sorted(i["name"] for i in ours["imports"]),
            "exports": sorted(ours["exports"]),
            "signed": ours["signature"] != "Absent",
            "chained fixups": ours["chained_fixups"],
        }, from_lief(theirs)


def plain(version: str) -> list[int]:
    return (numbers(version) + [0, 0])[:3]


def from_lief(binary: lief.MachO.Binary) -> Values:
    libraries = [(lib.name, str(lib.command).rpartition(".")[2]) for lib in binary.libraries]
    build, old = binary.build_version, binary.version_min
    platform = str(build.platform).rpartition(".")[2] if build else "MACOS" if old else None
    trie = binary.has_dyld_exports_trie or (binary.has_dyld_info and binary.dyld_info.export_info[1])
    exported = (
        [export.symbol.name for export in (binary.dyld_exports_trie if binary.has_dyld_exports_trie else binary.dyld_info).exports]
        if trie
        else [symbol.name for symbol in binary.exported_symbols]
    )
    undefined = [s.name for s in binary.symbols if s.raw_type & 0xE0 == 0 and s.raw_type & 0x0E == 0 and s.raw_type & 1]
    return {
        "dependencies": [[name, COMMANDS[kind]] for name, kind in libraries if kind in COMMANDS],
        "install name": next((name for name, kind in libraries if kind == "ID_DYLIB"), None),
        "rpaths": [rpath.path for rpath in binary.rpaths],
        "minimum": list(build.minos) if build else list(old.version) if old else None,
        "sdk": list(build.sdk) if build else list(old.sdk) if old else None,
        "platform": platform if platform in ("MACOS", "MAC_CATALYST", None) else "other",
        "imports": sorted(undefined),
        "exports": sorted(exported),
        "signed": binary.has_code_signature,
        "chained fixups": binary.has_dyld_chained_fixups,
    }


# PE -------------------------------------------------------------------------------------------------------------------


def pe(path: str, facts: Values):
    ours = {
        "imports": imported(facts, False),
        "delay imports": imported(facts, True),
        "exports": sorted(facts["exports"]),
        "subsystem version": plain(facts["subsystem_version"])[:2],
        "os version": plain(facts["os_version"])[:2],
        "characteristics": facts["characteristics"],
        "signed": facts["signed"],
        "name": facts["name"],
    }
    binary = lief.PE.parse(path)
    header = binary.optional_header
    yield "lief", ours, {
        "imports": entries((i.name, e.is_ordinal, e.ordinal if e.is_ordinal else e.name) for i in binary.imports for e in i.entries),
        "delay imports": entries((i.name, e.is_ordinal, e.ordinal if e.is_ordinal else e.name) for i in binary.delay_imports for e in i.entries),
        "exports": sorted(e.name for e in binary.get_export().entries if e.name) if binary.has_exports else [],
        "subsystem version": [header.major_subsystem_version, header.minor_subsystem_version],
        "os version": [header.major_operating_system_version, header.minor_operating_system_version],
        "characteristics": header.dll_characteristics,
        "signed": binary.data_directory(lief.PE.DataDirectory.TYPES.CERTIFICATE_TABLE).rva != 0,
        "name": (binary.get_export().name or None) if binary.has_exports else None,
    }
    # It stops at 8192 exports otherwise; node.exe has more.
    other = pefile.PE(path, fast_load=True, max_symbol_exports=1 << 20)
    names = ("IMPORT", "DELAY_IMPORT", "EXPORT")
    other.parse_data_directories([pefile.DIRECTORY_ENTRY[f"IMAGE_DIRECTORY_ENTRY_{name}"] for name in names])
    export = getattr(other, "DIRECTORY_ENTRY_EXPORT", None)
    yield "pefile", ours, {
        "imports": from_pefile(getattr(other, "DIRECTORY_ENTRY_IMPORT", [])),
        "delay imports": from_pefile(getattr(other, "DIRECTORY_ENTRY_DELAY_IMPORT", [])),
        "exports": sorted(s.name.decode() for s in export.symbols if s.name) if export else [],
    }


def imported(facts: Values, delayed: bool) -> list:
    return entries(
        (library["library"], "Ordinal" in symbol, next(iter(symbol.values())))
        for library in facts["imports"]
        if library["delayed"] == delayed
        for symbol in library["symbols"]
    )


def from_pefile(libraries) -> list:
    return entries(
        # It gives a name to the numbers of some libraries of Windows, from a table of its own.
        (
            library.dll.decode(),
            symbol.import_by_ordinal,
            symbol.ordinal if symbol.import_by_ordinal else symbol.name.decode(),
        )
        for library in libraries
        for symbol in library.imports
    )


def entries(triples) -> list[str]:
    return sorted(f"{library} {'#' if is_ordinal else ''}{name}" for library, is_ordinal, name in triples)


# Report ---------------------------------------------------------------------------------------------------------------


def report(folder: pathlib.Path, results) -> None:
    rows = collections.defaultdict(collections.Counter)
    found = []
    for path, kind, count, differences in results:
        package = pathlib.Path(path).relative_to(folder).parts[0]
        row = rows[family(package)]
        row[kind] += 1
        row["values"] += count
        row["differences"] += len(differences)
        found += [(str(pathlib.Path(path).relative_to(folder)), *difference) for difference in differences]
    columns = ("Elf", "MachO", "Pe", "values", "differences")
    print("| packages | ELF | Mach-O | PE | values compared | differences |")
    print("|---|--:|--:|--:|--:|--:|")
    total = collections.Counter()
    for name, row in sorted(rows.items()):
        total.update(row)
        print(f"| {name} | " + " | ".join(str(row[column]) for column in columns) + " |")
    print("| **all** | " + " | ".join(f"**{total[column]}**" for column in columns) + " |")
    for path, value, oracle, ours, theirs in found:
        print(f"\n- `{path}`: {value}, {oracle}\n  - ours: `{ours}`\n  - theirs: `{theirs}`")


def family(package: str) -> str:
    """`@img+sharp-linux-x64@1.2.3` is of `@img/sharp-*`."""
    name = package.rpartition("@")[0].replace("+", "/")
    platform = r"[-/](android|darwin|freebsd|linux\w*|netbsd|openbsd|openharmony|sunos|aix|win32|win|windows)\b.*"
    return re.sub(platform, "-*", name)


if __name__ == "__main__":
    main()
