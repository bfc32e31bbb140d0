# SPDX-License-Identifier: GPL-2.0-or-later
# A guest's driver uses a whole NIC with INTx, MSI and MSI-X, and changes from each to each other.
# topologies: vtd amdvi
# container: vtd amdvi
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

nic=$(bdf e1000e)
parameters="lab.driver=e1000e lab.modes=0,1,2,0,2,1,0"
guest_run nic --device "$nic"
expect_eq "exit code" "$code" 0
kinds=(IO-APIC PCI-MSI PCI-MSIX)
for mode in 0 1 2; do
    worked=$(grep -cE "mode$mode=received=[1-9][0-9]* kind=${kinds[mode]} interrupts=[1-9]" <<<"$stdout")
    expect_eq "times that ${kinds[mode]} works" "$worked" $((mode == 0 ? 3 : 2))
done
expect_eq "driver of $nic" "$(driver_of "$nic")" e1000e
grep vfio /proc/interrupts && fail "host interrupts are left"
true
