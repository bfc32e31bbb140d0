// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_api.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.hpp"
#include "base/parse.hpp"
#include "base/text.hpp"
#include "cli/exit_code.hpp"
#include "cli/json_reader.hpp"
#include "cli/report.hpp"
#include "cli/vm_end.hpp"
#include "cli/vm_figures.hpp"
#include "vmm/memory_blocks.hpp"
#include "vmm/vm_config.hpp"

namespace pcivm::cli {

namespace {

constexpr unsigned kMostDepth{8};
constexpr std::size_t kMostFigures{256};
constexpr std::array<std::string_view, 3> kStops{"request", "force", "kill"};

HttpReply json_reply(const Json& document, unsigned status = 200) {
  return {.status = status, .body = to_text(document) + "\n"};
}

HttpReply refusal(unsigned status, const Error& error) {
  return json_reply(error_document(error, exit_code(error.kind())), status);
}

unsigned status_of(Errc kind) {
  switch (kind) {
    case Errc::invalid: return 400;
    case Errc::refused:
    case Errc::denied: return 403;
    case Errc::not_found: return 404;
    case Errc::busy: return 409;
    case Errc::timeout: return 504;
    case Errc::internal:
    case Errc::kernel:
    case Errc::rolled_back:
    case Errc::stranded: return 500;
  }
  return 500;
}

// "0000:00:10.0": bus 0 of the guest.
std::string guest_address(unsigned slot) { return Bdf{.device = static_cast<std::uint8_t>(slot)}.to_string(); }

Json to_json(const VmDevices::View& view) {
  return {{"slot", view.slot == 0 ? Json(nullptr) : Json(view.slot)},
          {"guestAddress", view.slot == 0 ? Json(nullptr) : Json(guest_address(view.slot))},
          {"device", view.function ? Json(view.function->to_string()) : Json(nullptr)},
          {"state", view.state}};
}

Json to_json(const DeviceEvents& events) {
  return {{"device", events.device},
          {"errors", events.errors},
          {"requests", events.requests},
          {"lastAt", or_null(events.last_at)}};
}

HttpReply no_console() {
  return refusal(404, Error::make(Errc::not_found, "this VM has no console (--console off)").coded("console.off"));
}

Error stops() { return Error::make(Errc::busy, "the VM is about to end").coded("vm.stopping"); }

HttpReply too_many() {
  return refusal(503, Error::make(Errc::busy, "too many wait for this already").coded("api.busy"));
}

// RFC 3339
std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  (void)::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

bool is_figure_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == ':' || c == '-';
  });
}

}  // namespace

struct VmApi::Route {
  ApiRoute is;
  Handle handle;
  std::string_view query;  ///< the one key that it takes
};

std::span<const VmApi::Route> VmApi::table() {
  static constexpr std::array kTable{
      Route{{"GET", "/v1/vm"}, &VmApi::get_vm, {}},
      Route{{"GET", "/v1/vm/figures"}, &VmApi::get_figures, {}},
      Route{{"POST", "/v1/vm/stop"}, &VmApi::post_stop, {}},
      Route{{"POST", "/v1/vm/attach"}, &VmApi::post_attach, {}},
      Route{{"POST", "/v1/vm/detach"}, &VmApi::post_detach, {}},
      Route{{"POST", "/v1/vm/memory"}, &VmApi::post_memory, {}},
      Route{{"GET", "/v1/vm/end"}, &VmApi::get_end, {}},
      Route{{"GET", "/v1/console"}, &VmApi::get_console, "write"},
      Route{{"GET", "/v1/console/log"}, &VmApi::get_log, {}},
      Route{{"GET", "/v1/metrics"}, &VmApi::get_metrics, {}},
      Route{{"GET", "/v1/openapi.json"}, &VmApi::get_openapi, {}},
  };
  return kTable;
}

std::vector<ApiRoute> VmApi::routes() {
  std::vector<ApiRoute> routes;
  for (const auto& route : table()) routes.push_back(route.is);
  return routes;
}

VmApi::VmApi(Wiring wiring, VmFacts facts)
    : wiring_{std::move(wiring)}, facts_{std::move(facts)}, started_at_{now_utc()} {}

