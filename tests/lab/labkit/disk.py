# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk of a lab host with a full systemd: a minimal Debian with what the pcivm package depends on, as an ext4 image."""

import inspect
import re
import shutil
import tempfile
from pathlib import Path

from . import cache, image, suite
from .kernel import Kernel

# What no case is about and only makes a boot longer. networkd stays: it is the network that others must come before.
MASKED = """
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer man-db.timer
    console-getty.service getty.target serial-getty@ttyS0.service systemd-logind.service systemd-networkd-wait-online.service
    proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount
    systemd-random-seed.service systemd-update-utmp.service systemd-update-utmp-runlevel.service
    modprobe@configfs.service modprobe@dm_mod.service modprobe@loop.service sys-kernel-config.mount
    systemd-pstore.service systemd-firstboot.service systemd-boot-system-token.service systemd-machine-id-commit.service
""".split()

# Run in the tree; /made gets the image, /modules the kernel's modules, /kernel the guests' kernels.
SETUP = """
set -e
apt-get -qq -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 install --no-install-recommends e2fsprogs $*
cp -a /modules/. /usr/lib/modules/
mkdir -p /lab /var/lib/lab/l2
cp /kernel/* /var/lib/lab/l2/
echo lab >/etc/hostname
echo '127.0.0.1 localhost lab' >/etc/hosts
rm -f /etc/machine-id /usr/sbin/policy-rc.d
systemd-machine-id-setup
systemctl mask MASKED
systemctl enable systemd-networkd
touch /etc/.updated /var/.updated
mount --bind / /mnt
mkfs.ext4 -q -F -L lab -E lazy_itable_init=0,lazy_journal_init=0 -d /mnt /made/disk 1500M
""".replace("MASKED", " ".join(MASKED))


def get(debian: Path, package: Path) -> Path:
    """The disk as it is before the package is installed in it; to be copied for each host."""
    depends = [re.sub(r"\(.*?\)|\|.*", "", entry).strip()
               for entry in cache.run(["dpkg-deb", "-f", str(package), "Depends"]).split(",")]
    release = suite.running()
    tree = suite.minimal(release)
    key = cache.digest(tree.name, debian.name, SETUP, *depends, *image.HOST_MODULES, image.KERNEL_SOURCE,
                       inspect.getsource(_make))
    return cache.entry("disk", key, "the disk of the lab host with systemd", lambda path: _make(path, tree, release, debian, depends))


def _make(path: Path, tree: Path, release: str, debian: Path, depends: list[str]) -> None:
    kernel = Kernel(debian)
    with tempfile.TemporaryDirectory(prefix="pcivm-disk-") as scratch:
        place = Path(scratch)
        for name in ("made", "modules", "kernel"):
            (place / name).mkdir()
        kernel.stage_modules(place / "stage", image.HOST_MODULES).rename(place / "modules" / kernel.release)
        shutil.copyfile(kernel.bzimage, place / "kernel/bzImage")
        shutil.copyfile(kernel.vmlinux(), place / "kernel/vmlinux")
        script = place / "setup.sh"
        script.write_text(SETUP)
        binds = {f"/{name}": place / name for name in ("made", "modules", "kernel")}
        log = place / "log"
        code = suite.run_over(tree, script, *depends, binds={**binds, "/var/cache/apt/archives": suite.downloads(release)}, log=log)
        if code != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise cache.LabError(f"making the disk of the lab host failed:\n{tail}")
        cache.run(["cp", "--sparse=always", str(place / "made/disk"), str(path)])
