# SPDX-License-Identifier: GPL-2.0-or-later
# An agent at a named port, and bulk data through another one, as udev would name them.
mount -t debugfs debugfs /sys/kernel/debug
mkdir /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
    [ ! -s "$port/name" ] || ln -s "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done
ports=/dev/virtio-ports
echo "LAB-RESULT ports=$(ls $ports | tr '\n' ' ')"
echo "LAB-RESULT consoles=$(cat /sys/class/tty/console/active)"
connected() { # whether the host's side of port NAME is open
    sed -n 's/^host_connected: //p' "/sys/kernel/debug/virtio-ports/$(basename "$(readlink -f "$ports/$1")")"
}
await() { # NAME STATE
    for attempt in $(seq 300); do
        [ "$(connected "$1")" != "$2" ] || return 0
        sleep 0.1
    done
    echo "LAB-RESULT error=$1-is-not-$2"
}
agent=$ports/org.qemu.guest_agent.0
echo "LAB-RESULT before=$(connected org.qemu.guest_agent.0)"
echo "LAB-RESULT ready=1"

# One question, one answer, and a second client.
exec 5<>"$agent"
for count in 1 2; do
    until read -r line <&5; do sleep 0.1; done # without a client, the end of the file comes at once
    echo "LAB-RESULT question$count=$line"
    echo "LAB-RESULT during$count=$(connected org.qemu.guest_agent.0)"
    echo "answer to $line" >&5
    [ $count = 1 ] || await org.qemu.guest_agent.0 0
done
exec 5>&-
echo "LAB-RESULT after=$(connected org.qemu.guest_agent.0)"

# As much both ways as no queue and no socket holds, to a client that sleeps first.
dd if=/dev/urandom of=/run/sent bs=1M count=3 2>/dev/null
echo "LAB-RESULT sent=$(sha256sum </run/sent | cut -d ' ' -f 1)"
exec 6<>$ports/bulk
echo "LAB-RESULT bulk=1"
await bulk 1
head -c 3145728 <&6 >/run/got &
cat /run/sent >&6
wait
echo "LAB-RESULT got=$(sha256sum </run/got | cut -d ' ' -f 1)"
# Both consoles are one stream on the host: what is said by one must not fall into a line of the other.
if [ -e /dev/hvc0 ]; then
    exec 7<>/dev/hvc0
    stty -echo <&7
    sleep 1
    echo "hello from hvc0" >&7
    sleep 1
fi
echo "LAB-RESULT last=1"
[ -z "$LAB_wait" ] || read -r line <&7
echo "LAB-RESULT typed=$line"
