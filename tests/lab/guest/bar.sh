# SPDX-License-Identifier: GPL-2.0-or-later
# Writes and reads the large BAR of an ivshmem device (lab/verify.cpp), which may come while the guest runs.
echo "LAB-RESULT ready=1"
until device=$(grep -l 0x1110 /sys/bus/pci/devices/*/device); do sleep 0.2; done
device=${device%/device}
echo 1 >"$device/enable"
/lab/bin/verify memory "$device/resource2" "$LAB_seed"
echo "LAB-RESULT region=$(sed -n 3p "$device/resource")"
echo "LAB-RESULT done=1"
[ -z "$LAB_stay" ] || sleep infinity
