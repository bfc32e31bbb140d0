# SPDX-License-Identifier: GPL-2.0-or-later
"""Assigned devices under pcivm and under QEMU's q35 (with qboot), each by a container and by iommufd, in one emulated host, as a table
for docs/performance.md. bench/measure.sh runs the guests, most of them tests/bench/vf_kernel.cpp; the VMMs take turns."""

import argparse
import datetime
import os
import statistics
from pathlib import Path

from . import bench, cache, topology
from .bench import Sample
from .host import Content

TOPOLOGY = "assign"
VFS = 7
# As measure.sh calls them. qboot is the quickest firmware that QEMU has for a q35.
VMMS = ["qemu-qboot", "qemu-qboot-iommufd", "pcivm", "pcivm-iommufd"]
DEADLINE = 120.0
MIB = [256, 1024, 2048]
HUGE = 2 << 20

# Ioctl numbers without direction and size: linux/vfio.h, linux/iommufd.h, linux/kvm.h
MAP = {0x3B71, 0x3B72, 0x3B85, 0x3B86}  # VFIO_IOMMU_MAP_DMA and UNMAP_DMA, IOMMU_IOAS_MAP and UNMAP
SLOTS = {0xAE46}  # KVM_SET_USER_MEMORY_REGION
INTERRUPTS = {0xAE6A, 0xAE76, 0x3B6E}  # KVM_SET_GSI_ROUTING, KVM_IRQFD, VFIO_DEVICE_SET_IRQS

# goal -> guests: (mode, device, MiB or 0 for that of the options, whether it is repeated)
PLANS = {
    "P4": [("time", "none", 0, True), ("time", "vf", 0, True), ("stages", "none", 0, True), ("stages", "vf", 0, True)],
    "P5": [("stages", "none", 0, True), ("stages", "vfs", 0, True), ("many", "vfs", 0, True)],
    "P6": [("calls", "vf", 0, False), ("calls", "vfs", 0, False)],
    "P7": [*(("stages", "vf", mib, True) for mib in MIB), *(("pages", "vf", mib, False) for mib in (MIB[0], MIB[-1]))],
    "P8": [("use", "vf", 0, False), ("steps", "vf", 0, False), ("steps", "vfs", 0, False)],
    "P9": [("use", "vf", 0, False), ("use", "nvme", 0, False), ("steps", "vf", 0, False)],
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of what takes time (5)")
    parser.add_argument("--memory", type=int, default=256, metavar="MIB", help="of a guest, where nothing else is said (256)")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="of a guest (1)")
    parser.add_argument("--goal", choices=PLANS, action="append", help="only these")
    parser.add_argument("--output", metavar="FILE", help="write the table there too")


def run(options: argparse.Namespace, content: Content) -> int:
    content.peer = True
    goals = options.goal or list(PLANS)
    guests = list(dict.fromkeys((mode, device, mib or options.memory, again) for goal in goals for mode, device, mib, again in PLANS[goal]))
    plan = [f"warm-up {vmm} vmlinux vf stages {options.memory}" for vmm in VMMS]
    for mode, device, mib, again in guests:
        for turn in range(options.runs if again else 1):
            for vmm in VMMS if turn % 2 == 0 else reversed(VMMS):
                # qboot gives devices no addresses.
                started = vmm.replace("-qboot", "") if mode == "steps" else vmm
                plan.append(f"{vmm}.{mode}.{device}.{mib} {started} vmlinux {device} {mode} {mib}")
    cache.say(f"{len(plan)} guests, one after the other")
    reader = bench.Reader(bench.progress)
    bench.measure(topology.load(TOPOLOGY), content, plan, bench.settings(options, "", DEADLINE, VFS),
                  bench.START_OF_HOST + DEADLINE * len(plan), reader)
    del reader.samples["warm-up"]
    text = render(options, reader, goals)
    print(text)
    if options.output:
        Path(options.output).write_text(text + "\n")
    return 0 if all(not sample.fault for samples in reader.samples.values() for sample in samples) else 1


