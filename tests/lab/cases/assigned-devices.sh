# SPDX-License-Identifier: GPL-2.0-or-later
# A guest owns two VFs and a whole NIC at once: drivers, MSI-X vectors, one mapping for all; each is reset by the kernel
# alone, and the NIC goes back to its driver.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

igb=$(bdf igb)
nic=$(bdf e1000e)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2
first=$(vf_bdf "$igb" 0)
second=$(vf_bdf "$igb" 1)

guest_run devices --device "$first" --device "$second" --device "$nic" --timeline timeline.json
expect_eq "exit code" "$code" 0
expect_match "guest's devices" "$stdout" "8086:10ca driver=igbvf vectors=3.*8086:10ca driver=igbvf vectors=3"
expect_match "guest's devices" "$stdout" "8086:10d3 driver=e1000e vectors=3"

count() { jq -r ".ioctls.$1 // 0" timeline.json; }
expect_eq "containers given an IOMMU" "$(count VFIO_SET_IOMMU)" 1
expect_eq "mappings for DMA" "$(count VFIO_IOMMU_MAP_DMA)" 1
expect_eq "devices opened" "$(count VFIO_GROUP_GET_DEVICE_FD)" 3
expect_eq "resets asked for by pcivm" "$(count VFIO_DEVICE_RESET)" 0

expect_eq "driver of $nic" "$(driver_of "$nic")" e1000e
grep vfio /proc/interrupts && fail "host interrupts are left"
true
