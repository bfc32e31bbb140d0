// SPDX-License-Identifier: GPL-2.0-or-later
// Devices that come and go, over a fake kernel: the order of what is done, and that a failure at any step leaves
// nothing.
#include "vmm/device_set.hpp"

#include <gmock/gmock.h>
#include <linux/vfio.h>
#include <linux/virtio_mem.h>

#include <array>
#include <atomic>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/socket.hpp"
#include "tests/fakes/fake_vfio.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/user_edu.hpp"
#include "vfio/uapi.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using test::FakeVfio;
using test::IsOk;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = PlugReport::Kind;

const Bdf kOne{.bus = 1, .device = 0x10};
const Bdf kTwo{.bus = 1, .device = 0x11};

// Containers, groups and KVM's VFIO device around the one of FakeVfio.
class Kernel final : public IoctlPort {
 public:
  FakeVfio vfio;
  std::map<unsigned long, int> fail;  ///< request -> errno
  int fail_attribute{};               ///< errno of KVM_DEV_VFIO_GROUP_ADD

  int call(FdRef fd, unsigned long request, void* argument) override {
    {
      const std::scoped_lock lock{mutex_};
      if (const auto failing = fail.find(request); failing != fail.end()) return -failing->second;
      switch (request) {
        case KVM_GET_API_VERSION: return KVM_API_VERSION;
        case KVM_GET_VCPU_MMAP_SIZE: return 4096;
        case VFIO_CHECK_EXTENSION:
        case KVM_CHECK_EXTENSION: return 64;
        case KVM_CREATE_VM: return make_eventfd().value().release();
        case KVM_SET_USER_MEMORY_REGION:
        case KVM_ENABLE_CAP:
        case KVM_SET_TSS_ADDR:
        case KVM_SET_IDENTITY_MAP_ADDR:
        case VFIO_IOMMU_GET_INFO: return 0;
        case KVM_CREATE_DEVICE:
          static_cast<kvm_create_device*>(argument)->fd = static_cast<unsigned>(make_eventfd().value().release());
          return 0;
        case KVM_SET_DEVICE_ATTR: return tell(*static_cast<const kvm_device_attr*>(argument));
        case VFIO_GROUP_SET_CONTAINER: return note("join");
        case VFIO_SET_IOMMU: return note("iommu");
        case vfio::uapi::ioas_map.number:
        case VFIO_IOMMU_MAP_DMA: return note("map");
        case VFIO_IOMMU_UNMAP_DMA: return note("unmap");
        case vfio::uapi::ioas_alloc.number: return note("space");
        case vfio::uapi::iommu_destroy.number: return note("destroy");
        case vfio::uapi::attach_iommufd.number: return note("attach");
        default: break;
      }
    }
    return vfio.call(fd, request, argument);
  }
  [[nodiscard]] std::vector<std::string> take_log() {
    const std::scoped_lock lock{mutex_};
    return std::exchange(log_, {});
  }
  int groups{};  ///< that KVM was told of

 private:
  int note(std::string text) {
    log_.push_back(std::move(text));
    return 0;
  }
  int tell(const kvm_device_attr& attribute) {
    if (attribute.attr == KVM_DEV_VFIO_GROUP_DEL) {
      --groups;
      return note("kvm-");
    }
    if (fail_attribute != 0) return -fail_attribute;
    ++groups;
    return note("kvm+");
  }
  std::mutex mutex_;
  std::vector<std::string> log_;
};

class FakeLine final : public InterruptLine {
 public:
  void set(bool asserted) override { up = asserted; }
  std::atomic<bool> up{};
};

class Devices : public testing::Test {
 protected:
  static constexpr std::uint32_t kPlaces = 1U << 16U | 1U << 17U;

  Devices() { bus_.keep_for_hotplug(2); }
  ~Devices() override { set_.reset(); }

