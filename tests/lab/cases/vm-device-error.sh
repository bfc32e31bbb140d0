# SPDX-License-Identifier: GPL-2.0-or-later
# An assigned device reports an error that the hardware cannot mend (PCIe AER). The VM ends, or goes on without the
# function, or the guest gets it back reset, as --on-error says; it is counted, and nothing is left behind.
# topologies: faulty
# needs: pcivm
# deadline: 420
. /lab/cases/lib.sh

rng=$(bdf rng)
vm=guest-again
socket=/run/pcivm/vm/$vm/api.sock
ended() { ! kill -0 "$guest" 2>/dev/null; }
free() {
    expect_within 20 eval '[[ $(driver_of "$rng") == virtio-pci ]]'
    expect_eq "records" "$(find /run/pcivm/journal /run/pcivm/bound -type f 2>/dev/null)" ""
}
errors() { awk '/TOTAL/ { print $2 }' "$pci/$rng/aer_dev_nonfatal"; }
[[ -e $pci/$rng/aer_dev_nonfatal ]] || fail "the kernel does not look after errors of $rng"
break_it() { emulator pcie_aer_inject_error dev1 0x4000; } # Completion Timeout
# times COUNT REGEX: the guest has said it so often. events FILTER: of the function that the VM has, or had.
times() { (($(grep -cE "$2" guest.console) >= $1)); }
events() { pcivm vm show "$vm" -o json | jq -r ".deviceEvents[] | select(.device == \"$rng\") | $1"; }
# stop, the default.
before=$(errors)
guest_start sleep --device "$rng"
guest_says "LAB-RESULT ready=1" 90
break_it
expect_within 30 ended
guest_wait
expect_eq "exit code of the VM" "$code" 7
expect_match "message" "$stderr" "$rng: the device reported an uncorrectable error"
expect_match "advice" "$stderr" "kernel log"
expect_eq "errors that the kernel counted" $(($(errors) - before)) 1
free

# detach: the guest loses it and goes on.
guest_start again --device "$rng" --on-error detach
guest_says "LAB-RESULT came=64 vectors=[1-9]" 90
break_it
guest_says "LAB-RESULT gone=" 30
free
expect_match "message" "$(<guest.stderr)" "$rng: the device reported an uncorrectable error .*; it is taken from the guest"
expect_exit 0 pcivm vm show "$vm" -o json
document
expect_eq "devices" "$(json '.devices | length')" 0
expect_eq "errors" "$(events .errors)" 1
expect_exit 0 pcivm vm show "$vm"
expect_match "events" "$stdout" "$rng: 1 error, 0 requests"
# It may come back; the next error counts as well.
expect_exit 0 pcivm attach "$vm" "$rng"
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
free

# reset: the guest sees it pulled and, reset, in its slot again. Three times; the fourth error detaches it.
guest_start again --device "$rng" --on-error reset
guest_says "LAB-RESULT came=64 vectors=[1-9]" 90
for error in 1 2 3; do
    break_it
    expect_within 60 times $((error + 1)) "LAB-RESULT came=64 vectors=[1-9]"
    expect_eq "errors" "$(events .errors)" "$error"
    expect_eq "state" "$(pcivm vm show "$vm" -o json | jq -r '.slots[0].state')" attached
    expect_eq "driver in use" "$(driver_of "$rng")" vfio-pci
done
http GET /v1/metrics
expect_match "metrics" "$stdout" "device_errors_total\{vm=\"$vm\",device=\"$rng\"\} 3"
expect_match "metrics" "$stdout" "device_requests_total\{vm=\"$vm\",device=\"$rng\"\} 0"
gone=$(grep -c "LAB-RESULT gone=" guest.console) # it may not have looked while there was none
break_it
expect_within 30 times $((gone + 1)) "LAB-RESULT gone="
expect_match "why" "$(<guest.stderr)" "$rng was reset 3 times already"
expect_eq "errors" "$(events .errors)" 4
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
free

# Where devices do not go, the VM ends whatever is wanted.
guest_start sleep --device "$rng" --on-error reset --hotplug-slots 0
guest_says "LAB-RESULT ready=1" 90
break_it
expect_within 30 ended
guest_wait
expect_eq "exit code of the VM" "$code" 7
free
