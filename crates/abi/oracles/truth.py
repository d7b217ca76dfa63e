# /// script
# requires-python = ">=3.11"
# ///
"""Loads published addons into real runtimes in real roots, and compares with what the checks said before.

    uv run truth.py PACKAGES MACHINES JUDGE > ../../../docs/abi-truth.md

PACKAGES is where packages are kept (fetched through npm and uv when they are missing, no script of one is run),
MACHINES what `.ci/machines MACHINES roots` made, JUDGE the compiled example `judge`. `truth.json` says what is loaded.

Each pair is an addon and a root with a runtime. The static half gets the runtime's file, the addon, the libraries that
come with it, and as policy what is in the root: its glibc, its libstdc++, its libraries. The other half starts the
runtime in that root with LD_BIND_NOW=1, so that every function is bound, has it open the addon, and calls a function of
it where that needs no set-up.
"""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parents[2]
ARM64 = REPOSITORY.parent / "shared/tools/arm64.sh"
PROBE = """
const addon = (() => {
  const file = process.env.ADDON
  const isNode = !process.versions.bun && !process.versions.deno
  // musl does not know LD_BIND_NOW, and puts off what it does not find unless it is asked not to.
  const flags = isNode ? [require('os').constants.dlopen.RTLD_NOW] : []
  const module = { exports: {} }
  try { process.dlopen(module, file, ...flags) } catch (error) {
    // A library that is no addon: the loader's part is over when the runtime says so.
    if (file.endsWith('.node') || !/did not self-register/.test(String(error))) {
      console.log(String(error))
      process.exit(1)
    }
  }
  return module.exports
})()
console.log('LOADED')
if (process.env.CALL) console.log(eval(process.env.CALL) ? 'CALLED' : 'CALLED IN VAIN')
process.exit(0)
"""
# What the emulated processor would say of itself: onnxruntime looks there while it is loaded, finds this machine's
# instead, and crashes. These are the cores of a Jetson Orin.
CPUINFO = "".join(
    f"processor\t: {number}\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm "
    "lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd42\n\n"
    for number in range(2)
)
ROOTS = [
    ("x64", "bullseye"), ("x64", "bookworm"), ("x64", "trixie"), ("x64", "musl"),
    ("arm64", "bullseye"), ("arm64", "bookworm"),
]


def fetched(package: str, folder: pathlib.Path) -> pathlib.Path:
    name, version = package.rsplit("@", 1)
    place = folder / f"{name.replace('/', '+')}@{version}" / "package"
    if not place.is_dir():
        partial = place.parent.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        subprocess.run(["npm", "pack", package, "--silent"], cwd=partial, check=True, capture_output=True)
        [archive] = partial.glob("*.tgz")
        subprocess.run(["tar", "-xzf", archive.name], cwd=partial, check=True)
        archive.unlink()
        partial.rename(place.parent)
    return place


def wheel(musl: dict, folder: pathlib.Path) -> pathlib.Path:
    place = folder / musl["wheel"].replace("==", "@")
    if not place.is_dir():
        subprocess.run(
            ["uv", "pip", "install", "--quiet", "--target", place, "--python-platform", musl["platform"],
             "--python-version", "3.12", "--no-deps", "--only-binary", ":all:", musl["wheel"]],
            check=True,
        )
    return place


