// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_wire.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <random>
#include <string>

#include "tests/support/result_matchers.hpp"
#include "vmm/cpu_features.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;

Fd some_file() { return make_eventfd().value(); }

vfio::OpenedVfio opened() {
  vfio::OpenedVfio vfio{
      .backend = vfio::IommuBackend::iommufd, .reason = "because", .iommu = some_file(), .groups = {}, .devices = {}};
  vfio.groups.push_back({.number = 7, .fd = some_file(), .reserved = {{Iova{1}, Iova{2}}}, .firmware_memory = true});
  vfio.devices.push_back({.address = {.domain = 1, .bus = 2, .device = 3, .function = 4},
                          .group = 0,
                          .bars = {{.index = 2, .address = 5, .size = 4096, .wide = true, .sizes = {4096, 8192}}},
                          .msix_bar = iommu::Bar{.index = 4, .size = 8192},
                          .vf_token = "secret",
                          .reset_forced = true,
                          .own_rom = true,
                          .rom = {std::byte{0x55}, std::byte{0xaa}},
                          .fd = some_file(),
                          .mdev = "uuid"});
  vfio.devices.push_back(
      {.bars = {}, .server = vfio::OpenedServer{.path = "/s", .socket = some_file(), .limits = {.files = 3}}});
  return vfio;
}

vmm::VirtioConfig virtio() {
  vmm::VirtioConfig virtio{.iommu = true, .disks = {}, .nets = {}, .random = true, .balloon = true, .memory = true};
  virtio.disks.push_back({.disk = {.file = some_file(), .geometry = {.sectors = 9}}, .queues = 4, .serial = "s"});
  virtio.nets.push_back({.taps = {}, .vhosts = {}, .stream = some_file(), .mac = {{2, 1, 2, 3, 4, 5}}, .packed = true});
  virtio.nets.back().taps.push_back(some_file());
  virtio.nets.back().vhosts.push_back(some_file());
  virtio.pmems.push_back({.file = some_file(), .length = 1, .read_only = true, .base = Gpa{3}});
  virtio.folders.push_back({.daemon = some_file(), .tag = "tag"});
  virtio.vsock = vmm::VsockConfig{.vhost = some_file(), .cid = 5};
  virtio.console.terminal = true;
  virtio.console.ports.push_back({.name = "agent", .channel = some_file()});
  return virtio;
}

vmm::VmConfig config() {
  vmm::VmConfig config;
  config.name = "web";
  config.uuid = {1, 2, 3};
  config.cpus = {.topology = {.cores = 4},
                 .supported = {{1, 2, 3, 4, 5, 6, 7, {}}},
                 .without = {&vmm::cpu_features().front()},
                 .pins = {3, 1}};
  config.on_reboot = vmm::OnReboot::exit;
  config.on_request = vmm::OnRequest::ignore;
  config.on_error = vmm::OnError::reset;
  config.debug_exit = true;
  config.layout.ram = {{Gpa{0}, 1}, {Gpa{2}, 3}};
  config.layout.map = {{.base = Gpa{1}, .length = 2, .type = vmm::MapType::reserved}};
  config.layout.window64 = {.base = Gpa{4}, .length = 5};
  config.ram = {.shared = true, .huge_page = 6, .nodes = {0, 2}, .populate = true, .devices = true};
  config.address_bits = 48;
  config.kvm = some_file();
  config.firmware = vmm::FirmwareConfig{.image = some_file(), .variables = {}, .log = some_file()};
  config.kernel = some_file();
  config.boot.image.segments = {{.file_offset = 1, .file_length = 2, .address = 3, .memory_length = 4}};
  config.boot.image.setup_header = {std::byte{7}};
  config.cmdline = "quiet";
  config.vfio = opened();
  config.bars.sites = {{.device = 1, .bar = 2, .high = true, .offset = 3}};
  config.virtio = virtio();
  config.hotplug = {.slots = 4, .room = 5, .socket = some_file()};
  config.watchdog = vmm::WatchdogAction::power_off;
  config.console = {.serial = false, .in = some_file(), .out = some_file()};
  config.control = some_file();
  return config;
}

