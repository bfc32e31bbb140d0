# SPDX-License-Identifier: GPL-2.0-or-later
# What the guest sees of its processors, memory, clock and interrupts.
echo "LAB-RESULT cpus=$(nproc)"
echo "LAB-RESULT memory_kb=$(awk '/MemTotal/ { print $2 }' /proc/meminfo)"
echo "LAB-RESULT clocksource=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
echo "LAB-RESULT date=$(date -u +%s)"
cat /proc/interrupts
