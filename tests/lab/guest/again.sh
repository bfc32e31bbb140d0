# SPDX-License-Identifier: GPL-2.0-or-later
# Uses the virtio-rng in slot 00:01.0 each time that it comes, and says so; says when it goes. Meanwhile it has no
# driver: Linux's virtio drivers wait without end for the registers of a device that was pulled.
slot=0000:00:01.0
device=/sys/bus/pci/devices/$slot
echo "LAB-RESULT ready=1"
[ -c /dev/hwrng ] || mknod /dev/hwrng c 10 183
there=""
while true; do
    modprobe -qa $(cat /sys/bus/pci/devices/*/modalias /sys/bus/virtio/devices/*/modalias 2>/dev/null)
    if [ -e "$device/driver" ] && grep -q virtio /sys/class/misc/hw_random/rng_current 2>/dev/null; then
        read=$(head -c 64 /dev/hwrng | wc -c) vectors=$(ls "$device/msi_irqs" | wc -l)
        there=1
        echo "$slot" >/sys/bus/pci/drivers/virtio-pci/unbind
        echo "LAB-RESULT came=$read vectors=$vectors"
    fi
    [ -n "$there" ] && [ ! -e "$device" ] && echo "LAB-RESULT gone=1" && there=""
    sleep 0.1
done
