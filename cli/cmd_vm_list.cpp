// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vm list, pcivm vm show
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "cli/render.hpp"
#include "cli/size_text.hpp"
#include "cli/vm_client.hpp"
#include "cli/vm_commands.hpp"
#include "cli/vm_definition.hpp"
#include "cli/vm_memory.hpp"

namespace pcivm::cli {

namespace {

struct ShowArguments {
  std::string name;
};

/// What is known of a VM, running or not: each figure from the VM itself, else from its definition.
struct Known {
  VmView view;
  VmOptions options{};  ///< of its definition
  Json facts{};         ///< cpus, memory, devices, mdevs
};

Json value_at(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) ? object[key] : Json(nullptr);
}

Known known(const SysRoot& root, VmView view) {
  Known known{.view = std::move(view)};
  if (known.view.defined) known.options = load_definition(root, known.view.name).value_or(VmOptions{});
  const auto& running = known.view.document;
  if (running.is_object()) {
    known.facts = {{"cpus", running["cpus"]},
                   {"memory", running["memory"]},
                   {"devices", running["devices"]},
                   {"mdevs", value_at(running, "mdevs")}};
    return known;
  }
  known.facts = {{"cpus", nullptr}, {"memory", nullptr}, {"devices", nullptr}, {"mdevs", nullptr}};
  const auto request = request_of(known.view.name, known.options);
  if (known.options.empty() || !request) return known;
  known.facts["cpus"] = request->cpus;
  if (const auto memory = check_memory(request->memory)) known.facts["memory"] = memory->size;
  known.facts["devices"] = request->devices;
  known.facts["mdevs"] = request->mdevs;
  return known;
}

Json to_json(const Known& known) {
  const auto& running = known.view.document;
  return {{"name", known.view.name},
          {"state", to_string(known.view.state)},
          {"defined", known.view.defined},
          {"pid", or_null(known.view.pid)},
          {"vmmPid", value_at(running, "vmmPid")},
          {"vmmUser", value_at(running, "vmmUser")},
          {"seccomp", value_at(running, "seccomp")},
          {"cpus", known.facts["cpus"]},
          {"memory", known.facts["memory"]},
          {"memoryHotplug", value_at(running, "memoryHotplug")},
          {"devices", known.facts["devices"]},
          {"mdevs", known.facts["mdevs"]},
          {"slots", value_at(running, "slots")},
          {"deviceEvents", value_at(running, "deviceEvents")},
          {"iommuBackend", value_at(running, "iommuBackend")},
          {"iommuBackendReason", value_at(running, "iommuBackendReason")},
          {"console", value_at(running, "console")},
          {"ports", value_at(running, "ports")},
          {"startedAt", value_at(running, "startedAt")},
          {"uptimeSeconds", value_at(running, "uptimeSeconds")}};
}

std::string number_text(const Json& value) {
  return value.is_number_unsigned() || value.is_number_integer() ? fmt::to_string(value.get<std::uint64_t>()) : "";
}

std::string memory_text(const Json& value) { return value.is_number() ? size_text(value.get<std::uint64_t>()) : ""; }

/// "512M at the start, 2G now, 2G wanted, 4G at most"
std::string memory_text(const Json& memory, const Json& hotplug) {
  if (!hotplug.is_object()) return memory_text(memory);
  return fmt::format("{} at the start, {} now, {} wanted, {} at most", memory_text(memory),
                     memory_text(hotplug["present"]), memory_text(hotplug["wanted"]), memory_text(hotplug["maximum"]));
}

std::string devices_text(const Json& value) {
  return value.is_array() ? fmt::format("{}", fmt::join(value.get<std::vector<std::string>>(), " ")) : "";
}

/// "0000:01:10.0 at 00:10.0 (attached), 3 free"
std::string slots_text(const Json& slots) {
  if (!slots.is_array()) return "";
  std::vector<std::string> texts;
  unsigned free = 0;
  for (const auto& slot : slots) {
    const auto state = slot["state"].get<std::string>();
    if (state == "free") ++free;
    if (state == "free") continue;
    const auto at = slot["guestAddress"].is_string() ? slot["guestAddress"].get<std::string>() : "?";
    const auto device = slot["device"].is_string() ? slot["device"].get<std::string>() : "nothing";
    texts.push_back(fmt::format("{} at {} ({})", device, at, state));
  }
  texts.push_back(fmt::format("{} free", free));
  return fmt::format("{}", fmt::join(texts, ", "));
}

/// "0000:01:10.0: 1 error, 2 requests of the host"
std::string events_text(const Json& events) {
  if (!events.is_array()) return "";
  std::vector<std::string> texts;
  for (const auto& each : events) {
    const auto errors = each["errors"].get<std::uint64_t>();
    const auto requests = each["requests"].get<std::uint64_t>();
    if (errors + requests == 0) continue;
    texts.push_back(fmt::format("{}: {} error{}, {} request{} of the host", each["device"].get<std::string>(), errors,
                                errors == 1 ? "" : "s", requests, requests == 1 ? "" : "s"));
  }
  return fmt::format("{}", fmt::join(texts, "; "));
}

/// "0000:01:10.0 3 of 3 vectors; 35 of 4096 routes"
std::string interrupts_text(const Json& interrupts) {
  if (!interrupts.is_object()) return "";
  std::vector<std::string> texts;
  for (const auto& each : interrupts["devices"]) {
    texts.push_back(fmt::format("{} {} of {} vectors", each["device"].get<std::string>(), number_text(each["vectors"]),
                                number_text(each["mostVectors"])));
  }
  texts.push_back(
      fmt::format("{} of {} routes", number_text(interrupts["routes"]), number_text(interrupts["mostRoutes"])));
  return fmt::format("{}", fmt::join(texts, "; "));
}

/// "2G in 2 runs, 100 % in runs of 2M and more; there in 0.12 s, mapped in 0.03 s"; empty when no device has it
std::string dma_text(const Json& dma) {
  if (!dma.is_object() || !dma["mappedBytes"].is_number() || dma["mappedBytes"] == 0) return "";
  const auto number = [&dma](const char* key) { return dma[key].is_number() ? dma[key].get<double>() : 0.0; };
  return fmt::format("{} in {:.0f} runs, {:.0f} % in runs of 2M and more; there in {:.2f} s, mapped in {:.2f} s{}",
                     memory_text(dma["mappedBytes"]), number("runs"),
                     100 * number("hugeRunBytes") / number("mappedBytes"), number("populateSeconds"),
                     number("mapSeconds"),
                     number("peerBytes") > 0 ? fmt::format("; {} of BARs", memory_text(dma["peerBytes"])) : "");
}

/// "3 d 4 h", "4 h 5 min", "5 min", "12 s"
std::string uptime_text(const Json& value) {
  if (!value.is_number()) return "";
  const auto seconds = static_cast<std::uint64_t>(value.get<double>());
  const auto minutes = seconds / 60;
  const auto hours = minutes / 60;
  if (hours >= 24) return fmt::format("{} d {} h", hours / 24, hours % 24);
  if (hours > 0) return fmt::format("{} h {} min", hours, minutes % 60);
  return minutes > 0 ? fmt::format("{} min", minutes) : fmt::format("{} s", seconds);
}

Mark mark_of(VmState state) {
  switch (state) {
    case VmState::running: return Mark::good;
    case VmState::starting:
    case VmState::stopping: return Mark::notice;
    case VmState::silent:
    case VmState::dead: return Mark::bad;
    case VmState::stopped: return Mark::dim;
  }
  return Mark::none;
}

Result<int> list(Context& context) {
  Listing listing{.kind = "VmList",
                  .columns = {{.title = "NAME"},
                              {.title = "STATE"},
                              {.title = "CPUS", .right = true},
                              {.title = "MEMORY", .right = true},
                              {.title = "DEVICES", .may_cut = true},
                              {.title = "UPTIME", .right = true},
                              {.title = "PID", .wide_only = true, .right = true},
                              {.title = "DEFINED", .wide_only = true}},
                  .empty_note = "no virtual machine is defined, and none runs"};
  for (auto& view : all_vms(context.root())) {
    const auto each = known(context.root(), std::move(view));
    auto json = to_json(each);
    listing.rows.push_back({{each.view.name},
                            {std::string{to_string(each.view.state)}, mark_of(each.view.state)},
                            {number_text(json["cpus"])},
                            {memory_text(json["memory"])},
                            {devices_text(json["devices"])},
                            {uptime_text(json["uptimeSeconds"])},
                            {number_text(json["pid"])},
                            {each.view.defined ? "yes" : "no"}});
    listing.items.push_back(std::move(json));
  }
  return print(context, listing);
}

/// "iommufd", "container: the kernel has no iommufd (/dev/iommu)"
std::string backend_text(const Json& json) {
  if (!json["iommuBackend"].is_string()) return "";
  const auto backend = json["iommuBackend"].get<std::string>();
  if (!json["iommuBackendReason"].is_string()) return backend;
  return fmt::format("{}: {}", backend, json["iommuBackendReason"].get<std::string>());
}

/// What becomes of a system call that the VMM is not to make.
std::string seccomp_text(const Json& seccomp) {
  if (!seccomp.is_string()) return "";
  const auto how = seccomp.get<std::string>();
  if (how == "kill") return "others than it needs end the VMM";
  return how == "off" ? "not filtered (--seccomp off)" : fmt::format("filtered for diagnosis only (--seccomp {})", how);
}

std::string console_text(const Json& console) {
  if (!console.is_object()) return "";
  return fmt::format("{} bytes said, {} readers{}", console.value("bytes", 0ULL), console.value("readers", 0ULL),
                     console.value("writer", false) ? ", one of them types" : "");
}

/// Of each port what the VM's supervisor knows, and what its VMM counts.
Json with_figures(Json ports, const Json& figures) {
  for (auto& port : ports) {
    for (const char* key : {"guestOpen", "toHostBytes", "toGuestBytes", "droppedBytes"}) port[key] = nullptr;
    if (!figures.is_array()) continue;
    for (const auto& each : figures) {
      if (each["name"] == port["name"]) port.update(each);
    }
  }
  return ports;
}

/// "/run/pcivm/vm/web/port-agent, a client, open in the guest; 12 bytes to the host, 3 to the guest, 0 dropped"
std::string port_text(const Json& port) {
  auto text = fmt::format("{}{}{}", port["socket"].get<std::string>(), port["client"] == true ? ", a client" : "",
                          port["guestOpen"] == true ? ", open in the guest" : "");
  if (!port["toHostBytes"].is_number()) return text;
  return fmt::format("{}; {} bytes to the host, {} to the guest, {} dropped", text, number_text(port["toHostBytes"]),
                     number_text(port["toGuestBytes"]), number_text(port["droppedBytes"]));
}

Result<int> show(Context& context, const ShowArguments& args) {
  const auto each = known(context.root(), TRY(view_vm(context.root(), args.name)));
  auto json = to_json(each);
  const auto figures = each.view.document.is_object()
                           ? ask_vm(context.root(), args.name, {.target = "/v1/vm/figures"}).value_or(Json(nullptr))
                           : Json(nullptr);
  json["interrupts"] = value_at(figures, "interrupts");
  json["dma"] = value_at(figures, "dma");
  json["ports"] = with_figures(std::move(json["ports"]), value_at(figures, "ports"));
  json["definition"] = each.options.empty() ? Json(nullptr) : definition_document(each.options);
  Record record{.kind = "Vm", .name = each.view.name, .object = json};
  const auto add = [&record](const char* label, const std::string& text) {
    if (!text.empty()) record.add(label, text);
  };
  add("Name", each.view.name);
  add("State", std::string{to_string(each.view.state)});
  if (each.view.state == VmState::dead) {
    add("What to do", "its supervisor was killed: `pcivm device list` shows what is still bound");
  }
  add("CPUs", number_text(json["cpus"]));
  add("Memory", memory_text(json["memory"], json["memoryHotplug"]));
  add("Devices", devices_text(json["devices"]));
  add("Mediated devices", devices_text(json["mdevs"]));
  add("Slots", slots_text(json["slots"]));
  add("Events", events_text(json["deviceEvents"]));
  add("Assigned by", backend_text(json));
  add("Interrupts", interrupts_text(json["interrupts"]));
  add("DMA", dma_text(json["dma"]));
  add("Started", json["startedAt"].is_string() ? json["startedAt"].get<std::string>() : "");
  add("Uptime", uptime_text(json["uptimeSeconds"]));
  add("Supervisor", number_text(json["pid"]));
  add("VMM", number_text(json["vmmPid"]));
  add("User of the VMM", number_text(json["vmmUser"]));
  add("System calls", seccomp_text(json["seccomp"]));
  add("Console", console_text(json["console"]));
  for (const auto& port : json["ports"]) {
    add(fmt::format("Port {}", port["name"].get<std::string>()).c_str(), port_text(port));
  }
  add("Defined", each.view.defined ? fmt::format("{}/{}.yaml", kVmFolder, each.view.name) : "no");
  for (const auto& [option, values] : each.options) {
    add(fmt::format("  --{}", option).c_str(), values.empty() ? "yes" : fmt::format("{}", fmt::join(values, ", ")));
  }
  return print(context, record);
}

}  // namespace

void add_vm_list(CLI::App& group, Context& context) {
  add_command(group, context, "list", "virtual machines that are defined, or run", list);
}

void add_vm_show(CLI::App& group, Context& context) {
  auto& args = context.keep<ShowArguments>();
  auto& command =
      add_command(group, context, "show", "one virtual machine", [&args](Context& here) { return show(here, args); });
  command.add_option("name", args.name, "one that is defined, or runs")->required()->type_name("VM");
}

}  // namespace pcivm::cli
