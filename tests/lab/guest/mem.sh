# SPDX-License-Identifier: GPL-2.0-or-later
# Memory that comes: says how much there is whenever that changes. When there is as much as lab.fill (MiB), fills much of
# it, keeps that for lab.keep seconds, and lets it go. With lab.vf=1 it uses a VF by then (igbvf), and counts where its
# DMA goes. With lab.reboot=1 it restarts when it has less after that, and whenever it has been between 400 and 600 MiB
# for a while.
fill=${LAB_fill:-0}
same=0

total() { awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo; }

# Twenty times the same 20 MiB, of which the first one of each time is looked at again.
use_memory() {
    mount -o remount,size=450M /run
    dd if=/dev/urandom of=/run/seed bs=1M count=20 2>/dev/null
    for part in $(seq 20); do cat /run/seed; done >/run/fill
    echo "LAB-RESULT filled=$(stat -c %s /run/fill)"
    sleep "${LAB_keep:-15}"
    dd if=/run/seed of=/run/one bs=1M count=1 2>/dev/null
    kept=0
    for part in $(seq 0 19); do
        dd if=/run/fill bs=1M skip=$((part * 20)) count=1 2>/dev/null | cmp -s - /run/one && kept=$((kept + 1))
    done
    echo "LAB-RESULT kept=$kept"
    rm /run/fill /run/seed /run/one
    echo "LAB-RESULT freed=1"
}

use_vf() {
    mount -t tracefs tracefs /sys/kernel/tracing
    echo 1 >/sys/kernel/tracing/events/dma/enable
    modprobe igbvf
    for attempt in $(seq 600); do
        link=$(ls /sys/bus/pci/drivers/igbvf/0000:*/net 2>/dev/null | grep -v : | head -n 1)
        [ -n "$link" ] && break
        sleep 0.1
    done
    ip link set "$link" up
    ip address add 10.99.0.2/24 dev "$link"
    for attempt in $(seq 20); do
        received=$(ping -q -c 5 -i 0.2 -s 1400 -W 1 10.99.0.1 | sed -n 's/.* \([0-9]*\) packets received.*/\1/p')
        [ "${received:-0}" -gt 0 ] && break
    done
    echo 0 >/sys/kernel/tracing/events/dma/enable
    # dma_addr=1080a4000: above 4 GiB there is nothing but what has come.
    device=$(basename "$(readlink -f "/sys/class/net/$link/device")")
    high=$(grep "$device " /sys/kernel/tracing/trace | grep -c 'dma_addr=[1-9a-f][0-9a-f]\{8\} ')
    low=$(grep "$device " /sys/kernel/tracing/trace | grep -c 'dma_addr=[0-9a-f]\{1,8\} ')
    [ "$high" -gt 0 ] || grep dma_addr /sys/kernel/tracing/trace | head -n 5
    echo "LAB-RESULT received=${received:-0} high=$high low=$low"
}

modprobe -r igbvf 2>/dev/null
echo "LAB-RESULT features=$(cat /sys/bus/virtio/drivers/virtio_mem/virtio*/features)"
echo "LAB-RESULT ready=1"
while true; do
    now=$(total)
    [ "$now" = "$last" ] || echo "LAB-RESULT total=$now"
    same=$(($([ "$now" = "$last" ] && echo $same || echo -1) + 1))
    last=$now
    if [ "$fill" -gt 0 ] && [ "$now" -gt "$fill" ]; then
        fill=0
        [ -n "$LAB_vf" ] && use_vf
        use_memory
    fi
    if [ -n "$LAB_reboot" ]; then
        [ "$fill" = 0 ] && [ "$now" -lt 300 ] && reboot -f
        [ "$same" -gt 40 ] && [ "$now" -gt 400 ] && [ "$now" -lt 600 ] && reboot -f
    fi
    sleep 0.2
done
