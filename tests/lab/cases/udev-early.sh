# SPDX-License-Identifier: GPL-2.0-or-later
# A function with `early: initramfs` gets its VFIO driver from the rule alone, before its native driver can have it; another
# card in its place does not. Whose interfaces VFs are is marked for those that configure the network.
# topologies: systemd
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

nic=$(bdf e1000e)
igb=$(bdf igb)
restore() {
    rm -rf /etc/pcivm/host.yaml
    pcivm udev install
    pcivm device release "$nic"
    pcivm vf destroy "$igb" --yes
    [[ $(driver_of "$nic") == e1000e ]] || echo "$nic" >/sys/bus/pci/drivers_probe
    systemctl start pcivm-watch
}
defer restore
systemctl stop pcivm-watch

configure() {
    mkdir -p /etc/pcivm
    cat >/etc/pcivm/host.yaml <<YAML
apiVersion: pcivm/v1
kind: HostConfig
devices:
  nic0:
    match: {bdf: "$nic"}
    passthrough: {bind: vfio-pci, early: initramfs}
  lan0:
    match: {bdf: "$igb"}
    sriov:
      numVfs: 2
      vfs:
        - {index: 0, bind: vfio-pci}
        - {index: 1, bind: host, name: mgmt-vf}
YAML
    expect_exit 0 pcivm udev install
}
# replugged: the card leaves and comes back; only udev looks at it. Waits for its events.
replugged() {
    echo 1 >"$pci/$nic/remove"
    dmesg -C
    echo 1 >/sys/bus/pci/rescan
    udevadm settle --timeout=30
}

configure
early=/etc/udev/rules.d/04-pcivm-early.rules
[[ -s $early ]] || fail "there is no $early"
# The service of a function binds, too: here only the rule may.
systemctl mask --runtime "pcivm-device@$nic.service"
replugged
expect_eq "driver" "$(driver_of "$nic")" vfio-pci
expect_eq "what the native driver said" "$(dmesg | grep "e1000e $nic")" ""

# Another card in that slot: here another id in the rule.
sed -i 's/0x10d3/0x10d2/' "$early"
udevadm control --reload
echo >"$pci/$nic/driver_override"
replugged
expect_eq "driver of another card" "$(driver_of "$nic")" e1000e
expect_exit 10 pcivm udev install --check
expect_exit 0 pcivm udev install
systemctl unmask --runtime "pcivm-device@$nic.service"

# Marks, while a VF that goes to a guest has an interface.
expect_exit 0 pcivm apply --yes
expect_eq "interface of VF 1" "$(netdev_of "$(vf_bdf "$igb" 1)")" mgmt-vf
given=$(vf_bdf "$igb" 0)
echo >"$pci/$given/driver_override"
echo "$given" >/sys/bus/pci/drivers/vfio-pci/unbind
echo 1 >"$pci/$igb/sriov_drivers_autoprobe"
echo "$given" >/sys/bus/pci/drivers_probe
expect_within 20 eval '[[ -n $(netdev_of "$given") ]]'
udevadm settle --timeout=30
marks=$(udevadm info "/sys/class/net/$(netdev_of "$given")")
for mark in NM_UNMANAGED=1 ID_NET_MANAGED_BY=pcivm PCIVM_UNMANAGED=1; do expect_match "marks" "$marks" "E: $mark"; done
index=$(<"/sys/class/net/$(netdev_of "$given")/ifindex")
expect_match "what networkd makes of it" "$(</run/systemd/netif/links/"$index")" "ADMIN_STATE=unmanaged"
expect_eq "marks of the host's own" "$(udevadm info /sys/class/net/mgmt-vf | grep -E 'UNMANAGED|MANAGED_BY')" ""
