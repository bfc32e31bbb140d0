// SPDX-License-Identifier: GPL-2.0-or-later
// A small model of the kernel's PCI core behind a temporary sysfs tree: driver_override, bind, unbind, drivers_probe,
// sriov_numvfs and sriov_drivers_autoprobe, with the answers measured on Linux 6.1 and 6.12. Faults are injected by
// the number of the write.
#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/bdf.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::test {

/// What the kernel answers to writes about functions and VFs (docs/faults.md, E10 and F3). Without EAGAIN, after which
/// sriov_numvfs is tried again.
inline constexpr int kKernelErrors[]{EPERM,  ENOENT,    EIO,        EACCES, EBUSY,  ENODEV,     EINVAL,
                                     ENOTTY, ENOSPC,    ERANGE,     ENOMEM, EPROTO, EOPNOTSUPP, EOVERFLOW,
                                     ENXIO,  ETIMEDOUT, EPROTONOSUPPORT};

/// What happens to the n-th write, counted from 1.
struct Fault {
  enum class Kind {
    none,
    refuse,    ///< fails with `error`, nothing happens
    lie,       ///< succeeds, nothing happens
    hang,      ///< never returns, nothing happens
    kill,      ///< the process dies before it
    kill_late  ///< the process dies right after it took effect
  };
  Kind kind{Kind::none};
  int at{};
  int error{};
  bool persistent{};  ///< and every write after it
};

/// Thrown through the code under test where the process would die.
struct Killed {};

class FakeKernel final {
 public:
  static constexpr unsigned kOwnMsix{3};
  static constexpr unsigned kMostMsix{64};
  struct Function {
    std::string native{};  ///< the driver that matches by id; empty = none
    std::string driver{};  ///< bound now
    std::string override_name{};
    std::string physfn{};
    unsigned total_vfs{};
    unsigned num_vfs{};
    bool autoprobe{true};
    std::string vf_native{};
    unsigned total_msix{};  ///< of a PF that shares out interrupt vectors
    unsigned msix{kOwnMsix};
    bool open{};  ///< by a VFIO user: unbinding blocks
  };

  FakeKernel() : root_{tree_.root()} {
    tree_.directory("/sys/bus/pci/devices");
    tree_.directory("/sys/kernel/iommu_groups");
    tree_.directory("/dev/vfio");
    tree_.directory("/proc");
    add_driver("vfio-pci");
    tree_.directory("/sys/module/vfio_iommu_type1");
    root_.on_write([this](std::string_view path, std::string_view value) { return on_write(path, value); });
  }

  [[nodiscard]] const SysRoot& root() const { return root_; }
  [[nodiscard]] TempRoot& tree() { return tree_; }
  [[nodiscard]] Function& at(const std::string& bdf) { return functions_.at(bdf); }
  [[nodiscard]] bool has(const std::string& bdf) const { return functions_.contains(bdf); }
  [[nodiscard]] const std::vector<std::string>& writes() const { return writes_; }

  void add_driver(const std::string& name) { tree_.file(unbind_file(name), ""); }
  static std::string unbind_file(const std::string& driver) {
    return fmt::format("/sys/bus/pci/drivers/{}/unbind", driver);
  }

  void add(const std::string& bdf, Function function, int group, const std::string& device = "0x10c9") {
    const auto directory = device_directory(bdf);
    tree_.file(directory + "/vendor", "0x8086\n");
    tree_.file(directory + "/device", device + "\n");
    tree_.file(directory + "/subsystem_vendor", "0x8086\n");
    tree_.file(directory + "/subsystem_device", "0xa04c\n");
    tree_.file(directory + "/class", "0x020000\n");
    tree_.file(directory + "/config", std::string(64, '\0'));
    tree_.file(directory + "/reset_method", "flr\n");
    if (group >= 0) {
      tree_.link(directory + "/iommu_group", fmt::format("../../../../kernel/iommu_groups/{}", group));
      tree_.link(fmt::format("/sys/kernel/iommu_groups/{}/devices/{}", group, bdf),
                 fmt::format("../../../../bus/pci/devices/{}", bdf));
    }
    if (!function.driver.empty()) add_driver(function.driver);
    if (!function.native.empty()) add_driver(function.native);
    if (!function.physfn.empty()) tree_.link(directory + "/physfn", "../" + function.physfn);
    device_ids_[bdf] = device;
    groups_[bdf] = group;
    functions_[bdf] = std::move(function);
    show(bdf);
  }

