// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/common_registers.hpp"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

namespace {

struct Field {
  std::uint32_t offset;
  std::uint32_t width;
};

// Behind what Linux 6.1 names (4.1.4.3).
constexpr std::uint32_t kQueueNotifyData = 0x38;
constexpr std::uint32_t kQueueReset = 0x3a;

constexpr Field kFields[] = {
    {VIRTIO_PCI_COMMON_DFSELECT, 4},
    {VIRTIO_PCI_COMMON_DF, 4},
    {VIRTIO_PCI_COMMON_GFSELECT, 4},
    {VIRTIO_PCI_COMMON_GF, 4},
    {VIRTIO_PCI_COMMON_MSIX, 2},
    {VIRTIO_PCI_COMMON_NUMQ, 2},
    {VIRTIO_PCI_COMMON_STATUS, 1},
    {VIRTIO_PCI_COMMON_CFGGENERATION, 1},
    {VIRTIO_PCI_COMMON_Q_SELECT, 2},
    {VIRTIO_PCI_COMMON_Q_SIZE, 2},
    {VIRTIO_PCI_COMMON_Q_MSIX, 2},
    {VIRTIO_PCI_COMMON_Q_ENABLE, 2},
    {VIRTIO_PCI_COMMON_Q_NOFF, 2},
    {VIRTIO_PCI_COMMON_Q_DESCLO, 8},
    {VIRTIO_PCI_COMMON_Q_AVAILLO, 8},
    {VIRTIO_PCI_COMMON_Q_USEDLO, 8},
    {kQueueNotifyData, 2},
    {kQueueReset, 2},
};

/// What an access reaches: a field, and where in it.
struct Access {
  std::uint32_t field;
  unsigned shift;
  std::uint64_t mask;
};

std::optional<Access> find(std::uint64_t offset, std::size_t length) {
  for (const auto& field : kFields) {
    if (offset == field.offset && length == field.width) {
      return Access{.field = field.offset, .shift = 0, .mask = field.width == 8 ? ~0ULL : (1ULL << 8 * length) - 1};
    }
    const bool half = field.width == 8 && length == 4 && (offset == field.offset || offset == field.offset + 4);
    if (half) {
      const auto shift = static_cast<unsigned>(8 * (offset - field.offset));
      return Access{.field = field.offset, .shift = shift, .mask = 0xffffffffULL << shift};
    }
  }
  return std::nullopt;
}

std::uint32_t half_of(std::uint64_t features, std::uint32_t select) {
  return select < 2 ? static_cast<std::uint32_t>(features >> 32 * select) : 0;
}

}  // namespace

CommonRegisters::CommonRegisters(VirtioDevice& device, VirtioSignals& signals, std::function<bool()> may_start)
    : device_{device}, signals_{signals}, may_start_{std::move(may_start)} {
  reset();
}

void CommonRegisters::read(std::uint64_t offset, std::span<std::byte> data) const {
  std::ranges::fill(data, std::byte{0xff});
  if (const auto access = find(offset, data.size())) store_le(data, value(access->field) >> access->shift);
}

void CommonRegisters::write(std::uint64_t offset, std::span<const std::byte> data) {
  const auto access = find(offset, data.size());
  if (!access) return;
  // What is outside of the mask is the other half of a 64-bit field.
  set(access->field, (load_le(data) << access->shift & access->mask) | (value(access->field) & ~access->mask));
}

std::uint64_t CommonRegisters::value(std::uint32_t field) const {
  switch (field) {
    case VIRTIO_PCI_COMMON_DFSELECT: return device_feature_select_;
    case VIRTIO_PCI_COMMON_DF: return half_of(device_.identity().features, device_feature_select_);
    case VIRTIO_PCI_COMMON_GFSELECT: return driver_feature_select_;
    case VIRTIO_PCI_COMMON_GF: return half_of(driver_features_, driver_feature_select_);
    case VIRTIO_PCI_COMMON_MSIX: return signals_.config_vector();
    case VIRTIO_PCI_COMMON_NUMQ: return queues_.size();
    case VIRTIO_PCI_COMMON_STATUS: return status_ | (signals_.is_broken() ? unsigned{VIRTIO_CONFIG_S_NEEDS_RESET} : 0U);
    case VIRTIO_PCI_COMMON_CFGGENERATION: return signals_.generation();
    case VIRTIO_PCI_COMMON_Q_SELECT: return queue_select_;
    default: return queue_value(field);
  }
}

// A queue that does not exist has size 0, which is how a driver learns of it.
std::uint64_t CommonRegisters::queue_value(std::uint32_t field) const {
  if (queue_select_ >= queues_.size()) return 0;
  const auto& queue = queues_[queue_select_];
  switch (field) {
    case VIRTIO_PCI_COMMON_Q_SIZE: return queue.setup.size;
    case VIRTIO_PCI_COMMON_Q_MSIX: return signals_.queue_vector(queue_select_);
    case VIRTIO_PCI_COMMON_Q_ENABLE: return queue.enabled ? 1 : 0;
    case VIRTIO_PCI_COMMON_Q_NOFF: return signals_.doorbell_index(queue_select_);
    case VIRTIO_PCI_COMMON_Q_DESCLO: return queue.setup.descriptors.value;
    case VIRTIO_PCI_COMMON_Q_AVAILLO: return queue.setup.driver.value;
    case VIRTIO_PCI_COMMON_Q_USEDLO: return queue.setup.device.value;
    default: return 0;  // a queue's reset is over when its register can be read
  }
}

