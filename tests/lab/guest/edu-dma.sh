# SPDX-License-Identifier: GPL-2.0-or-later
# Lets the edu device (QEMU, docs/specs/edu.rst) copy a word from RAM to RAM, then do DMA where there is no RAM.
# memmap=64K$0x8000000 keeps the pages that are used here from the kernel.
from=0x8000000 to=0x8001000 taken=0x8002000 outside=0xf000000
buffer=0x40000 # in the device

edu=$(dirname "$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | head -n 1)")
echo 1 >"$edu/enable"
printf '\006' | dd of="$edu/config" bs=1 seek=4 conv=notrunc 2>/dev/null # memory decoding, bus master
bar=$(cut -d ' ' -f 1 "$edu/resource" | head -n 1)

# dma SOURCE DESTINATION COMMAND: 1 = to the device, 3 = from it; it takes the device a tenth of a second.
dma() {
    devmem $((bar + 0x80)) 32 $(($1))
    devmem $((bar + 0x88)) 32 $(($2))
    devmem $((bar + 0x90)) 32 4
    devmem $((bar + 0x98)) 32 "$3"
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        [ $(($(devmem $((bar + 0x98)) 32) & 1)) = 0 ] && return
        sleep 0.2
    done
    echo "LAB-RESULT error=no-end-of-dma"
}

devmem $((from)) 32 0xdeadbeef
dma $from $buffer 1
dma $buffer $to 3
echo "LAB-RESULT copied=$(devmem $((to)) 32)"
dma $buffer $outside 3
echo "LAB-RESULT written=1"
dma $outside $buffer 1
dma $buffer $taken 3
echo "LAB-RESULT read=$(devmem $((taken)) 32)"
