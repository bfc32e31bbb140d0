# SPDX-License-Identifier: GPL-2.0-or-later
# A guest's VF carries traffic to the PF with the MAC address that the host gave it and three MSI-X vectors.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci
expect_exit 0 pcivm vf set "$igb/vf1" --mac 02:11:22:33:44:01
pf_up "$igb" 10.99.0.1/24

guest_run vf-ping --device "$igb/vf1" --cpus 2
expect_eq "exit code" "$code" 0
expect_eq "MAC address in the guest" "$(result mac)" 02:11:22:33:44:01
expect_eq "MSI-X vectors in the guest" "$(result vectors)" 3
[[ $(result received) -gt 0 ]] || fail "no ping was answered"
[[ $(result interrupts) -gt 0 ]] || fail "the VF raised no interrupt in the guest"
expect_eq "driver, which was vfio-pci before the VM" "$(driver_of "$(vf_bdf "$igb" 1)")" vfio-pci
