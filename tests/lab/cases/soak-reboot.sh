# SPDX-License-Identifier: GPL-2.0-or-later
# A guest with a VF restarts a hundred times: the VMM has no more memory, descriptors, mappings and threads than after
# the first times.
# topologies: vtd amdvi
# soak: yes
# needs: pcivm
# deadline: 3600
. /lab/cases/lib.sh
restarts=100

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
guest_start reboot --device "$vf"
reboots() { grep -c "LAB-RESULT rebooting=1" guest.console; }
reached() { (($(reboots) >= $1)); }
# least COMMAND...: the smallest answer within a boot and more; what a boot has for a time only is not in it.
least() {
    local attempt now least
    for ((attempt = 0; attempt < 40; attempt++)); do
        now=$("$@")
        [[ -n $least ]] && ((least <= now)) || least=$now
        sleep 0.2
    done
    echo "$least"
}
descriptors() { find "/proc/$vmm/fd" -type l | wc -l; }
mappings() { grep -c . "/proc/$vmm/maps"; }
threads() { find "/proc/$vmm/task" -maxdepth 1 -type d | wc -l; }
resident() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$vmm/status"; }

expect_within 300 reached 5
vmm=$(pgrep -P "$guest" -x pcivm)
before="$(least descriptors) $(least mappings) $(least threads)"
memory=$(least resident)
expect_within 3000 reached $((restarts + 5))
expect_eq "descriptors, mappings, threads after $restarts restarts" \
    "$(least descriptors) $(least mappings) $(least threads)" "$before"
grown=$(($(least resident) - memory))
((grown <= 512)) || fail "$grown KiB more after $restarts restarts, wanted 512 at most"
echo "$(reboots) restarts: $before (descriptors, mappings, threads), $grown KiB more"
expect_exit 0 pcivm vm stop guest-reboot --kill
guest_wait
expect_within 10 eval '[[ $(driver_of "$vf") == igbvf ]]'
