// SPDX-License-Identifier: GPL-2.0-or-later
// The root under which /sys, /proc, /dev, /etc and /run are looked up: "/" on a live host, a directory for tests and
// for reading a captured host (`--root DIR`).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm {

/// What a test lets "the kernel" do with a write: 0 = accept (after changing the tree as the kernel would), an errno,
/// or kWriteBlocks for one that never returns.
inline constexpr int kWriteBlocks = -1;
using WriteHook = std::function<int(std::string_view path, std::string_view value)>;

/// All paths are absolute inside the root; symbolic links cannot leave it. Single-threaded use.
class SysRoot final {
 public:
  [[nodiscard]] static Result<SysRoot> open(std::string path = "/");

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool live() const { return path_ == "/"; }
  /// Full path of `path` for libraries that open files themselves.
  [[nodiscard]] std::string host_path(std::string_view path) const;

  [[nodiscard]] Result<Fd> open_file(std::string_view path, int flags) const;
  /// The same, but fails where a link on the way is absolute or leads out of the root; on the live host none does.
  [[nodiscard]] Result<Fd> open_strictly(std::string_view path, int flags) const;
  [[nodiscard]] bool exists(std::string_view path) const;
  /// File content without its trailing newline.
  [[nodiscard]] Result<std::string> read(std::string_view path) const;
  /// Target of a symbolic link, as written.
  [[nodiscard]] Result<std::string> link(std::string_view path) const;
  /// Last component of a link's target: the driver's name from "driver", the group number from "iommu_group".
  /// Empty when there is no such link.
  [[nodiscard]] std::string link_name(std::string_view path) const;
  /// Sorted entries of a directory, without "." and ".."; a missing directory is Errc::not_found.
  [[nodiscard]] Result<std::vector<std::string>> list(std::string_view path) const;

  /// One write(2) of `value` to an existing file, as sysfs wants it. Error text: "write 'VALUE' to 'PATH'".
  [[nodiscard]] Result<void> write(std::string_view path, std::string_view value) const;
  /// The same in a child process: a write that blocks in the kernel (sriov_numvfs, unbind, reset) is given up after
  /// `deadline` with Errc::timeout. The child is then left behind, because the kernel may not let it die.
  [[nodiscard]] Result<void> write_within(std::string_view path, std::string_view value,
                                          std::chrono::milliseconds deadline) const;

  /// Tests only: every write goes to `hook` instead of the file.
  void on_write(WriteHook hook);

 private:
  SysRoot(std::string path, Fd directory) : path_{std::move(path)}, directory_{std::move(directory)} {}
  Result<Fd> open_resolving(std::string_view path, int flags, unsigned resolve) const;

  std::string path_;
  Fd directory_;
  WriteHook hook_;
};

}  // namespace pcivm
