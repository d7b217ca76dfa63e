# /// script
# requires-python = ">=3.11"
# dependencies = ["auditwheel==6.8.2", "pyelftools==0.33"]
# ///
"""The readers beside auditwheel's Python, over the same ELF files: `uv run speed.py FOLDER FACTS [ROUNDS]`.

FACTS is the compiled example `facts`. auditwheel reads what it reads of a wheel's file: the versions it needs, its
libraries, whether it is an extension module. Both read from the page cache, in turns; the time that Python takes to
start is left out, that of `facts` counts, and so does the writing of 70 MB of JSON by it. Medians of wall and CPU time.
"""

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

from auditwheel.elfutils import elf_is_python_extension, elf_read_dt_needed, elf_find_versioned_symbols
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile


def elves(folder: pathlib.Path) -> list[pathlib.Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(path)
    return found


def theirs(files: list[pathlib.Path]) -> int:
    read = 0
    for path in files:
        with path.open("rb") as file:
            try:
                elf = ELFFile(file)
                elf_is_python_extension(path, elf)
                list(elf_find_versioned_symbols(elf))
                elf_read_dt_needed(path)
                read += 1
            except (ELFError, ValueError, AttributeError, TypeError):
                pass  # what Go links for some systems
    return read


def measured(work) -> tuple[float, float]:
    def used() -> float:
        both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, both))
    wall, cpu = time.perf_counter(), used()
    work()
    return time.perf_counter() - wall, used() - cpu


def main() -> None:
    files = elves(pathlib.Path(sys.argv[1]))
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    names = "\n".join(map(str, files)).encode()
    ours = lambda: subprocess.run([sys.argv[2]], input=names, stdout=subprocess.DEVNULL, check=True)
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB, {os.cpu_count()} cores, "
          f"{theirs(files)} of them read by auditwheel\n")
    times = {"gangway-abi (every fact, one thread)": [], "auditwheel (versions, libraries)": []}
    for _ in range(rounds):
        for name, work in zip(times, (ours, lambda: theirs(files))):
            times[name].append(measured(work))
    print("| | wall | CPU |\n|---|--:|--:|")
    for name, both in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*both))
        print(f"| {name} | {wall:.2f} s | {cpu:.2f} s |")


main()
