# SPDX-License-Identifier: GPL-2.0-or-later
# The power fails in the middle of `pcivm apply`; after the next boot the host is as written, and nothing is half done.
# topologies: systemd
# deadline: 120
# needs: pcivm
. /lab/cases/lib.sh
. /lab/cases/boot.sh

# At which record that apply keeps the power fails: one for each boot. The soak takes them all.
cuts=${CUTS-1 4 9}

# stopped PID: is it stopped for good? A traced process is so for moments, too.
stopped() {
    local sample
    for sample in 1 2 3 4 5; do
        [[ $(awk '{ print $3 }' "/proc/$1/stat" 2>/dev/null) == [tT] ]] || return 1
        sleep 0.2
    done
}

# cut_at NUMBER: starts apply and exits for a power cut once it is at that record; returns when apply ended before.
cut_at() {
    local applying
    strace -f -qq -o strace.log -e trace=rename -e "inject=rename:signal=STOP:when=$1" pcivm apply --yes >apply.out 2>&1 &
    while kill -0 $! 2>/dev/null; do
        applying=$(pgrep -P $! -x pcivm) # the service that watches is a pcivm, too
        if [[ -n $applying ]] && stopped "$applying"; then
            echo "cut at record $1: $(grep -c rename strace.log) renames"
            exit 43
        fi
        sleep 0.1
    done
    wait $! || { cat apply.out; fail "apply failed"; }
}

if ((LAB_BOOT == 0)); then
    describe_host
    echo 0 >count
elif [[ -e finished ]]; then
    expect_eq "VFs after a boot without a configuration" "$(<"$pci/$(bdf igb)/sriov_numvfs")" 0
    exit 0
else
    # What the power cut left was put in order by the units, and the file was applied.
    expect_described
    expect_before_network
    expect_units_well
    expect_eq "journal" "$(ls /run/pcivm/journal 2>/dev/null)" ""
    [[ ! -e /var/lib/pcivm/apply/running ]] || fail "the record of the apply that the power cut ended is still there"
    expect_exit 0 systemctl stop pcivm-watch
    expect_exit 0 pcivm vf destroy "$(bdf igb)" --yes
fi

done=$(<count)
for number in $cuts; do
    ((number > done)) || continue
    echo "$number" >count
    sync
    cut_at "$number"
    expect_described
    break
done
forget_host
echo yes >finished
sync
exit 42
