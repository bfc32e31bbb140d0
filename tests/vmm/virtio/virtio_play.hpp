// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest: bytes become accesses to a virtio function, its rings and the memory around them, and what must hold
// afterwards is checked. Driven by libFuzzer (tests/fuzz/virtio_fuzz.cpp) and by random input in the unit tests.
#pragma once

#define VIRTIO_RING_NO_LEGACY  // no C++
#include <linux/kvm.h>
#include <linux/vhost.h>
#include <linux/virtio_iommu.h>
#include <linux/virtio_mem.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>
#include <thread>

#include "base/socket.hpp"
#include "tests/fakes/fake_dma_space.hpp"
#include "tests/vmm/virtio/fake_daemon.hpp"
#include "tests/vmm/virtio/transport_rig.hpp"
#include "vmm/virtio/console.hpp"
#include "vmm/virtio/iommu.hpp"
#include "vmm/virtio/mem.hpp"
#include "vmm/virtio/pmem.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/shared_folder.hpp"
#include "vmm/virtio/vsock.hpp"

namespace pcivm::test {

/// Answers each chain at once with as many bytes as it takes, up to a page.
class EchoDevice final : public vmm::VirtioDevice {
 public:
  EchoDevice(const vmm::GuestMemory& memory, vmm::VirtioSignals& signals) : queues_{memory, signals, 2} {}
  static vmm::VirtioIdentity describe() {
    auto identity = NotingDevice::describe();
    identity.features |= vmm::virtio_features::kInOrder;
    return identity;
  }
  [[nodiscard]] const vmm::VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override {
    for (std::size_t index = 0; index < data.size(); ++index) data[index] = config_.at(offset + index);
  }
  void write_config(std::uint32_t offset, std::span<const std::byte> data) override {
    for (std::size_t index = 0; index < data.size(); ++index) config_.at(offset + index) = data[index];
  }
  [[nodiscard]] Result<void> start_queue(unsigned queue, const vmm::VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    return queues_.start(queue, setup, features);
  }
  void stop_queue(unsigned queue) override { queues_.stop(queue); }
  void reset() override {}
  /// Serves a queue; true when it did anything.
  bool work(unsigned queue) {
    unsigned answered = 0;
    queues_.serve(queue, [&answered](const vmm::VirtioChain& chain) {
      std::array<std::byte, 64> bytes{};
      vmm::ChainReader reader{chain};
      (void)reader.read(std::span{bytes}.first(std::min<std::uint64_t>(reader.left(), bytes.size())));
      vmm::ChainWriter writer{chain};
      (void)writer.write(bytes);
      ++answered;
      return writer.written();
    });
    return answered != 0;
  }

 private:
  vmm::VirtioIdentity identity_ = describe();
  std::array<std::byte, 8> config_{};
  vmm::VirtioQueues queues_;
};

/// The last byte says which device it is.
class VirtioPlay final {
 public:
  explicit VirtioPlay(std::span<const std::uint8_t> input) : input_{input} {
    (void)std::signal(SIGPIPE, SIG_IGN);  // as in a VMM
    auto made = make(input.empty() ? 0 : input.back() % 10U);
    transport_ = std::make_unique<vmm::VirtioPciTransport>(std::move(signals_), std::move(made), rig_.wiring);
    transport_->place_bar(0, TransportRig::kBar);
    transport_->connect(rig_.line);
  }
  /// Plays all input; what does not hold, empty when all does.
  [[nodiscard]] std::string_view run() {
    while (!input_.empty()) {
      step();
      if (const auto wrong = check(); !wrong.empty()) return wrong;
    }
    transport_->reset();
    if (!rig_.irqfds.empty()) return "an irqfd is left after a reset";
    if (!rig_.doorbells.empty()) return "a doorbell is left after a reset";
    if (rig_.routes != 0) return "a route is left after a reset";
    if (!space_.domains.empty() && domains_.bypass()) return "a domain is left after a reset";
    if (blocks_ && slots_ != blocks_->plugged() / blocks_->block()) return "slots are not the blocks that are plugged";
    if (blocks_ && space_.ram.size() != slots_) return "mappings are not the blocks that are plugged";
    if (blocks_ && blocks_->plugged() > blocks_->wanted()) return "more is plugged than wanted";
    return space_.wrong;
  }
  /// How many chains the device got, or domains it made of them: input that never gets there tests little.
  [[nodiscard]] unsigned answered() const { return answered_ + space_.made; }
  /// How often blocks of memory came or went.
  [[nodiscard]] unsigned plugs() const { return plugs_; }

