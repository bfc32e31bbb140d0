# SPDX-License-Identifier: GPL-2.0-or-later
# How a VF is assigned is chosen by what the host has, and shown; who has it by its own node is named; locked memory is
# counted for each VM, also by iommufd, since no two VMs are one user.
# topologies: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 3 --bind vfio-pci
vf=$(vf_bdf "$igb" 0)
other=$(vf_bdf "$igb" 1)
options=(--kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M)
ended() { [[ ! -e /run/pcivm/vm/$1 ]]; }

guest_start sleep --device "$vf"
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm vm show guest-sleep -o json
document
expect_eq "back end" "$(json .iommuBackend)" iommufd
expect_eq "reason" "$(json .iommuBackendReason)" null
expect_exit 0 pcivm device show "$vf" -o json
expect_match "who has it" "$(json '.inUse[0] | .kind + " " + .detail')" "vfio pid [0-9]+ \(pcivm, VM guest-sleep\)"
expect_exit 4 pcivm vm run other "${options[@]}" --device "$vf"
expect_match "message" "$stderr" "VM guest-sleep"
# Past our own check the kernel says no, and pcivm for whom.
for way in iommufd container; do
    expect_exit 4 pcivm vm run other "${options[@]}" --device "$vf" --force vfio --iommu-backend "$way"
    expect_match "message" "$stderr" "group.*pid [0-9]+ \(pcivm, VM guest-sleep\).* has it"
done
kill -KILL "$guest"
guest_kill "$guest" guest-sleep
expect_within 20 eval '! pgrep -x pcivm >/dev/null'
rm -rf /run/pcivm/vm/guest-sleep

# A process that has the node open, and did not bind it.
node=$(ls "$pci/$vf/vfio-dev")
hold "/dev/vfio/devices/$node"
expect_exit 4 pcivm vm run other "${options[@]}" --device "$vf"
expect_match "message" "$stderr" "pid $holder \(sleep\)"
let_go

# A limit that is enough for one VM at a time, if both were one user.
weak=(prlimit --memlock=419430400:419430400 setpriv --bounding-set -ipc_lock,-sys_resource)
run_weak() { "${weak[@]}" pcivm vm run "$1" "${options[@]}" --cmdline "$(guest_cmdline sleep)" --device "$2" "${@:3}" --detach; }
stop_weak() {
    expect_exit 0 pcivm vm stop "$1" --force
    expect_within 20 ended "$1"
}
pinned() { (($(awk '/VmPin/ { sum += $2 } END { print sum }' /proc/[0-9]*/status) >= 262144)); }
expect_exit 0 run_weak first "$vf"
expect_within 30 pinned
expect_exit 0 run_weak second "$other"
both_pinned() { (($(awk '/VmPin/ { sum += $2 } END { print sum }' /proc/[0-9]*/status) >= 524288)); }
expect_within 30 both_pinned
stop_weak second
stop_weak first
weak=(prlimit --memlock=209715200:209715200 setpriv --bounding-set -ipc_lock,-sys_resource)
expect_exit 6 run_weak first "$vf"
expect_match "message" "$stderr" "limited to 204800 KiB, wanted 327680 KiB"
expect_match "hint" "$stderr" "LimitMEMLOCK="

# Without iommufd there is the container.
mv /dev/iommu /dev/iommu.away
defer mv /dev/iommu.away /dev/iommu
expect_exit 3 pcivm vm run third "${options[@]}" --device "$vf" --iommu-backend iommufd
expect_match "message" "$stderr" "the kernel has no iommufd"
expect_exit 0 pcivm vm run third "${options[@]}" --cmdline "$(guest_cmdline sleep)" --device "$vf" --detach
expect_exit 0 pcivm vm show third -o json
expect_eq "back end" "$(json .iommuBackend)" container
expect_match "reason" "$(json .iommuBackendReason)" "no iommufd"
stop_weak third
