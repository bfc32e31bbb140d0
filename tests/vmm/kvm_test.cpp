// SPDX-License-Identifier: GPL-2.0-or-later
// KVM answers that no real host gives on request: old kernels, failures, exits that mean trouble.
#include "vmm/kvm.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/result_matchers.hpp"
#include "vmm/vcpu.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using test::FakeIoctls;
using test::IsOk;
using test::IsOkAnd;
using testing::HasSubstr;

class FakeKvm : public testing::Test {
 protected:
  FakeKvm() {
    port_.always(KVM_GET_API_VERSION, 12);
    port_.always(KVM_CHECK_EXTENSION, 1);
    port_.always(KVM_GET_VCPU_MMAP_SIZE, 12288);
    for (const unsigned long request : {0UL + KVM_ENABLE_CAP, 0UL + KVM_SET_TSS_ADDR, 0UL + KVM_SET_IDENTITY_MAP_ADDR})
      port_.always(request, 0);
    port_.on(KVM_CREATE_VM, [](FdRef, void*) { return ::memfd_create("vm", MFD_CLOEXEC); });
    port_.on(KVM_CREATE_VCPU, [this](FdRef, void*) { return make_vcpu(); });
    port_.on<kvm_regs>(KVM_GET_REGS, [](kvm_regs& regs) {
      regs.rip = 0xabc0;
      return 0;
    });
  }
  static Fd device() { return make_eventfd().value(); }
  int make_vcpu() {
    const int fd = ::memfd_create("vcpu", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(fd, 12288), 0);
    page_ = Mapping::shared(FdRef{fd}, 0, 12288, Access::read_write).value();
    return fd;
  }
  kvm_run& page() { return *static_cast<kvm_run*>(static_cast<void*>(page_.bytes().data())); }

  // Runs a vCPU whose one exit is what `exit` writes into its page.
  Result<Vcpu::End> run_with(std::function<int()> exit) {
    const auto kvm = Kvm::adopt(port_, device()).value();
    const auto vm = Vm::create(port_, kvm).value();
    const auto vcpu = Vcpu::create(port_, kvm, vm, 0).value();
    port_.on(KVM_RUN, [&](FdRef, void*) { return exit(); });
    return vcpu->run({.ports = bus_, .memory = bus_, .interrupts = interrupts_});
  }

  class Silent final : public InterruptAcknowledge {
   public:
    void end_of_interrupt(std::uint8_t vector) override { ended.push_back(vector); }
    bool pic_pending() override { return false; }
    std::optional<std::uint8_t> pic_acknowledge() override { return std::nullopt; }
    std::vector<std::uint8_t> ended;
  };

  FakeIoctls port_;
  Mapping page_;
  IoBus bus_;
  Silent interrupts_;
};

TEST_F(FakeKvm, NamesTheVersionThatItFound) {
  port_.always(KVM_GET_API_VERSION, 11);
  EXPECT_THAT(Kvm::adopt(port_, device()), FailsWith(Errc::kernel, HasSubstr("API version 11 found, 12 wanted")));
}

TEST_F(FakeKvm, NamesTheCapabilityThatIsMissing) {
  port_.on(KVM_CHECK_EXTENSION, [](FdRef, void* number) {
    return number == std::bit_cast<void*>(std::uintptr_t{KVM_CAP_SPLIT_IRQCHIP}) ? 0 : 1;
  });
  EXPECT_THAT(Kvm::adopt(port_, device()), FailsWith(Errc::kernel, HasSubstr("KVM_CAP_SPLIT_IRQCHIP")));
}

TEST_F(FakeKvm, AsksForALargerCpuidTableUntilItFits) {
  port_.on<kvm::CpuidHead>(kvm::get_supported_cpuid.number, [](kvm::CpuidHead& head) {
    if (head.nent < 500) return -E2BIG;
    head.nent = 3;
    return 0;
  });
  EXPECT_EQ(Kvm::adopt(port_, device()).value().supported_cpuid().value().size(), 3U);
}

TEST_F(FakeKvm, TriesAgainWhenASignalInterruptsTheCreation) {
  int calls = 0;
  port_.on(KVM_CREATE_VM, [&](FdRef, void*) { return ++calls == 1 ? -EINTR : ::memfd_create("vm", MFD_CLOEXEC); });
  EXPECT_THAT(Vm::create(port_, Kvm::adopt(port_, device()).value()), IsOk());
}

