// SPDX-License-Identifier: GPL-2.0-or-later
// SriovNetworkNodePolicy of the SR-IOV network operator (api/v1/sriovnetworknodepolicy_types.go).
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/config_import.hpp"
#include "cli/config_map.hpp"
#include "cli/config_value.hpp"
#include "cli/selector.hpp"
#include "iommu/inventory.hpp"
#include "sriov/physical_function.hpp"

namespace pcivm::cli {

namespace {

using sriov::EswitchMode;

constexpr std::array<Choice<std::string_view>, 2> kDeviceTypes{{{"netdevice", "host"}, {"vfio-pci", "vfio-pci"}}};
constexpr std::array<Choice<EswitchMode>, 2> kModes{
    {{"legacy", EswitchMode::legacy}, {"switchdev", EswitchMode::switchdev}}};
// What has no counterpart here.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kLeftOut{
    {{"linkType", "it is a setting of the firmware (mlxconfig)"},
     {"isRdma", "RDMA of a VF is its own driver's business; see roce"},
     {"needVhostNet", "it is about containers"},
     {"vdpaType", "there is no vDPA"},
     {"nodeSelector", "the file is for this host"},
     {"excludeTopology", "it is about containers"}}};

/// "eth2#0-3": an interface, and which of its VFs; none = all.
struct PfName {
  std::string interface;
  std::optional<IndexRange> range{};
};

Result<PfName> pf_name(const ConfigNode& node) {
  const auto text = TRY(word_value(node, "an interface such as eth2 or eth2#0-3"));
  const auto hash = text.find('#');
  PfName name{text.substr(0, hash)};
  if (hash == std::string::npos) return name;
  auto part = node;
  part.text = text.substr(hash + 1);
  name.range = TRY(range_value(part));
  return name;
}

struct Policy {
  std::string name;
  unsigned priority{99};
  unsigned num_vfs{};
  std::string bind{"host"};
  std::optional<unsigned> mtu{};
  std::optional<EswitchMode> mode{};
  bool externally_managed{};
  std::string resource{};
  std::vector<PfName> pf_names{};
  std::vector<Bdf> addresses{};
  std::optional<std::uint16_t> vendor{};
  std::optional<std::uint16_t> device{};
};

Result<std::uint16_t> hex_value(const ConfigNode& node) {
  return parse_hex<std::uint16_t>(TRY(word_value(node, "four hexadecimal digits such as 8086")));
}

void read_selector(ConfigMap& map, Policy& policy, ConfigImport& import) {
  map.take_list("pfNames", policy.pf_names, pf_name);
  map.take_list("rootDevices", policy.addresses, bdf_value);
  map.take("vendor", policy.vendor, hex_value);
  map.take("deviceID", policy.device, hex_value);
  if (map.find("netFilter") != nullptr) {
    import.note(fmt::format("{}: netFilter is left out: it is about the network, not the card", policy.name));
  }
}

Policy read_policy(ConfigMap& map, ConfigImport& import) {
  Policy policy;
  if (auto metadata = map.below("metadata")) metadata->take("name", policy.name, text_value);
  if (policy.name.empty()) policy.name = "a policy without a name";
  map.require("spec", "what the policy says");
  auto spec = map.below("spec");
  if (!spec) return policy;
  constexpr unsigned kMost{65'535};
  const auto number = [](const ConfigNode& node) { return number_value<unsigned>(node, 0, kMost); };
  spec->take("priority", policy.priority, number);
  spec->take("numVfs", policy.num_vfs, number);
  spec->take("mtu", policy.mtu, number);
  spec->take("deviceType", policy.bind,
             [](const ConfigNode& node) { return choice_value<std::string>(node, kDeviceTypes); });
  spec->take("eSwitchMode", policy.mode,
             [](const ConfigNode& node) { return choice_value<EswitchMode>(node, kModes); });
  spec->take("externallyManaged", policy.externally_managed, bool_value);
  spec->take("resourceName", policy.resource, text_value);
  if (auto selector = spec->below("nicSelector")) read_selector(*selector, policy, import);
  for (const auto& [key, why] : kLeftOut) {
    if (spec->find(key) != nullptr) import.note(fmt::format("{}: {} is left out: {}", policy.name, key, why));
  }
  if (policy.mtu == 0U) policy.mtu.reset();  // how the operator says that it is not set
  return policy;
}

/// "Intel_NICs" -> "intel-nics"; empty when nothing is left.
std::string pool_of(std::string_view resource) {
  std::string name;
  for (const char c : resource) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (fits) name += c;
    if (c >= 'A' && c <= 'Z') name += static_cast<char>(c | 0x20);
    if (!fits && !(c >= 'A' && c <= 'Z') && !name.empty()) name += '-';
  }
  return is_name(name) ? name : std::string{};
}

class Importer final {
 public:
  explicit Importer(ConfigImport& import) : import_{import} {}

  void add(const Policy& policy) {
    const auto count = found_;
    for (const auto& name : policy.pf_names) add_interface(policy, name);
    if (policy.pf_names.empty()) {
      for (const auto address : policy.addresses) add_card(policy, address, std::nullopt);
      if (policy.addresses.empty()) add_all_alike(policy);
    }
    if (found_ == count) import_.note(fmt::format("{}: no card of this host is meant", policy.name));
  }

