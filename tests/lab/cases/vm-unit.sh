# SPDX-License-Identifier: GPL-2.0-or-later
# With systemd a VM is two units. Its supervisor's is started by pcivm or systemctl, ready when its guest runs, stopped by
# the power button. Its VMM's may do nothing: a user of its own, no capability, no network, no path; it ends with the
# supervisor, and whichever of the two is killed, the VF can be returned and the VM starts again. A start that fails says
# why, with the exit code of its reason.
# topologies: systemd
# needs: pcivm
# deadline: 500
. /lab/cases/lib.sh

defer rm -rf /etc/pcivm/vm /var/log/pcivm
defer systemctl reset-failed
unit=pcivm-vm@web.service
vmms=pcivm-vmm@web.service
socket=/run/pcivm/vmm/web.sock
says() { pcivm vm logs web | grep -qE "$1"; }
is() { [[ $(systemctl show -p ActiveState --value "$1") == "$2" ]]; }
gone() { [[ ! -e /proc/$1 ]]; }
pid_of() { systemctl show -p MainPID --value "$1"; }
status_of() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$2/status"; }

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind host
vf=$(vf_bdf "$igb" 0)
second=$(vf_bdf "$igb" 1)
expect_exit 0 pcivm vm create web --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 128M --cpus 1 \
    --device "$vf" --cmdline "$(guest_cmdline wait-button)"
defer systemctl stop "$unit"
expect_exit 0 pcivm vm start web
expect_eq "the unit is" "$(systemctl is-active "$unit")" active
expect_exit 0 pcivm vm show web -o json
shown=$stdout
expect_eq "main process" "$(pid_of "$unit")" "$(jq .pid <<<"$shown")"
vmm=$(jq .vmmPid <<<"$shown")
expect_eq "main process of the VMM's unit" "$(pid_of "$vmms")" "$vmm"
expect_match "control group of the VMM" "$(<"/proc/$vmm/cgroup")" "/$vmms"
user=$(status_of Uid "$vmm")
expect_eq "user of the VMM" "$user" "$(jq .vmmUser <<<"$shown")"
[[ $user -gt 1000 ]] || fail "the VMM's user is $user"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do expect_eq "$set" "$(status_of "$set" "$vmm")" 0000000000000000; done
expect_eq "new privileges" "$(status_of NoNewPrivs "$vmm")" 1
expect_eq "filters of system calls" "$(status_of Seccomp "$vmm")" 2
for space in net mnt user ipc; do
    [[ ! /proc/$vmm/ns/$space -ef /proc/1/ns/$space ]] || fail "the VMM is in the host's $space name space"
done
expect_exit 0 systemd-analyze security --no-pager --threshold=20 "$vmms"
expect_eq "mode of the socket" "$(stat -c %a:%U "$socket")" 600:root
expect_eq "children of the supervisor" "$(pgrep -P "$(pid_of "$unit")")" ""
expect_exit 4 systemctl start "$vmms"
expect_exit 4 systemctl stop "$vmms"

# Beside it one with a descriptor of every kind: each works in a process that could not open it. Two users.
modprobe -a tun vhost_net vhost_vsock
defer ip link delete lab0
ip tuntap add dev lab0 mode tap
ip link set lab0 up
truncate -s 4M image
truncate -s 2M pmem
expect_exit 0 pcivm vm create other --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --cpus 2 --memory 128M,max=256M \
    --disk "path=$PWD/image,format=raw" --pmem "path=$PWD/pmem" --net tap=lab0,vhost=on --vsock cid=42 --rng \
    --port name=agent --console both --watchdog action=none --timeline "$PWD/timeline" \
    --cmdline "$(guest_cmdline wait-button)"
defer systemctl stop pcivm-vm@other.service
expect_exit 0 pcivm vm start other
other=$(pcivm vm show other -o json | jq .vmmUser)
[[ $other -gt 1000 && $other != "$user" ]] || fail "the VMMs are of users $user and $other"
other_says() { pcivm vm logs other | grep -qE "$1"; }
expect_within 120 other_says "LAB-RESULT ready=1"
expect_exit 0 pcivm attach other "$second"
expect_eq "driver of the VF that came" "$(driver_of "$second")" vfio-pci
expect_exit 0 pcivm vm set other --memory 256M
expect_exit 0 pcivm vm stop other
expect_within 20 is pcivm-vmm@other.service inactive
expect_eq "driver of the VF that came, afterwards" "$(driver_of "$second")" igbvf
expect_eq "the timeline is of" "$(jq -r .name timeline)" other
expect_eq "phases of the timeline" "$(jq -r '.phases[0:2] | map(.phase) | join(" ")' timeline)" "exec prepared"

expect_within 120 says "LAB-RESULT ready=1"
expect_exit 0 systemctl stop "$unit"
expect_eq "result" "$(systemctl show -p Result --value "$unit")" success
expect_eq "the VMM's unit is" "$(systemctl is-active "$vmms")" inactive
expect_eq "result of the VMM's unit" "$(systemctl show -p Result --value "$vmms")" success
[[ ! -e $socket ]] || fail "the socket is still there"
expect_eq "driver of the VF afterwards" "$(driver_of "$vf")" igbvf
expect_exit 0 pcivm vm logs web
expect_match "the log afterwards" "$stdout" "LAB-RESULT button=1"

expect_exit 0 systemctl start "$unit"
expect_eq "state" "$(pcivm vm show web -o json | jq -r .state)" running
expect_exit 0 pcivm vm stop web --force
expect_within 20 is "$unit" inactive
expect_within 20 is "$vmms" inactive

# The VMM is killed: the supervisor gives the VF back and says whose unit it was.
expect_exit 0 systemctl start "$unit"
kill -KILL "$(pid_of "$vmms")"
expect_within 20 is "$unit" failed
expect_eq "driver when the VMM was killed" "$(driver_of "$vf")" igbvf
journalctl --sync
expect_match "message" "$(journalctl --boot -t pcivm -o cat)" "$vmms, ended and said nothing"

# A system call that it never needs ends it as it ends a child.
expect_exit 0 systemctl start "$unit"
perl /lab/cases/intruder.pl 1 vcpu 41 1 1 >intruder.out 2>&1 || fail "$(<intruder.out)"
expect_within 20 is "$unit" failed
expect_eq "driver after a forbidden call" "$(driver_of "$vf")" igbvf
journalctl --sync
expect_match "message" "$(journalctl --boot -t pcivm -o cat)" "never needs: 'socket' in a thread 'vcpu'"

# The supervisor is killed: the VMM ends with it, and the next start takes the VF over.
expect_exit 0 systemctl start "$unit"
vmm=$(pid_of "$vmms")
kill -KILL "$(pid_of "$unit")"
expect_within 20 gone "$vmm"
expect_within 20 is "$unit" failed
expect_exit 0 systemctl start "$unit"
expect_eq "state after a crash" "$(pcivm vm show web -o json | jq -r .state)" running
expect_exit 0 systemctl restart "$unit"
expect_exit 0 pcivm vm stop web --kill
expect_within 20 is "$unit" inactive
expect_within 20 is "$vmms" inactive
expect_eq "driver in the end" "$(driver_of "$vf")" igbvf

sed -i 's|^kernel: .*|kernel: /nowhere|' /etc/pcivm/vm/web.yaml
expect_exit 3 pcivm vm start web
expect_match "message" "$stderr" "/nowhere"
expect_exit 0 pcivm vm delete web --yes
expect_exit 0 pcivm vm delete other --yes