TEST_F(FakeKvm, SplitsTheInterruptChipWithTwentyFourPins) {
  kvm_enable_cap seen{};
  port_.on<kvm_enable_cap>(KVM_ENABLE_CAP, [&](kvm_enable_cap& request) {
    seen = request;
    return 0;
  });
  ASSERT_THAT(Vm::create(port_, Kvm::adopt(port_, device()).value()), IsOk());
  EXPECT_EQ(seen.cap, static_cast<unsigned>(KVM_CAP_SPLIT_IRQCHIP));
  EXPECT_EQ(seen.args[0], 24U);
}

TEST_F(FakeKvm, MakesOneVfioDeviceForAllGroups) {
  port_.on<kvm_create_device>(KVM_CREATE_DEVICE, [](kvm_create_device& request) {
    request.fd = static_cast<__u32>(::memfd_create("vfio", MFD_CLOEXEC));
    return 0;
  });
  std::vector<int> groups;
  port_.on<kvm_device_attr>(KVM_SET_DEVICE_ATTR, [&](kvm_device_attr& attribute) {
    const auto number = *std::bit_cast<std::int32_t*>(attribute.addr);
    groups.push_back(attribute.attr == KVM_DEV_VFIO_GROUP_DEL ? -number : number);
    return 0;
  });
  auto vm = Vm::create(port_, Kvm::adopt(port_, device()).value()).value();
  EXPECT_THAT(vm.add_vfio(FdRef{71}), IsOk());
  EXPECT_THAT(vm.add_vfio(FdRef{72}), IsOk());
  EXPECT_THAT(groups, testing::ElementsAre(71, 72));
  EXPECT_EQ(port_.count(KVM_CREATE_DEVICE), 1U);
  EXPECT_THAT(vm.remove_vfio(FdRef{71}), IsOk());
  EXPECT_THAT(groups, testing::ElementsAre(71, 72, -71));
}

TEST_F(FakeKvm, TakesAShutdownForATripleFault) {
  EXPECT_THAT(run_with([&] {
                page().exit_reason = KVM_EXIT_SHUTDOWN;
                return 0;
              }),
              IsOkAnd(Vcpu::End::triple_fault));
}

TEST_F(FakeKvm, ExplainsAnInternalError) {
  EXPECT_THAT(run_with([&] {
                page().exit_reason = KVM_EXIT_INTERNAL_ERROR;
                page().internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
                page().internal.ndata = 1000;  // more than there is
                page().internal.data[0] = 0x77;
                return 0;
              }),
              FailsWith(Errc::kernel, testing::AllOf(HasSubstr("vCPU 0 at rip 0xabc0"), HasSubstr("emulation failed"),
                                                     HasSubstr("0x77"))));
}

TEST_F(FakeKvm, ExplainsARefusedEntry) {
  EXPECT_THAT(run_with([&] {
                page().exit_reason = KVM_EXIT_FAIL_ENTRY;
                page().fail_entry.hardware_entry_failure_reason = 0x80000021;
                return 0;
              }),
              FailsWith(Errc::kernel, HasSubstr("0x80000021")));
}

TEST_F(FakeKvm, ReportsAFailureOfKvmRunWithItsErrno) {
  EXPECT_THAT(run_with([] { return -EFAULT; }), FailsWith(Errc::kernel, HasSubstr("KVM_RUN")));
}

TEST_F(FakeKvm, GoesOnAfterASignalOrAStartupIpi) {
  int calls = 0;
  EXPECT_THAT(run_with([&] {
                ++calls;
                if (calls == 1) return -EINTR;
                if (calls == 2) return -EAGAIN;
                page().exit_reason = KVM_EXIT_SHUTDOWN;
                return 0;
              }),
              IsOkAnd(Vcpu::End::triple_fault));
  EXPECT_EQ(calls, 3);
}

TEST_F(FakeKvm, HandsEndsOfInterruptToTheIoapic) {
  int calls = 0;
  EXPECT_THAT(run_with([&] {
                page().exit_reason = ++calls == 1 ? KVM_EXIT_IOAPIC_EOI : KVM_EXIT_SHUTDOWN;
                page().eoi.vector = 0x31;
                return 0;
              }),
              IsOk());
  EXPECT_THAT(interrupts_.ended, testing::ElementsAre(0x31));
}

TEST_F(FakeKvm, IgnoresPortDataOutsideItsPage) {
  int calls = 0;
  EXPECT_THAT(run_with([&] {
                page().exit_reason = ++calls == 1 ? KVM_EXIT_IO : KVM_EXIT_SHUTDOWN;
                page().io.size = 4;
                page().io.count = 1;
                page().io.data_offset = 12286;
                return 0;
              }),
              IsOk());
}

}  // namespace
}  // namespace pcivm::vmm
