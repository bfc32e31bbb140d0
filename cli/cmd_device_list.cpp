// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm device list [DEVICE...]
#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "cli/commands.hpp"
#include "cli/device_facts.hpp"
#include "cli/device_filter.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "iommu/inventory.hpp"
#include "iommu/reset_policy.hpp"

namespace pcivm::cli {

namespace {

struct ListArguments {
  DeviceFilter filter{};
  std::string sort{};
};

/// The kinds of use, each once: "mount, swap".
std::string kinds_of(const std::vector<iommu::InUse>& users) {
  std::vector<std::string> kinds;
  for (const auto& user : users) {
    if (std::ranges::find(kinds, user.kind) == kinds.end()) kinds.push_back(user.kind);
  }
  return kinds.empty() ? std::string{} : fmt::format("{}", fmt::join(kinds, ", "));
}

/// Columns that a short list can fill come first.
constexpr std::size_t kShortColumns = 8;
constexpr std::size_t kName = 1;
Listing make_listing() {
  Listing listing;
  listing.kind = "DeviceList";
  listing.columns = {{.title = "ADDRESS"},
                     {.title = "NAME", .may_cut = true},
                     {.title = "CLASS"},
                     {.title = "DRIVER"},
                     {.title = "GROUP", .right = true},
                     {.title = "IN USE"},  // what keeps a function from being taken: names are cut for it
                     {.title = "ID", .wide_only = true},
                     {.title = "VF OF", .wide_only = true},
                     {.title = "NUMA", .wide_only = true, .right = true},
                     {.title = "SLOT", .wide_only = true},
                     {.title = "LINK", .wide_only = true},
                     {.title = "DEVICES", .wide_only = true},
                     {.title = "ASSIGNABLE", .wide_only = true},
                     {.title = "SERIAL", .named_only = true},
                     {.title = "VFS", .named_only = true},
                     {.title = "RESET", .named_only = true},
                     {.title = "OVERRIDE", .named_only = true},
                     {.title = "MSIX", .named_only = true, .right = true},
                     {.title = "POWER", .named_only = true},
                     {.title = "TYPE", .named_only = true},
                     {.title = "SUBSYSTEM", .named_only = true}};
  listing.empty_note = "this host has no PCI functions";
  return listing;
}

/// Names of kinds of functions, each looked up once: a large host has thousands of one kind. Empty when no
/// column wants them.
class KindNames final {
 public:
  KindNames(const iommu::PciNames& names, bool shown) : names_{&names}, shown_{shown} {}
  std::string of(const iommu::Function& function) {
    if (!shown_) return {};
    auto& name = known_[{function.vendor, function.device}];
    if (name.empty()) name = short_name(*names_, function);
    return name;
  }

