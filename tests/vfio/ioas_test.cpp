// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/ioas.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/fake_vfio.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/uapi.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakeVfio;
using test::IsOk;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Bdf kFirst{.domain = 0, .bus = 1, .device = 0x10, .function = 0};
constexpr Bdf kSecond{.domain = 0, .bus = 1, .device = 0x10, .function = 2};

/// An iommufd: one address space, in which memory is pinned as soon as a device is attached; devices are FakeVfio's.
class FakeIommufd final : public IoctlPort {
 public:
  static constexpr std::uint32_t kId = 7;  ///< of the first space; others follow
  FakeVfio device;
  std::map<unsigned long, int> fail;
  std::vector<uapi::IoasRange> ranges{{0, 0xfedfffff}, {0xfef00000, 0xffffffffffff}};
  std::map<std::uint64_t, std::uint64_t> mapped;
  std::vector<int> attached;
  std::map<int, std::uint32_t> in;    ///< device -> its space
  std::vector<std::uint32_t> spaces;  ///< that there are
  std::vector<unsigned long> calls;
  std::uint32_t map_flags{};
  std::uint32_t mapped_in{};

  int call(FdRef fd, unsigned long request, void* argument) override {
    calls.push_back(request);
    if (const auto failing = fail.find(request); failing != fail.end()) return -failing->second;
    switch (request) {
      case uapi::ioas_alloc.number: return alloc(*static_cast<uapi::IoasAlloc*>(argument));
      case uapi::iommu_destroy.number: return destroy(*static_cast<uapi::Destroy*>(argument));
      case uapi::ioas_ranges.number: return tell_ranges(*static_cast<uapi::IoasRanges*>(argument));
      case uapi::ioas_map.number: return map(*static_cast<uapi::IoasMap*>(argument));
      case uapi::ioas_unmap.number: return unmap(*static_cast<uapi::IoasUnmap*>(argument));
      case uapi::attach_iommufd.number: return attach(fd, *static_cast<uapi::AttachIommufd*>(argument));
      default: return device.call(fd, request, argument);
    }
  }

 private:
  int alloc(uapi::IoasAlloc& request) {
    if (request.size != sizeof request || request.flags != 0) return -EINVAL;
    spaces.push_back(request.out_ioas_id = kId + made_++);
    return 0;
  }
  int destroy(const uapi::Destroy& request) {
    const bool used = std::ranges::any_of(in, [&](const auto& each) { return each.second == request.id; });
    return used ? -EBUSY : std::erase(spaces, request.id) != 0 ? 0 : -ENOENT;
  }
  int tell_ranges(uapi::IoasRanges& request) const {
    if (request.ioas_id != kId) return -ENOENT;
    auto* const out = std::bit_cast<uapi::IoasRange*>(request.allowed_iovas);
    for (std::size_t index = 0; index < ranges.size() && index < request.num_iovas; ++index) out[index] = ranges[index];
    const auto room = std::exchange(request.num_iovas, static_cast<std::uint32_t>(ranges.size()));
    return ranges.size() > room ? -EMSGSIZE : 0;
  }
  int map(const uapi::IoasMap& request) {
    if (request.size != sizeof request || !std::ranges::count(spaces, request.ioas_id)) return -ENOENT;
    mapped_in = request.ioas_id;
    map_flags = request.flags;
    for (const auto& range : ranges) {
      if (range.first > request.iova || request.iova + request.length - 1 > range.last) continue;
      return mapped.emplace(request.iova, request.length).second ? 0 : -EEXIST;
    }
    return -EINVAL;
  }
  int unmap(uapi::IoasUnmap& request) {
    const auto found = mapped.find(request.iova);
    if (found == mapped.end()) return -ENOENT;
    request.length = found->second;
    mapped.erase(found);
    return 0;
  }
  int attach(FdRef fd, const uapi::AttachIommufd& request) {
    if (request.argsz != sizeof request || !std::ranges::count(spaces, request.pt_id)) return -ENOENT;
    attached.push_back(fd.number());
    in[fd.number()] = request.pt_id;
    return 0;
  }
  std::uint32_t made_{};
};

class IoasTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Ioas>> create(bool firmware_memory = false) {
    OpenedVfio opened{.backend = IommuBackend::iommufd, .iommu = make_eventfd().value(), .groups = {}, .devices = {}};
    opened.groups.push_back({.number = 7, .fd = {}, .reserved = {}, .firmware_memory = firmware_memory});
    for (const auto address : {kFirst, kSecond}) {
      OpenedDevice device{.address = address, .group = 0, .bars = {}};
      device.fd = port.device.node();
      opened.devices.push_back(std::move(device));
    }
    return Ioas::create(port, std::move(opened));
  }
  FakeIommufd port;
};

TEST_F(IoasTest, BindsAndAttachesEachDeviceToOneSpace) {
  const auto space = create().value();
  const auto files = space->files();
  ASSERT_EQ(files.size(), 2U) << "what KVM is told of";
  for (const auto address : {kFirst, kSecond}) {
    ASSERT_THAT(space->open(address, UnprovenReset::refuse), IsOk());
    EXPECT_THAT(space->attach(address), IsOk());
  }
  EXPECT_THAT(port.attached, ElementsAre(files[0].number(), files[1].number()));
  EXPECT_THAT(port.device.take_log(), ElementsAre("bind", "bind"));
}

TEST_F(IoasTest, KeepsADeviceOpenUntilItIsClosed) {
  const auto space = create().value();
  const auto file = space->files().front().number();
  {
    const auto device = space->open(kFirst, UnprovenReset::refuse);
  }
  EXPECT_NE(::fcntl(file, F_GETFD), -1) << "KVM of the next boot is told of it";
  space->close(kFirst);
  EXPECT_EQ(::fcntl(file, F_GETFD), -1);
  EXPECT_EQ(space->files().size(), 1U);
  EXPECT_THAT(space->open(kFirst, UnprovenReset::refuse), FailsWith(Errc::internal));
  EXPECT_THAT(space->attach(kFirst), FailsWith(Errc::internal));
}

TEST_F(IoasTest, TakesOneMoreDevice) {
  constexpr Bdf kThird{.domain = 0, .bus = 2, .device = 0, .function = 0};
  const auto space = create().value();
  OpenedVfio more{.backend = IommuBackend::iommufd, .iommu = make_eventfd().value(), .groups = {}, .devices = {}};
  more.groups.push_back({.number = 9, .fd = {}, .reserved = {}, .firmware_memory = false});
  more.devices.push_back({.address = kThird, .group = 0, .bars = {}});
  more.devices.front().fd = port.device.node();
  const auto added = space->add(std::move(more));
  ASSERT_THAT(added, IsOk());
  EXPECT_EQ(added->size(), 1U);
  EXPECT_EQ(space->files().size(), 3U);
  EXPECT_THAT(space->open(kThird, UnprovenReset::refuse), IsOk());
  EXPECT_THAT(space->attach(kThird), IsOk());
}

TEST_F(IoasTest, MapsWhereItIsToldReadableAndWritable) {
  const auto space = create().value();
  const std::vector<DmaRun> runs{
      {Iova{0}, Hva{0x10000}, 0x1000}, {Iova{0x1000}, Hva{0x11000}, 0x2000}, {Iova{kGiB}, Hva{0x30000}, 0x1000}};
  EXPECT_THAT(map_all(*space, runs), IsOk());
  EXPECT_EQ(port.mapped, (std::map<std::uint64_t, std::uint64_t>{{0, 0x3000}, {kGiB, 0x1000}}));
  EXPECT_EQ(port.map_flags, 7U);
  EXPECT_THAT(space->unmap(Iova{kGiB}, 0x1000), IsOk());
  EXPECT_EQ(port.mapped.size(), 1U);
  EXPECT_THAT(space->unmap(Iova{0}, 0x1000), FailsWith(Errc::kernel, HasSubstr("12288 bytes were mapped")));
  EXPECT_THAT(space->unmap(Iova{0x5000}, 0x1000), FailsWith(Errc::not_found, HasSubstr("IOMMU_IOAS_UNMAP")));
}

