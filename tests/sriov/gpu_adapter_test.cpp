// SPDX-License-Identifier: GPL-2.0-or-later
// GPU adapters on trees that have the layout of each driver, with its rules in the kernel's place.
#include "sriov/gpu_adapter.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "sriov/vf_set.hpp"
#include "tests/fakes/fake_kernel.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/journal.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::Fault;
using test::IsOk;
using test::IsOkAnd;
using test::Killed;
using testing::Eq;
using testing::HasSubstr;

const std::string kPf{"0000:03:00.0"};
const std::string kDevice{"/sys/bus/pci/devices/" + kPf};
using Files = std::map<std::string, std::string>;

// A driver's tree, what is asked for, and what must then be in it.
struct Gpu {
  std::string name;
  std::string driver;
  std::string bind;
  Files files;
  Settings settings;
  Files wanted;
};

Gpu xe() {
  Gpu gpu{.name = "xe",
          .driver = "xe",
          .bind = "vfio-pci",
          .files = {{kDevice + "/sriov_admin/pf/profile/exec_quantum_ms", "0"},
                    {kDevice + "/sriov_admin/pf/profile/sched_priority", "low normal [high]"},
                    {kDevice + "/sriov_admin/.bulk_profile/sched_priority", ""}},
          .settings = {{"vram", "2GiB"}, {"exec-quantum", "20ms"}, {"preempt-timeout", "40ms"}, {"priority", "low"}},
          .wanted = {{kDevice + "/sriov_admin/pf/profile/sched_priority", "[low] normal high"}}};
  for (int vf = 1; vf <= 3; ++vf) {
    const auto profile = fmt::format("{}/sriov_admin/vf{}/profile/", kDevice, vf);
    for (const auto* file : {"exec_quantum_ms", "preempt_timeout_us", "vram_quota"}) gpu.files[profile + file] = "0";
    gpu.files[profile + "sched_priority"] = "low [normal] high";
    gpu.wanted[profile + "sched_priority"] = "[low] normal high";
    if (vf == 3) continue;  // two are made
    gpu.wanted[profile + "exec_quantum_ms"] = "20";
    gpu.wanted[profile + "preempt_timeout_us"] = "40000";
    gpu.wanted[profile + "vram_quota"] = "2147483648";
  }
  return gpu;
}

Gpu xe_debugfs() {
  Gpu gpu{.name = "xe-debugfs",
          .driver = "xe",
          .bind = "vfio-pci",
          .files = {},
          .settings = {{"vram", "1G"}, {"exec-quantum", "10"}},
          .wanted = {}};
  for (int gt = 0; gt < 2; ++gt) {
    for (int vf = 1; vf <= 2; ++vf) {
      const auto profile = fmt::format("/sys/kernel/debug/dri/{}/gt{}/vf{}/", kPf, gt, vf);
      for (const auto* file : {"exec_quantum_ms", "preempt_timeout_us", "lmem_quota"}) gpu.files[profile + file] = "0";
      gpu.wanted[profile + "lmem_quota"] = "1073741824";
      gpu.wanted[profile + "exec_quantum_ms"] = "10";
    }
  }
  return gpu;
}

Gpu i915() {
  const auto iov = kDevice + "/drm/card0/iov";
  Gpu gpu{.name = "i915",
          .driver = "i915",
          .bind = "vfio-pci",
          .files = {{iov + "/pf/auto_provisioning", "1"}, {iov + "/pf/gt0/exec_quantum_ms", "0"}},
          .settings = {{"ggtt", "256MiB"}, {"contexts", "1024"}, {"doorbells", "32"}, {"exec-quantum", "25"}},
          .wanted = {{iov + "/pf/auto_provisioning", "0"}}};
  for (int vf = 1; vf <= 2; ++vf) {
    const auto gt = fmt::format("{}/vf{}/gt0/", iov, vf);
    for (const auto* file : {"ggtt_quota", "contexts_quota", "doorbells_quota", "exec_quantum_ms"}) {
      gpu.files[gt + file] = "0";
    }
    gpu.wanted[gt + "ggtt_quota"] = "268435456";
    gpu.wanted[gt + "contexts_quota"] = "1024";
    gpu.wanted[gt + "doorbells_quota"] = "32";
    gpu.wanted[gt + "exec_quantum_ms"] = "25";
  }
  return gpu;
}

