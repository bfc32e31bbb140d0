// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/virtio_set.hpp"

#include <utility>

#include "vmm/platform.hpp"
#include "vmm/virtio/balloon.hpp"
#include "vmm/virtio/block.hpp"
#include "vmm/virtio/iommu.hpp"
#include "vmm/virtio/net.hpp"
#include "vmm/virtio/pmem.hpp"
#include "vmm/virtio/random_source.hpp"
#include "vmm/virtio/shared_folder.hpp"
#include "vmm/virtio/vsock.hpp"

namespace pcivm::vmm {

std::vector<DeviceBars> virtio_bars(const VirtioConfig& config) {
  return std::vector<DeviceBars>(config.count(),
                                 DeviceBars{.name = "virtio", .bars = {VirtioPciTransport::bar_request()}});
}

Result<std::unique_ptr<VirtioSet>> VirtioSet::create(VirtioConfig config, const BarPlan& bars, std::size_t first,
                                                     Wiring wiring) {
  std::unique_ptr<VirtioSet> set{new VirtioSet{std::move(wiring)}};
  TRY(set->build(std::move(config), bars, first));
  return set;
}

Result<void> VirtioSet::build(VirtioConfig config, const BarPlan& bars, std::size_t first) {
  if (config.iommu) {
    TRY(add(VirtioIommu::describe(), bars, first++,
            [this](VirtioSignals& signals) { return VirtioIommu::create(wiring_.domains, wiring_.memory, signals); }));
  }
  for (auto& disk : config.disks) {
    const auto identity = VirtioBlock::describe(disk);
    TRY(add(identity, bars, first++, [this, &disk](VirtioSignals& signals) {
      return VirtioBlock::create(std::move(disk), wiring_.memory, signals);
    }));
  }
  for (auto& net : config.nets) {
    const auto identity = VirtioNet::describe(net);
    TRY(add(identity, bars, first++, [this, &net](VirtioSignals& signals) {
      return VirtioNet::create(
          std::move(net), {.port = wiring_.port, .loop = wiring_.loop, .memory = wiring_.memory, .signals = signals});
    }));
  }
  for (auto& pmem : config.pmems) {
    TRY(add(VirtioPmem::describe(), bars, first++, [this, &pmem](VirtioSignals& signals) {
      return VirtioPmem::create(std::move(pmem), wiring_.memory, signals);
    }));
  }
  for (auto& folder : config.folders) {
    TRY(add(VirtioSharedFolder::describe(), bars, first++, [this, &folder](VirtioSignals& signals) {
      return VirtioSharedFolder::create(std::move(folder), wiring_.loop, wiring_.memory, signals);
    }));
  }
  if (config.vsock) {
    TRY(add(VirtioVsock::describe(), bars, first++, [this, &config](VirtioSignals& signals) {
      return VirtioVsock::create(std::move(*config.vsock), wiring_.port, wiring_.loop, wiring_.memory, signals);
    }));
  }
  if (config.random) {
    TRY(add(VirtioRandomSource::describe(), bars, first++, [this](VirtioSignals& signals) {
      return VirtioRandomSource::create(wiring_.loop, wiring_.memory, signals);
    }));
  }
  if (config.balloon) {
    TRY(add(VirtioBalloon::describe(), bars, first++,
            [this](VirtioSignals& signals) { return VirtioBalloon::create(wiring_.loop, wiring_.memory, signals); }));
  }
  if (config.console.wanted()) {
    const auto identity = VirtioConsole::describe(config.console);
    TRY(add(identity, bars, first++,
            [this, &config](VirtioSignals& signals) { return make_console(std::move(config.console), signals); }));
  }
  if (config.memory) {
    TRY(add(VirtioMem::describe(), bars, first++, [this](VirtioSignals& signals) { return make_memory(signals); }));
  }
  return {};
}

Result<std::unique_ptr<VirtioDevice>> VirtioSet::make_memory(VirtioSignals& signals) {
  auto memory = TRY(VirtioMem::create(*wiring_.blocks, wiring_.memory, signals));
  memory_ = memory.get();
  return memory;
}

Result<std::unique_ptr<VirtioDevice>> VirtioSet::make_console(ConsoleConfig config, VirtioSignals& signals) {
  auto console = TRY(VirtioConsole::create(std::move(config), wiring_.loop, wiring_.memory, signals, wiring_.console));
  console_ = console.get();
  return console;
}

Result<void> VirtioSet::add(const VirtioIdentity& identity, const BarPlan& bars, std::size_t index, const Make& make) {
  const auto queues = static_cast<unsigned>(identity.queues.size());
  auto signals =
      TRY_IN(VirtioSignals::create(identity.name, queues, identity.one_doorbell, wiring_.report), identity.name);
  auto device = TRY_IN(make(*signals), identity.name);
  const VirtioWiring wiring{.memory = wiring_.mmio,
                            .routes = wiring_.routes,
                            .doorbells = wiring_.doorbells,
                            .may_decode = [windows = wiring_.windows](std::uint64_t address, std::uint64_t length) {
                              return windows.contain(address, length);
                            }};
  auto transport = std::make_unique<VirtioPciTransport>(std::move(signals), std::move(device), wiring);
  for (const auto& site : bars.sites) {
    if (site.device == index) transport->place_bar(site.bar, site.address(wiring_.windows.high));
  }
  const auto slot = TRY(wiring_.bus.add(*transport));
  transport->connect(wiring_.connect(platform::gsi::intx(slot, 0)));
  transports_.push_back(std::move(transport));
  return {};
}

void VirtioSet::reset_all() {
  for (const auto& transport : transports_) transport->reset();
}

}  // namespace pcivm::vmm
