// SPDX-License-Identifier: GPL-2.0-or-later
// The assigned devices of a VM and the memory that they reach. Opened, mapped, reset and closed beside everything else,
// because each costs a function level reset of 0.1 s or the pinning of all RAM (docs/adr/0001-start-threads.md). They
// may come and go while the guest runs (docs/adr/0004-hot-plug.md).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/event_loop.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"
#include "vmm/assigned_device.hpp"
#include "vmm/bar_plan.hpp"
#include "vmm/dma_ready.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/hotplug_slots.hpp"
#include "vmm/intx_slots.hpp"
#include "vmm/kvm.hpp"
#include "vmm/memory_blocks.hpp"
#include "vmm/pci_bus.hpp"
#include "vmm/plug_message.hpp"
#include "vmm/timeline.hpp"
#include "vmm/virtio/iommu_domains.hpp"

namespace pcivm::vmm {

struct DmaFigures {
  std::uint64_t mapped_bytes{};
  std::uint64_t runs{};
  std::uint64_t huge_run_bytes{};
  std::chrono::nanoseconds populating{};  ///< until all of the memory was there
  std::chrono::nanoseconds mapping{};     ///< and then until all of it was mapped
  std::uint64_t peer_bytes{};             ///< of BARs that the VM's other devices reach; not in mapped_bytes
};

/// Loop thread. Life: create -> connect -> open_all -> map_ram -> (reset_all -> connect a new VM)* -> close; attach,
/// ask_back and take_out once the guest runs.
class DeviceSet final {
 public:
  struct Wiring {
    IoctlPort& port;
    EventLoop& loop;
    const GuestMemory& memory;
    IoBus& ports;
    IoBus& mmio;
    MemorySlots& slots;
    InterruptRoutes& routes;
    PciBus& bus;
    Timeline& timeline;
    platform::PciWindows windows;
    IntxSlots::Wiring intx;
    IommuDomains* domains{};                      ///< null: the guest has no IOMMU
    MemoryBlocks* blocks{};                       ///< null: no RAM comes or goes
    HotplugSlots* hotplug{};                      ///< null: devices neither come nor go
    std::uint32_t hotplug_slots{};                ///< where they may, one bit each
    bool peer_to_peer{};                          ///< they reach each other's BARs
    std::function<void(Bdf)> wanted;              ///< the host wants it back; loop thread, again and again
    std::function<void(Bdf)> failed;              ///< it reported an uncorrectable error; loop thread
    std::function<void(const PlugReport&)> tell;  ///< what became of one that comes or goes; loop thread
    std::function<void(Error)> fail;              ///< the VM must end, on any thread
    std::function<void(const Error&)> report;     ///< the VM goes on, on any thread
  };
  /// Makes the space for their DMA and puts the devices on the bus. An empty `opened` gives an empty set.
  [[nodiscard]] static Result<std::unique_ptr<DeviceSet>> create(vfio::OpenedVfio opened, const BarPlan& bars,
                                                                 Wiring wiring);
  DeviceSet(const DeviceSet&) = delete;
  DeviceSet& operator=(const DeviceSet&) = delete;
  /// As close().
  ~DeviceSet();

  /// Tells `vm` of all groups or devices. It outlives the connection.
  [[nodiscard]] Result<void> connect(Vm& vm);
  /// It knows of none any more. Also done by close().
  void disconnect();
  /// Opens and attaches every device, each on its own thread; returns at once. Once.
  void open_all();
  /// Populates RAM and maps it for DMA on a thread; returns at once. Once, when the guest runs already: the page faults
  /// of the two would slow the loading of the kernel.
  void map_ram();

  /// Opens one more device on a thread, maps RAM before that when it is the only one, then shows it to the guest; told
  /// as `placed` or `failed`. After a failure everything is as before.
  void attach(PlugRequest request);
  /// Asks the guest to let go of it; told as `detached` when the guest did and the device is closed, as `refused` when
  /// it will not. Errc::not_found: it is not here; busy: it is being opened; refused: its slot is not for that.
  [[nodiscard]] Result<void> ask_back(Bdf function);
  /// Closes it, and then asks the guest to forget it; told as `detached`. Its slot stays empty until the guest did:
  /// `vacated`. Fails as ask_back().
  [[nodiscard]] Result<void> take_out(Bdf function);
  /// Takes it from the guest as if it were pulled, resets it, and shows it in its slot again when the guest has
  /// forgotten it; told as `pulled`, then `placed`. When the reset fails it goes as by take_out(). Errc::refused also
  /// when that was done kMostRecoveries times already. Fails as ask_back() otherwise.
  [[nodiscard]] Result<void> recover(Bdf function);
  static constexpr unsigned kMostRecoveries = 3;
  /// It is not the guest's at the moment: one of the above is under way, or the VM does not have it.
  [[nodiscard]] bool away(Bdf function) const;
  /// The guest said something about slots (HotplugSlots).
  void hear_guest();

