# SPDX-License-Identifier: GPL-2.0-or-later
# A host is made as its file says, exported, found as planned, drifts, is healed, and is rolled back to what it was.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

no_routers
igb=$(bdf igb)
nvme=$(bdf nvme)
nic=$(bdf e1000e)
eth=$(netdev_of "$igb")
file=$PWD/host.yaml
defer rm -rf /etc/pcivm /var/lib/pcivm
# What a failure leaves is cleaned up by hand.
defer pcivm -q vf destroy "$igb" --yes
defer pcivm -q vf destroy "$nvme" --yes
defer pcivm -q device release "$nic"

expect_exit 3 pcivm plan
expect_match "hint" "$stderr" "pcivm export >/etc/pcivm/host.yaml"
expect_exit 3 pcivm apply --yes
expect_exit 0 pcivm apply --boot --only "$igb"
expect_eq "what apply --boot says without a configuration" "$stdout$stderr" ""

config_file "$file" <<YAML
devices:
  lan0:
    match: {permanentMac: $(<"$pci/$igb/net/$eth/address")}
    expect: {id: 8086:10c9, driver: igb}
    sriov:
      numVfs: 4
      pf: {mtu: 2000, up: true}
      vfDefaults: {spoofchk: true}
      vfs:
        - {index: 0-1, bind: vfio-pci, mac: "02:11:22:33:44:%02x", vlan: {id: 100, qos: 3}, trust: true}
        - {index: 2, bind: host, mac: 02:11:22:33:44:99}
        - {index: 3, bind: none}
  disk0:
    match: {bdf: $nvme}
    sriov:
      numVfs: 2
      settings: {vq: 2, vi: 1, namespaces: "1"}
      vfDefaults: {bind: vfio-pci}
  nic0:
    match: {bdf: $nic}
    passthrough: {bind: vfio-pci, power: on}
YAML
before=$(host_facts)

expect_exit 0 pcivm config validate "$file"
expect_exit 10 pcivm plan -f "$file" --detailed-exitcode -o json
document
expect_eq "devices" "$(json '[.devices[].name] | join(" ")')" "disk0 lan0 nic0"
id=$(json .id)
expect_exit 0 pcivm plan -f "$file"
expect_match "table" "$stdout" "make 4 VFs of $igb"
expect_exit 0 pcivm apply -f "$file" --dry-run
expect_exit 4 pcivm apply -f "$file" --yes --plan 0123
expect_match "message" "$stderr" "stale"
expect_exit 2 pcivm apply -f "$file" </dev/null # nobody to ask
expect_eq "the host after all that asks" "$(host_facts)" "$before"

expect_exit 0 pcivm apply -f "$file" --yes --plan "$id" -o json
document
expect_match "progress" "$stderr" "make 4 VFs of $igb"
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs") $(<"$pci/$nvme/sriov_numvfs")" "4 2"
for index in 0 1; do
    expect_eq "driver of VF $index" "$(driver_of "$(vf_bdf "$igb" "$index")")" vfio-pci
    expect_match "attributes of VF $index" "$(ip link show "$eth")" \
        "vf $index .*02:11:22:33:44:0$index.*vlan 100, qos 3, .*trust on"
    expect_eq "driver of the drive's VF $index" "$(driver_of "$(vf_bdf "$nvme" "$index")")" vfio-pci
done
expect_eq "drivers" "$(driver_of "$(vf_bdf "$igb" 2)") $(driver_of "$(vf_bdf "$igb" 3)") $(driver_of "$nic")" \
    "igbvf none vfio-pci"
expect_eq "MTU" "$(<"$pci/$igb/net/$eth/mtu")" 2000
(($(<"$pci/$igb/net/$eth/flags") & 1)) || fail "the PF's interface is down"
expect_eq "autoprobe" "$(<"$pci/$igb/sriov_drivers_autoprobe")" 1
applied=$(host_facts)

# A second time, also as the services do it, there is nothing to do.
expect_exit 0 pcivm plan -f "$file" --detailed-exitcode
expect_exit 0 pcivm apply -f "$file" --yes -o json
expect_eq "changed" "$(json .changed)" false
expect_exit 0 pcivm apply -f "$file" --boot --only "$igb"
expect_eq "what apply --boot says when all is right" "$stdout$stderr" ""
expect_exit 0 pcivm apply -f "$file" --boot --only "$(bdf edu)"
expect_eq "what apply --boot says of another function" "$stdout$stderr" ""
expect_eq "the host after a second apply" "$(host_facts)" "$applied"

# The export describes it as completely.
mkdir -p /etc/pcivm
(umask 077 && pcivm export >/etc/pcivm/host.yaml) || fail "no export"
expect_exit 0 pcivm plan --detailed-exitcode
expect_exit 0 pcivm export -o json
document
rm -r /etc/pcivm

# Drift is seen, per key, and healed.
ip link set "$eth" vf 1 vlan 200
ip link set "$eth" mtu 1500
pcivm -q device release "$(vf_bdf "$igb" 0)"
expect_exit 10 pcivm status -f "$file" --exit-code -o json
document
expect_eq "drift" "$(json '[.items[] | select(.state == "drift") | .device] | unique | join(" ")')" lan0
((3 <= $(json '[.items[] | select(.state == "drift")] | length'))) || fail "not all drift is seen"
expect_exit 10 pcivm plan -f "$file" --detailed-exitcode
expect_exit 0 pcivm apply -f "$file" --yes
expect_exit 0 pcivm status -f "$file" --exit-code
expect_eq "the host after the drift was healed" "$(host_facts)" "$applied"

# Rollback goes back over the last apply only: to the drift.
expect_exit 0 pcivm rollback --yes
expect_match "VLAN after the rollback" "$(ip link show "$eth")" "vf 1 .*vlan 200"
expect_exit 0 pcivm apply -f "$file" --yes
expect_exit 0 pcivm rollback --yes
expect_exit 3 pcivm rollback --yes

# From nothing to applied and back, to the byte.
config_file none.yaml <<YAML
devices:
  lan0: {match: {bdf: $igb}, sriov: {numVfs: 0, pf: {mtu: 1500, up: false}}}
  disk0: {match: {bdf: $nvme}, sriov: {numVfs: 0}}
  nic0: {match: {bdf: $nic}, passthrough: {bind: host}}
YAML
expect_exit 0 pcivm apply -f none.yaml --yes
expect_exit 0 pcivm apply -f "$file" --yes
expect_exit 0 pcivm rollback --dry-run -o json
document
expect_exit 0 pcivm rollback --yes -o json
document
expect_eq "the host after the rollback" "$(host_facts)" "$before"
