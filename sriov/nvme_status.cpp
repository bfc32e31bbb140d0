// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/nvme_status.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace pcivm::sriov {

namespace {

constexpr unsigned kCodeAndType{0x7ff};

struct Status {
  unsigned code;
  std::string_view words;
  std::string_view hint{};
};
constexpr std::array kStatuses{
    Status{0x001, "invalid command opcode", "the drive's firmware does not offer this command"},
    Status{0x002, "invalid field in command"},
    Status{0x004, "data transfer error"},
    Status{0x006, "internal error of the drive"},
    Status{0x007, "command aborted"},
    Status{0x00b, "invalid namespace or format"},
    Status{0x00c, "command sequence error"},
    Status{0x10a, "invalid format"},
    Status{0x118, "namespace already attached"},
    Status{0x119, "namespace is private", "a private namespace belongs to one controller: detach it there first"},
    Status{0x11a, "namespace not attached"},
    Status{0x11c, "controller list invalid"},
    Status{0x11f, "invalid controller identifier", "some drives know a secondary controller only while its VF exists"},
    Status{0x120, "invalid secondary controller state",
           "a controller goes online while its VF exists, with at least 2 queues and 1 interrupt, and takes resources "
           "only while it is offline"},
    Status{0x121, "invalid number of controller resources", "ask for fewer: --set vq=N --set vi=N"},
    Status{0x122, "invalid resource identifier", "fewer resources are free than are asked for"},
    Status{0x370, "host path error: the controller is being reset"},
    Status{0x371, "command aborted by the host: the controller did not answer in time"},
};

const Status* find(unsigned status) {
  const auto found = std::ranges::find(kStatuses, status & kCodeAndType, &Status::code);
  return found == kStatuses.end() ? nullptr : &*found;
}

}  // namespace

std::string nvme_status_text(unsigned status) {
  const auto* known = find(status);
  return fmt::format("{} (NVMe status {:#x})", known != nullptr ? known->words : "refused", status);
}

Error nvme_error(unsigned status, std::string what) {
  auto error = Error::make(Errc::kernel, fmt::format("{}: {}", what, nvme_status_text(status))).coded("nvme.status");
  const auto* known = find(status);
  if (known == nullptr || known->hint.empty()) return error;
  return std::move(error).advise(std::string{known->hint});
}

}  // namespace pcivm::sriov
