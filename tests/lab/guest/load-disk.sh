# SPDX-License-Identifier: GPL-2.0-or-later
# Benchmarks: random reads of the disk, one and 32 at a time. The host reads its counters in the pauses.
for depth in 1 32; do
    echo "LAB-RESULT begin=disk$depth"
    sleep 1
    /lab/bin/load disk /dev/vda "$depth" "${LAB_seconds:-5}"
    sleep 1
    echo "LAB-RESULT end=disk$depth"
done
sleep 1
