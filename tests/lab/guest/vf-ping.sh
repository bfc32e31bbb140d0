# SPDX-License-Identifier: GPL-2.0-or-later
# Pings the PF (lab.peer, default 10.99.0.1) through the VF this guest was given, as lab.address (default 10.99.0.2).
address=${LAB_address:-10.99.0.2}
peer=${LAB_peer:-10.99.0.1}

for attempt in $(seq 100); do
    for link in /sys/class/net/*/device/driver; do
        case $(readlink "$link") in
        */igbvf) interface=$(echo "$link" | cut -d / -f 5) ;;
        esac
    done
    [ -n "$interface" ] && break
    sleep 0.1
done
if [ -z "$interface" ]; then
    echo "LAB-RESULT error=no-igbvf-interface"
    exit 1
fi

ip link set "$interface" up
ip address add "$address/24" dev "$interface"
echo "LAB-RESULT interface=$interface"
echo "LAB-RESULT mac=$(cat "/sys/class/net/$interface/address")"
echo "LAB-RESULT vectors=$(ls "/sys/class/net/$interface/device/msi_irqs" | wc -l)"
received=0
for attempt in $(seq 20); do
    received=$(ping -q -c 3 -i 0.2 -W 1 "$peer" | sed -n 's/.* \([0-9]*\) packets received.*/\1/p')
    [ "${received:-0}" -gt 0 ] && break
done
echo "LAB-RESULT received=${received:-0}"
grep "$interface" /proc/interrupts | while read -r number counts; do
    echo "LAB-INTERRUPT $number $counts"
done
echo "LAB-RESULT interrupts=$(grep "$interface" /proc/interrupts | awk '{ for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }')"
[ "${received:-0}" -gt 0 ]
