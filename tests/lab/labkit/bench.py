# SPDX-License-Identifier: GPL-2.0-or-later
"""pcivm against QEMU in one emulated host: how long a start takes and what it asks of the kernel.

bench/measure.sh runs the guests inside and prints what it saw; here is which guests, in which order, and the table.
A pair is run A-B-B-A, so that a drift of the machine's speed falls on both sides alike. Runs whose time is taken are
not those whose events are counted: counting costs time, and not the same on both sides.
"""

import argparse
import collections
import dataclasses
import datetime
import json
import os
import re
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import cache, topology
from .host import Content, Host, Stuck

TOPOLOGY = "bench"
ATTEMPTS = 3  # of one guest under --icount
START_OF_HOST = 60.0  # seconds that a script in the host may take beside its guests

# name -> VMM as measure.sh calls it, kernel file
SETUPS = {
    "qemu-pvh": ("qemu", "vmlinux"),
    "qemu-qboot": ("qemu-qboot", "vmlinux"),
    "qemu-microvm": ("qemu-microvm", "vmlinux"),
    "qemu-bzimage": ("qemu", "bzImage"),
    "pcivm-pvh": ("pcivm", "vmlinux"),
    "pcivm-bzimage": ("pcivm", "bzImage"),
}
PAIRS = ["qemu-pvh,pcivm-pvh", "qemu-bzimage,pcivm-bzimage"]
DEVICES = ["none", "vf"]
SIDES = ("left", "right")

# The host's clock under --icount is the number of instructions its one processor executed, 2 ns each.
ICOUNT_PROCESSOR = ["-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off", "-smp", "1",
                    "-cpu", "max,-rdrand,-rdseed", "-rtc", "base=2026-01-01T00:00:00,clock=vm"]
ICOUNT_HOST = "nokaslr random.trust_cpu=0"
ICOUNT_GUEST = "nokaslr lpj=4000000 tsc=reliable no_timer_check"

# linux/kvm.h, KVM_EXIT_*
EXITS = {0: "UNKNOWN", 2: "IO", 4: "DEBUG", 5: "HLT", 6: "MMIO", 7: "IRQ_WINDOW_OPEN", 8: "SHUTDOWN", 9: "FAIL_ENTRY",
         10: "INTR", 11: "SET_TPR", 12: "TPR_ACCESS", 16: "NMI", 17: "INTERNAL_ERROR", 24: "SYSTEM_EVENT", 26: "IOAPIC_EOI", 27: "HYPERV", 29: "X86_RDMSR",
         30: "X86_WRMSR", 39: "MEMORY_FAULT"}
# linux/vfio.h; the number says which call only together with the descriptor, which the trace does not have.
VFIO_CALLS = {100: "GET_API_VERSION", 101: "CHECK_EXTENSION", 102: "SET_IOMMU", 103: "GROUP_GET_STATUS",
              104: "GROUP_SET_CONTAINER", 105: "GROUP_UNSET_CONTAINER", 106: "GROUP_GET_DEVICE_FD",
              107: "DEVICE_GET_INFO", 108: "DEVICE_GET_REGION_INFO", 109: "DEVICE_GET_IRQ_INFO",
              110: "DEVICE_SET_IRQS", 111: "DEVICE_RESET", 112: "IOMMU_GET_INFO, GET_PCI_HOT_RESET_INFO",
              113: "IOMMU_MAP_DMA, PCI_HOT_RESET", 114: "IOMMU_UNMAP_DMA", 116: "DEVICE_IOEVENTFD",
              117: "DEVICE_FEATURE, IOMMU_DIRTY_PAGES", 118: "DEVICE_BIND_IOMMUFD", 119: "DEVICE_ATTACH_IOMMUFD_PT",
              129: "IOAS_ALLOC", 132: "IOAS_IOVA_RANGES", 133: "IOAS_MAP", 134: "IOAS_UNMAP"}
TYPE_VFIO, TYPE_KVM = 0x3B, 0xAE
HISTOGRAM = re.compile(r"{ \w+: +(\d+) } hitcount: +(\d+)")