Result<std::unique_ptr<VmApi>> VmApi::create(Wiring wiring, VmFacts facts, Fd listener) {
  std::unique_ptr<VmApi> api{new VmApi{std::move(wiring), std::move(facts)}};
  auto* raw = api.get();
  auto& loop = api->wiring_.loop;
  api->figures_timer_ = TRY(make_timerfd());
  api->figures_late_ = TRY(loop.watch(raw->figures_timer_.ref(), Interest::read, [raw] {
    (void)drain_eventfd(raw->figures_timer_.ref());
    raw->tell_figures(false);
  }));
  api->server_ = TRY(HttpServer::create(loop, std::move(listener), [raw](const HttpRequest& request, Answer answer) {
    raw->dispatch(request, std::move(answer));
  }));
  return api;
}

void VmApi::dispatch(const HttpRequest& request, Answer answer) {
  std::vector<std::string_view> methods;
  for (const auto& route : table()) {
    if (route.is.path != request.path) continue;
    methods.push_back(route.is.method);
    if (route.is.method != request.method) continue;
    for (const auto& [key, value] : request.query) {
      if (key == route.query) continue;
      return answer(refusal(400, Error::make(Errc::invalid, "there is no such key in the query of this path")));
    }
    return (this->*route.handle)(request, std::move(answer));
  }
  if (methods.empty()) {
    return answer(refusal(404, Error::make(Errc::not_found, "there is no such path").advise("GET /v1/openapi.json")));
  }
  const auto allowed = fmt::format("{}", fmt::join(methods, ", "));
  auto reply = refusal(405, Error::make(Errc::invalid, fmt::format("this path takes {} only", allowed)));
  reply.headers.emplace_back("Allow", allowed);
  answer(std::move(reply));
}

double VmApi::uptime_seconds() const {
  return std::chrono::duration_cast<std::chrono::duration<double>>(std::chrono::steady_clock::now() - start_).count();
}

Json VmApi::vm_document() const {
  Json console(nullptr);
  if (wiring_.console != nullptr) {
    const auto figures = wiring_.console->figures();
    console = {{"bytes", figures.said},
               {"droppedBytes", figures.dropped},
               {"readers", figures.readers},
               {"writer", figures.writer}};
  }
  Json slots(nullptr);
  auto backend = facts_.iommu_backend;
  if (wiring_.devices != nullptr) {
    const auto now = wiring_.devices->backend();
    backend = now ? to_string(*now) : std::string_view{};
    for (const auto& view : wiring_.devices->view()) {
      if (!wiring_.devices->hotplug()) continue;
      if (slots.is_null()) slots = Json::array();
      slots.push_back(to_json(view));
    }
  }
  auto ports = Json::array();
  for (const auto& port : this->ports()) {
    ports.push_back({{"name", port.name}, {"socket", port.socket}, {"client", port.client}});
  }
  auto events = Json::array();
  for (const auto& each : device_events()) events.push_back(to_json(each));
  return {{"apiVersion", "pcivm/v1"},
          {"kind", "Vm"},
          {"name", facts_.name},
          {"state", wiring_.stopping() ? "stopping"
                    : running_         ? "running"
                                       : "starting"},
          {"pid", ::getpid()},
          {"vmmPid", facts_.vmm},
          {"vmmUser", facts_.user ? Json(*facts_.user) : Json(nullptr)},
          {"seccomp", facts_.seccomp},
          {"cpus", facts_.cpus},
          {"memory", facts_.memory.size},
          {"memoryHotplug", memory_facts()},
          {"devices", devices()},
          {"mdevs", facts_.mdevs},
          {"slots", std::move(slots)},
          {"deviceEvents", std::move(events)},
          {"iommuBackend", or_null(backend)},
          {"iommuBackendReason", or_null(backend == facts_.iommu_backend ? facts_.backend_reason : "")},
          {"console", std::move(console)},
          {"ports", std::move(ports)},
          {"startedAt", started_at_},
          {"uptimeSeconds", uptime_seconds()}};
}

std::vector<std::string> VmApi::devices() const {
  if (wiring_.devices == nullptr) return facts_.devices;
  std::vector<std::string> all;
  for (const auto& view : wiring_.devices->view()) {
    if (view.function) all.push_back(view.function->to_string());
  }
  return all;
}

std::vector<VmPorts::View> VmApi::ports() const {
  return wiring_.ports != nullptr ? wiring_.ports->view() : std::vector<VmPorts::View>{};
}

std::vector<std::string> VmApi::port_names() const {
  std::vector<std::string> names;
  for (const auto& port : ports()) names.push_back(port.name);
  return names;
}

