// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/user_space.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "vfio/user_device.hpp"

namespace pcivm::vfio {

UserSpace::Served::Served(Bdf function, OpenedServer server, std::string named)
    : address{function}, name{std::move(named)}, client{std::move(server.socket), name} {
  client.set_limits(server.limits);
}

Result<std::unique_ptr<DmaSpace>> UserSpace::create(IoctlPort& port, OpenedVfio opened) {
  std::unique_ptr<UserSpace> made{new UserSpace{port}};
  for (auto& device : opened.devices) {
    if (!device.server) continue;
    auto name = device.name();
    made->served_.push_back(std::make_unique<Served>(device.address, std::move(*device.server), std::move(name)));
  }
  std::erase_if(opened.devices, [](const OpenedDevice& device) { return device.server.has_value(); });
  if (!opened.devices.empty()) made->kernel_ = TRY(make_dma_space(port, std::move(opened)));
  return made;
}

UserSpace::Served* UserSpace::find(Bdf device) const {
  const std::scoped_lock lock{mutex_};
  const auto found = std::ranges::find(served_, device, [](const auto& each) { return each->address; });
  return found == served_.end() ? nullptr : found->get();
}

DmaSpace* UserSpace::kernel() const {
  const std::scoped_lock lock{mutex_};
  return kernel_.get();
}

// The first of the kernel's devices finds what is mapped, and pins it.
Result<std::vector<FdRef>> UserSpace::add(OpenedVfio opened) {
  if (auto* const there = kernel(); there != nullptr) return there->add(std::move(opened));
  auto made = TRY(make_dma_space(port_, std::move(opened)));
  TRY(map_all(*made, runs_));
  const std::scoped_lock lock{mutex_};
  kernel_ = std::move(made);
  return kernel_->files();
}

std::vector<FdRef> UserSpace::files() const {
  const auto* const there = kernel();
  return there != nullptr ? there->files() : std::vector<FdRef>{};
}

std::optional<FdRef> UserSpace::file_of(Bdf device) const {
  const auto* const there = kernel();
  return there != nullptr && find(device) == nullptr ? there->file_of(device) : std::nullopt;
}

// What a server held for its last client goes with the reset.
Result<std::unique_ptr<Device>> UserSpace::open(Bdf device, UnprovenReset unproven) {
  auto* const served = find(device);
  if (served == nullptr) return kernel()->open(device, unproven);
  TRY(served->client.listen());
  auto opened = TRY(Device::adopt(make_user_port(served->client), served->name, UnprovenReset::allow));
  if (opened->resettable()) TRY(opened->reset());
  return opened;
}

Result<void> UserSpace::attach(Bdf device) {
  return find(device) != nullptr ? Result<void>{} : kernel()->attach(device);
}

Result<std::unique_ptr<DmaDomain>> UserSpace::make_domain() {
  return fail(Errc::refused, "a server reaches all RAM that it is shown");
}

Result<void> UserSpace::move(Bdf device, const DmaDomain* domain) {
  if (find(device) == nullptr && domain == nullptr) return kernel()->move(device, domain);
  return fail(Errc::internal,
              fmt::format("{} is moved to another address space of a VM with servers", device.to_string()));
}

void UserSpace::close(Bdf device) {
  std::unique_ptr<Served> gone;     // without the lock: its thread ends
  std::unique_ptr<DmaSpace> empty;  // the same
  if (find(device) == nullptr && kernel() != nullptr) kernel()->close(device);
  const std::scoped_lock lock{mutex_};
  for (auto& served : served_) {
    if (served->address == device) gone = std::move(served);
  }
  std::erase(served_, nullptr);
  if (kernel_ && kernel_->empty()) empty = std::move(kernel_);
}

Result<void> UserSpace::map(const DmaRun& run) {
  if (auto* const there = kernel(); there != nullptr) TRY(there->map(run));
  // BARs of other devices are for those of the kernel.
  if (run.file < 0) return {};
  runs_.push_back(run);
  for (const auto& served : served_) {
    auto shown = served->client.map(run);
    if (!shown && !served->client.loss()) return shown;
  }
  return {};
}

Result<void> UserSpace::unmap(Iova iova, std::uint64_t length) {
  if (std::erase_if(runs_, [&](const DmaRun& run) { return run.iova == iova && run.length == length; }) != 0) {
    for (const auto& served : served_) (void)served->client.unmap(iova, length);
  }
  auto* const there = kernel();
  return there != nullptr ? there->unmap(iova, length) : Result<void>{};
}

bool UserSpace::empty() const {
  const std::scoped_lock lock{mutex_};
  return served_.empty() && (!kernel_ || kernel_->empty());
}

bool UserSpace::pins() const {
  const auto* const there = kernel();
  return there != nullptr && there->pins();
}

std::optional<Error> UserSpace::loss(Bdf device) const {
  const auto* const served = find(device);
  return served != nullptr ? served->client.loss() : std::nullopt;
}

}  // namespace pcivm::vfio
