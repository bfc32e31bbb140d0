# SPDX-License-Identifier: GPL-2.0-or-later
# What cannot be is refused before anything is touched: devices that are not there or others, too many VFs, a full
# disk, a file that others may write, an apply while another is running.
# topologies: vtd
# needs: pcivm
# deadline: 150
. /lab/cases/lib.sh

igb=$(bdf igb)
nic=$(bdf e1000e)
defer rm -rf /var/lib/pcivm
defer pcivm -q vf destroy "$igb" --yes
before=$(host_facts)

refused() { # refused CODE REGEX: apply of the configuration on standard input
    config_file refused.yaml
    expect_exit "$1" pcivm apply -f refused.yaml --yes
    expect_match "message" "$stderr" "$2"
    expect_eq "the host" "$(host_facts)" "$before"
    expect_exit "$1" pcivm plan -f refused.yaml -o json
    document
}
# One device that cannot be keeps all from being changed.
refused 3 "gone" <<YAML
devices:
  lan0: {match: {bdf: $igb}, sriov: {numVfs: 2}}
  gone: {match: {permanentMac: 02:00:00:00:00:77}, sriov: {numVfs: 2}}
YAML
refused 5 "10ca" <<YAML
devices:
  lan0: {match: {bdf: $igb}, expect: {id: 8086:10ca}, sriov: {numVfs: 2}}
YAML
refused 5 "7" <<YAML
devices:
  lan0: {match: {bdf: $igb}, sriov: {numVfs: 8}}
YAML
refused 5 "SR-IOV" <<YAML
devices:
  nic0: {match: {bdf: $nic}, sriov: {numVfs: 1}}
YAML

config_file host.yaml <<YAML
devices:
  lan0: {match: {bdf: $igb}, sriov: {numVfs: 2}}
  gone: {match: {permanentMac: 02:00:00:00:00:77}, sriov: {numVfs: 2}}
YAML
expect_exit 3 pcivm apply -f host.yaml --yes --only lan1
expect_match "hint" "$stderr" "did you mean 'lan0'"
# At boot the other devices are set up all the same.
expect_exit 0 pcivm apply -f host.yaml --boot --only "$igb"
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 2
expect_exit 3 pcivm rollback --yes
expect_exit 0 pcivm vf destroy "$igb" --yes

# G5: a disk that is full.
mkdir -p /var/lib/pcivm
mount -t tmpfs -o size=16k,mode=700 tmpfs /var/lib/pcivm
head -c 64k /dev/zero >/var/lib/pcivm/full 2>/dev/null
expect_exit 7 pcivm apply -f host.yaml --yes --only lan0
expect_match "message" "$stderr" "nothing was touched.*ENOSPC"
umount /var/lib/pcivm
expect_eq "the host" "$(host_facts)" "$before"

chmod 666 host.yaml
expect_exit 5 pcivm apply -f host.yaml --yes
chmod 600 host.yaml
(
    exec 9>/run/pcivm/lock
    flock 9
    exec sleep 30
) &
holder=$!
defer kill "$holder"
sleep 0.5
expect_exit 4 pcivm apply -f host.yaml --yes --only lan0 --timeout 1
expect_match "message" "$stderr" "host lock"
