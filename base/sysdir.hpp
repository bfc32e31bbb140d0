// SPDX-License-Identifier: GPL-2.0-or-later
// A directory of a SysRoot kept open for reading very many small files below it: opening and reading one are one system
// call each, and descriptors are closed many at a time.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm {

/// Paths are relative, "0000:01:00.0/uevent". Lives shorter than its SysRoot; single-threaded.
class SysDir final {
 public:
  /// What one read of an attribute of sysfs can give (fs/sysfs/file.c).
  static constexpr std::size_t kPage = 4096;

  /// Errc::not_found when there is no such directory.
  [[nodiscard]] static Result<SysDir> open(const SysRoot& root, std::string path);
  SysDir(SysDir&&) = default;
  SysDir& operator=(SysDir&&) = delete;
  ~SysDir();

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Text of a file without its trailing newline, up to a page; empty when it is absent, unreadable or empty.
  [[nodiscard]] std::string read(std::string_view below);
  /// Fills `buffer` by one read(2) and says how much came; 0 when the file is absent or unreadable.
  [[nodiscard]] std::size_t read_into(std::string_view below, std::span<std::byte> buffer);
  /// Target of a link, as written; empty when there is none.
  [[nodiscard]] std::string link(std::string_view below);
  /// Its last component.
  [[nodiscard]] std::string link_name(std::string_view below);

 private:
  SysDir(const SysRoot& root, std::string path, Fd directory)
      : root_{&root}, path_{std::move(path)}, directory_{std::move(directory)} {}
  [[nodiscard]] std::string path_below(std::string_view below) const;
  Fd open_below(std::string_view below);
  bool stays_inside(std::string_view below);
  void spend(Fd file);
  void close_spent();

  const SysRoot* root_;
  std::string path_;
  Fd directory_;
  std::string inside_{};  ///< first component that was seen to lead to a place within the root; not of the live host
  std::vector<Fd> spent_{};
};

}  // namespace pcivm
