# SPDX-License-Identifier: GPL-2.0-or-later
# Without an IOMMU, or without interrupt remapping, nothing may be given away, and `device show` says why.
# topologies: noir noiommu
# needs: pcivm
. /lab/cases/lib.sh

expect_exit 0 pcivm device show "$(bdf igb)" -o json
if [[ -e /sys/class/iommu/dmar0 ]]; then wanted=no-interrupt-remapping; else wanted=no-iommu; fi
expect_eq "reasons" "$(json '.assignable.reasons | map(.code) | join(" ")')" "$wanted"
expect_match "fix" "$(json '.assignable.reasons[0].fix')" "firmware"
