# SPDX-License-Identifier: GPL-2.0-or-later
# `group list` and `group show` agree with the kernel on members, and name the drivers that keep a group from VMs.
# topologies: vtd amdvi noiommu
# needs: pcivm
. /lab/cases/lib.sh

expect_exit 0 pcivm group list -o json
expect_eq "groups" "$(json '.items[].number')" "$(ls /sys/kernel/iommu_groups | sort -n)"
wanted=$(for group in $(ls /sys/kernel/iommu_groups | sort -n); do
    echo "$group" $(ls "/sys/kernel/iommu_groups/$group/devices")
done)
expect_eq "members" "$(json '.items[] | "\(.number) \(.members | map(.address) | join(" "))"')" "$wanted"

igb=$(bdf igb)
if [[ $(group_of "$igb") == none ]]; then
    expect_exit 3 pcivm group show "$igb"
    expect_exit 0 pcivm group list
    expect_match "message" "$stderr" "no IOMMU"
    exit 0
fi
expect_exit 0 pcivm group show "$igb" -o json
expect_eq "group of the igb" "$(json '"\(.number) \(.viable) \(.members[0].role)"')" "$(group_of "$igb") false blocks"
expect_match "reserved regions" "$(json '.reservedRegions[] | .type' | tr '\n' ' ')" msi
expect_exit 3 pcivm group show 4711
