# SPDX-License-Identifier: GPL-2.0-or-later
# Has an e1000e that has no driver (lab.bare=1) send MSIs, by a cause of its interrupts (a change of the link) that it is
# told to have (Intel 82574 datasheet, 10.2.4). QEMU's sends it once more when the cause is still there 128 us later.
causes=0xc0 set_causes=0xc8 wanted_causes=0xd0 unwanted_causes=0xd8
link=4

. /guest/by-hand.sh
drive 0x10d3
config 4 06 04 # memory decoding, bus master, no INTx
register $unwanted_causes 0xffffffff
clear() { devmem $((bar + causes)) 32 >/dev/null; }
clear # what there is since the reset
message_interrupt
register $wanted_causes $link
came=0
more() { [ "$(interrupts PIN:)" -gt "$before" ]; }
for round in 1 2 3; do
    before=$(interrupts PIN:)
    register $set_causes $link
    until_so more && came=$((came + 1))
    clear
done
echo "LAB-RESULT came=$came"
config $((msi + 2)) 80 00 # off
before=$(interrupts PIN:)
register $set_causes $link
sleep 0.5
echo "LAB-RESULT later=$(($(interrupts PIN:) - before))"
config 4 06 00 # INTx, which nobody in this guest listens to
echo "LAB-RESULT listening=nobody"
sleep 2
