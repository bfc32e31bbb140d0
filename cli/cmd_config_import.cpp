// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm config import driverctl|sriov-operator|libvirt [FILE|DIRECTORY...]
#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/config_files.hpp"
#include "cli/config_import.hpp"
#include "cli/config_value.hpp"
#include "cli/config_writer.hpp"

namespace pcivm::cli {

namespace {

struct ImportArguments {
  std::string tool;
  std::vector<std::string> sources;
};

struct Tool {
  std::string_view name;
  std::string_view folder;                  ///< of the host, when nothing is named; empty = none
  std::vector<std::string_view> endings{};  ///< of files in a folder; none = all
  Result<void> (*import)(std::span<const ConfigText>, ConfigImport&);
};

const std::array<Tool, 3>& tools() {
  static const std::array<Tool, 3> all{{{"driverctl",
                                         "/etc/driverctl.d",
                                         {},
                                         [](std::span<const ConfigText> files, ConfigImport& import) -> Result<void> {
                                           import_driverctl(files, import);
                                           return {};
                                         }},
                                        {"sriov-operator", "", {".yaml", ".yml", ".json"}, import_sriov_operator},
                                        {"libvirt", "/etc/libvirt/qemu", {".xml"}, import_libvirt}}};
  return all;
}

Result<const Tool*> tool_named(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& tool : tools()) {
    if (tool.name == name) return &tool;
    names.emplace_back(tool.name);
  }
  return fail(none_of(name, names));
}

/// The files of `folder`, which is in `root`.
Result<void> add_folder(const SysRoot& root, std::string_view folder, const Tool& tool,
                        std::vector<ConfigText>& files) {
  for (const auto& name : TRY(root.list(folder))) {
    const bool fits =
        tool.endings.empty() || std::ranges::any_of(tool.endings, [&](auto end) { return name.ends_with(end); });
    const auto path = fmt::format("{}/{}", folder, name);
    if (!fits || name.starts_with('.')) continue;
    auto text = root.read(path);
    if (!text && text.error().sys_errno() == EISDIR) continue;
    files.push_back({root.host_path(path), TRY(std::move(text))});
  }
  return {};
}

Result<std::vector<ConfigText>> texts_of(const SysRoot& root, const Tool& tool,
                                         const std::vector<std::string>& sources) {
  std::vector<ConfigText> files;
  for (const auto& source : sources) {
    if (const auto folder = SysRoot::open(source)) {
      TRY(add_folder(*folder, "", tool, files));
    } else {
      files.push_back(TRY(named_config_file(source)).content);
    }
  }
  if (!sources.empty()) return files;
  if (tool.folder.empty()) {
    return fail(Error::make(Errc::invalid, fmt::format("'pcivm config import {}' needs FILE", tool.name))
                    .advise("kubectl get sriovnetworknodepolicies -A -o yaml >FILE"));
  }
  TRY(add_folder(root, tool.folder, tool, files));
  return files;
}

Result<int> import_config(Context& context, const ImportArguments& args) {
  const auto& tool = *TRY(tool_named(args.tool));
  const auto texts = TRY(texts_of(context.root(), tool, args.sources));
  ConfigImport made{context.root()};
  TRY(tool.import(texts, made));
  for (const auto& note : made.notes()) context.note(note);
  auto text = fmt::format("# From {} by `pcivm config import`. What it could not carry over was said on stderr.\n{}",
                          tool.name, write_config(made.take()));
  ConfigProblems problems;
  (void)read_config(std::vector<ConfigText>{{"what was imported", text}}, problems);
  if (!problems.empty()) return fail(as_error(problems.front()));
  context.put(text);
  return 0;
}

}  // namespace

void add_config_import(CLI::App& group, Context& context) {
  auto& args = context.keep<ImportArguments>();
  auto& command = add_command(group, context, "import", "print a file made from what another tool has",
                              [&args](Context& here) { return import_config(here, args); });
  command.add_option("tool", args.tool, "whose file it is")->required()->type_name("driverctl|sriov-operator|libvirt");
  command
      .add_option("file", args.sources,
                  "files or directories, - for standard input; none: what that tool has on this host")
      ->type_name("FILE");
}

}  // namespace pcivm::cli
