# SPDX-License-Identifier: GPL-2.0-or-later
# Reads registers of the device in slot 1, which has no driver (lab.bare=1): lab.bar its BAR, lab.registers their
# offsets. With lab.write=VALUE they are written first.
device=/sys/bus/pci/devices/0000:00:01.0
echo 1 >"$device/enable"
base=$(sed -n "$((LAB_bar + 1))p" "$device/resource" | cut -d ' ' -f 1)
for register in $(echo "$LAB_registers" | tr , ' '); do
    [ -z "$LAB_write" ] || devmem $((base + register)) 32 "$LAB_write"
    values="$values $(devmem $((base + register)) 32)"
done
# The cache line size, a register of configuration space that does nothing.
[ -z "$LAB_write" ] || printf '\x10' | dd of="$device/config" bs=1 seek=12 conv=notrunc 2>/dev/null
echo "LAB-RESULT registers=${values# }"
echo "LAB-RESULT line=$(od -A n -t x1 -j 12 -N 1 "$device/config" | tr -d ' ')"
