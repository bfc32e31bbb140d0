# SPDX-License-Identifier: GPL-2.0-or-later
# All that the edu device has (QEMU, docs/specs/edu.rst): registers, arithmetic, its DMA engine, MSI and INTx.
# memmap=64K$0x8000000 keeps the pages that are used here from the kernel.
from=0x8000000 to=0x8001000
buffer=0x40000 # in the device

. /guest/by-hand.sh
drive 0x11e8
acknowledge() { register 0x64 $(($(devmem $((bar + 0x24)) 32))); }
# dma SOURCE DESTINATION COMMAND: 1 = to the device, 3 = from it, 4 more = with an interrupt.
dma() {
    register 0x80 $(($1))
    register 0x88 $(($2))
    register 0x90 4
    register 0x98 "$3"
    idle() { [ $(($(devmem $((bar + 0x98)) 32) & 1)) = 0 ]; }
    until_so idle || echo "LAB-RESULT error=no-end-of-dma"
}

config 4 06 00 # memory decoding, bus master
echo "LAB-RESULT id=$(devmem $((bar)) 32)"
register 0x4 0x12345678
echo "LAB-RESULT inverted=$(devmem $((bar + 4)) 32)"

message_interrupt
before=$(interrupts PIN:)
counted() { [ $(($(interrupts PIN:) - before)) = "$wanted" ]; }
wanted=1
register 0x60 1
until_so counted
acknowledge
wanted=2
register 0x20 0x80 # an interrupt when the factorial is there
register 0x8 5
until_so counted
acknowledge
echo "LAB-RESULT factorial=$(devmem $((bar + 8)) 32)"
wanted=4
devmem $((from)) 32 0xdeadbeef
dma $from $buffer 5
acknowledge
dma $buffer $to 7
until_so counted
acknowledge
echo "LAB-RESULT copied=$(devmem $((to)) 32)"
echo "LAB-RESULT msi=$(($(interrupts PIN:) - before))"
config $((msi + 2)) 80 00 # off

# INTx by Linux's driver for that, which masks it in COMMAND until told otherwise. A read of its node waits for one.
register 0x20 0
modprobe uio_pci_generic
echo 1234 11e8 >/sys/bus/pci/drivers/uio_pci_generic/new_id
until_so [ -e /dev/uio0 ]
answered() { [ -s answer ]; }
for round in 1 2 3; do
    config 4 06 00
    : >answer
    dd if=/dev/uio0 of=answer bs=4 count=1 2>/dev/null &
    sleep 0.3
    register 0x60 2
    until_so answered || echo "LAB-RESULT error=no-intx-in-round-$round"
    acknowledge
    kill $! 2>/dev/null
done
sleep 0.3
echo "LAB-RESULT intx=$(interrupts uio_pci_generic)"
grep uio_pci_generic /proc/interrupts
