// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_request.hpp"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include "cli/vm_cpus.hpp"
#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/kernel_files.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "vmm/kvm_uapi.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

// A host in a directory with a KVM made of a table.
class CheckVm : public testing::Test {
 protected:
  CheckVm() {
    tree_.file("/dev/kvm", "");
    const test::BzImage file;
    const auto image = file.bytes();
    tree_.file("/bzImage", {static_cast<const char*>(static_cast<const void*>(image.data())), image.size()});
    request_.name = "guest";
    request_.kernel = tree_.path("/bzImage").string();
    port_.always(KVM_GET_API_VERSION, 12);
    port_.always(KVM_CHECK_EXTENSION, 1024);
    port_.always(KVM_GET_VCPU_MMAP_SIZE, 12288);
    port_.on<vmm::kvm::CpuidHead>(vmm::kvm::get_supported_cpuid.number, [](vmm::kvm::CpuidHead& head) {
      head.nent = 0;
      return 0;
    });
  }
  Result<VmChecked> check() { return check_vm(root_, port_, request_); }
  test::TempRoot tree_;
  SysRoot root_{tree_.root()};
  test::FakeIoctls port_;
  VmRequest request_;
};

TEST_F(CheckVm, AcceptsAPlainRequest) {
  const auto checked = check();
  ASSERT_THAT(checked, IsOk());
  EXPECT_EQ(checked->memory, kGiB);
  EXPECT_EQ(checked->config.cpus.topology.count(), 2U);
  EXPECT_FALSE(static_cast<bool>(checked->timeline));
}

TEST_F(CheckVm, RefusesNamesThatAreNoFileNames) {
  for (const auto* name : {"", "A", "a/b", "..", "a b", "a_b"}) {
    request_.name = name;
    EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("VM name"))) << name;
  }
  request_.name = std::string(64, 'a');
  EXPECT_THAT(check(), FailsWith(Errc::invalid));
  request_.name = std::string(63, 'a');
  EXPECT_THAT(check(), IsOk());
}

TEST_F(CheckVm, RefusesSizesThatMakeNoMachine) {
  for (const auto* memory : {"16M", "33M", "many", "0"}) {
    request_.memory = memory;
    EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--memory"))) << memory;
  }
  request_.memory = "64M";
  for (const std::uint32_t cpus : {0U, 256U}) {
    request_.cpus = cpus;
    EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--cpus")));
  }
}

TEST_F(CheckVm, KeepsAddressesForMemoryThatMayCome) {
  request_.memory = "64M,max=1G";
  const auto checked = check();
  ASSERT_THAT(checked, IsOk());
  EXPECT_EQ(checked->memory, 64 * kMiB);
  EXPECT_EQ(checked->most_memory, kGiB);
  EXPECT_TRUE(checked->config.virtio.memory);
  EXPECT_EQ(checked->config.layout.blocks.length, kGiB - 64 * kMiB);
  request_.iommu = "virtio";
  EXPECT_THAT(check(), FailsWith(Errc::refused, HasSubstr("max= beside --iommu virtio")));
}

TEST_F(CheckVm, ATopologyIsThatOfTheCount) {
  request_.cpus = 8;
  request_.topology = "sockets=2,threads=2";
  const auto checked = check();
  ASSERT_THAT(checked, IsOk());
  EXPECT_EQ(checked->config.cpus.topology, (vmm::CpuTopology{.sockets = 2, .cores = 2, .threads = 2}));
  request_.topology = "sockets=3";
  EXPECT_THAT(check(),
              FailsWith(Errc::invalid, HasSubstr("3 sockets x 2 cores x 1 threads are 6 CPUs, --cpus 8 wanted")));
  request_.topology = "dies=2";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("dies")));
  request_.cpus = 255;
  request_.topology = "sockets=5,cores=51";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("APIC id 306")));
}

TEST_F(CheckVm, FeaturesAreTakenByName) {
  request_.cpu = "host,-avx512f,-rtm";
  const auto checked = check();
  ASSERT_THAT(checked, IsOk());
  ASSERT_EQ(checked->config.cpus.without.size(), 2U);
  EXPECT_EQ(checked->config.cpus.without[1]->name, "rtm");
  for (const auto* cpu : {"", "max", "host,avx", "host,-", "host,,-avx", "host,-avx999"}) {
    request_.cpu = cpu;
    EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--cpu"))) << cpu;
  }
}

TEST_F(CheckVm, PinsAreOneForEachCpuAndOfThisHost) {
  request_.cpus = 1;
  request_.pin = "0";
  ASSERT_THAT(check(), IsOk());
  request_.pin = "0-1";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("2 CPUs of the host found, 1 wanted")));
  request_.pin = "8000";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("may not run on CPU 8000")));
}