  /// A PF with igb bound that can make `total` VFs, igbvf being their driver.
  void add_pf(const std::string& bdf, unsigned total, const std::string& driver = "igb") {
    add_driver("igbvf");
    add(bdf, {.native = "igb", .driver = driver, .total_vfs = total, .vf_native = "igbvf"}, 6);
  }

  /// The next probe of `driver` for `bdf` fails with `error`, and so do all later ones until 0 is set.
  void fail_probe(const std::string& driver, const std::string& bdf, int error) {
    probe_errors_[{driver, bdf}] = error;
  }
  /// Plays what this kernel does not know: its answer to a write, after changing the tree.
  void handle_others(WriteHook others) { others_ = std::move(others); }
  /// vfio-pci's parameter enable_sriov.
  void enable_sriov(bool on) {
    vfio_makes_vfs_ = on;
    tree_.file("/sys/module/vfio_pci/parameters/enable_sriov", on ? "Y\n" : "N\n");
  }
  /// The PF driver makes only so many VFs and reports success.
  void limit_vfs(unsigned count) { vf_limit_ = count; }
  /// VFs that are made from now on have no virtfn links until link_vfs(), as where no_vf_scan is set (s390).
  void make_links_late() { late_links_ = true; }
  void link_vfs(const std::string& pf) {
    for (unsigned index = 0; index < at(pf).num_vfs; ++index) link_vf(pf, index);
  }
  /// The next write to an unbind file finds that the function was removed meanwhile, or only unbound.
  void race_unbind(bool removed) { race_ = removed ? Race::remove : Race::unbind; }
  /// Surprise removal.
  void unplug(const std::string& bdf) {
    tree_.remove(device_directory(bdf));
    functions_.erase(bdf);
  }
  /// Restarts the count of writes.
  void inject(Fault fault) {
    fault_ = fault;
    count_ = 0;
    writes_.clear();
  }
  [[nodiscard]] int count() const { return count_; }
  /// How often VFs were removed.
  [[nodiscard]] int lifetimes() const { return lifetimes_; }
  /// Called when a driver was bound to a function.
  void on_bound(std::function<void(const std::string& bdf)> hook) { on_bound_ = std::move(hook); }
  /// Answers a write of 1 to a function's "reset".
  void on_reset(std::function<int()> hook) { on_reset_ = std::move(hook); }
  /// After a change of at(): makes the tree say so.
  void refresh(const std::string& bdf) { show(bdf); }

  [[nodiscard]] static std::string device_directory(const std::string& bdf) { return "/sys/bus/pci/devices/" + bdf; }
  [[nodiscard]] static std::string vf_name(const std::string& pf, unsigned index) {
    auto address = Bdf::parse(pf).value();
    address.device = static_cast<std::uint8_t>(16 + index / 8);
    address.function = static_cast<std::uint8_t>(index % 8);
    return address.to_string();
  }

 private:
  int on_write(std::string_view path, std::string_view value) {
    ++count_;
    writes_.push_back(fmt::format("{} {}", path, value == "\n" ? "\\n" : value));
    const bool hit = fault_.persistent ? count_ >= fault_.at : count_ == fault_.at;
    if (hit && fault_.kind == Fault::Kind::kill) throw Killed{};
    if (hit && fault_.kind == Fault::Kind::refuse) return fault_.error;
    if (hit && fault_.kind == Fault::Kind::lie) return 0;
    if (hit && fault_.kind == Fault::Kind::hang) return kWriteBlocks;
    const int error = handle(std::string{path}, std::string{value});
    if (hit && fault_.kind == Fault::Kind::kill_late) throw Killed{};
    return error;
  }

  int handle(const std::string& path, std::string value) {
    if (value.empty()) return 0;  // never reaches a store function
    if (value.ends_with('\n')) value.pop_back();
    const auto slash = path.rfind('/');
    const auto file = path.substr(slash + 1);
    const auto directory = path.substr(0, slash);
    const auto name = directory.substr(directory.rfind('/') + 1);
    if (file == "drivers_probe") return drivers_probe(value);
    if (file == "bind") return driver_bind(name, value);
    if (file == "unbind") return driver_unbind(name, value);
    if (path.ends_with("/power/control") || file == "reset_method" || file == "d3cold_allowed") {
      return set_value(path, value);
    }
    if (!functions_.contains(name)) return others_ ? others_(path, value) : ENOENT;
    if (file == "reset") return on_reset_ ? on_reset_() : 0;
    if (file == "driver_override") return set_override(name, value);
    if (file == "sriov_numvfs") return set_num_vfs(name, value);
    if (file == "sriov_vf_msix_count") return set_msix(name, value);
    if (file == "sriov_drivers_autoprobe") return set_autoprobe(name, value);
    return others_ ? others_(path, value) : EACCES;
  }

