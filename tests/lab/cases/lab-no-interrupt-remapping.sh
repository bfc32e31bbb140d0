# SPDX-License-Identifier: GPL-2.0-or-later
# The host without interrupt remapping has an IOMMU nevertheless.
# topologies: noir
. /lab/cases/lib.sh

expect_eq "remapped interrupts" "$(grep -cE 'DMAR-PCI|IR-' /proc/interrupts)" 0
expect_match "group of the igb" "$(group_of "$(bdf igb)")" '^[0-9]+$'
