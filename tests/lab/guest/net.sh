# SPDX-License-Identifier: GPL-2.0-or-later
# Traffic both ways between the guest's virtio interface (10.98.0.2) and the host's tap (10.98.0.1): ping, then a bulk
# transfer in each direction, judged by hash.
interface=$(ls /sys/class/net | grep -v lo | head -n 1)
if [ -z "$interface" ]; then
    echo "LAB-RESULT error=no-interface"
    exit 1
fi
peer=10.98.0.1
echo "LAB-RESULT driver=$(basename "$(readlink "/sys/class/net/$interface/device/driver")")"
echo "LAB-RESULT mac=$(cat "/sys/class/net/$interface/address")"
echo "LAB-RESULT features=$(cat "/sys/class/net/$interface/device/features")"
ip link set lo up
ip link set "$interface" up
ip address add 10.98.0.2/24 dev "$interface"
echo "LAB-RESULT queues=$(ls -d "/sys/class/net/$interface/queues"/rx-* | wc -l)"
echo "LAB-RESULT received=$(ping -q -c 5 -i 0.2 -W 2 $peer | sed -n 's/.* \([0-9]*\) packets received.*/\1/p')"
# Frames of every length, and such that IP cuts in pieces.
lost=0
for size in 0 1 63 500 1472 1473 4000 20000; do
    ping -q -c 1 -W 2 -s $size $peer >/dev/null || lost="$lost $size"
done
echo "LAB-RESULT lost=$lost"

dd if=/dev/urandom of=/run/sent bs=1M count="${LAB_mib:-8}" 2>/dev/null
echo "LAB-RESULT sent=$(sha256sum </run/sent | cut -d ' ' -f 1)"
nc $peer 5001 </run/sent
# busybox nc ends with the first direction that ends.
mkfifo /run/hold
exec 3<>/run/hold
for attempt in 1 2 3 4 5; do
    nc $peer 5002 >/run/got <&3
    [ -s /run/got ] && break
    sleep 0.5
done
echo "LAB-RESULT got=$(sha256sum </run/got | cut -d ' ' -f 1)"
grep virtio /proc/interrupts
cat "/sys/class/net/$interface/statistics/rx_dropped" "/sys/class/net/$interface/statistics/tx_dropped"
echo "LAB-RESULT rx_errors=$(cat "/sys/class/net/$interface/statistics/rx_errors")"