 private:
  const iommu::PciNames* names_;
  bool shown_;
  std::map<std::pair<std::uint16_t, std::uint16_t>, std::string> known_{};
};

std::vector<Cell> row_of(const iommu::Function& function, const std::vector<iommu::InUse>& users, KindNames& names) {
  return {{function.address.to_string(), function.is_bridge ? Mark::dim : Mark::none},
          {names.of(function)},
          {iommu::short_class(function.class_code)},
          {function.driver},
          {function.iommu_group ? fmt::to_string(*function.iommu_group) : ""},
          {kinds_of(users), Mark::notice},
          {id_of(function)},
          {function.physfn ? function.physfn->to_string() : ""}};
}

/// "8 GT/s x4", and "of 16 GT/s x8" when the device can do more.
std::string link_text(const std::optional<iommu::Link>& link) {
  if (!link) return {};
  const auto text = [](const std::string& speed, std::optional<unsigned> width) {
    return fmt::format("{} x{}", speed.substr(0, speed.find(" PCIe")), width.value_or(0));
  };
  const auto now = text(link->speed, link->width);
  return link->below_capability() ? fmt::format("{} of {}", now, text(link->max_speed, link->max_width)) : now;
}

std::string owned_text(const iommu::FunctionDetail& function) {
  std::vector<std::string> all = function.netdevs;
  for (const auto* more : {&function.block_devices, &function.drm_nodes, &function.rdma_devices}) {
    all.insert(all.end(), more->begin(), more->end());
  }
  return fmt::format("{}", fmt::join(all, ", "));
}

Cell verdict_of(const iommu::Assignable& assignable) {
  if (assignable.ok()) return {"yes", Mark::good};
  return {fmt::format("no: {}", assignable.reasons.front().code), Mark::notice};
}

std::vector<Cell> full_row(const DeviceFacts& facts, KindNames& names) {
  const auto& function = facts.function;
  const auto reset = iommu::reset_policy(function);
  const auto& sriov = function.sriov;
  auto row = row_of(function, facts.users, names);
  const std::vector<Cell> more{
      {function.numa_node ? fmt::to_string(*function.numa_node) : ""},
      {function.slot},
      {link_text(function.link), function.link && function.link->below_capability() ? Mark::notice : Mark::none},
      {owned_text(function)},
      verdict_of(facts.assignable),
      {function.serial},
      {sriov ? fmt::format("{}/{}", sriov->num_vfs, sriov->total_vfs) : ""},
      {reset.methods.empty() ? "" : fmt::format("{}{}", reset.methods.front(), reset.proven ? "" : " (not proven)")},
      {function.driver_override},
      {function.msix_vectors ? fmt::to_string(*function.msix_vectors) : ""},
      {function.power_state},
      {function.pcie_type},
      {fmt::format("{:04x}:{:04x}", function.subsystem_vendor, function.subsystem_device)}};
  row.insert(row.end(), more.begin(), more.end());
  return row;
}

/// Indices of the columns that are named to be shown in a table, or to sort by.
Result<std::vector<std::size_t>> named_columns(const Context& context, const Listing& listing,
                                               const ListArguments& args) {
  auto names = context.structured() ? std::vector<std::string>{} : context.options.columns;
  if (!args.sort.empty()) names.push_back(args.sort);
  std::vector<std::size_t> indices;
  for (const auto& name : names) {
    const auto index = TRY(column_named(listing.columns, name));
    indices.push_back(index);
  }
  return indices;
}

/// Something is asked for that a short list does not know.
bool needs_detail(const Context& context, const ListArguments& args, const std::vector<std::size_t>& named) {
  const auto& options = context.options;
  if (context.structured() || args.filter.needs_detail()) return true;
  if (options.columns.empty() && (options.output == Output::wide || options.output == Output::csv)) return true;
  return std::ranges::any_of(named, [](std::size_t index) { return index >= kShortColumns; });
}

/// Numbers by their value, all else as text; what is not known comes last.
bool comes_before(const std::string& left, const std::string& right) {
  if (left.empty() || right.empty()) return !left.empty() && right.empty();
  const auto a = parse_decimal<std::uint64_t>(left);
  const auto b = parse_decimal<std::uint64_t>(right);
  return a && b ? *a < *b : left < right;
}

void sort_by(Listing& listing, std::size_t column) {
  std::vector<std::size_t> order(listing.rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return comes_before(listing.rows[a][column].text, listing.rows[b][column].text);
  });
  std::vector<std::vector<Cell>> rows;
  auto items = Json::array();
  for (const auto index : order) {
    rows.push_back(std::move(listing.rows[index]));
    if (!listing.items.empty()) items.push_back(std::move(listing.items[index]));
  }
  listing.rows = std::move(rows);
  listing.items = std::move(items);
}

Result<void> add_short(Context& context, const DeviceChoice& choice, KindNames& kinds, Listing& listing) {
  const auto functions = TRY(iommu::list(context.root()));
  const auto users = TRY(iommu::users_of_all(context.root(), functions));
  for (std::size_t i = 0; i < functions.size(); ++i) {
    if (choice.takes(functions[i], users[i])) listing.rows.push_back(row_of(functions[i], users[i], kinds));
  }
  return {};
}

Result<void> add_full(Context& context, const DeviceChoice& choice, const iommu::PciNames& names, KindNames& kinds,
                      Listing& listing) {
  for (const auto& facts : TRY(all_device_facts(context.root()))) {
    if (!choice.takes(facts)) continue;
    listing.rows.push_back(full_row(facts, kinds));
    if (context.structured()) listing.items.push_back(to_json(facts, names));
  }
  return {};
}

Result<int> list_devices(Context& context, const ListArguments& args) {
  auto listing = make_listing();
  const auto choice = TRY(DeviceChoice::make(context.root(), args.filter));
  const auto named = TRY(named_columns(context, listing, args));
  const auto names = iommu::PciNames::open();
  KindNames kinds{names, context.options.columns.empty() || std::ranges::find(named, kName) != named.end()};
  TRY(needs_detail(context, args, named) ? add_full(context, choice, names, kinds, listing)
                                         : add_short(context, choice, kinds, listing));
  if (!args.sort.empty()) {
    const auto column = TRY(column_named(listing.columns, args.sort));
    sort_by(listing, column);
  }
  if (!args.filter.empty()) listing.empty_note = "no PCI function is like that";
  return print(context, listing);
}

}  // namespace

void add_device_list(CLI::App& group, Context& context) {
  auto& args = context.keep<ListArguments>();
  auto& filter = args.filter;
  auto& command = add_command(group, context, "list", "PCI functions of this host, all or some",
                              [&args](Context& here) { return list_devices(here, args); });
  command.add_option("device", filter.devices, kDeviceHelp)->type_name("DEVICE");
  command.add_flag("--vfs", filter.vfs, "only virtual functions");
  command.add_flag("--pfs", filter.pfs, "only functions that have virtual ones");
  command.add_flag("--sriov", filter.sriov, "only functions that can have virtual ones");
  command.add_flag("--assignable", filter.assignable, "only those that a VM may have now");
  command.add_flag("--in-use", filter.in_use, "only those that something of the host uses");
  command.add_option("--driver", filter.drivers, "only those with this driver; none = without one")
      ->type_name("DRIVER|none")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      .add_option("--class", filter.classes,
                  fmt::format("only this kind, or the first digits of a class code, as 0c03: {}",
                              fmt::join(class_words(), ", ")))
      ->type_name("CLASS")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--sort", args.sort, "by this column")->type_name("COLUMN");
}

}  // namespace pcivm::cli
