# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs cases in their hosts: one boot for some cases of a topology, a new boot only after a case that left the host changed."""

import dataclasses
import difflib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from . import cache, topology
from .case import Case
from .host import Content, Host, Outcome, Stuck
from .image import LAB

CONSOLE_TAIL = 300  # of a host that hangs
DOCUMENT = "DOCUMENT "
MOST_BOOTS = 100
CASES_OF_A_HOST = 15  # few enough that no host works on alone when the others are through
MOST_UNSTEADY = 3  # cases of a whole run that may pass in their second run only
REBOOT, POWER_CUT = 42, 43  # exit codes by which a case asks for that, to be run once more after it


class Tally:
    """Results of all topologies; prints each as it comes, whole, whichever thread it comes from."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.unsteady: list[str] = []  # failed, and passed once more in a fresh host
        self._lock = threading.Lock()

    def add(self, title: str, seconds: float, faults: list[str], output: list[str]) -> None:
        with self._lock:
            if not faults:
                self.passed += 1
                print(f"ok    {title}  {seconds:.1f} s", flush=True)
                return
            self.failed += 1
            _show("FAIL ", title, seconds, faults, output)

    def again(self, title: str, seconds: float, faults: list[str], output: list[str]) -> None:
        """Shows why a case is run once more."""
        with self._lock:
            _show("AGAIN", title, seconds, faults, output)

    def steadied(self, title: str) -> None:
        with self._lock:
            self.unsteady.append(title)

    def close(self) -> bool:
        """Prints the closing lines. Whether the run is a success: a few unsteady cases are the emulation's (README), more
        are a fault that comes and goes."""
        if self.unsteady:
            print(f"passed in the second run only: {', '.join(self.unsteady)}")
        if len(self.unsteady) > MOST_UNSTEADY:
            print(f"{len(self.unsteady)} cases are unsteady, at most {MOST_UNSTEADY} may be: they count as failed")
            self.passed -= len(self.unsteady)
            self.failed += len(self.unsteady)
        print(f"{self.passed} passed, {self.failed} failed")
        return not self.failed


def _show(word: str, title: str, seconds: float, faults: list[str], output: list[str]) -> None:
    lines = [f"{word} {title}  {seconds:.1f} s", *(f"    | {line}" for line in output)]
    print("\n".join(lines + [f"    {line}" for fault in faults for line in fault.splitlines()]), flush=True)


def run(plan: dict[str, list[Case]], content: Content, jobs: int, patience: float) -> Tally:
    """Runs the cases of each topology in order, `jobs` hosts at a time; deadlines are multiplied by `patience`."""
    tally = Tally()
    parts = [(name, cases[at:at + CASES_OF_A_HOST]) for name, cases in plan.items() for at in range(0, len(cases), CASES_OF_A_HOST)]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for done in [pool.submit(_in_one_host, name, cases, content, jobs, patience, tally) for name, cases in parts]:
            done.result()
    return tally


def _in_one_host(name: str, cases: list[Case], content: Content, jobs: int, patience: float, tally: Tally) -> None:
    needs = {need for case in cases for need in case.needs}
    session = _Session(name, dataclasses.replace(content, peer=content.peer or "peer" in needs,
                                                 firmware=content.firmware or "firmware" in needs,
                                                 virtiofsd="virtiofsd" in needs, passt="passt" in needs))
    with cache.slot(max(jobs, 2)):
        try:
            for case in cases:
                title = f"{name}/{case.title}"
                result = session.run(case, patience)
                if result[1]:
                    tally.again(title, *result)
                    session.end()
                    result = session.run(case, patience)
                    if not result[1]:
                        tally.steadied(title)
                tally.add(title, *result)
        finally:
            session.end()


def _to_its_end(host: Host, case: Case, patience: float, output: list[str]) -> Outcome:
    """Runs the case, and again after each boot that it asks for; each part may take as long as the case says."""
    for boot in range(MOST_BOOTS):
        outcome = host.run(case.script, case.deadline * patience, output.append, boot, case.backend)
        if not host.has_disk or outcome.code not in (REBOOT, POWER_CUT):
            break
        start = time.monotonic()
        host.reboot() if outcome.code == REBOOT else host.cut_power()
        output.append(f"boot {boot + 1}: {'restarted' if outcome.code == REBOOT else 'power cut'}, {time.monotonic() - start:.1f} s")
    return outcome


def _bad_documents(output: list[str]) -> list[str]:
    """Complaints about the documents that a case showed (`document` in lib.sh), by the schemas in docs/schema."""
    shown = [line.removeprefix(DOCUMENT) for line in output if line.startswith(DOCUMENT)]
    output[:] = [line for line in output if not line.startswith(DOCUMENT)]
    if not shown:
        return []
    sys.path.insert(0, str(LAB.parents[1]))
    from tests.support import documents  # needs python3-jsonschema, which only tests do
    return [f"document {text[:80]}...: {found}" for text in shown if (found := documents.complaint(text))]


class _Session:
    """The host of a topology across reboots."""

    def __init__(self, name: str, content: Content) -> None:
        self._topology = topology.load(name)
        self._content = content
        self._host: Host | None = None
        self._initial: list[str] = []  # state of a freshly booted host

    def end(self) -> None:
        if self._host:
            self._host.stop()
            self._host = None

    def run(self, case: Case, patience: float) -> tuple[float, list[str], list[str]]:
        """Seconds it took, what was wrong (nothing, when the case passed), and the case's output."""
        output: list[str] = []
        faults: list[str] = []
        console = 0
        start = time.monotonic()
        try:
            host = self._ready()
            console = host.console_size()
            start = time.monotonic()
            outcome = _to_its_end(host, case, patience, output)
            if outcome.code != 0:
                faults.append(f"exit code {outcome.code}")
            faults += _bad_documents(output)
            leaks = [f"left running: {process}" for process in outcome.left] + self._changes(host)
            faults += leaks
            trouble = [line for line in host.trouble_since(console) if not (case.console and case.console.search(line))]
            faults += [f"console: {line}" for line in trouble]
            if leaks or trouble:
                self.end()
        except Stuck as stuck:
            faults.append(f"{stuck} (the case may take {case.deadline * patience:.0f} s)")
            if self._host:
                self._host.show_what_hangs()
                tail = self._host.console_from(console)[-CONSOLE_TAIL:]
                faults.append(f"the host's console ({self._host.console}):\n" +
                              "\n".join(f"  {line}" for line in tail))
            self.end()
        return time.monotonic() - start, faults, output

    def _ready(self) -> Host:
        if not self._host:
            self._host = Host(self._topology, self._content)
            self._host.start()
            self._initial = self._host.state()
        return self._host

    def _changes(self, host: Host) -> list[str]:
        """What the case did not put back, as lines of a difference."""
        lines = difflib.unified_diff(self._initial, host.state(), lineterm="", n=0)
        return [f"left changed: {line}" for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
