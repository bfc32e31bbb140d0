# SPDX-License-Identifier: GPL-2.0-or-later
# The host's end of the network vanishes; the guest goes on.
ip link set eth0 up
ip address add 10.98.0.2/24 dev eth0
ping -q -c 2 -W 2 10.98.0.1 >/dev/null && echo "LAB-RESULT before=1"
while ping -q -c 1 -W 1 10.98.0.1 >/dev/null; do :; done
ping -q -c 3 -W 1 -s 1000 10.98.0.1 | grep -o '[0-9]* packets received' | sed 's/ .*//; s/^/LAB-RESULT after=/'