class Root:
    """A system, and what is promised of it."""

    def __init__(self, cpu: str, name: str, machines: pathlib.Path):
        self.cpu, self.name, self.machines = cpu, name, machines
        folders = {"musl": machines / "musl"}.get(name, machines / f"root-{name}")
        self.place = machines / "arm64/root" / name if cpu == "arm64" else folders
        self.is_musl = name == "musl"
        libraries = [path for part in ("lib*", "usr/lib*", "lib/*-linux-gnu", "usr/lib/*-linux-gnu")
                     for place in self.place.glob(part) for path in place.glob("*.so*")]
        self.libraries = sorted({path.name for path in libraries})
        self.glibc = None if self.is_musl else self.newest(libraries, "libc.so.6", rb"release version (\d+\.\d+)")
        self.libstdcxx = None if self.is_musl else self.newest(libraries, "libstdc++.so.6", rb"GLIBCXX_(\d+(?:\.\d+)+)\0")

    @staticmethod
    def newest(libraries, name: str, pattern: bytes) -> str:
        file = next(path for path in libraries if path.name == name)
        found = re.findall(pattern, file.resolve().read_bytes())
        return max((text.decode() for text in found), key=lambda text: [int(part) for part in text.split(".")])

    def title(self) -> str:
        return f"{self.cpu}, " + ("musl 1.2.5" if self.is_musl else f"glibc {self.glibc}")

    def start(self, bundle: pathlib.Path, command: list[str], settings: dict) -> subprocess.CompletedProcess:
        bind = ["--bind", f"{bundle}:/bundle"]
        if self.cpu == "arm64":
            info = self.machines / "cpuinfo"
            info.write_text(CPUINFO)
            told = ["unshare", "-Urm", "sh", "-c", 'mount --bind "$0" /proc/cpuinfo && exec "$@"', info]
            before = [*told, ARM64, "run", "--dest", self.machines / "arm64", self.name, *bind, "--"]
        else:
            before = [REPOSITORY / "tests/in-root.sh", self.place, *bind, "--"]
        return subprocess.run(
            [*before, *command], capture_output=True, env={"PATH": os.environ["PATH"], **settings},
            text=True, errors="replace", timeout=300,
        )


class Pair:
    def __init__(self, root: Root, runtime: str, title: str, addon: dict | None):
        self.root, self.runtime, self.title, self.addon = root, runtime, title, addon
        self.id = f"{root.title()} | {runtime} | {title}"


def pairs(plan: dict, machines: pathlib.Path) -> list[Pair]:
    """Every addon in every root with one Node, and those marked `everywhere` with every runtime in one root."""
    made = []
    for cpu, name in ROOTS:
        if cpu == "arm64" and not ARM64.exists():
            sys.stderr.write(f"NOT LOADED: {cpu}, {name}; there is no {ARM64}\n")
            continue
        root = Root(cpu, name, machines)
        runtimes = ["musl"] if root.is_musl else [key for key, one in plan["runtimes"].items() if cpu in one]
        for runtime in runtimes:
            made.append(Pair(root, runtime, "the runtime itself", None))
        for addon in plan["addons"]:
            spelled = {key: value.replace("{cpu}", cpu) if isinstance(value, str) else value
                       for key, value in addon.items()}
            if re.search(r"(x64|arm64)", spelled["package"] + spelled["file"]) is None or \
                    cpu not in spelled["package"] + spelled["file"]:
                continue
            name_of = f"{spelled['package']} `{spelled['file']}`"
            for runtime in runtimes:
                is_one = runtime in ("node24", "musl")
                if is_one or (root.name == "bookworm" and addon.get("everywhere")):
                    made.append(Pair(root, runtime, name_of, spelled))
    return made


def laid_out(pair: Pair, plan: dict, folder: pathlib.Path, bundle: pathlib.Path) -> tuple[list[dict], str, dict]:
    """Makes the bundle's folder; what is in it, its program, and what is known of the runtime."""
    shutil.rmtree(bundle, ignore_errors=True)
    about = plan["musl"] if pair.root.is_musl else plan["runtimes"][pair.runtime]
    source = wheel(about, folder) if pair.root.is_musl else fetched(about[pair.root.cpu], folder)
    files = []

    def put(at: pathlib.Path, path: str, role: str) -> None:
        to = bundle / path
        to.parent.mkdir(parents=True, exist_ok=True)
        os.link(at, to)
        files.append({"path": path, "at": str(at), "role": role})

    program = f"runtime/{about['program']}"
    (source / about["program"]).chmod(0o755)
    put(source / about["program"], program, "runtime")
    for pattern in about.get("libraries", []):
        for path in source.glob(pattern):
            put(path, f"runtime/{path.relative_to(source)}", "library")
    if pair.addon:
        packages = [pair.addon["package"]] + ([pair.addon["beside"]] if "beside" in pair.addon else [])
        places = [fetched(package, folder) for package in packages]
        inside = [f"app/node_modules/{package.rsplit('@', 1)[0]}" for package in packages]
        put(places[0] / pair.addon["file"], f"{inside[0]}/{pair.addon['file']}", "addon")
        for pattern in pair.addon.get("libraries", []):
            for path in places[-1].glob(pattern.replace("{cpu}", pair.root.cpu)):
                put(path, f"{inside[-1]}/{path.relative_to(places[-1])}", "library")
    (bundle / "probe.cjs").write_text(PROBE)
    return files, program, about


