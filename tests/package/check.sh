# SPDX-License-Identifier: GPL-2.0-or-later
# check.sh DEB: in a minimal tree (tests/lab/labkit/suite.py), the package is installed with what it depends on, upgraded,
# refused to be removed while a VM runs, removed and purged. Then every file of the tree is as it was before.
set -u
deb=$1
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt=(apt-get -qq -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0)
failed=0

ok() { echo "ok    $1"; }
fail() {
    echo "FAIL  $1"
    failed=1
}
# step TEXT COMMAND...
step() {
    local text=$1
    shift
    if "$@"; then ok "$text"; else fail "$text"; fi
}

# Every file with its kind, mode, owner and target, and the content of what is configured or registered; but for what
# apt, dpkg and ldconfig write for themselves.
files() {
    find / \( -path /proc -o -path /sys -o -path /dev -o -path /package -o -path /tmp -o -path /run/lab -o -path /run/systemd -o -path /var/cache/apt \
        -o -path /var/lib/apt -o -path /var/cache/ldconfig -o -path /var/log -o -path '/var/lib/dpkg/*-old' -o -path /var/lib/dpkg/lock \
        -o -path /var/lib/dpkg/lock-frontend -o -path /var/lib/dpkg/triggers/Lock -o -path /etc/ld.so.cache -o -path /var/cache/debconf \
        -o -path /var/lib/dpkg/status -o -path /var/cache/man \) -prune -o -printf '%y %m %u:%g %p %l\n' | sort
    find /etc /var/lib/systemd /var/lib/dpkg/diversions /var/lib/dpkg/statoverride -type f ! -name ld.so.cache -exec sha256sum {} + | sort -k 2
    dpkg-query -W
}
before=$(files)

install_new() { "${apt[@]}" install --no-install-recommends "$deb"; }
step "installs with what it depends on" install_new
step "is configured" test "$(dpkg-query -W -f '${db:Status-Status}' pcivm)" = installed

all_there() {
    local missing
    missing=$(dpkg -L pcivm | while read -r file; do [[ -e $file ]] || echo "$file"; done)
    # Trees for containers leave documents out; this one does not.
    [[ -z $missing ]] || { echo "absent: $missing"; return 1; }
}
step "has every file of its list" all_there
runs() { pcivm --version && pcivm device list >/dev/null && pcivm doctor -o json >/dev/null; }
step "the program runs" runs
pages() {
    local page
    for page in $(dpkg -L pcivm | grep '/man/man.*gz$'); do
        zcat "$page" | mandoc -T ascii | grep -q . || { echo "does not render: $page"; return 1; }
    done
}
step "every manual page renders" pages
completes() { bash -n /usr/share/bash-completion/completions/pcivm && pcivm __complete "" | grep -q device; }
step "completion is there and answers" completes

units() { systemd-analyze verify --man=no --recursive-errors=no $(dpkg -L pcivm | grep -E '/system/pcivm.*\.(service|socket)$'); }
step "its units are sound" units

touch /etc/udev/rules.d/04-pcivm-early.rules /etc/udev/rules.d/61-pcivm-host.rules
mkdir -p /var/lib/pcivm /etc/pcivm /run/pcivm/vm/web /run/pcivm/vm/stale
: >/run/pcivm/vm/stale/lock
echo "# the admin's own" >/etc/pcivm/host.yaml
flock /run/pcivm/vm/web/lock sleep 600 &
vm=$!
sleep 0.5

upgrade() {
    local place
    place=$(mktemp -d)
    dpkg-deb -R "$deb" "$place/new" && sed -i 's/^Version: .*/&+next/' "$place/new/DEBIAN/control" &&
        dpkg-deb -b "$place/new" "$place/new.deb" >/dev/null && dpkg -i "$place/new.deb"
}
step "upgrades while a VM runs" upgrade
step "the upgrade left the VM and the admin's file alone" test -e /run/pcivm/vm/web/lock -a -s /etc/pcivm/host.yaml -a -d "/proc/$vm"

refused() {
    local said
    if said=$(dpkg -r pcivm 2>&1); then echo "removed: $said"; return 1; fi
    grep -q 'these VMs run: web $' <<<"$said" || { echo "$said"; return 1; }
    [[ $(dpkg-query -W -f '${db:Status-Status}' pcivm) == installed ]]
}
step "removal is refused while a VM runs, and names it and no dead one" refused
kill "$(pgrep -P "$vm" sleep)" "$vm" 2>/dev/null
wait "$vm" 2>/dev/null

step "is removed when no VM runs" dpkg -r pcivm
step "removal keeps the admin's file" test -s /etc/pcivm/host.yaml
# Which units are enabled is kept until the purge, as for every package.
left_by_removal() {
    local left
    left=$(find / -xdev \( -path /proc -o -path /package -o -path /run -o -path /var/cache \) -prune -o -name '*pcivm*' -print | grep -v -e '^/etc/pcivm$' -e '^/var/lib/dpkg/info/' -e '^/tmp' -e '^/var/lib/systemd/deb-systemd-helper' -e '^/etc/systemd/system/' -e '^/var/lib/pcivm$')
    [[ -z $left ]] || { echo "left: $left"; return 1; }
}
step "removal leaves nothing else of its own" left_by_removal

purge() { dpkg -P pcivm && "${apt[@]}" autoremove --purge; }
step "is purged with what came with it" purge
untouched() {
    local changed
    changed=$(diff <(echo "$before") <(files) | grep '^[<>]') || return 0
    echo "$changed" | head -n 40
    return 1
}
step "after purge every file is as it was before" untouched
exit "$failed"
