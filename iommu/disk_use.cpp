// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/disk_use.hpp"

#include <fcntl.h>
#include <libmount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "base/lazy_library.hpp"
#include "iommu/boot_use.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kBlock = "/sys/class/block";
constexpr int kMaxDepth = 16;  // of stacked devices; the kernel's own limit is lower

using Users = std::map<std::string, std::vector<InUse>>;

struct Libmount {
  decltype(&::mnt_new_table) new_table;
  decltype(&::mnt_unref_table) unref_table;
  decltype(&::mnt_new_iter) new_iter;
  decltype(&::mnt_free_iter) free_iter;
  decltype(&::mnt_table_parse_file) parse_file;
  decltype(&::mnt_table_parse_swaps) parse_swaps;
  decltype(&::mnt_table_next_fs) next_fs;
  decltype(&::mnt_fs_get_devno) devno;
  decltype(&::mnt_fs_get_source) source;
  decltype(&::mnt_fs_get_target) target;
  decltype(&::mnt_fs_get_fstype) fstype;

  static Result<Libmount> open();
};

Result<Libmount> Libmount::open() {
  Libmount mount{};
  TRY(LazyLibrary{"libmount.so.1"}
          .take("mnt_new_table", mount.new_table)
          .take("mnt_unref_table", mount.unref_table)
          .take("mnt_new_iter", mount.new_iter)
          .take("mnt_free_iter", mount.free_iter)
          .take("mnt_table_parse_file", mount.parse_file)
          .take("mnt_table_parse_swaps", mount.parse_swaps)
          .take("mnt_table_next_fs", mount.next_fs)
          .take("mnt_fs_get_devno", mount.devno)
          .take("mnt_fs_get_source", mount.source)
          .take("mnt_fs_get_target", mount.target)
          .take("mnt_fs_get_fstype", mount.fstype)
          .whole("libmount1"));
  return mount;
}

/// Where a file system or swap area starts on its way down.
struct Origin {
  std::string kind;
  std::string name;    ///< mount point or "swap"
  std::string block;   ///< "dm-0"
  unsigned others{0};  ///< more mounts of the same device
};

std::string block_path(const std::string& name) { return fmt::format("{}/{}", kBlock, name); }

std::string text_or_empty(const char* text) { return text == nullptr ? std::string{} : std::string{text}; }

/// Block device with these numbers; empty when there is none.
std::string block_of_number(const SysRoot& root, dev_t number) {
  return root.link_name(fmt::format("/sys/dev/block/{}:{}", major(number), minor(number)));
}

/// "/dev/mapper/vg-root" -> "dm-0", "/dev/sda2" -> "sda2"; empty when there is no such block device.
std::string block_of_path(const SysRoot& root, const std::string& path) {
  if (!path.starts_with("/dev/")) return {};
  // By its numbers: without udev /dev/mapper/vg-root is a node and no link. A captured tree has no nodes.
  struct stat found{};
  const auto node = root.open_file(path, O_PATH);
  if (node && ::fstat(node->ref().number(), &found) == 0 && S_ISBLK(found.st_mode)) {
    return block_of_number(root, found.st_rdev);
  }
  auto name = root.link_name(path);
  if (name.empty()) name = path.substr(path.rfind('/') + 1);
  return root.exists(block_path(name)) ? name : std::string{};
}

/// Btrfs and overlays have an anonymous device number, so the source path is the second choice.
std::string block_of_mount(const SysRoot& root, const Libmount& library, libmnt_fs* mount) {
  const auto name = block_of_number(root, library.devno(mount));
  return name.empty() ? block_of_path(root, text_or_empty(library.source(mount))) : name;
}

/// The other members of a btrfs that lives on `block`; the mount table names one only.
std::vector<std::string> btrfs_members(const SysRoot& root, const std::string& block) {
  constexpr std::string_view kBtrfs = "/sys/fs/btrfs";
  for (const auto& volume : root.list(kBtrfs).value_or(std::vector<std::string>{})) {
    const auto members = root.list(fmt::format("{}/{}/devices", kBtrfs, volume));
    if (members && std::ranges::find(*members, block) != members->end()) return *members;
  }
  return {block};
}

void add_origin(std::vector<Origin>& origins, Origin added) {
  const auto same = std::ranges::find_if(
      origins, [&](const Origin& one) { return one.kind == added.kind && one.block == added.block; });
  if (same == origins.end()) {
    origins.push_back(std::move(added));
  } else {
    ++same->others;
  }
}

template <class Visit>
Result<void> for_each_entry(const SysRoot& root, std::string_view path, const Libmount& library,
                            int (*parse)(libmnt_table*, const char*), Visit visit) {
  const std::unique_ptr<libmnt_table, void (*)(libmnt_table*)> table{library.new_table(), library.unref_table};
  const std::unique_ptr<libmnt_iter, void (*)(libmnt_iter*)> iterator{library.new_iter(MNT_ITER_FORWARD),
                                                                      library.free_iter};
  if (!table || !iterator) return fail_errno(ENOMEM, fmt::format("read '{}'", path));
  const int outcome = parse(table.get(), root.host_path(path).c_str());
  if (outcome < 0) {
    if (!root.live()) return {};
    return fail_errno(-outcome, fmt::format("read '{}'", path));
  }
  libmnt_fs* entry = nullptr;
  while (library.next_fs(table.get(), iterator.get(), &entry) == 0) visit(entry);
  return {};
}

