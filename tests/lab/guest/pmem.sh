# SPDX-License-Identifier: GPL-2.0-or-later
# A file of the host in the guest's memory: read whole; with lab.write=1 written and made durable, with lab.mount=1 used
# by a file system without copies. The host looks at the file when it hears synced=1.
modprobe nd_pmem
disk=/dev/pmem0
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    [ -b $disk ] && break
    sleep 0.2
done
hash() { sha256sum <"$1" | cut -d ' ' -f 1; }
echo "LAB-RESULT bytes=$(($(cat /sys/block/pmem0/size) * 512))"
echo "LAB-RESULT before=$(hash $disk)"
if [ -n "$LAB_write" ]; then
    dd if=/dev/urandom of=$disk bs=64k count=64 conv=notrunc,fsync 2>/dev/null || echo "LAB-RESULT error=write"
    echo "LAB-RESULT after=$(hash $disk)"
fi
if [ -n "$LAB_mount" ]; then
    modprobe -a crc32c_generic ext4
    mount -t ext4 -o dax=always $disk /mnt || echo "LAB-RESULT error=mount"
    grep -o 'dax=always' /proc/mounts
    cp /usr/bin/busybox /mnt/copy && sync && cmp /usr/bin/busybox /mnt/copy && echo "LAB-RESULT files=same"
    umount /mnt
fi
if [ -n "$LAB_dirty" ]; then
    dd if=/dev/urandom of=$disk bs=4k count=1 conv=notrunc,fsync 2>/dev/null
    echo 3 >/proc/sys/vm/drop_caches
    echo "LAB-RESULT after=$(hash $disk)"
fi
echo "LAB-RESULT synced=1"
sleep "${LAB_sleep:-0}"
grep virtio /proc/interrupts