VERSIONS: dict[str, dict] = {}


def versions(pair: Pair, bundle: pathlib.Path, program: str, about: dict) -> dict:
    """What the runtime says of itself, on the first root that it starts on."""
    ask = "console.log(JSON.stringify([process.versions, process.version]))"
    command = ["eval", ask] if about["engine"] == "deno" else ["-e", ask]
    said = pair.root.start(bundle, [f"/bundle/{program}", *command], {"DENO_DIR": "/tmp/deno"})
    its, version = json.loads(said.stdout)
    return {"engine": about["engine"], "version": its.get(about["engine"]) or version.lstrip("v"),
            "modules": int(its["modules"]), "node_api": int(its.get("napi") or 10)}


def ran(pair: Pair, program: str, about: dict, bundle: pathlib.Path) -> tuple[bool, str]:
    """Whether it was loaded, and what was said if not."""
    settings = {"LD_BIND_NOW": "1", "DENO_DIR": "/tmp/deno", "NO_COLOR": "1", "BUN_RUNTIME_TRANSPILER_CACHE_PATH": "0"}
    if pair.addon is None:
        said = pair.root.start(bundle, [f"/bundle/{program}", "--version"], settings)
        if said.returncode == 0 and re.search(r"\d+\.\d+\.\d+", said.stdout):
            return True, said.stdout.split("\n")[0]
        return False, first_line(said)
    own = pair.addon["package"].rsplit("@", 1)[0]
    settings["ADDON"] = f"/bundle/app/node_modules/{own}/{pair.addon['file']}"
    settings["CALL"] = pair.addon.get("call", "")
    command = ["run", "-A", "--no-prompt"] if about["engine"] == "deno" else []
    said = pair.root.start(bundle, [f"/bundle/{program}", *command, "/bundle/probe.cjs"], settings)
    wanted = "CALLED" if settings["CALL"] else "LOADED"
    lines = said.stdout.split()
    if wanted in lines and said.returncode == 0:
        return True, {"CALLED": "loaded, called", "LOADED": "loaded"}[wanted]
    return False, ("loaded; the call: " if "LOADED" in lines else "") + first_line(said)


def first_line(said: subprocess.CompletedProcess) -> str:
    telling = re.compile(r"rror|panic|undefined symbol|not found|cannot|annot open|different Node|uv function|No such")
    lines = [line.strip() for line in (said.stderr + said.stdout).splitlines() if line.strip()]
    line = next((line for line in lines if telling.search(line) and not line.startswith(("at ", "throw", "return "))), "")
    line = line or (lines[0] if lines else "")
    signal = f"signal {-said.returncode}" if said.returncode < 0 else f"status {said.returncode}"
    if said.returncode in (132, 134, 139):
        signal = f"signal {said.returncode - 128}"
    return line.replace("/bundle/", "")[:200] or f"nothing, {signal}"


def judged(judge: str, cases: list[dict]) -> dict[str, list[dict]]:
    said = subprocess.run([judge], input="\n".join(map(json.dumps, cases)), capture_output=True, text=True)
    if said.returncode != 0:
        raise SystemExit(said.stderr)
    return {one["id"]: one["findings"] for one in map(json.loads, said.stdout.splitlines())}


def verdict(pair: Pair, findings: list[dict]) -> tuple[str, list[str]]:
    """The worst that is said of what is loaded, and by which checks. Processors (13 and 14) are cpu.py's."""
    start = "app/" if pair.addon else "runtime/"
    own = [one for one in findings if one["path"].startswith(start)]
    for level in ("broken", "unknown"):
        codes = dict.fromkeys(one["code"] for one in own if one["verdict"] == level)
        if codes:
            return level, list(codes)
    return "fine", []


