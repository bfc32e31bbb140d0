// SPDX-License-Identifier: GPL-2.0-or-later
// The state as a record and back: "f00000.vf00003.driver". A key that is absent is a value that is not set.
#include <concepts>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "sriov/host_state.hpp"

namespace pcivm::sriov {

namespace {

using vfio::Record;

/// Writes below one prefix.
struct Writer {
  Record& record;
  std::string prefix;

  void text(std::string_view key, std::string_view value) const { record.set(prefix + std::string{key}, value); }
  void number(std::string_view key, std::uint64_t value) const { text(key, fmt::to_string(value)); }
  void flag(std::string_view key, bool value) const { text(key, value ? "1" : "0"); }
  void driver(const vfio::DriverState& state) const {
    text("driver", state.driver);
    text("override", state.driver_override);
  }
  void list(std::string_view key, const std::vector<std::string>& values) const {
    number(key, values.size());
    for (std::size_t index = 0; index < values.size(); ++index) text(fmt::format("{}{:05}", key, index), values[index]);
  }
  void map(std::string_view key, const auto& values) const {
    std::vector<std::string> lines;
    for (const auto& [name, value] : values) lines.push_back(fmt::format("{}={}", name, value));
    list(key, lines);
  }
  [[nodiscard]] Writer below(std::string_view kind, std::size_t index) const {
    return {.record = record, .prefix = fmt::format("{}{}{:05}.", prefix, kind, index)};
  }
};

void write(const Writer& to, const VfState& vf) {
  to.text("address", vf.address.to_string());
  to.driver(vf.driver);
  to.text("attributes", serialize(vf.attributes));
  to.text("netdev", vf.netdev);
}

void write(const Writer& to, const PfState& pf) {
  to.number("total_vfs", pf.total_vfs);
  to.flag("autoprobe", pf.autoprobe);
  to.text("eswitch", serialize(pf.eswitch));
  if (pf.mtu) to.number("mtu", *pf.mtu);
  if (pf.up) to.flag("up", *pf.up);
  to.map("adapter", pf.settings);
  to.number("vfs", pf.vfs.size());
  for (std::size_t index = 0; index < pf.vfs.size(); ++index) write(to.below("vf", index), pf.vfs[index]);
}

void write_identity(const Writer& to, const FunctionState& function) {
  to.text("address", function.address.to_string());
  to.text("id", fmt::format("{:04x}:{:04x}", function.id.vendor, function.id.device));
  to.text("subsystem", fmt::format("{:04x}:{:04x}", function.subsystem.vendor, function.subsystem.device));
  to.number("class", function.class_code);
  to.flag("is_vf", function.is_vf);
  if (function.permanent_mac) to.text("permanent_mac", function.permanent_mac->to_string());
  if (function.permanent_guid) to.text("permanent_guid", function.permanent_guid->to_string());
  to.list("serials", function.serials);
  to.text("nvme_serial", function.nvme_serial);
  to.text("nvme_nqn", function.nvme_nqn);
  to.text("slot", function.slot);
  to.text("path", function.path);
  to.text("firmware", function.firmware);
  to.text("netdev", function.netdev);
}

void write(const Writer& to, const FunctionState& function) {
  write_identity(to, function);
  to.driver(function.driver);
  to.text("native", function.native_driver);
  to.flag("bound", function.bound_by_pcivm);
  to.map("settings", function.settings);
  to.flag("pf", function.pf.has_value());
  if (function.pf) write(to, *function.pf);
}

// ---- and back ----

/// Reads below one prefix. What must be there and is not is Errc::invalid.
struct Reader {
  const Record& record;
  std::string prefix;

