# SPDX-License-Identifier: GPL-2.0-or-later
# A guest does to its NIC what no driver does: odd accesses, BARs over everything, D3 and decode under the hands of
# another CPU, interrupts toggled without end. Host and VMM do not mind, nothing piles up, and its driver works after it.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 150
. /lab/cases/lib.sh

[[ -e /lab/bin/poke ]] || fail "there is no poke: ninja -C build/release poke"
nic=$(bdf e1000e)
guest_initrd /lab/bin/poke
parameters=iomem=relaxed
guest_start poke --cpus 2 --device "$nic"
guest_says "LAB-RESULT before-toggles=1" 100
vmm=$(pgrep -P "$guest" -x pcivm)
held() { ls "/proc/$vmm/fd" 2>/dev/null | wc -l; }
before=$(held)
most=$before
while ! grep -q "LAB-RESULT toggles=" guest.console && kill -0 "$guest" 2>/dev/null; do
    now=$(held)
    ((now <= most)) || most=$now
    sleep 0.2
done
# Once its message interrupts were on, an eventfd for each of its five vectors (MsiVectors::arm), and another for the one
# in use while it is masked; they stay until a reset. `before` is of a moment when they were not, or were already.
((most <= before + 6)) || fail "the VMM has $most files while interrupts are toggled, wanted at most 6 more than $before"

# Decode of the whole function is off now.
guest_says "LAB-RESULT off=1"
lspci -vvv -s "$nic" >/dev/null
[[ $(od -An -tx2 -N2 "$pci/$nic/config") == " 8086" ]] || fail "the host cannot read the function's vendor"
expect_exit 0 pcivm device show "$nic"
guest_wait
expect_eq "exit code" "$code" 0
for what in table fields ports places together power decode kinds after; do
    expect_eq "$what" "$(result "$what")" ok
done
echo "toggles: $(result toggles), files: $before, at most $most"
(($(result toggles) >= 1000)) || fail "the guest toggled $(result toggles) times only"
(($(result received) > 0)) || fail "its driver gets no packet afterwards"
(($(result interrupts) > 0)) || fail "its driver gets no interrupt afterwards"
expect_eq "driver of $nic" "$(driver_of "$nic")" e1000e
grep vfio /proc/interrupts && fail "host interrupts are left"
true
