# SPDX-License-Identifier: GPL-2.0-or-later
# What `./dev demo` shows, run in the emulated host: from "there is a NIC" to a guest that owns a VF of it, and back.
set -euo pipefail

step() { printf '\n\e[1m-- %s\e[0m\n' "$*"; }
show() {
    local word shown=
    for word in "$@"; do
        [[ $word == *" "* ]] && word="'$word'"
        shown+=" $word"
    done
    printf '\e[36m$%s\e[0m\n' "$shown"
}
run() {
    show "$@"
    "$@"
}
fail() {
    printf '\e[31mdemo: %s\e[0m\n' "$*"
    exit 1
}

before=$(bash /lab/state)
for device in /sys/class/net/*/device; do
    if [[ $(readlink -f "$device/driver") == */igb ]]; then
        pf=$(basename "$(readlink -f "$device")")
        interface=$(basename "$(dirname "$device")")
    fi
done
[[ -n ${pf-} ]] || fail "no igb NIC in this host"

step "the program, as the package installs it"
[[ ! -d /run/systemd/system ]] || run dpkg-query --show pcivm
run pcivm --version

step "what is in this host: functions, their drivers and IOMMU groups"
run pcivm device list

step "one file says what the NIC $pf ($interface) shall be"
mac=$(<"/sys/class/net/$interface/address")
cat >/tmp/host.yaml <<YAML
apiVersion: pcivm/v1
kind: HostConfig
devices:
  lan0:
    match: {permanentMac: $mac}
    sriov:
      numVfs: 4
      vfDefaults: {bind: vfio-pci}
      vfs:
        - {index: 0-3, mac: "02:11:22:33:44:%02x"}
YAML
run cat /tmp/host.yaml
run pcivm plan -f /tmp/host.yaml
run pcivm apply -f /tmp/host.yaml --yes
run pcivm vf list
run pcivm status -f /tmp/host.yaml

step "the NIC itself stays with the host: an address on $interface"
run ip address add 10.99.0.1/24 dev "$interface"
run ip link set "$interface" up

step "a Linux guest that owns VF 0 (2 CPUs, 256 MiB), its console below"
guest=(pcivm vm run demo --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --cpus 2
    --device "$interface/vf0" --cmdline "console=ttyS0 quiet lab.run=vf-ping" --timeline /tmp/timeline.json)
show "${guest[@]}"
"${guest[@]}" </dev/null | tee /tmp/guest.log | sed -u 's/\r$//; s/^/   guest | /'
result() { sed -n "s/\r$//; s/^LAB-RESULT $1=//p" /tmp/guest.log | tail -n 1; }

step "everything returned"
ip address del 10.99.0.1/24 dev "$interface"
ip link set "$interface" down
run pcivm rollback --yes
after=$(bash /lab/state)
diff <(echo "$before") <(echo "$after") || fail "the host is not as it was before (above: < before, > after)"
echo "drivers, overrides, VFs and interfaces are as they were before"

step "summary"
milliseconds() { jq -r "[.phases[] | select(.phase == \"$1\") | .sinceExecNs / 1e6 | round] | first // \"?\"" /tmp/timeline.json; }
fact() { jq -r "$1" /tmp/timeline.json; }
printf '%-38s %s\n' "IOMMU" "$(basename -a /sys/class/iommu/* | tr '\n' ' ')" \
    "MSI-X vectors of the VF in the guest" "$(result vectors), $(result interrupts) interrupts taken" \
    "MAC address set by the host, seen" "$(result mac)" \
    "pings answered by the NIC" "$(result received) of 3" \
    "exec to first guest instruction" "$(milliseconds firstInstruction) ms" \
    "exec to device open (the kernel's FLR)" "$(milliseconds deviceReady) ms" \
    "exec to memory mapped for DMA" "$(milliseconds memoryMapped) ms" \
    "memory mapped" "$(fact '.dma.mappedBytes / 1048576 | round') MiB in $(fact .dma.runs) runs" \
    "exits to user space" "$(fact .exits.total)" \
    "resets by pcivm beside the kernel's own" "$(fact .deviceResets)"
[[ $(result vectors) == 3 ]] || fail "the guest has '$(result vectors)' MSI-X vectors on its VF, wanted 3"
[[ $(result received) -gt 0 ]] || fail "no ping was answered"
