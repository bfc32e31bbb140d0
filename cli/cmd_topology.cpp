// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm topology
#include <map>

#include <fmt/format.h>

#include "cli/args.hpp"
#include "cli/commands.hpp"
#include "cli/device_facts.hpp"
#include "cli/exit_code.hpp"
#include "cli/render.hpp"
#include "cli/topology_view.hpp"

namespace pcivm::cli {

namespace {

constexpr int kPictureWidth = 1240;
constexpr auto* kForms = "tree|dot|svg|html|table|wide|json|yaml|csv|name";

Mark mark_of(const iommu::TopologyNode& node) {
  if (!node.function || node.function->is_bridge) return Mark::dim;
  switch (node.holder) {
    case iommu::Holder::nobody: return Mark::dim;
    case iommu::Holder::host: return Mark::none;
    case iommu::Holder::vfio: return Mark::good;
    case iommu::Holder::process: return Mark::notice;
  }
  return Mark::none;
}

Json to_json(const TopologyView& view, std::size_t index) {
  const auto& node = view.at(index);
  const auto& function = node.function;
  return {{"id", node.id},
          {"parent", node.parent ? Json(view.at(*node.parent).id) : Json(nullptr)},
          {"place", std::string{to_string(node.place)}},
          {"name", function ? full_name(view.names, *function) : node.label},
          {"isFunction", function.has_value()},
          {"driver", function ? or_null(function->driver) : Json(nullptr)},
          {"iommuGroup", function ? or_null(function->iommu_group) : Json(nullptr)},
          {"holder", function ? Json(std::string{to_string(node.holder)}) : Json(nullptr)},
          {"owner", or_null(node.owner)}};
}

/// Rows in the order of the nodes, as a tree in the first column.
class Tree {
 public:
  Tree(const TopologyView& view, bool collapse) : view_{view}, collapse_{collapse} {
    listing_.kind = "Topology";
    listing_.columns = {{.title = "ADDRESS"},
                        {.title = "NAME", .may_cut = true},
                        {.title = "DRIVER"},
                        {.title = "GROUP", .right = true},
                        {.title = "OWNER"},
                        {.title = "STATE", .wide_only = true},
                        {.title = "PLACE", .wide_only = true}};
    listing_.empty_note = "this host has no PCI functions";
  }

  Listing rows() {
    for (const auto root : view_.roots()) add(root, std::nullopt);
    for (std::size_t i = 0; i < view_.nodes.size(); ++i) listing_.items.push_back(to_json(view_, i));
    return std::move(listing_);
  }

 private:
  void add(std::size_t index, std::optional<std::size_t> parent) {
    const auto& node = view_.at(index);
    const auto& function = node.function;
    const auto mark = mark_of(node);
    const auto own = listing_.rows.size();
    listing_.parents.push_back(parent);
    listing_.rows.push_back({{function ? node.id : node.label, mark},
                             {function ? view_.name(index) : "", mark},
                             {function ? function->driver : "", mark},
                             {function && function->iommu_group ? fmt::to_string(*function->iommu_group) : "", mark},
                             {owner_of(node), mark},
                             {function ? std::string{to_string(node.holder)} : "", mark},
                             {std::string{to_string(node.place)}}});
    for (const auto& run : view_.runs(node.children)) {
      if (collapse_ && run.size() > kMostAlike) {
        add_many(run, own);
      } else {
        for (const auto child : run) add(child, own);
      }
    }
  }

  /// A function of the host is told by its driver; one on vfio is free unless somebody has it.
  /// The pid of a VM is left out where room is short.
  [[nodiscard]] std::string owner_of(const iommu::TopologyNode& node) const {
    if (node.holder == iommu::Holder::vfio) return "free";
    const auto pid = node.owner.starts_with("VM ") && collapse_ ? node.owner.find(" (pid ") : std::string::npos;
    return node.owner.substr(0, pid);
  }

  /// "02.4 to 09.7" on one bus, whole addresses otherwise.
  static std::string range_of(const std::string& first, const std::string& last) {
    const auto bus = first.rfind(':') + 1;
    if (first.substr(0, bus) != last.substr(0, bus)) return fmt::format("{} to {}", first, last);
    return fmt::format("{} to {}", first.substr(bus), last.substr(bus));
  }

  void add_many(const std::vector<std::size_t>& run, std::size_t parent) {
    const auto& first = view_.at(run.front());
    const auto mark = mark_of(first);
    listing_.parents.push_back(parent);
    const auto& last = view_.at(run.back());
    auto groups = first.function->iommu_group ? fmt::to_string(*first.function->iommu_group) : std::string{};
    if (last.function->iommu_group != first.function->iommu_group) {
      groups += fmt::format("-{}", last.function->iommu_group.value_or(0));
    }
    listing_.rows.push_back({{fmt::format("{} VFs", run.size()), mark},
                             {range_of(first.id, last.id), mark},
                             {first.function->driver, mark},
                             {groups, mark},
                             {owner_of(first), mark},
                             {std::string{to_string(first.holder)}, mark},
                             {std::string{to_string(first.place)}}});
  }

  const TopologyView& view_;
  bool collapse_;
  Listing listing_;
};

/// A form of output that only this command has.
using Draw = std::string (*)(const TopologyView& view);
const std::map<std::string, Draw> kDrawings{
    {"dot", to_dot},
    {"svg", [](const TopologyView& view) { return to_svg(view, kPictureWidth); }},
    {"html", to_html},
};

struct TopologyArguments {
  Draw draw{};  ///< none = as every list
};

bool is_form(const std::string& form) {
  return form == "tree" || kDrawings.contains(form) || output_forms().contains(form);
}

void take_form(Context& context, TopologyArguments& args, const std::string& form) {
  args.draw = kDrawings.contains(form) ? kDrawings.at(form) : nullptr;
  const auto usual = output_forms().find(form);
  context.options.output = usual == output_forms().end() ? Output::table : usual->second;
}

Result<int> topology(Context& context, const TopologyArguments& args) {
  const auto nodes = TRY(iommu::read_topology(context.root()));
  const auto names = iommu::PciNames::open();
  const TopologyView view{nodes, names};
  if (args.draw == nullptr) return print(context, Tree{view, context.options.output == Output::table}.rows());
  context.put(args.draw(view));
  return kExitDone;
}

}  // namespace

void add_topology(CLI::App& root, Context& context) {
  auto& args = context.keep<TopologyArguments>();
  auto& command =
      add_command(root, context, "topology", "sockets, ports, functions, VFs and who has them, as tree or picture",
                  [&args](Context& here) { return topology(here, args); });
  command
      .add_option_function<std::string>(
          "-o,--output", [&](const std::string& form) { take_form(context, args, form); },
          "form of the data on stdout; svg and html need nothing else, dot is for Graphviz")
      ->check([](const std::string& form) {
        return is_form(form) ? std::string{} : fmt::format("'{}' is not one of {}", form, kForms);
      })
      ->type_name(kForms)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

}  // namespace pcivm::cli
