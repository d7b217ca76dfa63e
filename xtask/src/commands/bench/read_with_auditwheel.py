# /// script
# requires-python = ">=3.11"
# dependencies = ["auditwheel==6.8.2", "pyelftools==0.33"]
# ///
"""What auditwheel reads of every ELF file below a folder: versions, libraries, whether it is an extension module."""

import pathlib
import sys

from auditwheel.elfutils import elf_find_versioned_symbols, elf_is_python_extension, elf_read_dt_needed
from elftools.elf.elffile import ELFFile

for path in pathlib.Path(sys.argv[1]).rglob("*"):
    if not path.is_file() or path.is_symlink():
        continue
    with path.open("rb") as file:
        if file.read(4) == b"\x7fELF":
            elf = ELFFile(file)
            elf_is_python_extension(path, elf)
            list(elf_find_versioned_symbols(elf))
            try:
                elf_read_dt_needed(path)
            except ValueError:
                pass  # linked statically