class Table:
    """Rows of one figure for each VMM, with pcivm's ratio to QEMU by the same back end."""

    def __init__(self, reader: bench.Reader, memory: int) -> None:
        self._reader = reader
        self._memory = memory
        self.lines = ["| | QEMU, container | QEMU, iommufd | pcivm, container | pcivm, iommufd | ratios | goal |",
                      "|---|---|---|---|---|---|---|"]

    def samples(self, vmm: str, mode: str, device: str, mib: int = 0) -> list[Sample]:
        return [each for each in self._reader.samples[f"{vmm}.{mode}.{device}.{mib or self._memory}"] if not each.fault]

    def median(self, vmm: str, mode: str, device: str, figure, mib: int = 0) -> float | None:
        """`figure` takes a sample; None = not measured."""
        found = [figure(sample) for sample in self.samples(vmm, mode, device, mib)]
        found = [value for value in found if value is not None]
        return statistics.median(found) if found else None

    def row(self, title: str, goal: str, form: str, value) -> None:
        """`value` takes the name of a VMM."""
        values = [value(vmm) for vmm in VMMS]
        cells = ["-" if each is None else form.format(each) for each in values]
        ratios = [_ratio(values[2], values[0]), _ratio(values[3], values[1])]
        self.lines.append(f"| {title} | {' | '.join(cells)} | {', '.join(ratios)} | {goal} |")

    def plain(self, title: str, goal: str, form: str, mode: str, device: str, figure) -> None:
        self.row(title, goal, form, lambda vmm: self.median(vmm, mode, device, figure))

    def tax(self, title: str, goal: str, mode: str, device: str, figure) -> None:
        """What the devices add to the same without."""
        def value(vmm: str) -> float | None:
            ours, bare = (self.median(vmm, mode, each, figure) for each in (device, "none"))
            return None if ours is None or bare is None else ours - bare
        self.row(title, goal, "{:.3f}", value)


def _ratio(left: float | None, right: float | None) -> str:
    return "-" if left is None or not right or right < 0 else f"{left / right:.2f}"


def ready(sample: Sample) -> float | None:
    return sample.stage("READY")


def reboot(sample: Sample) -> float | None:
    return _between(sample.stage("TOLDr"), sample.stage("READY", 1))


def stop(sample: Sample) -> float | None:
    return _between(sample.stage("TOLDo"), sample.end)


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


def histogram(name: str, word: str, since: str = ""):
    """What was counted until the guest said `word`, since it said `since`."""
    def figure(sample: Sample) -> dict[int, int] | None:
        if word not in sample.at or (since and since not in sample.at):
            return None
        before = sample.at[since].get(name, {}) if since else {}
        return {key: count - before.get(key, 0) for key, count in sample.at[word].get(name, {}).items()}
    return figure


def total(name: str, word: str, since: str = ""):
    def figure(sample: Sample) -> int | None:
        found = histogram(name, word, since)(sample)
        return None if found is None else sum(found.values())
    return figure


def calls(numbers: set[int], word: str, since: str = ""):
    def figure(sample: Sample) -> int | None:
        found = histogram("ioctls", word, since)(sample)
        return None if found is None else sum(count for key, count in found.items() if key & 0xFFFF in numbers)
    return figure


def huge_share(sample: Sample) -> float | None:
    sizes = histogram("maps", "LINKED")(sample)
    mapped = sum(size * count for size, count in sizes.items()) if sizes else 0
    return 100 * sum(size * count for size, count in sizes.items() if size >= HUGE) / mapped if mapped else None


def given_pages(sample: Sample) -> float | None:
    orders = sample.at.get("ENTRY", {}).get("pages")
    return None if orders is None else sum(count << order for order, count in orders.items()) / 256