 private:
  std::unique_ptr<vmm::VirtioSignals> make_signals(const vmm::VirtioIdentity& identity) {
    queues_ = static_cast<unsigned>(identity.queues.size());
    return vmm::VirtioSignals::create(identity.name, queues_, identity.one_doorbell,
                                      [this](const Error& error) {
                                        const std::scoped_lock lock{mutex_};
                                        rig_.reports.push_back(error.text());
                                      })
        .value();
  }
  std::unique_ptr<vmm::VirtioDevice> make(unsigned kind) {
    if (kind == 4) {
      dma_ready_.set({});
      for (unsigned slot = 1; slot < 4; ++slot) {
        const Bdf function{.bus = static_cast<std::uint8_t>(slot)};
        (void)space_.attach(function);
        (void)domains_.add(vmm::endpoint_in(slot), {.function = function, .space = space_, .ready = dma_ready_});
      }
      signals_ = make_signals(vmm::VirtioIommu::describe());
      iommu_ = true;
      return vmm::VirtioIommu::create(domains_, memory_, *signals_).value();
    }
    if (kind == 5) {
      signals_ = make_signals(vmm::VirtioPmem::describe());
      return vmm::VirtioPmem::create({.file = make_memfd("pmem", 2 * kMiB).value(), .length = 2 * kMiB}, memory_,
                                     *signals_, [](std::string&) { return vmm::make_plain_engine(); })
          .value();
    }
    if (kind == 6) {
      signals_ = make_signals(vmm::VirtioVsock::describe());
      rig_.kernel.otherwise(0);
      rig_.kernel.on<std::uint64_t>(VHOST_GET_FEATURES, [](std::uint64_t& features) {
        features = ~0ULL;
        return 0;
      });
      return vmm::VirtioVsock::create({.vhost = make_eventfd().value(), .cid = 3}, rig_.kernel, *loop_, memory_,
                                      *signals_)
          .value();
    }
    if (kind == 7) {
      signals_ = make_signals(vmm::VirtioSharedFolder::describe());
      auto [ours, theirs] = make_socket_pair().value();
      daemon_ = std::make_unique<FakeDaemon>(std::move(theirs));
      return vmm::VirtioSharedFolder::create({.daemon = std::move(ours), .tag = "play"}, *loop_, memory_, *signals_)
          .value();
    }
    if (kind == 8) return make_memory();
    if (kind == 9) {
      vmm::ConsoleConfig config{.terminal = true, .ports = {}};
      auto [ours, vmms] = make_packet_sockets().value();
      channel_ = std::move(ours);
      config.ports.push_back({.name = "play", .channel = std::move(vmms)});
      signals_ = make_signals(vmm::VirtioConsole::describe(config));
      auto console = vmm::VirtioConsole::create(std::move(config), *loop_, memory_, *signals_,
                                                {.output = [](std::span<const std::byte>) {}, .can_receive = [] {}})
                         .value();
      console_ = console.get();
      return console;
    }
    signals_ = make_signals(EchoDevice::describe());
    auto echo = std::make_unique<EchoDevice>(memory_, *signals_);
    echo_ = echo.get();
    return echo;
  }
  // Every sixteenth call of the kernel fails.
  std::unique_ptr<vmm::VirtioDevice> make_memory() {
    constexpr vmm::GuestMemory::Range kRange{.gpa = Gpa{4 * kGiB}, .length = 16 * kMiB};
    (void)memory_.add_blocks(kRange, 2 * kMiB, {});
    rig_.kernel.on<kvm_userspace_memory_region>(KVM_SET_USER_MEMORY_REGION, [this](const auto& region) {
      if (region.memory_size != 0 && ++calls_ % 16 == 0) return -ENOMEM;
      slots_ = region.memory_size != 0 ? slots_ + 1 : slots_ - 1;
      return 0;
    });
    blocks_ = std::make_unique<vmm::MemoryBlocks>(kRange, vmm::MemoryBlocks::Wiring{.memory = memory_,
                                                                                    .slots = memory_slots_,
                                                                                    .changed = [this] { ++plugs_; },
                                                                                    .fail = [](const Error&) {},
                                                                                    .report = [](const Error&) {}});
    (void)blocks_->attach(space_);
    (void)blocks_->want(12 * kMiB);
    plugs_ = 0;
    signals_ = make_signals(vmm::VirtioMem::describe());
    return vmm::VirtioMem::create(*blocks_, memory_, *signals_).value();
  }
  // A device that works by itself gets its turn of the loop.
  void work() {
    if (echo_ != nullptr) {
      answered_ += echo_->work(next() % 2U) ? 1U : 0U;
      return;
    }
    if (iommu_) return ask_iommu();
    if (blocks_) return ask_memory();
    if (console_ != nullptr) visit_port();
    loop_->post([this] { loop_->stop(); });
    (void)loop_->run();
  }
  // A client of the console's port comes, says something, reads or goes; and a word of the driver's about ports.
  void visit_port() {
    std::array<std::byte, 64> bytes{};
    switch (next() % 4) {
      case 0: {
        auto [ours, clients] = make_socket_pair(SOCK_NONBLOCK).value();
        const std::array files{ours.ref()};
        (void)send_packet(channel_.ref(), vmm::kPortClient, files);
        client_ = std::move(clients);
        break;
      }
      case 1: client_.close(); break;
      case 2:
        if (client_) (void)write_some(client_.ref(), std::span{bytes}.first(1 + next() % 64U));
        break;
      default:
        if (client_) (void)read_some(client_.ref(), bytes);
        break;
    }
    while (receive_packet(channel_.ref())) {
    }
    (void)console_->receive(std::span{bytes}.first(next() % 64U));
    const virtio_console_control message{.id = next() % 4U, .event = next(), .value = next()};
    (void)memory_.write(Gpa{0x11000}, message);
    answered_ += console_->ports().at(0).to_host + console_->ports().at(0).dropped != 0 ? 1U : 0U;
  }
  std::uint8_t next() {
    if (input_.empty()) return 0;
    const auto byte = input_.front();
    input_ = input_.subspan(1);
    return byte;
  }
  // Small numbers, addresses of rings and of RAM's end are more telling than noise.
  std::uint64_t value() {
    const std::uint64_t small = next();
    switch (next() % 8) {
      case 0: return ~small;
      case 1: return 0x10000 + small * 16;
      case 2: return kRamEnd - small;
      case 3: return 0xfee00000U + small;
      case 4: return TransportRig::kBar + small * 0x1000;
      case 5: return small << 8U | next();
      default: return small % 16;
    }
  }
  void config_access(bool write) {
    const unsigned width = 1U << next() % 3;
    const auto offset = (next() % 64U) * 4 + next() % 4U / width * width;
    std::array<std::byte, 4> data{};
    vmm::store_le(data, write ? value() : 0);
    const auto part = std::span{data}.first(width);
    if (write) {
      transport_->config_write(static_cast<std::uint16_t>(offset), part);
    } else {
      transport_->config_read(static_cast<std::uint16_t>(offset), part);
    }
  }
  void bar_access(bool write) {
    constexpr std::uint64_t kPlaces[]{0, 0, 0x16, 0x20, 0x1000, 0x2000, 0x3000, 0x4000, 0x4010, 0x6000, 0x7ff8};
    const auto offset = kPlaces[next() % std::size(kPlaces)] + next() % 0x40U;
    std::array<std::byte, 8> data{};
    const auto part = std::span{data}.first(1 + next() % 8U);
    vmm::store_le(data, write ? value() : 0);
    if (write) {
      rig_.memory.write(TransportRig::kBar + offset, part);
    } else {
      rig_.memory.read(TransportRig::kBar + offset, part);
    }
  }
  void common(unsigned field, unsigned width, std::uint64_t what) {
    std::array<std::byte, 8> data{};
    vmm::store_le(data, what);
    rig_.memory.write(TransportRig::kBar + field, std::span{data}.first(width));
  }
  // The way that a driver goes, so that the rings are reached at all.
  void drive() {
    transport_->config_write(PCI_COMMAND, std::array{std::byte{6}, std::byte{0}});
    common(VIRTIO_PCI_COMMON_STATUS, 1, 0);
    common(VIRTIO_PCI_COMMON_STATUS, 1, 3);
    const auto mask = next();
    const auto features = TransportRig::kFeatures & ~(mask % 2 != 0 ? 1ULL << 29U : 0);
    for (unsigned half = 0; half < 2; ++half) {
      common(VIRTIO_PCI_COMMON_GFSELECT, 4, half);
      const auto packed = mask % 4 > 1 ? vmm::virtio_features::kPacked : 0;
      common(VIRTIO_PCI_COMMON_GF, 4, (features | packed) >> 32 * half & 0xffffffff);
    }
    common(VIRTIO_PCI_COMMON_STATUS, 1, 0xb);
    for (unsigned queue = 0; queue < queues_; ++queue) {
      common(VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
      common(VIRTIO_PCI_COMMON_Q_SIZE, 2, 8);
      common(VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x10000);
      common(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, 0x10800);
      common(VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x10900);
      common(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    }
    common(VIRTIO_PCI_COMMON_STATUS, 1, 0xf);
  }
  void descriptor() {
    const auto at = 0x10000 + 16ULL * (next() % 8);
    (void)memory_.write(Gpa{at}, value());
    (void)memory_.write(Gpa{at + 8}, static_cast<std::uint32_t>(value()));
    (void)memory_.write(Gpa{at + 12}, static_cast<std::uint16_t>(next() % 16));
    (void)memory_.write(Gpa{at + 14}, static_cast<std::uint16_t>(next() % 2 != 0 ? 0x80U | next() % 8U : next() % 10U));
  }
  void start_ring_anew() {  // without the traces of others
    for (const auto at : {0x10802U, 0x10902U}) (void)memory_.write(Gpa{at}, std::uint16_t{0});
    drive();
  }
  // A request of a virtio-iommu that may be carried out, as the next chain.
  void ask_iommu() {
    if (next() % 2 != 0) start_ring_anew();
    virtio_iommu_req_map request{};
    request.head.type = next() % 6;
    request.domain = next() % 4;
    if (request.head.type == VIRTIO_IOMMU_T_MAP || request.head.type == VIRTIO_IOMMU_T_UNMAP) {
      request.virt_start = next() % 2 != 0 ? value() : (next() % 8ULL) << 12U;
      request.virt_end = next() % 2 != 0 ? value() : request.virt_start + (next() % 4ULL << 12U) - 1;
      request.phys_start = next() % 2 != 0 ? value() : (next() % 8ULL) << 12U;
      request.flags = next() % 8;
    } else {
      const std::uint64_t flags = next() % 8 == 0 ? 1 : 0;
      request.virt_start = vmm::endpoint_in(next() % 5) | flags << 32U;  // where others have endpoint and flags
    }
    ask(request, 72, 516);
  }
  // The same of a virtio-mem; its buffers may lie in a block.
  void ask_memory() {
    if (next() % 2 != 0) start_ring_anew();
    virtio_mem_req request{};
    request.type = next() % 5;
    request.u.plug.addr = next() % 8 != 0 ? 4 * kGiB + next() % 9 * 2 * kMiB : value();
    request.u.plug.nb_blocks = static_cast<std::uint16_t>(next() % 16 != 0 ? next() % 5 : 0xffff);
    ask(request, sizeof request, 16);
  }
  template <class Request>
  void ask(const Request& request, std::uint32_t length, std::uint32_t room) {
    (void)memory_.write(Gpa{0x11000}, request);
    const auto describe = [this](unsigned index, std::uint64_t address, std::uint32_t bytes, std::uint16_t flags) {
      const Gpa at{0x10000 + 16ULL * index};
      (void)memory_.write(at, address);
      (void)memory_.write(at + 8, bytes);
      (void)memory_.write(at + 12, flags);
      (void)memory_.write(at + 14, std::uint16_t{1});
    };
    describe(0, 0x11000, length, 1);
    describe(1, 0x12000, room, 2);
    const auto index = memory_.read<std::uint16_t>(Gpa{0x10802}).value();
    (void)memory_.write(Gpa{0x10804 + 2ULL * (index % 8)}, std::uint16_t{0});
    (void)memory_.write(Gpa{0x10802}, static_cast<std::uint16_t>(index + 1));
    rig_.store(TransportRig::kNotify, 2, 0);
    // The device has a thread of its own, which gets its turn when the queue runs.
    for (int turn = 0; turn < 20 && memory_.read<std::uint16_t>(Gpa{0x10902}).value() != index + 1; ++turn) {
      std::this_thread::sleep_for(std::chrono::microseconds{20});
    }
  }
  void make_available() {
    const auto index = static_cast<std::uint16_t>(memory_.read<std::uint16_t>(Gpa{0x10802}).value() + next() % 3);
    (void)memory_.write(Gpa{0x10804 + 2ULL * (next() % 8)}, static_cast<std::uint16_t>(next() % 10));
    (void)memory_.write(Gpa{0x10802}, index);
  }
  void step() {
    switch (next() % 10) {
      case 0: return config_access(false);
      case 1: return config_access(true);
      case 2: return bar_access(false);
      case 3: return bar_access(true);
      case 4: return drive();
      case 5:
      case 6: return descriptor();
      case 7: return make_available();
      case 8: (void)memory_.write(Gpa{0x10000 + value() % 0xa00}, next()); return;
      default: work(); return;
    }
  }
  std::string_view check() {
    if (rig_.irqfds.size() > queues_ + 1) return "more irqfds than vectors";
    if (rig_.doorbells.size() > queues_) return "more doorbells than queues";
    const std::scoped_lock lock{mutex_};
    if (rig_.reports.size() > 20) return "reports without end";
    return {};
  }

  std::span<const std::uint8_t> input_;
  vmm::GuestMemory memory_ = shareable_memory();
  TransportRig rig_;
  std::mutex mutex_;  // of the reports
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  std::unique_ptr<FakeDaemon> daemon_;
  std::unique_ptr<vmm::VirtioSignals> signals_;
  unsigned queues_{};
  EchoDevice* echo_{};
  FakeDmaSpace space_;
  vmm::DmaReady dma_ready_;
  vmm::IommuDomains domains_{memory_, [](const Error&) {}};
  bool iommu_{};
  vmm::MemorySlots memory_slots_{rig_.kernel, FdRef{7}};
  std::unique_ptr<vmm::MemoryBlocks> blocks_;
  std::atomic<std::size_t> slots_{0};
  unsigned calls_{};
  std::atomic<unsigned> plugs_{0};
  Fd channel_;
  Fd client_;
  vmm::VirtioConsole* console_{};
  unsigned answered_{};
  std::unique_ptr<vmm::VirtioPciTransport> transport_;  // goes first
};

}  // namespace pcivm::test
