# SPDX-License-Identifier: GPL-2.0-or-later
# All seven VFs of a NIC: in one VM, each with its MAC and with traffic; then in seven VMs at once.
# topologies: vtd amdvi
# container: vtd amdvi
# needs: pcivm
# deadline: 600
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 7
pf_up "$igb" 10.99.0.1/24
devices=()
for index in 0 1 2 3 4 5 6; do
    expect_exit 0 pcivm vf set "$igb/vf$index" --mac "02:00:00:00:00:1$index"
    devices+=(--device "$(vf_bdf "$igb" "$index")")
done

guest_start hotplug "${devices[@]}"
for index in 0 1 2 3 4 5 6; do
    guest_says "came=0000:00:0$((index + 1)).0 received=[1-9].* vectors=3 mac=02:00:00:00:00:1$index" 120
done
expect_exit 0 pcivm vm stop guest-hotplug --force
guest_wait

guests=()
for index in 0 1 2 3 4 5 6; do
    # shellcheck disable=SC2154  # assigned_by is of lib.sh
    pcivm vm run "guest-$index" --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 160M \
        --cmdline "$(guest_cmdline vf-ping "address=10.99.0.1$index")" "${assigned_by[@]}" \
        --device "$(vf_bdf "$igb" "$index")" >"console.$index" 2>"stderr.$index" &
    guests+=($!)
    defer guest_kill $! "guest-$index"
done
all_run() { (($(pcivm vm list -o json | jq '[.items[] | select(.state == "running")] | length') == 7)); }
expect_within 60 all_run
for index in 0 1 2 3 4 5 6; do
    guest=${guests[index]}
    wait "$guest"
    code=$? stdout=$(<"console.$index") stderr=$(<"stderr.$index")
    command="guest $index"
    expect_eq "exit code of guest $index" "$code" 0
    expect_eq "MAC of guest $index" "$(result mac)" "02:00:00:00:00:1$index"
    expect_match "replies to guest $index" "$(result received)" '^[1-9]'
done
grep vfio /proc/interrupts && fail "host interrupts are left"
true
