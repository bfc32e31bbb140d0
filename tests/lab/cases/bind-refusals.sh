# SPDX-License-Identifier: GPL-2.0-or-later
# What must not be given away is refused with its exit code and a next step, and nothing is changed.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
expect_exit 2 pcivm device bind 0000:01:00
expect_exit 2 pcivm device bind 0000:01:20.0
expect_exit 3 pcivm device bind 0000:77:00.0
expect_exit 5 pcivm device bind "$(bdf bridge)"
expect_match "message" "$stderr" "is a bridge"
expect_exit 5 pcivm device bind "$(bdf port)"
expect_exit 5 pcivm device bind 0000:00:00.0
expect_exit 7 pcivm device bind "$(bdf edu)" --driver no-such-driver
expect_exit 2 pcivm device bind "$(bdf edu)" --driver ../vfio-pci
expect_eq "driver of the edu" "$(driver_of "$(bdf edu)")" none

expect_exit 0 pcivm vf create "$igb" 1
defer pcivm -q vf destroy "$igb" --yes
expect_exit 4 pcivm device bind "$igb"
expect_match "message" "$stderr" "has 1 virtual functions"
expect_match "hint" "$stderr" "pcivm vf destroy $igb"
expect_exit 0 pcivm vf destroy "$igb" --yes

# A network interface with an address, and a disk with a file system or swap space in use.
pf_up "$igb" 10.99.0.1/24
expect_exit 4 pcivm device bind "$igb"
expect_match "message" "$stderr" "10.99.0.1.*\(address\)"
expect_eq "driver of the igb" "$(driver_of "$igb")" igb
disk=/dev/$(basename "$(ls -d "$pci/$(bdf nvme)"/nvme/nvme*/nvme*n1 | head -n 1)" | sed 's/c[0-9]*n/n/')
mkdir disk
{ mkfs.ext4 -q "$disk" && mount "$disk" disk; } || fail "the nvme cannot be mounted"
expect_exit 4 pcivm device bind "$(bdf nvme)"
umount disk
expect_match "message" "$stderr" "/disk .*$(basename "$disk").*\(mount\)"
expect_match "hint" "$stderr" "[-]-force=mount"
{ mkswap "$disk" >/dev/null && swapon "$disk"; } || fail "the nvme cannot be swapped to"
expect_exit 4 pcivm device bind "$(bdf nvme)"
swapoff "$disk"
expect_match "message" "$stderr" "$(basename "$disk").*\(swap\)"
expect_eq "driver of the nvme" "$(driver_of "$(bdf nvme)")" nvme

# All or none: the second is a bridge, so the first stays.
expect_exit 5 pcivm device bind "$(bdf edu)" "$(bdf bridge)" --force=no-reset
expect_eq "driver of the first" "$(driver_of "$(bdf edu)")" none

# A member of a group may be bound by itself, but is not usable until its native siblings are too.
shared=$(bdf shared)
sibling=$(ls "$pci/$shared/iommu_group/devices" | grep -v -e "$shared" -e "$(bdf bridge)")
expect_exit 0 pcivm device bind "$sibling" --force=no-reset
expect_match "siblings" "$stderr" "not usable yet: .*$shared \(e1000\)"
expect_exit 0 pcivm device bind "$shared" --force=no-reset
expect_eq "message about siblings" "$stderr" ""
expect_exit 0 pcivm device release "$shared" "$sibling"
