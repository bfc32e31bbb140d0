# SPDX-License-Identifier: GPL-2.0-or-later
# Without an IOMMU there are no groups at all.
# topologies: noiommu
. /lab/cases/lib.sh

expect_eq "group of the igb" "$(group_of "$(bdf igb)")" none
expect_eq "groups" "$(ls /sys/kernel/iommu_groups)" ""
