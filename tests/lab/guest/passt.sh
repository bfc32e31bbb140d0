# SPDX-License-Identifier: GPL-2.0-or-later
# A network by passt: an address by DHCP, a bulk transfer in each direction with the host (10.97.1.1), one from the host
# to a port of the guest; then it waits until the link is lost.
interface=$(ls /sys/class/net | grep -v lo | head -n 1)
device=/sys/class/net/$interface
echo "LAB-RESULT driver=$(basename "$(readlink "$device/device/driver")")"
echo "LAB-RESULT mac=$(cat "$device/address")"
echo "LAB-RESULT features=$(cat "$device/device/features")"
ip link set lo up
ip link set "$interface" up
cat >/run/lease <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface"
ip link set "$interface" mtu "${mtu:-1500}"
ip route add default via "$router" dev "$interface"
echo "LAB-RESULT address=$ip/$mask router=$router" >/run/leased
END
chmod +x /run/lease
udhcpc -n -q -f -t 5 -i "$interface" -O mtu -s /run/lease >/dev/null 2>&1 
cat /run/leased
echo "LAB-RESULT mtu=$(cat "$device/mtu")"
host=10.97.1.1

dd if=/dev/urandom of=/run/sent bs=1M count=8 2>/dev/null
echo "LAB-RESULT sent=$(sha256sum </run/sent | cut -d ' ' -f 1)"
nc $host 5001 </run/sent
# busybox nc ends with the first direction that ends.
mkfifo /run/hold
exec 3<>/run/hold
# came FILE: all of it is there. By its length: passt 2025_05_03 now and then sends no FIN when the other side has ended
# (what its --pcap shows), and waits for ever.
came() {
    until [ "$(stat -c %s "$1")" = 8388608 ]; do sleep 0.2; done
    kill $!
}
nc $host 5002 >/run/got <&3 &
came /run/got
echo "LAB-RESULT got=$(sha256sum </run/got | cut -d ' ' -f 1)"
# Of the gateway's address, which may be the host's loopback.
echo "LAB-RESULT loopback=$(nc -w 3 10.97.0.1 5003 <&3)"

nc -l -p 2222 >/run/forwarded <&3 &
until grep -q ':08AE .* 0A ' /proc/net/tcp /proc/net/tcp6 2>/dev/null; do sleep 0.2; done
echo "LAB-RESULT listening=1"
came /run/forwarded
echo "LAB-RESULT forwarded=$(sha256sum </run/forwarded | cut -d ' ' -f 1)"
[ -n "$LAB_loses" ] || exit 0
until [ "$(cat "$device/carrier" 2>/dev/null)" = 0 ]; do sleep 0.2; done
echo "LAB-RESULT carrier=$(cat "$device/carrier")"
ping -q -c 2 -W 1 -I "$interface" $host >/dev/null 2>&1
echo "LAB-RESULT lives=1"
