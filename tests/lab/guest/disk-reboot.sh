# SPDX-License-Identifier: GPL-2.0-or-later
# Counts boots in the first bytes of the disk, uses disk, network and random numbers in each, and powers off after
# lab.boots.
count=$(dd if=/dev/vda bs=512 count=1 2>/dev/null | tr -d '\0')
count=$((${count:-0} + 1))
echo "LAB-RESULT boot=$count"
printf '%-511s\n' "$count" | dd of=/dev/vda bs=512 conv=notrunc,fsync 2>/dev/null
dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null || echo "LAB-RESULT error=read"
interface=$(ls -d /sys/bus/virtio/drivers/virtio_net/virtio*/net/* | head -n 1)
interface=${interface##*/}
ip link set "$interface" up
ip address add 10.98.0.2/24 dev "$interface"
ping -q -c 1 -W 3 10.98.0.1 >/dev/null || echo "LAB-RESULT error=ping"
[ -c /dev/hwrng ] || mknod /dev/hwrng c 10 183
[ "$(head -c 64 /dev/hwrng | wc -c)" = 64 ] || echo "LAB-RESULT error=random"
[ "$count" -ge "${LAB_boots:-3}" ] || reboot -f
