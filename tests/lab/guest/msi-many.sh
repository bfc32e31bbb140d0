# SPDX-License-Identifier: GPL-2.0-or-later
# Has an xHCI controller (lab.bare=1) send each of several MSIs: an event handler that says it is busy no more, and has not
# read all, is interrupted again (xHCI 1.2, 5.5.2.3.3), and each interrupter has a vector of its own.
# memmap=64K$0x8000000 keeps the event rings from the kernel. Vectors 0xf0 to 0xf2 are counted by Linux.
ring=0x8000000
command=0x40 runtime=0x1020 # of QEMU's

. /guest/by-hand.sh
drive 0x0194
config 4 06 04 # memory decoding, bus master, no INTx
byte() { echo $((0x$(od -A n -t x1 -j "$1" -N 1 "$device/config" | tr -d ' '))); }
msi=$(byte 52)
until [ "$(byte "$msi")" = 5 ]; do msi=$(byte $((msi + 1))); done

register $command 4 # interrupts
for interrupter in 0 1 2; do
    at=$((runtime + interrupter * 0x20))
    devmem $((ring + interrupter * 16)) 32 $((ring + 0x1000)) # its event ring: where, and that it has 16 entries
    devmem $((ring + interrupter * 16 + 4)) 32 0
    devmem $((ring + interrupter * 16 + 8)) 32 16
    register $((at + 8)) 1
    register $((at + 0x10)) $((ring + interrupter * 16))
    register $((at + 0x14)) 0
    register $((at + 0x1c)) 0
    register $at 2
done
# send INTERRUPTER TIMES
send() {
    for time in $(seq "$2"); do register $((runtime + $1 * 0x20 + 0x18)) $((ring + 0x1010 | 8)); done
}
# counted NAME: sends 1, 2 and 3, and says what came.
counted() {
    npi=$(interrupts NPI:) piw=$(interrupts PIW:) pin=$(interrupts PIN:)
    for interrupter in 0 1 2; do send $interrupter $((interrupter + 1)); done
    sleep 0.5
    echo "LAB-RESULT $1=NPI=$(($(interrupts NPI:) - npi)) PIW=$(($(interrupts PIW:) - piw)) PIN=$(($(interrupts PIN:) - pin))"
}
# enable LOG2: so many vectors, from 0xf0.
enable() {
    config $((msi + 2)) "$(printf '%x' $((0x81 | $1 << 4)))" 00
    echo "LAB-RESULT enabled=$(($(byte $((msi + 2))) >> 4 & 7))"
    sleep 3
}

config $((msi + 4)) 00 00 e0 fe
config $((msi + 8)) 00 00 00 00
config $((msi + 12)) f0 00
config $((msi + 2)) f0 00
echo "LAB-RESULT clamped=$(($(byte $((msi + 2))) >> 4 & 7))"
echo "LAB-RESULT capable=$(($(byte $((msi + 2))) >> 1 & 7))"
sleep 2
enable 4
counted sixteen
enable 2
counted four
enable 0
counted one
config $((msi + 2)) 80 00
counted off