  vfio::OpenedVfio opened(Bdf function, std::uint32_t group) const {
    vfio::OpenedVfio all;
    all.backend = backend_;
    all.iommu = make_eventfd().value();
    const bool iommufd = backend_ == vfio::IommuBackend::iommufd;
    all.groups.push_back({.number = group, .fd = iommufd ? Fd{} : make_eventfd().value(), .reserved = {}});
    all.devices.push_back(
        {.address = function,
         .group = 0,
         .bars = {{.index = 0, .size = 16 * kKiB, .wide = true}, {.index = 3, .size = 16 * kKiB, .wide = true}}});
    if (iommufd) all.devices.front().fd = kernel_.vfio.node();
    return all;
  }
  void start(vfio::OpenedVfio at_start = {}) {
    const bool empty = at_start.devices.empty();
    set_ = DeviceSet::create(std::move(at_start), {},
                             {.port = kernel_,
                              .loop = *loop_,
                              .memory = memory_,
                              .ports = ports_,
                              .mmio = mmio_,
                              .slots = slots_,
                              .routes = routes_,
                              .bus = bus_,
                              .timeline = timeline_,
                              .windows = {},
                              .intx = {.connect = [this](Gsi) -> InterruptLine& { return line_; },
                                       .on_eoi = [](Gsi, const std::function<void()>&) {},
                                       .on_unmask = [](Gsi, const std::function<void()>&) {}},
                              .domains = guest_iommu_ ? &domains_ : nullptr,
                              .blocks = blocks_.get(),
                              .hotplug = &hotplug_,
                              .hotplug_slots = kPlaces | 1U << 1U,
                              .wanted =
                                  [this](Bdf function) {
                                    wanted_.push_back(function);
                                    loop_->stop();
                                  },
                              .failed =
                                  [this](Bdf function) {
                                    broken_.push_back(function);
                                    loop_->stop();
                                  },
                              .tell =
                                  [this](const PlugReport& report) {
                                    told_.push_back(report);
                                    loop_->stop();
                                  },
                              .fail =
                                  [this](Error error) {
                                    failures_.push_back(error.text());
                                    loop_->stop();
                                  },
                              .report =
                                  [this](const Error& error) {
                                    failures_.push_back(error.text());
                                    loop_->stop();
                                  }})
               .value();
    ASSERT_THAT(set_->connect(vm_), IsOk());
    set_->open_all();
    set_->map_ram();
    if (!empty) settle();
    (void)kernel_.take_log();
    told_.clear();
  }
  // What the start has begun on threads of its own is through.
  void settle() {
    while (!timeline_.at(Phase::memory_mapped) || !timeline_.at(Phase::device_ready)) std::this_thread::yield();
  }
  // Until the set says something; that.
  PlugReport next() {
    told_.clear();
    while (told_.empty()) EXPECT_THAT(loop_->run(), IsOk());
    return told_.back();
  }
  // What is posted is done.
  void turn() {
    loop_->post([this] { loop_->stop(); });
    ASSERT_THAT(loop_->run(), IsOk());
  }
  // Until the guest is asked for what is in `slot`.
  void await_request(unsigned slot) {
    std::uint32_t asked = 0;
    while ((asked & 1U << slot) == 0) {
      turn();
      asked = guest_reads(HotplugSlots::kWantedOffset);
    }
  }
  PlugReport attach(Bdf function, std::uint32_t group, unsigned slot = 0) {
    told_.clear();
    set_->attach(
        {.kind = PlugRequest::Kind::attach, .function = function, .slot = slot, .opened = opened(function, group)});
    return told_.empty() ? next() : told_.back();
  }
  std::uint32_t id_in(unsigned slot) {
    std::array<std::byte, 4> bytes{};
    bus_.config_read(slot << 3U, 0, bytes);
    return static_cast<std::uint32_t>(load_le(bytes));
  }
  void guest(unsigned offset, std::uint32_t value) {
    std::array<std::byte, 4> bytes{};
    store_le(bytes, value);
    hotplug_.write(offset, bytes);
  }
  std::uint32_t guest_reads(unsigned offset) {
    std::array<std::byte, 4> bytes{};
    hotplug_.read(offset, bytes);
    return static_cast<std::uint32_t>(load_le(bytes));
  }

  Kernel kernel_;
  vfio::IommuBackend backend_{};
  bool guest_iommu_{};
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  GuestMemory memory_ =
      GuestMemory::create(std::array{GuestMemory::Range{.gpa = {}, .length = 4 * kMiB}}, {.shared = true}).value();
  IoBus ports_;
  IoBus mmio_;
  Kvm kvm_ = Kvm::adopt(kernel_, make_eventfd().value()).value();
  Vm vm_ = Vm::create(kernel_, kvm_).value();
  MemorySlots slots_{kernel_, vm_.ref()};
  InterruptRoutes routes_{kernel_, vm_.ref()};
  PciBus bus_;
  Timeline timeline_;
  FakeLine line_;
  IommuDomains domains_{memory_, [this](const Error& error) { failures_.push_back(error.text()); }};
  std::unique_ptr<MemoryBlocks> blocks_;  // none: no RAM comes or goes
  std::unique_ptr<DeviceSet> set_;
  HotplugSlots hotplug_{kPlaces | 1U << 1U, line_, [this] { loop_->post([this] { set_->hear_guest(); }); }};
  std::vector<PlugReport> told_;
  std::vector<Bdf> wanted_;
  std::vector<Bdf> broken_;
  std::vector<std::string> failures_;
};

