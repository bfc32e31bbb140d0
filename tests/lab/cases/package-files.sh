# SPDX-License-Identifier: GPL-2.0-or-later
# The package on a running host: its files and units are there, a VM keeps it from being removed, purging it leaves nothing.
# topologies: systemd
# deadline: 180
# needs: pcivm
. /lab/cases/lib.sh

# of_pcivm: files anywhere that are named for pcivm, but for those of the lab.
of_pcivm() {
    find / \( -path /proc -o -path /sys -o -path /lab -o -path /dev -o -path /run/udev -o -path /tmp -o -path /var/tmp -o -path /run/systemd/units \
        -o -path /sys/fs/cgroup \) -prune -o -name '*pcivm*' -print
}

missing=$(dpkg -L pcivm | while read -r file; do [[ -e $file ]] || echo "$file"; done)
expect_eq "files of the package that are absent" "$missing" ""
expect_exit 0 dpkg --verify pcivm
expect_eq "files that are not as packaged" "$stdout" ""
expect_exit 0 pcivm doctor -o json
document
expect_match "the manual" "$(zcat /usr/share/man/man1/pcivm.1.gz | mandoc -T ascii)" "hands|PCI"
expect_eq "failed units" "$(systemctl --failed --no-legend)" ""
for unit in $(dpkg -L pcivm | grep -oE '[^/]*\.service$' | grep -v @); do
    expect_eq "$unit is" "$(systemctl is-enabled "$unit")" enabled
done

guest_start sleep
guest_says "LAB-RESULT ready=1"
expect_exit 1 dpkg --remove pcivm
expect_match "the refusal" "$stderr" "these VMs run: guest-sleep "
expect_exit 0 dpkg --install /lab/pcivm.deb
kill -0 "$guest" || fail "installing the package again ended the VM"
expect_eq "the VM's lock" "$(flock --nonblock /run/pcivm/vm/guest-sleep/lock true || echo held)" held
guest_kill "$guest" guest-sleep

mkdir -p /etc/pcivm
echo "# the admin's own" >/etc/pcivm/host.yaml
defer rm -rf /etc/pcivm
defer dpkg --install /lab/pcivm.deb
expect_exit 0 dpkg --remove pcivm
expect_eq "the configuration after removal" "$(</etc/pcivm/host.yaml)" "# the admin's own"
expect_exit 0 dpkg --purge pcivm
expect_eq "left after purge" "$(of_pcivm)" ""
expect_eq "units after purge" "$(systemctl list-units --all --no-legend 'pcivm*')" ""
expect_exit 0 dpkg --install /lab/pcivm.deb
expect_eq "failed units" "$(systemctl --failed --no-legend)" ""
