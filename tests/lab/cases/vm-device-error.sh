# SPDX-License-Identifier: GPL-2.0-or-later
# An assigned device reports an error that the hardware cannot mend (PCIe AER): the VM ends, says so, and the function
# is reset and returned.
# topologies: faulty
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

rng=$(bdf rng)
errors() { awk '/TOTAL/ { print $2 }' "$pci/$rng/aer_dev_nonfatal"; }
[[ -e $pci/$rng/aer_dev_nonfatal ]] || fail "the kernel does not look after errors of $rng"
before=$(errors)
guest_start sleep --device "$rng"
guest_says "LAB-RESULT ready=1" 90
emulator pcie_aer_inject_error dev1 0x4000 # Completion Timeout
ended() { ! kill -0 "$guest" 2>/dev/null; }
expect_within 30 ended
guest_wait
expect_eq "exit code of the VM" "$code" 7
expect_match "message" "$stderr" "$rng: the device reported an uncorrectable error"
expect_match "advice" "$stderr" "kernel log"
expect_eq "errors that the kernel counted" $(($(errors) - before)) 1
expect_eq "driver afterwards" "$(driver_of "$rng")" virtio-pci
expect_eq "records" "$(find /run/pcivm/journal /run/pcivm/bound -type f 2>/dev/null)" ""
