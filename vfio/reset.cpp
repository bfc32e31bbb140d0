// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/reset.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "iommu/reset_policy.hpp"
#include "vfio/binding_check.hpp"
#include "vfio/binding_transaction.hpp"
#include "vfio/binding_verify.hpp"
#include "vfio/force.hpp"
#include "vfio/journal.hpp"
#include "vfio/quarantine.hpp"

namespace pcivm::vfio {

namespace {

using std::chrono::steady_clock;

// Revision and class: unlike vendor and device they can be read in VFs too.
constexpr std::size_t kKindAt{8};
constexpr std::size_t kKindBytes{4};

std::string method_file(Bdf function) { return directory_of(function) + "/reset_method"; }

Result<void> refuse_native_driver(const Host& host, const ResetRequest& request) {
  const auto driver = host.root.link_name(directory_of(request.function) + "/driver");
  if (driver.empty() || is_vfio_driver(driver)) return {};
  if (forced(request.force, kForceDriver)) return {};
  const auto name = request.function.to_string();
  return fail(
      Error::make(Errc::refused, fmt::format("{} has driver {}, which may lose its device by a reset", name, driver))
          .coded("device.has_driver")
          .advise(fmt::format("pcivm device bind {}, or --force={}", name, kForceDriver)));
}

// The kernel itself offers "bus" only for the sole function of a bus. Should it ever not: never, whoever asks.
Result<void> refuse_shared_bus(const Host& host, Bdf function, const std::string& method) {
  if (method != "bus" && method != "cxl_bus") return {};
  std::string others;
  for (const auto sibling : iommu::bus_siblings(host.root, function)) {
    const auto driver = host.root.link_name(directory_of(sibling) + "/driver");
    others += fmt::format("{}{} ({})", others.empty() ? "" : ", ", sibling.to_string(),
                          driver.empty() ? "no driver" : driver);
  }
  if (others.empty()) return {};
  return fail(
      Error::make(Errc::refused, fmt::format("a reset of the bus of {} also hits {}", function.to_string(), others))
          .coded("reset.shared_bus")
          .advise("another --method, or another slot for one of them"));
}

// The method to use, when all checks are passed.
Result<std::string> checked(const Host& host, const ResetRequest& request) {
  TRY(situation(host, request.function));
  // A silent device is what a reset is for.
  if (auto endpoint = check_endpoint(host.root, request.function);
      !endpoint && endpoint.error().code() != kSilentDevice) {
    return fail(std::move(endpoint).error());
  }
  TRY(check_no_vfs(host, request.function));
  TRY(refuse_in_use(host, request.function, request.force));
  TRY(refuse_native_driver(host, request));
  const auto enabled = TRY(iommu::reset_policy(host.root, request.function)).methods;
  if (enabled.empty() && !host.root.exists(method_file(request.function))) {
    return fail(Error::make(Errc::refused, fmt::format("{} has no reset: the kernel knows no way to reset it alone",
                                                       request.function.to_string()))
                    .coded("device.no_reset"));
  }
  const auto method = request.method.empty() && !enabled.empty() ? enabled.front() : request.method;
  TRY(refuse_shared_bus(host, request.function, method));
  TRY(refuse_unproven_reset(host, request.function, method, request.force));
  return method;
}

std::vector<Step> steps_of(const Host& host, Bdf function, const std::string& method) {
  const auto before = host.root.read(method_file(function)).value_or("");
  const Step choose{StepKind::set_value, function, method_file(function), method, {}};
  const Step reset{StepKind::set_value, function, directory_of(function) + "/reset", "1", {}};
  const Step restore{StepKind::set_value, function, method_file(function), before, {}};
  if (method == before) return {reset};
  return {choose, reset, restore};
}

// A device that is not ready yet, or locked by somebody who looks at it, answers EAGAIN: once more until the deadline.
Result<void> write_reset(const Host& host, const Step& step) {
  const auto end = steady_clock::now() + host.deadline;
  for (;;) {
    auto done = write_within(host, step.path, step.value);
    if (done || done.error().sys_errno() != EAGAIN || steady_clock::now() >= end) return done;
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
  }
}

Result<void> carry_out(const Host& host, Journal& journal, const std::vector<Step>& steps) {
  for (const auto& step : steps) {
    TRY(journal.step(describe(step)));
    // The file "reset" has nothing to read back; whether the device answers is seen later.
    TRY(step.path.ends_with("/reset") ? write_reset(host, step) : apply(host, step));
  }
  return {};
}

Result<std::string> configuration(const Host& host, Bdf function) {
  return read_within(host, directory_of(function) + "/config");
}

Result<void> compare(const Host& host, Bdf function, const std::string& before) {
  TRY(check_answers(host, function));
  const auto after = TRY(configuration(host, function));
  const auto kind = [](const std::string& image) {
    return image.size() < kKindAt ? std::string{} : image.substr(kKindAt, kKindBytes);
  };
  if (kind(before) == std::string(kKindBytes, '\xff') || kind(after) == kind(before)) return {};
  return fail(Errc::kernel, fmt::format("{} came back as another device", function.to_string()));
}

Error quarantined(const Host& host, Bdf function, Error cause) {
  const auto kept = quarantine(host.root, function, cause.text());
  return std::move(cause).within(
      kept ? fmt::format("{} is put into quarantine", function.to_string())
           : fmt::format("{} belongs into quarantine ({})", function.to_string(), kept.error().text()));
}

Result<void> put_method_back(const Host& host, Bdf function, const Record& record) {
  for (const auto& [file, value] : settings_in(record)) {
    const auto path = fmt::format("{}/{}", directory_of(function), file);
    if (TRY(read_within(host, path)) == value) continue;
    TRY(apply(host, {StepKind::set_value, function, path, value, {}}));
  }
  return {};
}

}  // namespace

Result<ResetOutcome> reset_function(const Host& host, const HostLock& /*lock*/, const ResetRequest& request) {
  const auto function = request.function;
  const auto method = TRY(checked(host, request));
  const auto before = TRY(configuration(host, function));
  Record record;
  record.set("intent", kIntentReset);
  record.set("identity", TRY(identity_of(host.root, function)));
  put_settings(record, {{"reset_method", TRY(read_within(host, method_file(function)))}});
  auto journal = TRY(Journal::begin(host.root, function, record));
  auto done = carry_out(host, journal, steps_of(host, function, method));
  if (!done && blocked(done.error())) return fail(quarantined(host, function, std::move(done).error()));
  const auto back = done ? Result<void>{} : put_method_back(host, function, record);
  if (back) TRY(journal.close());
  if (done) done = compare(host, function, before);
  if (!done) {
    // The kernel refused the method itself: nothing happened to the device.
    const bool refused =
        done.error().sys_errno() == EINVAL && done.error().text().find("reset_method") != std::string::npos;
    return fail(refused ? std::move(done).error().as(Errc::refused).advise("cat " + method_file(function))
                        : quarantined(host, function, std::move(done).error()));
  }
  const bool was = host.root.exists(fmt::format("/run/pcivm/quarantine/{}", function.to_string()));
  TRY(lift_quarantine(host.root, function));
  return ResetOutcome{.method = method, .left_quarantine = was};
}

Result<std::vector<std::string>> preview(const Host& host, const ResetRequest& request) {
  const auto method = TRY(checked(host, request));
  std::vector<std::string> lines;
  for (const auto& step : steps_of(host, request.function, method)) lines.push_back(describe(step));
  return lines;
}

Result<std::string> repair_reset(const Host& host, Bdf function, const Record& record) {
  TRY(put_method_back(host, function, record));
  return "with its former reset methods";
}

}  // namespace pcivm::vfio