@dataclass
class Sample:
    """One guest, from the start of its VMM to its end."""
    mode: str
    fault: str = ""
    said: list[str] = field(default_factory=list)
    seconds: float | None = None  # start of the VMM to the marker of the guest's init
    entry: float | None = None  # to the first KVM_RUN
    resets: list[float] = field(default_factory=list)  # FLRs, in seconds after the start
    resets_end: list[float] = field(default_factory=list)
    stages: list[tuple[str, float]] = field(default_factory=list)  # words of the guest, in seconds after the start
    end: float | None = None  # of the VMM's process
    at: dict[str, dict[str, dict[int, int]]] = field(default_factory=dict)  # word -> histogram -> key -> count
    dynamic: bool | None = None  # the kernel can add MSI-X vectors to enabled ones (VFIO's NORESIZE is clear)
    exits: dict[str, int] = field(default_factory=dict)
    vfio: dict[str, int] = field(default_factory=dict)
    kvm: int = 0
    maps: int = 0  # until init
    maps_end: int = 0
    unmaps: int = 0  # to the end
    timeline: object = None  # what pcivm wrote of itself
    memory: dict[str, int] = field(default_factory=dict)  # KiB of the VMM, when the guest rests
    loads: dict[str, dict[str, float]] = field(default_factory=dict)

    def stage(self, word: str, which: int = 0) -> float | None:
        found = [at for name, at in self.stages if name == word]
        return found[which] if which < len(found) else None

    def resets_until_init(self) -> int:
        return sum(at <= (self.seconds or 0) for at in self.resets)


class Reader:
    """Takes the lines of measure.sh; `samples` and `facts` fill as they come."""

    def __init__(self, on_sample) -> None:
        self.samples: dict[str, list[Sample]] = collections.defaultdict(list)
        self.facts: dict[str, str] = {}
        self._on_sample = on_sample
        self._label = ""
        self._sample = Sample("time")
        self._start = 0.0

    def line(self, text: str) -> None:
        kind, _, rest = text.partition(" ")
        if kind == "fact":
            name, _, value = rest.partition("=")
            self.facts[name] = value
        elif kind == "run":
            self._label, mode = rest.split()
            self._sample = Sample(mode)
        elif kind == "trace":
            self._trace(rest)
        elif kind in ("done", "failed"):
            self._sample.fault = rest if kind == "failed" else "" if rest == "0" else f"exit code {rest}"
            self.samples[self._label].append(self._sample)
            self._on_sample(self._label, self._sample)
        elif kind == "said":
            self._sample.said.append(rest)
        elif kind == "memory":
            key, _, value = rest.partition("=")
            self._sample.memory[key] = int(value)
        elif kind == "load":
            name, key, value = rest.replace("=", " ").split()
            self._sample.loads.setdefault(name, {})[key] = float(value)
        elif kind == "at":
            word, name, text = rest.split(maxsplit=2)
            histogram = self._sample.at.setdefault(word, {}).setdefault(name, {})
            if entry := HISTOGRAM.search(text):
                histogram[int(entry[1])] = int(entry[2])
        elif kind == "timeline":
            self._sample.timeline = _json_or_text(rest)
        else:
            self._count(kind, rest)

    def _trace(self, text: str) -> None:
        found = re.search(r" (\d+\.\d+): (\w+)[:(] ?(.*)", text)
        if not found:
            return
        at, event, detail = float(found[1]), found[2], found[3]
        if event == "tracing_mark_write" and detail == "start":
            self._start = at
        elif event == "tracing_mark_write" and detail == "init":
            self._sample.seconds = at - self._start
        elif event == "sys_ioctl":
            self._sample.entry = self._sample.entry or at - self._start
        elif event == "tracing_mark_write" and detail == "end":
            self._sample.end = at - self._start
        elif event == "tracing_mark_write" and detail.startswith("stage "):
            self._sample.stages.append((detail.removeprefix("stage "), at - self._start))
        elif event == "pcie_flr_end":
            self._sample.resets_end.append(at - self._start)
        elif event == "pcie_flr":
            self._sample.resets.append(at - self._start)
        elif event == "msix_dyn":
            self._sample.dynamic = "ret=1" in detail

    def _count(self, kind: str, text: str) -> None:
        sample = self._sample
        total = re.search(r"Hits: (\d+)", text)
        entry = HISTOGRAM.search(text)
        if total and kind in ("maps", "maps-end", "unmaps"):
            setattr(sample, kind.replace("-", "_"), int(total[1]))
        elif entry and kind == "exits":
            sample.exits[EXITS.get(int(entry[1]), f"reason {entry[1]}")] = int(entry[2])
        elif entry and kind == "ioctls":
            command, count = int(entry[1]), int(entry[2])
            family, number = command >> 8 & 0xFF, command & 0xFF
            if family == TYPE_VFIO:
                sample.vfio[VFIO_CALLS.get(number, f"number {number}")] = count
            elif family == TYPE_KVM:
                sample.kvm += count


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pair", action="append", metavar="LEFT,RIGHT",
                        help=f"two of {', '.join(SETUPS)}; may be repeated ({'; '.join(PAIRS)})")
    parser.add_argument("--device", choices=DEVICES, action="append", help="only with, or only without, the VF")
    parser.add_argument("--runs", type=int, metavar="N", help="timed runs of each side (4; 2 with --icount)")
    parser.add_argument("--counts", type=int, default=2, metavar="N", help="counted runs of each side (2)")
    parser.add_argument("--icount", action="store_true", help="seconds from instruction counts, one guest per host")
    parser.add_argument("--memory", type=int, default=256, metavar="MIB", help="of a guest (256)")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="of a guest (1)")
    parser.add_argument("--json", metavar="FILE", help="write all samples there too")


