# SPDX-License-Identifier: GPL-2.0-or-later
# Idle functions behind an IOMMU with interrupt remapping may be given to a VM; bridges and shared groups may not.
# topologies: vtd amdvi
# needs: pcivm
. /lab/cases/lib.sh

# reasons DEVICE: codes of all that speaks against it
reasons() {
    expect_exit 0 pcivm device show "$1" -o json
    json '.assignable.reasons | map(.code) | join(" ")'
}

expect_eq "reasons against the igb" "$(reasons "$(bdf igb)")" ""
expect_eq "reasons against the e1000e" "$(reasons "$(bdf e1000e)")" ""
expect_eq "reasons against a port" "$(reasons "$(bdf port)")" bridge
if [[ $(lspci -n -d 8086:100e) ]]; then
    sibling=$(lspci -D -n -d 1234:11e8 | tail -n 1 | cut -d ' ' -f 1)
    expect_match "reasons against a sibling of the e1000" "$(reasons "$sibling")" group-not-viable
    expect_exit 0 pcivm device show "$sibling"
    expect_match "the sibling is named" "$stdout" "shared with $(bdf shared) \(e1000\)"
fi
