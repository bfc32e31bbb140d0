# SPDX-License-Identifier: GPL-2.0-or-later
# VFs of an NVMe drive: resources, online, namespaces, bound; removed, the drive is as it was.
# topologies: vtd amdvi
# deadline: 120
# needs: pcivm
. /lab/cases/lib.sh

nvme=$(bdf nvme)
disk=/dev/nvme0n1

controller_live() { [[ $(cat "$pci/$1"/nvme/nvme*/state 2>/dev/null) == live ]]; }

expect_exit 2 pcivm vf create "$nvme" 4 --set vp=2
expect_match "hint" "$stderr" "did you mean v[qi]"
expect_exit 2 pcivm vf create "$nvme" 4 --set vq=9
expect_exit 2 pcivm vf create "$nvme" 4 --set namespaces=1,7

# This drive keeps nothing for itself, so no reset is needed, and it may be mounted meanwhile.
mkdir mounted
defer umount mounted
{ mkfs.ext4 -q "$disk" && mount "$disk" mounted && echo kept >mounted/file; } || fail "the drive cannot be mounted"

# Four VFs that share out what the drive has.
expect_exit 0 pcivm vf create "$nvme" 4 --bind vfio-pci --set namespaces=1,2
for index in 0 1 2 3; do
    expect_eq "driver of VF $index" "$(driver_of "$(vf_bdf "$nvme" "$index")")" vfio-pci
    expect_exit 0 pcivm vf show "$nvme/vf$index" -o json
    expect_eq "VF $index" "$(json '.nvme | "\(.state) \(.vq) \(.vi) \(.namespaces | tojson)"')" "online 2 1 [1,2]"
done
expect_exit 0 pcivm vf create "$nvme" 4 --bind vfio-pci
expect_exit 4 pcivm vf create "$nvme" 4 --bind vfio-pci --set vq=2

expect_exit 0 pcivm vf destroy "$nvme" --yes
expect_eq "what the drive holds" "$(<mounted/file)" kept
umount mounted

# One VF for the host: its driver comes up and reads what the PF reads.
dd if=/dev/urandom of="$disk" bs=1M count=4 conv=fsync status=none || fail "the drive cannot be written"
expect_exit 0 pcivm vf create "$nvme" 1 --bind host --set vq=2 --set vi=1 --set namespaces=1
vf=$(vf_bdf "$nvme" 0)
expect_eq "driver of the VF" "$(driver_of "$vf")" nvme
expect_within 20 controller_live "$vf"
# Both controllers are paths to one disk; in turn, so that half of the reads go through the VF's own queues.
path_of_vf() { ls -d "$pci/$vf"/nvme/nvme*/nvme*c*n1 2>/dev/null | grep .; }
expect_within 10 path_of_vf
echo round-robin >/sys/class/nvme-subsystem/nvme-subsys0/iopolicy
defer eval "echo numa >/sys/class/nvme-subsystem/nvme-subsys0/iopolicy"
reads() { awk '{ print $1 }' "$(path_of_vf)/stat"; }
sum() { dd if="$disk" bs=64K count=64 iflag=direct status=none | sha256sum; }
before=$(reads)
both=$(sum)
(($(reads) > before + 16)) || fail "the VF did $(($(reads) - before)) of 64 reads"
expect_exit 0 pcivm vf destroy "$nvme" --yes
expect_eq "data by way of the VF and of the PF" "$both" "$(sum)"
