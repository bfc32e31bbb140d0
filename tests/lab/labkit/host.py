# SPDX-License-Identifier: GPL-2.0-or-later
"""One running emulated host (L1): start, talk to its agent, stop."""

import contextlib
import itertools
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import bootable, cache, disk, image, tree, tsc
from .kernel import Kernel
from .topology import Topology

LOGS = image.LAB.parents[1] / "build/lab"
BOOT_DEADLINE = 180.0
OFF_DEADLINE = 120.0
STUCK_DEADLINE = 30.0
HOSTS = itertools.count(1)  # of this process
KERNEL_HZ = 250  # of Debian's kernels

# What the kernel of the host says when something is broken, the product's fault or not.
TROUBLE = re.compile(r"BUG:|WARNING: CPU|Oops:|general protection fault|Kernel panic|blocked for more than|"
                     r"DMAR: \[.*(fault|Fault)|DMAR:.*PTE|AMD-Vi: Event logged|Out of memory:")

# A line of a case's output that starts so is a command for QEMU (`emulator` in lib.sh).
EMULATOR = "EMULATOR "


@dataclass
class Content:
    """What a host is given beside its base image."""
    pcivm: Path | None = None
    package: Path | None = None  # installed in hosts with a full systemd, which need it
    extra: list[Path] = field(default_factory=list)
    peer: bool = False
    virtiofsd: bool = False
    passt: bool = False
    firmware: bool = False
    scripts: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Outcome:
    code: int
    output: list[str]
    left: list[str]
    seconds: float


class Stuck(Exception):
    """The host does not answer: a deadline passed, or its QEMU ended."""


