# SPDX-License-Identifier: GPL-2.0-or-later
# Drives the device for teaching that tests/support/user_edu serves: registers, memory that is mapped, MSI-X, DMA.
# memmap=192K$0x8000000 keeps the pages that are used here from the kernel. lab.wait=1: until its server is gone.
from=0x8000000 size=65536
vector=0xa0 # the kernel uses it for nothing, and says when it comes

device=$(dirname "$(grep -l 0x11e9 /sys/bus/pci/devices/*/device | head -n 1)")
echo 1 >"$device/enable"
printf '\006' | dd of="$device/config" bs=1 seek=4 conv=notrunc 2>/dev/null # memory decoding, bus master
bar() { sed -n "$(($1 + 1))s/ .*//p" "$device/resource"; }
bar0=$(bar 0) bar2=$(bar 2) bar4=$(bar 4)
interrupts() { dmesg | grep -c "No irq handler for"; }

echo "LAB-RESULT identity=$(devmem $((bar0)) 32)"
devmem $((bar0 + 4)) 32 0x12345678
echo "LAB-RESULT inverse=$(devmem $((bar0 + 4)) 32)"

# The first page of BAR 4 traps, the others are mapped.
devmem $((bar4 + 0x10)) 32 0x11111111
devmem $((bar4 + 0x2010)) 32 0x22222222
echo "LAB-RESULT memory=$(devmem $((bar4 + 0x10)) 32),$(devmem $((bar4 + 0x2010)) 32)"

# Each vector of the MSI-X table: address of the first CPU, vector, unmasked. Then MSI-X is enabled.
for entry in 0 1 2 3; do
    devmem $((bar2 + entry * 16)) 32 0xfee00000
    devmem $((bar2 + entry * 16 + 4)) 32 0
    devmem $((bar2 + entry * 16 + 8)) 32 $((vector))
    devmem $((bar2 + entry * 16 + 12)) 32 0
done
printf '\003\200' | dd of="$device/config" bs=1 seek=$((0x42)) conv=notrunc 2>/dev/null
before=$(interrupts)
for entry in 0 2 3; do
    devmem $((bar0 + 0x20)) 32 $entry
    sleep 0.1
done
echo "LAB-RESULT interrupts=$(($(interrupts) - before))"

# copy TARGET HOW: 64 KiB; the device interrupts when it is done.
copy() {
    devmem $((bar0 + 0x80)) 32 $((from))
    devmem $((bar0 + 0x88)) 32 $(($1))
    devmem $((bar0 + 0x90)) 32 $size
    devmem $((bar0 + 0x98)) 32 "$2"
}
hash() { dd if=/dev/mem bs=$size skip=$(($1 / size)) count=1 2>/dev/null | sha256sum | cut -d ' ' -f 1; }
dd if=/dev/urandom of=/run/random bs=$size count=1 2>/dev/null
dd if=/run/random of=/dev/mem bs=$size seek=$((from / size)) conv=notrunc 2>/dev/null
echo "LAB-RESULT random=$(sha256sum </run/random | cut -d ' ' -f 1)"
before=$(interrupts)
copy $((from + size)) 1
copy $((from + 2 * size)) 2
sleep 0.3
echo "LAB-RESULT dma-interrupts=$(($(interrupts) - before))"
echo "LAB-RESULT source=$(hash $((from)))"
echo "LAB-RESULT first=$(hash $((from + size)))"
echo "LAB-RESULT second=$(hash $((from + 2 * size)))"
copy $((0x20000000)) 1 # 512 MiB: behind the RAM
echo "LAB-RESULT outside=$(devmem $((bar0 + 0x9c)) 32)"
[ -n "$LAB_wait" ] || exit 0

echo "LAB-RESULT ready=1"
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    sleep 1
    [ -e "$device" ] || break
done
if [ -e "$device" ]; then echo "LAB-RESULT device=there"; else echo "LAB-RESULT device=gone"; fi
echo "LAB-RESULT alive=$(devmem $((bar0)) 32)"
