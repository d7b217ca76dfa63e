# /// script
# requires-python = ">=3.11"
# dependencies = ["pyelftools==0.32", "lief==0.17.0", "pefile==2024.8.26", "capstone==5.0.6"]
# ///
"""Confirms every finding about the bundles of examples/openclaw by an independent reader, or by loading the file.

    uv run openclaw.py BUNDLES PACKAGES MACHINES GANGWAY [QEMU] > ../../../docs/abi-openclaw.md

BUNDLES is what `bundle --all --out` wrote, PACKAGES and MACHINES are as for truth.py, GANGWAY is the builder, QEMU a static
qemu-x86_64. A finding that no oracle here knows how to confirm fails the run, as does one that the oracle denies.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import capstone
import lief
import pefile
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

import truth

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parents[2]
# What the largest groups of capstone's belong to: SSE3, SSSE3, SSE4.1, SSE4.2; AVX, AVX2, AVX-512, BMI, BMI2, FMA.
GROUPS = {
    capstone.x86.X86_GRP_SSE3: 2, capstone.x86.X86_GRP_SSSE3: 2, capstone.x86.X86_GRP_SSE41: 2,
    capstone.x86.X86_GRP_SSE42: 2, capstone.x86.X86_GRP_AVX: 3, capstone.x86.X86_GRP_AVX2: 3,
    capstone.x86.X86_GRP_BMI: 3, capstone.x86.X86_GRP_BMI2: 3, capstone.x86.X86_GRP_FMA: 3,
    capstone.x86.X86_GRP_AVX512: 4,
}
# How instructions begin that are worth a look: VEX, EVEX, and the maps of SSSE3 and SSE4; POPCNT.
CANDIDATE = re.compile(rb"[\xc4\xc5\x62]..|\x0f[\x38\x3a].|\xf3(?:[\x40-\x4f])?\x0f\xb8", re.S)
# The last byte of such words: SVE, then LSE and `ldapr`, then dot products.
ARM_CANDIDATE = re.compile(
    rb"...[\x04\x05\x24\x25\x44\x45\x64\x65\x84\x85\xa4\xa5\xc4\xc5\xe4\xe5]|...[\x38\x78\xb8\xf8\x08\x48\x88\xc8]|...[\x0e\x2e\x4e\x6e]",
    re.S,
)
ARM = re.compile(r"^(cas|swp|ld(add|clr|set|eor|smax|umax)|ldapr|[su]dot)|\b[zp]\d+\b")


class Bundle:
    def __init__(self, archive: pathlib.Path, gangway: str, folder: pathlib.Path):
        self.archive, self.folder = archive, folder
        command = [gangway, "verify", archive, "--manifest", REPOSITORY / "examples/openclaw", "--json"]
        said = subprocess.run(command, capture_output=True, text=True)
        if not said.stdout:
            raise SystemExit(said.stderr)
        self.report = json.loads(said.stdout)
        self.target = self.report["target"]
        manifest = json.loads(archive.with_name(archive.name.removesuffix(".tar.zst") + ".manifest.json").read_text())
        self.names = {pathlib.PurePosixPath(file["path"]).name.lower() for file in manifest["files"]}
        self.links = {link["path"]: link["target"] for link in manifest["links"]}
        self.native = [file["path"] for file in manifest["files"]]

    def unpack(self) -> None:
        """Of an archive of gigabytes only what findings are about and what it is loaded with."""
        wanted = {one["path"] for one in self.report["findings"] if one["path"]}
        for one in self.report["findings"]:
            wanted |= {name for name in re.findall(r"`([^`]+)`", one["required"]) if "/" in name}
        for path in list(wanted):
            there = str(pathlib.PurePosixPath(path).parent) + "/"
            wanted |= {name for name in self.native if name.startswith(there) and re.search(r"\.(so[.\d]*|dll|dylib|node)$", name)}
        wanted |= {name for name in self.native if re.match(r"runtime/bin/node(\.exe)?$|runtime/lib/", name)}
        self.folder.mkdir(parents=True, exist_ok=True)
        listed = self.folder.parent / "wanted"
        listed.write_text("\n".join(f"openclaw/{name}" for name in sorted(wanted & set(self.native))))
        command = ["tar", "--zstd", "--strip-components=1", "-xf", self.archive, "-C", self.folder, "-T", listed]
        subprocess.run(command, check=True)


def elf_of(path: pathlib.Path) -> dict:
    with path.open("rb") as file:
        elf = ELFFile(file)
        told = {"needed": [], "versions": [], "undefined": set(), "now": False, "relro": False}
        told["relro"] = any(segment["p_type"] == "PT_GNU_RELRO" for segment in elf.iter_segments())
        for section in elf.iter_sections():
            if isinstance(section, GNUVerNeedSection):
                for need, versions in section.iter_versions():
                    told["versions"] += [(need.name, version.name) for version in versions]
            if isinstance(section, DynamicSection):
                for tag in section.iter_tags():
                    if tag.entry.d_tag == "DT_NEEDED":
                        told["needed"].append(tag.needed)
                    told["now"] |= tag.entry.d_tag == "DT_BIND_NOW"
                    told["now"] |= tag.entry.d_tag == "DT_FLAGS" and tag.entry.d_val & 8 != 0
                    told["now"] |= tag.entry.d_tag == "DT_FLAGS_1" and tag.entry.d_val & 1 != 0
            if section.name == ".dynsym":
                told["undefined"] = {symbol.name for symbol in section.iter_symbols() if symbol["st_shndx"] == "SHN_UNDEF"}
        return told


def imports_of(path: pathlib.Path) -> set[str]:
    pe = pefile.PE(path, fast_load=True)
    pe.parse_data_directories([1, 13])
    entries = getattr(pe, "DIRECTORY_ENTRY_IMPORT", []) + getattr(pe, "DIRECTORY_ENTRY_DELAY_IMPORT", [])
    return {entry.dll.decode().lower() for entry in entries}


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def code_of(path: pathlib.Path) -> list[tuple[int, bytes]]:
    """Sections with code, by lief: their addresses and bytes."""
    binary = lief.parse(str(path))
    if isinstance(binary, lief.ELF.Binary):
        has_code = lambda section: section.has(lief.ELF.Section.FLAGS.EXECINSTR)
    elif isinstance(binary, lief.PE.Binary):
        has_code = lambda section: section.has_characteristic(lief.PE.Section.CHARACTERISTICS.MEM_EXECUTE)
    else:
        has_code = lambda section: section.segment_name == "__TEXT" and "text" in section.name
    return [(section.virtual_address, bytes(section.content)) for section in binary.sections if has_code(section)]


def instruction_of(path: pathlib.Path, is_arm: bool, level: int) -> str | None:
    """The first instruction that capstone says is beyond the level, among code that it can read."""
    kind = (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM) if is_arm else (capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    reader = capstone.Cs(*kind)
    reader.detail = not is_arm
    for address, code in code_of(path):
        if is_arm:
            for found in ARM_CANDIDATE.finditer(code):
                these = list(reader.disasm(code[found.start():found.start() + 24], address + found.start(), 6))
                if found.start() % 4 == 0 and len(these) == 6 and ARM.search(f"{these[0].mnemonic} {these[0].op_str}"):
                    return f"`{these[0].mnemonic} {these[0].op_str}` at {these[0].address:#x}"
            continue
        for found in CANDIDATE.finditer(code):
            for back in (0, 1):
                start = found.start() - back
                these = list(reader.disasm(code[max(start, 0):start + 64], address + start, 6))
                if len(these) == 6 and (any(GROUPS.get(group, 0) > level for group in these[0].groups) or
                                        (these[0].mnemonic == "popcnt" and level < 2)):
                    return f"`{these[0].mnemonic} {these[0].op_str}` at {these[0].address:#x}"
    return None


class Oracle:
    """One bundle's: each method is called for findings of the check of its name; it says who, what, and whether that agrees."""

    def __init__(self, bundle: Bundle, machines: pathlib.Path, qemu: str):
        self.bundle, self.machines, self.qemu = bundle, machines, qemu
        self.cpu = "arm64" if "arm64" in bundle.target or "jetson" in bundle.target else "x64"

    def confirm(self, finding: dict) -> tuple[str, bool]:
        method = getattr(self, finding["code"].replace("-", "_"), None)
        if method is None:
            return "no oracle here", False
        return method(finding, self.bundle.folder / finding["path"])

    def root(self, below: list[int] | None) -> truth.Root | None:
        """The oldest root for the bundle's processor and C library, if it is older than this."""
        if self.bundle.target.endswith("-musl"):
            return truth.Root("x64", "musl", self.machines) if self.cpu == "x64" else None
        if "linux" not in self.bundle.target and "jetson" not in self.bundle.target:
            return None
        if self.cpu == "arm64" and not truth.ARM64.exists():
            return None
        root = truth.Root(self.cpu, "bullseye", self.machines)
        return root if below is None or numbers(root.glibc) < below else None

    def loaded(self, finding: dict, root: truth.Root | None, settings: dict | None = None) -> str | None:
        """What the loader says in the root; `None`: there is none to load it in."""
        if root is None:
            return None
        (self.bundle.folder / "probe.cjs").write_text(truth.PROBE)
        said = root.start(
            self.bundle.folder, ["/bundle/runtime/bin/node", "/bundle/probe.cjs"],
            {"ADDON": f"/bundle/{finding['path']}", "LD_BIND_NOW": "1", **(settings or {})},
        )
        if "LOADED" in said.stdout:
            return f"it loads ({root.title()})"
        return f"`{truth.first_line(said).replace('Error: ', '').replace('|', chr(183))[:140]}` ({root.title()})"

    def glibc_floor(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        of_glibc = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libutil.so.1"}
        versions = [numbers(version) for file, version in elf_of(path)["versions"]
                    if file in of_glibc and re.fullmatch(r"GLIBC_[\d.]+", version)]
        newest = max(versions)
        told = f"pyelftools: GLIBC_{'.'.join(map(str, newest))}"
        agrees = newest == numbers(finding["required"])
        root = self.root(newest)
        happened = self.loaded(finding, root)
        if happened:
            # The loader names the first version that it misses.
            missed = re.search(r"GLIBC_([\d.]+)", happened)
            return f"{told}; loaded: {happened}", agrees and bool(missed) and numbers(missed[1]) > numbers(root.glibc)
        return told, agrees

    def library_closure(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        name = finding["subject"]
        if self.bundle.target.startswith("windows"):
            there = name.lower() in imports_of(path) and name.lower() not in self.bundle.names
            return f"pefile: imports {name}, and the bundle has none", there
        there = name in elf_of(path)["needed"] and name.lower() not in self.bundle.names
        told = f"pyelftools: NEEDED {name}, and the bundle has none"
        happened = self.loaded(finding, self.root(None))
        if happened:
            # The loader names the first one that it misses.
            others = {one["subject"] for one in self.bundle.report["findings"]
                      if one["path"] == finding["path"] and one["code"] in ("library-closure", "glibc-floor")}
            return f"{told}; loaded: {happened}", there and any(other in happened for other in others)
        return told, there

    def vc_runtime(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        name = finding["subject"].lower()
        return f"pefile: imports {finding['subject']}, and the bundle has none", \
            name in imports_of(path) and name not in self.bundle.names

    def macos_minimum(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        binary = lief.MachO.parse(str(path)).at(0)
        command = binary.build_version or binary.version_min
        version = list(command.minos if binary.build_version else command.version)
        wanted = numbers(finding["required"])
        return f"lief: minos {'.'.join(map(str, version))}", version[:len(wanted)] == wanted

    def symbol_closure(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        elf = elf_of(path)
        names = re.findall(r"`([^`]+)`", finding["required"])
        happened = self.loaded(finding, self.root(None))
        told = f"pyelftools: {', '.join(names)} undefined, NEEDED is {', '.join(elf['needed']) or 'empty'}"
        return told + (f"; loaded: {happened}, with Node's libm" if happened else ""), \
            set(names) <= elf["undefined"] and "libm.so.6" not in elf["needed"]

    def hardening(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        elf = elf_of(path)
        told = f"pyelftools: RELRO {'yes' if elf['relro'] else 'no'}, bound at start {'yes' if elf['now'] else 'no'}"
        return told, not (elf["relro"] and elf["now"])

    def opened_libraries(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        content = path.read_bytes()
        names = re.findall(r"`([^`]+)`", finding["required"])
        return f"the texts are in the file, and not NEEDED: {', '.join(names)}", \
            all(name.encode() in content for name in names) and not set(names) & set(elf_of(path)["needed"])

    def x86_64_level(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        return self.processor(finding, int(finding["offered"].removeprefix("x86-64-v")))

    def arm_features(self, finding: dict, path: pathlib.Path) -> tuple[str, bool]:
        return self.processor(finding, 0)

    def processor(self, finding: dict, level: int) -> tuple[str, bool]:
        listed = [name for name in re.findall(r"`([^`]+)`", finding["required"]) if "/" in name]
        told, agrees = [], True
        for name in [finding["path"]] if finding["path"] else listed:
            found = instruction_of(self.bundle.folder / name, self.cpu == "arm64", level)
            agrees &= found is not None
            told.append(f"{pathlib.PurePosixPath(name).name}: {found or 'none found'}")
        return "capstone: " + "; ".join(told) + self.emulated(finding, listed), agrees

    def emulated(self, finding: dict, listed: list[str]) -> str:
        """What happens on the least processor, as far as this machine can tell."""
        addons = [finding["path"]] if finding["path"] else [name for name in listed if name.endswith(".node")]
        if self.cpu == "arm64":
            model = "cortex-a57"
            start = lambda name: self.loaded({"path": name}, self.root(None), {"QEMU_CPU": model})
        else:
            model = "qemu64,-pni"
            start = self.on_x86
        if "linux" not in self.bundle.target or "musl" in self.bundle.target or (self.cpu == "arm64" and not self.root(None)):
            return ""
        return f"; on {model}: " + ", ".join(f"{pathlib.PurePosixPath(name).name}: {start(name)}" for name in addons) if addons else ""

    def on_x86(self, name: str) -> str:
        (self.bundle.folder / "probe.cjs").write_text(truth.PROBE)
        node = self.bundle.folder / "runtime/bin/node"
        said = subprocess.run(
            [self.qemu, "-cpu", "qemu64,-pni", node, self.bundle.folder / "probe.cjs"], capture_output=True, text=True,
            errors="replace", env={"ADDON": str(self.bundle.folder / name), "PATH": os.environ["PATH"]},
        )
        return "it loads" if "LOADED" in said.stdout else f"`{truth.first_line(said)}`"


def confirmed(archive: pathlib.Path, gangway: str, machines: pathlib.Path, qemu: str) -> tuple[str, list]:
    """The target of a bundle, and for each finding what the oracle says."""
    folder = machines / archive.name.removesuffix(".tar.zst")
    shutil.rmtree(folder, ignore_errors=True)
    bundle = Bundle(archive, gangway, folder / "tree")
    bundle.unpack()
    oracle = Oracle(bundle, machines, qemu)
    told = [(finding, *oracle.confirm(finding)) for finding in bundle.report["findings"]]
    shutil.rmtree(folder, ignore_errors=True)
    sys.stderr.write(f"{bundle.target}: {len(told)} findings\n")
    return bundle.target, told


def main() -> None:
    bundles, _, machines = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    gangway = sys.argv[4]
    qemu = sys.argv[5] if len(sys.argv) > 5 else "qemu-x86_64-static"
    counts, rows, wrong = collections.Counter(), collections.OrderedDict(), []
    with concurrent.futures.ProcessPoolExecutor(4) as pool:
        archives = sorted(bundles.glob("openclaw-*.tar.zst"))
        runs = [pool.submit(confirmed, archive, gangway, machines, qemu) for archive in archives]
        every = [run.result() for run in runs]
    for target, findings in every:
        rows[target] = []
        for finding, told, agrees in findings:
            verdict = finding["verdict"] + (", allowed" if finding["allowed"] else "")
            counts[verdict] += 1
            counts["confirmed"] += agrees
            where = f"`{finding['path']}`" if finding["path"] else "the bundle"
            where = where.replace("app/node_modules/", "")
            needs = f"{finding['code']}: {finding['required']}"[:160]
            rows[target].append(f"| {where} | {needs} | {verdict} | {told} | {'yes' if agrees else '**no**'} |")
            if not agrees:
                wrong.append(f"{target}: {finding['code']} {finding['path']}: {told}")
    print((HERE / "openclaw.md").read_text())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()) if kind != "confirmed")
    print(f"**{len(rows)} bundles, {sum(map(len, rows.values()))} findings ({kinds}), {counts['confirmed']} confirmed.**\n")
    for target, lines in rows.items():
        print(f"## {target}\n\n| file | finding | verdict | the oracle | confirmed |\n|---|---|---|---|---|")
        print("\n".join(lines) + "\n")
    for line in wrong:
        sys.stderr.write(f"NOT CONFIRMED: {line}\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
