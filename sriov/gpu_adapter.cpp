// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/gpu_adapter.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

namespace {

bool is_quota(const GpuFile& file) { return file.unit == GpuUnit::bytes || file.unit == GpuUnit::count; }

// A bulk file can only be written, and changes VFs and PF alike. Its value here is what both have: "normal high".
bool is_bulk(std::string_view path) { return path.find("/.bulk_profile/") != std::string_view::npos; }
std::string beside_bulk(const std::string& bulk, std::string_view owner) {
  const auto base = bulk.substr(0, bulk.find("/.bulk_profile/"));
  return fmt::format("{}/{}/profile/{}", base, owner, bulk.substr(bulk.rfind('/') + 1));
}

class GpuAdapter final : public PfAdapter {
 public:
  GpuAdapter(AdapterRequest request, const GpuLayout& layout, Settings values)
      : request_{std::move(request)}, layout_{layout}, values_{std::move(values)} {}
  Result<std::vector<Assignment>> before_create(unsigned count) override;
  Result<std::vector<Assignment>> provision(unsigned index) override;
  Result<std::vector<Assignment>> before_destroy() override { return std::vector<Assignment>{}; }
  Result<std::string> read(const std::string& name) override;
  Result<void> write(const Assignment& wanted) override;
  Result<Profile> profile(unsigned index) override;

 private:
  Result<std::vector<Assignment>> of_vf(unsigned index);
  Result<std::string> resolved(const GpuFile& file, const std::string& directory);
  void add_common(std::vector<Assignment>& list);
  Result<std::string> read_file(const std::string& path);

