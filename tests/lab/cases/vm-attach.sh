# SPDX-License-Identifier: GPL-2.0-or-later
# VFs come to a guest that runs, carry traffic, and go again: one after the other, two at once, one of the start, by
# surprise. What is refused changes nothing. The host is as before each time.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 900
. /lab/cases/lib.sh

igb=$(bdf igb)
vm=guest-hotplug
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 3 --bind host
one=$(vf_bdf "$igb" 0) two=$(vf_bdf "$igb" 1) three=$(vf_bdf "$igb" 2)
pf_up "$igb" 10.99.0.1/24

# times COUNT REGEX: the guest has said it so often.
times() { (($(grep -cE "$2" guest.console) >= $1)); }
# came ADDRESS: how often something came there; slot_of DEVICE: where it is.
came() { grep -cE "LAB-RESULT came=$1 received=[1-9]" guest.console; }
more() { (($(came "$1") > $2)); }
slot_of() { slots ".slots[] | select(.device == \"$1\") | .guestAddress"; }
slots() { pcivm vm show "$vm" -o json | jq -r "$1"; }
# free DEVICE...: back on the host, with no record left.
free() {
    local each
    for each in "$@"; do expect_eq "driver of $each" "$(driver_of "$each")" igbvf; done
    expect_eq "journal" "$(ls /run/pcivm/journal 2>/dev/null)" ""
}
holders() { find /proc/[0-9]*/fd -lname '/dev/vfio/*' 2>/dev/null | wc -l; }

# A VM without a device: the first one brings the DMA space with it, and takes it along when it goes.
guest_start hotplug
guest_says "LAB-RESULT ready=1" 90
for cycle in 1 2 3; do
    expect_exit 0 pcivm attach "$vm" "$one" -o json
    document
    expect_eq "slot in cycle $cycle" "$(json .guestAddress)" 0000:00:10.0
    expect_eq "driver in use" "$(driver_of "$one")" vfio-pci
    expect_within 60 times "$cycle" "LAB-RESULT came=0000:00:10.0 received=[1-9][0-9]* vectors=3"
    expect_exit 0 pcivm detach "$vm" "$one" -o json
    document
    expect_eq "state" "$(json .state)" detached
    expect_within 20 times "$cycle" "LAB-RESULT gone=0000:00:10.0"
    free "$one"
    expect_eq "open VFIO files" "$(holders)" 0
done

# Refused, and nothing is changed.
before=$(host_facts)
expect_exit 3 pcivm attach "$vm" 0000:7f:00.0
expect_exit 3 pcivm attach nobody "$one"
expect_exit 3 pcivm detach "$vm" "$one"
expect_match "message" "$stderr" "does not have $one"
expect_exit 4 pcivm attach "$vm" "$igb" # has VFs
expect_eq "the host" "$(host_facts)" "$before"

# Two at once; a third beside them; each only once.
pcivm attach "$vm" "$one" &
first=$!
expect_exit 0 pcivm attach "$vm" "$two"
wait "$first" || fail "attach of $one: exit code $?"
expect_exit 4 pcivm attach "$vm" "$one"
expect_match "message" "$stderr" "has $one already"
expect_exit 4 pcivm vm run other --kernel /lab/l2/vmlinux --memory 128M --device "$one"
expect_within 60 times 5 "LAB-RESULT came=0000:00:1[01].0 received=[1-9]"
expect_exit 0 pcivm vm show "$vm" -o json
document
expect_eq "devices" "$(json '.devices | sort | join(" ")')" "$one $two"
expect_eq "slots in use" "$(json '[.slots[] | select(.device)] | length')" 2
where=$(slot_of "$two")
count=$(came "$where")
pcivm detach "$vm" "$one" &
first=$!
expect_exit 0 pcivm detach "$vm" "$two"
wait "$first" || fail "detach of $one: exit code $?"
free "$one" "$two"

# By surprise: the guest finds out afterwards, and the slot can be used again.
expect_exit 0 pcivm attach "$vm" "$two"
expect_eq "where it is, as before" "$(slot_of "$two")" "$where"
expect_within 60 more "$where" "$count"
expect_exit 0 pcivm detach "$vm" "$two" --force
free "$two"
vacated() { [[ $(slots '[.slots[] | select(.state == "free")] | length') == 4 ]]; }
expect_within 20 vacated
expect_exit 0 pcivm attach "$vm" "$two"

