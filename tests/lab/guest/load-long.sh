# SPDX-License-Identifier: GPL-2.0-or-later
# Disk and network at work for $LAB_minutes, round by round; each writes other data to the disk and reads it back.
interface=$(ls -d /sys/bus/virtio/drivers/virtio_net/virtio*/net/* | head -n 1)
interface=${interface##*/}
ip link set "$interface" up
ip address add 10.98.0.2/24 dev "$interface"
ping -q -c 2 -W 3 10.98.0.1 >/dev/null || echo "LAB-RESULT error=ping"
end=$(($(cut -d . -f 1 /proc/uptime) + LAB_minutes * 60))
round=0
while [ "$(cut -d . -f 1 /proc/uptime)" -lt "$end" ]; do
    round=$((round + 1))
    dd if=/dev/urandom of=/run/data bs=64k count=64 2>/dev/null
    dd if=/run/data of=/dev/vda bs=64k oflag=direct conv=fsync 2>/dev/null
    dd if=/dev/vda bs=64k count=64 iflag=direct 2>/dev/null | cmp - /run/data || echo "LAB-RESULT error=data"
    /lab/bin/load disk /dev/vda 32 5
    for what in send receive ping; do /lab/bin/load "$what" 10.98.0.1 5001 5; done
    echo "LAB-RESULT round=$round"
done
echo "LAB-RESULT done=1"
sleep infinity
