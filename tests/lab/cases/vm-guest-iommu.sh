# SPDX-License-Identifier: GPL-2.0-or-later
# Behind an IOMMU of the guest's own a VF does translated DMA, also after a reboot; the guest hands devices to a user
# space driver by VFIO, whose DMA reaches what it mapped and no other RAM of the guest. Devices that come later are
# behind it, too. What cannot be is refused.
# topologies: vtd amdvi
# needs: pcivm
# console: DMAR: \[DMA|AMD-Vi: Event logged
# deadline: 300
. /lab/cases/lib.sh

igb=$(bdf igb)
edu=$(bdf edu)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci
vf=$(vf_bdf "$igb" 0)
other=$(vf_bdf "$igb" 1)
pf_up "$igb" 10.99.0.1/24

expect_exit 5 pcivm vm run refused --kernel /lab/l2/vmlinux --device "$vf" --iommu virtio --iommu-backend container
expect_match "message" "$stderr" "a container has one address space"
if [[ -n $(lspci -D -n -d 8086:100e) ]]; then
    nic=$(bdf shared)
    for each in $(lspci -D -n -d 1234:11e8 | cut -d ' ' -f 1); do
        [[ $(group_of "$each") != "$(group_of "$nic")" ]] || sibling=$each
    done
    expect_exit 5 pcivm vm run refused --kernel /lab/l2/vmlinux --iommu virtio --device "$sibling" --device "$nic" \
        --force no-reset
    expect_match "message" "$stderr" "$nic is in IOMMU group [0-9]+, of which the VM has another device"
fi

guest_initrd /usr/bin/perl /lab/cases/vfio-edu.pl
parameters="memmap=64K\$0x8000000"
guest_run iommu --iommu virtio --device "$vf" --device "$edu" --force no-reset
expect_eq "exit code" "$code" 0
expect_eq "error in the guest" "$(result error)" ""
expect_match "boots with a VF that answers" "$stdout" 'received=[1-9].*reboots=1.*received=[1-9].*rebooted=1'
expect_match "default domain of the VF in the guest" "$(result type)" '^DMA'
expect_eq "its IOMMU in the guest" "$(result iommu)" virtio
expect_eq "lines of the guest's kernel about that" "$(result said)" 1
expect_match "regions of the VF by VFIO in the guest" "$(result 0000_00_01_0)" '^[1-9]'
expect_eq "edu by VFIO in the guest" "$(result edu)" ed
expect_eq "what edu copied inside of what is mapped" "$(result landed)" deadbeef
expect_eq "RAM that edu wrote to outside" "$(result secret)" 0x005EC4E7
[[ $(result leaked) != 005ec4e7 ]] || fail "edu read RAM that is not mapped for it"
# The emulated AMD-Vi tells of no address.
faults=$(dmesg | grep -c "DMAR: \[DMA.*${edu#0000:}\] fault addr 0x8001000\|vfio-pci $edu: AMD-Vi: Event logged \[IO_PAGE_FAULT")
((faults >= 2)) || fail "the host's kernel told of $faults faults, wanted one for the write and one for the read: $(dmesg | tail -n 5)"

# One that comes later, and goes.
parameters=
guest_start hotplug --iommu virtio
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm attach guest-hotplug "$other"
guest_says "came=0000:00:10.0 received=[1-9].* iommu=DMA" 60
expect_exit 0 pcivm detach guest-hotplug "$other"
guest_says "gone=0000:00:10.0" 30
guest_end
