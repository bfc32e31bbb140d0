# SPDX-License-Identifier: GPL-2.0-or-later
# VFs are made for VFIO in one command, listed, made again without change, and removed without trace.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
probes=$(native_probes)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 3 --bind vfio-pci -o json
expect_eq "kind" "$(json .kind)" VFList
expect_eq "VFs" "$(json '.items | length')" 3
for index in 0 1 2; do
    vf=$(vf_bdf "$igb" "$index")
    expect_eq "driver of VF $index" "$(driver_of "$vf")" vfio-pci
    expect_eq "address of VF $index" "$(json ".items[$index].address")" "$vf"
    expect_eq "group of VF $index" "$(json ".items[$index].iommuGroup")" "$(group_of "$vf")"
    [[ -c /dev/vfio/$(group_of "$vf") ]] || fail "VF $index has no node below /dev/vfio"
done
expect_eq "autoprobe afterwards" "$(<"$pci/$igb/sriov_drivers_autoprobe")" 1
expect_eq "probes by the VFs' own driver, which must not see them" "$(native_probes)" "$probes"

expect_exit 0 pcivm vf create "$igb" 3 --bind vfio-pci
expect_match "message" "$stderr" "has 3 VFs already"

expect_exit 0 pcivm vf list "$(netdev_of "$igb")" -o name
expect_eq "names" "$(wc -l <<<"$stdout")" 3
expect_exit 0 pcivm vf show "$igb/vf1" -o json
expect_eq "index" "$(json .vfIndex)" 1
expect_eq "PF" "$(json .physfn)" "$igb"

expect_exit 2 pcivm vf destroy "$igb" </dev/null
expect_eq "VFs that were not confirmed to go" "$(<"$pci/$igb/sriov_numvfs")" 3
expect_exit 0 pcivm vf destroy "$igb" --yes
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 0
expect_exit 0 pcivm vf destroy "$igb" --yes
expect_exit 0 pcivm vf list "$igb" -o json
expect_eq "VFs" "$(json '.items | length')" 0
