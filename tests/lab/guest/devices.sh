# SPDX-License-Identifier: GPL-2.0-or-later
# What the guest sees on its PCI bus: address, vendor and device, driver, number of interrupt vectors.
for device in /sys/bus/pci/devices/*; do
    driver=none
    [ -e "$device/driver" ] && driver=$(basename "$(readlink "$device/driver")")
    vectors=0
    [ -d "$device/msi_irqs" ] && vectors=$(ls "$device/msi_irqs" | wc -l)
    echo "LAB-DEVICE ${device##*/} $(cut -c 3- "$device/vendor"):$(cut -c 3- "$device/device") driver=$driver vectors=$vectors"
done
