// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_virtio.hpp"

#include <linux/virtio_blk.h>

#include <algorithm>

#include <fmt/format.h>

#include "cli/option_list.hpp"

namespace pcivm::cli {

namespace {

constexpr unsigned kMostQueues = 16;
constexpr std::string_view kDisk = "--disk";

Result<vmm::DiskConfig> open_one_disk(IoctlPort& port, const std::string& text) {
  const auto list = TRY(OptionList::parse(
      kDisk, text, {.valued = {"path", "format", "serial", "queues", "ring"}, .flags = {"readonly", "direct"}}));
  const auto path = TRY(list.required("path"));
  // Never guessed: a guest can write a header of another format into its raw disk (CVE-2008-2004).
  const auto format = TRY(list.required("format"));
  if (format != "raw") return fail(Errc::invalid, fmt::format("{}: format={} found, raw wanted", kDisk, format));
  vmm::DiskConfig disk;
  disk.read_only = list.flag("readonly");
  disk.queues = TRY(list.number("queues", kMostQueues, 1));
  disk.packed = TRY(list.choice("ring", {"split", "packed"})) == "packed";
  disk.serial = list.value("serial").value_or("");
  if (disk.serial.size() > VIRTIO_BLK_ID_BYTES ||
      !std::ranges::all_of(disk.serial, [](char c) { return c > ' ' && c < 0x7f; })) {
    return fail(Errc::invalid, fmt::format("{}: serial={} found, up to {} printable characters wanted", kDisk,
                                           disk.serial, VIRTIO_BLK_ID_BYTES));
  }
  disk.disk = TRY_IN(vmm::open_disk(port, path, {.read_only = disk.read_only, .direct = list.flag("direct")}),
                     std::string{kDisk});
  return disk;
}

}  // namespace

Result<vmm::VirtioConfig> open_virtio(const SysRoot& /*root*/, IoctlPort& port, const VmRequest& request) {
  vmm::VirtioConfig config;
  for (const auto& text : request.disks) config.disks.push_back(TRY(open_one_disk(port, text)));
  config.random = request.rng;
  return config;
}

}  // namespace pcivm::cli