  /// Frees whoever waits for a device or for the mapping: they see the device as pulled. Before vCPUs are joined.
  void abandon();
  /// All devices to power-on state, at once. With the vCPUs stopped; waits for what is still under way. A guest that
  /// was asked for a device has let go of it with its reboot.
  [[nodiscard]] Result<void> reset_all();
  /// Closes every device, at once, then the space. With the vCPUs stopped.
  void close();

  [[nodiscard]] DmaFigures figures() const;
  [[nodiscard]] std::vector<std::pair<Bdf, VectorUse>> vectors() const;

 private:
  enum class Presence : std::uint8_t {
    here,
    resetting,  // a job takes it from the guest and resets it
    renewed,    // done: shown when the guest has forgotten the one that it knew
    leaving     // a job closes it
  };
  struct Member {
    Bdf function{};
    vfio::UnprovenReset unproven{};
    unsigned slot{};
    std::unique_ptr<AssignedDevice> device;
    std::vector<Watch> watches;       // on events of device
    std::atomic<bool> opened{false};  // of those that were there at the start, on their own threads
    bool asked{false};                // back, from the guest
    Presence presence{Presence::here};
    unsigned recoveries{};
  };
  // What RAM is mapped for; there as long as there are devices.
  struct Space {
    DmaReady dma;
    std::atomic<std::size_t> parts{0};  // that `dma` waits for at the start: the mapping, each device's attachment
    std::unique_ptr<vfio::DmaSpace> space;
  };
  // One device comes or goes at a time, on a thread.
  struct Job {
    std::unique_ptr<Member> newcomer;  // or else
    Member* leaver{};
    vfio::OpenedVfio opened;
    bool surprise{false};
    bool resets{false};  // the leaver, which stays
    Result<void> outcome;
  };

  explicit DeviceSet(Wiring wiring) : wiring_{std::move(wiring)}, intx_{wiring_.intx} {}
  [[nodiscard]] Result<void> add(const vfio::OpenedDevice& facts, const BarPlan& bars);
  [[nodiscard]] static vfio::UnprovenReset unproven_of(const vfio::OpenedDevice& facts);
  [[nodiscard]] AssignedWiring assigned_wiring();
  [[nodiscard]] std::optional<PeerMapping> peer_mapping();
  [[nodiscard]] Result<void> watch(Member& member);
  [[nodiscard]] Result<void> put_behind_iommu(const Member& member, std::vector<vfio::IovaRange> reserved);
  void close_in_space(Bdf function);
  void on_request(const Member& member);
  void open(Member& member);
  [[nodiscard]] Result<void> map_memory();
  void end_part(Result<void> outcome);
  [[nodiscard]] Result<Member*> find(Bdf function);
  [[nodiscard]] bool settled(const Member& member) const;
  [[nodiscard]] Result<unsigned> free_slot(unsigned preferred) const;
  void leave(Member& member, bool surprise);

  void start(Job job);
  void start_next();
  void finish();
  [[nodiscard]] Result<void> bring(Job& job);
  [[nodiscard]] Result<void> join(vfio::OpenedVfio opened);
  [[nodiscard]] Result<void> reset(Member& member);
  void take_away(Member& member);
  void forget_in_kvm(Bdf function);
  void leave_space(Bdf function);
  void welcome(Job job);
  void forget(Job job);
  void renew(Job job);
  [[nodiscard]] Result<void> show(Member& member);
  void join_threads();

  Wiring wiring_;
  IntxSlots intx_;
  Vm* vm_{};
  std::unique_ptr<Space> space_;  // outlives the devices
  // Changed by the loop thread while no job's thread runs, which reads it.
  std::vector<std::unique_ptr<Member>> members_;
  std::deque<Job> jobs_;    // the first is under way
  std::uint32_t taken_{};   // slots, and those whose device the guest must forget first; one bit each
  std::uint32_t ghosts_{};  // the latter
  std::atomic<std::size_t> opening_{0};
  std::atomic<std::uint64_t> peer_bytes_{};
  mutable std::mutex mutex_;
  DmaFigures figures_;  // guarded by mutex_
  std::vector<std::jthread> threads_;
  std::jthread job_;
};

}  // namespace pcivm::vmm
