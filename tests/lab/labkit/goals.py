# SPDX-License-Identifier: GPL-2.0-or-later
"""pcivm beside QEMU's q35 and microvm in one emulated host, as a table for docs/performance.md: start, exits, memory, disk
and network. bench/measure.sh runs the guests; the three VMMs take turns A-B-C-C-B-A."""

import argparse
import datetime
import os
import statistics
from pathlib import Path

from . import bench, cache, topology
from .host import Content

VMMS = {"q35": ("qemu", "vmlinux"), "microvm": ("qemu-microvm", "vmlinux"), "pcivm": ("pcivm", "vmlinux")}
DEADLINE = 180.0
DEVICES = {"start": ["none"], "time": ["none", "disk"], "count": ["vf"], "memory": ["all"], "disk": ["disk"], "net": ["net", "net-user"]}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of what takes time (5)")
    parser.add_argument("--memory", type=int, default=256, metavar="MIB", help="of a guest (256)")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="of a guest (1)")
    parser.add_argument("--mode", choices=DEVICES, action="append", help="only these")
    parser.add_argument("--output", metavar="FILE", help="write the table there too")


def run(options: argparse.Namespace, content: Content) -> int:
    content.peer = True
    modes = options.mode or list(DEVICES)
    plan = [f"warm-up {vmm} {kernel} all time" for vmm, kernel in VMMS.values()]
    for mode in modes:
        for device in DEVICES[mode]:
            for turn in range({"start": options.runs, "time": options.runs, "count": 1, "memory": 1}.get(mode, 2)):
                for name in list(VMMS) if turn % 2 == 0 else reversed(VMMS):
                    vmm, kernel = VMMS[name]
                    plan.append(f"{name}.{mode}.{device} {vmm} {kernel} {device} {mode}")
    cache.say(f"{len(plan)} guests, one after the other")
    reader = bench.Reader(bench.progress)
    bench.measure(topology.load(bench.TOPOLOGY), content, plan, bench.settings(options, "", DEADLINE),
                  bench.START_OF_HOST + DEADLINE * len(plan), reader)
    text = render(options, reader, modes)
    print(text)
    if options.output:
        Path(options.output).write_text(text + "\n")
    return 0 if all(not sample.fault for samples in reader.samples.values() for sample in samples) else 1


class Table:
    """Rows of one figure for each VMM, with pcivm's ratio to the others."""

    def __init__(self, reader: bench.Reader) -> None:
        self._reader = reader
        self.lines = ["| | QEMU q35 | QEMU microvm | pcivm | of q35 | of microvm | goal |", "|---|---|---|---|---|---|---|"]

    def row(self, title: str, label: str, figure, goal: str = "", form: str = "{:.2f}") -> None:
        """`figure` takes a sample; None = not measured. The median of all samples counts."""
        values = {}
        for name in VMMS:
            found = [figure(sample) for sample in self._reader.samples[f"{name}.{label}"] if not sample.fault]
            found = [value for value in found if value is not None]
            values[name] = statistics.median_low(found) if found else None
        cells = ["-" if value is None else form.format(value) for value in values.values()]
        ratios = ["-" if not values["pcivm"] or not values[peer] else f"{values['pcivm'] / values[peer]:.2f}"
                  for peer in ("q35", "microvm")]
        self.lines.append(f"| {title} | {' | '.join(cells)} | {' | '.join(ratios)} | {goal} |")


def render(options: argparse.Namespace, reader: bench.Reader, modes: list[str]) -> str:
    table = Table(reader)
    if "start" in modes:
        table.row("P1: exec to the first instruction, s", "start.none", lambda s: s.entry, "0.10 of microvm", "{:.3f}")
    if "time" in modes:
        table.row("exec to init, no device, s", "time.none", lambda s: s.seconds)
        table.row("P2: exec to init, disk, s", "time.disk", lambda s: s.seconds, "0.55 of q35, 0.75 of microvm")
        table.row("of which before the first instruction, s", "time.disk", lambda s: s.entry, "", "{:.3f}")
    if "count" in modes:
        table.row("P3: exits to user space until init, VF", "count.vf", lambda s: sum(s.exits.values()), "0.10 of q35", "{:,.0f}")
        for kind in ("IO", "MMIO"):
            table.row(f"of which {kind}", "count.vf", lambda s, k=kind: s.exits.get(k, 0), "", "{:,.0f}")
        table.row("VFIO calls until init", "count.vf", lambda s: sum(s.vfio.values()), "", "{:,.0f}")
        table.row("KVM calls until init, but KVM_RUN", "count.vf", lambda s: s.kvm, "", "{:,.0f}")
        table.row("FLRs until init", "count.vf", lambda s: s.resets_until_init(), "1", "{:,.0f}")
    if "memory" in modes:
        table.row("P12: PSS beside guest RAM, MiB", "memory.all", lambda s: s.memory.get("pss", 0) / 1024, "2.5 MiB, 0.10 of QEMU")
        table.row("RSS of all its processes, MiB", "memory.all", lambda s: s.memory.get("rss", 0) / 1024)
    if "disk" in modes:
        for depth, goal in ((1, "1.3 times; 1.1 calls"), (32, "1.3 times; 0.10 calls")):
            name = f"disk{depth}"
            table.row(f"P10: reads of 4 KiB a second, {depth} at a time", "disk.disk", _load(name, "iops"), goal, "{:,.0f}")
            table.row("system calls of the host for each", "disk.disk", _each(name, "calls"))
            table.row("exits to user space for each", "disk.disk", _each(name, "exits"))
    if "net" in modes:
        for device, what in (("net", "vhost"), ("net-user", "no vhost")):
            table.row(f"P11: sent, {what}, Mbit/s", f"net.{device}", _load("send", "sent_mbit_per_second"), "", "{:,.0f}")
            table.row("received, Mbit/s", f"net.{device}", _load("receive", "received_mbit_per_second"), "", "{:,.0f}")
            table.row("round trips a second", f"net.{device}", _load("ping", "round_trips_per_second"), "", "{:,.0f}")
            table.row("processor seconds of the VMM, sending", f"net.{device}", _load("send", "ticks", 100))
            table.row("processor seconds of the VMM, receiving", f"net.{device}", _load("receive", "ticks", 100))
    again = f"./dev bench vmm --runs {options.runs} --memory {options.memory} --cpus {options.cpus}"
    facts = reader.facts
    head = (f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, Linux {facts.get('kernel')}, {facts.get('qemu')}; guests of "
            f"{options.memory} MiB with {options.cpus} CPU; {os.cpu_count()} processors, load {os.getloadavg()[1]:.1f}; `{again}`")
    return "\n".join([head, "", *table.lines])


def _load(name: str, key: str, divisor: float = 1):
    def figure(sample: bench.Sample) -> float | None:
        value = sample.loads.get(name, {}).get(key)
        return None if value is None else value / divisor
    return figure


def _each(name: str, key: str):
    def figure(sample: bench.Sample) -> float | None:
        load = sample.loads.get(name, {})
        return load[key] / load["ios"] if load.get("ios") and key in load else None
    return figure
