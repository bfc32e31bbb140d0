# SPDX-License-Identifier: GPL-2.0-or-later
# The host takes a function that a VM has: its driver is unbound, or the function is removed. The writer waits a few
# seconds at most; the guest lets go of it, or the VM ends; who asked is said, and nothing is left behind.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 420
. /lab/cases/lib.sh

igb=$(bdf igb)
nic=$(bdf e1000e)
ended() { ! kill -0 "$1" 2>/dev/null; }
clean() {
    expect_eq "journal" "$(ls /run/pcivm/journal 2>/dev/null)" ""
    expect_eq "bound records" "$(ls /run/pcivm/bound 2>/dev/null)" ""
    expect_eq "VMs" "$(ls /run/pcivm/vm 2>/dev/null)" ""
    expect_exit 0 pcivm reconcile -o json
    expect_eq "repairs" "$(json '.items | length')" 0
}
# host_takes FILE VALUE FUNCTION ASKED: in the background; the VM ends because of it.
host_takes() {
    echo "$2" >"$1" &
    local writer=$!
    expect_within 40 ended "$guest"
    expect_within 10 ended "$writer"
    guest_wait
    expect_eq "exit code of the VM" "$code" 4
    expect_match "who asks" "$stderr" "the host wants $3 back: .*pid $writer \(.*\) waits in a call on '/sys/.*'"
    expect_eq "how often it is said" "$(grep -c "is asked to $4" <<<"$stderr")" 1
    expect_match "why it ended" "$stderr" "VM '.*': the host wants $3 back; the guest"
}

# The guest lets go of it, and goes on without it.
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
pf_up "$igb" 10.99.0.1/24
guest_start hotplug --device "$vf"
guest_says "LAB-RESULT came=0000:00:01.0 received=[1-9]" 90
echo "$vf" >/sys/bus/pci/drivers/vfio-pci/unbind &
writer=$!
expect_within 20 ended "$writer"
guest_says "LAB-RESULT gone=0000:00:01.0" 20
expect_within 10 eval '[[ $(driver_of "$vf") == igbvf ]]'
expect_match "who asks" "$(<guest.stderr)" "the host wants $vf back: .*pid $writer .*; the guest is asked to let go of it"
expect_exit 0 pcivm vm show guest-hotplug -o json
expect_eq "devices" "$(json '.devices | length')" 0
sleep 11 # longer than the guest had
expect_exit 0 pcivm attach guest-hotplug "$vf"
expect_exit 0 pcivm vm stop guest-hotplug --force
guest_wait
clean

# One that cannot is asked to power off afterwards.
parameters=acpiphp.disable=1
guest_start wait-button --device "$vf"
guest_says "LAB-RESULT ready=1" 90
host_takes /sys/bus/pci/drivers/vfio-pci/unbind "$vf" "$vf" "let go of it"
expect_eq "the guest saw the button" "$(result button)" 1
expect_eq "driver afterwards" "$(driver_of "$vf")" igbvf
clean
parameters=

# A VF that goes back to its native driver; the guest powers off when it is asked to.
guest_start wait-button --device "$vf" --on-request stop
guest_says "LAB-RESULT ready=1" 90
host_takes /sys/bus/pci/drivers/vfio-pci/unbind "$vf" "$vf" "power off"
# The guest has 10 s. One that took longer than that to boot is on a host too slow to be judged.
(($(sed -n 's/^LAB-INIT uptime=\([0-9]*\).*/\1/p' <<<"$stdout") > 9)) || expect_eq "the guest saw the button" "$(result button)" 1
expect_eq "driver afterwards" "$(driver_of "$vf")" igbvf
clean

# A whole function, removed; the guest does not care.
defer eval 'echo 1 >/sys/bus/pci/rescan'
guest_start sleep --device "$nic" --hotplug-slots 0
guest_says "LAB-RESULT ready=1" 90
host_takes "$pci/$nic/remove" 1 "$nic" "power off"
expect_match "end" "$stderr" "the guest was ended"
[[ ! -e $pci/$nic ]] || fail "$nic is still there"
clean
echo 1 >/sys/bus/pci/rescan
expect_within 10 eval '[[ $(driver_of "$nic") == e1000e ]]'

# The operator may let the host wait.
guest_start sleep --device "$vf" --on-request ignore
guest_says "LAB-RESULT ready=1" 90
echo "$vf" >/sys/bus/pci/drivers/vfio-pci/unbind &
writer=$!
expect_within 10 grep -q "it waits until this VM ends" guest.stderr
sleep 12 # the kernel asks again
kill -0 "$guest" || fail "the VM ended"
kill -0 "$writer" || fail "the writer does not wait"
expect_eq "how often it is said" "$(grep -c 'it waits until this VM ends' guest.stderr)" 1
guest_end
expect_within 10 ended "$writer"
expect_within 10 eval '[[ $(driver_of "$vf") == igbvf ]]'
clean
