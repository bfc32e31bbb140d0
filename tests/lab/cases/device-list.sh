# SPDX-License-Identifier: GPL-2.0-or-later
# `device list` shows each function of the host with its driver and group, in every form.
# topologies: vtd amdvi noir noiommu
# needs: pcivm
. /lab/cases/lib.sh

all=$(ls "$pci")
expect_exit 0 pcivm device list -o name
expect_eq "addresses" "$stdout" "$all"

expect_exit 0 pcivm device list -o json
expect_eq "kind" "$(json .kind)" DeviceList
wanted=$(for function in $all; do echo "$function $(driver_of "$function") $(group_of "$function")"; done)
expect_eq "addresses, drivers, groups" "$(json '.items[] | "\(.address) \(.driver // "none") \(.iommuGroup // "none")"')" "$wanted"

expect_exit 0 pcivm device list
expect_match "title line" "$stdout" "^ADDRESS +NAME +CLASS +DRIVER +GROUP +IN USE"
expect_match "line of the igb" "$stdout" "$(bdf igb) Intel 82576 Gigabit Network Connection +net +igb "
expect_exit 0 pcivm device list -o csv --no-headers
expect_eq "lines of csv" "$(wc -l <<<"$stdout")" "$(wc -l <<<"$all")"
