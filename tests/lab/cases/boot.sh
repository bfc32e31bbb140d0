# SPDX-License-Identifier: GPL-2.0-or-later
# For cases about a host that /etc/pcivm describes (topology systemd): what they write there, and whether the host is so.

# describe_host: VFs of the igb NIC for VMs and one for the host, and an address for the NIC itself, which networkd gives it.
describe_host() {
    local pf mac
    pf=$(bdf igb)
    mac=$(<"/sys/class/net/$(netdev_of "$pf")/address")
    mkdir -p /etc/pcivm
    cat >/etc/pcivm/host.yaml <<YAML
apiVersion: pcivm/v1
kind: HostConfig
devices:
  lan0:
    match: {permanentMac: $mac}
    expect: {id: 8086:10c9, driver: igb}
    sriov:
      numVfs: 4
      pf: {up: true}
      vfs:
        - {index: 0-2, bind: vfio-pci, mac: "02:11:22:33:44:%02x", vlan: {id: 100, qos: 3}, trust: true}
        - {index: 3, bind: host, mac: "02:11:22:33:44:03"}
YAML
    cat >/etc/systemd/network/50-lab.network <<NETWORK
[Match]
PermanentMACAddress=$mac
Driver=igb
[Network]
Address=10.98.0.1/24
LinkLocalAddressing=no
NETWORK
    expect_exit 0 pcivm config validate
    expect_exit 0 pcivm udev install
    sync
}

# forget_host: at the next boot the host is as it was before describe_host.
forget_host() {
    rm -rf /etc/pcivm /etc/systemd/network/50-lab.network
    expect_exit 0 pcivm udev install
    sync
}

# vf_line VF: what the kernel says of the igb's VF, by ip.
vf_line() { ip link show dev "$(netdev_of "$(bdf igb)")" | grep "vf $1 "; }

# as_described: is the host as describe_host wrote? Says what is not.
as_described() {
    local pf index
    pf=$(bdf igb)
    [[ $(<"$pci/$pf/sriov_numvfs") == 4 ]] || { echo "VFs: $(<"$pci/$pf/sriov_numvfs")"; return 1; }
    for index in 0 1 2; do
        [[ $(driver_of "$(vf_bdf "$pf" $index)") == vfio-pci ]] || { echo "VF $index: $(driver_of "$(vf_bdf "$pf" $index)")"; return 1; }
        [[ $(vf_line $index) =~ 02:11:22:33:44:0$index.*vlan\ 100,\ qos\ 3.*trust\ on ]] || { vf_line $index; return 1; }
    done
    [[ $(driver_of "$(vf_bdf "$pf" 3)") == igbvf ]] || { echo "VF 3: $(driver_of "$(vf_bdf "$pf" 3)")"; return 1; }
    [[ $(vf_line 3) == *02:11:22:33:44:03* ]] || { vf_line 3; return 1; }
    pcivm status --exit-code >status 2>&1 || { cat status; return 1; }
}

# expect_described: now, as the boot left it.
expect_described() {
    local said
    said=$(as_described) && return
    journalctl -b --no-pager -t pcivm | tail -n 30
    fail "the host is not as /etc/pcivm says: $said"
}

# expect_described_within SECONDS
expect_described_within() {
    local deadline=$((SECONDS + $1))
    until as_described >said; do
        ((SECONDS < deadline)) || expect_described
        sleep 0.5
    done
}

# expect_units_well: no unit has failed; else what those that did have said.
expect_units_well() {
    local failed
    failed=$(systemctl --failed --no-legend --plain | awk '{ print $1 }')
    [[ -n $failed ]] || return 0
    journalctl -b --no-pager -o short-monotonic -t pcivm -t systemd | tail -n 60
    fail "units failed: $failed"
}

# property UNIT NAME; time stamps are microseconds since the kernel's start, 0 when it did not happen in this boot.
property() { systemctl show -P "$2" "$1"; }

# expect_before_network: VFs were made and set up before anything configured the network.
expect_before_network() {
    local done network networkd made
    done=$(property pcivm-boot.service ExecMainExitTimestampMonotonic)
    network=$(property network-pre.target ActiveEnterTimestampMonotonic)
    networkd=$(property systemd-networkd.service ExecMainStartTimestampMonotonic)
    made=$(dmesg | sed -nE 's/^\[ *([0-9]+)\.([0-9]+)\].*igb.* 4 VFs allocated.*/\1\2/p' | head -n 1)
    ((done > 0 && network >= done)) || fail "network-pre.target was reached at $network us, pcivm-boot was done at $done us"
    ((networkd >= network)) || fail "networkd started at $networkd us, before network-pre.target at $network us"
    ((10#$made > 0 && 10#$made <= done)) || fail "the kernel made the VFs at '$made' us, pcivm-boot was done at $done us"
    echo "VFs made $made us, pcivm-boot done $done us, network-pre.target $network us, networkd started $networkd us"
}