// Of those that it has, and of those that had some.
std::vector<DeviceEvents> VmApi::device_events() const {
  auto all = events_;
  auto present = devices();
  present.insert(present.end(), facts_.mdevs.begin(), facts_.mdevs.end());
  for (const auto& device : present) {
    if (std::ranges::find(all, device, &DeviceEvents::device) == all.end()) all.push_back({.device = device});
  }
  return all;
}

void VmApi::note_event(std::string_view function, std::uint64_t DeviceEvents::* counter) {
  const auto known = device_events();
  if (std::ranges::find(known, function, &DeviceEvents::device) == known.end()) return;
  auto found = std::ranges::find(events_, function, &DeviceEvents::device);
  if (found == events_.end()) found = events_.insert(events_.end(), {.device = std::string{function}});
  ++((*found).*counter);
  found->last_at = now_utc();
}

void VmApi::get_vm(const HttpRequest& /*request*/, Answer answer) { answer(json_reply(vm_document())); }

void VmApi::post_stop(const HttpRequest& request, Answer answer) {
  const auto how = parse_stop(request.body);
  if (!how) return answer(refusal(400, how.error()));
  wiring_.stop(*how);
  answer(json_reply(vm_document(), 202));
}

Json VmApi::device_document(Bdf function) const {
  const auto view =
      wiring_.devices->view(function).value_or(VmDevices::View{.function = function, .state = "detached"});
  Json document{{"apiVersion", "pcivm/v1"}, {"kind", "VmDevice"}, {"name", facts_.name}};
  document.update(to_json(view));
  return document;
}

void VmApi::post_attach(const HttpRequest& request, Answer answer) {
  auto call = parse_attach(request.body);
  if (!call) return answer(refusal(400, call.error()));
  if (wiring_.devices == nullptr || wiring_.stopping()) return answer(refusal(409, stops()));
  const auto function = call->function;
  wiring_.devices->attach(function, std::move(call->force), [this, function, answer](const Result<void>& done) {
    answer(done ? json_reply(device_document(function)) : refusal(status_of(done.error().kind()), done.error()));
  });
}

void VmApi::post_detach(const HttpRequest& request, Answer answer) {
  const auto call = parse_detach(request.body);
  if (!call) return answer(refusal(400, call.error()));
  if (wiring_.devices == nullptr || wiring_.stopping()) return answer(refusal(409, stops()));
  const auto function = call->function;
  wiring_.devices->detach(function, call->surprise, call->patience, [this, function, answer](const Result<void>& done) {
    answer(done ? json_reply(device_document(function)) : refusal(status_of(done.error().kind()), done.error()));
  });
}

// All with the RAM of the start in it.
Json VmApi::memory_facts() const {
  if (facts_.memory.blocks() == 0) return nullptr;
  return {{"maximum", facts_.memory.most},
          {"wanted", facts_.memory.size + memory_wanted_},
          {"present", facts_.memory.size + memory_plugged_},
          {"step", vmm::MemoryBlocks::size_for(facts_.memory.blocks())}};
}

void VmApi::post_memory(const HttpRequest& request, Answer answer) {
  const auto size = parse_memory(request.body);
  if (!size) return answer(refusal(400, size.error()));
  if (wiring_.stopping()) return answer(refusal(409, stops()));
  if (facts_.memory.blocks() == 0) {
    return answer(refusal(403, Error::make(Errc::refused, "the memory of this VM stays as it is")
                                   .coded("vm.no_memory_hotplug")
                                   .advise("start it with --memory SIZE,max=SIZE")));
  }
  if (auto good = check_size(facts_.memory, *size, "memory"); !good) return answer(refusal(400, good.error()));
  memory_wanted_ = *size - facts_.memory.size;
  wiring_.want_memory(memory_wanted_);
  Json document{{"apiVersion", "pcivm/v1"}, {"kind", "VmMemory"}, {"name", facts_.name}};
  document.update(memory_facts());
  answer(json_reply(document, 202));
}

void VmApi::get_end(const HttpRequest& /*request*/, Answer answer) {
  std::erase_if(wants_end_, [](const Answer& each) { return !each.wanted(); });
  if (wants_end_.size() >= kMostWaiting) return answer(too_many());
  wants_end_.push_back(std::move(answer));
}

