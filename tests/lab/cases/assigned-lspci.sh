# SPDX-License-Identifier: GPL-2.0-or-later
# A guest's lspci says of each device what the host's said, but for what docs/vm.md lists.
# topologies: vtd amdvi
# container: vtd amdvi
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

# same DEVICE...: one guest has them all.
same() {
    local device options=() slot=0 differences compared hidden
    for device in "$@"; do
        lspci -vvvnn -s "$device" >"host.$device"
        options+=(--device "$device")
    done
    guest_run lspci "${options[@]}" --force no-reset
    expect_eq "exit code" "$code" 0
    for device in "$@"; do
        slot=$((slot + 1))
        tr -d '\r' <<<"$stdout" | sed -n "/^LAB-LSPCI 0000:00:0$slot/,/^LAB-LSPCI/{/^LAB-LSPCI/d;/^\[ *[0-9]/d;p}" >"guest.$device"
        # What is hidden is not there at all; host bridge and IOMMU are the host's.
        for hidden in "Single Root I/O" "Alternative Routing-ID" "Resizable BAR" "Address Translation Service" \
            "Page Request" "Process Address Space" "Enhanced Allocation" "Expansion ROM" "IOMMU group"; do
            ! grep -q "$hidden" "guest.$device" || fail "the guest sees '$hidden' of $device"
        done
        differences=$(diff -u <(sed -E -f /lab/cases/assigned-lspci.sed "host.$device") \
            <(sed -E -f /lab/cases/assigned-lspci.sed "guest.$device"))
        expect_eq "differences of $device from the host (-) to the guest (+)" "$differences" ""
        # The comparison is worth something: most of it is compared.
        compared=$(sed -E -f /lab/cases/assigned-lspci.sed "guest.$device" | grep -c .)
        (($(grep -c . "guest.$device") - compared <= 2 && compared >= 4)) ||
            fail "only $compared lines of $device are compared"
    done
}

igb=$(bdf igb)
nvme=$(bdf nvme)
nic=$(bdf shared)
group=("$nic")
for each in $(lspci -D -n -d 1234:11e8 | cut -d ' ' -f 1); do
    [[ $(group_of "$each") != $(group_of "$nic") ]] || group+=("$each")
done
guest_initrd /usr/bin/lspci /usr/share/misc/pci.ids
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
same "$(vf_bdf "$igb" 0)" "$(bdf e1000e)" "$nvme" "$(bdf edu)" "$(bdf ivshmem)" "${group[@]}"

defer pcivm -q vf destroy "$nvme" --yes
expect_exit 0 pcivm vf create "$nvme" 1 --bind host --set vq=2 --set vi=1 --set namespaces=1
same "$(vf_bdf "$nvme" 0)"
