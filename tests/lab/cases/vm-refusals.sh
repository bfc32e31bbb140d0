# SPDX-License-Identifier: GPL-2.0-or-later
# What cannot become a VM is refused with the exit code of its kind, one message, and nothing changed.
# topologies: vtd
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
driver=$(driver_of "$vf")
[[ $driver == igbvf ]] || fail "the VF is on '$driver', wanted igbvf"

refused() { # CODE REGEX [OPTION...]
    local wanted=$1 message=$2
    shift 2
    expect_exit "$wanted" timeout 20 pcivm vm run web --initrd /lab/l2/initrd --device "$vf" "$@"
    expect_match "message" "$stderr" "$message"
    expect_eq "driver of the VF" "$(driver_of "$vf")" igbvf
    [[ ! -e /run/pcivm/vm/web ]] || fail "the VM's directory is still there"
}
head -c 300 /lab/l2/bzImage >short
head -c 2000000 /lab/l2/vmlinux >truncated
head -c 100000 /dev/urandom >noise

refused 3 "absent" --kernel absent
refused 2 "short" --kernel short
refused 2 "truncated" --kernel truncated
refused 2 "noise" --kernel noise
refused 2 "regular file" --kernel /dev/zero
refused 2 "." --kernel /lab/l2/vmlinux --memory 32M
refused 2 "memory" --kernel /lab/l2/vmlinux --memory plenty
refused 2 "." --kernel /lab/l2/vmlinux --cpus 0
refused 2 "." --kernel /lab/l2/vmlinux --cpus 256
refused 2 "." --kernel /lab/l2/vmlinux --device "$vf"
refused 2 "malformed" --kernel /lab/l2/vmlinux --device 00:zz.0
refused 3 "00:1d.7" --kernel /lab/l2/vmlinux --device 0000:00:1d.7
refused 5 "bridge" --kernel /lab/l2/vmlinux --device "$(bdf port)"

# A supervisor that may neither lock memory without limit nor raise the limit.
weak=(prlimit --memlock=1048576:1048576 setpriv --bounding-set -ipc_lock,-sys_resource)
expect_exit 6 timeout 20 "${weak[@]}" pcivm vm run web --kernel /lab/l2/vmlinux --device "$vf"
expect_match "message" "$stderr" "limited to 1024 KiB, wanted .*LimitMEMLOCK="
expect_eq "driver of the VF" "$(driver_of "$vf")" igbvf

mv /dev/kvm /dev/kvm.away
defer mv /dev/kvm.away /dev/kvm
refused 3 "/dev/kvm" --kernel /lab/l2/vmlinux
