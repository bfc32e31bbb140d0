// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/vm_config.hpp"

#include <fmt/format.h>

namespace pcivm::vmm {

std::string_view to_string(OnError how) {
  switch (how) {
    case OnError::stop: return "stop";
    case OnError::detach: return "detach";
    case OnError::reset: return "reset";
  }
  return "unknown";
}

Result<OnError> on_error_named(std::string_view name) {
  for (const auto how : {OnError::stop, OnError::detach, OnError::reset}) {
    if (name == to_string(how)) return how;
  }
  return fail(Errc::invalid, fmt::format("'{}' found, stop, detach or reset wanted", name.substr(0, 64)));
}

}  // namespace pcivm::vmm
