# SPDX-License-Identifier: GPL-2.0-or-later
# VF attributes reach the PF's driver, are read back, and go back together when one of them is refused.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
interface=$(netdev_of "$igb")
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci

attribute() {
    expect_exit 0 pcivm vf show "$igb/vf$1" -o json
    json ".attributes.$2"
}
expect_exit 0 pcivm vf set "$interface/vf1" --mac 02:11:22:33:44:01 --vlan 100 --qos 3 --spoofchk off --trust on
expect_match "what the kernel says" "$(ip link show "$interface")" \
    'vf 1 .*02:11:22:33:44:01.* vlan 100, qos 3, spoof checking off, .*trust on'
expect_eq "mac" "$(attribute 1 mac)" 02:11:22:33:44:01
expect_eq "vlan" "$(attribute 1 vlan)" 100
expect_eq "qos" "$(attribute 1 qos)" 3
expect_eq "proto" "$(attribute 1 proto)" 802.1q
expect_eq "spoofchk" "$(attribute 1 spoofchk)" false
expect_eq "trust" "$(attribute 1 trust)" true
expect_eq "mac of the other VF" "$(attribute 0 mac)" 00:00:00:00:00:00

expect_exit 0 pcivm vf set "$interface/vf1" --mac 02:11:22:33:44:01
expect_match "message" "$stderr" "already so"
expect_exit 0 pcivm vf set "$interface/vf1" --vlan 0
expect_eq "vlan taken back" "$(attribute 1 vlan)" 0

# The igb knows no 802.1ad and no minimum rate: the MAC of the same command must not stay.
expect_exit 9 pcivm vf set "$interface/vf1" --mac 02:11:22:33:44:99 --vlan 5 --proto 802.1ad
expect_match "message" "$stderr" "EPROTONOSUPPORT"
expect_eq "mac after the refusal" "$(attribute 1 mac)" 02:11:22:33:44:01
expect_exit 9 pcivm vf set "$interface/vf1" --min-tx-rate 10
expect_match "hint" "$stderr" "while the PF's link is up"
expect_exit 9 pcivm vf set "$interface/vf1" --link-state disable
pf_up "$igb" 10.99.0.1/24
expect_within 5 eval '[[ $(<"/sys/class/net/$interface/carrier") == 1 ]]'
expect_exit 0 pcivm vf set "$interface/vf1" --max-tx-rate 100
expect_eq "rate" "$(attribute 1 maxTxRate)" 100

expect_exit 2 pcivm vf set "$interface/vf1"
expect_exit 2 pcivm vf set "$interface/vf1" --mac 01:00:5e:00:00:01
expect_exit 2 pcivm vf set "$interface/vf1" --vlan 4095
expect_exit 2 pcivm vf set "$interface/vf1" --trust maybe
expect_exit 2 pcivm vf set "$igb" --trust on
