// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/tree.hpp"

#include "cli/complete.hpp"

namespace pcivm::cli {

namespace {

Json names_of(const CLI::Option& option) {
  Json names = Json::array();
  for (const auto& name : option.get_snames()) names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

Json option_of(const CLI::Option& option) {
  return {{"names", names_of(option)},
          {"type", takes_value(option) ? Json(type_of(option)) : Json(nullptr)},
          {"about", option.get_description()},
          {"default", or_null(option.get_default_str())}};
}

Json argument_of(const CLI::Option& option) {
  return {{"name", option.get_name(true)},
          {"type", type_of(option)},
          {"about", option.get_description()},
          {"required", option.get_required()},
          {"many", option.get_items_expected_max() > 1}};
}

}  // namespace

Json tree_of(const CLI::App& app) {
  Json tree{{"name", app.get_name()},
            {"about", app.get_description()},
            {"options", Json::array()},
            {"arguments", Json::array()},
            {"commands", Json::array()}};
  for (const auto* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    if (option->get_positional()) {
      tree["arguments"].push_back(argument_of(*option));
    } else {
      tree["options"].push_back(option_of(*option));
    }
  }
  for (const auto* below : app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); }))
    tree["commands"].push_back(tree_of(*below));
  return tree;
}

}  // namespace pcivm::cli
