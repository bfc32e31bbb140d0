# SPDX-License-Identifier: GPL-2.0-or-later
# A VM by its name: defined, started, looked at, asked over its socket, stopped in each strength, killed, started again,
# deleted. Its VF is back whenever it does not run.
# topologies: vtd
# needs: pcivm
# deadline: 420
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
defer rm -rf /etc/pcivm /var/log/pcivm
socket=/run/pcivm/vm/web/api.sock

state() { pcivm vm show web -o json | jq -r .state; }
says() { pcivm vm logs web | grep -qE "$1"; }
free() { [[ ! -e /run/pcivm/vm/$1 ]]; }
stopped() {
    free web || fail "the name is still taken"
    expect_eq "state" "$(state)" stopped
    expect_eq "driver of the VF" "$(driver_of "$vf")" igbvf
}

# shellcheck disable=SC2046  # one option, many words
expect_exit 0 pcivm vm create web --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --cpus 1 \
    --device "$vf" --cmdline "$(guest_cmdline wait-button)"
expect_exit 0 pcivm vm list -o json
document
expect_eq "state of the defined VM" "$(json '.items[0].state')" stopped
expect_exit 0 pcivm vm stop web
expect_exit 3 pcivm vm wait web

# Start, and what is known of it.
defer pcivm -q vm stop web --kill
expect_exit 0 pcivm vm start web
expect_exit 0 pcivm vm list -o json
document
expect_eq "state" "$(json '.items[0].state')" running
expect_exit 0 pcivm vm show web -o json
document
expect_eq "driver of the VF in use" "$(driver_of "$vf")" vfio-pci
expect_exit 0 pcivm vm start web
expect_match "message" "$stderr" "runs already"
expect_exit 4 pcivm vm run web
expect_exit 4 pcivm vm delete web --yes
[[ -S $socket ]] || fail "the second start took the socket"

# The console from its beginning, for whoever comes when; both end with the VM.
pcivm vm console web --read-only >console.one 2>/dev/null </dev/null &
one=$!
expect_within 120 says "LAB-RESULT ready=1"
expect_exit 0 pcivm vm logs web
expect_match "the log" "$stdout" "LAB-INIT"
pcivm vm logs web --follow >console.two &
two=$!
pcivm vm wait web -o json >ended.json &
waiter=$!

# Over the socket.
http GET /v1/vm
expect_eq "status" "$status" 200
document
expect_eq "name" "$(json .name)" web
http GET /v1/metrics
expect_match "metrics" "$stdout" 'pcivm_vm_exits_total\{vm="web",kind="portOut"\} [1-9]'
expect_match "metrics" "$stdout" 'pcivm_vm_dma_mapped_bytes\{vm="web"\} 268'
expect_match "metrics" "$stdout" 'pcivm_vm_phase_seconds\{vm="web",phase="firstInstruction"\} [0-9.]+'
http GET /v1/openapi.json
expect_eq "version" "$(json .openapi)" 3.1.0
http POST /v1/vm/stop '{"how":"kill","how":"kill"}'
expect_eq "status of a key given twice" "$status" 400
document
http GET /nowhere
expect_eq "status of no path" "$status" 404
expect_exit 0 timeout 60 env LC_ALL=C perl -e 'for my $kind (0 .. 199) {
    socket(my $s, 1, 1, 0) or die;
    connect($s, pack("S a*", 1, $ARGV[0])) or die "$!";
    syswrite $s, join "", map { chr rand 256 } 1 .. 1 + rand 2000;
    shutdown $s, 1; my $answer; sysread $s, $answer, 4096;
    die "answered: $answer" if $answer && $answer !~ m{^HTTP/1.1 [45]};
}' "$socket"
expect_exit 0 timeout 60 env LC_ALL=C perl -e 'my @held; $SIG{PIPE} = "IGNORE";
for my $count (1 .. 2000) {
    socket(my $s, 1, 1, 0) or die;
    connect($s, pack("S a*", 1, $ARGV[0])) or die "$count: $!";
    syswrite $s, "GET /v1" if $count % 2; push @held, $s; @held = () if @held > 900;
}
exit system("pcivm", "vm", "show", "web") >> 8' "$socket"
expect_match "shown among many connections" "$stdout" "running"

# Ended by the power button.
expect_exit 0 pcivm vm stop web -o json
document
expect_eq "how it ended" "$(json .end)" powerOff
stopped
wait "$waiter" || fail "exit code of wait is $?"
expect_eq "what wait says" "$(jq -r .end ended.json)" powerOff
wait "$one" "$two" || fail "a console does not end well"
grep -q "LAB-INIT" console.one || fail "the first console misses the beginning"
grep -q "LAB-RESULT button=1" console.two || fail "the second console misses the end"
expect_exit 0 pcivm vm logs web
expect_match "the log afterwards" "$stdout" "LAB-RESULT button=1"

# By force, and by a kill; a guest that does not obey is not ended for it.
expect_exit 0 pcivm vm start web
expect_exit 8 pcivm vm stop web --timeout 1
expect_match "hint" "$stderr" "vm stop web --force"
expect_exit 0 pcivm vm stop web --force
stopped
expect_exit 0 pcivm vm start web
expect_exit 0 pcivm vm stop web --kill
stopped

# A supervisor that was killed leaves its socket, which the next one takes.
expect_exit 0 pcivm vm start web
kill -KILL "$(pcivm vm show web -o json | jq .pid)"
dead() { [[ $(state) == dead ]]; }
expect_within 20 dead
[[ -S $socket ]] || fail "the killed VM left no socket"
expect_exit 0 pcivm device release "$vf"
expect_exit 0 pcivm vm start web
expect_eq "state after a kill" "$(state)" running
expect_exit 0 pcivm vm restart web --force
expect_eq "state after restart" "$(state)" running
expect_exit 0 pcivm vm stop web --force
stopped
expect_exit 0 pcivm vm delete web --yes
expect_exit 3 pcivm vm show web

# One that is not defined, and is typed to.
expect_exit 0 pcivm vm run typed --detach --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 128M --cpus 1 \
    --cmdline "$(guest_cmdline typed)"
ready() { pcivm vm logs typed | grep -q "LAB-RESULT ready=1"; }
expect_within 120 ready
expect_exit 0 timeout 60 pcivm vm console typed <<<"hello guest"
expect_eq "what the guest read" "$(result typed)" "hello guest"
expect_within 10 free typed

# A start that fails says why.
expect_exit 2 pcivm vm run bad --detach --kernel /lab/l2/initrd
expect_match "message" "$stderr" "neither a bzImage"
