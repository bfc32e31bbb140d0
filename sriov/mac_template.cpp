// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/mac_template.hpp"

#include <string>

#include <fmt/format.h>

namespace pcivm::sriov {

namespace {

constexpr std::string_view kIndex{"%02x"};
constexpr unsigned kOctet{256};

}  // namespace

Result<MacAddress> mac_of(std::string_view pattern, unsigned index) {
  const auto at = pattern.find(kIndex);
  std::string text{pattern};
  if (at != std::string_view::npos) {
    if (pattern.find('%', at + kIndex.size()) != std::string_view::npos) {
      return fail(Errc::invalid, fmt::format("'{}' has more than one %, wanted one %02x", pattern));
    }
    if (index >= kOctet) {
      return fail(Errc::invalid,
                  fmt::format("'{}' gives {} addresses, one for VF {} is wanted", pattern, kOctet, index));
    }
    text.replace(at, kIndex.size(), fmt::format("{:02x}", index));
  }
  return TRY_IN(MacAddress::parse(text), fmt::format("VF {}", index));
}

Result<std::vector<MacAddress>> macs_of(std::string_view pattern, unsigned count) {
  if (count > 1 && pattern.find(kIndex) == std::string_view::npos) {
    return fail(Error::make(Errc::invalid, fmt::format("{} VFs cannot all have the address {}", count, pattern))
                    .advise("write %02x in place of one octet, as in 02:11:22:33:44:%02x"));
  }
  std::vector<MacAddress> macs;
  for (unsigned index = 0; index < count; ++index) macs.push_back(TRY(mac_of(pattern, index)));
  return macs;
}

}  // namespace pcivm::sriov
