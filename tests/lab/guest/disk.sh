# SPDX-License-Identifier: GPL-2.0-or-later
# What the guest sees of its first virtio disk; with lab.write=MIB it writes that much from the start, with
# lab.discard=MIB it then discards as much from there on, with lab.mount=1 it uses a file system on it.
disk=/dev/vda
block=/sys/block/vda
if [ ! -b $disk ]; then
    echo "LAB-RESULT error=no-disk"
    exit 1
fi
hash() { dd if=$disk bs=1M iflag=direct 2>/dev/null | sha256sum | cut -d ' ' -f 1; }

echo "LAB-RESULT sectors=$(cat $block/size)"
echo "LAB-RESULT readonly=$(cat $block/ro)"
echo "LAB-RESULT serial=$(cat $block/serial)"
echo "LAB-RESULT queues=$(ls $block/mq | wc -l)"
echo "LAB-RESULT block=$(cat $block/queue/logical_block_size)"
echo "LAB-RESULT cache=$(cat $block/queue/write_cache | tr ' ' -)"
echo "LAB-RESULT features=$(cat $block/device/features)"
echo "LAB-RESULT before=$(hash)"
if [ -n "$LAB_write" ]; then
    # Several writers at once, so that several queues and many requests are under way.
    for part in 0 1 2 3; do
        dd if=/dev/urandom of=$disk bs=64k count=$((LAB_write * 4)) seek=$((LAB_write * 4 * part)) conv=notrunc,fsync \
            2>/dev/null || echo "LAB-RESULT error=write-$part" &
    done
    wait
    if [ -n "$LAB_discard" ]; then
        blkdiscard -o $((LAB_write << 20)) -l $((LAB_discard << 20)) $disk || echo "LAB-RESULT error=discard"
        blkdiscard -z -o $(((LAB_write + LAB_discard) << 20)) -l $((LAB_discard << 20)) $disk 2>/dev/null ||
            dd if=/dev/zero of=$disk bs=1M seek=$((LAB_write + LAB_discard)) count="$LAB_discard" conv=notrunc,fsync \
                2>/dev/null
    fi
    sync
    echo 3 >/proc/sys/vm/drop_caches
    echo "LAB-RESULT after=$(hash)"
fi
if [ -n "$LAB_mount" ]; then
    modprobe -a crc32c_generic ext4
    mount -t ext4 $disk /mnt || exit 1
    cp -r /usr/bin/busybox /guest /mnt/ && sync && umount /mnt && mount -t ext4 $disk /mnt
    cmp /usr/bin/busybox /mnt/busybox && echo "LAB-RESULT files=same"
    umount /mnt
fi
[ ! -c /dev/vdb ] || exit 1
grep virtio /proc/interrupts
