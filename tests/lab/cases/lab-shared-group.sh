# SPDX-License-Identifier: GPL-2.0-or-later
# Devices behind a conventional bridge share a group, with the bridge.
# topologies: vtd
. /lab/cases/lib.sh

shared=$(bdf shared)
expect_match "members of the group" "$(ls "$pci/$shared/iommu_group/devices" | tr '\n' ' ')" \
    "^$(bdf bridge) [0-9a-f:]+\.0 $shared $"
expect_eq "driver of the sibling NIC" "$(driver_of "$shared")" e1000
