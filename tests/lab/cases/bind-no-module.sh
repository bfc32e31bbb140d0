# SPDX-License-Identifier: GPL-2.0-or-later
# A kernel without the vfio-pci module: told before anything is touched.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

defer modprobe -a vfio-pci vfio_iommu_type1
modprobe -r vfio-pci vfio_iommu_type1 2>/dev/null
[[ ! -e /sys/bus/pci/drivers/vfio-pci ]] || fail "vfio-pci cannot be unloaded"
mkdir -p none
for modules in /lib/modules/"$(uname -r)"/{kernel/drivers/vfio,updates}; do # stock ones, and those with iommufd
    [[ -d $modules ]] || continue
    mount --bind none "$modules"
    defer umount "$modules"
done

expect_exit 7 pcivm device bind "$(bdf e1000e)"
expect_match "message" "$stderr" "vfio-pci"
expect_match "hint" "$stderr" "hint: "
expect_eq "driver of the e1000e" "$(driver_of "$(bdf e1000e)")" e1000e
expect_eq "override of the e1000e" "$(<"$pci/$(bdf e1000e)/driver_override")" "(null)"
expect_exit 7 pcivm vf create "$(bdf igb)" 2 --bind vfio-pci
expect_eq "VFs" "$(<"$pci/$(bdf igb)/sriov_numvfs")" 0
