// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_definition.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/replace_file.hpp"
#include "cli/complete.hpp"
#include "cli/config_files.hpp"
#include "cli/config_map.hpp"
#include "cli/config_reader.hpp"
#include "cli/config_value.hpp"
#include "cli/render_yaml.hpp"
#include "cli/report.hpp"

namespace pcivm::cli {

namespace {

constexpr std::string_view kVmKind{"Vm"};
constexpr std::size_t kLongestName{63};

std::string path_of(const std::string& name) { return fmt::format("{}/{}.yaml", kVmFolder, name); }

/// "on-reboot" -> "onReboot"
std::string key_of(std::string_view option) {
  std::string key;
  for (std::size_t index = 0; index < option.size(); ++index) {
    if (option[index] == '-' && index + 1 < option.size()) {
      key += static_cast<char>(std::toupper(static_cast<unsigned char>(option[++index])));
    } else {
      key += option[index];
    }
  }
  return key;
}

/// The options of a VM, on a command of their own.
struct Grammar {
  Grammar() { add_vm_options(app, request); }
  CLI::App app{"", "pcivm vm run"};
  VmRequest request{};
  [[nodiscard]] std::vector<const CLI::Option*> options() const {
    auto options = static_cast<const CLI::App&>(app).get_options();
    std::erase_if(options, [](const CLI::Option* each) { return each->check_lname("help"); });
    return options;
  }
};

std::string name_of(const CLI::Option& option) { return option.get_lnames().front(); }
bool repeatable(const CLI::Option& option) { return option.get_expected_max() > 1; }

/// The option takes a file, or one of some words or a file, "uefi|bios|FILE", and `value` is none of the words.
bool means_file(const CLI::Option& option, std::string_view value) {
  const auto type = type_of(option);
  return type == "FILE" || (type.ends_with("|FILE") && !fmt::format("|{}", type).contains(fmt::format("|{}|", value)));
}

/// Keys in lists of options whose values are files.
constexpr std::array<std::string_view, 6> kFileKeys{"path",      "socket",         "user-data",
                                                    "meta-data", "network-config", "ssh-key"};

/// What files in values mean must not depend on where the VM is started.
std::string with_absolute_path(std::string value, const CLI::Option& option) {
  if (means_file(option, value)) return std::filesystem::absolute(value).string();
  if (type_of(option) != "OPTIONS") return value;
  for (const auto key : kFileKeys) {
    const auto start = fmt::format("{}=", key);
    const auto at = value.starts_with(start) ? 0 : value.find(fmt::format(",{}", start));
    if (at == std::string::npos) continue;
    const auto from = at + start.size() + (at == 0 ? 0 : 1);
    if (value.substr(from).starts_with('/')) continue;
    value.insert(from, std::filesystem::current_path().string() + "/");
  }
  return value;
}

/// As the option would be given; flags as `true`.
Result<std::string> option_value(const ConfigNode& node) {
  if (node.kind != ConfigNode::Kind::scalar) return fail(Errc::invalid, "no word, wanted one");
  if (node.text.find_first_of("\n\t") != std::string::npos)
    return fail(Errc::invalid, "several lines or a tab, wanted one line");
  return node.text;
}

bool check_head(ConfigMap& map) {
  map.require("apiVersion", kConfigVersion);
  map.require("kind", kVmKind);
  std::string version{kConfigVersion};
  std::string kind{kVmKind};
  map.take("apiVersion", version, text_value);
  map.take("kind", kind, text_value);
  if (version == kConfigVersion && kind == kVmKind) return true;
  map.sink().add(map.place(),
                 fmt::format("this is {} {}, wanted {} {}", excerpt(version), excerpt(kind), kConfigVersion, kVmKind));
  return false;
}

void read_option(ConfigMap& map, const CLI::Option& option, VmOptions& options) {
  const auto key = key_of(name_of(option));
  std::vector<std::string> values;
  if (!takes_value(option)) {
    bool on = false;
    map.take(key, on, bool_value);
    if (on) options.emplace_back(name_of(option), values);
    return;
  }
  if (repeatable(option)) {
    map.take_list(key, values, option_value);
  } else {
    std::string value;
    const auto* node = map.find(key);
    if (node == nullptr) return;
    if (auto word = option_value(*node)) {
      values.push_back(std::move(*word));
    } else {
      map.refuse(*node, key, word.error());
    }
  }
  if (!values.empty()) options.emplace_back(name_of(option), std::move(values));
}

}  // namespace

Result<void> check_vm_name(const std::string& name) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (!name.empty() && name.size() <= kLongestName && std::ranges::all_of(name, allowed)) return {};
  return fail(Errc::invalid,
              fmt::format("VM name '{}' found, 1 to {} of a-z, 0-9 and - wanted", excerpt(name), kLongestName));
}

