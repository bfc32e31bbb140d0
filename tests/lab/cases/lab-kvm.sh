# SPDX-License-Identifier: GPL-2.0-or-later
# The host has a KVM with nested paging.
# topologies: vtd amdvi noir noiommu
. /lab/cases/lib.sh

[[ -c /dev/kvm ]] || fail "no /dev/kvm"
expect_eq "nested paging" "$(</sys/module/kvm_amd/parameters/npt)" Y