  [[nodiscard]] bool has(std::string_view key) const { return record.has(prefix + std::string{key}); }
  [[nodiscard]] Result<std::string> text(std::string_view key) const {
    if (has(key)) return record.get(prefix + std::string{key});
    return fail(Errc::invalid, fmt::format("the state has no '{}{}'", prefix, key));
  }
  template <std::unsigned_integral Number>
  [[nodiscard]] Result<Number> number(std::string_view key) const {
    const auto found = TRY(text(key));
    return TRY_IN(parse_decimal<Number>(found), prefix + std::string{key});
  }
  [[nodiscard]] Result<bool> flag(std::string_view key) const {
    const auto found = TRY(text(key));
    if (found == "0" || found == "1") return found == "1";
    return fail(Errc::invalid, fmt::format("'{}{}' is '{}', wanted 0 or 1", prefix, key, found));
  }
  [[nodiscard]] Result<Bdf> address() const {
    const auto found = TRY(text("address"));
    return Bdf::parse(found);
  }
  [[nodiscard]] Result<PciId> id(std::string_view key) const {
    const auto found = TRY(text(key));
    const auto colon = std::min(found.find(':'), found.size());
    const auto vendor = TRY(parse_hex<std::uint16_t>(std::string_view{found}.substr(0, colon)));
    const auto device =
        TRY(parse_hex<std::uint16_t>(std::string_view{found}.substr(std::min(colon + 1, found.size()))));
    return PciId{.vendor = vendor, .device = device};
  }
  [[nodiscard]] Result<vfio::DriverState> driver() const {
    auto name = TRY(text("driver"));
    auto override_name = TRY(text("override"));
    return vfio::DriverState{.driver = std::move(name), .driver_override = std::move(override_name)};
  }
  [[nodiscard]] Result<std::vector<std::string>> list(std::string_view key) const {
    const auto count = TRY(number<std::uint32_t>(key));
    std::vector<std::string> values;
    for (std::uint32_t index = 0; index < count; ++index) {
      values.push_back(TRY(text(fmt::format("{}{:05}", key, index))));
    }
    return values;
  }
  template <class Map>
  [[nodiscard]] Result<Map> map(std::string_view key) const {
    Map values;
    for (const auto& line : TRY(list(key))) {
      const auto equals = line.find('=');
      if (equals == std::string::npos) return fail(Errc::invalid, fmt::format("'{}' has no '='", line));
      values[line.substr(0, equals)] = line.substr(equals + 1);
    }
    return values;
  }
  [[nodiscard]] Reader below(std::string_view kind, std::size_t index) const {
    return {.record = record, .prefix = fmt::format("{}{}{:05}.", prefix, kind, index)};
  }
};

Result<VfState> read_vf(const Reader& from) {
  VfState vf{.address = TRY(from.address()), .driver = TRY(from.driver())};
  const auto attributes = TRY(from.text("attributes"));
  vf.attributes = TRY(parse_attributes(attributes));
  vf.netdev = TRY(from.text("netdev"));
  return vf;
}

Result<PfState> read_pf(const Reader& from) {
  PfState pf{.total_vfs = TRY(from.number<unsigned>("total_vfs")), .autoprobe = TRY(from.flag("autoprobe"))};
  const auto eswitch = TRY(from.text("eswitch"));
  pf.eswitch = parse_eswitch(eswitch);
  if (from.has("mtu")) pf.mtu = TRY(from.number<unsigned>("mtu"));
  if (from.has("up")) pf.up = TRY(from.flag("up"));
  pf.settings = TRY(from.map<Settings>("adapter"));
  const auto count = TRY(from.number<std::uint32_t>("vfs"));
  for (std::uint32_t index = 0; index < count; ++index) pf.vfs.push_back(TRY(read_vf(from.below("vf", index))));
  return pf;
}

Result<void> read_identity(const Reader& from, FunctionState& function) {
  function.address = TRY(from.address());
  function.id = TRY(from.id("id"));
  function.subsystem = TRY(from.id("subsystem"));
  function.class_code = TRY(from.number<std::uint32_t>("class"));
  function.is_vf = TRY(from.flag("is_vf"));
  if (from.has("permanent_mac")) {
    const auto mac = TRY(from.text("permanent_mac"));
    function.permanent_mac = TRY(MacAddress::parse(mac));
  }
  if (from.has("permanent_guid")) {
    const auto guid = TRY(from.text("permanent_guid"));
    function.permanent_guid = TRY(Guid::parse(guid));
  }
  function.serials = TRY(from.list("serials"));
  function.nvme_serial = TRY(from.text("nvme_serial"));
  function.nvme_nqn = TRY(from.text("nvme_nqn"));
  function.slot = TRY(from.text("slot"));
  function.path = TRY(from.text("path"));
  function.firmware = TRY(from.text("firmware"));
  function.netdev = TRY(from.text("netdev"));
  return {};
}

Result<FunctionState> read_function(const Reader& from) {
  FunctionState function;
  TRY(read_identity(from, function));
  function.driver = TRY(from.driver());
  function.native_driver = TRY(from.text("native"));
  function.bound_by_pcivm = TRY(from.flag("bound"));
  function.settings = TRY(from.map<vfio::Settings>("settings"));
  const bool physical = TRY(from.flag("pf"));
  if (physical) function.pf = TRY(read_pf(from));
  return function;
}

}  // namespace

Record to_record(const HostState& state) {
  Record record;
  const Writer writer{.record = record, .prefix = ""};
  writer.number("functions", state.functions.size());
  for (std::size_t index = 0; index < state.functions.size(); ++index) {
    write(writer.below("f", index), state.functions[index]);
  }
  return record;
}

Result<HostState> state_in(const Record& record) {
  const Reader reader{.record = record, .prefix = ""};
  const auto count = TRY(reader.number<std::uint32_t>("functions"));
  HostState state;
  for (std::uint32_t index = 0; index < count; ++index) {
    state.functions.push_back(TRY(read_function(reader.below("f", index))));
  }
  return state;
}

}  // namespace pcivm::sriov
