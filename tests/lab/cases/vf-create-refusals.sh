# SPDX-License-Identifier: GPL-2.0-or-later
# What cannot be made is refused with its exit code and a next step, and nothing is changed.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
expect_exit 2 pcivm vf create "$igb" 0
expect_match "hint" "$stderr" "pcivm vf destroy $igb"
expect_exit 2 pcivm vf create "$igb" 8
expect_match "message" "$stderr" "offers at most 7 VFs, 8 are wanted"
expect_exit 2 pcivm vf create "$igb" 0x2
expect_exit 2 pcivm vf create "$igb" 99999999999
expect_exit 2 pcivm vf create 0000:01:00 1
expect_exit 3 pcivm vf create 0000:77:00.0 1
expect_exit 3 pcivm vf create eth77 1
expect_exit 2 pcivm vf create "$(bdf edu)" 1
expect_match "message" "$stderr" "has no SR-IOV"
expect_exit 7 pcivm vf create "$igb" 1 --bind no-such-driver
expect_match "message" "$stderr" "no (PCI driver|kernel module) 'no-such-driver'"
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 0

defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2
expect_exit 4 pcivm vf create "$igb" 3 -o json
expect_eq "exit in JSON" "$(jq .error.exit <<<"$stderr")" 4
expect_match "hint" "$stderr" "pcivm vf destroy $igb"
expect_exit 2 pcivm vf create "$igb/vf0" 1
expect_match "message" "$stderr" "is itself a virtual function"
expect_exit 3 pcivm vf set "$igb/vf2" --mac 02:00:00:00:00:01
expect_exit 0 pcivm vf destroy "$igb" --yes

echo "$igb" >/sys/bus/pci/drivers/igb/unbind
expect_exit 7 pcivm vf create "$igb" 1
expect_match "message" "$stderr" "has no driver"
expect_match "hint" "$stderr" "pcivm device release $igb"
echo "$igb" >/sys/bus/pci/drivers/igb/bind
