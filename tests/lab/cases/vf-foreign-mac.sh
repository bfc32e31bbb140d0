# SPDX-License-Identifier: GPL-2.0-or-later
# Whoever has a VF cannot take another address than the host gave it, nor listen to one, unless the VF is trusted.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
echo 0 >"/proc/sys/net/ipv6/conf/$(netdev_of "$igb")/accept_ra"
defer pcivm -q vf destroy "$igb" --yes
pf_up "$igb" 10.99.0.1/24 # igbvf asks the PF for its address, and takes a random one while that is down
expect_exit 0 pcivm vf create "$igb" 1 --bind host --mac 02:11:22:33:44:%02x
vf=$(vf_bdf "$igb" 0)
expect_within 10 eval '[[ -e $pci/$vf/net ]]'
interface=$(netdev_of "$vf")
expect_eq "address" "$(<"/sys/class/net/$interface/address")" 02:11:22:33:44:00
expect_eq "how it was assigned (0 = by the device)" "$(<"/sys/class/net/$interface/addr_assign_type")" 0
ip link set "$interface" address 02:11:22:33:44:99 2>/dev/null && fail "the VF took another address"
expect_eq "address" "$(<"/sys/class/net/$interface/address")" 02:11:22:33:44:00
expect_exit 0 pcivm vf set "$igb/vf0" --spoofchk on
expect_match "what the kernel says" "$(ip link show "$(netdev_of "$igb")")" 'vf 0 .*02:11:22:33:44:00.* spoof checking on'
