// SPDX-License-Identifier: GPL-2.0-or-later
// Options that are lists themselves: path=FILE,format=raw,readonly.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace pcivm::cli {

/// Strict: each key once, no unknown key, no key without a value where one is wanted. A comma in a value is written
/// twice.
class OptionList final {
 public:
  struct Keys {
    std::vector<std::string_view> valued;  ///< key=value
    std::vector<std::string_view> flags;   ///< the key alone
  };
  /// Errc::invalid names `option`, the key and what may be there.
  [[nodiscard]] static Result<OptionList> parse(std::string_view option, std::string_view text, const Keys& keys);

  [[nodiscard]] bool flag(std::string_view key) const { return values_.contains(key); }
  [[nodiscard]] std::optional<std::string> value(std::string_view key) const;
  /// Errc::invalid when absent.
  [[nodiscard]] Result<std::string> required(std::string_view key) const;
  /// A number from `least` to `most`; `otherwise` when absent.
  [[nodiscard]] Result<unsigned> number(std::string_view key, unsigned most, unsigned otherwise,
                                        unsigned least = 1) const;
  /// One of `choices`; the first when absent.
  [[nodiscard]] Result<std::string> choice(std::string_view key, const std::vector<std::string_view>& choices) const;

 private:
  std::string option_;
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace pcivm::cli
