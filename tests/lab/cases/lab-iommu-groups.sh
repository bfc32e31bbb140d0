# SPDX-License-Identifier: GPL-2.0-or-later
# With an IOMMU, each device behind a root port has a group of its own.
# topologies: vtd amdvi noir
. /lab/cases/lib.sh

igb=$(bdf igb)
expect_eq "members of the igb's group" "$(ls "$pci/$igb/iommu_group/devices")" "$igb"
