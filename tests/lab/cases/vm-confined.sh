# SPDX-License-Identifier: GPL-2.0-or-later
# The VMM of a running guest with a device: no capability in any set, none to be had, no core dump; what it does later
# (a restart of the guest, a device that goes and comes) it does with what it holds.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
guest_start sleep --device "$vf"
guest_says "LAB-RESULT ready=1" 90
vmm=$(pgrep -P "$guest" -x pcivm)
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
    expect_eq "$set" "$(awk -v key="$set:" '$1 == key { print $2 }' "/proc/$vmm/status")" 0000000000000000
done
expect_eq "new privileges" "$(awk '$1 == "NoNewPrivs:" { print $2 }' "/proc/$vmm/status")" 1
expect_match "core dumps" "$(grep 'Max core file size' "/proc/$vmm/limits")" 'size +0 +0 '
expect_eq "threads with another set" "$(grep -L "^CapEff:.0000000000000000" "/proc/$vmm"/task/*/status)" ""

# The supervisor keeps what it needs to give the function back.
expect_eq "NoNewPrivs of the supervisor" "$(awk '$1 == "NoNewPrivs:" { print $2 }' "/proc/$guest/status")" 0
guest_end
expect_within 10 eval '[[ $(driver_of "$vf") == igbvf ]]'
