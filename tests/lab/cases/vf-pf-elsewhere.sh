# SPDX-License-Identifier: GPL-2.0-or-later
# A PF whose interface is down, renamed or in another network namespace is still found by address, and why its VFs'
# attributes are not known is said.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
interface=$(netdev_of "$igb")
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$interface" 2 --mac 02:11:22:33:44:%02x
ip link set "$interface" down
expect_exit 0 pcivm vf set "$igb/vf1" --vlan 7

defer ip link set dev other0 name "$interface"
ip link set dev "$interface" name other0
expect_exit 0 pcivm vf show "$igb/vf1" -o json
expect_eq "VLAN" "$(json .attributes.vlan)" 7
expect_exit 0 pcivm vf set other0/vf1 --vlan 8
expect_exit 3 pcivm vf show "$interface/vf1"

ip netns add elsewhere
defer umount /run/netns # "ip netns" mounts it over itself
defer ip netns delete elsewhere
defer ip -n elsewhere link set dev other0 netns 1
ip link set dev other0 netns elsewhere
expect_exit 0 pcivm vf show "$igb/vf1"
expect_match "text" "$stdout" "cannot be read: $igb has no network interface here"
expect_exit 0 pcivm vf show "$igb/vf1" -o json
expect_eq "MAC" "$(json .attributes.mac)" null
expect_match "reason" "$(json .attributesMissing)" "has no network interface here"
expect_exit 7 pcivm vf set "$igb/vf1" --vlan 9
expect_match "hint" "$stderr" "network namespace"
expect_exit 0 pcivm vf list "$igb"
expect_exit 0 pcivm vf destroy "$igb" --yes
expect_exit 7 pcivm vf create "$igb" 2 --mac 02:11:22:33:44:%02x
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 0
expect_exit 0 pcivm vf create "$igb" 1 --bind vfio-pci
expect_exit 0 pcivm vf destroy "$igb" --yes