 private:
  void add_interface(const Policy& policy, const PfName& name) {
    const auto address = select_function(import_.root(), name.interface);
    if (!address) {
      return import_.note(fmt::format("{}: {} is left out: {}", policy.name, name.interface, address.error().text()));
    }
    const bool meant =
        policy.addresses.empty() || std::ranges::find(policy.addresses, *address) != policy.addresses.end();
    if (meant) add_card(policy, *address, name.range);
  }

  void add_all_alike(const Policy& policy) {
    if (!policy.vendor && !policy.device) return;
    const auto functions = iommu::list(import_.root());
    if (!functions) return import_.note(functions.error().text());
    for (const auto& function : *functions) {
      const bool is_pf = !function.is_vf() && import_.root().exists(sriov::numvfs_file(function.address));
      if (is_pf && function.vendor == policy.vendor.value_or(function.vendor) &&
          function.device == policy.device.value_or(function.device)) {
        add_card(policy, function.address, std::nullopt);
      }
    }
  }

  void add_card(const Policy& policy, Bdf address, std::optional<IndexRange> range) {
    ++found_;
    auto& device = import_.device(address);
    if (policy.vendor && policy.device && !device.expect.id) {
      device.expect.id = sriov::PciId{*policy.vendor, *policy.device};
    }
    device.externally_managed = device.externally_managed || policy.externally_managed;
    if (!device.sriov) device.sriov.emplace();
    auto& sriov = *device.sriov;
    sriov.num_vfs = std::max(sriov.num_vfs.value_or(0), policy.num_vfs);
    if (policy.mtu) sriov.mtu = std::max(sriov.mtu.value_or(0), *policy.mtu);
    if (policy.mode && !sriov.eswitch.mode) sriov.eswitch.mode = policy.mode;
    if (policy.mode && sriov.eswitch.mode != policy.mode) {
      import_.note(fmt::format("{}: eSwitchMode is left out: another policy says otherwise", policy.name));
    }
    if (policy.num_vfs != 0) add_vfs(policy, device, range.value_or(IndexRange{0, policy.num_vfs - 1}));
  }

  void add_vfs(const Policy& policy, sriov::DeviceEntry& device, IndexRange range) {
    sriov::VfEntry entry;
    entry.first = range.first;
    entry.last = std::min(range.second, policy.num_vfs - 1);
    if (range.second >= policy.num_vfs) {
      import_.note(fmt::format("{}: VFs {} to {} are left out: numVfs is {}", policy.name,
                               std::max(range.first, policy.num_vfs), range.second, policy.num_vfs));
    }
    entry.bind = policy.bind;
    const auto pool = pool_of(policy.resource);
    if (!pool.empty()) {
      entry.pool = pool;
      import_.add_pool(pool);
    }
    if (entry.first <= entry.last) import_.add_vfs(device, entry, policy.name);
  }

  ConfigImport& import_;
  std::size_t found_{};
};

/// Documents of one file, each with as many empty lines before it as bring its own to their places.
std::vector<std::string> documents_of(std::string_view text) {
  std::vector<std::string> documents{""};
  std::string lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    const auto line = text.substr(0, end);
    lines += '\n';
    if (line.starts_with("---")) {
      documents.push_back(lines);
    } else {
      documents.back() += line;
    }
    text.remove_prefix(end);
  }
  std::erase_if(documents, [](const auto& each) { return each.find_first_not_of(" \t\r\n") == std::string::npos; });
  return documents;
}

void read_object(const ConfigNode& node, ConfigSink sink, ConfigImport& import, std::vector<Policy>& policies) {
  ConfigMap map{node, "", sink};
  std::string kind;
  map.take("kind", kind, text_value);
  if (kind == "SriovNetworkNodePolicy") {
    policies.push_back(read_policy(map, import));
  } else if (const auto* items = map.find("items"); items != nullptr) {
    for (const auto& item : items->items) {
      if (sink.problems.empty() && item.kind == ConfigNode::Kind::map) {
        ConfigMap policy{item, "items", sink};
        policy.take("kind", kind, text_value);
        if (kind == "SriovNetworkNodePolicy") policies.push_back(read_policy(policy, import));
      }
    }
  } else {
    import.note(fmt::format("{}:{}: {} is left out, wanted SriovNetworkNodePolicy", sink.file, node.line,
                            kind.empty() ? "an object without a kind" : excerpt(kind)));
  }
}

}  // namespace

Result<void> import_sriov_operator(std::span<const ConfigText> files, ConfigImport& import) {
  std::vector<Policy> policies;
  ConfigProblems problems;
  for (const auto& file : files) {
    for (const auto& document : documents_of(file.text)) {
      const auto root = read_yaml(file.file, document, problems);
      if (root) read_object(*root, ConfigSink{file.file, problems}, import, policies);
    }
  }
  if (!problems.empty()) return fail(as_error(problems));
  // The lower number wins where two policies are about the same.
  std::ranges::stable_sort(policies, {}, &Policy::priority);
  Importer importer{import};
  for (const auto& policy : policies) importer.add(policy);
  return {};
}

}  // namespace pcivm::cli