class DevicesWithBlocks : public Devices {
 protected:
  static constexpr GuestMemory::Range kRange{.gpa = Gpa{4 * kGiB}, .length = 16 * kMiB};
  DevicesWithBlocks() {
    EXPECT_THAT(memory_.add_blocks(kRange, 2 * kMiB, {}), IsOk());
    blocks_ = std::make_unique<MemoryBlocks>(
        kRange, MemoryBlocks::Wiring{.memory = memory_,
                                     .slots = slots_,
                                     .changed = [] {},
                                     .fail = [this](const Error& error) { failures_.push_back(error.text()); },
                                     .report = [this](const Error& error) { failures_.push_back(error.text()); }});
    EXPECT_THAT(blocks_->want(kRange.length), IsOk());
  }
  std::uint16_t plug(std::uint64_t index) { return blocks_->plug(kRange.gpa + index * 2 * kMiB, 1); }
  std::uint16_t unplug(std::uint64_t index) { return blocks_->unplug(kRange.gpa + index * 2 * kMiB, 1); }
};

TEST_F(DevicesWithBlocks, ReachWhatIsPluggedAsLongAsTheyAreThere) {
  start();
  EXPECT_EQ(plug(0), VIRTIO_MEM_RESP_ACK);
  EXPECT_EQ(plug(1), VIRTIO_MEM_RESP_ACK);
  EXPECT_THAT(kernel_.take_log(), IsEmpty()) << "nobody is there for whom it is mapped";
  ASSERT_EQ(attach(kOne, 7).kind, Kind::placed);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("join", "iommu", "kvm+", "map", "map", "map"));
  EXPECT_EQ(set_->figures().mapped_bytes, 8 * kMiB);
  EXPECT_EQ(set_->figures().runs, 3U);
  ASSERT_EQ(attach(kTwo, 8).kind, Kind::placed);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("join", "kvm+"));
  EXPECT_EQ(plug(2), VIRTIO_MEM_RESP_ACK);
  EXPECT_EQ(unplug(0), VIRTIO_MEM_RESP_ACK);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("map", "unmap"));
  kernel_.fail[VFIO_IOMMU_UNMAP_DMA] = EINVAL;
  EXPECT_EQ(unplug(1), VIRTIO_MEM_RESP_BUSY) << "as long as a device reaches it the host does not get it";
  kernel_.fail.clear();
  EXPECT_EQ(blocks_->mapped(), 4 * kMiB);
  failures_.clear();
  for (const auto function : {kOne, kTwo}) {
    ASSERT_THAT(set_->take_out(function), IsOk());
    EXPECT_EQ(next().kind, Kind::detached);
  }
  (void)kernel_.take_log();
  EXPECT_EQ(unplug(1), VIRTIO_MEM_RESP_ACK);
  EXPECT_THAT(kernel_.take_log(), IsEmpty()) << "mappings went with the last device";
  EXPECT_EQ(blocks_->mapped(), 0U);
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(DevicesWithBlocks, OneForWhichTheyCannotBeMappedDoesNotCome) {
  start();
  ASSERT_EQ(plug(0), VIRTIO_MEM_RESP_ACK);
  kernel_.fail[VFIO_IOMMU_MAP_DMA] = ENOMEM;
  EXPECT_EQ(attach(kOne, 7).kind, Kind::failed);
  kernel_.fail.clear();
  (void)kernel_.take_log();
  EXPECT_EQ(plug(1), VIRTIO_MEM_RESP_ACK);
  EXPECT_THAT(kernel_.take_log(), IsEmpty());
  EXPECT_EQ(attach(kOne, 7).kind, Kind::placed);
  EXPECT_EQ(set_->figures().runs, 3U);
}

TEST_F(DevicesWithBlocks, ThoseOfTheStartReachThem) {
  start(opened(kOne, 7));
  EXPECT_EQ(plug(0), VIRTIO_MEM_RESP_ACK);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("map"));
  kernel_.fail[VFIO_IOMMU_MAP_DMA] = ENOMEM;
  EXPECT_EQ(plug(1), VIRTIO_MEM_RESP_BUSY);
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("ENOMEM")));
  EXPECT_EQ(blocks_->mapped(), 2 * kMiB);
  set_.reset();
  EXPECT_EQ(blocks_->mapped(), 0U);
}

