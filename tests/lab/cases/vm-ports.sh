# SPDX-License-Identifier: GPL-2.0-or-later
# Named ports for agents, beside a console on hvc0 and the serial port: bytes both ways, verified, also to a client that
# is slow; the guest sees clients come and go; the next client waits for its turn. Sockets are the owner's alone, and
# gone with the VM.
# topologies: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

agent=org.qemu.guest_agent.0
own=/run/pcivm/vm/guest-ports/port-$agent
dd if=/dev/urandom of=sent bs=1M count=3 status=none
mkfifo hold
exec 8<>hold
export LC_ALL=C # perl
pcivm vm run guest-ports --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --console both \
    --port name=$agent --port "name=bulk,socket=$PWD/bulk.sock" --cmdline "$(guest_cmdline ports wait=1)" \
    <&8 >guest.console 2>guest.stderr &
guest=$!
defer guest_kill "$guest" guest-ports
guest_says ready=1
expect_eq "mode of the VM's own socket" "$(stat -c %a "$own")" 600
expect_eq "mode of the other socket" "$(stat -c %a bulk.sock)" 600
expect_exit 0 pcivm vm show guest-ports -o json
document
expect_eq "names" "$(json '[.ports[].name] | join(" ")')" "$agent bulk"
expect_eq "sockets" "$(json '[.ports[].socket] | join(" ")')" "$own $PWD/bulk.sock"
expect_eq "clients" "$(json '[.ports[].client] | join(" ")')" "false false"
refused() { # CODE TEXT OPTIONS
    expect_exit "$1" pcivm vm run other --kernel /lab/l2/vmlinux --port "$3"
    expect_match "message" "$stderr" "$2"
}
refused 4 "somebody listens at" "name=a,socket=$PWD/bulk.sock"
refused 5 "no socket" "name=a,socket=$PWD/sent"
refused 2 "letters, digits" name=a/b

# The first client is slow to leave: the second waits for its turn.
echo first | perl /lab/cases/port.pl "$own" 16 >answer1 &
first=$!
wait "$first" || fail "the first client failed"
echo second | perl /lab/cases/port.pl "$own" 17 >answer2 || fail "the second client failed"
expect_eq "first answer" "$(<answer1)" "answer to first"
expect_eq "second answer" "$(<answer2)" "answer to second"

guest_says bulk=1
perl /lab/cases/port.pl "$PWD/bulk.sock" 3145728 3 <sent >got || fail "the client of the bulk port failed"
guest_says last=1
expect_within 10 grep -q "hello from hvc0" guest.console
expect_exit 0 pcivm vm show guest-ports -o json
document
expect_eq "bytes to the host" "$(json '.ports[1].toHostBytes')" 3145728
expect_eq "bytes to the guest" "$(json '.ports[1].toGuestBytes')" 3145728
expect_eq "bytes dropped" "$(json '.ports[1].droppedBytes')" 0
expect_exit 0 pcivm vm show guest-ports
expect_match "the port" "$stdout" "Port bulk.*$PWD/bulk.sock"
echo "typed on the host" >&8
socket=/run/pcivm/vm/guest-ports/api.sock
http GET /v1/metrics
expect_match "metrics" "$stdout" 'pcivm_vm_port_to_host_bytes_total\{vm="guest-ports",port="bulk"\} 3145728'
guest_wait
expect_eq "exit code" "$code" 0
expect_eq "error in the guest" "$(result error)" ""
expect_eq "what was typed on hvc0" "$(result typed)" "typed on the host"
expect_eq "ports in the guest" "$(result ports)" "bulk $agent "
expect_eq "host side before, during, after" \
    "$(result before)$(result during1)$(result during2)$(result after)" 0110
expect_eq "what the guest heard" "$(result question1) $(result question2)" "first second"
expect_eq "what the guest got" "$(result got)" "$(sha256sum <sent | cut -d ' ' -f 1)"
expect_eq "what the host got" "$(sha256sum <got | cut -d ' ' -f 1)" "$(result sent)"
[[ ! -e bulk.sock && ! -e /run/pcivm/vm/guest-ports ]] || fail "a socket is left"

# Ports alone; a killed supervisor's sockets do not stand in the way of the next start.
guest_start sleep --console off --port "name=bulk,socket=$PWD/bulk.sock"
expect_within 30 test -S bulk.sock
kill -KILL "$guest"
wait "$guest" 2>/dev/null
rm -r /run/pcivm/vm/guest-sleep
[[ -S bulk.sock ]] || fail "the socket of a killed supervisor is gone: what is shown here?"
guest_run poweroff --port "name=bulk,socket=$PWD/bulk.sock"
expect_eq "exit code after a kill" "$code" 0
[[ ! -e bulk.sock ]] || fail "a socket is left"