  int set_value(const std::string& path, const std::string& value) {
    if (!root_.exists(path)) return ENOENT;
    tree_.file(path, value + "\n");
    return 0;
  }

  int set_override(const std::string& bdf, const std::string& value) {
    at(bdf).override_name = value;
    show(bdf);
    return 0;
  }

  bool matches(const std::string& driver, const Function& function) const {
    if (!function.override_name.empty()) return function.override_name == driver;
    return function.native == driver;
  }
  // pci_device_can_probe()
  bool may_probe(const Function& function) const {
    return function.physfn.empty() || functions_.at(function.physfn).autoprobe || !function.override_name.empty();
  }

  int probe_with(const std::string& driver, const std::string& bdf) {
    const auto planned = probe_errors_.find({driver, bdf});
    if (planned != probe_errors_.end() && planned->second != 0) return planned->second;
    if (driver == "vfio-pci" && groups_.at(bdf) < 0) return EINVAL;
    if (driver == "vfio-pci" && at(bdf).num_vfs > 0) return EBUSY;
    at(bdf).driver = driver;
    show(bdf);
    if (on_bound_) on_bound_(bdf);
    return 0;
  }

  int drivers_probe(const std::string& bdf) {
    if (!functions_.contains(bdf)) return ENODEV;
    const auto& function = at(bdf);
    if (!function.driver.empty() || !may_probe(function)) return 0;
    const auto driver = function.override_name.empty() ? function.native : function.override_name;
    if (root_.exists("/sys/bus/pci/drivers/" + driver) && !driver.empty()) (void)probe_with(driver, bdf);
    return 0;  // whatever happened
  }

  int driver_bind(const std::string& driver, const std::string& bdf) {
    if (!functions_.contains(bdf) || !matches(driver, at(bdf)) || !may_probe(at(bdf))) return ENODEV;
    if (!at(bdf).driver.empty()) return EBUSY;
    return probe_with(driver, bdf);
  }

  int driver_unbind(const std::string& driver, const std::string& bdf) {
    const auto race = std::exchange(race_, Race::none);
    if (race == Race::remove) unplug(bdf);
    if (race == Race::unbind) {
      at(bdf).driver.clear();
      show(bdf);
    }
    if (!functions_.contains(bdf) || at(bdf).driver != driver) return ENODEV;
    if (at(bdf).open) return kWriteBlocks;
    if (at(bdf).num_vfs > 0) destroy_vfs(bdf);
    at(bdf).driver.clear();
    show(bdf);
    return 0;
  }

  int set_autoprobe(const std::string& bdf, const std::string& value) {
    if (value != "0" && value != "1") return EINVAL;
    at(bdf).autoprobe = value == "1";
    show(bdf);
    return 0;
  }

  // sriov_vf_msix_count_store(), and mlx5_set_msix_vec_count()
  int set_msix(const std::string& bdf, const std::string& value) {
    const auto count = static_cast<unsigned>(std::stoul(value));
    const auto& pf = at(at(bdf).physfn);
    if (pf.total_msix == 0) return EOPNOTSUPP;
    if (!at(bdf).driver.empty()) return EBUSY;
    if (count > kMostMsix) return EOVERFLOW;
    at(bdf).msix = count == 0 ? kOwnMsix : count;
    show(bdf);
    return 0;
  }

  // A configuration space whose only capability is MSI-X.
  static std::string config_with_msix(unsigned vectors) {
    std::string image(256, '\0');
    image[0x06] = 0x10;
    image[0x34] = 0x40;
    image[0x40] = 0x11;
    image[0x42] = static_cast<char>(vectors - 1);
    return image;
  }

  int set_num_vfs(const std::string& bdf, const std::string& value) {
    auto& pf = at(bdf);
    const auto wanted = static_cast<unsigned>(std::stoul(value));
    if (wanted > pf.total_vfs) return ERANGE;
    if (wanted == pf.num_vfs) return 0;
    if (pf.driver.empty() || (pf.driver == "vfio-pci" && !vfio_makes_vfs_)) return ENOENT;
    if (wanted != 0 && pf.num_vfs != 0) return EBUSY;
    if (wanted == 0) return destroy_vfs(bdf);
    create_vfs(bdf, std::min(wanted, vf_limit_));
    return 0;
  }

