# SPDX-License-Identifier: GPL-2.0-or-later
# VFs of which one is open are not removed: the kernel would wait for it without end. The holder is named.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 3 --bind vfio-pci
vf=$(vf_bdf "$igb" 1)
hold "/dev/vfio/$(group_of "$vf")"

expect_exit 4 pcivm vf destroy "$igb" --yes
expect_match "message" "$stderr" "$vf is in use: .*$holder"
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 3
expect_eq "driver of the free VF" "$(driver_of "$(vf_bdf "$igb" 0)")" vfio-pci
expect_exit 4 pcivm device release "$vf"
expect_match "message" "$stderr" "$holder"
expect_eq "driver of the VF" "$(driver_of "$vf")" vfio-pci
expect_exit 4 pcivm vf create "$igb" 2
expect_exit 0 pcivm vf list "$igb" -o json
expect_eq "user in the list" "$(json '.items[1].inUse[0].kind')" vfio

let_go
expect_exit 0 pcivm vf destroy "$igb" --yes
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 0
