# /// script
# requires-python = ">=3.10"
# dependencies = ["tree-sitter==0.26.1", "tree-sitter-powershell==0.26.4"]
# ///
"""Reads a PowerShell script with a grammar that is not PowerShell's own, where there is no PowerShell.

    uv run --script tests/power_shell.py <file>

Prints every place that makes no sense; ends with 1 if there is one, or if the script without its last lines makes sense: then half
a download would do something.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tree_sitter
import tree_sitter_powershell


def main() -> int:
    source = Path(sys.argv[1]).read_bytes()
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    faults = list(faults_in(parser.parse(source).root_node))
    for row, column, kind in faults:
        print(f"{sys.argv[1]}:{row + 1}:{column + 1}: {kind}")
    start = source.index(b"\nif ($true) {") + 1
    cut = [end for end in ends(source, start) if not parser.parse(source[:end]).root_node.has_error]
    for end in cut:
        print(f"{sys.argv[1]}: makes sense when it ends at byte {end} of {len(source)}")
    print(f"{len(faults)} faults, {len(cut)} ends")
    return 1 if faults or cut else 0


def faults_in(node: tree_sitter.Node):
    if node.type == "ERROR" or node.is_missing:
        yield *node.start_point, "missing" if node.is_missing else "error"
    for child in node.children:
        yield from faults_in(child)


def ends(source: bytes, start: int):
    """The end of every line, and every byte of the last ones."""
    for end in range(start + 1, len(source) - 1):
        if source[end : end + 1] == b"\n" or end > len(source) - 80:
            yield end


if __name__ == "__main__":
    sys.exit(main())
