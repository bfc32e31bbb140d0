# SPDX-License-Identifier: GPL-2.0-or-later
# What apply costs the kernel: at most three system calls for one more attribute, when VFs are made and when they are
# healed, and no process for one more VF.
# topologies: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

no_routers
igb=$(bdf igb)
defer rm -rf /etc/pcivm /var/lib/pcivm
defer pcivm -q vf destroy "$igb" --yes
pf_up "$igb" 10.99.0.1/24
file=$PWD/host.yaml

# describe COUNT ATTRIBUTES: so many VFs, with these lines of YAML.
describe() {
    config_file "$file" <<YAML
devices:
  lan0:
    match: {bdf: "$igb"}
    sriov:
      numVfs: $1
      vfs:
        - {index: 0-$(($1 - 1)), bind: none$2}
YAML
}
# counted: applies the file; $calls and $forks, of all its processes together.
counted() {
    expect_exit 0 strace -f -qq -o strace.log pcivm -q apply -f "$file" --yes
    calls=$(grep -cvE ' resumed>|^[0-9]+ +(---|\+\+\+)' strace.log)
    forks=$(grep -cE '^[0-9]+ +(clone3?|v?fork)\(' strace.log)
}
# few WHAT CALLS ATTRIBUTES: at most three calls for each?
few() {
    echo "$1: $2 system calls for $3 attributes"
    (($2 <= 3 * $3))
}
four=', mac: "02:11:22:33:44:%02x", vlan: {id: 100, qos: 3}, trust: true, spoofchk: false'

# Waiting for the kernel makes calls, too, more of them in a slow host: what counts is the best of three.
made() {
    expect_exit 0 pcivm vf destroy "$igb" --yes
    describe 7 ''
    counted
    bare=$calls bare_forks=$forks
    expect_exit 0 pcivm vf destroy "$igb" --yes
    describe 7 "$four"
    counted
    expect_eq "processes" "$forks" "$bare_forks"
    few "making" $((calls - bare)) 28
}
made || made || made || fail "making VFs took too many system calls"
counted
nothing=$calls

# Somebody changed every attribute of two VFs, and then of all.
drift() {
    local index
    for ((index = 0; index < $1; index++)); do
        ip link set dev "$(netdev_of "$igb")" vf "$index" mac "02:99:99:99:99:0$index" vlan 7 trust off spoofchk on
    done
}
healed() {
    drift 2
    counted
    two=$calls two_forks=$forks
    drift 7
    counted
    expect_eq "processes" "$forks" "$two_forks"
    few "healing" $((calls - two)) 20
}
healed || healed || healed || fail "healing VFs took too many system calls"
echo "made with $bare and 28 attributes, nothing to do $nothing, two VFs healed $two, seven VFs healed $calls"

expect_exit 0 pcivm vf destroy "$igb" --yes
describe 1 ''
counted
expect_eq "processes for one VF and for seven" "$forks" "$bare_forks"