void VmApi::get_log(const HttpRequest& /*request*/, Answer answer) {
  if (wiring_.console == nullptr) return answer(no_console());
  answer({.type = "application/octet-stream", .body = wiring_.console->log().text()});
}

void VmApi::get_console(const HttpRequest& request, Answer answer) {
  if (wiring_.console == nullptr) return answer(no_console());
  const auto asked = request.query.find("write");
  const bool types = asked != request.query.end() && asked->second == "1";
  if (asked != request.query.end() && !types && asked->second != "0") {
    return answer(refusal(400, Error::make(Errc::invalid, "write is neither 0 nor 1")));
  }
  const std::string protocol{kConsoleProtocol};
  if (!request.upgrade) {
    auto reply = refusal(426, Error::make(Errc::invalid, "the console is another protocol")
                                  .advise(fmt::format("send Connection: Upgrade and Upgrade: {}", protocol)));
    reply.headers.emplace_back("Upgrade", protocol);
    return answer(std::move(reply));
  }
  if (types && wiring_.console->figures().writer) {
    return answer(refusal(409, Error::make(Errc::busy, "somebody types on this console already")
                                   .coded("console.taken")
                                   .advise("without write=1 it can be read")));
  }
  if (wiring_.console->figures().readers >= ConsoleHub::kMostClients) return answer(too_many());
  answer({.status = 101,
          .headers = {{"Upgrade", protocol}},
          .take_over = [this, types](Fd connection, std::string beyond) {
            auto out = connection.dup();
            if (!out) return;
            ConsoleHub::Client client{.in = std::move(connection), .out = std::move(*out), .types = types};
            const auto attached = wiring_.console->attach(std::move(client), beyond);
            if (!attached) log::debug("console: {}", attached.error().text());
          }});
}

void VmApi::ask_figures(TellFigures tell) {
  wants_figures_.push_back(std::move(tell));
  if (wants_figures_.size() > 1) return;
  figures_.clear();
  wiring_.ask_figures();
  (void)arm_timerfd(figures_timer_.ref(), kFiguresDeadline, {});
}

void VmApi::get_figures(const HttpRequest& /*request*/, Answer answer) {
  if (wants_figures_.size() >= kMostWaiting) return answer(too_many());
  ask_figures([this, answer](bool answered, const VmFigures& figures) {
    answer(json_reply(figures_document(facts_.name, port_names(), answered, figures)));
  });
}

void VmApi::get_metrics(const HttpRequest& /*request*/, Answer answer) {
  if (wants_figures_.size() >= kMostWaiting) return answer(too_many());
  ask_figures([this, answer](bool answered, const VmFigures& figures) {
    answer({.type = "text/plain; version=0.0.4", .body = metrics(answered, figures)});
  });
}

void VmApi::get_openapi(const HttpRequest& /*request*/, Answer answer) {
  answer({.body = std::string{openapi_text()}});
}

void VmApi::heard(std::string_view line) {
  const auto [word, rest] = split_word(line);
  if (word == vmm::kRunning) running_ = true;
  if (word == vmm::kMemory) {
    memory_plugged_ = parse_decimal<std::uint64_t>(rest, facts_.memory.blocks()).value_or(memory_plugged_);
  }
  if (word == vmm::kWantedBack) note_event(split_word(rest).first, &DeviceEvents::requests);
  if (word == vmm::kFailed) note_event(split_word(rest).first, &DeviceEvents::errors);
  if (word == vmm::kFigures) tell_figures(true);
  if (word != vmm::kFigure || figures_.size() >= kMostFigures) return;
  const auto [name, value] = split_word(rest);
  const auto number = parse_decimal<std::uint64_t>(value);
  if (number && is_figure_name(name)) figures_.emplace_back(name, *number);
}

void VmApi::tell_figures(bool answered) {
  (void)arm_timerfd(figures_timer_.ref(), {}, {});
  const auto figures = std::exchange(figures_, {});
  for (const auto& tell : std::exchange(wants_figures_, {})) tell(answered, answered ? figures : VmFigures{});
}

std::string VmApi::metrics(bool answered, const VmFigures& figures) const {
  return metrics_text({.name = facts_.name,
                       .running = running_ && !wiring_.stopping(),
                       .uptime_seconds = uptime_seconds(),
                       .cpus = facts_.cpus,
                       .memory = facts_.memory.size + memory_plugged_,
                       .console = wiring_.console != nullptr ? wiring_.console->figures() : ConsoleHub::Figures{},
                       .ports = port_names(),
                       .events = device_events(),
                       .answered = answered,
                       .figures = figures});
}

