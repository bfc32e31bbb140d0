# SPDX-License-Identifier: GPL-2.0-or-later
# Device interrupts go through the interrupt remapping of the IOMMU.
# topologies: vtd amdvi
. /lab/cases/lib.sh

expect_match "interrupts of the nvme" "$(grep nvme /proc/interrupts)" "(DMAR|IR)-PCI-MSIX?"
