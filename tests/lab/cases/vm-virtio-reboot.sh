# SPDX-License-Identifier: GPL-2.0-or-later
# A guest with a disk, a network by vhost and random numbers, beside an assigned device, reboots several times: all of
# them work in each boot, and descriptors do not grow.
# topologies: amdvi
# needs: pcivm
# deadline: 300
. /lab/cases/lib.sh

modprobe -a tun vhost_net vhost_vsock
defer ip link delete lab0
ip tuntap add dev lab0 mode tap
ip address add 10.98.0.1/24 dev lab0
ip link set lab0 up
dd if=/dev/zero of=image bs=1M count=4 status=none

nic=$(bdf e1000e)
pcivm vm run reboot --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --device "$nic" --rng --vsock cid=5 \
    --cmdline "$(guest_cmdline disk-reboot boots=5)" --disk "path=$PWD/image,format=raw,ring=packed" \
    --net tap=lab0,vhost=on >guest.console 2>guest.stderr &
guest=$!
defer guest_kill "$guest" reboot
descriptors() { ls "/proc/$(pgrep -P "$guest" | head -n 1)/fd" | wc -l; }
guest_says boot=2
second=$(descriptors)
guest_says boot=5 200
fifth=$(descriptors)
guest_wait
expect_eq "exit code" "$code" 0
expect_eq "error in the guest" "$(result error)" ""
((fifth <= second)) || fail "$second descriptors in the second boot, $fifth in the fifth"