void VmApi::ended(const Result<vmm::VmEnd>& end) {
  tell_figures(false);
  const int exit = end ? 0 : exit_code(end.error().kind());
  const Json document{{"apiVersion", "pcivm/v1"},
                      {"kind", "VmEnd"},
                      {"name", facts_.name},
                      {"end", end ? Json(to_string(*end)) : Json("failed")},
                      {"exit", exit},
                      {"error", end ? Json(nullptr) : error_document(end.error(), exit)["error"]}};
  for (const auto& answer : std::exchange(wants_end_, {})) answer(json_reply(document));
  server_->finish(std::chrono::seconds{1});
}

namespace {

// An object with "device" and, of `keys`, what it has.
Result<Json> device_object(std::string_view body, std::span<const std::string_view> keys, std::string_view wanted) {
  auto document = TRY(parse_json(body, kMostDepth));
  const auto known = [&](const std::string& key) {
    return key == "device" || std::ranges::find(keys, key) != keys.end();
  };
  bool good = document.is_object() && document.contains("device") && document["device"].is_string();
  if (good) {
    for (const auto& [key, value] : document.items()) good = good && known(key);
  }
  if (!good) return fail(Errc::invalid, fmt::format("{} wanted", wanted));
  return document;
}

}  // namespace

Result<DeviceCall> parse_attach(std::string_view body) {
  static constexpr std::array<std::string_view, 1> kKeys{"force"};
  constexpr std::string_view kWanted{R"({"device": ADDRESS, "force": [CHECK]})"};
  const auto document = TRY(device_object(body, kKeys, kWanted));
  DeviceCall call{.function = TRY(Bdf::parse(document["device"].get<std::string>()))};
  const auto force = document.value("force", Json::array());
  for (const auto& check : force) {
    if (!check.is_string()) return fail(Errc::invalid, fmt::format("{} wanted", kWanted));
    call.force.push_back(check.get<std::string>());
  }
  if (!force.is_array()) return fail(Errc::invalid, fmt::format("{} wanted", kWanted));
  return call;
}

Result<DeviceCall> parse_detach(std::string_view body) {
  static constexpr std::array<std::string_view, 2> kKeys{"how", "timeoutSeconds"};
  constexpr std::int64_t kMostSeconds{86'400};
  constexpr std::string_view kWanted{R"({"device": ADDRESS, "how": "request"|"force", "timeoutSeconds": N})"};
  const auto document = TRY(device_object(body, kKeys, kWanted));
  DeviceCall call{.function = TRY(Bdf::parse(document["device"].get<std::string>()))};
  const auto how = document.value("how", Json("request"));
  const auto seconds = document.value("timeoutSeconds", Json(call.patience.count()));
  const bool good = (how == "request" || how == "force") && seconds.is_number_integer() &&
                    seconds.get<std::int64_t>() >= 0 && seconds.get<std::int64_t>() <= kMostSeconds;
  if (!good) return fail(Errc::invalid, fmt::format("{} wanted", kWanted));
  call.surprise = how == "force";
  call.patience = std::chrono::seconds{seconds.get<std::int64_t>()};
  return call;
}

Result<std::uint64_t> parse_memory(std::string_view body) {
  const auto document = TRY(parse_json(body, kMostDepth));
  const auto size = document.is_object() && document.size() == 1 ? document.value("size", Json{}) : Json{};
  if (!size.is_number_unsigned()) return fail(Errc::invalid, R"({"size": BYTES} wanted)");
  return size.get<std::uint64_t>();
}

std::string_view to_string(Stop how) { return kStops.at(static_cast<std::size_t>(how)); }

Result<Stop> parse_stop(std::string_view body) {
  const auto document = TRY(parse_json(body, kMostDepth));
  const auto wanted = fmt::format("{{\"how\": \"{}\"}} wanted", fmt::join(kStops, "|"));
  if (!document.is_object() || document.size() != 1 || !document.contains("how") || !document["how"].is_string()) {
    return fail(Errc::invalid, wanted);
  }
  const auto found = std::ranges::find(kStops, document["how"].get<std::string>());
  if (found == kStops.end()) return fail(Errc::invalid, wanted);
  return static_cast<Stop>(found - kStops.begin());
}

}  // namespace pcivm::cli
