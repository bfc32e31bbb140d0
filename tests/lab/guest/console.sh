# SPDX-License-Identifier: GPL-2.0-or-later
# Speaks and listens on the virtio console.
echo "LAB-RESULT console=$(cat /sys/class/tty/console/active)"
echo "LAB-RESULT port=$(ls /sys/class/virtio-ports | tr '\n' ' ')"
stty -echo </dev/hvc0
echo "LAB-RESULT ready=1" >/dev/hvc0
read -r line </dev/hvc0
echo "LAB-RESULT heard=$line" >/dev/hvc0
# More than any queue holds.
seq 400 >/dev/hvc0
grep virtio /proc/interrupts >/dev/hvc0
