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

parameters=memmap=64K\$0x8000000
guest_run group --device "$edu" --device "$nic" --force no-reset --timeline timeline.json
expect_eq "exit code" "$code" 0
expect_eq "error" "$(result error)" ""
expect_eq "word that went to the edu device and back" "$(result copied)" 0xDEADBEEF
expect_eq "interrupts of the edu device" "$(result msi) MSIs, $(result intx) of INTx" "4 MSIs, 3 of INTx"
expect_match "the NIC's work" "$(result mode-)" "^received=[1-9] kind=IO-APIC interrupts=[1-9]"
count() { jq -r ".ioctls.$1 // 0" timeline.json; }
if [[ $backend == iommufd ]]; then
    expect_eq "devices attached" "$(count VFIO_DEVICE_ATTACH_IOMMUFD_PT)" 2
else
    expect_eq "groups in the container" "$(count VFIO_GROUP_SET_CONTAINER)" 1
fi
expect_eq "driver of $edu" "$(driver_of "$edu")" none
expect_eq "driver of $nic" "$(driver_of "$nic")" e1000
