# SPDX-License-Identifier: GPL-2.0-or-later
# Seven VFs with every attribute that an igb has; another number of them and back; removed: each time as before.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

igb=$(bdf igb)
probes=$(native_probes)
interface=$(netdev_of "$igb")
# A router's advertisement would give the interface an address, and then it counts as in use.
echo 0 >"/proc/sys/net/ipv6/conf/$interface/accept_ra"
defer pcivm -q vf destroy "$igb" --yes
pf_up "$igb" 10.99.0.1/24 # an igb takes a rate only while its link is up
expect_within 5 eval '[[ $(<"/sys/class/net/$interface/carrier") == 1 ]]'

kernel_says() {
    ip -j -d link show "$interface" | jq -S -c "[.[0].vfinfo_list[:$1][] | del(.stats, .address, .tx_rate)]"
}
drivers() {
    local index
    for ((index = 0; index < $1; index++)); do driver_of "$(vf_bdf "$igb" "$index")"; done
}

expect_exit 0 pcivm vf create "$igb" 7 --bind vfio-pci --mac 02:11:22:33:44:%02x --vlan 100 --qos 3 --trust on \
    --spoofchk off --max-tx-rate 100 -o json
expect_eq "MACs" "$(json '[.items[].attributes.mac] | unique | length')" 7
expect_eq "MAC of VF 6" "$(json '.items[6].attributes.mac')" 02:11:22:33:44:06
for wanted in 'vlan=100' 'qos=3' 'proto=802.1q' 'trust=true' 'spoofchk=false' 'maxTxRate=100'; do
    expect_eq "${wanted%=*} of all VFs" "$(json "[.items[].attributes.${wanted%=*}] | unique | join(\",\")")" \
        "${wanted#*=}"
done
expect_eq "why attributes are missing" "$(json '.items[0].attributesMissing')" null
expect_eq "an attribute that an igb does not report" "$(json '.items[0].attributes.nodeGuid')" null
expect_match "what the kernel says" "$(ip link show "$interface")" \
    'vf 5 .*02:11:22:33:44:05.* vlan 100, qos 3.* 100.*, spoof checking off, .*trust on'
expect_eq "drivers" "$(drivers 7 | sort -u)" vfio-pci
expect_eq "probes by the VFs' own driver" "$(native_probes)" "$probes"
expect_exit 0 pcivm vf set "$igb/vf1" --vlan 0 --trust off
expect_exit 0 pcivm device bind "$(vf_bdf "$igb" 2)" --driver vfio-pci
before=$(kernel_says 4)

expect_exit 4 pcivm vf create "$igb" 4
expect_match "hint" "$stderr" "--allow-recreate"
expect_exit 0 pcivm vf create "$igb" 4 --allow-recreate --dry-run
expect_match "steps" "$stdout" "lost: VF 6 .*02:11:22:33:44:06.*bound to vfio-pci"
expect_eq "VFs after a dry run" "$(<"$pci/$igb/sriov_numvfs")" 7

hold "/dev/vfio/$(group_of "$(vf_bdf "$igb" 6)")"
expect_exit 4 pcivm vf create "$igb" 4 --allow-recreate
expect_match "message" "$stderr" "$(vf_bdf "$igb" 6) is in use: .*$holder"
let_go

expect_exit 0 pcivm vf create "$igb" 4 --allow-recreate
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 4
expect_eq "attributes of those that stay" "$(kernel_says 4)" "$before"
expect_eq "drivers of those that stay" "$(drivers 4 | sort -u)" vfio-pci
expect_exit 0 pcivm vf create "$igb" 7 --allow-recreate
expect_eq "attributes of those that stay" "$(kernel_says 4)" "$before"
expect_eq "drivers of the new" "$(drivers 7 | tail -n 3 | sort -u)" none

expect_exit 0 pcivm vf destroy "$igb" --yes
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 0
expect_eq "autoprobe" "$(<"$pci/$igb/sriov_drivers_autoprobe")" 1
expect_exit 2 pcivm vf create "$igb" 2 --mac 02:11:22:33:44:55
expect_match "message" "$stderr" "cannot all have the address"
expect_exit 2 pcivm vf create "$igb" 2 --mac 03:11:22:33:44:%02x
expect_exit 7 pcivm vf create "$igb" 2 --msix 4
expect_match "message" "$stderr" "does not share out interrupt vectors"
expect_exit 9 pcivm vf create "$igb" 2 --bind vfio-pci --vlan 5 --proto 802.1ad
expect_match "message" "$stderr" "EPROTONOSUPPORT"
expect_eq "VFs after a refused attribute" "$(<"$pci/$igb/sriov_numvfs")" 0