def run(options: argparse.Namespace, content: Content) -> int:
    options.pair = [_pair(text) for text in options.pair or PAIRS]
    options.device = options.device or DEVICES
    options.runs = options.runs or (2 if options.icount else 4)
    if any(SETUPS[name][0] == "pcivm" for pair in options.pair for name in pair) and not content.pcivm:
        raise cache.LabError("no pcivm to compare: build build/pcivm, or name a binary with --pcivm")
    content = dataclasses.replace(content, peer=True)

    reader = Reader(progress)
    _free_run(options, content, reader)
    report = _keep(options, reader)  # the counts at least, should what follows be cut
    if options.icount:
        _icount_runs(options, content, reader)
        report = _keep(options, reader)
    print(render(report))
    complete = all(side["seconds"] and side["counted"] for entry in report["comparisons"] for side in entry["sides"])
    return 0 if complete else 1


def _keep(options: argparse.Namespace, reader: Reader) -> dict:
    report = _report(options, reader)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return report


def _pair(text: str) -> tuple[str, str]:
    names = tuple(text.split(","))
    if len(names) != 2 or not set(names) <= set(SETUPS):
        raise cache.LabError(f"pair is '{text}', wanted two of {', '.join(SETUPS)} with a comma between")
    return names


def _plan(options: argparse.Namespace, mode: str, runs: int) -> list[str]:
    """Lines for measure.sh: each pair with each device, left-right-right-left."""
    lines = []
    for number, pair in enumerate(options.pair):
        for device in options.device:
            for turn in range(runs):
                for side in (0, 1) if turn % 2 == 0 else (1, 0):
                    vmm, kernel = SETUPS[pair[side]]
                    lines.append(f"{number}.{SIDES[side]}.{device} {vmm} {kernel} {device} {mode}")
    return lines


def _warm_up(options: argparse.Namespace) -> list[str]:
    """The first guest of each kind also pays for what the emulated host does for the first time."""
    first = {SETUPS[name][0]: SETUPS[name][1] for pair in options.pair for name in pair}
    return [f"warm-up {vmm} {kernel} {options.device[-1]} time" for vmm, kernel in first.items()]


def settings(options: argparse.Namespace, more: str, deadline: float, vfs: int = 1) -> bytes:
    return f"memory={options.memory} cpus={options.cpus} vfs={vfs} deadline={deadline:.0f}\nmore='{more}'\n".encode()


def _free_run(options: argparse.Namespace, content: Content, reader: Reader) -> None:
    """All counted runs, and the timed ones unless they are to come from --icount, in one host."""
    timed = [] if options.icount else _plan(options, "time", options.runs)
    plan = _warm_up(options) + timed + _plan(options, "count", options.counts)
    cache.say(f"{len(plan)} guests, one after the other")
    deadline = 180.0
    measure(topology.load(TOPOLOGY), content, plan, settings(options, "", deadline),
             START_OF_HOST + deadline * len(plan), reader)
    del reader.samples["warm-up"]


