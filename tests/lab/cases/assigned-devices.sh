# SPDX-License-Identifier: GPL-2.0-or-later
# A guest owns two VFs and a whole NIC at once: drivers, MSI-X vectors, one mapping for all; each is reset by the kernel
# alone, and the NIC goes back to its driver.
# topologies: vtd amdvi
# container: vtd amdvi
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
case $backend in
container) calls=(VFIO_SET_IOMMU VFIO_IOMMU_MAP_DMA VFIO_GROUP_GET_DEVICE_FD) other=VFIO_DEVICE_BIND_IOMMUFD ;;
iommufd) calls=(IOMMU_IOAS_ALLOC IOMMU_IOAS_MAP VFIO_DEVICE_BIND_IOMMUFD) other=VFIO_SET_IOMMU ;;
esac
expect_eq "address spaces" "$(count "${calls[0]}")" 1
expect_eq "mappings for DMA" "$(count "${calls[1]}")" 1
expect_eq "devices opened" "$(count "${calls[2]}")" 3
expect_eq "calls of the other back end" "$(count "$other")" 0
[[ $backend == container ]] || expect_eq "devices attached" "$(count VFIO_DEVICE_ATTACH_IOMMUFD_PT)" 3
expect_eq "resets asked for by pcivm" "$(count VFIO_DEVICE_RESET)" 0

expect_eq "driver of $nic" "$(driver_of "$nic")" e1000e
grep vfio /proc/interrupts && fail "host interrupts are left"
true
