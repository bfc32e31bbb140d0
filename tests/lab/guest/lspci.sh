# SPDX-License-Identifier: GPL-2.0-or-later
# Shows what lspci says of each device but the host bridge.
for device in /sys/bus/pci/devices/*; do
    case $device in *:00.0) continue ;; esac
    echo "LAB-LSPCI ${device##*/}"
    lspci -vvvnn -s "${device##*/}"
done
echo "LAB-LSPCI end"
