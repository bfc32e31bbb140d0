# SPDX-License-Identifier: GPL-2.0-or-later
# A guest uses a whole NIC with INTx, MSI and MSI-X, and changes from each to each other.
# topologies: vtd amdvi
# container: vtd amdvi
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

nic=$(bdf e1000e)
# With 1 the driver enables MSI, tries it, and leaves it for INTx, on the bare host as well: the cause that it tries it by
# (RXSEQ) has no bit in the mask of QEMU's device, which takes 0x9d for 0x95.
parameters="lab.driver=e1000e lab.modes=0,1,2,0,2,1,0"
guest_run nic --device "$nic"
expect_eq "exit code" "$code" 0
kinds=(IO-APIC IO-APIC PCI-MSIX)
for mode in 0 1 2; do
    worked=$(grep -cE "mode$mode=received=[1-9][0-9]* kind=${kinds[mode]} interrupts=[1-9]" <<<"$stdout")
    expect_eq "times that mode $mode works by ${kinds[mode]}" "$worked" $((mode == 0 ? 3 : 2))
done
expect_eq "driver of $nic" "$(driver_of "$nic")" e1000e

# MSI without that driver.
parameters=lab.bare=1
guest_start msi --device "$nic"
guest_says listening=nobody
expect_eq "INTX_DISABLE of $nic while nobody listens" $((0x$(setpci -s "$nic" COMMAND) & 0x400)) $((0x400))
grep vfio /proc/interrupts && fail "the host has an interrupt for it"
guest_wait
expect_eq "exit code" "$code" 0
expect_eq "times that MSI works" "$(result came)" 3
expect_eq "MSIs when it is disabled" "$(result later)" 0
expect_eq "driver of $nic" "$(driver_of "$nic")" e1000e
grep vfio /proc/interrupts && fail "host interrupts are left"
true
