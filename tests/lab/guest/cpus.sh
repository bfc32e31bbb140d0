# SPDX-License-Identifier: GPL-2.0-or-later
# What the guest sees of its processors, memory, clock and interrupts.
echo "LAB-RESULT cpus=$(nproc)"
echo "LAB-RESULT memory_kb=$(awk '/MemTotal/ { print $2 }' /proc/meminfo)"
echo "LAB-RESULT clocksource=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
echo "LAB-RESULT date=$(date -u +%s)"
echo "LAB-RESULT sockets=$(cat /sys/devices/system/cpu/cpu*/topology/physical_package_id | sort -u | wc -l)"
echo "LAB-RESULT siblings=$(cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list)"
echo "LAB-RESULT flags=$(sed -n '/^flags/ { s/.*: //p; q }' /proc/cpuinfo)"
cat /proc/interrupts