class Host:
    """Use as a context manager (the host is gone when the block ends, however it ends), or by start() and stop()."""

    def __init__(self, topology: Topology, content: Content, *, terminal: bool = False) -> None:
        self._topology = topology
        self._content = content
        self._terminal = terminal
        self._buffer = b""
        self._scratch: Path | None = None
        self._process: subprocess.Popen | None = None
        self._control: socket.socket | None = None
        self._watch: socket.socket | None = None
        self._monitor: socket.socket | None = None
        LOGS.mkdir(parents=True, exist_ok=True)
        self.console = LOGS / f"{topology.name}.{os.getpid()}.{next(HOSTS)}.console"
        self.console.write_bytes(b"")
        _prune_logs()

    def __enter__(self) -> "Host":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> None:
        """Boots the host and waits for its agent; a host with a disk then has the package installed."""
        self._scratch = Path(tempfile.mkdtemp(prefix="pcivm-lab-"))
        if not self.has_disk:
            return self._boot()
        if not self._content.package:
            raise cache.LabError(f"'{self._topology.name}' has the package installed, and there is none: run ./dev package")
        master = disk.get(tree.get(), self._content.package)
        cache.run(["cp", "--sparse=always", "--reflink=auto", str(master), str(self._scratch / "disk")])
        self._boot()
        outcome = self.run("/lab/install", BOOT_DEADLINE)
        if outcome.code != 0:
            raise Stuck("the package cannot be installed:\n" + "\n".join(outcome.output[-30:]))

    @property
    def has_disk(self) -> bool:
        return self._topology.system == "systemd"

    def reboot(self) -> None:
        """Shuts the host down in order and starts it again."""
        self._control.sendall(b"reboot\n")
        try:
            self._process.wait(OFF_DEADLINE)
        except subprocess.TimeoutExpired:
            raise Stuck("the host does not shut down") from None
        self._boot()

    def cut_power(self) -> None:
        """Ends the host between two instructions and starts it again."""
        self._process.kill()
        self._process.wait()
        self._boot()

    def _boot(self) -> None:
        for channel in (self._control, self._watch, self._monitor):
            if channel:
                channel.close()
        self._buffer = b""
        for name in ("control", "watch", "monitor"):
            (self._scratch / name).unlink(missing_ok=True)
        self._launch()
        self._control = self._connect("control")
        self._watch = self._connect("watch")
        self._monitor = self._connect("monitor")
        self._answer(time.monotonic() + BOOT_DEADLINE, lambda line: None)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for channel in (self._control, self._watch, self._monitor):
            if channel:
                channel.close()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def run(self, script: str, deadline: float, on_line=lambda line: None, boot: int = 0, backend: str = "auto") -> Outcome:
        """Runs a script that is in the host, LAB_BOOT and LAB_BACKEND in its environment; each line of output is also given
        to `on_line`."""
        return self._request(f"run {script} {boot} {backend}", deadline, on_line)

    def state(self) -> list[str]:
        """What of the host a test may change, as text lines."""
        return self._request("state", 30.0).output

    def shell(self) -> int:
        size = shutil.get_terminal_size()
        return self._request(f"shell {size.lines} {size.columns} {os.environ.get('TERM', 'linux')}", float("inf")).code

    def show_what_hangs(self) -> None:
        """Makes the host put what /lab/stuck tells on its console, also while a script runs in it."""
        with contextlib.suppress(OSError, AttributeError):  # the host is down: its console has all there is
            self._watch.sendall(b"\n")
            select.select([self._watch], [], [], STUCK_DEADLINE)
            time.sleep(0.5)  # the console, too, has a way to go

    def console_size(self) -> int:
        return self.console.stat().st_size

    def console_from(self, offset: int) -> list[str]:
        with open(self.console, "rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace").splitlines()

    def trouble_since(self, offset: int) -> list[str]:
        return [line for line in self.console_from(offset) if TROUBLE.search(line)]

    def _launch(self) -> None:
        debian = tree.get()
        layers = [image.disk_layer(debian) if self.has_disk else image.host_base(debian)]
        layers += [image.peer_layer(debian)] if self._content.peer else []
        layers += [image.virtiofsd_layer(debian)] if self._content.virtiofsd else []
        layers += [image.passt_layer(debian)] if self._content.passt else []
        layers += [bootable.layer(debian)] if self._content.firmware else []
        taken = {name for layer in layers for name in (layer / "names").read_text().splitlines()}
        init, pcivm = ("init-disk", None) if self.has_disk else ("init", self._content.pcivm)
        top = image.overlay(debian, init, pcivm, self._content.extra, taken)
        if self.has_disk:
            top.file("lab/pcivm.deb", self._content.package)
            top.file("lab/install", image.LAB / "l1/install")
        for path, data in self._content.scripts.items():
            top.text(path, data, 0o755)
        image.concatenate(layers, top, self._scratch / "initrd")

        command, environment = tree.qemu(debian)
        arguments = self._arguments(debian)
        (LOGS / f"{self._topology.name}.qemu").write_text(" ".join(command + arguments) + "\n")
        # On a terminal, stdin and stdout are those of the shell in the host.
        with open(self._scratch / "qemu.log", "wb") as log:
            # The emulated host must not outlive this program, whatever ends it.
            self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command, *arguments], env=environment,
                                             stdin=None if self._terminal else subprocess.DEVNULL,
                                             stdout=None if self._terminal else log, stderr=log)

    def _arguments(self, debian: Path) -> list[str]:
        control = self._scratch / "control"
        parameters = f"console=ttyS0 loglevel={5 if self.has_disk else 7} log_buf_len=2M initcall_blacklist=crypto_kdf108_init,init_encrypted,jent_mod_init init_on_alloc=0 lsm=landlock,capability mitigations=off no_timer_check tsc=reliable tsc_early_khz={tsc.khz()} lpj={tsc.khz() * 1000 // KERNEL_HZ} cryptomgr.notests oops=panic panic=-1 {self._topology.parameters()}"
        terminal = ["-chardev", "stdio,id=terminal,signal=off", "-device", "virtconsole,chardev=terminal"]
        return [
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-name", f"pcivm-lab-{self._topology.name}",
            *self._topology.machine(self._scratch),
            *(["-drive", f"file={self._scratch}/disk,format=raw,if=none,id=disk", "-device", "virtio-blk-pci,drive=disk,bus=pcie.0,addr=1d.0"]
              if self.has_disk else []),
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
            "-device", "virtio-serial-pci,bus=pcie.0,addr=1e.0",
            *(terminal if self._terminal else []),
            "-chardev", f"socket,id=control,path={control},server=on,wait=off",
            "-device", "virtserialport,chardev=control,name=lab.control",
            "-chardev", f"socket,id=watch,path={self._scratch}/watch,server=on,wait=off",
            "-device", "virtserialport,chardev=watch,name=lab.watch",
            "-chardev", f"socket,id=monitor,path={self._scratch}/monitor,server=on,wait=off,logfile={self.console.with_suffix('.monitor')}", "-mon", "chardev=monitor",
            "-kernel", str(Kernel(debian).vmlinux()), "-initrd", str(self._scratch / "initrd"), "-append", parameters,
        ]

    def _connect(self, name: str) -> socket.socket:
        """One of QEMU's sockets, which appear some time after its start."""
        channel = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 20
        while True:
            try:
                channel.connect(str(self._scratch / name))
                return channel
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise Stuck(f"QEMU does not start: {self._said()}") from None
                time.sleep(0.02)

    def _said(self) -> str:
        """What QEMU itself printed."""
        return (self._scratch / "qemu.log").read_text(errors="replace").strip()

    def _request(self, text: str, deadline: float, on_line=lambda line: None) -> Outcome:
        self._control.sendall(text.encode() + b"\n")
        return self._answer(time.monotonic() + deadline, on_line)

    def _answer(self, until: float, on_line) -> Outcome:
        start = time.monotonic()
        outcome = Outcome(code=-1, output=[], left=[], seconds=0)
        while True:
            kind, _, text = self._line(until).partition(" ")
            if kind == "o" and text.startswith(EMULATOR):
                self._monitor.sendall(text.removeprefix(EMULATOR).encode() + b"\n")
            elif kind == "o":
                outcome.output.append(text)
                on_line(text)
            elif kind == "l":
                outcome.left.append(text)
            elif kind == "x":
                outcome.code = int(text)
                outcome.seconds = time.monotonic() - start
                return outcome

    def _line(self, until: float) -> str:
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0:
                raise Stuck("deadline passed")
            if select.select([self._control], [], [], min(left, 1.0))[0]:
                try:
                    data = self._control.recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    raise Stuck(f"the host went down {self._said()}".strip())
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")


def _prune_logs(keep: int = 40) -> None:
    by_age = []
    for file in LOGS.glob("*.console"):
        with contextlib.suppress(FileNotFoundError):  # a host that starts beside this one prunes them too
            by_age.append((file.stat().st_mtime, file))
    for _, file in sorted(by_age)[:-keep]:
        file.unlink(missing_ok=True)
        file.with_suffix(".monitor").unlink(missing_ok=True)
