# SPDX-License-Identifier: GPL-2.0-or-later
# Reads lab.count blocks of 4 KiB from the disk, one after the other, past the guest's page cache.
before=$(awk '{ print $1 }' /sys/block/vda/stat)
start=$(cut -d ' ' -f 1 /proc/uptime)
dd if=/dev/vda of=/dev/null bs=4k count="${LAB_count:-2000}" iflag=direct 2>/dev/null
end=$(cut -d ' ' -f 1 /proc/uptime)
echo "LAB-RESULT reads=$(($(awk '{ print $1 }' /sys/block/vda/stat) - before))"
echo "LAB-RESULT seconds=$(awk "BEGIN { print $end - $start }")"
echo "LAB-RESULT interrupts=$(awk '/virtio0-req/ { n += $2 + $3 } END { print n + 0 }' /proc/interrupts)"
