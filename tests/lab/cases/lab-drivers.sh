# SPDX-License-Identifier: GPL-2.0-or-later
# Every device has the driver that an installed host gives it, and both SR-IOV devices offer VFs.
# topologies: vtd amdvi
. /lab/cases/lib.sh

for kind in igb nvme e1000e; do
    expect_eq "driver of the $kind" "$(driver_of "$(bdf "$kind")")" "$kind"
done
expect_eq "driver of the edu" "$(driver_of "$(bdf edu)")" none
expect_eq "VFs of the igb" "$(<"$pci/$(bdf igb)/sriov_totalvfs")" 7
expect_eq "VFs of the nvme" "$(<"$pci/$(bdf nvme)/sriov_totalvfs")" 4
