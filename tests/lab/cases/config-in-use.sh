# SPDX-License-Identifier: GPL-2.0-or-later
# A plan that takes anything from somebody is refused as a whole, with every holder named, and nothing is touched.
# topologies: vtd
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

no_routers
igb=$(bdf igb)
nic=$(bdf e1000e)
eth=$(netdev_of "$igb")
defer rm -rf /var/lib/pcivm
defer pcivm -q vf destroy "$igb" --yes
defer pcivm -q device release "$nic"
expect_exit 0 pcivm vf create "$igb" 3 --bind vfio-pci
vf=$(vf_bdf "$igb" 1)
hold "/dev/vfio/$(group_of "$vf")"
ip address add 192.0.2.1/24 dev "$(netdev_of "$nic")"
defer ip address flush dev "$(netdev_of "$nic")"
ip link set "$(netdev_of "$nic")" up
defer ip link set "$(netdev_of "$nic")" down

config_file host.yaml <<YAML
defaults: {allowRecreate: true}
devices:
  lan0:
    match: {bdf: $igb}
    sriov: {numVfs: 5, pf: {mtu: 2000}}
  nic0: {match: {bdf: $nic}, passthrough: {bind: vfio-pci}}
YAML
before=$(host_facts)
expect_exit 4 pcivm apply -f host.yaml --yes
expect_match "the VF's holder" "$stderr" "$vf is in use: .*$holder"
expect_match "the NIC's use" "$stderr" "$nic is in use: .*192.0.2.1"
expect_match "message" "$stderr" "nothing was touched"
expect_eq "the host" "$(host_facts)" "$before"
[[ -e /var/lib/pcivm/apply/running ]] && fail "a record was left"

# Attributes of a VF in use may change; so may all that is not taken from anybody.
config_file other.yaml <<YAML
devices:
  lan0:
    match: {bdf: $igb}
    sriov: {numVfs: 3, vfs: [{index: 1, vlan: {id: 7}}]}
YAML
expect_exit 0 pcivm apply -f other.yaml --yes
expect_match "VLAN" "$(ip link show "$eth")" "vf 1 .*vlan 7"
let_go
ip address flush dev "$(netdev_of "$nic")"
ip link set "$(netdev_of "$nic")" down # and with it what a router advertised
expect_exit 0 pcivm apply -f host.yaml --yes
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 5
expect_match "VLAN" "$(ip link show "$eth")" "vf 1 .*vlan 7"
expect_exit 0 pcivm rollback --yes
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 3
expect_exit 0 pcivm vf destroy "$igb" --yes
