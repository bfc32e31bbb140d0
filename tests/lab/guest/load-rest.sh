# SPDX-License-Identifier: GPL-2.0-or-later
# Benchmarks: disk and network were used once and rest. The host reads how much memory the VMM has.
dd if=/dev/vda of=/dev/null bs=64k count=64 2>/dev/null
interface=$(ls -d /sys/bus/virtio/drivers/virtio_net/virtio*/net/* | head -n 1)
interface=${interface##*/}
ip link set "$interface" up
ip address add 10.98.0.2/24 dev "$interface"
ping -q -c 3 10.98.0.1 >/dev/null || echo "LAB-RESULT error=ping"
sleep 15
echo "LAB-RESULT rest=1"
sleep 4