TEST_F(Devices, TheFirstThatComesBringsTheMappingAndTheLastTakesItAlong) {
  start();
  auto told = attach(kOne, 7);
  EXPECT_EQ(told.kind, Kind::placed);
  EXPECT_EQ(told.slot, 16U);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("join", "iommu", "kvm+", "map"));
  EXPECT_EQ(id_in(16), 0x10ca8086U);
  EXPECT_TRUE(line_.up);
  EXPECT_EQ(guest_reads(HotplugSlots::kPluggedOffset), 1U << 16U);
  EXPECT_EQ(set_->figures().mapped_bytes, 4 * kMiB);

  EXPECT_EQ(attach(kTwo, 8).slot, 17U);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("join", "kvm+")) << "what is mapped is there already";

  ASSERT_THAT(set_->ask_back(kOne), IsOk());
  EXPECT_EQ(guest_reads(HotplugSlots::kWantedOffset), 1U << 16U);
  EXPECT_EQ(id_in(16), 0x10ca8086U) << "it is the guest's until that lets go";
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  told = next();
  EXPECT_EQ(told.kind, Kind::detached);
  EXPECT_EQ(told.function, kOne);
  EXPECT_EQ(told.slot, 0U);
  EXPECT_EQ(id_in(16), 0xffffffffU);
  EXPECT_EQ(kernel_.groups, 1);

  guest(HotplugSlots::kEjectOffset, 1U << 17U);  // without being asked
  EXPECT_EQ(next().function, kTwo);
  EXPECT_EQ(kernel_.groups, 0);
  EXPECT_EQ(set_->figures().mapped_bytes, 0U);
  (void)kernel_.take_log();
  EXPECT_EQ(attach(kTwo, 8).slot, 16U);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("join", "iommu", "kvm+", "map"));
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(Devices, ComeAndGoByIommufdToo) {
  backend_ = vfio::IommuBackend::iommufd;
  start();
  EXPECT_EQ(attach(kOne, 7).slot, 16U);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("space", "kvm+", "map", "attach"));
  EXPECT_EQ(attach(kTwo, 7).slot, 17U);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("kvm+", "attach")) << "each device is told of, also of one group";
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  EXPECT_EQ(next().function, kOne);
  EXPECT_EQ(kernel_.groups, 1);
  ASSERT_THAT(set_->take_out(kTwo), IsOk());
  EXPECT_EQ(next().function, kTwo);
  EXPECT_EQ(kernel_.groups, 0);
  EXPECT_EQ(set_->figures().mapped_bytes, 0U);
  for (const unsigned long request : {vfio::uapi::ioas_alloc.number, vfio::uapi::ioas_map.number,
                                      vfio::uapi::bind_iommufd.number, vfio::uapi::attach_iommufd.number}) {
    kernel_.fail[request] = EIO;
    const auto told = attach(kOne, 7);
    EXPECT_EQ(told.kind, Kind::failed) << request;
    EXPECT_EQ(kernel_.groups, 0) << request;
    kernel_.fail.clear();
  }
  EXPECT_EQ(attach(kOne, 7).kind, Kind::placed);
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(Devices, GoBehindTheGuestsIommuAsTheyCome) {
  backend_ = vfio::IommuBackend::iommufd;
  guest_iommu_ = true;
  start(opened(kTwo, 8));
  EXPECT_TRUE(domains_.reserved(endpoint_in(1))) << "one of the start";
  EXPECT_FALSE(domains_.reserved(endpoint_in(16)));
  EXPECT_EQ(attach(kOne, 7).slot, 16U);
  (void)kernel_.take_log();
  EXPECT_EQ(domains_.attach(5, endpoint_in(16), false), 0);
  EXPECT_EQ(domains_.map(5, {.first = {}, .last = Iova{0xfff}}, Gpa{0x1000}, 3), 0);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("space", "attach", "map"));

  ASSERT_THAT(set_->reset_all(), IsOk());
  EXPECT_THAT(kernel_.take_log(), ElementsAre("attach", "destroy")) << "a reboot: to RAM";
  EXPECT_EQ(domains_.attach(5, endpoint_in(16), false), 0);
  (void)kernel_.take_log();
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  EXPECT_EQ(next().function, kOne);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("kvm-", "destroy")) << "where it was goes after it, without another move";
  EXPECT_FALSE(domains_.reserved(endpoint_in(16)));

  domains_.set_bypass(false);
  (void)kernel_.take_log();
  EXPECT_EQ(attach(kOne, 7).slot, 16U);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("kvm+", "attach", "attach")) << "into the space with nothing in it";
  EXPECT_EQ(domains_.attach(5, endpoint_in(1), false), 0);
  set_->close();
  EXPECT_FALSE(domains_.reserved(endpoint_in(1)));
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(Devices, AGroupStaysWithKvmUntilItsLastDeviceGoes) {
  start();
  (void)attach(kOne, 7);
  EXPECT_EQ(attach(kTwo, 7).kind, Kind::placed);
  EXPECT_EQ(kernel_.groups, 1);
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  EXPECT_EQ(next().function, kOne);
  EXPECT_EQ(kernel_.groups, 1);
  guest(HotplugSlots::kEjectOffset, 1U << 17U);
  EXPECT_EQ(next().function, kTwo);
  EXPECT_EQ(kernel_.groups, 0);
}