Result<std::vector<Origin>> origins_of(const SysRoot& root) {
  std::vector<Origin> origins;
  const auto library = TRY(Libmount::open());
  TRY(for_each_entry(root, "/proc/self/mountinfo", library, library.parse_file, [&](libmnt_fs* mount) {
    const auto block = block_of_mount(root, library, mount);
    if (block.empty()) return;
    const bool btrfs = text_or_empty(library.fstype(mount)) == "btrfs";
    for (const auto& member : btrfs ? btrfs_members(root, block) : std::vector{block}) {
      add_origin(origins, {.kind = "mount", .name = text_or_empty(library.target(mount)), .block = member});
    }
  }));
  // A swap file needs no entry of its own: the file system that holds it is mounted.
  if (root.exists("/proc/swaps")) {
    TRY(for_each_entry(root, "/proc/swaps", library, library.parse_swaps, [&](libmnt_fs* area) {
      const auto block = block_of_path(root, text_or_empty(library.source(area)));
      if (!block.empty()) add_origin(origins, {.kind = "swap", .name = "swap", .block = block});
    }));
  }
  for (const auto& need : boot_needs(root)) {
    const bool numbers = !need.device.starts_with('/') && need.device.find(':') != std::string::npos;
    const auto block = numbers ? root.link_name("/sys/dev/block/" + need.device) : block_of_path(root, need.device);
    const bool mounted = std::ranges::any_of(
        origins, [&](const Origin& one) { return one.block == block && (one.kind == "mount" || one.kind == "swap"); });
    // Mounted says more, but a swap area that is also the place of hibernation is two things.
    if (block.empty() || (mounted && need.kind == "boot")) continue;
    add_origin(origins, {.kind = need.kind, .name = need.name, .block = block});
  }
  return origins;
}

/// The cache devices of the set that "bcache0" belongs to; its "slaves" name the backing device only.
std::vector<std::string> bcache_caches(const SysRoot& root, const std::string& path) {
  constexpr std::string_view kLink{"cache"};
  std::vector<std::string> caches;
  const auto set = path + "/bcache/cache";
  for (const std::string_view entry : root.list(set).value_or(std::vector<std::string>{})) {
    if (!entry.starts_with(kLink) || entry == kLink) continue;
    // .../block/nvme0n1/bcache
    auto target = root.link(fmt::format("{}/{}", set, entry)).value_or("");
    if (!target.ends_with("/bcache")) continue;
    target.resize(target.rfind('/'));
    caches.push_back(target.substr(target.rfind('/') + 1));
  }
  return caches;
}

/// The devices that `name` is made of, one level down; empty for a whole disk.
std::vector<std::string> below(const SysRoot& root, const std::string& name) {
  const auto path = block_path(name);
  if (root.exists(path + "/partition")) {
    auto target = root.link(path).value_or("");
    target.resize(target.rfind('/') == std::string::npos ? 0 : target.rfind('/'));
    return {target.substr(target.rfind('/') + 1)};
  }
  // A loop device on a file needs no entry: the file system that holds the file is mounted.
  if (const auto file = root.read(path + "/loop/backing_file")) {
    const auto backing = block_of_path(root, *file);
    return backing.empty() ? std::vector<std::string>{} : std::vector{backing};
  }
  auto slaves = root.list(path + "/slaves").value_or(std::vector<std::string>{});
  if (name.starts_with("bcache")) {
    for (auto& cache : bcache_caches(root, path)) slaves.push_back(std::move(cache));
  }
  return slaves;
}

void follow(const SysRoot& root, const std::string& kind, const std::string& chain, const std::string& name, int depth,
            Users& users) {
  const auto longer = fmt::format("{} -> {}", chain, name);
  const auto next = depth < kMaxDepth ? below(root, name) : std::vector<std::string>{};
  if (next.empty()) users[name].push_back({.kind = kind, .detail = longer});
  for (const auto& lower : next) follow(root, kind, longer, lower, depth + 1, users);
}

}  // namespace

Result<Users> disk_users(const SysRoot& root) {
  Users users;
  for (const auto& origin : TRY(origins_of(root))) {
    const auto start = origin.others == 0 ? origin.name : fmt::format("{} (and {} more)", origin.name, origin.others);
    follow(root, origin.kind, start, origin.block, 0, users);
  }
  return users;
}

std::vector<InUse> disk_holders(const SysRoot& root, const std::string& disk) {
  std::vector<InUse> users;
  const auto add = [&](const std::string& path, const std::string& chain) {
    for (const auto& holder : root.list(path + "/holders").value_or(std::vector<std::string>{})) {
      users.push_back({.kind = "holder", .detail = fmt::format("{} -> {}", holder, chain)});
    }
  };
  const auto path = block_path(disk);
  add(path, disk);
  for (const auto& entry : root.list(path).value_or(std::vector<std::string>{})) {
    if (!root.exists(fmt::format("{}/{}/partition", path, entry))) continue;
    add(fmt::format("{}/{}", path, entry), fmt::format("{} -> {}", entry, disk));
  }
  return users;
}

bool disk_claimed(const SysRoot& root, const std::string& disk) {
  const auto opened = root.open_file("/dev/" + disk, O_RDONLY | O_EXCL | O_NONBLOCK);
  return !opened && opened.error().sys_errno() == EBUSY;
}

}  // namespace pcivm::iommu