def _icount_runs(options: argparse.Namespace, content: Content, reader: Reader) -> None:
    """Each timed run in a host of its own; two hosts at a time, which cannot disturb each other's instruction counts."""
    plan = _plan(options, "time", options.runs)
    cache.say(f"{len(plan)} guests, each in a host of its own under -icount")
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(_icount_run, options, content, number, line, reader)
                     for number, line in enumerate(plan)]:
            done.result()


def _icount_run(options: argparse.Namespace, content: Content, number: int, line: str, reader: Reader) -> None:
    plain = topology.load(TOPOLOGY)
    host = dataclasses.replace(plain, name=f"{plain.name}-icount-{number}", processor=ICOUNT_PROCESSOR,
                               cmdline=f"{plain.cmdline} {ICOUNT_HOST}")
    chosen = settings(options, ICOUNT_GUEST, 20.0)
    label = line.split()[0]
    why = ""
    for _ in range(ATTEMPTS):
        attempt = Reader(lambda *_: None)
        try:
            measure(host, content, [line], chosen, 900.0, attempt)
        except Stuck as stuck:
            why = str(stuck)
            cache.say(f"{label}: {why}; once more")
            continue
        sample = attempt.samples[label][0]
        if not sample.fault:
            break
        why = sample.fault
        cache.say(f"{label}: {why}; once more")
    else:
        sample = Sample("time", fault=f"{ATTEMPTS} attempts, the last: {why}")
    reader.samples[label].append(sample)
    progress(label, sample)


def measure(host: topology.Topology, content: Content, plan: list[str], chosen: bytes, deadline: float,
            reader: Reader) -> None:
    scripts = {**content.scripts, "lab/bench/plan": "\n".join(plan + [""]).encode(), "lab/bench/settings": chosen}
    with cache.slot(2), Host(host, dataclasses.replace(content, scripts=scripts)) as running:
        outcome = running.run("/lab/bench/measure.sh", deadline, reader.line)
    if outcome.code != 0 or "error" in reader.facts:
        tail = "\n".join(outcome.output[-20:])
        raise cache.LabError(f"measure.sh: exit code {outcome.code} {reader.facts.get('error', '')}\n{tail}")


def progress(label: str, sample: Sample) -> None:
    took = f"{sample.seconds:.2f} s" if sample.seconds else ""
    cache.say(f"{label} {sample.mode}: {sample.fault or took}")
    if sample.fault:
        print("\n".join(f"    | {line}" for line in sample.said), file=sys.stderr)


def _report(options: argparse.Namespace, reader: Reader) -> dict:
    every = [sample for samples in reader.samples.values() for sample in samples]
    dynamic = {sample.dynamic for sample in every} - {None}
    return {
        "command": "./dev bench " + _arguments_again(options),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "host": {"kernel": reader.facts.get("kernel"), "qemu": reader.facts.get("qemu"),
                 "msix_noresize_clear": dynamic.pop() if len(dynamic) == 1 else None, "machine_cpus": os.cpu_count(),
                 "load": round(os.getloadavg()[1], 1)},
        "seconds_from": "instruction counts, 2 ns each" if options.icount else "CLOCK_MONOTONIC of the emulated host",
        "guest": {"memory_mib": options.memory, "cpus": options.cpus},
        "comparisons": [{"device": device, "sides": [_side(name, reader.samples[f"{number}.{side}.{device}"])
                                                     for side, name in zip(SIDES, pair)]}
                        for number, pair in enumerate(options.pair) for device in options.device],
    }


def _arguments_again(options: argparse.Namespace) -> str:
    words = [f"--pair {','.join(pair)}" for pair in options.pair] + [f"--device {device}" for device in options.device]
    words += [f"--runs {options.runs} --counts {options.counts} --memory {options.memory} --cpus {options.cpus}"]
    return " ".join(words + ["--icount"] * options.icount)


