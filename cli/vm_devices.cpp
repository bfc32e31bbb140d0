// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_devices.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "base/child.hpp"
#include "vmm/hotplug_slots.hpp"
#include "vmm/platform.hpp"

namespace pcivm::cli {

namespace {

using std::chrono::milliseconds;
using Kind = vmm::PlugReport::Kind;

constexpr std::chrono::minutes kLastChild{5};  // what it does has deadlines of its own

std::string_view to_string(VmDevices::State state) {
  switch (state) {
    case VmDevices::State::attaching: return "attaching";
    case VmDevices::State::attached: return "attached";
    case VmDevices::State::resetting: return "resetting";
    case VmDevices::State::leaving: return "leaving";
    case VmDevices::State::returning: return "returning";
  }
  return "unknown";
}

Error ended() { return Error::make(Errc::busy, "the VM ended").coded("vm.ended"); }

}  // namespace

VmDevices::VmDevices(Wiring wiring, Setup setup)
    : wiring_{std::move(wiring)},
      socket_{std::move(setup.socket)},
      places_{vmm::platform::hotplug_slots(setup.slots)},
      refusal_{std::move(setup.refusal)},
      backend_{setup.backend},
      backend_stays_{setup.backend_stays},
      remembered_{std::move(setup.remembered)} {
  for (auto& device : setup.devices) {
    auto entry = std::make_unique<Entry>();
    entry->function = device.binding.function;
    entry->state = State::attached;
    entry->group = device.group;
    entry->inside = true;
    entry->binding = std::move(device.binding);
    entries_.push_back(std::move(entry));
  }
}

Result<std::unique_ptr<VmDevices>> VmDevices::create(Wiring wiring, Setup setup) {
  std::unique_ptr<VmDevices> made{new VmDevices{std::move(wiring), std::move(setup)}};
  auto* raw = made.get();
  if (raw->socket_) {
    raw->vmm_ = TRY(raw->wiring_.loop.watch(raw->socket_.ref(), Interest::read, [raw] { raw->on_vmm(); }));
  }
  return made;
}

// A child that nobody waited for is in a transaction, whose journal is left for the next command.
VmDevices::~VmDevices() {
  if (!child_) return;
  (void)::kill(child_->pid, SIGKILL);
  (void)end_child();
}

VmDevices::Entry* VmDevices::find(Bdf function) {
  const auto found = std::ranges::find(entries_, function, [](const auto& entry) { return entry->function; });
  return found == entries_.end() ? nullptr : found->get();
}

VmDevices::Held VmDevices::held() const {
  Held held;
  for (const auto& entry : entries_) {
    if (entry->inside) held.groups.push_back(entry->group);
  }
  if (!held.groups.empty() || backend_stays_) held.backend = backend_;
  return held;
}

// One that is just being attached will take one.
unsigned VmDevices::free_slots() const {
  auto free = static_cast<unsigned>(std::ranges::count(view(), std::string_view{"free"}, &View::state));
  for (const auto& entry : entries_) free -= entry->slot == 0 && free > 0 ? 1U : 0U;
  return free;
}

Result<void> VmDevices::refuse(Bdf function) const {
  if (refusal_) return fail(*refusal_);
  for (const auto& entry : entries_) {
    if (entry->function != function) continue;
    return fail(Error::make(Errc::busy,
                            fmt::format("the VM has {} already ({})", function.to_string(), to_string(entry->state)))
                    .coded("device.attached"));
  }
  if (free_slots() != 0) return {};
  return fail(Error::make(Errc::busy, "all slots of the VM for devices that come and go are taken")
                  .coded("vm.no_slot")
                  .advise("detach another, or start the VM with more --hotplug-slots"));
}

void VmDevices::attach(Bdf function, std::vector<std::string> force, Done done) {
  if (auto refused = refuse(function); !refused) return done(std::move(refused));
  auto entry = std::make_unique<Entry>();
  entry->function = function;
  entry->force = std::move(force);
  entry->waiting.push_back(std::move(done));
  entries_.push_back(std::move(entry));
  next();
}

void VmDevices::detach(Bdf function, bool surprise, milliseconds patience, Done done) {
  auto* entry = find(function);
  if (entry == nullptr) {
    return done(fail(Error::make(Errc::not_found, fmt::format("the VM does not have {}", function.to_string()))
                         .coded("device.not_attached")));
  }
  if (refusal_ && !socket_) return done(fail(*refusal_));
  if (entry->state == State::attaching) {
    return done(fail(Errc::busy, fmt::format("{} is just being attached", function.to_string())));
  }
  entry->waiting.push_back(std::move(done));
  if (entry->state == State::returning) return;
  entry->state = State::leaving;
  auto timer = make_timerfd();
  if (timer && !surprise) {
    entry->late = Watch{};
    entry->timer = std::move(*timer);
    auto late = wiring_.loop.watch(entry->timer.ref(), Interest::read, [this, function] { on_late(function); });
    if (late) entry->late = std::move(*late);
    (void)arm_timerfd(entry->timer.ref(), std::max(patience, milliseconds{1}), {});
  }
  const auto kind = surprise ? vmm::PlugRequest::Kind::take_out : vmm::PlugRequest::Kind::ask_back;
  auto sent = send(socket_.ref(), vmm::PlugRequest{.kind = kind, .function = function});
  if (!sent) tell(*entry, sent);
}

// It stays asked: a guest that lets go of it later is not to be surprised.
void VmDevices::on_late(Bdf function) {
  auto* entry = find(function);
  if (entry == nullptr) return;
  (void)drain_eventfd(entry->timer.ref());
  if (entry->state != State::leaving) return;
  const auto outcome = fail(
      Error::make(Errc::timeout, fmt::format("the guest has not let go of {} in time; should it do so later, the "
                                             "function is given back then",
                                             function.to_string()))
          .coded("guest.silent")
          .advise("does it have a driver for ACPI hot-plug? pcivm detach --force takes the device away all the same"));
  tell(*entry, outcome);
}

std::vector<VmDevices::View> VmDevices::view() const {
  std::vector<View> all;
  std::uint32_t taken = ghosts_;
  for (const auto& entry : entries_) {
    all.push_back({.function = entry->function, .slot = entry->slot, .state = to_string(entry->state)});
    if (entry->slot != 0) taken |= 1U << entry->slot;
  }
  for (unsigned slot = 0; slot < vmm::HotplugSlots::kSlots; ++slot) {
    if ((ghosts_ >> slot & 1U) != 0) all.push_back({.slot = slot, .state = "forgetting"});
    if ((places_ & ~taken) >> slot & 1U) all.push_back({.slot = slot, .state = "free"});
  }
  return all;
}

std::optional<VmDevices::View> VmDevices::view(Bdf function) const {
  for (const auto& each : view()) {
    if (each.function == function) return each;
  }
  return std::nullopt;
}

void VmDevices::tell(Entry& entry, const Result<void>& outcome) {
  (void)arm_timerfd(entry.timer.ref(), {}, {});
  for (const auto& done : std::exchange(entry.waiting, {})) done(outcome);
}

void VmDevices::remember(const Entry& entry) {
  auto& slot = remembered_[entry.function];
  if (std::exchange(slot, entry.slot) != entry.slot) wiring_.keep(remembered_);
}

void VmDevices::on_vmm() {
  const auto packet = receive_packet(socket_.ref());
  if (!packet && packet.error().sys_errno() == EAGAIN) return;
  if (!packet || !*packet) {
    vmm_ = Watch{};  // the VMM is gone, which is noticed elsewhere
    return;
  }
  if (const auto report = vmm::read_report(**packet)) on_report(*report);
}

// Not trusted: nothing that it says gives it another function.
void VmDevices::on_report(const vmm::PlugReport& report) {
  if (report.kind == Kind::vacated) {
    ghosts_ &= ~(1U << report.slot);
    return;
  }
  auto* entry = find(report.function);
  if (entry == nullptr || !entry->inside) return;
  const auto name = report.function.to_string();
  if (report.kind == Kind::placed) {
    entry->slot = report.slot;
    places_ |= 1U << report.slot;
    remember(*entry);
    if (entry->state == State::resetting) entry->state = State::attached;
    if (entry->state != State::attaching) return;
    entry->state = State::attached;
    tell(*entry, {});
    next();
  } else if (report.kind == Kind::pulled) {
    if (entry->state == State::attached) entry->state = State::resetting;
  } else if (report.kind == Kind::failed && entry->state == State::attaching) {
    fail_attach(*entry, report.error.value_or(Error::make(Errc::internal, "the VMM gave no reason")));
  } else if (report.kind == Kind::refused) {
    auto error = report.error.value_or(Error::make(Errc::internal, "the VMM gave no reason"));
    if (entry->state == State::leaving) entry->state = State::attached;
    if (entry->waiting.empty()) wiring_.note(fmt::format("{}: {}", name, error.text()));
    tell(*entry, fail(std::move(error)));
  } else if (report.kind == Kind::detached) {
    if (entry->waiting.empty()) wiring_.note(fmt::format("{} is detached", name));
    if (report.slot != 0) ghosts_ |= 1U << report.slot;
    entry->inside = false;
    entry->state = State::returning;
    next();
  }
}

// What was bound for it goes back; then whoever asked is told.
void VmDevices::fail_attach(Entry& entry, Error error) {
  entry.failure = std::move(error);
  entry.inside = false;
  entry.state = State::returning;
  next();
}

void VmDevices::next() {
  if (child_) return;
  give_back();
  if (child_) return;
  const auto sent = [](const auto& entry) { return entry->state == State::attaching && entry->inside; };
  if (std::ranges::any_of(entries_, sent)) return;  // what the VMM has open is known only when it has answered
  const auto found = std::ranges::find(entries_, State::attaching, [](const auto& entry) { return entry->state; });
  if (found != entries_.end()) take(**found);
}

// A group that the VMM has open still keeps all its functions away from the host.
void VmDevices::give_back() {
  const auto groups = held().groups;
  std::vector<vfio::ManagedBinding> bindings;
  std::vector<Bdf> functions;
  for (const auto& entry : entries_) {
    if (entry->state != State::returning || std::ranges::find(groups, entry->group) != groups.end()) continue;
    functions.push_back(entry->function);
    if (entry->binding) bindings.push_back(*entry->binding);
  }
  if (functions.empty()) return;
  if (bindings.empty()) return given_back(functions, {});
  auto started = start_child(functions, false, [&](FdRef socket) {
    auto done = wiring_.root.give_back(bindings);
    vmm::PlugReport report{.kind = Kind::detached, .function = functions.front()};
    if (!done) report = {.kind = Kind::failed, .function = functions.front(), .error = std::move(done).error()};
    (void)send(socket, report);
  });
  if (!started) given_back(functions, started);
}

void VmDevices::take(Entry& entry) {
  const auto in_vmm = held();
  auto started = start_child({entry.function}, true, [&](FdRef socket) {
    auto opened = wiring_.root.take(entry.function, entry.force, in_vmm);
    if (opened) {
      (void)send(socket,
                 vmm::PlugRequest{
                     .kind = vmm::PlugRequest::Kind::attach, .function = entry.function, .opened = std::move(*opened)});
    } else {
      (void)send(socket,
                 vmm::PlugReport{.kind = Kind::failed, .function = entry.function, .error = std::move(opened).error()});
    }
  });
  if (!started) fail_attach(entry, std::move(started).error());
}

Result<void> VmDevices::start_child(std::vector<Bdf> functions, bool takes, const std::function<void(FdRef)>& work) {
  auto [ours, theirs] = TRY(make_packet_sockets());
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) {
    // What it was in the middle of when the supervisor is killed, the journal tells.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(EXIT_FAILURE);
    ours.close();
    work(theirs.ref());
    ::_exit(EXIT_SUCCESS);
  }
  theirs.close();
  child_.emplace(Child{.pid = pid, .socket = std::move(ours), .functions = std::move(functions), .takes = takes});
  auto heard = wiring_.loop.watch(child_->socket.ref(), Interest::read, [this] { on_child(); });
  if (heard) {
    child_->heard = std::move(*heard);
  } else {
    on_child();  // waits for it
  }
  return {};
}

