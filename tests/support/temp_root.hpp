// SPDX-License-Identifier: GPL-2.0-or-later
// A temporary directory that stands for "/" in tests: files, links and directories are made by absolute path.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/sysroot.hpp"

namespace pcivm::test {

class TempRoot final {
 public:
  TempRoot() {
    auto pattern = (place() / "pcivm-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
  }
  TempRoot(const TempRoot&) = delete;
  TempRoot& operator=(const TempRoot&) = delete;
  ~TempRoot() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::filesystem::path path(std::string_view inside) const {
    return path_ / std::filesystem::path{inside}.relative_path();
  }
  void file(std::string_view inside, std::string_view content) const {
    std::filesystem::create_directories(path(inside).parent_path());
    std::ofstream{path(inside), std::ios::binary} << content;
  }
  void directory(std::string_view inside) const { std::filesystem::create_directories(path(inside)); }
  void link(std::string_view inside, std::string_view target) const {
    std::filesystem::create_directories(path(inside).parent_path());
    std::filesystem::remove(path(inside));
    std::filesystem::create_symlink(target, path(inside));
  }
  void remove(std::string_view inside) const { std::filesystem::remove_all(path(inside)); }
  [[nodiscard]] SysRoot root() const { return SysRoot::open(path_.string()).value(); }

 private:
  // In memory where possible, as /sys and /run are: on a disk every fsync(2) of a journal would wait for it.
  static std::filesystem::path place() {
    const std::filesystem::path memory{"/dev/shm"};
    const bool usable = ::getenv("TMPDIR") == nullptr && ::access(memory.c_str(), W_OK) == 0;
    return usable ? memory : std::filesystem::temp_directory_path();
  }

  std::filesystem::path path_;
};

}  // namespace pcivm::test
