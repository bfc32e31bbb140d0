// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vf_eswitch_options.hpp"

#include "cli/choice.hpp"

namespace pcivm::cli {

namespace {

const std::map<std::string, sriov::EswitchMode> kModes{{"legacy", sriov::EswitchMode::legacy},
                                                       {"switchdev", sriov::EswitchMode::switchdev}};
const std::map<std::string, sriov::InlineMode> kInlineModes{{"none", sriov::InlineMode::none},
                                                            {"link", sriov::InlineMode::link},
                                                            {"network", sriov::InlineMode::network},
                                                            {"transport", sriov::InlineMode::transport}};
const std::map<std::string, bool> kEncap{{"on", true}, {"off", false}};

}  // namespace

void add_eswitch_options(CLI::App& command, EswitchOptions& options, const std::string& mode) {
  command.add_option(mode, options.mode, "legacy, or switchdev with a representor interface for each VF")
      ->type_name("legacy|switchdev");
  command.add_option("--inline-mode", options.inline_mode, "headers that the driver copies into each descriptor")
      ->type_name("none|link|network|transport");
  command.add_option("--encap", options.encap, "offload of tunnels")->type_name("on|off");
}

Result<sriov::Eswitch> eswitch_of(const EswitchOptions& options) {
  sriov::Eswitch eswitch;
  eswitch.mode = TRY(chosen(options.mode, kModes, "the eswitch's mode"));
  eswitch.inline_mode = TRY(chosen(options.inline_mode, kInlineModes, "--inline-mode"));
  eswitch.encap = TRY(chosen(options.encap, kEncap, "--encap"));
  return eswitch;
}

}  // namespace pcivm::cli
