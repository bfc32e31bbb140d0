# SPDX-License-Identifier: GPL-2.0-or-later
# A guest with an IOMMU of its own: its VF does DMA through that, also after a reboot, and then devices are handed to a
# user space driver (vfio-edu.pl), which reaches its own memory and nothing else.
# memmap=64K$0x8000000 keeps the pages that are used here from the kernel, and they outlive the reboot.
note=0x8000000 secret=0x8001000

. /guest/vf-ping.sh
vf=$(basename "$(readlink -f "/sys/class/net/$interface/device")")
echo "LAB-RESULT type=$(cat "/sys/bus/pci/devices/$vf/iommu_group/type")"
echo "LAB-RESULT iommu=$(basename "$(readlink -f "/sys/bus/pci/devices/$vf/iommu/device")" | cut -c 1-6)"
echo "LAB-RESULT said=$(dmesg | grep -c "$vf: Adding to iommu group")"
[ "${received:-0}" -gt 0 ] || exit 1

if [ "$(devmem $((note)) 32)" != 0x00005EED ]; then
    devmem $((note)) 32 0x5eed
    ping -q -i 0.01 "$peer" >/dev/null &
    sleep 1
    echo "LAB-RESULT reboots=1"
    sleep 0.1 # for the line to leave
    # Not by `reboot`: Linux then takes virtio devices down one by one (virtio_break_device), and a CPU that waits for the
    # IOMMU's answer just then waits for ever, its interrupts disabled (viommu_sync_req).
    echo b >/proc/sysrq-trigger
fi
echo "LAB-RESULT rebooted=1"

# Debian's kernel cannot know that the host isolates interrupts.
modprobe vfio_iommu_type1 allow_unsafe_interrupts=1
modprobe vfio-pci
give() { # ADDRESS: to vfio-pci; its group is $group
    [ ! -e "/sys/bus/pci/devices/$1/driver" ] || echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"
    echo vfio-pci >"/sys/bus/pci/devices/$1/driver_override"
    echo "$1" >/sys/bus/pci/drivers_probe
    group=$(basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")")
}
give "$vf"
perl /lab/cases/vfio-edu.pl "$group" "$vf"

edu=$(basename "$(dirname "$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1)")")
give "$edu"
devmem $((secret)) 32 0x5ec4e7
perl /lab/cases/vfio-edu.pl "$group" "$edu" $((secret))
echo "LAB-RESULT secret=$(devmem $((secret)) 32)"
