// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/nvme_adapter.hpp"

#include <algorithm>
#include <array>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "sriov/nvme_admin.hpp"
#include "sriov/nvme_share.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

namespace {

constexpr std::string_view kPrimary{"primary"};
constexpr std::array kResources{NvmeResource::queues, NvmeResource::interrupts};

// The name of a value taken apart: "sc5.vq", "ns1.sc5".
struct Target {
  std::string what;  // vq, vi, state, attached
  std::uint16_t controller{};
  std::uint32_t nsid{};
};

Result<Target> parse_target(std::string_view name) {
  const auto dot = std::min(name.find('.'), name.size());
  const auto head = name.substr(0, dot);
  const auto tail = name.substr(std::min(dot + 1, name.size()));
  if (head.starts_with("ns") && tail.starts_with("sc")) {
    const auto nsid = TRY(parse_decimal<std::uint32_t>(head.substr(2)));
    const auto controller = TRY(parse_decimal<std::uint16_t>(tail.substr(2)));
    return Target{.what = "attached", .controller = controller, .nsid = nsid};
  }
  if (!head.starts_with("sc")) return fail(Errc::invalid, fmt::format("'{}' names no value of an NVMe drive", name));
  const auto controller = TRY(parse_decimal<std::uint16_t>(head.substr(2)));
  return Target{.what = std::string{tail}, .controller = controller};
}

// Makes a new allotment of the primary controller true.
Result<void> reset_drive(const vfio::Host& host, Bdf physical) {
  using std::chrono::steady_clock;
  const auto directory = vfio::directory_of(physical);
  TRY(host.root.write_within(directory + "/reset", "1", host.deadline));
  // The driver takes the controller up again after the write has returned (nvme_reset_done() only queues the work).
  const auto end = steady_clock::now() + host.deadline;
  std::string state;
  while (steady_clock::now() < end) {
    for (const auto& name : TRY(host.root.list(directory + "/nvme"))) {
      state = host.root.read(fmt::format("{}/nvme/{}/state", directory, name)).value_or("gone");
    }
    if (state == "live") return {};
    if (state == "dead" || state == "gone") break;
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return fail(Error::make(Errc::kernel, fmt::format("{} was reset, its controller is now '{}', wanted 'live'",
                                                    physical.to_string(), state))
                  .advise("see dmesg"));
}

class NvmeAdapter final : public PfAdapter {
 public:
  NvmeAdapter(AdapterRequest request, NvmeAdmin admin, NvmeWish wish)
      : request_{std::move(request)}, admin_{std::move(admin)}, wish_{std::move(wish)} {}
  Result<std::vector<Assignment>> before_create(unsigned count) override;
  Result<std::vector<Assignment>> provision(unsigned index) override;
  Result<std::vector<Assignment>> before_destroy() override;
  Result<std::string> read(const std::string& name) override;
  Result<void> write(const Assignment& wanted) override;
  // An allotment shows only after the reset, which a crash may have prevented.
  [[nodiscard]] bool latent(const std::string& name) const override { return name == kPrimary; }
  Result<Profile> profile(unsigned index) override;

 private:
  Result<NvmeSecondary> controller_of_vf(unsigned index);
  Result<void> add_namespaces(std::uint16_t controller, std::vector<Assignment>& list);
  Result<void> write_primary(const std::string& value);
  Result<void> check_namespaces();

  AdapterRequest request_;
  NvmeAdmin admin_;
  NvmeWish wish_;
  unsigned count_{};  // of the VFs that are made
};

Result<NvmeSecondary> NvmeAdapter::controller_of_vf(unsigned index) {
  for (const auto& each : TRY(admin_.secondaries())) {
    if (each.vf_number == index + 1) return each;
  }
  return fail(Errc::not_found,
              fmt::format("{} lists no secondary controller for VF {}", request_.physical.to_string(), index));
}

Result<void> NvmeAdapter::check_namespaces() {
  if (!wish_.namespaces) return {};
  const auto there = TRY(admin_.namespaces());
  for (const auto nsid : *wish_.namespaces) {
    if (std::ranges::find(there, nsid) != there.end()) continue;
    return fail(Error::make(Errc::invalid, fmt::format("{} has no namespace {}; it has {}",
                                                       request_.physical.to_string(), nsid, fmt::join(there, ", ")))
                    .coded("vf.setting"));
  }
  return {};
}

Result<std::vector<Assignment>> NvmeAdapter::before_create(unsigned count) {
  count_ = count;
  const auto address = request_.physical.to_string();
  if (!admin_.has_virtualization_management()) {
    if (request_.settings.empty()) return std::vector<Assignment>{};
    return fail(Error::make(Errc::invalid,
                            fmt::format("{} has no virtualization management: its VFs take no settings", address))
                    .coded("vf.setting"));
  }
  TRY(check_namespaces());
  const auto list = TRY(admin_.secondaries());
  std::array<unsigned, 2> kept{};
  bool moves{};
  for (const auto type : kResources) {
    const auto have = TRY(admin_.flexible(type));
    const auto share = TRY_IN(share_of(have, type, wish_, count), address);
    const auto keeps = TRY_IN(primary_keeps(have, type, held_by(list, type, count), share * count), address);
    kept.at(static_cast<std::size_t>(type)) = keeps;
    moves = moves || keeps != have.of_primary;
  }
  if (!moves) return std::vector<Assignment>{};
  TRY_IN(vfio::refuse_in_use(request_.host, request_.physical, request_.force),
         std::string{"moving queues or interrupts from the drive itself to its VFs needs a reset of it"});
  return std::vector<Assignment>{
      {.name = std::string{kPrimary}, .value = fmt::format("vq={} vi={}", kept[0], kept[1])}};
}

Result<void> NvmeAdapter::add_namespaces(std::uint16_t controller, std::vector<Assignment>& list) {
  if (!wish_.namespaces) return {};
  for (const auto nsid : TRY(admin_.namespaces())) {
    const bool wanted = std::ranges::find(*wish_.namespaces, nsid) != wish_.namespaces->end();
    list.push_back({.name = fmt::format("ns{}.sc{}", nsid, controller), .value = wanted ? "attached" : "detached"});
  }
  return {};
}

Result<std::vector<Assignment>> NvmeAdapter::provision(unsigned index) {
  std::vector<Assignment> list;
  if (!admin_.has_virtualization_management()) return list;
  const auto controller = TRY(controller_of_vf(index));
  for (const auto type : {NvmeResource::interrupts, NvmeResource::queues}) {
    const auto have = TRY(admin_.flexible(type));
    if (have.total == 0) continue;
    const auto share = TRY(share_of(have, type, wish_, count_));
    list.push_back({.name = fmt::format("sc{}.{}", controller.id, key_of(type)), .value = fmt::to_string(share)});
  }
  list.push_back({.name = fmt::format("sc{}.state", controller.id), .value = "online"});
  TRY(add_namespaces(controller.id, list));
  return list;
}

Result<std::vector<Assignment>> NvmeAdapter::before_destroy() {
  std::vector<Assignment> list;
  if (!admin_.has_virtualization_management()) return list;
  for (const auto& each : TRY(admin_.secondaries())) {
    if (each.online) list.push_back({.name = fmt::format("sc{}.state", each.id), .value = "offline"});
  }
  return list;
}

Result<std::string> NvmeAdapter::read(const std::string& name) {
  if (name == kPrimary) {
    const auto queues = TRY(admin_.flexible(NvmeResource::queues));
    const auto interrupts = TRY(admin_.flexible(NvmeResource::interrupts));
    return fmt::format("vq={} vi={}", queues.of_primary, interrupts.of_primary);
  }
  const auto target = TRY(parse_target(name));
  if (target.nsid != 0) {
    const auto controllers = TRY(admin_.controllers_of(target.nsid));
    return std::ranges::find(controllers, target.controller) != controllers.end() ? "attached" : "detached";
  }
  const auto list = TRY(admin_.secondaries());
  const auto found = std::ranges::find(list, target.controller, &NvmeSecondary::id);
  if (found == list.end()) return fail(Errc::not_found, fmt::format("controller {} is gone", target.controller));
  if (target.what == "state") return found->online ? "online" : "offline";
  return fmt::to_string(found->of(target.what == "vq" ? NvmeResource::queues : NvmeResource::interrupts));
}

Result<void> NvmeAdapter::write_primary(const std::string& value) {
  const auto blank = std::min(value.find(' '), value.size());
  const auto text = std::string_view{value};
  if (!text.starts_with("vq=") || !text.substr(blank).starts_with(" vi=")) {
    return fail(Errc::invalid, fmt::format("'{}' is not 'vq=N vi=N'", value));
  }
  const auto queues = TRY(parse_decimal<unsigned>(text.substr(3, blank - 3)));
  const auto interrupts = TRY(parse_decimal<unsigned>(text.substr(blank + 4)));
  // Asked anew: at the removal of the VFs the drive may be in use, though it was not at their creation.
  TRY_IN(vfio::refuse_in_use(request_.host, request_.physical, request_.force),
         std::string{"a reset of the drive is needed"});
  TRY(admin_.allot_primary(NvmeResource::queues, queues));
  TRY(admin_.allot_primary(NvmeResource::interrupts, interrupts));
  return reset_drive(request_.host, request_.physical);
}

Result<void> NvmeAdapter::write(const Assignment& wanted) {
  if (wanted.name == kPrimary) return write_primary(wanted.value);
  const auto target = TRY(parse_target(wanted.name));
  if (target.nsid != 0) return admin_.set_attached(target.nsid, target.controller, wanted.value == "attached");
  if (target.what == "state") return admin_.set_online(target.controller, wanted.value == "online");
  const auto count = TRY(parse_decimal<unsigned>(wanted.value));
  return admin_.assign(target.controller, target.what == "vq" ? NvmeResource::queues : NvmeResource::interrupts, count);
}

Result<Profile> NvmeAdapter::profile(unsigned index) {
  if (!admin_.has_virtualization_management()) return Profile{};
  const auto controller = TRY(controller_of_vf(index));
  std::vector<std::uint32_t> attached;
  for (const auto nsid : TRY(admin_.namespaces())) {
    const auto all = TRY(admin_.controllers_of(nsid));
    if (std::ranges::find(all, controller.id) != all.end()) attached.push_back(nsid);
  }
  return Profile{{.name = "controllerId", .value = fmt::to_string(controller.id)},
                 {.name = "state", .value = controller.online ? "online" : "offline"},
                 {.name = "vq", .value = fmt::to_string(controller.queues)},
                 {.name = "vi", .value = fmt::to_string(controller.interrupts)},
                 {.name = "namespaces", .value = fmt::format("{}", fmt::join(attached, ","))}};
}

}  // namespace

AdapterKind nvme_adapter(IoctlPort& port) {
  return {
      .name = "nvme",
      .settings = {{.key = "vq", .meaning = "queue pairs of each VF, its admin queue among them; at least 2"},
                   {.key = "vi", .meaning = "interrupts of each VF; at least 1"},
                   {.key = "namespaces", .meaning = "exactly these namespaces are attached to each VF: 1,3"}},
      .matches = [](const SysRoot& root, Bdf physical) { return root.exists(vfio::directory_of(physical) + "/nvme"); },
      .make = [&port](const AdapterRequest& request) -> Result<std::unique_ptr<PfAdapter>> {
        auto wish = TRY(parse_nvme_wish(request.settings));
        auto admin = TRY(NvmeAdmin::open(request.host, port, request.physical));
        return std::make_unique<NvmeAdapter>(request, std::move(admin), std::move(wish));
      }};
}

}  // namespace pcivm::sriov