TEST_F(Devices, AFailureAtAnyStepLeavesNothing) {
  start();
  const unsigned long attributes = KVM_SET_DEVICE_ATTR;
  for (const auto request : std::initializer_list<unsigned long>{
           VFIO_GROUP_SET_CONTAINER, VFIO_SET_IOMMU, KVM_CREATE_DEVICE, attributes, VFIO_IOMMU_MAP_DMA,
           VFIO_GROUP_GET_DEVICE_FD, VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_SET_IRQS}) {
    if (request == attributes) {
      kernel_.fail_attribute = EIO;
    } else {
      kernel_.fail[request] = EIO;
    }
    const auto told = attach(kOne, 7);
    EXPECT_EQ(told.kind, Kind::failed) << request;
    ASSERT_TRUE(told.error) << request;
    EXPECT_THAT(told.error->text(), HasSubstr("EIO")) << request;
    EXPECT_EQ(kernel_.groups, 0) << request;
    EXPECT_EQ(id_in(16), 0xffffffffU);
    EXPECT_FALSE(line_.up) << "the guest knows nothing of it";
    kernel_.fail.clear();
    kernel_.fail_attribute = 0;
  }
  EXPECT_EQ(attach(kOne, 7).kind, Kind::placed);
  // Beside one that works.
  for (const auto request : std::initializer_list<unsigned long>{VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_GET_DEVICE_FD}) {
    kernel_.fail[request] = EBUSY;
    EXPECT_EQ(attach(kTwo, 8).kind, Kind::failed);
    EXPECT_EQ(kernel_.groups, 1);
    kernel_.fail.clear();
  }
  EXPECT_EQ(id_in(16), 0x10ca8086U);
  EXPECT_EQ(attach(kTwo, 8).kind, Kind::placed);
}

TEST_F(Devices, RefusesWhatItHasAndWhatHasNoPlace) {
  start();
  EXPECT_EQ(attach(kOne, 7).kind, Kind::placed);
  EXPECT_THAT(attach(kOne, 7).error->text(), HasSubstr("already"));
  EXPECT_EQ(attach(kTwo, 8).kind, Kind::placed);
  EXPECT_EQ(attach({.bus = 3}, 9).slot, 1U) << "the place of a device of the start will do";
  EXPECT_THAT(attach({.bus = 4}, 10).error->text(), HasSubstr("no hot-plug slot is free"));
  EXPECT_THAT(set_->ask_back({.bus = 5}), FailsWith(Errc::not_found, HasSubstr("does not have")));
  EXPECT_THAT(set_->take_out({.bus = 5}), FailsWith(Errc::not_found, HasSubstr("does not have")));
}

TEST_F(Devices, GoToTheSlotThatTheyHadBefore) {
  start();
  EXPECT_EQ(attach(kOne, 7, 17).slot, 17U);
  EXPECT_EQ(attach(kTwo, 8, 17).slot, 16U) << "that is taken";
}

TEST_F(Devices, AGuestThatDoesNotTakeItIsReported) {
  start();
  (void)attach(kOne, 7);
  guest(HotplugSlots::kAnswerOffset, 16U << 24U | 1U << 16U | 1U);
  set_->hear_guest();
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("the guest does not take 0000:01:10.0 (status 0x1)")));
  guest(HotplugSlots::kAnswerOffset, 16U << 24U | 1U << 16U);
  set_->hear_guest();
  EXPECT_EQ(failures_.size(), 1U);
}

TEST_F(Devices, AGuestThatRefusesKeepsIt) {
  start();
  (void)attach(kOne, 7);
  ASSERT_THAT(set_->ask_back(kOne), IsOk());
  guest(HotplugSlots::kAnswerOffset, 16U << 24U | 3U << 16U | 0x84U);  // it is at it
  guest(HotplugSlots::kAnswerOffset, 16U << 24U | 3U << 16U | 0x82U);
  const auto told = next();
  EXPECT_EQ(told.kind, Kind::refused);
  EXPECT_THAT(told.error->text(), HasSubstr("the device is busy (status 0x82)"));
  EXPECT_EQ(told.error->kind(), Errc::busy);
  EXPECT_EQ(id_in(16), 0x10ca8086U);
  ASSERT_THAT(set_->ask_back(kOne), IsOk()) << "it may be asked again";
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  EXPECT_EQ(next().kind, Kind::detached);
}