def each_interrupt(name: str, by_time: bool):
    """What an interrupt adds to the same without, which grows with time, or is only the guest's word at the end."""
    def figure(sample: Sample) -> float | None:
        used, rested, interrupts = total(name, "DONE", "USED")(sample), total(name, "USED", "REST")(sample), sample.loads.get("use", {}).get("interrupts")
        if used is None or rested is None or not interrupts:
            return None
        longer = (sample.stage("DONE") - sample.stage("USED")) / (sample.stage("USED") - sample.stage("REST")) if by_time else 1
        return (used - rested * longer) / interrupts
    return figure


def overlapping(sample: Sample) -> int:
    """The most resets at the same time."""
    events = sorted([(at, 1) for at in sample.resets] + [(at, -1) for at in sample.resets_end])
    most = now = 0
    for _, step in events:
        now += step
        most = max(most, now)
    return most


def one_reset(reader: bench.Reader) -> float | None:
    """Of resets that were alone, in seconds."""
    found = [end - start for samples in reader.samples.values() for sample in samples if overlapping(sample) == 1
             for start, end in zip(sample.resets, sample.resets_end)]
    return statistics.median(found) if found else None


def slope(table: Table, vmm: str, mode: str, figure) -> float | None:
    """Per GiB of guest memory, between the smallest and the largest guest."""
    low, high = (table.median(vmm, mode, "vf", figure, mib) for mib in (MIB[0], MIB[-1]))
    return None if low is None or high is None else (high - low) * 1024 / (MIB[-1] - MIB[0])


def rows(table: Table, goals: list[str]) -> None:
    count = "{:,.0f}"
    if "P4" in goals:
        table.tax("P4a: one VF adds to init of a Linux guest without its driver, s", "0.15", "time", "vf", lambda s: s.seconds)
        table.tax("P4b: one VF adds until it masters the bus, tiny guest, s", "0.5", "stages", "vf", ready)
        table.plain("FLRs at start", "1", count, "time", "vf", lambda s: s.resets_until_init())
    if "P5" in goals:
        table.plain("P5: exec to 7 VFs ready, s", "", "{:.3f}", "stages", "vfs", ready)
        table.tax("of which the VFs, s", "0.12; 1.3 FLRs", "stages", "vfs", ready)
        table.plain("FLRs at start", "7", count, "stages", "vfs", lambda s: sum(at < (ready(s) or 0) for at in s.resets))
        table.plain("guest reboot with 7 VFs, s", "", "{:.3f}", "stages", "vfs", reboot)
        table.tax("of which the VFs, s", "0.25; 1.3 FLRs", "stages", "vfs", reboot)
        table.plain("power-off to the end with 7 VFs, s", "", "{:.3f}", "stages", "vfs", stop)
        table.tax("of which the VFs, s", "0.25; 1.3 FLRs", "stages", "vfs", stop)
        table.plain("most resets at a time", "7", count, "stages", "vfs", overlapping)
        table.plain("7 VMs with a VF each: first exec to the last ready, s", "", "{:.3f}", "many", "vfs", ready)
        table.plain("all told to power off, to the last end, s", "", "{:.3f}", "many", "vfs", stop)
    if "P6" in goals:
        def opening(device):
            return lambda vmm: table.median(vmm, "calls", device, lambda s: s.loads.get("calls", {}).get("total"))
        table.row("P6: calls to VFIO and iommufd until a VF is open and RAM mapped", "22; 0.25", count, opening("vf"))
        table.row("for each further VF", "22; 0.25", "{:.1f}",
                  lambda vmm: None if opening("vfs")(vmm) is None or opening("vf")(vmm) is None else (opening("vfs")(vmm) - opening("vf")(vmm)) / (VFS - 1))
    if "P7" in goals:
        for mib in MIB:
            table.row(f"P7: exec to the first instruction, VF, {mib} MiB, s", "", "{:.3f}",
                      lambda vmm, m=mib: table.median(vmm, "stages", "vf", lambda s: s.entry, m))
        table.row("slope, s/GiB", "0.05", "{:.3f}", lambda vmm: slope(table, vmm, "stages", lambda s: s.entry))
        table.row("slope until DMA is ready, s/GiB", "", "{:.3f}", lambda vmm: slope(table, vmm, "stages", ready))
        for mib in (MIB[0], MIB[-1]):
            table.row(f"memory that the host's kernel gave before the first instruction, {mib} MiB, MiB", "", "{:.1f}",
                      lambda vmm, m=mib: table.median(vmm, "pages", "vf", given_pages, m))
    if "P8" in goals:
        table.plain("P8: DMA map and unmap calls until the driver is up", "3 + BARs; 0.1", count, "use", "vf", calls(MAP, "LINKED"))
        table.plain("share of bytes in runs of 2 MiB and more, %", "99.5", "{:.2f}", "use", "vf", huge_share)
        table.plain("of 8 decode toggles: DMA map and unmap calls, one VF", "0", count, "steps", "vf", calls(MAP, "TOGGLED", "READY"))
        table.plain("the same, 7 VFs", "0", count, "steps", "vfs", calls(MAP, "TOGGLED", "READY"))
        table.plain("changes of KVM's memory slots, one VF", "", count, "steps", "vf", calls(SLOTS, "TOGGLED", "READY"))
    if "P9" in goals:
        for device, what, goal in (("vf", "igbvf, 3 vectors", "2 + 2 each; 0.7"), ("nvme", "NVMe, 2 of 96 vectors", "2 + 3 each; 0.7")):
            table.plain(f"P9: interrupt calls from init to link-up, {what}", goal, count, "use", device, calls(INTERRUPTS, "LINKED", "INIT"))
            table.plain("calls of the VMM's threads for an interrupt", "0", "{:.3f}", "use", device, each_interrupt("threads", True))
            table.plain("exits to user space for an interrupt", "0", "{:.3f}", "use", device, each_interrupt("exits", False))
            table.plain("interrupts in that time", "", count, "use", device, lambda s: s.loads.get("use", {}).get("interrupts"))
        table.plain("interrupt calls to set 3 vectors up, tiny guest", "8; 0.7", count, "steps", "vf", calls(INTERRUPTS, "MSIX", "TOGGLED"))
        table.plain("8 times the same written again to 3 vectors", "0", count, "steps", "vf", calls(INTERRUPTS, "SAME", "MSIX"))
        table.row("mask, rewrite, unmask: calls", "3", "{:.2f}",
                  lambda vmm: None if (found := table.median(vmm, "steps", "vf", calls(INTERRUPTS, "CYCLED", "SAME"))) is None else found / 8)


