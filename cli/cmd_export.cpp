// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm export [--only DEVICE]
#include <algorithm>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/config_writer.hpp"
#include "cli/host_change.hpp"
#include "cli/selector.hpp"
#include "sriov/host_state.hpp"

namespace pcivm::cli {

namespace {

struct Arguments {
  std::string only;
};

Result<int> export_host(Context& context, const Arguments& args) {
  if (!context.structured() && context.options.output != Output::table) {
    return fail(Error::make(Errc::invalid, "a configuration is YAML or JSON").advise("-o yaml, -o json"));
  }
  const auto host = host_of(context);
  const auto port = vf_port(context);
  auto state = TRY(sriov::read_host(host, port.get()));
  if (!args.only.empty()) {
    const auto function = TRY(select_function(context.root(), args.only));
    std::erase_if(state.functions, [&](const auto& each) { return each.address != function; });
    if (state.functions.empty()) {
      return fail(Error::make(Errc::invalid, fmt::format("{} is no function that a configuration describes by itself",
                                                         function.to_string()))
                      .advise("a virtual function is described with its PF"));
    }
  }
  const auto config = sriov::as_config(state, false);
  context.put(context.options.output == Output::json ? to_text(config_document(config)) + "\n" : write_config(config));
  if (config.devices.empty()) context.note("nothing is other than a fresh boot leaves it");
  return 0;
}

}  // namespace

void add_export(CLI::App& root, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(root, context, "export", "the host as it is, as a file that describes it",
                              [&args](Context& here) { return export_host(here, args); });
  command.add_option("--only", args.only, "just this function")->type_name("DEVICE");
}

}  // namespace pcivm::cli
