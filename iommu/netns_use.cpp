// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/netns_use.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "base/child.hpp"
#include "base/parse.hpp"
#include "iommu/process_use.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kNamed{"/run/netns"};  // ip-netns(8)
constexpr std::chrono::seconds kPatience{5};

struct Namespace {
  std::string handle;  // the file that stands for it
  std::string name;    // as the operator knows it
  std::string pid;     // a process in it; empty = not known
};

std::string directory_of(Bdf function) { return fmt::format("/sys/bus/pci/devices/{}/net", function.to_string()); }

// "net:[4026532249]" of a process; the inode of a named one is the same number.
std::string identity_of(const SysRoot& root, const std::string& handle) {
  if (auto link = root.link(handle)) return *link;
  struct stat found{};
  const auto file = root.open_file(handle, O_RDONLY);
  if (!file || ::fstat(file->ref().number(), &found) != 0) return {};
  return fmt::format("net:[{}]", found.st_ino);
}

std::vector<Namespace> other_namespaces(const SysRoot& root) {
  std::vector<Namespace> found;
  std::set<std::string> seen{identity_of(root, "/proc/self/ns/net")};
  for (const auto& name : root.list(kNamed).value_or(std::vector<std::string>{})) {
    auto handle = fmt::format("{}/{}", kNamed, name);
    if (!seen.insert(identity_of(root, handle)).second) continue;
    found.push_back({.handle = std::move(handle), .name = fmt::format("network namespace {}", name), .pid = {}});
  }
  for (const auto& pid : root.list("/proc").value_or(std::vector<std::string>{})) {
    if (!parse_decimal<std::uint32_t>(pid)) continue;
    auto handle = fmt::format("/proc/{}/ns/net", pid);
    if (const auto link = root.link(handle); !link || !seen.insert(*link).second) continue;
    found.push_back({.handle = std::move(handle),
                     .name = fmt::format("the network namespace of {}", process_name(root, pid)),
                     .pid = pid});
  }
  return found;
}

std::string first_in(const SysRoot& root, const std::string& directory) {
  const auto names = root.list(directory);
  return names && !names->empty() ? names->front() : std::string{};
}

// In a child: a sysfs shows the interfaces of the namespace that it was mounted in.
int tell_interface(FdRef handle, FdRef answer, Bdf function) {
  if (::setns(handle.number(), CLONE_NEWNET) != 0 || ::unshare(CLONE_NEWNS) != 0) return 1;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 1;
  if (::mount("sysfs", "/sys", "sysfs", MS_RDONLY, nullptr) != 0) return 1;
  const auto inside = SysRoot::open();
  if (!inside) return 1;
  return write_all(answer, first_in(*inside, directory_of(function))) ? 0 : 1;
}

std::string look_inside(const SysRoot& root, const Namespace& other, Bdf function) {
  if (!root.live() || ::geteuid() != 0) return {};
  const auto handle = root.open_file(other.handle, O_RDONLY);
  std::array<int, 2> ends{};
  if (!handle || ::pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  const auto reader = Fd::adopt(ends[0]);
  auto writer = Fd::adopt(ends[1]);
  const auto told = run_child([&] { return tell_interface(handle->ref(), writer.ref(), function); }, kPatience);
  writer.close();
  if (!told || *told != 0) return {};
  return read_to_end(reader.ref()).value_or("");
}

}  // namespace

std::optional<std::string> interface_in_namespace(const SysRoot& root, Bdf function) {
  for (const auto& other : other_namespaces(root)) {
    auto interface = other.pid.empty()
                         ? std::string{}
                         : first_in(root, fmt::format("/proc/{}/root{}", other.pid, directory_of(function)));
    if (interface.empty()) interface = look_inside(root, other, function);
    if (!interface.empty()) return fmt::format("{} in {}", interface, other.name);
  }
  return std::nullopt;
}

}  // namespace pcivm::iommu