Result<std::optional<Packet>> VmDevices::end_child() {
  auto child = std::move(*child_);
  child_.reset();
  child.heard = Watch{};
  (void)readable_within(child.socket.ref(), kLastChild);
  auto packet = receive_packet(child.socket.ref());
  if (!packet) (void)::kill(child.pid, SIGKILL);
  while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return packet;
}

void VmDevices::on_child() {
  const auto functions = child_->functions;
  const bool takes = child_->takes;
  auto packet = end_child();
  if (takes) {
    taken(functions.front(), std::move(packet));
  } else {
    Result<void> outcome = fail(Errc::internal, "what gives it back was ended");
    if (packet && *packet) {
      const auto report = vmm::read_report(**packet);
      if (report) outcome = report->error ? Result<void>{fail(*report->error)} : Result<void>{};
    }
    given_back(functions, outcome);
  }
}

void VmDevices::taken(Bdf function, Result<std::optional<Packet>> packet) {
  auto* entry = find(function);
  if (entry == nullptr) return;
  // Whatever it says: a child that was killed may have bound it.
  if (auto binding = wiring_.root.binding(function)) entry->binding = std::move(*binding);
  if (!packet || !*packet) return fail_attach(*entry, Error::make(Errc::internal, "what binds it was ended"));
  if (auto report = vmm::read_report(**packet); report && report->error) return fail_attach(*entry, *report->error);
  auto request = vmm::read_request(std::move(**packet));
  if (!request) return fail_attach(*entry, std::move(request).error());
  hand_over(*entry, std::move(*request));
}

