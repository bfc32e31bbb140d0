# SPDX-License-Identifier: GPL-2.0-or-later
# A hundred times a VF comes to one guest and goes again: nothing is left behind on the host or in the VMM.
# topologies: vtd amdvi
# soak: yes
# needs: pcivm
# deadline: 1500
. /lab/cases/lib.sh
cycles=100
vm=guest-hotplug

all_left_behind() {
    left_behind
    ls "/proc/$vmm/task" | wc -l
    ls "/proc/$vmm/fd" "/proc/$guest/fd" | wc -l
    grep -c . "/proc/$vmm/maps"
}

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
pf_up "$igb" 10.99.0.1/24
guest_start hotplug
guest_says "LAB-RESULT ready=1" 90
vmm=$(pgrep -P "$guest" -x pcivm)

for ((cycle = 1; cycle <= cycles; cycle++)); do
    expect_exit 0 pcivm attach "$vm" "$vf"
    came() { (($(grep -c "LAB-RESULT came=0000:00:10.0 received=[1-9].* vectors=3" guest.console) >= cycle)); }
    expect_within 60 came
    expect_exit 0 pcivm detach "$vm" "$vf"
    # The guest looks now and then: what comes again before it has looked never went.
    went() { (($(grep -c "LAB-RESULT gone=0000:00:10.0" guest.console) >= cycle)); }
    expect_within 60 went
    expect_eq "driver after cycle $cycle" "$(driver_of "$vf")" igbvf
    # The first ones also make what stays once made.
    if ((cycle == 3)); then before=$(all_left_behind); fi
    if ((cycle > 3 && cycle % 10 == 0)); then
        expect_eq "what cycle $cycle leaves behind" "$(all_left_behind)" "$before"
    fi
done
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
