# SPDX-License-Identifier: GPL-2.0-or-later
# Does to an e1000e what no driver does, then gives it to its driver, which pings the emulated network's router.
device=$(dirname "$(grep -l 0x10d3 /sys/bus/pci/devices/*/device | head -n 1)")
name=${device##*/}
echo "$name" >"$device/driver/unbind"
/lab/bin/poke "$device"
echo "$name" >/sys/bus/pci/drivers/e1000e/bind
link=$(ls "$device/net")
ip link set "$link" up
ip address add 10.0.2.15/24 dev "$link"
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    received=$(ping -q -c 2 -i 0.2 -W 1 10.0.2.2 | sed -n 's/.* \([0-9]*\) packets received.*/\1/p')
    [ "${received:-0}" -gt 0 ] && break
done
echo "LAB-RESULT received=${received:-0}"
echo "LAB-RESULT interrupts=$(grep "$link" /proc/interrupts | awk '{ n += $2 + $3 } END { print n + 0 }')"
