# SPDX-License-Identifier: GPL-2.0-or-later
# Reads random numbers from the virtio device.
rng=/sys/class/misc/hw_random
echo "LAB-RESULT rng=$(cat $rng/rng_current)"
[ -c /dev/hwrng ] || mknod /dev/hwrng c 10 183
head -c 4096 /dev/hwrng >/run/one
head -c 4096 /dev/hwrng >/run/two
echo "LAB-RESULT bytes=$(cat /run/one /run/two | wc -c)"
cmp -s /run/one /run/two || echo "LAB-RESULT differ=1"
grep virtio /proc/interrupts
for device in /sys/bus/virtio/devices/*; do
    echo "LAB-DEVICE ${device##*/} features=$(cat "$device/features") status=$(cat "$device/status")"
done
