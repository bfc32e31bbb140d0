# SPDX-License-Identifier: GPL-2.0-or-later
# Pings the emulated network's router (10.0.2.2) through an Intel NIC of lab.driver, with each kind of interrupt that
# lab.modes has (values of e1000e's parameter IntMode, "-" is none), one after the other.
use() {
    link=""
    for attempt in $(seq 100); do
        link=$(ls /sys/class/net | grep -v lo | head -n 1)
        [ -n "$link" ] && break
        sleep 0.1
    done
    ip link set "$link" up
    ip address add 10.0.2.15/24 dev "$link"
    received=0
    for attempt in $(seq 20); do
        received=$(ping -q -c 3 -i 0.2 -W 1 10.0.2.2 | sed -n 's/.* \([0-9]*\) packets received.*/\1/p')
        [ "${received:-0}" -gt 0 ] && break
    done
    kinds=$(grep "$link" /proc/interrupts | grep -o 'IO-APIC\|PCI-MSIX\?' | sort -u)
    interrupts=$(grep "$link" /proc/interrupts | awk '{ for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }')
    echo "LAB-RESULT mode$1=received=$received kind=$kinds interrupts=$interrupts"
}

for mode in $(echo "${LAB_modes:--}" | tr , ' '); do
    if [ "$mode" != - ]; then
        rmmod "$LAB_driver"
        modprobe "$LAB_driver" IntMode="$mode"
    fi
    use "$mode"
done
