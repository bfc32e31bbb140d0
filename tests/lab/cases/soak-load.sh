# SPDX-License-Identifier: GPL-2.0-or-later
# An hour of load on disk and network of a VM with one CPU: what it has beside guest RAM is at most 5 MiB, and does not
# grow; nor do descriptors, mappings and threads.
# topologies: vtd
# soak: yes
# needs: pcivm
# deadline: 4500
. /lab/cases/lib.sh
most=5120  # KiB
growth=128 # KiB, of a figure that goes up and down with what is resident at the moment

modprobe -a tun vhost_net
defer ip link delete lab0
ip tuntap add dev lab0 mode tap
ip address add 10.98.0.1/24 dev lab0
ip link set lab0 up
guest_initrd /lab/bin/load
dd if=/dev/urandom of=/run/disk bs=1M count=64 status=none
defer rm -f /run/disk
/lab/bin/load serve 5001 >/dev/null &
defer kill $!

rounds() { grep -c "LAB-RESULT round=" guest.console; }
reached() { (($(rounds) >= $1)); }
# beside_ram: KiB of both processes but for what is as large as guest RAM; what they share counts once.
beside_ram() {
    cat "/proc/$guest/smaps" "/proc/$vmm/smaps" |
        awk '/^Size:/ { counts = $2 < 230000 } /^Pss:/ && counts { sum += $2 } END { print sum }'
}
things() {
    find "/proc/$vmm/fd" "/proc/$guest/fd" -type l | wc -l
    grep -c . "/proc/$vmm/maps" "/proc/$guest/maps"
    find "/proc/$vmm/task" -maxdepth 1 -type d | wc -l
}

parameters="lab.minutes=60"
guest_start load-long --cpus 1 --disk path=/run/disk,format=raw,direct --net tap=lab0,vhost=off
expect_within 600 reached 3
vmm=$(pgrep -P "$guest" -x pcivm)
before=$(beside_ram)
with=$(things)
largest=$before
while ! grep -q "LAB-RESULT done=1" guest.console; do
    kill -0 "$guest" 2>/dev/null || fail "the VM ended: $(tail -n 5 guest.stderr)"
    now=$(beside_ram)
    ((now <= largest)) || largest=$now
    sleep 20
done
after=$(beside_ram)
echo "rounds: $(rounds); KiB beside RAM: $before after the third, $largest at most, $after at the end"
expect_eq "errors" "$(grep -c "LAB-RESULT error" guest.console)" 0
expect_eq "descriptors, mappings, threads" "$(things)" "$with"
((largest <= most)) || fail "$largest KiB beside RAM, at most $most wanted"
((after <= before + growth)) || fail "$after KiB beside RAM at the end, $before after the third round"
expect_exit 0 pcivm vm stop guest-load-long --force
guest_wait
