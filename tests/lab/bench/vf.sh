# SPDX-License-Identifier: GPL-2.0-or-later
# Seven VFs with MACs on vfio-pci: one pcivm command against sriov_numvfs with autoprobe on, ip and driverctl for each
# VF, and against what both wait for: the kernel's own work for sriov_numvfs with autoprobe off (the emulated igb sleeps
# 100 ms for the VFs and 300 ms for its PHY). Alternating, in one host; needs driverctl in PATH. Prints one line a run,
# then medians and their ratio, whole and without the kernel's share.
. /lab/cases/lib.sh
runs=${RUNS:-5}
igb=$(bdf igb)
interface=$(netdev_of "$igb")

by_driverctl() {
    local index
    echo 7 >"$pci/$igb/sriov_numvfs" || return 1
    for index in 0 1 2 3 4 5 6; do
        ip link set "$interface" vf "$index" mac "02:11:22:33:44:0$index" || return 1
        driverctl set-override "$(basename "$(readlink "$pci/$igb/virtfn$index")")" vfio-pci || return 1
    done
}
by_pcivm() {
    pcivm -q vf create "$igb" 7 --bind vfio-pci --mac 02:11:22:33:44:%02x
}
by_nobody() {
    echo 7 >"$pci/$igb/sriov_numvfs"
}
export -f by_driverctl
export igb interface pci

check() {
    local index
    [[ $1 != kernel ]] || return 0
    for index in 0 1 2 3 4 5 6; do
        expect_eq "driver of VF $index" "$(driver_of "$(vf_bdf "$igb" "$index")")" vfio-pci
    done
    expect_eq "MACs" "$(ip link show "$interface" | grep -c 'vf .*02:11:22:33:44:0')" 7
}
remove() {
    pcivm -q vf destroy "$igb" --yes || fail "VFs are left"
    rm -rf /etc/driverctl.d
}

# once WAY COMMAND...: its time in microseconds is added to times_WAY.
once() {
    local way=$1 start end probes
    shift
    probes=$(native_probes)
    start=${EPOCHREALTIME/./}
    "$@" >run.stdout 2>run.stderr || fail "$way: $(<run.stderr)"
    end=${EPOCHREALTIME/./}
    check "$way"
    echo "$way: $(((end - start) / 1000)) ms, $(($(native_probes) - probes)) lines of the native driver"
    echo $((end - start)) >>"times_$way"
    remove
}
median() {
    sort -n "$1" | sed -n "$(((runs + 1) / 2))p"
}

modprobe vfio-pci
modprobe igbvf
rm -f times_*
for ((run = 0; run < runs; run++)); do
    once driverctl by_driverctl
    once pcivm by_pcivm
    echo 0 >"$pci/$igb/sriov_drivers_autoprobe"
    once kernel by_nobody
    echo 1 >"$pci/$igb/sriov_drivers_autoprobe"
done
count_processes pcivm -q vf create "$igb" 7 --bind vfio-pci --mac 02:11:22:33:44:%02x
echo "pcivm: $forked processes forked, $executed programs executed"
remove
count_processes bash -c by_driverctl
echo "driverctl: $forked processes forked, $executed programs executed"
remove
left=$(median times_driverctl) right=$(median times_pcivm) floor=$(median times_kernel)
ratio() { printf '%d.%02d' $(($1 / $2)) $((100 * $1 / $2 % 100)); }
echo "median: driverctl $((left / 1000)) ms, pcivm $((right / 1000)) ms, ratio $(ratio "$right" "$left")"
echo "the kernel alone $((floor / 1000)) ms, ratio $(ratio "$floor" "$left"); beside it: ratio $(ratio $((right - floor)) $((left - floor)))"
