# SPDX-License-Identifier: GPL-2.0-or-later
# Fills much of the memory, frees it, and lets the host look each time.
echo "LAB-RESULT features=$(cat /sys/bus/virtio/drivers/virtio_balloon/virtio*/features)"
dd if=/dev/zero of=/run/fill bs=1M count=120 2>/dev/null
echo "LAB-RESULT filled=1"
sleep 3
rm /run/fill
echo "LAB-RESULT freed=1"
sleep 15
