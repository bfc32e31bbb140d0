# SPDX-License-Identifier: GPL-2.0-or-later
# Uses every VF of an igb that comes while it runs: pings the PF (lab.peer, default 10.99.0.1) through it, then goes on
# with that until it has gone. Says what came and what went; restarts when it was in slot lab.reboot.
peer=${LAB_peer:-10.99.0.1}
known=""

came() {
    link=$2
    ip link set "$link" up
    ip address add "10.99.0.$((10 + 0x${1:8:2}))/24" dev "$link"
    received=0
    for attempt in $(seq 30); do
        received=$(ping -q -I "$link" -c 3 -i 0.2 -W 1 "$peer" | sed -n 's/.* \([0-9]*\) packets received.*/\1/p')
        [ "${received:-0}" -gt 0 ] && break
    done
    echo "LAB-RESULT came=$1 received=$received vectors=$(ls "/sys/bus/pci/devices/$1/msi_irqs" | wc -l)" \
        "mac=$(cat "/sys/class/net/$link/address") iommu=$(cat "/sys/bus/pci/devices/$1/iommu_group/type" 2>/dev/null)"
    ping -q -I "$link" -i 0.05 "$peer" >/dev/null 2>&1 &
}

echo "LAB-RESULT ready=1"
while true; do
    modprobe -qa $(cat /sys/bus/pci/devices/*/modalias 2>/dev/null)
    for device in /sys/bus/pci/devices/*; do
        slot=${device##*/}
        case " $known " in *" $slot "*) continue ;; esac
        case $(readlink "$device/driver") in */igbvf) ;; *) continue ;; esac
        link=$(ls "$device/net" 2>/dev/null | head -n 1)
        [ -n "$link" ] || continue
        known="$known $slot"
        came "$slot" "$link"
    done
    there=""
    for slot in $known; do
        if [ -e "/sys/bus/pci/devices/$slot" ]; then
            there="$there $slot"
        else
            echo "LAB-RESULT gone=$slot"
            [ "$slot" = "$LAB_reboot" ] && reboot -f
        fi
    done
    known=$there
    sleep 0.1
done