# The VM ends with it, and it goes back.
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
free "$one" "$two"

# A guest that is silent keeps it, as its VM does; by surprise it goes.
parameters=acpiphp.disable=1
guest_start hotplug --device "$one"
guest_says "LAB-RESULT came=0000:00:01.0 received=[1-9]" 90
expect_exit 8 pcivm detach "$vm" "$one" --timeout 2 -o json
document stderr
expect_eq "code" "$(jq -r .error.code <<<"$stderr")" guest.silent
expect_eq "state" "$(slots '.slots[0].state')" leaving
expect_eq "driver" "$(driver_of "$one")" vfio-pci
expect_exit 0 pcivm detach "$vm" "$one" --force
free "$one"
# SIGKILL of the VMM with one that was attached: its supervisor gives it back.
expect_exit 0 pcivm attach "$vm" "$two"
pkill -KILL -P "$guest"
guest_wait
expect_eq "exit code when the VMM was killed" "$code" 1
free "$one" "$two"
parameters=

# SIGKILL of the supervisor: the record tells whose it was.
guest_start hotplug
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm attach "$vm" "$two"
guest_kill "$guest" "$vm"
gone() { ! pgrep -x pcivm >/dev/null; }
expect_within 20 gone
expect_exit 0 pcivm reconcile
expect_exit 0 pcivm device release "$two"
free "$two"

# No slots, and a balloon: refused before anything is touched.
guest_start sleep --hotplug-slots 0
guest_says "LAB-RESULT ready=1" 90
expect_exit 5 pcivm attach guest-sleep "$one"
expect_exit 0 pcivm vm stop guest-sleep --force
guest_wait
guest_start sleep --balloon
guest_says "LAB-RESULT ready=1" 90
expect_exit 5 pcivm attach guest-sleep "$one"
expect_match "message" "$stderr" "balloon"
expect_exit 0 pcivm vm stop guest-sleep --force
guest_wait
free "$one"

# One of the start goes and comes again; over a restart of the guest all is where it was.
parameters=lab.reboot=0000:00:11.0
guest_start hotplug --device "$three"
guest_says "LAB-RESULT came=0000:00:01.0 received=[1-9]" 90
expect_exit 0 pcivm detach "$vm" "$three"
expect_within 20 times 1 "LAB-RESULT gone=0000:00:01.0"
free "$three"
expect_exit 0 pcivm attach "$vm" "$one"
expect_exit 0 pcivm attach "$vm" "$three"
expect_eq "where it is, as before" "$(slot_of "$three")" 0000:00:01.0
expect_within 60 times 2 "LAB-RESULT came=0000:00:01.0 received=[1-9]"
expect_exit 0 pcivm attach "$vm" "$two"
expect_within 60 times 1 "LAB-RESULT came=0000:00:11.0 received=[1-9]"
expect_exit 0 pcivm detach "$vm" "$two"
expect_within 60 times 2 "LAB-RESULT ready=1"
expect_within 60 times 3 "LAB-RESULT came=0000:00:01.0 received=[1-9]"
expect_within 60 times 2 "LAB-RESULT came=0000:00:10.0 received=[1-9]"
expect_exit 0 pcivm detach "$vm" "$one"
expect_within 20 times 1 "LAB-RESULT gone=0000:00:10.0"
free "$one" "$two"
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
free "$three"
parameters=

# A VM that is defined remembers the slot over `vm restart`.
defer rm -rf /etc/pcivm /var/log/pcivm /var/lib/pcivm/vm
# shellcheck disable=SC2046  # one option, many words
expect_exit 0 pcivm vm create web --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --cpus 1 \
    --cmdline "$(guest_cmdline hotplug)"
defer pcivm -q vm stop web --kill
vm=web
expect_exit 0 pcivm vm start web
expect_exit 0 pcivm attach web "$one"
expect_exit 0 pcivm attach web "$two"
where=$(slot_of "$two")
expect_exit 0 pcivm vm restart web --force
free "$one" "$two"
expect_exit 0 pcivm attach web "$two"
expect_eq "where it is after a restart of the VM" "$(slot_of "$two")" "$where"
expect_exit 0 pcivm vm stop web --force
free "$two"
expect_exit 0 pcivm vm delete web --yes
