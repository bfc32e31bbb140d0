# SPDX-License-Identifier: GPL-2.0-or-later
"""iommufd and VFIO's character devices for Debian's kernel, which is built without them.

Both are options of modules only (CONFIG_IOMMUFD, CONFIG_VFIO_DEVICE_CDEV), so the modules concerned are built once more
from Debian's source of the same kernel, against its headers; the kernel itself stays as it is. Groups and containers
are in these modules as before, so a host that has them can do both. Beside them goes a mediated device: the kernel's
sample mtty, a PCI serial card that sends back what it is sent (CONFIG_SAMPLES is off), for Debian's own mdev.
"""

import tempfile
from pathlib import Path

from . import cache, suite, tree
from .kernel import Kernel

# Run over the tree; $1 is the kernel's release, /made gets the modules. The one function that iommufd needs of the kernel
# proper, and that nothing else makes it have, goes into the module.
SCRIPT = r"""
set -e
apt-get -qq -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 install --no-install-recommends linux-headers-$1 linux-source-${1%.*} make xz-utils
mkdir /src && cd /src
tar -xf /usr/src/linux-source-${1%.*}.tar.xz --strip-components=1 --wildcards '*/drivers/vfio/*' '*/drivers/iommu/*' '*/samples/vfio-mdev/*' '*/lib/interval_tree.c'
iommufd=drivers/iommu/iommufd
{
    echo '#include <linux/interval_tree.h>'
    sed -n '/^#ifdef CONFIG_INTERVAL_TREE_SPAN_ITER/,/^#endif/p' lib/interval_tree.c | grep -v EXPORT_SYMBOL
} >$iommufd/span.c
echo 'iommufd-y += span.o' >>$iommufd/Makefile
echo "obj-m += $iommufd/ drivers/vfio/ samples/vfio-mdev/" >Kbuild
make -s -j2 -C /lib/modules/$1/build M=/src CONFIG_IOMMUFD=m CONFIG_VFIO_DEVICE_CDEV=y CONFIG_VFIO_MDEV= CONFIG_SAMPLE_VFIO_MDEV_MTTY=m modules \
    KCFLAGS='-DCONFIG_IOMMUFD_MODULE=1 -DCONFIG_VFIO_DEVICE_CDEV=1 -DCONFIG_INTERVAL_TREE_SPAN_ITER=1'
for module in $(find . -name '*.ko'); do
    strip -g $module
    cp $module /made/
done
"""


def modules(debian: Path) -> Path:
    """A folder with the modules (.ko), made when absent (a minute, root)."""
    return cache.entry("iommufd", cache.digest(debian.name, SCRIPT), "iommufd for the lab's kernel", lambda path: _make(debian, path))


def _make(debian: Path, folder: Path) -> None:
    release = Kernel(debian).release
    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="pcivm-iommufd-") as scratch:
        script, log = Path(scratch) / "script", Path(scratch) / "log"
        script.write_text(SCRIPT)
        code = suite.run_over(debian, script, release, log=log,
                              binds={"/made": folder, "/var/cache/apt/archives": suite.downloads(tree.SUITE)})
        if code != 0 or not list(folder.glob("*.ko")):
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise cache.LabError(f"building iommufd for kernel {release} failed (when the archive has a newer one: lab.py clean):\n{tail}")