def render(options: argparse.Namespace, reader: bench.Reader, goals: list[str]) -> str:
    table = Table(reader, options.memory)
    rows(table, goals)
    facts = reader.facts
    again = f"./dev bench assign --runs {options.runs} --memory {options.memory} --cpus {options.cpus}" + "".join(f" --goal {goal}" for goal in options.goal or [])
    lines = [f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, Linux {facts.get('kernel')}, {facts.get('qemu')}; guests of {options.memory} MiB with "
             f"{options.cpus} CPU; {os.cpu_count()} processors, load {os.getloadavg()[1]:.1f}; `{again}`"]
    if one := one_reset(reader):
        lines.append(f"One FLR takes {one * 1000:.0f} ms, seven one after the other {one * VFS * 1000:.0f} ms.")
    if "one_open" in facts:
        alone, every = (facts[name].split()[0] for name in ("one_open", "all_opens"))
        there = "present: VFs are opened in parallel" if facts["second_reset"] == "pcie_flr" else "absent: opens and closes of VFs wait for each other in the kernel"
        lines.append(f"Programs that do nothing else open one VF in {alone} ms, and all {VFS} at once in {every} ms. Kernel fix e908f58b6beb is {there}.")
    faults = [f"! {label}: {sample.fault}" for label, samples in reader.samples.items() for sample in samples if sample.fault]
    return "\n".join([*lines, "", *table.lines, *faults])