def explanation(plan: dict, key: str, codes: list[str]) -> str | None:
    for entry in plan["explained"]:
        if entry["code"] in codes and re.search(entry["pair"], key):
            return entry["because"]
    return None


def report(plan: dict, results: list) -> bool:
    """Prints the page; whether everything agrees or is explained."""
    counts = collections.Counter()
    tables, odd, unexplained = collections.defaultdict(list), collections.OrderedDict(), []
    for pair, (level, codes), (is_loaded, told), _ in results:
        if level == "unknown":
            mark = "undecided"
        else:
            mark = "agrees" if (level == "fine") == is_loaded else "differs"
        counts[mark] += 1
        if mark != "agrees":
            why = explanation(plan, pair.id, codes)
            if why is None:
                unexplained.append(pair.id)
            odd.setdefault(why or "not explained", []).append((pair, codes, told))
        said = "loads" if level == "fine" else f"{level}: {', '.join(codes)}"
        happened = told if is_loaded and pair.addon else f"`{told}`".replace("|", "\\|")
        sign = {"agrees": "yes", "differs": "**no**", "undecided": "-"}[mark]
        tables[(pair.root.title(), pair.runtime)].append(f"| {pair.title} | {said} | {happened} | {sign} |")
    print((HERE / "truth.md").read_text())
    print(f"**{sum(counts.values())} pairs: {counts['agrees']} agree, {counts['differs']} differ, "
          f"{counts['undecided']} were left undecided by the checks.**\n")
    refused = sum(1 for _, (level, _), (is_loaded, _), _ in results if level == "broken" and not is_loaded)
    print(f"Of those that agree, {refused} were called broken and were refused, and "
          f"{counts['agrees'] - refused} load.\n")
    for why, ones in odd.items():
        print(f"- {why}")
        for pair, codes, told in ones:
            print(f"  - {pair.id.replace('|', chr(183))}: {', '.join(codes) or 'nothing'}; {told}")
    print()
    for (root, runtime), rows in tables.items():
        print(f"## {root}: {NAMES.get(runtime, runtime)}\n")
        print("| addon | the checks say | what happened | agree |\n|---|---|---|---|")
        print("\n".join(rows) + "\n")
    for key in unexplained:
        sys.stderr.write(f"NOT EXPLAINED: {key}\n")
    return not unexplained


NAMES: dict[str, str] = {}


def main() -> None:
    folder, machines, judge = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    only = sys.argv[4] if len(sys.argv) > 4 else ""
    plan = json.loads((HERE / "truth.json").read_text())
    bundle = machines / "bundle"
    cases, happened = [], {}
    for pair in (pair for pair in pairs(plan, machines) if only in pair.id):
        files, program, about = laid_out(pair, plan, folder, bundle)
        cases.append({
            "id": pair.id, "machine": {"x64": "X64", "arm64": "Arm64"}[pair.root.cpu],
            "c_library": "Musl" if pair.root.is_musl else "Glibc", "glibc": pair.root.glibc,
            "libstdcxx": pair.root.libstdcxx, "musl": "1.2.5" if pair.root.is_musl else None,
            "libraries": pair.root.libraries, "runtime": pair.runtime, "files": files,
        })
        happened[pair.id] = (pair, ran(pair, program, about, bundle))
        if happened[pair.id][1][0] and pair.runtime not in VERSIONS:
            VERSIONS[pair.runtime] = versions(pair, bundle, program, about)
        sys.stderr.write(f"{pair.id}: {happened[pair.id][1]}\n")
    for case in cases:
        case["runtime"] = VERSIONS[case["runtime"]]
    findings = judged(str(judge), cases)
    results = [(pair, verdict(pair, findings[key]), ran_so, findings[key]) for key, (pair, ran_so) in happened.items()]
    shutil.rmtree(bundle, ignore_errors=True)
    for runtime, its in VERSIONS.items():
        NAMES[runtime] = f"{its['engine'].capitalize()} {its['version']}"
    sys.exit(not report(plan, results))


if __name__ == "__main__":
    main()
