# SPDX-License-Identifier: GPL-2.0-or-later
# Benchmarks: TCP to the host, back, and one byte there and back. The host reads its counters in the pauses.
interface=$(ls -d /sys/bus/virtio/drivers/virtio_net/virtio*/net/* | head -n 1)
interface=${interface##*/}
ip link set "$interface" up
ip address add 10.98.0.2/24 dev "$interface"
ping -q -c 2 -W 3 10.98.0.1 >/dev/null || echo "LAB-RESULT error=ping"
for what in send receive ping; do
    echo "LAB-RESULT begin=$what"
    sleep 1
    /lab/bin/load "$what" 10.98.0.1 5001 "${LAB_seconds:-5}"
    sleep 1
    echo "LAB-RESULT end=$what"
done
sleep 1
