# SPDX-License-Identifier: GPL-2.0-or-later
# A command that is killed at any moment leaves something that the next command, or reconcile, repairs.
# topologies: vtd
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

igb=$(bdf igb)
nic=$(bdf e1000e)
defer pcivm -q device release "$nic"
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm device bind "$nic" # loads the modules, so that the kills below fall into the change itself
expect_exit 0 pcivm device release "$nic"

killed_after() {
    local delay=$1
    shift
    "$@" >/dev/null 2>&1 &
    local change=$!
    sleep "$delay"
    kill -KILL "$change" 2>/dev/null
    wait "$change" 2>/dev/null
}

for delay in 0.01 0.03 0.05 0.08 0.12 0.18 0.25 0.35 0.5; do
    killed_after "$delay" pcivm device bind "$nic"
    expect_exit 0 pcivm reconcile
    driver=$(driver_of "$nic") override=$(<"$pci/$nic/driver_override")
    [[ "$driver $override" == "e1000e (null)" || "$driver $override" == "vfio-pci vfio-pci" ]] ||
        fail "after a kill at $delay s: driver $driver, override $override"
    expect_exit 0 pcivm device release "$nic"
    expect_eq "driver after a kill at $delay s" "$(driver_of "$nic")" e1000e
done
for delay in 0.05 0.2 0.4 0.6 0.9 1.2; do
    killed_after "$delay" pcivm vf create "$igb" 2 --bind vfio-pci
    expect_exit 0 pcivm reconcile -o json
    expect_eq "entries left" "$(ls -A /run/pcivm/journal)" ""
    expect_eq "autoprobe after a kill at $delay s" "$(<"$pci/$igb/sriov_drivers_autoprobe")" 1
    expect_exit 0 pcivm vf destroy "$igb" --yes
done