VmOptions given_options(const CLI::App& command) {
  VmOptions given;
  const Grammar grammar;
  for (const auto* known : grammar.options()) {
    const auto* option = command.get_option_no_throw("--" + name_of(*known));
    if (option == nullptr || option->count() == 0) continue;
    std::vector<std::string> values;
    if (takes_value(*known)) {
      for (const auto& value : option->results()) values.push_back(with_absolute_path(value, *known));
    }
    given.emplace_back(name_of(*known), std::move(values));
  }
  return given;
}

VmOptions merged(VmOptions options, const VmOptions& more) {
  for (const auto& [name, values] : more) {
    std::erase_if(options, [&name](const auto& each) { return each.first == name; });
    options.emplace_back(name, values);
  }
  return options;
}

Result<VmRequest> request_of(const std::string& name, const VmOptions& options) {
  Grammar grammar;
  std::vector<std::string> arguments;
  for (const auto& [option, values] : options) {
    if (values.empty()) arguments.push_back("--" + option);
    for (const auto& value : values) arguments.push_back(fmt::format("--{}={}", option, value));
  }
  std::ranges::reverse(arguments);  // as CLI11 takes a vector
  try {
    grammar.app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return fail(usage_error(grammar.app, error).within(fmt::format("VM '{}'", name)));
  }
  grammar.request.name = name;
  return std::move(grammar.request);
}

Json definition_document(const VmOptions& options) {
  const Grammar grammar;
  Json json{{"apiVersion", kConfigVersion}, {"kind", kVmKind}};
  for (const auto* option : grammar.options()) {
    const auto found = std::ranges::find(options, name_of(*option), &VmOptions::value_type::first);
    if (found == options.end()) continue;
    auto& value = json[key_of(found->first)];
    if (!takes_value(*option)) {
      value = true;
    } else if (repeatable(*option)) {
      value = found->second;
    } else if (const auto number = parse_decimal<std::uint64_t>(found->second.back()); number) {
      value = *number;
    } else {
      value = found->second.back();
    }
  }
  return json;
}

std::string write_definition(const VmOptions& options) { return to_yaml(definition_document(options)); }

VmOptions read_definition(const std::string& file, std::string_view text, ConfigProblems& problems) {
  VmOptions options;
  const auto root = read_yaml(file, text, problems);
  if (!root) return options;
  ConfigMap map{*root, "", ConfigSink{file, problems}};
  if (root->kind != ConfigNode::Kind::map || !check_head(map)) return options;
  if (map.find("firmware") == nullptr) map.require("kernel", "the file to boot, or firmware");
  const Grammar grammar;
  for (const auto* option : grammar.options()) read_option(map, *option, options);
  map.finish();
  return options;
}

Result<VmOptions> load_definition(const SysRoot& root, const std::string& name) {
  TRY(check_vm_name(name));
  const auto path = path_of(name);
  auto file = trusted_file(root, path, kVmFolder);
  if (!file && file.error().kind() == Errc::not_found) {
    return fail(Error::make(Errc::not_found, fmt::format("VM '{}' is not defined: there is no {}", name, path))
                    .coded("vm.undefined")
                    .advise(fmt::format("pcivm vm create {} --kernel FILE ..., or --firmware uefi", name)));
  }
  const auto text = TRY(std::move(file));
  ConfigProblems problems;
  auto options = read_definition(path, text, problems);
  if (!problems.empty()) return fail(as_error(problems.front()));
  return options;
}

bool is_defined(const SysRoot& root, const std::string& name) { return root.exists(path_of(name)); }

Result<void> save_definition(const SysRoot& root, const std::string& name, const VmOptions& options) {
  return replace_file(root, path_of(name), write_definition(options), 0600, 0755);
}

Result<void> remove_definition(const SysRoot& root, const std::string& name) {
  return remove_file(root, path_of(name));
}

std::vector<std::string> defined_vms(const SysRoot& root) {
  constexpr std::string_view kEnding{".yaml"};
  std::vector<std::string> names;
  for (const auto& file : root.list(kVmFolder).value_or(std::vector<std::string>{})) {
    if (!file.ends_with(kEnding)) continue;
    auto name = file.substr(0, file.size() - kEnding.size());
    if (check_vm_name(name)) names.push_back(std::move(name));
  }
  return names;
}

}  // namespace pcivm::cli