TEST_F(IoasTest, MovesADeviceIntoAnotherSpaceAndBack) {
  const auto space = create().value();
  const auto file = space->files().front().number();
  ASSERT_THAT(space->attach(kFirst), IsOk());
  EXPECT_EQ(port.in[file], FakeIommufd::kId);
  auto domain = space->make_domain().value();
  EXPECT_THAT(domain->map({Iova{0}, Hva{0x10000}, 0x1000}, DmaAccess::read), IsOk());
  EXPECT_EQ(port.mapped_in, FakeIommufd::kId + 1);
  EXPECT_EQ(port.map_flags, uapi::IoasMap::kFixed | uapi::IoasMap::kReadable);
  EXPECT_THAT(domain->map({Iova{0x1000}, Hva{0x10000}, 0x1000}, DmaAccess::write), IsOk());
  EXPECT_EQ(port.map_flags, uapi::IoasMap::kFixed | uapi::IoasMap::kWriteable);
  EXPECT_THAT(space->move(kFirst, domain.get()), IsOk());
  EXPECT_EQ(port.in[file], FakeIommufd::kId + 1);
  port.fail[uapi::attach_iommufd.number] = ENOMEM;
  EXPECT_THAT(space->move(kFirst, nullptr), FailsWith(Errc::denied, HasSubstr("0000:01:10.0")));
  port.fail.clear();
  EXPECT_THAT(domain->unmap(Iova{0}, 0x1000), IsOk());
  EXPECT_THAT(space->move(kFirst, nullptr), IsOk());
  EXPECT_EQ(port.in[file], FakeIommufd::kId);
  domain.reset();
  EXPECT_THAT(port.spaces, ElementsAre(FakeIommufd::kId)) << "nothing is left of it";
}

TEST_F(IoasTest, UndoesWhatWasMappedWhenALaterRunIsReserved) {
  const auto space = create().value();
  const std::vector<DmaRun> runs{{Iova{0}, Hva{0x10000}, 0x1000}, {Iova{0xfee00000}, Hva{0x90000}, 0x1000}};
  const auto outcome = map_all(*space, runs);
  EXPECT_THAT(outcome, FailsWith(Errc::refused, HasSubstr("map 4096 bytes at 0xfee00000")));
  EXPECT_THAT(outcome.error().hint(), HasSubstr("the host reserves"));
  EXPECT_TRUE(port.mapped.empty());
}

TEST_F(IoasTest, ReadsAsManyRangesAsThereAre) {
  const auto space = create().value();
  EXPECT_THAT(*space->allowed(),
              ElementsAre(IovaRange{Iova{0}, Iova{0xfedfffff}}, IovaRange{Iova{0xfef00000}, Iova{0xffffffffffff}}));
  port.ranges.clear();
  for (std::uint64_t index = 0; index < 40; ++index) port.ranges.push_back({index * kMiB, index * kMiB + 0xfff});
  EXPECT_EQ(space->allowed()->size(), 40U);
  port.ranges.clear();
  EXPECT_TRUE(space->allowed()->empty());
  port.ranges.resize(5000);
  EXPECT_THAT(space->allowed(), FailsWith(Errc::kernel, HasSubstr("IOMMU_IOAS_IOVA_RANGES")));
}

struct Refusal {
  unsigned long request;
  int number;
  bool firmware;
  Errc kind;
  std::string text;  ///< in message or hint
};

void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << uapi::request_name(refusal.request) << " " << errno_name(refusal.number);
}

// Every request, with the errors that the kernel is known to give, and some that it is not.
class IoasRefusals : public IoasTest, public testing::WithParamInterface<Refusal> {
 protected:
  Result<void> use() {
    const auto space = TRY(create(GetParam().firmware));
    const auto device = TRY(space->open(kFirst, UnprovenReset::refuse));
    TRY(space->attach(kFirst));
    TRY(space->map({Iova{0}, Hva{0x10000}, kMiB}));
    return space->unmap(Iova{0}, kMiB);
  }
};

