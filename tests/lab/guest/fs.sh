# SPDX-License-Identifier: GPL-2.0-or-later
# Mounts a folder of the host, reads and writes; with lab.boots=2 once more after a reboot. lab.wait=1: says that it is
# mounted, and that it is alive when the folder does not answer any more.
mount -t virtiofs files /mnt || echo "LAB-RESULT error=mount"
if [ -n "$LAB_wait" ]; then
    echo "LAB-RESULT mounted=1"
    for second in 1 2 3; do
        sleep 1
        echo "LAB-RESULT alive=$second"
    done
    poweroff -f -n # a sync would wait for the folder for ever
fi
echo "LAB-RESULT read=$(sha256sum </mnt/from-host | cut -d ' ' -f 1)"
if [ -e /mnt/from-guest ] || [ "$LAB_boots" != 2 ]; then
    dd if=/dev/urandom of=/mnt/from-guest bs=1M count=4 2>/dev/null || echo "LAB-RESULT error=write"
    sync
    echo "LAB-RESULT wrote=$(sha256sum </mnt/from-guest | cut -d ' ' -f 1)"
    grep virtio /proc/interrupts
    umount /mnt
    exit 0
fi
echo first >/mnt/from-guest
reboot -f