  AdapterRequest request_;
  const GpuLayout& layout_;
  Settings values_;  // as they are written
};

// A vGPU type is known only once a VF can say which it may be.
Result<std::string> GpuAdapter::resolved(const GpuFile& file, const std::string& directory) {
  const auto& value = values_.at(std::string{file.key});
  if (file.unit != GpuUnit::vgpu_type) return value;
  const auto list = TRY(request_.host.root.read(directory + "/creatable_vgpu_types"));
  return find_vgpu_type(list, value);
}

Result<std::vector<Assignment>> GpuAdapter::of_vf(unsigned index) {
  std::vector<Assignment> list;
  const auto directories = layout_.directories(request_.host.root, request_.physical, index);
  for (const auto& file : layout_.files) {
    if (!values_.contains(file.key) || !file.bulk_file.empty()) continue;
    for (const auto& directory : directories) {
      auto path = fmt::format("{}/{}", directory, file.file);
      if (!request_.host.root.exists(path)) {
        return fail(Error::make(Errc::invalid, fmt::format("{} has no '{}' here: '{}' is missing",
                                                           request_.physical.to_string(), file.key, path))
                        .coded("vf.setting")
                        .advise("this GPU, or this version of its driver, does not have it"));
      }
      auto value = TRY(resolved(file, directory));
      list.push_back({.name = std::move(path), .value = std::move(value)});
    }
    if (!directories.empty()) continue;
    auto error =
        Error::make(Errc::kernel, fmt::format("{} has no profile of VF {}", request_.physical.to_string(), index));
    return fail(std::move(error)
                    .coded("vf.no_profile")
                    .advise(layout_.after_driver
                                ? fmt::format("its VFs need the driver {}: --bind host", layout_.driver)
                                : "see dmesg for what the GPU's driver says about SR-IOV"));
  }
  return list;
}

void GpuAdapter::add_common(std::vector<Assignment>& list) {
  const auto& root = request_.host.root;
  const auto directory = vfio::directory_of(request_.physical);
  const bool quota = std::ranges::any_of(
      layout_.files, [&](const auto& file) { return is_quota(file) && values_.contains(file.key); });
  if (quota && layout_.automatic) {
    const auto file = layout_.automatic(root, request_.physical);
    if (!file.empty()) list.push_back({.name = file, .value = "0"});
  }
  for (const auto& file : layout_.files) {
    const auto value = values_.find(file.key);
    if (file.bulk_file.empty() || value == values_.end()) continue;
    list.push_back(
        {.name = directory + std::string{file.bulk_file}, .value = fmt::format("{} {}", value->second, value->second)});
  }
}

Result<std::vector<Assignment>> GpuAdapter::before_create(unsigned count) {
  std::vector<Assignment> list;
  if (layout_.after_driver) return list;
  // Before the VFs are enabled: then the driver would share out everything by itself (xe, i915).
  add_common(list);
  for (unsigned index = 0; index < count; ++index) {
    auto more = TRY(of_vf(index));
    std::ranges::move(more, std::back_inserter(list));
  }
  return list;
}

Result<std::vector<Assignment>> GpuAdapter::provision(unsigned index) {
  if (!layout_.after_driver) return std::vector<Assignment>{};
  return of_vf(index);
}

Result<std::string> GpuAdapter::read_file(const std::string& path) {
  if (!request_.host.root.exists(path)) return fail(Errc::not_found, fmt::format("'{}' is gone", path));
  const auto content = TRY(vfio::read_within(request_.host, path));
  return gpu_value_of(content);
}

Result<std::string> GpuAdapter::read(const std::string& name) {
  if (!is_bulk(name)) return read_file(name);
  const auto vfs = TRY(read_file(beside_bulk(name, "vf1")));
  const auto pf = TRY(read_file(beside_bulk(name, "pf")));
  return fmt::format("{} {}", vfs, pf);
}

Result<void> GpuAdapter::write(const Assignment& wanted) {
  const auto& root = request_.host.root;
  const auto deadline = request_.host.deadline;
  if (!is_bulk(wanted.name)) return root.write_within(wanted.name, wanted.value, deadline);
  const auto blank = std::min(wanted.value.find(' '), wanted.value.size());
  const auto pf = wanted.value.substr(std::min(blank + 1, wanted.value.size()));
  TRY(root.write_within(wanted.name, wanted.value.substr(0, blank), deadline));
  const auto now = TRY(read_file(beside_bulk(wanted.name, "pf")));
  return now == pf ? Result<void>{} : root.write_within(beside_bulk(wanted.name, "pf"), pf, deadline);
}

Result<Profile> GpuAdapter::profile(unsigned index) {
  Profile profile;
  const auto directories = layout_.directories(request_.host.root, request_.physical, index);
  if (directories.empty()) return profile;
  // Several GTs have the same, as far as it was set here.
  for (const auto& file : layout_.files) {
    const auto value = read(fmt::format("{}/{}", directories.front(), file.file));
    if (value) profile.push_back({.name = std::string{file.key}, .value = *value});
  }
  return profile;
}

Result<Settings> parse_settings(const GpuLayout& layout, const Settings& settings) {
  Settings values;
  for (const auto& [key, text] : settings) {
    const auto file = std::ranges::find(layout.files, key, &GpuFile::key);
    if (file == layout.files.end()) return fail(Errc::invalid, fmt::format("no setting '{}'", key));
    values[key] = TRY_IN(parse_gpu_value(*file, text), fmt::format("--set {}", key));
  }
  return values;
}

// Before vGPU 17 and on older kernels NVIDIA's VFs hold mediated devices, which are another tool's business.
Result<void> refuse_mediated(const AdapterRequest& request, const GpuLayout& layout) {
  const auto directory = vfio::directory_of(request.physical);
  const bool mediated = request.host.root.exists(directory + "/mdev_supported_types") ||
                        request.host.root.exists(directory + "/virtfn0/mdev_supported_types");
  if (layout.name != "nvidia" || !mediated || request.settings.empty()) return {};
  return fail(Error::make(Errc::invalid,
                          fmt::format("the driver of {} makes vGPUs as mediated devices", request.physical.to_string()))
                  .coded("vf.setting")
                  .advise("create them with mdevctl; --set type is for drivers with nvidia/current_vgpu_type"));
}

class GimAdapter final : public PfAdapter {
 public:
  explicit GimAdapter(AdapterRequest request) : request_{std::move(request)} {}
  Result<std::vector<Assignment>> before_create(unsigned count) override {
    return fail(Error::make(Errc::kernel, fmt::format("the VFs of {} are made by its driver gim when it is loaded",
                                                      request_.physical.to_string()))
                    .coded("pf.own_vfs")
                    .advise(fmt::format("options gim vf_num={} in /etc/modprobe.d, then load it anew; the VFs can then "
                                        "be bound with pcivm device bind",
                                        count)));
  }
  Result<std::vector<Assignment>> provision(unsigned /*index*/) override { return std::vector<Assignment>{}; }
  Result<std::vector<Assignment>> before_destroy() override { return std::vector<Assignment>{}; }
  Result<std::string> read(const std::string& name) override {
    return fail(Errc::not_found, fmt::format("gim has no value '{}'", name));
  }
  Result<void> write(const Assignment& wanted) override {
    return fail(Errc::kernel, fmt::format("gim has no value '{}'", wanted.name));
  }
  Result<Profile> profile(unsigned /*index*/) override { return Profile{}; }

 private:
  AdapterRequest request_;
};

bool has_driver(const SysRoot& root, Bdf physical, std::string_view driver) {
  return root.link_name(vfio::directory_of(physical) + "/driver") == driver;
}

}  // namespace

AdapterKind gpu_adapter(const GpuLayout& layout) {
  AdapterKind kind{.name = layout.name, .settings = {}, .matches = {}, .make = {}, .after_driver = layout.after_driver};
  for (const auto& file : layout.files) kind.settings.push_back({.key = file.key, .meaning = file.meaning});
  kind.matches = [&layout](const SysRoot& root, Bdf physical) {
    if (!has_driver(root, physical, layout.driver)) return false;
    return layout.after_driver || !layout.directories(root, physical, 0).empty();
  };
  kind.make = [&layout](const AdapterRequest& request) -> Result<std::unique_ptr<PfAdapter>> {
    TRY(refuse_mediated(request, layout));
    auto values = TRY(parse_settings(layout, request.settings));
    return std::make_unique<GpuAdapter>(request, layout, std::move(values));
  };
  return kind;
}

AdapterKind gim_adapter() {
  return {.name = "gim",
          .settings = {},
          .matches = [](const SysRoot& root, Bdf physical) { return has_driver(root, physical, "gim"); },
          .make = [](const AdapterRequest& request) -> Result<std::unique_ptr<PfAdapter>> {
            return std::make_unique<GimAdapter>(request);
          }};
}

}  // namespace pcivm::sriov
