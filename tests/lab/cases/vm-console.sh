# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's console on virtio: both ways, more than fits its queues, and as the kernel's own console.
# topologies: vtd
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

mkfifo hold
exec 8<>hold
pcivm vm run console --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --console virtio \
    --cmdline "$(guest_cmdline console) console=hvc0" <&8 >guest.console 2>guest.stderr &
guest=$!
defer guest_kill "$guest" console
guest_says ready=1
echo "hello from the host" >&8
guest_wait
expect_eq "exit code" "$code" 0
expect_eq "what the guest heard" "$(result heard)" "hello from the host"
expect_eq "lines of a long output" "$(tr -d '\r' <guest.console | grep -cE '^[0-9]+$')" 400
expect_match "the kernel's consoles" "$(result console)" hvc0
expect_match "the console of the guest's init" "$stdout" 'LAB-EXIT 0'
