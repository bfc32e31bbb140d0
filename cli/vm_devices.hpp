// SPDX-License-Identifier: GPL-2.0-or-later
// The functions that a running VM has, in its supervisor: bound and opened when they are attached, given back when the
// VMM has closed them. The VMM's part is vmm/device_set; they talk by vmm/plug_message.
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

#include "base/bdf.hpp"
#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "cli/vm_slots.hpp"
#include "vfio/managed.hpp"
#include "vfio/opened.hpp"
#include "vmm/plug_message.hpp"

namespace pcivm::cli {

/// Loop thread only. What may block (binding, opening, giving back) is done by a child process, one at a time, which
/// hands back what it opened; the guest is waited for by as many as are asked for.
class VmDevices final {
 public:
  enum class State : std::uint8_t {
    attaching,  ///< bound and opened, by this process and then by the VMM
    attached,
    resetting,  ///< after an error; the guest is shown it again
    leaving,    ///< the guest was asked for it
    returning   ///< the VMM has closed it
  };
  /// What the VMM has open.
  struct Held {
    std::vector<std::uint32_t> groups{};          ///< in which it has functions
    std::optional<vfio::IommuBackend> backend{};  ///< of all its devices; none = it has none
  };
  /// What is done with the host. Functions of the child run in the child.
  struct RootSide {
    std::function<Result<vfio::OpenedVfio>(Bdf, const std::vector<std::string>& force, const Held& held)>
        take;                                                                      ///< of the child
    std::function<Result<void>(std::span<const vfio::ManagedBinding>)> give_back;  ///< of the child
    std::function<Result<vfio::ManagedBinding>(Bdf)> binding;                      ///< what there is to give back
  };
  /// What is wired outlives the object.
  struct Wiring {
    EventLoop& loop;
    RootSide root;
    std::function<void(std::string_view)> note;
    std::function<void(const VmSlots&)> keep;  ///< they changed
  };
  struct AtStart {
    vfio::ManagedBinding binding;
    std::uint32_t group{};
  };
  struct Setup {
    Fd socket{};                     ///< to the VMM; none: devices neither come nor go
    unsigned slots{};                ///< kept for those that come
    std::vector<AtStart> devices{};  ///< that the VM starts with
    vfio::IommuBackend backend{};    ///< by which these are assigned
    bool backend_stays{};            ///< mediated devices, which stay, are assigned by it too
    VmSlots remembered{};
    std::optional<Error> refusal{};  ///< why none may come
  };
  [[nodiscard]] static Result<std::unique_ptr<VmDevices>> create(Wiring wiring, Setup setup);
  VmDevices(const VmDevices&) = delete;
  VmDevices& operator=(const VmDevices&) = delete;
  ~VmDevices();

  using Done = std::function<void(Result<void>)>;
  /// Refused before anything is done: Errc::busy when the VM has it or no slot is free; refused when none may come.
  void attach(Bdf function, std::vector<std::string> force, Done done);
  /// Done when the function is back with its former driver. Errc::timeout ("guest.silent") when the guest does not let
  /// go of it within `patience`: should it do so later, the function goes back then. Errc::busy ("guest.refused") when
  /// it will not; not_found; refused when devices do not come and go. `surprise`: without asking.
  void detach(Bdf function, bool surprise, std::chrono::milliseconds patience, Done done);

  struct View {
    std::optional<Bdf> function{};  ///< none: a slot that is free
    unsigned slot{};                ///< 0: not known yet
    std::string_view state{};
  };
  /// Those that the VM has or gets, then slots that are free.
  [[nodiscard]] std::vector<View> view() const;
  [[nodiscard]] std::optional<View> view(Bdf function) const;
  /// By which its devices are assigned; none = it has no device.
  [[nodiscard]] std::optional<vfio::IommuBackend> backend() const { return held().backend; }
  [[nodiscard]] bool hotplug() const { return static_cast<bool>(socket_); }

  /// When the VMM is gone: waits for the child, tells who waits, and says what is to be given back.
  [[nodiscard]] std::vector<vfio::ManagedBinding> finish();

 private:
  struct Entry {
    Bdf function{};
    State state{State::attaching};
    unsigned slot{};
    std::uint32_t group{};
    bool inside{false};  // the VMM has its group, or is sent it
    std::optional<vfio::ManagedBinding> binding{};
    std::vector<std::string> force{};
    std::optional<Error> failure{};
    std::vector<Done> waiting{};
    Fd timer{};
    Watch late{};  // after timer
  };
  struct Child {
    pid_t pid{};
    Fd socket{};
    Watch heard{};  // after socket
    std::vector<Bdf> functions{};
    bool takes{};  // or else gives back
  };

  VmDevices(Wiring wiring, Setup setup);
  [[nodiscard]] Result<void> refuse(Bdf function) const;
  [[nodiscard]] Entry* find(Bdf function);
  [[nodiscard]] Held held() const;
  [[nodiscard]] unsigned free_slots() const;
  void on_vmm();
  void on_report(const vmm::PlugReport& report);
  void on_late(Bdf function);
  void next();
  void give_back();
  void take(Entry& entry);
  [[nodiscard]] Result<void> start_child(std::vector<Bdf> functions, bool takes,
                                         const std::function<void(FdRef)>& work);
  void on_child();
  [[nodiscard]] Result<std::optional<Packet>> end_child();
  void taken(Bdf function, Result<std::optional<Packet>> packet);
  void hand_over(Entry& entry, vmm::PlugRequest request);
  void given_back(const std::vector<Bdf>& functions, const Result<void>& outcome);
  void fail_attach(Entry& entry, Error error);
  void tell(Entry& entry, const Result<void>& outcome);
  void remember(const Entry& entry);

  Wiring wiring_;
  Fd socket_;
  std::uint32_t places_;  // slots for devices that come and go, one bit each
  std::optional<Error> refusal_;
  vfio::IommuBackend backend_;
  bool backend_stays_;
  VmSlots remembered_;
  std::uint32_t ghosts_{};  // slots whose device the guest has yet to forget
  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<vfio::ManagedBinding> stuck_;  // could not be given back
  std::optional<Child> child_;
  Watch vmm_;  // after socket_
};

}  // namespace pcivm::cli