Gpu nvidia() {
  Gpu gpu{.name = "nvidia",
          .driver = "nvidia",
          .bind = "host",
          .files = {},
          .settings = {{"type", "H200X-1-18C"}},
          .wanted = {}};
  for (unsigned vf = 0; vf < 2; ++vf) {
    const auto files = fmt::format("/sys/bus/pci/devices/{}/nvidia/", FakeKernel::vf_name(kPf, vf));
    gpu.files[files + "creatable_vgpu_types"] =
        "ID    : vGPU Name\n1428  : NVIDIA H200X-141C\n1414  : NVIDIA H200X-1-18C";
    gpu.files[files + "current_vgpu_type"] = "0";
    gpu.wanted[files + "current_vgpu_type"] = "1414";
  }
  return gpu;
}

class GpuTree {
 public:
  explicit GpuTree(Gpu gpu) : gpu_{std::move(gpu)} {
    kernel_.add_driver(gpu_.driver);
    kernel_.add(kPf, {.native = gpu_.driver, .driver = gpu_.driver, .total_vfs = 7, .vf_native = gpu_.driver}, 6);
    kernel_.handle_others([this](std::string_view path, std::string_view value) {
      return on_write(std::string{path}, std::string{value});
    });
    host_.users_of = [](const SysRoot&, Bdf) { return std::vector<iommu::InUse>{}; };
    for (const auto& layout : gpu_layouts()) kinds_.push_back(gpu_adapter(layout));
    plant();
  }
  // Files of VFs go with them: NVIDIA's are planted before each VF.
  void plant() {
    for (const auto& [path, content] : gpu_.files) kernel_.tree().file(path, content + "\n");
  }
  Files now() {
    Files found;
    for (const auto& [path, content] : gpu_.files) {
      if (const auto text = kernel_.root().read(path)) found[path] = *text;
    }
    return found;
  }
  vfio::HostLock lock() { return vfio::HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value(); }
  Result<Created> create(Settings settings) {
    return sriov::create(host_, lock(),
                         {.physical = Bdf::parse(kPf).value(),
                          .targets = targets_for(2, gpu_.bind),
                          .settings = std::move(settings),
                          .adapters = kinds_});
  }
  Result<Created> create() { return create(gpu_.settings); }
  Result<bool> destroy() {
    return sriov::destroy(host_, lock(), {.physical = Bdf::parse(kPf).value(), .adapters = kinds_});
  }
  Result<std::vector<vfio::Repair>> recover() { return sriov::recover(host_, lock(), nullptr, kinds_); }
  void expect_untouched(int n = 0) {
    EXPECT_EQ(kernel_.at(kPf).num_vfs, 0U) << n;
    EXPECT_TRUE(kernel_.at(kPf).autoprobe) << n;
    for (const auto& [path, content] : now()) EXPECT_EQ(content, gpu_.files.at(path)) << path << " " << n;
    EXPECT_TRUE(vfio::left_over(kernel_.root())->empty()) << n;
  }
  void expect_made() {
    const auto found = now();
    for (const auto& [path, content] : gpu_.wanted) EXPECT_EQ(found.at(path), content) << path;
  }

  Gpu gpu_;
  FakeKernel kernel_;
  vfio::Host host_{.root = kernel_.root(), .users_of = {}};
  std::vector<AdapterKind> kinds_;
  unsigned long round_to{1};  // the driver's granularity of memory

