# SPDX-License-Identifier: GPL-2.0-or-later
# A guest uses all of a device that has registers, a DMA engine, MSI and INTx, with nobody's driver between.
# topologies: vtd amdvi
# container: vtd amdvi
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

parameters=memmap=64K\$0x8000000
guest_run edu --device "$(bdf edu)" --force no-reset
expect_eq "exit code" "$code" 0
expect_eq "error" "$(result error)" ""
expect_eq "identification" "$(result id)" 0x010000ED
expect_eq "liveness register" "$(result inverted)" 0xEDCBA987
expect_eq "factorial of 5" "$(result factorial)" 0x00000078
expect_eq "word that went to the device and back" "$(result copied)" 0xDEADBEEF
expect_eq "MSIs" "$(result msi)" 4
expect_eq "INTx interrupts" "$(result intx)" 3
expect_match "the pin" "$stdout" "IO-APIC +[0-9]+-fasteoi +uio_pci_generic"
grep vfio /proc/interrupts && fail "host interrupts are left"
true
