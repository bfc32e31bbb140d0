# SPDX-License-Identifier: GPL-2.0-or-later
# What a driver reload, or a card that went and came back, took away is restored, without anybody asking.
# topologies: systemd
# deadline: 240
# needs: pcivm
. /lab/cases/lib.sh

igb=$(bdf igb)
nvme=$(bdf nvme)
e1000e=$(bdf e1000e)

restore() {
    rm -rf /etc/pcivm/host.yaml
    pcivm udev install
    systemctl stop pcivm-watch
    pcivm device release "$e1000e" --yes
    for pf in "$igb" "$nvme"; do echo 0 >"$pci/$pf/sriov_numvfs"; done
    for pf in "$igb" "$nvme"; do echo 1 >"$pci/$pf/sriov_drivers_autoprobe"; done
    systemctl reset-failed
    systemctl start pcivm-watch
}
defer restore

mkdir -p /etc/pcivm
cat >/etc/pcivm/host.yaml <<YAML
apiVersion: pcivm/v1
kind: HostConfig
devices:
  lan0:
    match: {bdf: "$igb"}
    sriov: {numVfs: 7, vfs: [{index: 0-6, bind: vfio-pci, mac: "02:11:22:33:44:%02x"}]}
  drive0:
    match: {bdf: "$nvme"}
    sriov: {numVfs: 4, vfs: [{index: 0-3, bind: vfio-pci}]}
  nic0:
    match: {bdf: "$e1000e"}
    passthrough: {bind: vfio-pci}
YAML

# bound PF COUNT: so many VFs, all with vfio-pci.
bound() {
    local index
    [[ $(<"$pci/$1/sriov_numvfs") == "$2" ]] || return
    for ((index = 0; index < $2; index++)); do
        [[ $(readlink "$pci/$1/virtfn$index/driver") == */vfio-pci ]] || return
    done
}
given() { [[ $(driver_of "$1") == vfio-pci ]]; }
# quiet: the service has looked at everything and found nothing more to do.
quiet() { ! pgrep -f 'pcivm apply' >/dev/null; }

expect_exit 0 systemctl is-active pcivm-watch.service
expect_exit 0 pcivm udev install
expect_exit 0 pcivm apply --yes
bound "$igb" 7 || fail "apply did not bind all VFs"

# A driver that is loaded again: its VFs went with it.
for round in 1 2 3; do
    rmmod igb || fail "igb does not go"
    expect_eq "VFs without igb" "$(<"$pci/$igb/sriov_numvfs")" 0
    start=${EPOCHREALTIME/./}
    modprobe igb
    expect_within 60 bound "$igb" 7
    echo "round $round: igb's VFs are back after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
done
expect_match "VF 3" "$(ip link show "$(netdev_of "$igb")")" "vf 3 .*02:11:22:33:44:03"

# Three at once, 7 + 4 + 1 functions: two drivers, and a card that goes and comes back. (Not the igb: Debian's 6.12 dies of a
# BUG in pci_iov_add_virtfn when VFs are made on a PF that was removed and found again by rescan, whoever makes them.)
sleep 2
expect_within 60 quiet
echo 1 >"$pci/$e1000e/remove"
rmmod igb nvme || fail "igb and nvme do not go"
modprobe -a igb nvme
echo 1 >/sys/bus/pci/rescan
expect_within 60 bound "$igb" 7
expect_within 60 bound "$nvme" 4
expect_within 60 given "$e1000e"

# It comes to rest: after its own events nothing more happens.
sleep 5
expect_within 30 quiet
runs=$(journalctl -b -o cat -u pcivm-watch.service | wc -l)
sleep 10
expect_eq "messages while nothing happens" "$(journalctl -b -o cat -u pcivm-watch.service | wc -l)" "$runs"

# Many events of one function are few runs.
for _ in {1..200}; do echo change >"$pci/$igb/uevent"; done
sleep 5
expect_within 30 quiet
bound "$igb" 7 || fail "events alone changed something"

# Messages have fields.
# (Not by unit: journald may not learn the unit of a process that has ended when it reads the message.)
run journalctl -b -o json PCIVM_DEVICE="$igb"
expect_eq "identifier" "$(tail -n 1 <<<"$stdout" | jq -r .SYSLOG_IDENTIFIER)" pcivm

# Asked to stop, it stops.
expect_exit 0 systemctl stop pcivm-watch
expect_eq "how it ended" "$(systemctl show -P Result pcivm-watch)" success
