# SPDX-License-Identifier: GPL-2.0-or-later
# Commands that change the host at the same time wait for each other; one that waits too long says for whom.
# topologies: vtd
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

nic=$(bdf e1000e)
defer pcivm -q device release "$nic"
changes=()
for number in $(seq 50); do
    verb=bind
    ((number % 2)) || verb=release
    pcivm device $verb "$nic" --timeout 120 >"change.$number" 2>&1 &
    changes+=($!)
done
for number in "${!changes[@]}"; do
    wait "${changes[number]}" || fail "change $number failed: $(<"change.$((number + 1))")"
done
driver=$(driver_of "$nic") override=$(<"$pci/$nic/driver_override")
[[ "$driver $override" == "e1000e (null)" || "$driver $override" == "vfio-pci vfio-pci" ]] ||
    fail "driver $driver, override $override"
expect_exit 0 pcivm device release "$nic"

flock /run/pcivm/lock sleep 20 &
holder=$!
defer kill "$holder"
expect_within 5 eval '! flock --nonblock /run/pcivm/lock true'
expect_exit 4 pcivm device bind "$nic" --timeout 1
expect_match "message" "$stderr" "host lock .* is held by .* for [0-9]+ s"
expect_eq "driver" "$(driver_of "$nic")" e1000e
kill "$holder"
