# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that boots by firmware, as an installer would leave it, and the firmware: what `needs: firmware` puts in a host.

GPT with a BIOS boot partition, an EFI system partition and an ext4 root; Debian's GRUB for both kinds of firmware;
Debian's kernel with an initramfs that does no more than mount the root and go there.
"""

import inspect
import shutil
import tempfile
from pathlib import Path

from . import cache, image, suite
from .cpio import Archive
from .kernel import Kernel

PACKAGES = "grub-efi-amd64-bin grub-pc-bin grub-common fdisk dosfstools mtools e2fsprogs ovmf seabios".split()
MODULES = "virtio_pci virtio_blk ext4 crc32c_generic efivarfs".split()
INITS = {name: image.LAB / "l2" / name for name in ("disk-initrd", "disk-init")}

# Run in a tree; /given has the kernel, /made gets disk and firmware. Nothing here needs a loop device: GRUB's first
# sectors are told by hand where the next ones are.
SETUP = r"""
set -e
apt-get -qq -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 install --no-install-recommends PACKAGES
cd /made
cp /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_VARS_4M.fd /usr/share/seabios/bios-256k.bin .
truncate -s 50M disk
sfdisk -q disk <<'TABLE'
label: gpt
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649
start=4096, size=8192, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=12288, size=88064, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
TABLE

root=/tmp/root
mkdir -p $root/boot/grub
cp -a /given/root/. $root/
cp /given/vmlinuz /given/initrd.img $root/boot/
cat >$root/boot/grub/grub.cfg <<'CONFIG'
set timeout=0
serial --unit=0 --speed=115200
terminal_output serial
linux /boot/vmlinuz root=/dev/vda3 console=ttyS0 quiet mitigations=off init_on_alloc=0 lsm=capability audit=0 cryptomgr.notests initcall_blacklist=crypto_kdf108_init,init_encrypted,jent_mod_init,trace_eval_init
initrd /boot/initrd.img
boot
CONFIG
truncate -s $((88064 * 512)) root.img
mkfs.ext4 -q -F -L root -O ^has_journal -E lazy_itable_init=0 -d $root root.img
dd if=root.img of=disk bs=512 seek=12288 conv=notrunc,sparse status=none

common="part_gpt ext2 normal linux configfile serial terminal"
grub-mkimage -O x86_64-efi -o bootx64.efi -p '(hd0,gpt3)/boot/grub' $common fat
truncate -s $((8192 * 512)) esp.img
mkfs.vfat -F 12 -n ESP esp.img >/dev/null
mmd -i esp.img ::EFI ::EFI/BOOT
mcopy -i esp.img bootx64.efi ::EFI/BOOT/BOOTX64.EFI
dd if=esp.img of=disk bs=512 seek=4096 conv=notrunc,sparse status=none

# The boot sector loads the first sector of the core image, that one the rest, by a list at its end.
grub-mkimage -O i386-pc -o core.img -p '(hd0,gpt3)/boot/grub' $common biosdisk
number() { # VALUE BYTES, little-endian
    local value=$1 count
    for ((count = 0; count < $2; count++)); do printf "\\x$(printf %02x $((value & 255)))"; value=$((value >> 8)); done
}
put() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
number 2049 8 | put core.img 500
number $((($(stat -c %s core.img) + 511) / 512 - 1)) 2 | put core.img 508
dd if=core.img of=disk bs=512 seek=2048 conv=notrunc status=none
dd if=/usr/lib/grub/i386-pc/boot.img of=disk bs=1 count=440 conv=notrunc status=none
number 2048 8 | put disk 92
number 37008 2 | put disk 102
rm root.img esp.img core.img bootx64.efi
""".replace("PACKAGES", " ".join(PACKAGES))


def layer(debian: Path) -> Path:
    """The layer of a host's initramfs with the disk and the firmware."""
    release = suite.running()
    tree = suite.minimal(release)
    key = cache.digest(tree.name, debian.name, SETUP, *MODULES, *INITS.values(), image.KERNEL_SOURCE,
                       *map(inspect.getsource, (_make, _initrd, _root)))

    def build(folder: Path) -> None:
        folder.mkdir()
        archive = _make(debian, tree, release)
        archive.write(folder / "image")
        (folder / "names").write_text("\n".join(archive.names()))

    return cache.entry("firmware", key, "the disk that boots by firmware", build)


def _initrd(debian: Path) -> Archive:
    archive = image.skeleton()
    image.busybox(archive, debian)
    Kernel(debian).add_modules(archive, MODULES)
    archive.text("init", INITS["disk-initrd"].read_bytes(), 0o755)
    return archive


def _root(debian: Path, place: Path) -> None:
    for name in ("usr/bin", "sbin", "dev", "proc", "sys", "run", "tmp", "lib"):
        (place / name).mkdir(parents=True)
    (place / "bin").symlink_to("usr/bin")
    shutil.copyfile(debian / "usr/bin/busybox", place / "usr/bin/busybox")
    (place / "usr/bin/busybox").chmod(0o755)
    for name in cache.run([str(debian / "usr/bin/busybox"), "--list"]).split():
        if name != "busybox":
            (place / "usr/bin" / name).symlink_to("busybox")
    (place / "sbin/init").write_bytes(INITS["disk-init"].read_bytes())
    (place / "sbin/init").chmod(0o755)


def _make(debian: Path, tree: Path, release: str) -> Archive:
    with tempfile.TemporaryDirectory(prefix="pcivm-firmware-") as scratch:
        place = Path(scratch)
        for name in ("made", "given", "given/root"):
            (place / name).mkdir()
        _initrd(debian).write(place / "given/initrd.img")
        shutil.copyfile(Kernel(debian).bzimage, place / "given/vmlinuz")
        _root(debian, place / "given/root")
        script = place / "setup.sh"
        script.write_text(SETUP)
        log = place / "log"
        code = suite.run_over(tree, script, binds={"/made": place / "made", "/given": place / "given",
                                                   "/var/cache/apt/archives": suite.downloads(release)}, log=log)
        if code != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise cache.LabError(f"making the disk that boots by firmware failed:\n{tail}")
        archive = Archive()
        for path in ("lab/firmware/disk", "usr/share/seabios/bios-256k.bin", "usr/share/OVMF/OVMF_CODE_4M.fd",
                     "usr/share/OVMF/OVMF_VARS_4M.fd"):
            archive.text(path, (place / "made" / Path(path).name).read_bytes(), 0o644)
        return archive