TEST_F(Devices, ASurpriseKeepsTheSlotEmptyUntilTheGuestForgets) {
  start();
  (void)attach(kOne, 7);
  (void)guest_reads(HotplugSlots::kPluggedOffset);
  ASSERT_THAT(set_->take_out(kOne), IsOk());
  const auto told = next();
  EXPECT_EQ(told.kind, Kind::detached);
  EXPECT_EQ(told.slot, 16U);
  EXPECT_EQ(id_in(16), 0xffffffffU);
  EXPECT_EQ(guest_reads(HotplugSlots::kWantedOffset), 1U << 16U) << "asked afterwards";
  EXPECT_EQ(attach(kOne, 7, 16).slot, 17U);
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  const auto vacated = next();
  EXPECT_EQ(vacated.kind, Kind::vacated);
  EXPECT_EQ(vacated.slot, 16U);
  EXPECT_EQ(attach(kTwo, 8, 16).slot, 16U);
}

TEST_F(Devices, OneOfTheStartGoesToo) {
  start(opened(kOne, 7));
  EXPECT_EQ(id_in(1), 0x10ca8086U);
  ASSERT_THAT(set_->ask_back(kOne), IsOk());
  EXPECT_EQ(guest_reads(HotplugSlots::kWantedOffset), 1U << 1U);
  guest(HotplugSlots::kEjectOffset, 1U << 1U);
  EXPECT_EQ(next().kind, Kind::detached);
  EXPECT_EQ(kernel_.groups, 0);
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(Devices, ARebootLetsGoOfWhatTheGuestWasAskedFor) {
  start(opened(kOne, 7));
  (void)attach(kTwo, 8);
  ASSERT_THAT(set_->ask_back(kTwo), IsOk());
  ASSERT_THAT(set_->reset_all(), IsOk());
  EXPECT_FALSE(line_.up);
  auto vm = Vm::create(kernel_, kvm_).value();
  ASSERT_THAT(set_->connect(vm), IsOk());
  const auto told = next();
  EXPECT_EQ(told.kind, Kind::detached);
  EXPECT_EQ(told.function, kTwo);
  EXPECT_EQ(id_in(1), 0x10ca8086U);
  set_.reset();
}

TEST_F(Devices, AnErrorOfOneIsTold) {
  start();
  (void)attach(kOne, 7);
  kernel_.vfio.fire(VFIO_PCI_ERR_IRQ_INDEX, 0);
  while (broken_.empty()) ASSERT_THAT(loop_->run(), IsOk());
  EXPECT_THAT(broken_, ElementsAre(kOne));
  EXPECT_FALSE(set_->away(kOne)) << "what is done about it is not decided here";
  EXPECT_TRUE(set_->away(kTwo));
}

TEST_F(Devices, AreResetAndShownAgainAfterAnError) {
  start();
  (void)attach(kOne, 7);
  (void)guest_reads(HotplugSlots::kPluggedOffset);
  (void)kernel_.vfio.take_log();
  ASSERT_THAT(set_->recover(kOne), IsOk());
  EXPECT_EQ(told_.back().kind, Kind::pulled);
  EXPECT_TRUE(set_->away(kOne));
  EXPECT_THAT(set_->recover(kOne), IsOk()) << "it is at it";
  await_request(16);
  EXPECT_EQ(id_in(16), 0xffffffffU) << "the guest sees it pulled";
  EXPECT_THAT(kernel_.vfio.take_log(), Contains("reset"));
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  const auto told = next();
  EXPECT_EQ(told.kind, Kind::placed);
  EXPECT_EQ(told.slot, 16U);
  EXPECT_EQ(id_in(16), 0x10ca8086U);
  EXPECT_EQ(guest_reads(HotplugSlots::kPluggedOffset), 1U << 16U);
  EXPECT_FALSE(set_->away(kOne));
  EXPECT_EQ(kernel_.groups, 1) << "it was the VM's all the time";
  kernel_.vfio.fire(VFIO_PCI_ERR_IRQ_INDEX, 0);
  while (broken_.empty()) ASSERT_THAT(loop_->run(), IsOk());
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(Devices, AreNotResetAgainAndAgain) {
  start();
  (void)attach(kOne, 7);
  for (unsigned time = 0; time < DeviceSet::kMostRecoveries; ++time) {
    ASSERT_THAT(set_->recover(kOne), IsOk());
    await_request(16);
    guest(HotplugSlots::kEjectOffset, 1U << 16U);
    ASSERT_EQ(next().kind, Kind::placed);
  }
  EXPECT_THAT(set_->recover(kOne), FailsWith(Errc::refused, HasSubstr("was reset 3 times already")));
  EXPECT_FALSE(set_->away(kOne));
  EXPECT_THAT(set_->recover(kTwo), FailsWith(Errc::not_found));
}

TEST_F(Devices, AResetThatFailsAfterAnErrorDetachesIt) {
  start();
  (void)attach(kOne, 7);
  kernel_.fail[VFIO_DEVICE_RESET] = EIO;
  ASSERT_THAT(set_->recover(kOne), IsOk());
  const auto told = next();
  EXPECT_EQ(told.kind, Kind::detached);
  EXPECT_EQ(told.slot, 16U);
  EXPECT_EQ(kernel_.groups, 0);
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("0000:01:10.0: the reset failed, so it is detached")));
  kernel_.fail.clear();
  EXPECT_EQ(attach(kTwo, 8).kind, Kind::placed) << "what comes after it is done";
}

