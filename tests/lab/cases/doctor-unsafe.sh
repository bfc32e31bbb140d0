# SPDX-License-Identifier: GPL-2.0-or-later
# pcivm doctor says what is wrong with a host without interrupt remapping, or without an IOMMU, and what to do.
# topologies: noir noiommu
# deadline: 60
# needs: pcivm
. /lab/cases/lib.sh

wanted=interrupt-remapping
[[ -e /sys/class/iommu/dmar0 ]] || wanted=iommu
expect_exit 5 pcivm doctor --exit-code
expect_match "report" "$stdout" "problem $wanted "
expect_match "cause" "$stdout" "why: "
expect_exit 0 pcivm doctor -o json
expect_eq "problems" "$(json '[.items[] | select(.level == "problem") | .id] | join(" ")')" "$wanted"
expect_match "fix" "$(json ".items[] | select(.id == \"$wanted\") | .fix")" "firmware|virtual IOMMU"