def _side(name: str, samples: list[Sample]) -> dict:
    good = [sample for sample in samples if not sample.fault]
    timed = [sample for sample in good if sample.mode == "time" and sample.seconds is not None]
    counted = [sample for sample in good if sample.mode == "count" and sample.seconds is not None]
    rows: dict[str, float] = {}
    if counted:
        rows["exits to user space until init"] = median(sum(each.exits.values()) for each in counted)
        rows.update(_by_kind("  ", [each.exits for each in counted]))
        rows["FLRs"] = median(len(each.resets) for each in counted)
        rows["  until init"] = median(each.resets_until_init() for each in counted)
        rows["  after"] = rows["FLRs"] - rows["  until init"]
        rows["VFIO calls until init"] = median(sum(each.vfio.values()) for each in counted)
        rows.update(_by_kind("  ", [each.vfio for each in counted]))
        rows["KVM calls until init, but KVM_RUN"] = median(each.kvm for each in counted)
        rows["IOMMU mappings made until init"] = median(each.maps for each in counted)
        rows["IOMMU mappings made to the end"] = median(each.maps_end for each in counted)
        rows["IOMMU mappings removed to the end"] = median(each.unmaps for each in counted)
    return {
        "setup": name,
        "seconds": [round(sample.seconds, 3) for sample in timed],
        "counted": len(counted),
        "counts": rows,
        "faults": [sample.fault for sample in samples if sample.fault],
        "timelines": [sample.timeline for sample in timed if sample.timeline is not None],
    }


def _by_kind(indent: str, tables: list[dict[str, int]]) -> dict[str, int]:
    names = sorted({name for table in tables for name in table}, key=lambda name: -sum(t.get(name, 0) for t in tables))
    return {indent + name: median(table.get(name, 0) for table in tables) for name in names}


def median(values) -> int:
    return int(statistics.median_low(list(values)))


def render(report: dict) -> str:
    host = report["host"]
    clear = {True: "clear", False: "set", None: "not seen"}[host["msix_noresize_clear"]]
    lines = [f"host: Linux {host['kernel']}, {host['qemu']}; VFIO's NORESIZE for MSI-X is {clear}",
             f"guest: {report['guest']['cpus']} CPU, {report['guest']['memory_mib']} MiB, the host's kernel; "
             f"seconds are {report['seconds_from']}",
             f"{report['date']}, {host['machine_cpus']} CPUs, load {host['load']}; again: {report['command']}"]
    for entry in report["comparisons"]:
        left, right = entry["sides"]
        with_what = {"vf": "with a VF", "none": "no device"}[entry["device"]]
        lines += ["", f"{with_what:<40}{left['setup']:>22}{right['setup']:>22}{'left/right':>12}"]
        lines.append(_row("start of the VMM to the guest's init, s", _seconds(left), _seconds(right),
                          _ratio(_middle(left), _middle(right))))
        lines += [f"  {_phases(side)}" for side in (left, right) if _phases(side)]
        for name in _names(left, right):
            values = [side["counts"].get(name, 0 if side["counts"] else None) for side in (left, right)]
            lines.append(_row(name, *("-" if value is None else f"{value:,}" for value in values), _ratio(*values)))
        lines += [f"! {side['setup']}: {fault}" for side in (left, right) for fault in side["faults"]]
    return "\n".join(lines)


def _names(left: dict, right: dict) -> list[str]:
    """The rows of both sides in the order of the left one; a row that only the right one has stays below its heading."""
    names = list(left["counts"] or right["counts"])
    heading = ""
    for name in right["counts"]:
        if not name.startswith(" "):
            heading = name
        elif name not in names:
            place = names.index(heading) + 1
            while place < len(names) and names[place].startswith(" "):
                place += 1
            names.insert(place, name)
    return [name for name in names if left["counts"].get(name) or right["counts"].get(name)]


def _row(name: str, left: str, right: str, ratio: str) -> str:
    return f"{name:<40}{left:>22}{right:>22}{ratio:>12}"


def _middle(side: dict) -> float | None:
    return statistics.median(side["seconds"]) if side["seconds"] else None


def _seconds(side: dict) -> str:
    values = side["seconds"]
    return f"{_middle(side):.2f} ({min(values):.2f}-{max(values):.2f})" if values else "-"


def _phases(side: dict) -> str:
    """What a VMM that writes a timeline says of its own start: median seconds since its exec."""
    by_phase = collections.defaultdict(list)
    for timeline in side["timelines"]:
        for phase in timeline.get("phases", []) if isinstance(timeline, dict) else []:
            by_phase[phase["phase"]].append(phase["sinceExecNs"] / 1e9)
    steps = ", ".join(f"{name} {statistics.median(values):.2f}" for name, values in by_phase.items())
    return f"{side['setup']}: {steps}" if steps else ""


def _ratio(left: float | None, right: float | None) -> str:
    return f"{left / right:.2f}" if left and right else ""


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
