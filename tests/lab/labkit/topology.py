# SPDX-License-Identifier: GPL-2.0-or-later
"""A topology file and the QEMU arguments that emulate it.

    # What this host is for, in one line.
    iommu = "vtd"            # vtd, vtd-noir (no interrupt remapping), amdvi, none
    devices = ["igb", "nvme vfs=2", "e1000e"]
    system = "systemd"       # optional: a disk with a full systemd and the installed package, not an initramfs
    memory = "3G"            # optional
    cmdline = ""             # optional: more kernel parameters
    processor = [...]        # optional: QEMU arguments of accelerator and processors
    qemu = []                # optional: more QEMU arguments, as they are
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .cache import LabError
from .image import LAB

FOLDER = LAB / "topologies"

# Machine arguments and kernel parameters by kind of IOMMU. The VMM that the host runs needs KVM: TCG emulates AMD's
# SVM only, and Linux takes intel-iommu beside an AMD processor.
IOMMUS = {
    "vtd": (["-M", "q35,sata=off,kernel-irqchip=split", "-device", "intel-iommu,intremap=on,caching-mode=on"], "intel_iommu=on"),
    "vtd-noir": (["-M", "q35,sata=off", "-device", "intel-iommu,intremap=off,caching-mode=on"], "intel_iommu=on"),
    "amdvi": (["-M", "q35,sata=off", "-device", "amd-iommu,intremap=on,xtsup=on,dma-remap=on"], ""),
    "none": (["-M", "q35,sata=off"], ""),
}


# TCG takes REP STOSB and REP MOVSB byte by byte. Kernels and C libraries fill and copy memory by them where these flags
# say that they are fast, and zero a page five times as slowly as by eight bytes at a time.
CPU = "max,-erms,-fsrm"


@dataclass
class Topology:
    name: str
    about: str
    iommu: str
    devices: list[str]
    system: str = "initramfs"
    memory: str = "3G"
    cmdline: str = ""
    processor: list[str] = field(default_factory=lambda: f"-accel tcg,thread=multi -cpu {CPU} -smp 2".split())
    qemu: list[str] = field(default_factory=list)

    def machine(self, scratch: Path) -> list[str]:
        """QEMU arguments for machine and devices; what they store goes into `scratch`."""
        arguments = list(IOMMUS[self.iommu][0])
        for number, text in enumerate(self.devices, start=1):
            kind, *settings = text.split()
            options = dict(setting.split("=", 1) for setting in settings)
            arguments += DEVICES[kind](number, scratch, **options)
        return [*self.processor, *arguments, "-m", self.memory, *self.qemu]

    def parameters(self) -> str:
        return f"{IOMMUS[self.iommu][1]} {self.cmdline}".strip()


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load(name: str) -> Topology:
    file = FOLDER / f"{name}.toml"
    if not file.exists():
        raise LabError(f"no topology '{name}', wanted one of {', '.join(names())}")
    text = file.read_text()
    about = next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ") and "SPDX" not in line), "")
    try:
        topology = Topology(name=name, about=about, **tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise LabError(f"{file}: {error}") from error
    if topology.iommu not in IOMMUS:
        raise LabError(f"{file}: iommu is '{topology.iommu}', wanted one of {', '.join(IOMMUS)}")
    if topology.system not in ("initramfs", "systemd"):
        raise LabError(f"{file}: system is '{topology.system}', wanted initramfs or systemd")
    for device in topology.devices:
        if device.split()[0] not in DEVICES:
            raise LabError(f"{file}: device is '{device}', wanted one of {', '.join(DEVICES)}")
    return topology


def _port(number: int) -> list[str]:
    """A root port with one slot, so that what is behind it is a group of its own."""
    return ["-device", f"pcie-root-port,id=port{number},bus=pcie.0,chassis={number},slot={number}"]


def _igb(number: int, scratch: Path) -> list[str]:
    return [*_port(number), "-netdev", f"user,id=net{number},restrict=on",
            "-device", f"igb,id=dev{number},bus=port{number},netdev=net{number}"]


def _nvme(number: int, scratch: Path, vfs: str = "4", vectors: str = "") -> list[str]:
    """A drive with SR-IOV: namespace 1 belongs to every controller, namespace 2 to none until it is attached."""
    disks = [scratch / f"nvme{number}n{nsid}.img" for nsid in (1, 2)]
    for disk, size in zip(disks, (64 << 20, 16 << 20)):
        with open(disk, "ab") as file:  # what an earlier boot of this host wrote stays
            file.truncate(size)
    queues = 2 + int(vfs) * 2
    return [*_port(number), "-device", f"nvme-subsys,id=subsys{number}",
            "-drive", f"file={disks[0]},format=raw,if=none,id=disk{number}",
            "-drive", f"file={disks[1]},format=raw,if=none,id=disk{number}b",
            "-device", f"nvme,id=dev{number},serial=lab{number},subsys=subsys{number},bus=port{number},"
            f"sriov_max_vfs={vfs},sriov_vq_flexible={2 * int(vfs)},sriov_vi_flexible={vfs},"
            f"max_ioqpairs={queues + 16},msix_qsize={vectors or int(vfs) + 12}",
            "-device", f"nvme-ns,drive=disk{number},nsid=1,shared=on",
            "-device", f"nvme-ns,drive=disk{number}b,nsid=2,shared=on,detached=on"]


def _e1000e(number: int, scratch: Path) -> list[str]:
    return [*_port(number), "-netdev", f"user,id=net{number},restrict=on",
            "-device", f"e1000e,id=dev{number},bus=port{number},netdev=net{number}"]


def _edu(number: int, scratch: Path) -> list[str]:
    return ["-device", f"edu,id=dev{number},bus=pcie.0"]


def _shared_group(number: int, scratch: Path) -> list[str]:
    """Two conventional PCI devices behind one bridge: the IOMMU cannot tell their DMA apart."""
    return [*_port(number), "-device", f"pcie-pci-bridge,id=bridge{number},bus=port{number}",
            "-device", f"edu,id=dev{number}a,bus=bridge{number},addr=1",
            "-netdev", f"user,id=net{number},restrict=on",
            "-device", f"e1000,id=dev{number}b,bus=bridge{number},addr=2,netdev=net{number}"]


def _ivshmem(number: int, scratch: Path, size: str = "8G") -> list[str]:
    """A device that is little more than one large 64-bit BAR; of its memory only what is touched is there."""
    return [*_port(number), "-object", f"memory-backend-ram,id=shm{number},size={size},share=on,reserve=off",
            "-device", f"ivshmem-plain,id=dev{number},memdev=shm{number},bus=port{number}"]


def _rng(number: int, scratch: Path) -> list[str]:
    """A small device that reports errors (AER), which QEMU can be told to make up, and that is reset by FLR."""
    return [*_port(number), "-device", f"virtio-rng-pci,id=dev{number},bus=port{number},aer=on,iommu_platform=on,disable-legacy=on"]


def _xhci(number: int, scratch: Path) -> list[str]:
    """A USB controller with 16 MSIs and no MSI-X, which is told by a register to send any of them."""
    return [*_port(number), "-device", f"nec-usb-xhci,id=dev{number},bus=port{number},msi=on,msix=off,intrs=16"]


DEVICES = {
    "igb": _igb,
    "nvme": _nvme,
    "e1000e": _e1000e,
    "edu": _edu,
    "shared-group": _shared_group,
    "ivshmem": _ivshmem,
    "rng": _rng,
    "xhci": _xhci,
}