VmmParts everything() {
  return {.config = config(),
          .confinement = {.own_user = true, .seccomp = vmm::Seccomp::log, .ram = 1, .pinned = 2, .longest_file = 3},
          .timeline = some_file(),
          .report = some_file(),
          .phases = {{vmm::Phase::exec, 11}, {vmm::Phase::prepared, 12}},
          .ioctls = {{0xae00, 3}},
          .level = log::Level::debug};
}

TEST(VmWire, CarriesAllThatAVmIs) {
  auto parcel = pack(everything());
  const auto bytes = parcel.bytes;
  const auto files = parcel.files.size();
  EXPECT_EQ(files, 22U);
  auto parts = unpack(std::move(parcel));
  ASSERT_THAT(parts, IsOk());
  EXPECT_EQ(parts->config.name, "web");
  EXPECT_EQ(parts->config.cpus.without.front(), &vmm::cpu_features().front());
  EXPECT_EQ(parts->config.vfio.devices.at(1).server->limits.files, 3U);
  EXPECT_EQ(parts->config.watchdog, vmm::WatchdogAction::power_off);
  EXPECT_FALSE(parts->config.firmware->variables);
  EXPECT_TRUE(parts->config.firmware->log);
  EXPECT_EQ(parts->confinement.longest_file, 3U);
  EXPECT_FALSE(parts->confinement.user);
  EXPECT_EQ(parts->phases.at(1), (std::pair{vmm::Phase::prepared, std::int64_t{12}}));
  EXPECT_EQ(parts->level, log::Level::debug);
  const auto again = pack(std::move(*parts));
  EXPECT_EQ(again.bytes, bytes);
  EXPECT_EQ(again.files.size(), files);
}

TEST(VmWire, KeepsEachDescriptorInItsPlace) {
  auto made = everything();
  const auto kvm = made.config.kvm.ref().number();
  const auto channel = made.config.virtio.console.ports.front().channel.ref().number();
  const auto parts = unpack(pack(std::move(made)));
  ASSERT_THAT(parts, IsOk());
  EXPECT_EQ(parts->config.kvm.ref().number(), kvm);
  EXPECT_EQ(parts->config.virtio.console.ports.front().channel.ref().number(), channel);
}

TEST(VmWire, RefusesAnythingThatIsCutOrLonger) {
  const auto whole = pack(everything()).bytes;
  const auto with_files = [](std::string bytes) {
    Parcel parcel{.bytes = std::move(bytes)};
    for (int each = 0; each < 22; ++each) parcel.files.push_back(some_file());
    return parcel;
  };
  ASSERT_THAT(unpack(with_files(whole)), IsOk());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    ASSERT_THAT(unpack(with_files(whole.substr(0, length))), FailsWith(Errc::invalid)) << length;
  }
  EXPECT_THAT(unpack(with_files(whole + '\0')), FailsWith(Errc::invalid));
  auto more = with_files(whole);
  more.files.push_back(some_file());
  EXPECT_THAT(unpack(std::move(more)), FailsWith(Errc::invalid));
  auto less = with_files(whole);
  less.files.pop_back();
  EXPECT_THAT(unpack(std::move(less)), FailsWith(Errc::invalid));
}

TEST(VmWire, SurvivesRubbish) {
  const auto whole = pack(everything()).bytes;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto bytes = whole;
    bytes[at] = static_cast<char>(~bytes[at]);
    (void)unpack({.bytes = std::move(bytes)});
  }
  std::mt19937 random{1};  // NOLINT: the same each time
  for (int round = 0; round < 1000; ++round) {
    std::string bytes(random() % 2000, '\0');
    for (auto& each : bytes) each = static_cast<char>(random());
    EXPECT_THAT(unpack({.bytes = std::move(bytes)}), FailsWith(Errc::invalid));
  }
}

}  // namespace
}  // namespace pcivm::cli
