# SPDX-License-Identifier: GPL-2.0-or-later
# After a reboot the host is as the file says before the network is set up, every time; and a card that is gone does not hold the boot up.
# topologies: systemd
# deadline: 120
# needs: pcivm
. /lab/cases/lib.sh
. /lab/cases/boot.sh

boots=2
igb=$(bdf igb)

# usec UNIT PROPERTY: a time of a unit, in microseconds since power-on.
usec() {
    systemctl show -P "$2" "$1"
}

config() {
    cat <<YAML
apiVersion: pcivm/v1
kind: HostConfig
devices:
  lan0:
    match: {bdf: "$igb"}
    sriov:
      numVfs: 7
      vfs:
        - {index: 0-4, bind: vfio-pci, mac: "02:11:22:33:44:%02x", vlan: {id: 100}}
        - {index: 5, bind: host, name: mgmt-vf}
        - {index: 6, bind: none}
YAML
}

as_configured() {
    local index
    expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 7
    for index in 0 1 2 3 4; do
        expect_eq "driver of VF $index" "$(driver_of "$(vf_bdf "$igb" $index)")" vfio-pci
        expect_match "VF $index" "$(ip link show "$(netdev_of "$igb")")" "vf $index .*02:11:22:33:44:0$index.* vlan 100"
    done
    expect_eq "driver of VF 5" "$(driver_of "$(vf_bdf "$igb" 5)")" igbvf
    expect_eq "interface of VF 5" "$(netdev_of "$(vf_bdf "$igb" 5)")" mgmt-vf
    expect_eq "driver of VF 6" "$(driver_of "$(vf_bdf "$igb" 6)")" none
}

if ((LAB_BOOT == 0)); then
    mkdir -p /etc/pcivm
    config >/etc/pcivm/host.yaml
    expect_exit 0 pcivm udev install
    exit 42
fi

if ((LAB_BOOT <= boots)); then
    as_configured
    expect_eq "pcivm-boot" "$(systemctl show -P Result pcivm-boot.service)" success
    expect_eq "the unit of the PF" "$(systemctl show -P Result "pcivm-device@$igb.service")" success
    # The last VF was bound before the network's manager started.
    done_at=$(usec pcivm-boot.service ExecMainExitTimestampMonotonic)
    network_at=$(usec systemd-networkd.service ExecMainStartTimestampMonotonic)
    echo "boot $LAB_BOOT: VFs after $((done_at / 1000)) ms, network after $((network_at / 1000)) ms"
    ((done_at > 0 && done_at < network_at)) || fail "networkd started at $network_at us, VFs were there at $done_at us"
    expect_units_well
    expect_exit 0 systemctl is-active pcivm-watch.service
    if ((LAB_BOOT == boots)); then
        sed -i "s/$igb/0000:7f:00.0/" /etc/pcivm/host.yaml # a card that is not there
    fi
    exit 42
fi

# The boot went on, and says what it went on without.
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 0
took=$(($(usec pcivm-boot.service ExecMainExitTimestampMonotonic) - $(usec pcivm-boot.service InactiveExitTimestampMonotonic)))
echo "waited $((took / 1000)) ms for a card that is not there"
((took < 60000000)) || fail "the boot waited $took us" # pcivm itself waits at most 30 s
expect_match "the journal" "$(journalctl -b -o cat -u pcivm-boot.service)" "lan0"
rm /etc/pcivm/host.yaml
pcivm udev install
systemctl reset-failed