 private:
  int on_write(const std::string& path, const std::string& value) {
    if (!gpu_.files.contains(path)) return ENOENT;
    const auto file = path.substr(path.rfind('/') + 1);
    if (file == "creatable_vgpu_types") return EACCES;
    if (file == "sched_priority") return set_priority(path, value);
    if (value.find_first_not_of("0123456789") != std::string::npos || value.empty()) return EINVAL;
    if (file == "current_vgpu_type" && value != "0" && value != "1414" && value != "1428") return EINVAL;
    auto shown = value;
    if (file == "vram_quota") shown = fmt::to_string((std::stoul(value) + round_to - 1) / round_to * round_to);
    kernel_.tree().file(path, shown + "\n");
    return 0;
  }
  // xe: a VF's own is read-only, the bulk file sets the PF's and all VFs', the PF's may be high.
  int set_priority(const std::string& path, const std::string& value) {
    const bool bulk = path.find(".bulk_profile") != std::string::npos;
    const bool pf = path.find("/pf/") != std::string::npos;
    if (!bulk && !pf) return EACCES;
    if (value != "low" && value != "normal" && (bulk || value != "high")) return EINVAL;
    const auto shown = value == "low"      ? "[low] normal high"
                       : value == "normal" ? "low [normal] high"
                                           : "low normal [high]";
    for (const auto& [other, content] : gpu_.files) {
      const bool hit = bulk ? other.ends_with("/profile/sched_priority") : other == path;
      if (hit) kernel_.tree().file(other, fmt::format("{}\n", shown));
    }
    return 0;
  }
};

class GpuDriver : public testing::TestWithParam<Gpu> {
 protected:
  GpuTree tree_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Each, GpuDriver, testing::Values(xe(), xe_debugfs(), i915(), nvidia()), [](const auto& test) {
  auto name = test.param.name;
  std::erase(name, '-');
  return name;
});

TEST_P(GpuDriver, ProfilesAreSetAndPutBack) {
  ASSERT_THAT(tree_.create(), IsOk());
  tree_.expect_made();
  ASSERT_THAT(tree_.destroy(), IsOk());
  tree_.expect_untouched();
}

TEST_P(GpuDriver, CreationIsUndoneWhicheverWriteFails) {
  int failures{};
  for (int n = 1; n < 100; ++n) {
    tree_.plant();
    tree_.kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = ENOSPC});
    const auto done = tree_.create();
    if (done) break;
    ++failures;
    tree_.expect_untouched(n);
  }
  EXPECT_GE(failures, 8);
}

TEST_P(GpuDriver, AnInterruptedCreationIsUndoneLater) {
  for (int n = 1; n < 100; ++n) {
    tree_.plant();
    tree_.kernel_.inject({.kind = Fault::Kind::kill_late, .at = n});
    bool killed{};
    try {
      EXPECT_THAT(tree_.create(), IsOk());
    } catch (const Killed&) {
      killed = true;
    }
    tree_.kernel_.inject({});
    if (!killed) break;
    ASSERT_THAT(tree_.recover(), IsOk());
    tree_.expect_untouched(n);
  }
}

TEST_P(GpuDriver, AnInterruptedRemovalIsCompletedLater) {
  for (int n = 1; n < 100; ++n) {
    tree_.plant();
    ASSERT_THAT(tree_.create(), IsOk());
    tree_.kernel_.inject({.kind = Fault::Kind::kill, .at = n});
    bool killed{};
    try {
      EXPECT_THAT(tree_.destroy(), IsOk());
    } catch (const Killed&) {
      killed = true;
    }
    tree_.kernel_.inject({});
    ASSERT_THAT(tree_.recover(), IsOk());
    tree_.expect_untouched(n);
    if (!killed) break;
  }
}

TEST_P(GpuDriver, WithoutSettingsNothingButTheVfsIsTouched) {
  ASSERT_THAT(tree_.create({}), IsOk());
  EXPECT_EQ(tree_.now(), tree_.gpu_.files);
}

TEST_P(GpuDriver, UnknownSettingsNameTheKnownOnes) {
  const auto done = tree_.create({{"vlan", "5"}});
  EXPECT_THAT(done, FailsWith(Errc::invalid, HasSubstr("no setting 'vlan'")));
  EXPECT_THAT(done.error().hint(), HasSubstr(tree_.gpu_.settings.begin()->first));
  tree_.expect_untouched();
}

TEST(GpuAdapter, AQuotaThatTheDriverRoundsIsToldAndUndone) {
  GpuTree tree{xe()};
  tree.round_to = 1UL << 30U;
  EXPECT_THAT(tree.create({{"vram", "1500M"}}), FailsWith(Errc::rolled_back, HasSubstr("it reads '2147483648'")));
  tree.expect_untouched();
}

