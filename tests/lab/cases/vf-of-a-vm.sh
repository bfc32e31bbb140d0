# SPDX-License-Identifier: GPL-2.0-or-later
# The VFs of a PF of which a VM holds one are neither removed nor made anew, and its driver stays: refused at once, with
# the VM and its process named, and nothing is blocked.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 3 --bind vfio-pci --mac 02:11:22:33:44:%02x
vf=$(vf_bdf "$igb" 1)
guest_start wait-button --device "$vf"
guest_says LAB-INIT 90

at_once() {
    local start=$EPOCHREALTIME
    expect_exit 4 "$@"
    expect_match "message" "$stderr" "$vf is in use: .*guest-wait-button"
    expect_match "message" "$stderr" "(pid|process) [0-9]+"
    (((${EPOCHREALTIME/./} - ${start/./}) < 5000000)) || fail "it took longer than 5 s"
}
at_once pcivm vf destroy "$igb" --yes
at_once pcivm vf create "$igb" 5 --allow-recreate
at_once pcivm device release "$vf"
# Nothing waits: a write of sriov_numvfs that blocks would stop these.
expect_exit 0 pcivm --timeout 5 vf list "$igb" -o json
expect_eq "VFs" "$(json '.items | length')" 3
expect_eq "VFs by sysfs" "$(timeout 5 cat "$pci/$igb/sriov_numvfs")" 3
expect_eq "blocked tasks" "$(ps -eo state= | grep -c D)" 0
kill -0 "$guest" || fail "the VM is gone"
kill -TERM "$guest"
wait "$guest"
expect_exit 0 pcivm vf destroy "$igb" --yes
