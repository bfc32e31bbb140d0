// SPDX-License-Identifier: GPL-2.0-or-later
// The seed that cloud-init finds on a disk (its data source NoCloud): who may log in, what to set up at the first boot.
#pragma once

#include <string>

#include "base/result.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::cli {

/// user-data=FILE, meta-data=FILE, network-config=FILE, or user=NAME, ssh-key=FILE, hostname=NAME of which user-data
/// and meta-data are made; as a read-only disk in memory with a VFAT file system labelled CIDATA. `vm` is its host name
/// unless one is given. Errc::invalid: what cannot be; not_found: a file is missing.
[[nodiscard]] Result<vmm::DiskConfig> make_seed(const std::string& vm, const std::string& options);

}  // namespace pcivm::cli
