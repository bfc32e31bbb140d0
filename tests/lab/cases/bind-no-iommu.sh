# SPDX-License-Identifier: GPL-2.0-or-later
# Without an IOMMU nothing is given away, and nothing is touched.
# topologies: noiommu
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
expect_exit 5 pcivm device bind "$igb"
expect_match "message" "$stderr" "has no IOMMU group"
expect_match "hint" "$stderr" "VT-d or AMD-Vi"
expect_eq "driver of the igb" "$(driver_of "$igb")" igb
expect_exit 5 pcivm vf create "$igb" 2 --bind vfio-pci
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 0

# VFs for the host itself need no IOMMU.
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
expect_eq "driver of the VF" "$(driver_of "$(vf_bdf "$igb" 0)")" igbvf
expect_exit 0 pcivm vf destroy "$igb" --yes