TEST(CpuList, IsReadStrictly) {
  const auto cpus = parse_cpu_list("4-6,0");
  ASSERT_THAT(cpus, IsOk());
  EXPECT_EQ(*cpus, (std::vector<unsigned>{4, 5, 6, 0}));
  for (const auto* text : {"", ",", "1,", ",1", "2-1", "a", "1-", "-1", "1,1", "0-99999999", "1 "}) {
    EXPECT_THAT(parse_cpu_list(text), FailsWith(Errc::invalid)) << text;
  }
}

TEST_F(CheckVm, NamesTheKernelThatIsNone) {
  tree_.file("/text", std::string(4096, 'x'));
  request_.kernel = tree_.path("/text").string();
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("/text': neither a bzImage")));
  request_.kernel = tree_.path("/absent").string();
  EXPECT_THAT(check(), FailsWith(Errc::not_found, HasSubstr("/absent")));
  request_.kernel = tree_.path("/dev").string();
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("not a regular file")));
}

TEST_F(CheckVm, RefusesAnEmptyInitrd) {
  tree_.file("/initrd", "");
  request_.initrd = tree_.path("/initrd").string();
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("initrd")));
}

TEST_F(CheckVm, RefusesACommandLineThatIsTooLong) {
  request_.cmdline = std::string(5000, 'x');
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("command line of 5000 bytes")));
}

TEST_F(CheckVm, SaysWhatToDoWithoutKvm) {
  tree_.remove("/dev/kvm");
  const auto checked = check();
  ASSERT_THAT(checked, FailsWith(Errc::not_found, HasSubstr("/dev/kvm")));
  EXPECT_THAT(checked.error().hint(), HasSubstr("modprobe"));
}

TEST_F(CheckVm, RunsANameOnce) {
  auto first = check();
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(check(), FailsWith(Errc::busy, HasSubstr("'guest' is running")));
  first->lock = NameLock{};
  EXPECT_THAT(check(), IsOk());
}

TEST_F(CheckVm, ChangesNothingWhenItRefuses) {
  request_.cpus = 256;
  EXPECT_THAT(check(), FailsWith(Errc::invalid));
  EXPECT_FALSE(root_.exists("/run"));
}

TEST_F(CheckVm, KnowsWhatToDoAboutAnError) {
  for (const auto how : {vmm::OnError::stop, vmm::OnError::detach, vmm::OnError::reset}) {
    request_.on_error = to_string(how);
    const auto checked = check();
    ASSERT_THAT(checked, IsOk());
    EXPECT_EQ(checked->config.on_error, how);
  }
  request_.on_error = "panic";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--on-error: 'panic' found")));
}

TEST_F(CheckVm, NamesTheDeviceThatIsAbsent) {
  request_.devices = {"0000:77:00.0"};
  EXPECT_THAT(check(), FailsWith(Errc::not_found, HasSubstr("--device")));
  request_.devices = {"0000:77:00.8"};
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--device")));
}

TEST_F(CheckVm, ChecksMediatedDevicesBeforeItOpensOne) {
  const std::string uuid{"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"};
  request_.mdevs = {uuid};
  EXPECT_THAT(check(), FailsWith(Errc::not_found, HasSubstr("--mdev: the host has no mediated device")));
  tree_.directory("/sys/bus/mdev/devices/" + uuid);
  request_.mdevs = {uuid, "/sys/bus/mdev/devices/" + uuid};
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr(uuid + " is given twice")));
  request_.mdevs = {"eth0"};
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--mdev: 'eth0' found, a UUID")));
  request_.mdevs = {uuid};
  request_.balloon = true;
  EXPECT_THAT(check(), FailsWith(Errc::refused, HasSubstr("--balloon beside --device or --mdev")));
  request_.balloon = false;
  request_.iommu = "virtio";
  EXPECT_THAT(check(), FailsWith(Errc::refused, HasSubstr("--iommu virtio beside --mdev")));
}

TEST_F(CheckVm, AnIommuOfTheGuestNeedsIommufd) {
  request_.iommu = "virtio";
  request_.iommu_backend = "auto";
  const auto checked = check();
  ASSERT_THAT(checked, IsOk());
  EXPECT_EQ(checked->backend, vfio::IommuBackend::iommufd);
  EXPECT_TRUE(checked->config.virtio.iommu);
  request_.p2p = true;
  EXPECT_THAT(check(), FailsWith(Errc::refused, HasSubstr("--p2p")));
  request_.p2p = false;
  request_.iommu_backend = "container";
  EXPECT_THAT(check(), FailsWith(Errc::refused, HasSubstr("one address space")));
  EXPECT_EQ(pinned_memory(kGiB, true, 2), 3 * kGiB);
  EXPECT_EQ(pinned_memory(kGiB, false, 2), kGiB);
}

TEST_F(CheckVm, OpensTheTimelineBeforeTheStart) {
  request_.timeline = tree_.path("/timeline.json").string();
  EXPECT_TRUE(static_cast<bool>(check().value().timeline));
  request_.name = "other";
  request_.timeline = tree_.path("/no/such/place").string();
  EXPECT_THAT(check(), FailsWith(Errc::not_found));
}