std::uint16_t CommonRegisters::checked_vector(std::uint64_t value) const {
  return value < signals_.vectors() ? static_cast<std::uint16_t>(value) : VirtioSignals::kNoVector;
}

void CommonRegisters::set(std::uint32_t field, std::uint64_t value) {
  switch (field) {
    case VIRTIO_PCI_COMMON_DFSELECT: device_feature_select_ = static_cast<std::uint32_t>(value); break;
    case VIRTIO_PCI_COMMON_GFSELECT: driver_feature_select_ = static_cast<std::uint32_t>(value); break;
    case VIRTIO_PCI_COMMON_GF:
      if ((status_ & VIRTIO_CONFIG_S_FEATURES_OK) == 0 && driver_feature_select_ < 2) {
        const auto shift = 32 * driver_feature_select_;
        driver_features_ = (driver_features_ & ~(0xffffffffULL << shift)) | value << shift;
      }
      break;
    case VIRTIO_PCI_COMMON_MSIX: signals_.set_config_vector(checked_vector(value)); break;
    case VIRTIO_PCI_COMMON_STATUS: set_status(static_cast<std::uint8_t>(value)); break;
    case VIRTIO_PCI_COMMON_Q_SELECT: queue_select_ = static_cast<std::uint16_t>(value); break;
    default: set_queue(field, value); break;
  }
}

void CommonRegisters::set_queue(std::uint32_t field, std::uint64_t value) {
  if (queue_select_ >= queues_.size()) return;
  auto& queue = queues_[queue_select_];
  if (field == kQueueReset && value == 1) reset_queue(queue_select_);
  if (queue.enabled || !queue.changeable) return;
  switch (field) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
      if (value != 0 && value <= queue.most) queue.setup.size = static_cast<std::uint16_t>(value);
      break;
    case VIRTIO_PCI_COMMON_Q_MSIX: signals_.set_queue_vector(queue_select_, checked_vector(value)); break;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
      if (value == 1) enable_queue(queue_select_);
      break;
    case VIRTIO_PCI_COMMON_Q_DESCLO: queue.setup.descriptors = Gpa{value}; break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO: queue.setup.driver = Gpa{value}; break;
    case VIRTIO_PCI_COMMON_Q_USEDLO: queue.setup.device = Gpa{value}; break;
    default: break;
  }
}

bool CommonRegisters::features_acceptable() const {
  return (driver_features_ & ~device_.identity().features) == 0 && negotiated(VIRTIO_F_VERSION_1);
}

void CommonRegisters::set_status(std::uint8_t status) {
  if (status == 0) {
    reset();
    return;
  }
  // Bits are added; NEEDS_RESET is the device's own.
  auto added = static_cast<std::uint8_t>(status & ~status_ & ~VIRTIO_CONFIG_S_NEEDS_RESET);
  if ((added & VIRTIO_CONFIG_S_FEATURES_OK) != 0 && !features_acceptable()) {
    added = static_cast<std::uint8_t>(added & ~VIRTIO_CONFIG_S_FEATURES_OK);
  }
  status_ = static_cast<std::uint8_t>(status_ | added);
  if ((added & VIRTIO_CONFIG_S_DRIVER_OK) != 0) start();
}

void CommonRegisters::start() {
  if ((status_ & VIRTIO_CONFIG_S_FEATURES_OK) == 0) {
    halt(Error::make(Errc::invalid, "DRIVER_OK before FEATURES_OK"));
    return;
  }
  if (!may_start_()) {
    halt(Error::make(Errc::invalid, "DRIVER_OK before Bus Master Enable"));
    return;
  }
  running_ = true;
  for (auto& queue : queues_) queue.changeable = false;
  for (unsigned index = 0; index < queues_.size() && running_; ++index) {
    if (queues_[index].enabled) start_queue(index);
  }
}

void CommonRegisters::start_queue(unsigned index) {
  auto started = device_.start_queue(index, queues_[index].setup, driver_features_);
  if (!started) halt(std::move(started).error().within("queue " + std::to_string(index)));
}

void CommonRegisters::enable_queue(unsigned index) {
  queues_[index].enabled = true;
  if (!running_) return;
  queues_[index].changeable = false;
  start_queue(index);
}

// The driver may give the queue another size and other addresses, and enable it again (2.6.1).
void CommonRegisters::reset_queue(unsigned index) {
  if (!running_ || !negotiated(VIRTIO_F_RING_RESET)) return;
  device_.stop_queue(index);
  auto& queue = queues_[index];
  queue = Queue{.setup = {.size = queue.most}, .most = queue.most};
  signals_.set_queue_vector(index, VirtioSignals::kNoVector);
}

void CommonRegisters::stop() {
  running_ = false;
  for (unsigned index = 0; index < queues_.size(); ++index) device_.stop_queue(index);
}

void CommonRegisters::halt(const Error& reason) {
  stop();
  signals_.broken(reason);
}

void CommonRegisters::reset() {
  stop();
  device_.reset();
  signals_.reset();
  device_feature_select_ = driver_feature_select_ = 0;
  driver_features_ = 0;
  queue_select_ = 0;
  status_ = 0;
  queues_.clear();
  for (const auto most : device_.identity().queues) queues_.push_back({.setup = {.size = most}, .most = most});
}

}  // namespace pcivm::vmm
