# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs of the emulated host (L1), in layers, and that of its guests (L2).

base     Debian programs and kernel modules, the guest's kernel; cached
peer     Debian's QEMU, to run beside pcivm in comparisons; cached
fs       Debian's virtiofsd, for cases that need it; cached
passt    Debian's passt, likewise
overlay  what changes from run to run: scripts of this folder, pcivm with its libraries, the guest's initramfs

A host with a full systemd (disk.py) has one layer instead of the first two, which finds its disk.
"""

import hashlib
import inspect
import os
import re
import subprocess
import threading
from pathlib import Path

from . import cache, iommufd, tree
from .cpio import Archive
from .kernel import Kernel

LAB = Path(__file__).resolve().parents[1]
LIBDIR = tree.LIBDIR
COPIES = LAB.parents[1] / "build/lab/programs"
KERNEL_SOURCE = Path(__file__).with_name("kernel.py")

HOST_MODULES = """
    kvm_amd vfio_pci vfio_iommu_type1 mdev vhost_net vhost_vsock tun tap macvtap uio_pci_generic
    igb igbvf e1000 e1000e nvme virtio_net virtio_blk virtio_rng
    bridge 8021q bonding macvlan veth dummy team
    loop dm_mod dm_crypt raid1 ext4 crc32c_generic overlay
    button evdev msr i2c_i801
""".split()

GUEST_MODULES = """
    igbvf igb e1000 e1000e nvme virtio_pci virtio_mmio virtio_net virtio_blk virtio_console virtio_rng virtio_balloon
    vmw_vsock_virtio_transport nd_virtio virtio_pmem nd_pmem virtio_mem i6300esb
    virtio_iommu vfio_pci vfio_iommu_type1
    ext4 crc32c_generic button evdev msr vfat nls_cp437 nls_ascii nls_utf8 uio_pci_generic
""".split()

# To reach the disk of a host that has one.
DISK_MODULES = "virtio_pci virtio_blk ext4 crc32c_generic".split()

PROGRAMS = """
    bash jq ip bridge tc kmod lspci setpci ps pgrep pkill top strace sed grep taskset flock lsblk findmnt losetup
    mount umount mkswap swapon swapoff unshare nsenter prlimit setsid setpriv script timeout lscpu lsns
    mkfs.ext4 blkid dmsetup perl dmidecode acpidump acpixtract iasl
""".split()

KMOD_NAMES = "depmod insmod lsmod modinfo modprobe rmmod".split()


def host_base(debian: Path) -> Path:
    """Folder with `image` (the archive) and `names` (the paths in it)."""
    parts = [debian.name, iommufd.modules(debian).name, *HOST_MODULES, *PROGRAMS, KERNEL_SOURCE,
             *map(inspect.getsource, (_base, skeleton, busybox, _program))]
    return _layer("base", cache.digest(*parts), "the image of the lab host", lambda: _base(debian))


def peer_layer(debian: Path) -> Path:
    parts = [debian.name, *map(inspect.getsource, (_peer, _program))]
    return _layer("peer", cache.digest(*parts), "the QEMU layer of the lab host", lambda: _peer(debian))


def virtiofsd_layer(debian: Path) -> Path:
    parts = [debian.name, *map(inspect.getsource, (_virtiofsd, _program, tree.unpacked))]
    return _layer("fs", cache.digest(*parts), "the virtiofsd layer of the lab host", lambda: _virtiofsd(debian))


def passt_layer(debian: Path) -> Path:
    parts = [debian.name, *map(inspect.getsource, (_passt, _program, tree.unpacked))]
    return _layer("passt", cache.digest(*parts), "the passt layer of the lab host", lambda: _passt(debian))


def disk_layer(debian: Path) -> Path:
    """What starts the system on a disk."""
    parts = [debian.name, *DISK_MODULES, KERNEL_SOURCE, *map(inspect.getsource, (_disk, skeleton, busybox))]
    return _layer("boot", cache.digest(*parts), "the layer that boots a disk", lambda: _disk(debian))


def guest(debian: Path) -> Path:
    """The guest's initramfs."""
    scripts = sorted((LAB / "guest").glob("*.sh"))
    parts = [debian.name, *GUEST_MODULES, KERNEL_SOURCE, LAB / "l2/init",
             *map(inspect.getsource, (_guest, skeleton, busybox)),
             *(part for script in scripts for part in (script.name, script))]
    return cache.entry("guest", cache.digest(*parts), "the guest image", lambda path: _guest(debian, scripts).write(path))


