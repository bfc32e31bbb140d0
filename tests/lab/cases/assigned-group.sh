# SPDX-License-Identifier: GPL-2.0-or-later
# Two functions of one IOMMU group in one guest; one of them alone is refused while the host has the other.
# topologies: vtd amdvi
# container: vtd amdvi
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

nic=$(bdf shared)
group=$(group_of "$nic")
edu=
for each in $(lspci -D -n -d 1234:11e8 | cut -d ' ' -f 1); do [[ $(group_of "$each") != "$group" ]] || edu=$each; done

expect_exit 5 pcivm vm run one --kernel /lab/l2/vmlinux --memory 256M "${assigned_by[@]}" --device "$edu" --force no-reset
expect_match "message" "$stderr" "$nic"
expect_eq "driver of $edu" "$(driver_of "$edu")" none

guest_run devices --device "$edu" --device "$nic" --force no-reset --timeline timeline.json
expect_eq "exit code" "$code" 0
expect_match "guest's devices" "$stdout" "1234:11e8 .*8086:100e "
count() { jq -r ".ioctls.$1 // 0" timeline.json; }
if [[ $backend == iommufd ]]; then
    expect_eq "devices attached" "$(count VFIO_DEVICE_ATTACH_IOMMUFD_PT)" 2
else
    expect_eq "groups in the container" "$(count VFIO_GROUP_SET_CONTAINER)" 1
fi
expect_eq "driver of $edu" "$(driver_of "$edu")" none
expect_eq "driver of $nic" "$(driver_of "$nic")" e1000
