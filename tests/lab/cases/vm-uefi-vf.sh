# SPDX-License-Identifier: GPL-2.0-or-later
# OVMF places the BARs of an assigned VF, above 4 GiB or below, and boots the disk behind it; Linux takes them as they
# are, also after a restart of the guest, and the VF is returned.
# topologies: vtd
# needs: pcivm firmware
# deadline: 240
# soak: yes
. /lab/cases/lib.sh

cp /lab/firmware/disk disk
defer rm -rf /var/lib/pcivm/vm
pf=$(bdf igb)
kernel_vfs "$pf" 1
vf=$(vf_bdf "$pf" 0)
expect_exit 0 pcivm vm run uefi-vf --firmware uefi --device "$vf" --disk "path=$PWD/disk,format=raw" --memory 256M
expect_match "the system on the disk" "$stdout" 'LAB-EXIT 0'
expect_eq "the first function" "$(result assigned)" 8086:10ca
expect_match "where its memory is" "$(result address)" '^0x0*[1-9a-f][0-9a-f]+$'
expect_eq "BARs that Linux had to place" "$(result unplaced)" 0
expect_eq "boots" "$(result boot)" 2
expect_eq "root" "$(result root)" /dev/vda3-ext4
expect_eq "driver" "$(driver_of "$vf")" none