def _layer(kind: str, key: str, what: str, make) -> Path:
    def build(folder: Path) -> None:
        archive = make()
        folder.mkdir()
        archive.write(folder / "image")
        (folder / "names").write_text("\n".join(archive.names()))

    return cache.entry(kind, key, what, build)


def _base(debian: Path) -> Archive:
    archive = skeleton()
    for name in PROGRAMS:
        _program(archive, debian, name)
    for name in KMOD_NAMES:
        archive.link(f"usr/sbin/{name}", "../bin/kmod")
    busybox(archive, debian)
    archive.file("usr/share/misc/pci.ids", debian / "usr/share/misc/pci.ids")
    for name in ("linux", "xterm", "xterm-256color", "screen-256color", "tmux-256color", "vt100", "vt220"):
        for entry in sorted((debian / "usr").glob(f"*/terminfo/{name[0]}/{name}")):
            archive.file(f"usr/share/terminfo/{name[0]}/{name}", entry)
    kernel = Kernel(debian)
    kernel.add_modules(archive, HOST_MODULES, iommufd.modules(debian))
    archive.file("lab/l2/bzImage", kernel.bzimage)
    archive.file("lab/l2/vmlinux", kernel.vmlinux())
    return archive


def _peer(debian: Path) -> Archive:
    archive = Archive()
    _program(archive, debian, "qemu-system-x86_64")
    for folder, names in {"qemu": "linuxboot_dma.bin multiboot_dma.bin pvh.bin kvmvapic.bin qboot.rom efi-virtio.rom",
                          "seabios": "bios-256k.bin bios-microvm.bin vgabios-stdvga.bin"}.items():
        for name in names.split():
            archive.file(f"usr/share/{folder}/{name}", debian / "usr/share" / folder / name)
    return archive


def _virtiofsd(debian: Path) -> Archive:
    archive = Archive()
    archive.file("usr/bin/virtiofsd", tree.unpacked(debian, "virtiofsd") / "usr/libexec/virtiofsd")
    for library in tree.needed_libraries(debian, tree.unpacked(debian, "virtiofsd") / "usr/libexec/virtiofsd"):
        archive.file(f"{LIBDIR}/{library.name}", library)
    return archive


def _passt(debian: Path) -> Archive:
    archive = Archive()
    programs = tree.unpacked(debian, "passt") / "usr/bin"
    # It starts the second in its own place where the CPU can run it.
    for name in ("passt", "passt.avx2"):
        archive.file(f"usr/bin/{name}", programs / name)
        for library in tree.needed_libraries(debian, programs / name):
            archive.file(f"{LIBDIR}/{library.name}", library)
    return archive


def _disk(debian: Path) -> Archive:
    archive = skeleton()
    busybox(archive, debian)
    Kernel(debian).add_modules(archive, DISK_MODULES)
    for name in ("vmlinux", "bzImage"):
        archive.link(f"lab/l2/{name}", f"/var/lib/lab/l2/{name}")
    return archive


def _guest(debian: Path, scripts: list[Path]) -> Archive:
    archive = skeleton()
    busybox(archive, debian)
    Kernel(debian).add_modules(archive, GUEST_MODULES)
    archive.text("init", (LAB / "l2/init").read_bytes(), 0o755)
    for script in scripts:
        archive.file(f"guest/{script.name}", script)
    return archive


def skeleton() -> Archive:
    archive = Archive()
    for name in ("bin", "sbin", "lib", "lib64"):
        archive.folder(f"usr/{name}")
        archive.link(name, f"usr/{name}")
    for name in ("dev", "proc", "sys", "run", "root", "etc", "mnt", "var/lib"):
        archive.folder(name)
    archive.folder("tmp", 0o1777)
    archive.link("var/run", "../run")
    archive.link("etc/mtab", "../proc/self/mounts")
    archive.text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n")
    archive.text("etc/group", "root:x:0:\nkvm:x:104:\nnogroup:x:65534:\n")
    archive.text("etc/hosts", "127.0.0.1 localhost\n")
    return archive


