// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_wire.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "vmm/cpu_features.hpp"

// A struct that gets a member more does not compile here: count it, and it crosses. What cannot cross (a pointer, a
// class) does not compile either.
namespace pcivm {

template <>
struct Crossing<const vmm::CpuFeature*> {
  template <class Archive>
  static void cross(Archive& archive, const vmm::CpuFeature*& feature) {
    std::string name{feature == nullptr ? std::string_view{} : feature->name};
    pcivm::cross(archive, name);
    if constexpr (kReads<Archive>) feature = vmm::find_cpu_feature(name);
    if (feature == nullptr) refuse(archive);
  }

 private:
  static void refuse(ParcelReader& archive) { archive.refuse(); }
  static void refuse(ParcelWriter&) {}
};

// clang-format off: one line each
// base
template <> inline constexpr std::size_t kMembers<Bdf> = 4;
template <> inline constexpr std::size_t kMembers<Gpa> = 1;
template <> inline constexpr std::size_t kMembers<Iova> = 1;
template <> inline constexpr std::size_t kMembers<MacAddress> = 1;
// iommu, vfio
template <> inline constexpr std::size_t kMembers<iommu::Bar> = 7;
template <> inline constexpr std::size_t kMembers<vfio::IovaRange> = 2;
template <> inline constexpr std::size_t kMembers<vfio::user::Limits> = 2;
template <> inline constexpr std::size_t kMembers<vfio::OpenedDevice> = 11;
template <> inline constexpr std::size_t kMembers<vfio::OpenedGroup> = 4;
template <> inline constexpr std::size_t kMembers<vfio::OpenedServer> = 3;
template <> inline constexpr std::size_t kMembers<vfio::OpenedVfio> = 5;
// vmm
template <> inline constexpr std::size_t kMembers<vmm::BarPlan> = 3;
template <> inline constexpr std::size_t kMembers<vmm::BarSite> = 4;
template <> inline constexpr std::size_t kMembers<vmm::BootPlan> = 4;
template <> inline constexpr std::size_t kMembers<vmm::ConsoleConfig> = 2;
template <> inline constexpr std::size_t kMembers<vmm::ConsoleFiles> = 3;
template <> inline constexpr std::size_t kMembers<vmm::ConsolePortConfig> = 2;
template <> inline constexpr std::size_t kMembers<vmm::CpuTopology> = 3;
template <> inline constexpr std::size_t kMembers<vmm::CpuWish> = 4;
template <> inline constexpr std::size_t kMembers<vmm::DiskConfig> = 7;
template <> inline constexpr std::size_t kMembers<vmm::DiskFile> = 2;
template <> inline constexpr std::size_t kMembers<vmm::DiskGeometry> = 4;
template <> inline constexpr std::size_t kMembers<vmm::FirmwareConfig> = 3;
template <> inline constexpr std::size_t kMembers<vmm::GuestMemory::Range> = 2;
template <> inline constexpr std::size_t kMembers<vmm::HotplugConfig> = 3;
template <> inline constexpr std::size_t kMembers<vmm::ImageSegment> = 4;
template <> inline constexpr std::size_t kMembers<vmm::KernelImage> = 7;
template <> inline constexpr std::size_t kMembers<vmm::MapEntry> = 3;
template <> inline constexpr std::size_t kMembers<vmm::MemoryLayout> = 5;
template <> inline constexpr std::size_t kMembers<vmm::NetConfig> = 5;
template <> inline constexpr std::size_t kMembers<vmm::PmemConfig> = 4;
template <> inline constexpr std::size_t kMembers<vmm::RamBacking> = 5;
template <> inline constexpr std::size_t kMembers<vmm::SharedFolderConfig> = 2;
template <> inline constexpr std::size_t kMembers<vmm::VirtioConfig> = 10;
template <> inline constexpr std::size_t kMembers<vmm::VmConfig> = 24;
template <> inline constexpr std::size_t kMembers<vmm::VsockConfig> = 2;
template <> inline constexpr std::size_t kMembers<vmm::platform::Window> = 2;
template <> inline constexpr std::size_t kMembers<kvm_cpuid_entry2> = 8;
// cli
template <> inline constexpr std::size_t kMembers<cli::Confinement> = 6;
template <> inline constexpr std::size_t kMembers<cli::VmmParts> = 7;
// clang-format on

}  // namespace pcivm

namespace pcivm::cli {

Parcel pack(VmmParts parts) {
  ParcelWriter writer;
  cross(writer, parts);
  return writer.take();
}

Result<VmmParts> unpack(Parcel parcel) {
  ParcelReader reader{std::move(parcel)};
  VmmParts parts;
  cross(reader, parts);
  const bool phases = std::ranges::all_of(
      parts.phases, [](const auto& each) { return static_cast<std::size_t>(each.first) < vmm::kPhases; });
  if (!reader.good() || !phases) return fail(Errc::invalid, "what the supervisor sent is not what makes a VM");
  return parts;
}

}  // namespace pcivm::cli
