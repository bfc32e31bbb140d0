# SPDX-License-Identifier: GPL-2.0-or-later
# A kernel without ACPI: its processors and interrupts by the MP table. It cannot power off.
echo "LAB-RESULT cpus=$(grep -c ^processor /proc/cpuinfo)"
echo "LAB-RESULT controller=$(sed -n 's/.* \(IO-APIC\|XT-PIC\).* ttyS0.*/\1/p' /proc/interrupts)"
echo "LAB-RESULT routes=$(dmesg | grep -c 'MPTABLE: ')"
reboot -f
