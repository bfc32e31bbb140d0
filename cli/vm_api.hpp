// SPDX-License-Identifier: GPL-2.0-or-later
// What a running VM answers on /run/pcivm/vm/NAME/api.sock: docs/api/openapi.json.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "cli/console_hub.hpp"
#include "cli/http_server.hpp"
#include "cli/json.hpp"
#include "cli/vm_devices.hpp"
#include "cli/vm_memory.hpp"
#include "cli/vm_metrics.hpp"
#include "cli/vm_ports.hpp"
#include "cli/vm_supervisor.hpp"

namespace pcivm::cli {

/// What a VM was started with.
struct VmFacts {
  std::string name{};
  unsigned cpus{};
  MemoryWish memory{};
  std::vector<std::string> devices{};  ///< addresses of assigned functions
  std::vector<std::string> mdevs{};    ///< UUIDs of mediated devices, which stay
  std::string iommu_backend{};         ///< how they are assigned; empty when there are none
  std::string backend_reason{};        ///< why not by iommufd; empty when they are, or nobody wanted it
  pid_t vmm{};
  std::optional<std::uint32_t> user{};  ///< of the VMM; none: who started it
  std::string seccomp{};                ///< as asked for: "kill"
};

struct ApiRoute {
  std::string_view method;
  std::string_view path;
};
/// The text of docs/api/openapi.json.
[[nodiscard]] std::string_view openapi_text();

/// In the supervisor. Loop thread only.
class VmApi final {
 public:
  static constexpr std::size_t kMostWaiting{32};  ///< for the end, and for figures
  static constexpr std::chrono::milliseconds kFiguresDeadline{1000};
  static constexpr std::string_view kConsoleProtocol{"pcivm-console"};

  struct Wiring {
    EventLoop& loop;
    std::function<void(Stop)> stop;
    std::function<bool()> stopping;
    std::function<void()> ask_figures;                     ///< the answer comes to heard()
    std::function<void(std::uint64_t bytes)> want_memory;  ///< of what comes and goes; the outcome comes to heard()
    ConsoleHub* console{};                                 ///< null: the VM has none
    VmPorts* ports{};                                      ///< null: it has none
    VmDevices* devices{};                                  ///< null: those of the facts, which stay
  };
  /// What is wired outlives it.
  [[nodiscard]] static Result<std::unique_ptr<VmApi>> create(Wiring wiring, VmFacts facts, Fd listener);
  VmApi(const VmApi&) = delete;
  VmApi& operator=(const VmApi&) = delete;
  ~VmApi() = default;

  /// All that there is; tests compare it with docs/api/openapi.json.
  [[nodiscard]] static std::vector<ApiRoute> routes();

  /// A line of the VMM, which is not trusted.
  void heard(std::string_view line);
  [[nodiscard]] bool running() const { return running_; }
  /// Tells who waits for it, and serves no more.
  void ended(const Result<vmm::VmEnd>& end);

 private:
  using Answer = HttpServer::Answer;
  using Handle = void (VmApi::*)(const HttpRequest&, Answer);
  struct Route;
  static std::span<const Route> table();

  VmApi(Wiring wiring, VmFacts facts);
  void dispatch(const HttpRequest& request, Answer answer);
  void get_vm(const HttpRequest& request, Answer answer);
  void get_figures(const HttpRequest& request, Answer answer);
  void post_stop(const HttpRequest& request, Answer answer);
  void post_attach(const HttpRequest& request, Answer answer);
  void post_detach(const HttpRequest& request, Answer answer);
  void post_memory(const HttpRequest& request, Answer answer);
  void get_end(const HttpRequest& request, Answer answer);
  void get_log(const HttpRequest& request, Answer answer);
  void get_console(const HttpRequest& request, Answer answer);
  void get_metrics(const HttpRequest& request, Answer answer);
  void get_openapi(const HttpRequest& request, Answer answer);
  [[nodiscard]] Json vm_document() const;
  [[nodiscard]] Json device_document(Bdf function) const;
  [[nodiscard]] Json memory_facts() const;
  [[nodiscard]] std::vector<std::string> devices() const;
  [[nodiscard]] std::vector<VmPorts::View> ports() const;
  [[nodiscard]] std::vector<std::string> port_names() const;
  [[nodiscard]] std::vector<DeviceEvents> device_events() const;
  void note_event(std::string_view function, std::uint64_t DeviceEvents::* counter);
  [[nodiscard]] double uptime_seconds() const;
  /// What the VMM tells of itself; or false and nothing, when it has not answered in time.
  using TellFigures = std::function<void(bool answered, const VmFigures& figures)>;
  void ask_figures(TellFigures tell);
  void tell_figures(bool answered);
  [[nodiscard]] std::string metrics(bool answered, const VmFigures& figures) const;

  Wiring wiring_;
  VmFacts facts_;
  std::chrono::steady_clock::time_point start_{std::chrono::steady_clock::now()};
  std::string started_at_;
  bool running_{};
  std::uint64_t memory_wanted_{};     // of what comes and goes
  std::uint64_t memory_plugged_{};    // the same
  std::vector<DeviceEvents> events_;  // of functions that it had
  VmFigures figures_;                 // being told
  std::vector<Answer> wants_end_;
  std::vector<TellFigures> wants_figures_;
  Fd figures_timer_;
  Watch figures_late_;
  std::unique_ptr<HttpServer> server_;
};

/// `{"how": "request"}` and nothing else.
[[nodiscard]] Result<Stop> parse_stop(std::string_view body);
[[nodiscard]] std::string_view to_string(Stop how);

/// `{"size": 2147483648}`: bytes of RAM, that of the start included.
[[nodiscard]] Result<std::uint64_t> parse_memory(std::string_view body);

/// What is asked for with one function of the VM.
struct DeviceCall {
  Bdf function{};
  std::vector<std::string> force{};   ///< of an attach: checks that are left out
  bool surprise{};                    ///< of a detach: the guest is not asked
  std::chrono::seconds patience{30};  ///< with the guest
};
/// `{"device": "0000:01:10.0", "force": ["no-reset"]}`; force may be left out.
[[nodiscard]] Result<DeviceCall> parse_attach(std::string_view body);
/// `{"device": "0000:01:10.0", "how": "request", "timeoutSeconds": 30}`; how (or "force") and time may be left out.
[[nodiscard]] Result<DeviceCall> parse_detach(std::string_view body);

}  // namespace pcivm::cli
