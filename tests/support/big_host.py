# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the sysfs of a large host into a directory, for `pcivm --root` and `lspci -O sysfs.path`: network cards with
SR-IOV behind root ports, each function in a group of its own, with the files that the kernel gives a function.

    big_host.py DIR [FUNCTIONS]
"""
import pathlib
import struct
import sys

VFS = 62           # of each card: with port and PF 64 functions
PER_CARD = VFS + 2
SPEED_32, WIDTH_16 = 5, 16


def config(vendor, device, class_code, *, port=False, total_vfs=0):
    """4096 bytes: PCI Express, MSI-X, power management; serial number and SR-IOV of a PF."""
    image = bytearray(4096)
    struct.pack_into("<HHHHI", image, 0, vendor, device, 0, 0x10, class_code << 8 | 1)
    image[0x0e] = 1 if port else 0
    image[0x34] = 0x40
    struct.pack_into("<BBHI", image, 0x40, 0x01, 0x50, 3, 8)                        # power management, No_Soft_Reset
    struct.pack_into("<BBHII", image, 0x50, 0x11, 0x70, 63, 3, 0x2003)              # MSI-X in BAR 3
    struct.pack_into("<BBH", image, 0x70, 0x10, 0, 0x42 if port else 2)             # PCI Express
    struct.pack_into("<I", image, 0x70 + 0x0c, WIDTH_16 << 4 | SPEED_32)
    struct.pack_into("<H", image, 0x70 + 0x12, 8 << 4 | 4)
    struct.pack_into("<I", image, 0x70 + 0x2c, 0x3e)
    if total_vfs:
        struct.pack_into("<IQ", image, 0x100, 0x140 << 20 | 1 << 16 | 0x03, 0xa0369fffff3c2d10)
        struct.pack_into("<I", image, 0x140, 1 << 16 | 0x10)
        struct.pack_into("<HHHHHHH", image, 0x140 + 0x0c, total_vfs, total_vfs, VFS, 0, 0x10, 1, 0)
        struct.pack_into("<H", image, 0x140 + 0x1a, 0x1889)
    return bytes(image)


class Host:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.bus = self.root / "sys/bus/pci/devices"
        self.bus.mkdir(parents=True, exist_ok=True)
        self.groups = 0
        for driver in ("pcieport", "ice", "vfio-pci"):
            (self.root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        for directory in ("sys/class/iommu/dmar0", "sys/module/vfio_iommu_type1", "proc", "sys/class/net"):
            (self.root / directory).mkdir(parents=True, exist_ok=True)
        (self.root / "proc/interrupts").write_text("  9:  0  IR-IO-APIC   9-fasteoi   acpi\n")

    def function(self, address, below, *, device, class_code, driver, image, resource):
        """`below`: the directory under /sys/devices; links climb from there."""
        real = self.root / "sys/devices" / below / address
        real.mkdir(parents=True)
        up = "../" * (len(pathlib.Path(below).parts) + 2)
        (self.bus / address).symlink_to(f"../../../devices/{below}/{address}")
        (real / "uevent").write_text(f"DRIVER={driver}\nPCI_CLASS={class_code:X}\nPCI_ID=8086:{device:04X}\n"
                                     f"PCI_SUBSYS_ID=8086:0001\nPCI_SLOT_NAME={address}\n"
                                     f"MODALIAS=pci:v00008086d0000{device:04X}sv00008086sd00000001bc02sc00i00\n")
        texts = {"vendor": "0x8086", "device": f"0x{device:04x}", "class": f"0x{class_code:06x}", "irq": "16",
                 "subsystem_vendor": "0x8086", "subsystem_device": "0x0001", "revision": "0x01", "numa_node": "0",
                 "local_cpulist": "0-31", "driver_override": "(null)", "reset_method": "flr bus", "power_state": "D0",
                 "modalias": f"pci:v00008086d0000{device:04X}sv00008086sd00000001bc02sc00i00"}
        for name, text in texts.items():
            (real / name).write_text(text + "\n")
        (real / "config").write_bytes(image)
        (real / "resource").write_text(resource)
        (real / "driver").symlink_to(f"{up}bus/pci/drivers/{driver}")
        members = self.root / f"sys/kernel/iommu_groups/{self.groups}/devices"
        members.mkdir(parents=True)
        (members / address).symlink_to(f"../../../../devices/{below}/{address}")
        (real / "iommu_group").symlink_to(f"{up}kernel/iommu_groups/{self.groups}")
        self.groups += 1
        return real

    def card(self, number, functions):
        """A root port, its PF and VFs: `functions` in all."""
        domain, bus = divmod(number, 128)
        host = f"pci{domain:04x}:00"
        port, pf = f"{domain:04x}:00:{number % 32:02x}.{number % 128 // 32}", f"{domain:04x}:{bus + 1:02x}:00.0"
        bars = ("0x00000000f0000000 0x00000000f1ffffff 0x000000000014220c\n" + "0x0 0x0 0x0\n" * 2 +
                "0x00000000f2000000 0x00000000f200ffff 0x000000000014220c\n" + "0x0 0x0 0x0\n" * 3)
        self.function(port, host, device=0x347a, class_code=0x060400, driver="pcieport", resource=bars,
                      image=config(0x8086, 0x347a, 0x060400, port=True))
        vfs = functions - 2
        if vfs < 0:
            return
        physical = self.function(pf, f"{host}/{port}", device=0x1592, class_code=0x020000, driver="ice", resource=bars,
                                 image=config(0x8086, 0x1592, 0x020000, total_vfs=VFS))
        for name, value in (("sriov_totalvfs", VFS), ("sriov_numvfs", vfs), ("sriov_drivers_autoprobe", 1)):
            (physical / name).write_text(f"{value}\n")
        virtual = config(0x8086, 0x1889, 0x020000)
        for index in range(vfs):
            routing = 0x10 + index
            address = f"{domain:04x}:{bus + 1:02x}:{routing // 8:02x}.{routing % 8}"
            real = self.function(address, f"{host}/{port}", device=0x1889, class_code=0x020000, driver="vfio-pci",
                                 image=virtual, resource=bars)
            (real / "physfn").symlink_to(f"../{pf}")
            (physical / f"virtfn{index}").symlink_to(f"../{address}")


def make(directory, functions):
    host = Host(directory)
    for number in range(-(-functions // PER_CARD)):
        host.card(number, min(PER_CARD, functions - number * PER_CARD))


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 4096)
