# SPDX-License-Identifier: GPL-2.0-or-later
# For scripts that use a device without a driver of the kernel.

# drive ID: $device is the first one of that device ID, $bar the address of its first BAR.
drive() {
    device=$(dirname "$(grep -l "$1" /sys/bus/pci/devices/*/device | head -n 1)")
    echo 1 >"$device/enable"
    bar=$(cut -d ' ' -f 1 "$device/resource" | head -n 1)
}

# config OFFSET BYTE...: writes to configuration space.
config() {
    offset=$1
    shift
    for byte in "$@"; do printf "\\x$byte"; done | dd of="$device/config" bs=$# seek=$((offset / $#)) conv=notrunc 2>/dev/null
}
register() { devmem $((bar + $1)) 32 "$2"; }
# interrupts NAME: how often that is in /proc/interrupts.
interrupts() { grep "$1" /proc/interrupts | awk '{ for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }'; }
# until_so COMMAND...: within two seconds.
until_so() {
    for attempt in $(seq 20); do
        "$@" && return
        sleep 0.1
    done
    return 1
}

# message_interrupt: enables MSI, which is at $msi, with the vector of an interrupt that Linux counts and that a guest has
# no other use for (PIN: 0xf2).
message_interrupt() {
    byte() { echo $((0x$(od -A n -t x1 -j "$1" -N 1 "$device/config" | tr -d ' '))); }
    msi=$(byte 52)
    until [ "$(byte "$msi")" = 5 ]; do msi=$(byte $((msi + 1))); done
    config $((msi + 4)) 00 00 e0 fe
    config $((msi + 8)) 00 00 00 00
    config $((msi + 12)) f2 00
    config $((msi + 2)) 81 00
}