TEST_F(Devices, OneThatIsAskedForWhileItIsResetGoes) {
  start();
  (void)attach(kOne, 7);
  ASSERT_THAT(set_->recover(kOne), IsOk());
  ASSERT_THAT(set_->ask_back(kOne), IsOk());
  await_request(16);
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  EXPECT_EQ(next().kind, Kind::detached);

  (void)attach(kTwo, 8);
  ASSERT_THAT(set_->recover(kTwo), IsOk());
  ASSERT_THAT(set_->take_out(kTwo), IsOk()) << "at once";
  EXPECT_EQ(next().kind, Kind::detached);
  EXPECT_EQ(kernel_.groups, 0);
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(Devices, ARebootShowsWhatWasReset) {
  start(opened(kOne, 7));
  (void)attach(kTwo, 8);
  ASSERT_THAT(set_->recover(kOne), IsOk());
  await_request(1);
  ASSERT_THAT(set_->recover(kTwo), IsOk());  // may not have begun
  ASSERT_THAT(set_->reset_all(), IsOk());
  EXPECT_EQ(id_in(1), 0x10ca8086U);
  EXPECT_EQ(id_in(16), 0x10ca8086U);
  auto vm = Vm::create(kernel_, kvm_).value();
  ASSERT_THAT(set_->connect(vm), IsOk());
  for (int count = 0; count < 10; ++count) turn();
  EXPECT_EQ(id_in(16), 0x10ca8086U);
  EXPECT_FALSE(set_->away(kOne));
  EXPECT_FALSE(set_->away(kTwo));
  EXPECT_EQ(guest_reads(HotplugSlots::kWantedOffset), 0U) << "the new guest is asked for nothing";
  set_.reset();
}

TEST_F(Devices, AGuestThatKeepsWhatWasPulledIsReported) {
  start();
  (void)attach(kOne, 7);
  ASSERT_THAT(set_->recover(kOne), IsOk());
  await_request(16);
  guest(HotplugSlots::kAnswerOffset, 16U << 24U | 3U << 16U | 0x82U);
  set_->hear_guest();
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("0000:01:10.0 is reset, and not shown again")));
}

TEST_F(Devices, TheHostMayWantOneBack) {
  start();
  (void)attach(kOne, 7);
  kernel_.vfio.fire(VFIO_PCI_REQ_IRQ_INDEX, 0);
  while (wanted_.empty()) ASSERT_THAT(loop_->run(), IsOk());
  EXPECT_THAT(wanted_, ElementsAre(kOne));
}

TEST_F(Devices, EndWhileOneIsOnItsWay) {
  start();
  set_->attach({.kind = PlugRequest::Kind::attach, .function = kOne, .opened = opened(kOne, 7)});
  set_->attach({.kind = PlugRequest::Kind::attach, .function = kTwo, .opened = opened(kTwo, 8)});
  set_->abandon();
  set_->close();
  EXPECT_THAT(told_, IsEmpty());
}

class ServedDevices : public Devices {
 protected:
  static constexpr Bdf kServed{.domain = 0xffffffff};

  void serve(std::optional<vfio::user::Command> last = {}) {
    auto [ours, theirs] = make_socket_pair().value();
    edu_ = std::make_unique<test::UserEdu>(std::move(theirs));
    if (last) edu_->become(*last, test::UserEdu::Mood::gone);
    edu_->start();
    vfio::OpenedVfio all;
    all.devices.push_back({.address = kServed,
                           .bars = {{.index = 0, .size = 4 * kKiB},
                                    {.index = 2, .size = 4 * kKiB},
                                    {.index = 4, .size = 16 * kKiB, .wide = true}}});
    all.devices.front().server = vfio::OpenedServer{.path = "/edu", .socket = std::move(ours), .limits = {}};
    start(std::move(all));
  }
  std::unique_ptr<test::UserEdu> edu_;
};