void VmDevices::hand_over(Entry& entry, vmm::PlugRequest request) {
  const auto& group = request.opened.groups.front();
  const auto groups = held().groups;
  const bool container = request.opened.backend == vfio::IommuBackend::container;
  // The last device of its group has gone while this one was bound: the group's node can be opened now.
  if (container && !group.fd && std::ranges::find(groups, group.number) == groups.end()) return next();
  backend_ = request.opened.backend;
  entry.group = group.number;
  entry.inside = true;
  if (const auto known = remembered_.find(entry.function); known != remembered_.end()) request.slot = known->second;
  if (auto sent = send(socket_.ref(), request); !sent) fail_attach(entry, std::move(sent).error());
}

void VmDevices::given_back(const std::vector<Bdf>& functions, const Result<void>& outcome) {
  for (const auto function : functions) {
    auto* entry = find(function);
    if (entry == nullptr) continue;
    if (!outcome && entry->binding) stuck_.push_back(*entry->binding);
    if (!outcome && (entry->failure || entry->waiting.empty())) {
      wiring_.note(fmt::format("{} is not returned: {}", function.to_string(), outcome.error().text()));
    }
    // Out of the list first: who is told may look at it.
    const auto gone = std::ranges::find(entries_, entry, [](const auto& each) { return each.get(); });
    const auto owned = std::move(*gone);
    entries_.erase(gone);
    tell(*owned, owned->failure ? fail(*owned->failure) : outcome);
  }
  next();
}

std::vector<vfio::ManagedBinding> VmDevices::finish() {
  vmm_ = Watch{};
  socket_.close();  // with what the VMM has not taken out of it
  if (child_) {
    const auto functions = child_->functions;
    (void)end_child();
    for (const auto function : functions) {
      auto* entry = find(function);
      if (auto binding = wiring_.root.binding(function); entry != nullptr && binding) entry->binding = *binding;
    }
  }
  auto bindings = std::move(stuck_);
  for (const auto& entry : std::exchange(entries_, {})) {
    if (entry->binding) bindings.push_back(std::move(*entry->binding));
    tell(*entry, fail(ended()));
  }
  return bindings;
}

}  // namespace pcivm::cli
