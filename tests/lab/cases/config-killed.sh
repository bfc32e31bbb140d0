# SPDX-License-Identifier: GPL-2.0-or-later
# An apply that is killed at any moment is undone by the next command; one that is interrupted undoes itself.
# topologies: vtd
# needs: pcivm
# deadline: 400
. /lab/cases/lib.sh

igb=$(bdf igb)
nic=$(bdf e1000e)
eth=$(netdev_of "$igb")
defer rm -rf /var/lib/pcivm
defer pcivm -q vf destroy "$igb" --yes
defer pcivm -q device release "$nic"
config_file host.yaml <<YAML
devices:
  lan0:
    match: {bdf: $igb}
    sriov:
      numVfs: 3
      pf: {mtu: 2000}
      vfDefaults: {bind: vfio-pci}
      vfs: [{index: 0-2, mac: "02:11:22:33:44:%02x", vlan: {id: 100}}]
  nic0: {match: {bdf: $nic}, passthrough: {bind: vfio-pci}}
YAML
expect_exit 0 pcivm apply -f host.yaml --yes # loads the modules, so that what follows falls into the change itself
expect_exit 0 pcivm rollback --yes
before=$(host_facts)

stopped_by() { # stopped_by SIGNAL DELAY
    pcivm apply -f host.yaml --yes >apply.out 2>&1 &
    local apply=$!
    sleep "$2"
    kill "-$1" "$apply" 2>/dev/null
    wait "$apply"
    code=$?
    stdout=$(<apply.out) command="apply, SIG$1 after $2 s"
}

finished=0
for delay in 0.02 0.05 0.1 0.15 0.2 0.3 0.4 0.5 0.7 0.9 1.2 1.5 2; do
    stopped_by KILL "$delay"
    unfinished=$([[ -e /var/lib/pcivm/apply/running ]] && echo yes)
    expect_exit 0 pcivm reconcile -o json
    document
    [[ -e /var/lib/pcivm/apply/running ]] && fail "the record of the apply is still there"
    if [[ -z $unfinished && -n $(find /var/lib/pcivm/apply/applied -newer apply.out 2>/dev/null) ]] ||
        [[ $(<"$pci/$igb/sriov_numvfs") == 3 ]]; then
        finished=$((finished + 1))
        expect_exit 0 pcivm rollback --yes
    fi
    expect_eq "the host after a kill at $delay s" "$(host_facts)" "$before"
done

undone=0
for signal in INT TERM; do
    for delay in 0.1 0.3 0.6 1; do
        stopped_by "$signal" "$delay"
        if [[ $code == 0 ]]; then
            expect_exit 0 pcivm rollback --yes
        else
            undone=$((undone + 1))
            [[ $code == 130 || $code == 143 ]] || fail "exit code after SIG$signal is $code"
        fi
        expect_eq "the host after SIG$signal at $delay s" "$(host_facts)" "$before"
    done
done
((undone > 0)) || fail "no signal came in time"
echo "$finished kills came too late, $undone signals were in time"
