# SPDX-License-Identifier: GPL-2.0-or-later
# Data both ways over AF_VSOCK: on a connection that the guest makes, and on one that the host makes.
talk="perl /lab/cases/vsock.pl"
echo "LAB-RESULT features=$(cat /sys/bus/virtio/drivers/vmw_vsock_virtio_transport/virtio*/features)"
dd if=/dev/urandom of=/run/sent bs=1M count=4 2>/dev/null
echo "LAB-RESULT sent=$(sha256sum </run/sent | cut -d ' ' -f 1)"
$talk connect 5001 2 </run/sent >/run/got || echo "LAB-RESULT error=connect"
echo "LAB-RESULT got=$(sha256sum </run/got | cut -d ' ' -f 1)"
# The host waits for the word.
$talk listen 5002 </run/sent 2>&1 >/run/got | while read -r line; do echo "LAB-RESULT $line"; done
echo "LAB-RESULT called=$(sha256sum </run/got | cut -d ' ' -f 1)"
# Nobody listens there.
$talk connect 5003 2 </dev/null >/dev/null 2>/run/refused && echo "LAB-RESULT error=nobody-answered"
cat /run/refused
grep virtio /proc/interrupts
