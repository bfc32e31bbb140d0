# SPDX-License-Identifier: GPL-2.0-or-later
# Verifies 16 MiB of the first NVMe namespace (lab/verify.cpp): writes and reads back with lab.seed, or with lab.how=kept
# only looks whether that is there.
for attempt in $(seq 100); do
    [ -b /dev/nvme0n1 ] && break
    sleep 0.1
done
device=$(readlink -f /sys/class/nvme/nvme0/device)
echo "LAB-RESULT vectors=$(ls "$device/msi_irqs" | wc -l)"
/lab/bin/verify "${LAB_how:-disk}" /dev/nvme0n1 16 "$LAB_seed"
