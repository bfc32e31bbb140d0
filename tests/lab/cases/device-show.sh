# SPDX-License-Identifier: GPL-2.0-or-later
# `device show` tells what the kernel and the device say: VFs, vectors, reset, disks; selectors find the same function.
# topologies: vtd amdvi
# needs: pcivm
. /lab/cases/lib.sh

igb=$(bdf igb)
nvme=$(bdf nvme)
defer sh -c "echo 0 >$pci/$igb/sriov_numvfs"
echo 2 >"$pci/$igb/sriov_numvfs"

expect_exit 0 pcivm device show "$igb" -o json
expect_eq "VFs" "$(json '"\(.sriov.numVfs)/\(.sriov.totalVfs)"')" 2/7
expect_eq "MSI-X vectors" "$(json .msixVectors)" 10
expect_eq "netdev" "$(json '.netdevs[0]')" "$(netdev_of "$igb")"
expect_eq "subsystem" "$(json .subsystem)" "$(sed 's/0x//' "$pci/$igb/subsystem_vendor"):$(sed 's/0x//' "$pci/$igb/subsystem_device")"

vf=$(vf_bdf "$igb" 1)
for selector in "$vf" "$igb/vf1" "$(netdev_of "$igb")/vf1"; do
    expect_exit 0 pcivm device show "$selector" -o json
    expect_eq "function of '$selector'" "$(json .address)" "$vf"
done
expect_eq "VF" "$(json '"\(.isVf) \(.physfn) \(.vfIndex) \(.msixVectors) \(.resetMethods[0])"')" "true $igb 1 3 flr"

expect_exit 0 pcivm device show "serial=$(cat "$pci/$nvme"/nvme/nvme*/serial)" -o json
expect_eq "address by serial" "$(json .address)" "$nvme"
expect_eq "disk behind its multipath head" "$(json '.blockDevices[0]')" nvme0n1

expect_exit 2 pcivm device show id=8086:10ca
expect_match "message" "$stderr" "matches 2 functions: $(vf_bdf "$igb" 0), $vf"