TEST_F(ServedDevices, NeedNothingOfTheKernel) {
  serve();
  EXPECT_EQ(id_in(1), 0x11e91234U);
  EXPECT_EQ(kernel_.groups, 0);
  EXPECT_EQ(set_->figures().mapped_bytes, 4 * kMiB);
  ASSERT_EQ(edu_->ram().size(), 1U);
  edu_->ram().front().mapping.bytes()[77] = std::byte{5};
  EXPECT_EQ(memory_.read<std::uint8_t>(Gpa{77}).value(), 5U);
  EXPECT_LT(::ftruncate(edu_->ram().front().file.ref().number(), 0), 0) << "nobody may take the memory away";
  ASSERT_THAT(set_->reset_all(), IsOk());
  EXPECT_EQ(std::ranges::count(edu_->commands(), vfio::user::Command::reset), 2) << "at the start and now";
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(ServedDevices, OneWithoutServerIsPulledAndTheRestStays) {
  serve();
  EXPECT_EQ(attach(kOne, 7).kind, Kind::placed);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("join", "iommu", "map", "kvm+")) << "what is mapped already";
  edu_->leave();
  const auto told = next();
  EXPECT_EQ(told.kind, Kind::detached);
  EXPECT_EQ(told.function, kServed);
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("vfio-user '/edu': the server has closed the connection")));
  EXPECT_EQ(id_in(1), 0xffffffffU);
  EXPECT_EQ(guest_reads(HotplugSlots::kWantedOffset), 1U << 1U) << "asked to forget it";
  EXPECT_EQ(id_in(16), 0x10ca8086U);
  EXPECT_EQ(set_->figures().mapped_bytes, 4 * kMiB);
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  EXPECT_EQ(next().function, kOne);
  EXPECT_EQ(kernel_.groups, 0);
  EXPECT_EQ(set_->figures().mapped_bytes, 0U);
}

TEST_F(ServedDevices, TheKernelsLeaveAServedOneAlone) {
  serve();
  EXPECT_EQ(attach(kOne, 7).kind, Kind::placed);
  guest(HotplugSlots::kEjectOffset, 1U << 16U);
  EXPECT_EQ(next().function, kOne);
  EXPECT_EQ(id_in(1), 0x11e91234U);
  EXPECT_EQ(kernel_.groups, 0);
  (void)kernel_.take_log();
  EXPECT_EQ(attach(kTwo, 8).kind, Kind::placed);
  EXPECT_THAT(kernel_.take_log(), ElementsAre("join", "iommu", "map", "kvm+"));
  guest(HotplugSlots::kEjectOffset, 1U << 1U);
  EXPECT_EQ(next().function, kServed) << "the guest lets go of it";
  EXPECT_EQ(id_in(1), 0xffffffffU);
  EXPECT_EQ(id_in(16), 0x10ca8086U);
  EXPECT_EQ(set_->figures().mapped_bytes, 4 * kMiB);
  EXPECT_THAT(failures_, IsEmpty());
}

class LostAtTheStart : public ServedDevices, public testing::WithParamInterface<vfio::user::Command> {};
INSTANTIATE_TEST_SUITE_P(Command, LostAtTheStart,
                         testing::Values(vfio::user::Command::get_info, vfio::user::Command::region_read,
                                         vfio::user::Command::reset, vfio::user::Command::dma_map));

TEST_P(LostAtTheStart, IsToldOnceAndEndsNothing) {
  serve(GetParam());
  while (failures_.empty()) ASSERT_THAT(loop_->run(), IsOk());
  EXPECT_EQ(id_in(1), 0xffffffffU);
  EXPECT_THAT(set_->reset_all(), IsOk()) << "a reboot goes on without it";
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("vfio-user '/edu': the server has closed the connection")));
}

TEST_F(Devices, AnAccessInProgressIsWaitedFor) {
  class Slow final : public IoHandler {
   public:
    void read(std::uint64_t, std::span<std::byte>) override {
      inside = true;
      while (!leave) std::this_thread::yield();
    }
    void write(std::uint64_t, std::span<const std::byte>) override {}
    std::atomic<bool> inside{};
    std::atomic<bool> leave{};
  } slow;
  IoBus bus;
  ASSERT_THAT(bus.add(0, 16, slow, "slow"), IsOk());
  std::jthread reader{[&] {
    std::array<std::byte, 1> byte{};
    bus.read(0, byte);
  }};
  while (!slow.inside) std::this_thread::yield();
  bus.remove(0);
  std::atomic<bool> waited{};
  std::jthread waiter{[&] {
    bus.await_accesses();
    waited = true;
  }};
  std::this_thread::sleep_for(std::chrono::milliseconds{20});
  EXPECT_FALSE(waited);
  std::array<std::byte, 1> byte{};
  EXPECT_FALSE(bus.read(0, byte)) << "others go on meanwhile";
  slow.leave = true;
  waiter.join();
  EXPECT_TRUE(waited);
}

}  // namespace
}  // namespace pcivm::vmm
