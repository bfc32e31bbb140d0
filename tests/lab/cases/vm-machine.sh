# SPDX-License-Identifier: GPL-2.0-or-later
# The legacy devices and interrupt controllers as a kernel of our own sees them (tests/kernel), each register behaviour a test.
# topologies: vtd
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

[[ -e /lab/bin/machine_kernel ]] || fail "there is no machine_kernel: ninja -C build/release machine_kernel"
expect_exit 0 pcivm vm run machine --kernel /lab/bin/machine_kernel --memory 64M
expect_eq "tests that failed or were left out" "$(grep -vE '^ok |passed' <<<"$stdout")" ""
expect_match "the end" "$(tail -n 1 <<<"$stdout")" '^[1-9][0-9]+ passed, 0 failed'
