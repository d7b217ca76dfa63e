# /// script
# requires-python = ">=3.9"
# dependencies = ["lief==1.0.0"]
# ///
"""Checks an unpacked bundle for macOS with a reader that is not Gangway's own.

    uv run --script tests/mach_o.py <folder> <arm64 | x86_64>

Every file is looked at: one that begins as Mach-O must be for the processor (a universal one must have it), be executable
if it is a program, be signed if it is for arm64, and name only libraries that the system has or that are inside. What the runtime
exports must be in its symbol table too, with the same addresses. Links must lead somewhere inside. Prints one line per
Mach-O file and what is wrong; ends with 1 if something is.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

import lief

MAGIC = {
    b"\xcf\xfa\xed\xfe": "little, 64 bits",
    b"\xce\xfa\xed\xfe": "little, 32 bits",
    b"\xfe\xed\xfa\xcf": "big, 64 bits",
    b"\xfe\xed\xfa\xce": "big, 32 bits",
    b"\xca\xfe\xba\xbe": "universal",
    b"\xca\xfe\xba\xbf": "universal, 64 bits",
}
SYSTEM = ("/usr/lib/", "/System/Library/")
CPU = {"arm64": lief.MachO.Header.CPU_TYPE.ARM64, "x86_64": lief.MachO.Header.CPU_TYPE.X86_64}
PROGRAM = lief.MachO.Header.FILE_TYPE.EXECUTE
# Apple's arm64 systems kill a program of which a page is not what was signed.
CODE_DIRECTORY, SHA256 = 0xFADE0C02, 2


def main() -> int:
    folder, cpu = Path(sys.argv[1]), sys.argv[2]
    lief.logging.disable()
    faults: list[str] = []
    count = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_symlink():
            faults += [f"{name}: {fault}" for fault in link(folder, path)]
        elif path.is_file():
            faults += [f"{name}: {fault}" for fault in mode(folder, path)]
            with path.open("rb") as file:
                magic = file.read(4)
            # Java's class files share the magic of universal binaries.
            if magic in MAGIC and path.suffix != ".class":
                count += 1
                faults += [f"{name}: {fault}" for fault in binary(folder, path, cpu)]
    for fault in faults:
        print(f"WRONG {fault}")
    print(f"{count} Mach-O files, {len(faults)} faults")
    return 1 if faults or count == 0 else 0


def link(folder: Path, path: Path) -> list[str]:
    if os.path.isabs(os.readlink(path)):
        return ["an absolute link"]
    target = path.resolve()
    if not target.exists():
        return [f"leads nowhere: {os.readlink(path)}"]
    return [] if target.is_relative_to(folder.resolve()) else ["leads out of the bundle"]


def mode(folder: Path, path: Path) -> list[str]:
    bits = stat.S_IMODE(path.stat().st_mode)
    faults = []
    if bits & 0o022:
        faults.append(f"others may write to it ({bits:o})")
    if path.parent in (folder / "bin", folder / "runtime/bin") and not bits & 0o100:
        faults.append(f"a program that is not executable ({bits:o})")
    return faults


def binary(folder: Path, path: Path, cpu: str) -> list[str]:
    fat = lief.MachO.parse(str(path))
    if fat is None:
        return ["cannot be parsed"]
    slices = [part for part in fat if part.header.cpu_type == CPU[cpu]]
    if not slices:
        return [f"not for {cpu} but for {[str(part.header.cpu_type) for part in fat]}"]
    part = slices[0]
    faults = []
    if part.header.file_type == PROGRAM and not os.access(path, os.X_OK):
        faults.append("a program without the executable bit")
    # zig leaves x86-64 unsigned, and nothing asks for a signature there.
    if cpu == "arm64":
        faults += signature(path, part)
    if path.parent == folder / "runtime/bin":
        faults += symbols(part)
    runpaths = [command.path for command in part.rpaths]
    needed = [str(library.name) for library in part.libraries if library.command != lief.MachO.LoadCommand.TYPE.ID_DYLIB]
    for library in needed:
        if not resolves(folder, path, part, library, runpaths):
            faults.append(f"needs `{library}`, which is neither the system's nor inside (run paths {runpaths})")
    kind = str(part.header.file_type).rsplit(".", 1)[-1].lower()
    signed = "signed" if part.has_code_signature else "unsigned"
    local = part.dynamic_symbol_command.nb_local_symbols
    print(f"{path.relative_to(folder)}: {kind}, {len(needed)} libraries, {signed}, {local} local symbols")
    return faults


def resolves(folder: Path, path: Path, part: lief.MachO.Binary, library: str, runpaths: list[str]) -> bool:
    if library.startswith(SYSTEM):
        return True
    here = path.parent
    places = [library]
    if library.startswith("@rpath/"):
        places = [f"{runpath}/{library[len('@rpath/'):]}" for runpath in runpaths]
    for place in places:
        place = place.replace("@loader_path", str(here)).replace("@executable_path", str(here))
        if place.startswith(SYSTEM):
            return True
        file = Path(place).resolve()
        if file.is_file() and file.is_relative_to(folder.resolve()):
            return True
    # A weak library may be missing.
    weak = lief.MachO.LoadCommand.TYPE.LOAD_WEAK_DYLIB
    return any(str(item.name) == library and item.command == weak for item in part.libraries)


def symbols(part: lief.MachO.Binary) -> list[str]:
    """Whether the symbol table still says what the loader reads elsewhere: the trie of exports, fixups, stubs."""
    fits, reason = lief.MachO.check_layout(part)
    faults = [] if fits else [f"its layout: {reason}"]
    table = [symbol for symbol in part.symbols if symbol.origin == lief.MachO.Symbol.ORIGIN.SYMTAB]
    defined = {symbol.name: symbol.value for symbol in table if symbol.raw_type & 0x0E}
    undefined = {symbol.name for symbol in table if not symbol.raw_type & 0x0E}
    base = part.imagebase
    for symbol in part.symbols:
        if symbol.has_export_info and defined.get(symbol.name) != base + symbol.export_info.address:
            faults.append(f"exports `{symbol.name}` at another address than its symbol table says")
    bound = {binding.symbol.name for binding in part.bindings if binding.has_symbol}
    faults += [f"binds `{name}`, which is not in its symbol table" for name in sorted(bound - undefined - defined.keys())]
    if not defined or not bound:
        faults.append("exports or imports nothing")
    return faults[:20]


def signature(path: Path, part: lief.MachO.Binary) -> list[str]:
    if not part.has_code_signature:
        return ["is not signed"]
    start, whole = part.fat_offset, path.read_bytes()
    at = start + part.code_signature.data_offset
    blob = whole[at : at + part.code_signature.data_size]
    number = lambda offset, size=4: int.from_bytes(blob[offset : offset + size], "big")
    directories = [number(16 + 8 * index) for index in range(number(8))]
    checked = 0
    for offset in directories:
        if number(offset) != CODE_DIRECTORY or number(offset + 37, 1) != SHA256:
            continue
        hashes, count, limit = offset + number(offset + 16), number(offset + 28), number(offset + 32)
        size = 1 << number(offset + 39, 1)
        for page in range(count):
            content = whole[start + page * size : start + min((page + 1) * size, limit)]
            if hashlib.sha256(content).digest() != blob[hashes + 32 * page : hashes + 32 * page + 32]:
                return [f"its signature does not match page {page} of {count}"]
        checked += 1
    return [] if checked else ["its signature has no SHA-256 code directory"]


if __name__ == "__main__":
    sys.exit(main())
