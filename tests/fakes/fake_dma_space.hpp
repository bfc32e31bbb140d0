// SPDX-License-Identifier: GPL-2.0-or-later
// Address spaces for DMA that note what is mapped in them and which device is where.
#pragma once

#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"

namespace pcivm::test {

/// Spaces are numbered as they come; 0 is that of RAM.
class FakeDmaSpace final : public vfio::DmaSpace {
 public:
  struct Mapped {
    std::uint64_t length;
    Hva hva;
    vfio::DmaAccess access;
  };
  class Domain final : public vfio::DmaDomain {
   public:
    explicit Domain(FakeDmaSpace& space) : number{++space.made}, space_{space} { space_.domains[number]; }
    Domain(const Domain&) = delete;
    Domain& operator=(const Domain&) = delete;
    ~Domain() override {
      for (const auto& [device, domain] : space_.in) {
        if (domain == number) space_.wrong = "a space goes before its device";
      }
      space_.domains.erase(number);
    }
    Result<void> map(const vfio::DmaRun& run, vfio::DmaAccess access) override {
      if (space_.error != 0) return fail_errno(space_.error, "map");
      const auto added = space_.domains[number].emplace(run.iova.value, Mapped{run.length, run.hva, access}).second;
      if (!added) space_.wrong = "mapped twice";
      return {};
    }
    Result<void> unmap(Iova iova, std::uint64_t length) override {
      if (space_.error != 0) return fail_errno(space_.error, "unmap");
      const auto found = space_.domains[number].find(iova.value);
      if (found == space_.domains[number].end() || found->second.length != length) {
        space_.wrong = "unmapped what is not";
      } else {
        space_.domains[number].erase(found);
      }
      return {};
    }
    unsigned number;

   private:
    FakeDmaSpace& space_;
  };

  [[nodiscard]] Result<std::vector<FdRef>> add(vfio::OpenedVfio /*opened*/) override { return std::vector<FdRef>{}; }
  [[nodiscard]] std::vector<FdRef> files() const override { return {}; }
  [[nodiscard]] std::optional<FdRef> file_of(Bdf /*device*/) const override { return {}; }
  [[nodiscard]] Result<std::unique_ptr<vfio::Device>> open(Bdf /*device*/, vfio::UnprovenReset /*unproven*/) override {
    return fail(Errc::internal, "there is no device");
  }
  [[nodiscard]] Result<void> attach(Bdf device) override { return move(device, nullptr); }
  [[nodiscard]] Result<std::unique_ptr<vfio::DmaDomain>> make_domain() override {
    return std::make_unique<Domain>(*this);
  }
  [[nodiscard]] Result<void> move(Bdf device, const vfio::DmaDomain* domain) override {
    if (error != 0) return fail_errno(error, "move");
    in[device] = domain == nullptr ? 0 : static_cast<const Domain*>(domain)->number;
    return {};
  }
  void close(Bdf device) override { in.erase(device); }
  [[nodiscard]] Result<void> map(const vfio::DmaRun& run) override {
    if (on_call && on_call() != 0) return fail_errno(ENOMEM, "map");
    if (!ram.emplace(run.iova.value, run).second) wrong = "mapped twice";
    return {};
  }
  [[nodiscard]] Result<void> unmap(Iova iova, std::uint64_t length) override {
    if (on_call && on_call() != 0) return fail_errno(EIO, "unmap");
    const auto found = ram.find(iova.value);
    if (found == ram.end() || found->second.length != length) {
      wrong = "unmapped what is not";
    } else {
      ram.erase(found);
    }
    return {};
  }

  std::function<int()> on_call;               ///< of map() and unmap(): not 0 = it fails
  std::map<std::uint64_t, vfio::DmaRun> ram;  ///< what is mapped by them
  int error{};                                ///< errno of all other calls
  unsigned made{};
  std::string wrong;           ///< what must not be
  std::map<Bdf, unsigned> in;  ///< where a device is
  std::map<unsigned, std::map<std::uint64_t, Mapped>> domains;
};

}  // namespace pcivm::test
