# SPDX-License-Identifier: GPL-2.0-or-later
# Benchmarks: brings the igb VF or the NVMe drive of this guest up, rests, and uses it: LAB-LINKED, LAB-REST, LAB-USED and
# LAB-DONE, at each of which the host reads its counters in a pause.
interface=''
for attempt in $(seq 100); do
    for link in /sys/class/net/*/device/driver; do
        case $(readlink "$link") in */igbvf) interface=$(echo "$link" | cut -d / -f 5) ;; esac
    done
    [ -n "$interface" ] || [ -b /dev/nvme0n1 ] && break
    sleep 0.1
done
name=nvme
if [ -n "$interface" ]; then
    name=$interface
    ip link set "$interface" up
    ip address add 10.99.0.2/24 dev "$interface"
    for attempt in $(seq 30); do ping -q -c 1 -W 1 10.99.0.1 >/dev/null && break; done
fi
interrupts() { awk -v n="$name" '$0 ~ n { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' /proc/interrupts; }
use() {
    if [ -n "$interface" ]; then
        ping -q -c 200 -i 0.01 10.99.0.1 >/dev/null
    else
        dd if=/dev/nvme0n1 of=/dev/null bs=4k count=400 iflag=direct 2>/dev/null
    fi
}
echo "LAB-LINKED"
sleep 1
echo "LAB-REST"
sleep 5
echo "LAB-USED"
sleep 1
before=$(interrupts)
use
after=$(interrupts)
sleep 1
echo "LAB-DONE"
sleep 1
echo "LAB-RESULT vectors=$(grep -c "$name" /proc/interrupts)"
echo "LAB-RESULT interrupts=$((after - before))"
