# SPDX-License-Identifier: GPL-2.0-or-later
# Somebody removes the VFs of a PF behind pcivm's back while a VM has one, and the kernel waits: no command of pcivm
# does. They say who waits for whom, and everything goes on when the VM has ended.
# topologies: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

igb=$(bdf igb)
nic=$(bdf e1000e)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci
vf=$(vf_bdf "$igb" 0)
guest_start sleep --device "$vf"
guest_says "LAB-RESULT ready=1" 90
vmm=$(pgrep -P "$guest" | head -n 1)
kill -STOP "$vmm" # or it would answer the kernel's request and let go
sh -c "echo 0 >$pci/$igb/sriov_numvfs" &
stuck=$!
defer kill -CONT "$vmm"
sleep 1
[[ -e /proc/$stuck ]] || fail "removing the VFs does not block"

soon() { # soon SECONDS COMMAND...
    local limit=$1 start=$SECONDS
    shift
    run "$@"
    ((SECONDS - start <= limit)) || fail "took $((SECONDS - start)) s, wanted at most $limit"
}
soon 8 pcivm device list -o json
expect_eq "exit code of device list" "$code" 0
soon 8 pcivm device show "$vf" -o json
expect_eq "exit code of device show" "$code" 0
holder="pid $vmm \(pcivm(, VM| vm run) guest-sleep\)"
soon 8 pcivm device release "$vf"
expect_eq "exit code of release" "$code" 4
expect_match "message of release" "$stderr" "$vf is in use: $holder"
for change in "vf destroy $igb --yes" "vf create $igb 3"; do
    soon 15 pcivm $change
    expect_eq "exit code of $change" "$code" 8
    expect_match "message of $change" "$stderr" "$igb is blocked in the kernel: .*$holder holds .*$vf"
    expect_match "message of $change" "$stderr" "waits in a call on '/sys/.*/sriov_numvfs'"
done
# Other functions are not concerned.
soon 20 pcivm device bind "$nic"
expect_eq "exit code of another bind" "$code" 0
expect_exit 0 pcivm device release "$nic"

kill -CONT "$vmm"
kill -KILL "$vmm"
guest_wait
wait "$stuck"
expect_within 20 eval '[[ $(<"$pci/$igb/sriov_numvfs") == 0 ]]'
expect_exit 0 pcivm reconcile
expect_exit 0 pcivm vf destroy "$igb" --yes