TEST(GpuAdapter, AFileThatThisGpuDoesNotHaveIsTold) {
  auto gpu = xe();
  std::erase_if(gpu.files, [](const auto& file) { return file.first.ends_with("vram_quota"); });
  GpuTree tree{gpu};
  EXPECT_THAT(tree.create({{"vram", "1G"}}), FailsWith(Errc::invalid, HasSubstr("vram_quota' is missing")));
}

TEST(GpuAdapter, NvidiaVfsNeedTheirDriver) {
  auto gpu = nvidia();
  gpu.files.clear();
  GpuTree tree{gpu};
  const auto done = tree.create();
  EXPECT_THAT(done, FailsWith(Errc::rolled_back, HasSubstr("no profile of VF 0")));
  EXPECT_THAT(done.error().hint(), HasSubstr("--bind host"));
}

TEST(GpuAdapter, AnUnknownVgpuTypeNamesWhatThereIs) {
  GpuTree tree{nvidia()};
  EXPECT_THAT(tree.create({{"type", "H200X-3-71C"}}),
              FailsWith(Errc::rolled_back, HasSubstr("1414 (NVIDIA H200X-1-18C)")));
  tree.expect_untouched();
}

TEST(GpuAdapter, MediatedDevicesAreLeftToOthers) {
  GpuTree tree{nvidia()};
  tree.kernel_.tree().file(kDevice + "/mdev_supported_types/nvidia-474/name", "GRID\n");
  EXPECT_THAT(tree.create(), FailsWith(Errc::invalid, HasSubstr("mediated devices")));
}

TEST(GpuAdapter, ShowsTheProfileOfAVf) {
  GpuTree tree{xe()};
  ASSERT_THAT(tree.create(), IsOk());
  const auto [kind, adapter] = reader_for(tree.host_, tree.kinds_, Bdf::parse(kPf).value());
  EXPECT_EQ(kind, "xe");
  ASSERT_TRUE(adapter);
  EXPECT_THAT(adapter->profile(1),
              IsOkAnd(Eq(Profile{
                  {"vram", "2147483648"}, {"priority", "low"}, {"exec-quantum", "20"}, {"preempt-timeout", "40000"}})));
}

TEST(GpuAdapter, AmdGimSaysHowItsVfsAreMade) {
  GpuTree tree{{.name = "gim", .driver = "gim", .bind = "vfio-pci", .files = {}, .settings = {}, .wanted = {}}};
  tree.kinds_.push_back(gim_adapter());
  const auto done = tree.create();
  EXPECT_THAT(done, FailsWith(Errc::kernel, HasSubstr("made by its driver gim when it is loaded")));
  EXPECT_THAT(done.error().hint(), HasSubstr("vf_num=2"));
  tree.expect_untouched();
}

TEST(GpuValue, IsReadInItsUnit) {
  const GpuFile bytes{.key = "vram", .meaning = {}, .file = {}, .unit = GpuUnit::bytes};
  const GpuFile timeout{.key = "preempt-timeout", .meaning = {}, .file = {}, .unit = GpuUnit::microseconds};
  EXPECT_THAT(parse_gpu_value(bytes, "2GiB"), IsOkAnd(Eq("2147483648")));
  EXPECT_THAT(parse_gpu_value(bytes, "512M"), IsOkAnd(Eq("536870912")));
  EXPECT_THAT(parse_gpu_value(bytes, "much"), FailsWith(Errc::invalid));
  EXPECT_THAT(parse_gpu_value(timeout, "40ms"), IsOkAnd(Eq("40000")));
  EXPECT_THAT(parse_gpu_value(timeout, "40us"), IsOkAnd(Eq("40")));
  EXPECT_THAT(parse_gpu_value(timeout, "-1"), FailsWith(Errc::invalid));
  EXPECT_EQ(gpu_value_of("low [normal] high\n"), "normal");
  EXPECT_EQ(gpu_value_of("20\n"), "20");
}

}  // namespace
}  // namespace pcivm::sriov
