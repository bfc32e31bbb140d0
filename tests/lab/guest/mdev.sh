# SPDX-License-Identifier: GPL-2.0-or-later
# Sends bytes through each port of the PCI serial card 4348:3253, which sends them back (the kernel's sample mtty), by
# the driver that the kernel has for it. With lab.reboot=1 it reboots once and does that again, with lab.wait=1 it stays.
# memmap=64K$0x8000000 keeps the page that is used here from the kernel, and it outlives the reboot.
. /guest/by-hand.sh
note=0x8000000
device=$(dirname "$(grep -l 0x4348 /sys/bus/pci/devices/*/vendor | head -n 1)")
echo "LAB-RESULT driver=$(basename "$(readlink "$device/driver")")"

arrived() { [ "$(wc -c </run/back)" -ge ${#sent} ]; }
# There is no more than 8 bytes in it at a time: the sample takes a FIFO of 16 that is full for one that is empty.
there_and_back() { # PORT NAME: tells whether all came back, or what did, and how many interrupts there were
    exec 3<>"/dev/$1" || exit 1
    stty raw -echo -crtscts <&3
    before=$(interrupts "$1")
    cat <&3 >/run/back &
    sent=''
    for part in $(head -c 32 /dev/urandom | od -A n -t x4); do
        printf '%s' "$part" >&3
        sent=$sent$part
        until_so arrived
    done
    kill $!
    [ "$(cat /run/back)" = "$sent" ] && came=right || came="$(cat /run/back), wanted $sent"
    echo "LAB-RESULT $2=$came"
    echo "LAB-RESULT $2-interrupts=$(($(interrupts "$1") - before))"
    exec 3>&-
}
count=0
for port in /sys/class/tty/ttyS*; do
    case $(readlink -f "$port") in
    "$(readlink -f "$device")"/*)
        there_and_back "$(basename "$port")" "port$count"
        count=$((count + 1))
        ;;
    esac
done
echo "LAB-RESULT ports=$count"

if [ -n "$LAB_reboot" ] && [ "$(devmem $((note)) 32)" != 0x00005EED ]; then
    devmem $((note)) 32 0x5eed
    echo "LAB-RESULT reboots=1"
    reboot -f
fi
echo "LAB-RESULT done=1"
[ -z "$LAB_wait" ] || sleep 1000
