// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/sysroot.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/child.hpp"

namespace pcivm {

namespace {

constexpr int kAttempts{1'000};
constexpr std::string_view kSysfs = "/sys/";
constexpr std::size_t kAttributeRoom = 4096;  // what sysfs gives in one read (fs/sysfs/file.c)
constexpr std::size_t kDirectoryRoom = 32768;

std::string relative(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  return path.empty() ? "." : std::string{path};
}

// An attribute is shown whole, so that what is shorter than the room has no more behind it.
Result<std::string> read_attribute(FdRef fd) {
  std::string text(kAttributeRoom, '\0');
  const auto count = TRY(read_some(fd, std::as_writable_bytes(std::span{text})));
  if (count == text.size()) return text + TRY(read_to_end(fd));
  text.resize(count);
  return text;
}

}  // namespace

Result<SysRoot> SysRoot::open(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  auto directory = TRY(open_path(path, O_PATH | O_DIRECTORY));
  return SysRoot{std::move(path), std::move(directory)};
}

std::string SysRoot::host_path(std::string_view path) const {
  return live() ? std::string{path} : path_ + std::string{path};
}

Result<Fd> SysRoot::open_file(std::string_view path, int flags) const {
  // Absolute links of a captured host must resolve inside the root, hence openat2(2).
  return open_resolving(path, flags, RESOLVE_IN_ROOT);
}

Result<Fd> SysRoot::open_strictly(std::string_view path, int flags) const {
  return open_resolving(path, flags, RESOLVE_BENEATH);
}

Result<Fd> SysRoot::open_resolving(std::string_view path, int flags, unsigned resolve) const {
  if (live()) return open_path(std::string{path}, flags);
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.resolve = resolve;
  const auto name = relative(path);
  long raw = -1;
  // EAGAIN: while a ".." was walked, something was renamed or mounted somewhere on this machine (openat2(2)).
  for (int attempt = 0; attempt < kAttempts && raw < 0; ++attempt) {
    raw = ::syscall(SYS_openat2, directory_.ref().number(), name.c_str(), &how, sizeof how);
    if (raw < 0 && errno != EAGAIN) break;
  }
  if (raw < 0) return fail_errno(errno, fmt::format("open '{}'", path));
  return Fd::adopt(static_cast<int>(raw));
}

bool SysRoot::exists(std::string_view path) const {
  if (live()) return ::access(std::string{path}.c_str(), F_OK) == 0;
  return open_file(path, O_PATH).has_value();
}

Result<std::string> SysRoot::read(std::string_view path) const {
  const auto fd = TRY(open_file(path, O_RDONLY));
  const bool attribute = live() && path.starts_with(kSysfs);
  auto text = TRY_IN(attribute ? read_attribute(fd.ref()) : read_to_end(fd.ref()), fmt::format("read '{}'", path));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<std::string> SysRoot::link(std::string_view path) const {
  std::array<char, PATH_MAX> target{};
  ssize_t length = -1;
  if (live()) {
    length = ::readlink(std::string{path}.c_str(), target.data(), target.size());
  } else {
    const auto fd = TRY(open_file(path, O_PATH | O_NOFOLLOW));
    length = ::readlinkat(fd.ref().number(), "", target.data(), target.size());
  }
  if (length < 0) return fail_errno(errno, fmt::format("readlink '{}'", path));
  return std::string{target.data(), static_cast<std::size_t>(length)};
}

std::string SysRoot::link_name(std::string_view path) const {
  const auto target = link(path);
  if (!target) return {};
  return target->substr(target->rfind('/') + 1);  // npos + 1 is 0: a target without slash is its own name
}

// Less than half of the system calls of readdir(3), which needs a descriptor of its own.
Result<std::vector<std::string>> SysRoot::list(std::string_view path) const {
  const auto fd = TRY(open_file(path, O_RDONLY | O_DIRECTORY));
  std::vector<std::string> names;
  alignas(dirent64) std::array<char, kDirectoryRoom> entries{};
  for (;;) {
    const auto length = ::getdents64(fd.ref().number(), entries.data(), entries.size());
    if (length < 0) return fail_errno(errno, fmt::format("list '{}'", path));
    if (length == 0) break;
    for (std::size_t at = 0; std::cmp_less(at, length);) {
      const std::string_view name{&entries.at(at + offsetof(dirent64, d_name))};  // the kernel ends it with a zero
      if (name != "." && name != "..") names.emplace_back(name);
      decltype(dirent64::d_reclen) size{};
      std::memcpy(&size, &entries.at(at + offsetof(dirent64, d_reclen)), sizeof size);
      at += size;
    }
  }
  std::ranges::sort(names);
  return names;
}

Result<void> SysRoot::write(std::string_view path, std::string_view value) const {
  const auto what = [&] {
    auto shown = std::string{value};
    if (shown.ends_with('\n')) shown.pop_back();
    return fmt::format("write '{}' to '{}'", shown, path);
  };
  if (hook_) {
    const int error = hook_(path, value);
    if (error == kWriteBlocks) return fail(Errc::timeout, what() + ": still blocked in the kernel");
    if (error != 0) return fail_errno(error, what());
    return {};
  }
  const auto fd = TRY(open_file(path, O_WRONLY));
  const auto count = write_some(fd.ref(), std::as_bytes(std::span{value}));
  if (!count) return fail_errno(count.error().sys_errno(), what());
  if (*count != value.size()) return fail_errno(EIO, what());
  return {};
}

Result<void> SysRoot::write_within(std::string_view path, std::string_view value,
                                   std::chrono::milliseconds deadline) const {
  if (hook_) return write(path, value);
  const auto outcome = TRY_IN(run_child(
                                  [&] {
                                    const auto done = write(path, value);
                                    return done ? 0 : done.error().sys_errno();
                                  },
                                  deadline),
                              fmt::format("write '{}' to '{}'", value, path));
  if (outcome != 0) return fail_errno(outcome, fmt::format("write '{}' to '{}'", value, path));
  return {};
}

void SysRoot::on_write(WriteHook hook) { hook_ = std::move(hook); }

}  // namespace pcivm
