# SPDX-License-Identifier: GPL-2.0-or-later
# A mediated device of the host, the kernel's sample mtty (a PCI serial card that sends back what it is sent), drives a
# stock guest's own serial driver: bytes there and back, interrupts, also after a reboot, beside a VF and after the VMM
# was killed. Nobody else gets it meanwhile. What it is refused for says what to do.
# topologies: vtd
# container: vtd
# needs: pcivm
# deadline: 400
. /lab/cases/lib.sh

uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
mdevs=/sys/bus/mdev/devices
mtty=/sys/class/mdev_bus/mtty
expect_exit 0 modprobe mtty
defer rmmod mtty
echo $uuid >$mtty/mdev_supported_types/mtty-2/create
defer eval "[[ ! -e $mdevs/$uuid ]] || echo 1 >$mdevs/$uuid/remove"
# The sample does not promise a reset.
mine=(--mdev "$uuid" --force no-reset)
options=(--kernel /lab/l2/vmlinux "${assigned_by[@]}")
free() { ! pgrep -x pcivm >/dev/null; }

check() {
    expect_eq "driver in the guest" "$(result driver)" serial
    expect_eq "ports" "$(result ports)" 2
    for port in port0 port1; do
        expect_eq "what comes back on $port" "$(result $port)" right
        (($(result $port-interrupts) >= 8)) || fail "$(result $port-interrupts) interrupts of $port"
    done
}

expect_exit 3 pcivm vm run refused "${options[@]}" --mdev 83b8f4f2-509f-382f-3c1e-e6bfe0fa1002
expect_match "message" "$stderr" "the host has no mediated device .*1002"
expect_match "hint" "$stderr" "mdevctl list, or ls /sys/bus/mdev/devices"
expect_exit 2 pcivm vm run refused "${options[@]}" --mdev /dev/null
expect_exit 2 pcivm vm run refused "${options[@]}" --mdev "$uuid" --mdev "$mdevs/$uuid"
expect_match "message" "$stderr" "$uuid is given twice"
expect_exit 5 pcivm vm run refused "${options[@]}" --mdev "$uuid"
expect_match "message" "$stderr" "$uuid: reset is not proven.*create it anew"
expect_exit 5 pcivm vm run refused --kernel /lab/l2/vmlinux --mdev "$uuid" --iommu virtio
expect_exit 5 pcivm vm run refused "${options[@]}" --mdev "$uuid" --balloon

# Alone, and the guest reboots. RAM is mapped for it, and not pinned.
parameters="memmap=64K\$0x8000000 lab.reboot=1 lab.wait=1"
guest_start mdev --mdev "$mdevs/$uuid" --force no-reset
guest_says "LAB-RESULT done=1" 180
stdout=$(<guest.console)
expect_eq "reboots" "$(result reboots)" 1
check
expect_eq "what came back in both boots" "$(grep -c 'LAB-RESULT port[01]=right' guest.console)" 4
vmm=$(pgrep -P "$guest")
expect_eq "pinned" "$(awk '/VmPin/ { print $2 }' "/proc/$vmm/status")" 0
expect_exit 0 pcivm vm show guest-mdev -o json
document
expect_eq "devices" "$(json '.devices | length')" 0
expect_eq "mediated devices" "$(json '.mdevs[0]')" "$uuid"
expect_eq "back end" "$(json .iommuBackend)" "$backend"
expect_eq "bytes that are mapped" "$(json .dma.mappedBytes)" $((256 << 20))
expect_exit 0 pcivm vm show guest-mdev
expect_match "text" "$stdout" "Mediated devices: +$uuid"

# It is the VM's alone, by either back end.
for way in iommufd container; do
    expect_exit 4 pcivm vm run other --kernel /lab/l2/vmlinux --iommu-backend "$way" "${mine[@]}"
    expect_match "message" "$stderr" "$uuid.*pid [0-9]+ \(pcivm, VM guest-mdev\).* has it"
done

# The VMM is killed: the device can be had again, beside a VF of the host.
kill -KILL "$vmm"
guest_wait
expect_eq "exit code when the VMM was killed" "$code" 1
expect_within 10 free
igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci
parameters=
guest_run mdev "${mine[@]}" --device "$(vf_bdf "$igb" 0)"
expect_eq "exit code" "$code" 0
check

# A function comes to a VM that has it, by the same back end, and goes.
parameters=lab.wait=1
guest_start mdev "${mine[@]}"
guest_says "LAB-RESULT done=1" 120
expect_exit 0 pcivm attach guest-mdev "$(vf_bdf "$igb" 1)"
expect_exit 0 pcivm vm show guest-mdev -o json
expect_eq "back end" "$(json .iommuBackend)" "$backend"
expect_exit 0 pcivm detach guest-mdev "$(vf_bdf "$igb" 1)"
guest_end
expect_within 10 free

# pcivm made none and removed none.
[[ -e $mdevs/$uuid ]] || fail "the device is gone"
