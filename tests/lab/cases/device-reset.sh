# SPDX-License-Identifier: GPL-2.0-or-later
# Reset by each method a device has, refused where it is unproven, shared or in use; settings beside the driver.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

nic=$(bdf e1000e)
nvme=$(bdf nvme)
defer pcivm -q device release "$nic" "$nvme"
methods=$(<"$pci/$nic/reset_method")

expect_exit 5 pcivm device reset "$nic"
expect_match "message" "$stderr" "has driver e1000e"
expect_exit 0 pcivm device bind "$nic" "$nvme"
expect_exit 0 pcivm device reset "$nic" "$nvme" -o json
expect_eq "methods" "$(json '[.items[].method] | join(" ")')" "pm flr"
expect_exit 5 pcivm device reset "$nic" --method bus
expect_match "message" "$stderr" "no proven reset"
expect_exit 5 pcivm device reset "$nic" --method flr # which it does not have
expect_eq "reset_method" "$(<"$pci/$nic/reset_method")" "$methods"

hold "/dev/vfio/$(group_of "$nic")"
expect_exit 4 pcivm device reset "$nic"
expect_match "message" "$stderr" "$holder"
let_go

# Quarantine is shown, refused and lifted.
mkdir -p /run/pcivm/quarantine
printf 'pcivm-record 1\nreason=reads 0xff\nsince=2026-01-01T00:00:00Z\n' >"/run/pcivm/quarantine/$nic"
expect_exit 0 pcivm device show "$nic" -o json
expect_eq "reason" "$(json '.assignable.reasons[].code')" quarantined
expect_exit 0 pcivm device release "$nic"
expect_exit 5 pcivm device bind "$nic"
expect_match "message" "$stderr" "in quarantine since 2026"
expect_exit 0 pcivm device bind "$nic" --force=quarantined
expect_exit 0 pcivm device reset "$nic"
[[ ! -e /run/pcivm/quarantine/$nic ]] || fail "still in quarantine"
expect_exit 0 pcivm device release "$nic"

# The settings hold while the function is given away, and are put back.
before="$methods $(<"$pci/$nic/d3cold_allowed") $(<"$pci/$nic/power/control")"
expect_exit 0 pcivm device bind "$nic" --reset-method pm --d3cold off --power on
sleep 0.5
expect_eq "settings" "$(<"$pci/$nic/reset_method") $(<"$pci/$nic/d3cold_allowed") $(<"$pci/$nic/power/control")" "pm 0 on"
expect_eq "power state" "$(<"$pci/$nic/power_state")" D0
expect_exit 0 pcivm device release "$nic"
expect_eq "settings" "$(<"$pci/$nic/reset_method") $(<"$pci/$nic/d3cold_allowed") $(<"$pci/$nic/power/control")" "$before"
