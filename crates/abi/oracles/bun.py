# /// script
# requires-python = ">=3.11"
# dependencies = ["pyelftools==0.33"]
# ///
"""Prints the functions of libuv that Bun has, for `src/check/bun-libuv.txt`: `uv run bun.py BUN...`, of each processor.

Bun exports every name of libuv. Those it lacks are all the same few instructions: they hand their own name to the
function that ends the program. So they are the largest group of one size, and each has its name among the data.
"""

import collections
import pathlib
import sys

from elftools.elf.elffile import ELFFile


def implemented(path: pathlib.Path) -> set[str]:
    with path.open("rb") as file:
        elf = ELFFile(file)
        symbols = elf.get_section_by_name(".dynsym").iter_symbols()
        sizes = {
            symbol.name: symbol["st_size"] for symbol in symbols
            if symbol.name.startswith("uv_") and symbol["st_shndx"] != "SHN_UNDEF"
        }
        data = elf.get_section_by_name(".rodata").data()
    [(common, _)] = collections.Counter(sizes.values()).most_common(1)
    return {name for name, size in sizes.items() if size != common or b"\0" + name.encode() + b"\0" not in data}


each = [implemented(pathlib.Path(path)) for path in sys.argv[1:]]
for name in sorted(set.intersection(*each)):
    print(name)
for name in sorted(set.union(*each) - set.intersection(*each)):
    sys.stderr.write(f"{name}: not for every processor\n")