// The same host with Debian's firmware packages.
class CheckFirmware : public CheckVm {
 protected:
  CheckFirmware() {
    tree_.file("/usr/share/OVMF/OVMF_CODE_4M.fd", std::string(64 * kKiB, 'c'));
    tree_.file("/usr/share/OVMF/OVMF_VARS_4M.fd", std::string(16 * kKiB, 'v'));
    tree_.file("/usr/share/seabios/bios-256k.bin", std::string(256 * kKiB, 's'));
    request_.kernel.clear();
    request_.firmware = "uefi";
  }
  std::string content(const std::string& file) { return root_.read(file).value(); }
  static constexpr const char* kOwn = "/var/lib/pcivm/vm/guest/variables.fd";
};

TEST_F(CheckFirmware, MakesTheVariablesOfTheVmOnce) {
  auto checked = check();
  ASSERT_THAT(checked, IsOk());
  ASSERT_TRUE(checked->config.firmware.has_value());
  EXPECT_TRUE(static_cast<bool>(checked->config.firmware->variables));
  EXPECT_FALSE(static_cast<bool>(checked->config.firmware->log));
  EXPECT_EQ(content(kOwn), std::string(16 * kKiB, 'v'));
  ASSERT_THAT(pwrite_exact(checked->config.firmware->variables.ref(), 0, std::as_bytes(std::span{"mark", 4})), IsOk());
  checked = fail(Errc::internal, "ended");
  EXPECT_THAT(check(), IsOk());
  EXPECT_EQ(content(kOwn).substr(0, 5), "markv");
}

TEST_F(CheckFirmware, LocksTheVariables) {
  const auto first = check();
  ASSERT_THAT(first, IsOk());
  request_.name = "other";
  request_.firmware_vars = tree_.path(kOwn).string();
  const auto second = check();
  ASSERT_THAT(second, FailsWith(Errc::busy, HasSubstr("variables.fd' is in use")));
  EXPECT_EQ(second.error().code(), "firmware.variables_in_use");
}

TEST_F(CheckFirmware, MakesNoVariablesWhenItRefuses) {
  tree_.remove("/dev/kvm");
  EXPECT_THAT(check(), FailsWith(Errc::not_found));
  EXPECT_FALSE(root_.exists(kOwn));
}

TEST_F(CheckFirmware, KeepsNothingForABios) {
  request_.firmware = "bios";
  const auto checked = check();
  ASSERT_THAT(checked, IsOk());
  EXPECT_FALSE(static_cast<bool>(checked->config.firmware->variables));
  EXPECT_FALSE(root_.exists("/var/lib/pcivm"));
}

TEST_F(CheckFirmware, TakesAnImageOfItsOwn) {
  request_.firmware = tree_.path("/usr/share/seabios/bios-256k.bin").string();
  request_.firmware_log = tree_.path("/log").string();
  const auto checked = check();
  ASSERT_THAT(checked, IsOk());
  EXPECT_FALSE(static_cast<bool>(checked->config.firmware->variables));
  EXPECT_TRUE(static_cast<bool>(checked->config.firmware->log));
}

TEST_F(CheckFirmware, NamesThePackageThatIsMissing) {
  tree_.remove("/usr/share/OVMF/OVMF_CODE_4M.fd");
  const auto checked = check();
  ASSERT_THAT(checked, FailsWith(Errc::not_found, HasSubstr("OVMF_CODE_4M.fd")));
  EXPECT_THAT(checked.error().hint(), HasSubstr("apt install ovmf"));
}

TEST_F(CheckFirmware, RefusesWhatIsNoFirmware) {
  tree_.file("/odd", "odd");
  request_.firmware = tree_.path("/odd").string();
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("whole pages wanted")));
  request_.firmware = tree_.path("/nowhere").string();
  EXPECT_THAT(check(), FailsWith(Errc::not_found, HasSubstr("/nowhere")));
  request_.firmware = "uefi";
  request_.firmware_vars = tree_.path("/usr").string();
  EXPECT_THAT(check(), FailsWith(Errc::invalid));
}

TEST_F(CheckFirmware, BootsEitherAKernelOrTheDisk) {
  request_.kernel = "/vmlinuz";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--kernel found, but --firmware boots")));
  request_.kernel.clear();
  request_.initrd = "/initrd";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--initrd")));
  request_.initrd.clear();
  request_.cmdline = "quiet";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--cmdline")));
  request_.cmdline.clear();
  request_.firmware.clear();
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--kernel or --firmware wanted")));
  request_.kernel = "/vmlinuz";
  request_.firmware_log = "/log";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--firmware-log found, --firmware wanted")));
}

}  // namespace
}  // namespace pcivm::cli