TEST_P(IoasRefusals, AreExplained) {
  const auto& wanted = GetParam();
  port.fail[wanted.request] = wanted.number;
  const auto outcome = use();
  ASSERT_THAT(outcome, FailsWith(wanted.kind));
  EXPECT_THAT(outcome.error().text() + " " + outcome.error().hint(), HasSubstr(wanted.text));
  EXPECT_EQ(outcome.error().sys_errno(), wanted.number);
}

constexpr auto kBind = uapi::bind_iommufd.number;
constexpr auto kAttach = uapi::attach_iommufd.number;
constexpr auto kMap = uapi::ioas_map.number;

INSTANTIATE_TEST_SUITE_P(
    Kernel, IoasRefusals,
    testing::Values(Refusal{uapi::ioas_alloc.number, ENOMEM, false, Errc::kernel, "IOMMU_IOAS_ALLOC"},
                    Refusal{uapi::ioas_alloc.number, ENOTTY, false, Errc::kernel, "IOMMU_IOAS_ALLOC"},
                    Refusal{kBind, EPERM, false, Errc::refused, "interrupt remapping is off"},
                    Refusal{kBind, EPERM, true, Errc::refused, "firmware reserves memory for a device of group 7"},
                    Refusal{kBind, EINVAL, true, Errc::refused, "firmware reserves memory for a device of group 7"},
                    Refusal{kBind, EINVAL, false, Errc::kernel, "another process has 0000:01:10.0 open"},
                    Refusal{kBind, EBUSY, false, Errc::busy, "0000:01:10.0: VFIO_DEVICE_BIND_IOMMUFD"},
                    Refusal{kBind, EACCES, false, Errc::denied, "start the VM that has the PF first"},
                    Refusal{kBind, EAGAIN, false, Errc::busy, "try again"},
                    Refusal{kBind, ENODEV, false, Errc::not_found, "pcivm device bind"},
                    Refusal{kBind, EIO, false, Errc::kernel, "0000:01:10.0"},
                    Refusal{kBind, EBADF, false, Errc::kernel, "0000:01:10.0"},
                    Refusal{kAttach, EADDRINUSE, false, Errc::refused, "reserves addresses of this device"},
                    Refusal{kAttach, ENOMEM, false, Errc::denied, "all that the user locks together"},
                    Refusal{kAttach, EPERM, false, Errc::refused, "interrupt remapping"},
                    Refusal{kAttach, EINVAL, true, Errc::refused, "firmware reserves memory"},
                    Refusal{kAttach, EINVAL, false, Errc::kernel, "0000:01:10.0: VFIO_DEVICE_ATTACH_IOMMUFD_PT"},
                    Refusal{kAttach, EBUSY, false, Errc::busy, "VFIO_DEVICE_ATTACH_IOMMUFD_PT"},
                    Refusal{kAttach, ENODEV, false, Errc::kernel, "0000:01:10.0"},
                    Refusal{kMap, ENOMEM, false, Errc::denied,
                            "all that the user locks together: LimitMEMLOCK=infinity"},
                    Refusal{kMap, EEXIST, false, Errc::busy, "map 1048576 bytes at 0x0"},
                    Refusal{kMap, EINVAL, false, Errc::kernel, "IOMMU_IOAS_MAP"},
                    Refusal{kMap, EFAULT, false, Errc::kernel, "IOMMU_IOAS_MAP"},
                    Refusal{uapi::ioas_unmap.number, EBUSY, false, Errc::busy, "unmap 0x0+0x100000"},
                    Refusal{VFIO_DEVICE_GET_INFO, EIO, false, Errc::kernel, "VFIO_DEVICE_GET_INFO"}));

}  // namespace
}  // namespace pcivm::vfio
