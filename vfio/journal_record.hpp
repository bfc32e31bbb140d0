// SPDX-License-Identifier: GPL-2.0-or-later
// Small records that survive a crash: key=value lines closed by a checksum, replaced as a whole file.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

/// An ordered set of key=value pairs. Keys are [a-z0-9_.]; values may hold any byte.
class Record final {
 public:
  void set(std::string_view key, std::string_view value);
  /// Empty when there is no such key.
  [[nodiscard]] std::string get(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& fields() const { return fields_; }

  [[nodiscard]] std::string serialize() const;
  /// Accepts exactly what serialize() makes; anything cut short or changed is Errc::invalid.
  [[nodiscard]] static Result<Record> parse(std::string_view text);

  bool operator==(const Record&) const = default;

 private:
  std::map<std::string, std::string, std::less<>> fields_;
};

/// replace_file() with a record, of mode 0600 in directories of mode 0700.
[[nodiscard]] Result<void> store(const SysRoot& root, std::string_view path, const Record& record);
/// Errc::not_found when there is none, Errc::invalid when it is damaged.
[[nodiscard]] Result<Record> load(const SysRoot& root, std::string_view path);
/// Removes the file; none there is success.
[[nodiscard]] Result<void> erase(const SysRoot& root, std::string_view path);

}  // namespace pcivm::vfio
