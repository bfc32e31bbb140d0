# SPDX-License-Identifier: GPL-2.0-or-later
# With systemd a VM is a unit: started by pcivm or systemctl, ready when its guest runs, stopped by the power button. A
# start that fails says why, with the exit code of its reason.
# topologies: systemd
# needs: pcivm
# deadline: 300
. /lab/cases/lib.sh

defer rm -rf /etc/pcivm/vm /var/log/pcivm
defer systemctl reset-failed
unit=pcivm-vm@web.service
says() { pcivm vm logs web | grep -qE "$1"; }

expect_exit 0 pcivm vm create web --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 128M --cpus 1 \
    --cmdline "$(guest_cmdline wait-button)"
defer systemctl stop "$unit"
expect_exit 0 pcivm vm start web
expect_eq "the unit is" "$(systemctl is-active "$unit")" active
expect_eq "main process" "$(systemctl show -p MainPID --value "$unit")" "$(pcivm vm show web -o json | jq .pid)"
expect_within 120 says "LAB-RESULT ready=1"
expect_exit 0 systemctl stop "$unit"
expect_eq "result" "$(systemctl show -p Result --value "$unit")" success
expect_exit 0 pcivm vm logs web
expect_match "the log afterwards" "$stdout" "LAB-RESULT button=1"

expect_exit 0 systemctl start "$unit"
expect_eq "state" "$(pcivm vm show web -o json | jq -r .state)" running
expect_exit 0 pcivm vm stop web --force
inactive() { [[ $(systemctl is-active "$unit") == inactive ]]; }
expect_within 20 inactive

sed -i 's|^kernel: .*|kernel: /nowhere|' /etc/pcivm/vm/web.yaml
expect_exit 3 pcivm vm start web
expect_match "message" "$stderr" "/nowhere"
expect_exit 0 pcivm vm delete web --yes
