# SPDX-License-Identifier: GPL-2.0-or-later
# A guest of another VMM drives a VF: whatever then fails under pcivm is not the lab's fault.
# topologies: vtd amdvi
# needs: peer
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
kernel_vfs "$igb" 2
vf=$(vf_bdf "$igb" 0)
expect_eq "reset methods of the VF" "$(<"$pci/$vf/reset_method")" flr
echo vfio-pci >"$pci/$vf/driver_override"
echo "$vf" >/sys/bus/pci/drivers_probe
expect_eq "driver of the VF" "$(driver_of "$vf")" vfio-pci
pf_up "$igb" 10.99.0.1/24

peer_run vf-ping -device "vfio-pci,host=$vf"
expect_eq "exit code of QEMU" "$code" 0
expect_eq "MSI-X vectors in the guest" "$(result vectors)" 3
expect_eq "answered pings" "$(result received)" 3
