# /// script
# requires-python = ">=3.11"
# ///
"""Fetches the packages of `corpus.txt` through npm and unpacks them: `uv run fetch.py FOLDER`.

npm's own configuration says where from. No script of a package is run. A package that is there already stays.
"""

import concurrent.futures
import pathlib
import subprocess
import sys
import tarfile

HERE = pathlib.Path(__file__).parent
PARALLEL = 3


def packages() -> list[tuple[str, str]]:
    lines = (HERE / "corpus.txt").read_text().splitlines()
    return [tuple(line.split()) for line in lines if line and not line.startswith("#")]


def fetch(name: str, version: str, folder: pathlib.Path) -> str | None:
    """What went wrong, if anything did."""
    place = folder / f"{name.replace('/', '+')}@{version}"
    if place.exists():
        return None
    partial = place.with_suffix(".partial")
    partial.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        ["npm", "pack", f"{name}@{version}", "--pack-destination", str(partial), "--silent"],
        capture_output=True, text=True, cwd=partial,
    )
    archives = list(partial.glob("*.tgz"))
    if packed.returncode != 0 or len(archives) != 1:
        return packed.stderr.strip() or "npm pack made no archive"
    with tarfile.open(archives[0]) as archive:
        archive.extractall(partial, filter="data")
    archives[0].unlink()
    partial.rename(place)
    return None


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    wanted = packages()
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        results = pool.map(lambda package: (package, fetch(*package, folder)), wanted)
        failed = [(package, error) for package, error in results if error]
    for (name, version), error in failed:
        print(f"{name}@{version}: {error}")
    print(f"{len(wanted) - len(failed)} of {len(wanted)} packages are in {folder}")
    sys.exit(bool(failed))


main()