def busybox(archive: Archive, debian: Path) -> None:
    """busybox under all its names that no real program has taken."""
    archive.file("usr/bin/busybox", debian / "usr/bin/busybox")
    for name in cache.run([str(debian / "usr/bin/busybox"), "--list"]).split():
        if f"usr/bin/{name}" not in archive and f"usr/sbin/{name}" not in archive:
            archive.link(f"usr/bin/{name}", "busybox")
    if "usr/bin/bash" not in archive:
        archive.link("usr/bin/bash", "busybox")


def _program(archive: Archive, debian: Path, name: str) -> None:
    """A program of the tree with its libraries."""
    folder = next((folder for folder in ("usr/bin", "usr/sbin") if (debian / folder / name).exists()), None)
    if folder is None:
        raise cache.LabError(f"{name} is not in {debian}")
    archive.file(f"{folder}/{name}", debian / folder / name)
    for library in tree.needed_libraries(debian, debian / folder / name):
        archive.file(f"{LIBDIR}/{library.name}", library)
    archive.file("usr/lib64/ld-linux-x86-64.so.2", debian / "lib64/ld-linux-x86-64.so.2")


def overlay(debian: Path, init: str, pcivm: Path | None, extra: list[Path], taken: set[str]) -> Archive:
    """The layer of one run; `init` is the file of l1/ that starts the host, `taken` the paths that the layers below have."""
    archive = Archive()
    archive.text("init", (LAB / "l1" / init).read_bytes(), 0o755)
    for name in ("agent", "state", "stuck", "profile"):
        archive.file(f"lab/{name}", LAB / "l1" / name)
    archive.link("root/.bash_profile", "/lab/profile")
    archive.tree("lab/cases", LAB / "cases")
    archive.tree("lab/bench", LAB / "bench")
    archive.file("lab/l2/initrd", guest(debian))
    programs = [(program, program.name) for program in extra] + ([(pcivm, "pcivm")] if pcivm else [])
    for program, name in programs:
        archive.file(f"lab/bin/{name}", without_debug_information(program))
        for library in _host_libraries(program):
            if f"{LIBDIR}/{library.name}" not in taken:
                archive.file(f"{LIBDIR}/{library.name}", library)
    return archive


def without_debug_information(program: Path) -> Path:
    """A copy of a program as a package has it: 300 MB that nobody reads would take each host two seconds to unpack."""
    if not _is_elf(program):
        return program
    found = program.stat()
    copy = COPIES / f"{program.name}-{hashlib.sha256(str(program.resolve()).encode()).hexdigest()[:8]}"
    if copy.exists() and copy.stat().st_mtime_ns == found.st_mtime_ns:
        return copy
    COPIES.mkdir(parents=True, exist_ok=True)
    part = COPIES / f"{copy.name}.{os.getpid()}.{threading.get_ident()}"
    subprocess.run(["objcopy", "--strip-debug", "--preserve-dates", str(program), str(part)], check=True)
    part.rename(copy)
    return copy


def _is_elf(program: Path) -> bool:
    with open(program, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _host_libraries(program: Path) -> list[Path]:
    """The shared libraries that a program of this machine loads (none for a script or a data file)."""
    if not _is_elf(program):
        return []
    listing = subprocess.run(["ldd", str(program)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env={**os.environ, "LC_ALL": "C"}).stdout
    lost = re.findall(r"(\S+) => not found", listing)
    if lost:
        raise cache.LabError(f"{program} needs {', '.join(lost)}, which this machine does not have")
    return [Path(path) for path in re.findall(r"=> (/\S+)", listing)]


def concatenate(layers: list[Path], top: Archive, output: Path) -> None:
    """Writes layers and overlay as the one initramfs file that a boot loader takes."""
    top.write(output)
    overlay_data = output.read_bytes()
    with open(output, "wb") as out:
        for layer in layers:
            out.write((layer / "image").read_bytes())
        out.write(overlay_data)
        # The kernel copies an initramfs that does not end on a page boundary once more.
        out.write(b"\0" * (-out.tell() % 4096))
