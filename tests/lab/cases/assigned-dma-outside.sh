# SPDX-License-Identifier: GPL-2.0-or-later
# A device that does DMA outside its guest's RAM meets nothing: the IOMMU refuses it and tells of it; RAM it reaches.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# console: DMAR: \[DMA|AMD-Vi: Event logged
# deadline: 120
. /lab/cases/lib.sh

edu=$(bdf edu)
# 240 MiB, where the device writes, lies behind the RAM.
run pcivm vm run guest-edu-dma --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 160M --device "$edu" \
    --force no-reset "${assigned_by[@]}" --cmdline "$(guest_cmdline edu-dma) memmap=64K\$0x8000000"
expect_eq "exit code" "$code" 0
expect_eq "what was copied within RAM" "$(result copied)" 0xDEADBEEF
expect_eq "the write outside" "$(result written)" 1
[[ -n $(result read) ]] || fail "the guest does not tell what it read"
# The emulated AMD-Vi tells of no address.
faults=$(dmesg | grep -c "DMAR: \[DMA.*${edu#0000:}\] fault addr 0xf000000\|vfio-pci $edu: AMD-Vi: Event logged \[IO_PAGE_FAULT")
((faults >= 2)) || fail "the host's kernel told of $faults faults, wanted one for the write and one for the read: $(dmesg | tail -n 5)"
expect_eq "driver of $edu" "$(driver_of "$edu")" none