  void link_vf(const std::string& pf, unsigned index) {
    tree_.link(fmt::format("{}/virtfn{}", device_directory(pf), index), "../" + vf_name(pf, index));
  }

  void create_vfs(const std::string& bdf, unsigned count) {
    for (unsigned index = 0; index < count; ++index) {
      const auto name = vf_name(bdf, index);
      add(name, {.native = at(bdf).vf_native, .driver = {}, .physfn = bdf}, 10 + static_cast<int>(index), "0x10ca");
      if (!late_links_) link_vf(bdf, index);
      // vfio_pci_bus_notifier()
      if (at(bdf).driver == "vfio-pci") (void)set_override(name, "vfio-pci");
      (void)drivers_probe(name);
    }
    at(bdf).num_vfs = count;
    show(bdf);
  }

  int destroy_vfs(const std::string& bdf) {
    for (unsigned index = 0; index < at(bdf).num_vfs; ++index) {
      if (at(vf_name(bdf, index)).open) return kWriteBlocks;
    }
    for (unsigned index = 0; index < at(bdf).num_vfs; ++index) {
      const auto name = vf_name(bdf, index);
      tree_.remove(device_directory(name));
      tree_.remove(fmt::format("/sys/kernel/iommu_groups/{}", groups_.at(name)));
      tree_.remove(fmt::format("/dev/vfio/{}", groups_.at(name)));
      tree_.remove(fmt::format("{}/virtfn{}", device_directory(bdf), index));
      functions_.erase(name);
    }
    if (at(bdf).num_vfs != 0) ++lifetimes_;
    at(bdf).num_vfs = 0;
    show(bdf);
    return 0;
  }

  // Makes the tree say what the model knows.
  void show(const std::string& bdf) {
    const auto& function = functions_.at(bdf);
    const auto directory = device_directory(bdf);
    tree_.file(directory + "/driver_override",
               function.override_name.empty() ? "(null)\n" : function.override_name + "\n");
    tree_.remove(directory + "/driver");
    if (!function.driver.empty()) tree_.link(directory + "/driver", "../../drivers/" + function.driver);
    const auto id = device_ids_.at(bdf).substr(2);
    const auto code = root_.read(directory + "/class").value().substr(3);
    tree_.file(directory + "/uevent",
               fmt::format("{}PCI_CLASS={}\nPCI_ID=8086:{}\nPCI_SUBSYS_ID=8086:A04C\nPCI_SLOT_NAME={}\n",
                           function.driver.empty() ? "" : "DRIVER=" + function.driver + "\n", code, id, bdf));
    const auto node = fmt::format("/dev/vfio/{}", groups_.at(bdf));
    const bool owned = std::ranges::any_of(functions_, [&](const auto& other) {
      return groups_.at(other.first) == groups_.at(bdf) && other.second.driver == "vfio-pci";
    });
    if (owned) tree_.file(node, "");
    if (!owned) tree_.remove(node);
    if (!function.physfn.empty()) tree_.file(directory + "/config", config_with_msix(function.msix));
    if (function.total_msix != 0)
      tree_.file(directory + "/sriov_vf_total_msix", fmt::format("{}\n", function.total_msix));
    if (function.total_vfs == 0) return;
    tree_.file(directory + "/sriov_totalvfs", fmt::format("{}\n", function.total_vfs));
    tree_.file(directory + "/sriov_numvfs", fmt::format("{}\n", function.num_vfs));
    tree_.file(directory + "/sriov_drivers_autoprobe", function.autoprobe ? "1\n" : "0\n");
  }

  TempRoot tree_;
  SysRoot root_;
  std::map<std::string, Function> functions_;
  std::map<std::string, int> groups_;
  std::map<std::string, std::string> device_ids_;
  std::map<std::pair<std::string, std::string>, int> probe_errors_;
  std::vector<std::string> writes_;
  WriteHook others_;
  std::function<void(const std::string&)> on_bound_;
  std::function<int()> on_reset_;
  unsigned vf_limit_{1000};
  Fault fault_{};
  int count_{};
  int lifetimes_{};
  bool late_links_{};
  bool vfio_makes_vfs_{};
  enum class Race { none, unbind, remove } race_{Race::none};
};

}  // namespace pcivm::test
