// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/pci_transport.hpp"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include <algorithm>
#include <utility>

#include "base/pci_config.hpp"
#include "base/units.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint16_t kVendor = 0x1af4;
constexpr std::uint16_t kFirstDevice = 0x1040;  // plus the type (4.1.2)
constexpr std::uint16_t kSubsystem = 0x1100;    // above 0x40: no transitional device
constexpr std::uint8_t kModernRevision = 1;

// The BAR: each structure has pages of its own.
constexpr std::uint64_t kBarSize = 0x8000;
constexpr std::uint32_t kCommon = 0x0000;
constexpr std::uint32_t kIsr = 0x1000;
constexpr std::uint32_t kDevice = 0x2000;
constexpr std::uint32_t kNotify = 0x3000;
constexpr std::uint32_t kTable = 0x4000;
constexpr std::uint32_t kPending = 0x6000;
constexpr std::uint32_t kStructure = 0x1000;
constexpr std::uint32_t kNotifyStep = 4;

// Configuration space.
constexpr std::uint8_t kMsixCapability = 0x40;
constexpr std::uint8_t kFirstStructure = 0x4c;
constexpr std::uint8_t kWindowData = sizeof(virtio_pci_cap);
constexpr std::uint16_t kCommandBits =
    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_PARITY | PCI_COMMAND_SERR;

std::vector<FdRef> events_of(const VirtioSignals& signals) {
  std::vector<FdRef> events;
  for (unsigned vector = 0; vector < signals.vectors(); ++vector) events.push_back(signals.vector_event(vector));
  return events;
}

MsixLayout layout_of(const VirtioSignals& signals) {
  const auto entries = signals.vectors();
  return {
      .capability = kMsixCapability,
      .entries = entries,
      .table = {.bar = VirtioPciTransport::kBar, .area = {.offset = kTable, .length = entries * PCI_MSIX_ENTRY_SIZE}},
      .pending = {.bar = VirtioPciTransport::kBar, .area = {.offset = kPending, .length = (entries + 63U) / 64U * 8U}}};
}

}  // namespace

BarRequest VirtioPciTransport::bar_request() {
  return {.index = kBar, .size = kBarSize, .io = false, .is_64bit = true, .prefetchable = false};
}

VirtioPciTransport::VirtioPciTransport(std::unique_ptr<VirtioSignals> signals, std::unique_ptr<VirtioDevice> device,
                                       const VirtioWiring& wiring)
    : signals_{std::move(signals)},
      device_{std::move(device)},
      wiring_{wiring},
      report_{[this](const Error& error) { signals_->report(error); }},
      bar_{bar_request(),
           {.memory = wiring_.memory, .may_decode = wiring_.may_decode, .handler = *this, .report = report_}},
      common_{*device_, *signals_, [this] { return (command_ & PCI_COMMAND_MASTER) != 0; }},
      vectors_{events_of(*signals_), wiring_.routes, report_},
      msix_{layout_of(*signals_), vectors_} {
  build_config();
}

VirtioPciTransport::~VirtioPciTransport() { reset(); }

void VirtioPciTransport::report(Result<void> outcome) const {
  if (!outcome) report_(outcome.error());
}

void VirtioPciTransport::place_bar(unsigned index, std::uint64_t address) {
  const std::scoped_lock lock{mutex_};
  bar_.place(index, address);
}

void VirtioPciTransport::build_config() {
  const auto& identity = device_->identity();
  config_store(config_, PCI_VENDOR_ID, 2, kVendor);
  config_store(config_, PCI_DEVICE_ID, 2, kFirstDevice + identity.type);
  config_store(config_, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  config_store(config_, PCI_CLASS_REVISION, 4, identity.pci_class << 8U | kModernRevision);
  config_store(config_, PCI_SUBSYSTEM_VENDOR_ID, 2, kVendor);
  config_store(config_, PCI_SUBSYSTEM_ID, 2, kSubsystem);
  config_store(config_, PCI_CAPABILITY_LIST, 1, kMsixCapability);
  config_store(config_, PCI_INTERRUPT_PIN, 1, 1);

  config_store(config_, kMsixCapability, 1, PCI_CAP_ID_MSIX);
  config_store(config_, kMsixCapability + 1, 1, kFirstStructure);
  config_store(config_, kMsixCapability + PCI_MSIX_TABLE, 4, kTable | kBar);
  config_store(config_, kMsixCapability + PCI_MSIX_PBA, 4, kPending | kBar);

  auto at = add_structure(kFirstStructure, VIRTIO_PCI_CAP_COMMON_CFG, kCommon, CommonRegisters::kLength);
  at = add_structure(at, VIRTIO_PCI_CAP_ISR_CFG, kIsr, 1);
  if (identity.config_length != 0) at = add_structure(at, VIRTIO_PCI_CAP_DEVICE_CFG, kDevice, identity.config_length);
  const auto notify = at;
  at = add_structure(at, VIRTIO_PCI_CAP_NOTIFY_CFG, kNotify, signals_->doorbells() * kNotifyStep);
  config_store(config_, notify + sizeof(virtio_pci_cap), 4, kNotifyStep);
  window_ = at;
  (void)add_structure(at, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
  config_store(config_, window_ + VIRTIO_PCI_CAP_NEXT, 1, 0);
}

// Returns where the next one goes; a doorbell multiplier or a data window follows the structure in two of them.
std::uint8_t VirtioPciTransport::add_structure(std::uint8_t at, std::uint8_t type, std::uint32_t offset,
                                               std::uint32_t length) {
  const bool longer = type == VIRTIO_PCI_CAP_NOTIFY_CFG || type == VIRTIO_PCI_CAP_PCI_CFG;
  const auto size = static_cast<std::uint8_t>(sizeof(virtio_pci_cap) + (longer ? 4 : 0));
  const auto next = static_cast<std::uint8_t>(at + size);
  config_store(config_, at + VIRTIO_PCI_CAP_VNDR, 1, PCI_CAP_ID_VNDR);
  config_store(config_, at + VIRTIO_PCI_CAP_NEXT, 1, next);
  config_store(config_, at + VIRTIO_PCI_CAP_LEN, 1, size);
  config_store(config_, at + VIRTIO_PCI_CAP_CFG_TYPE, 1, type);
  config_store(config_, at + VIRTIO_PCI_CAP_BAR, 1, kBar);
  config_store(config_, at + VIRTIO_PCI_CAP_OFFSET, 4, offset);
  config_store(config_, at + VIRTIO_PCI_CAP_LENGTH, 4, length);
  return next;
}

std::byte VirtioPciTransport::config_byte(std::uint16_t offset) const {
  if (offset >= PCI_COMMAND && offset < PCI_COMMAND + 2) return byte_of(command_, offset, PCI_COMMAND);
  if (offset == PCI_STATUS && signals_->intx_asserted()) return config_[offset] | std::byte{PCI_STATUS_INTERRUPT};
  if (TrappedBar::covers(offset)) return bar_.read(offset);
  const unsigned control = kMsixCapability + PCI_MSIX_FLAGS;
  if (offset >= control && offset < control + 2) return byte_of(msix_.control(), offset, control);
  return config_[offset];
}

void VirtioPciTransport::config_read(std::uint16_t offset, std::span<std::byte> data) {
  const std::scoped_lock lock{mutex_};
  std::ranges::fill(data, std::byte{0});  // no extended configuration space
  if (offset + data.size() > config_.size()) return;
  if (offset == window_ + kWindowData) {
    read_window(data);
    return;
  }
  for (std::size_t index = 0; index < data.size(); ++index) {
    data[index] = config_byte(static_cast<std::uint16_t>(offset + index));
  }
}

// `data` stays inside a dword, so it reaches one register or one pair of them.
void VirtioPciTransport::config_write(std::uint16_t offset, std::span<const std::byte> data) {
  const std::scoped_lock lock{mutex_};
  if (offset + data.size() > config_.size()) return;
  const auto write = DwordWrite::of(offset, data);
  const auto dword = write.dword;
  if (dword == PCI_COMMAND) {
    write_command(static_cast<std::uint16_t>(write.merged(command_)));
  } else if (TrappedBar::covers(dword)) {
    bar_.write(write);
    decode();
  } else if (dword == PCI_INTERRUPT_LINE && offset == PCI_INTERRUPT_LINE) {
    config_[offset] = data.front();
  } else if (dword == kMsixCapability) {
    write_msix_control(static_cast<std::uint16_t>(write.merged(std::uint32_t{msix_.control()} << 16U) >> 16U));
  } else if (offset == window_ + kWindowData) {
    write_window(data);
  } else if (dword == window_ + VIRTIO_PCI_CAP_OFFSET || dword == window_ + VIRTIO_PCI_CAP_LENGTH) {
    std::ranges::copy(data, config_.begin() + offset);
  } else if (offset == window_ + VIRTIO_PCI_CAP_BAR) {
    config_[offset] = data.front();
  }
}

void VirtioPciTransport::decode_again() {
  const std::scoped_lock lock{mutex_};
  decode();
}

void VirtioPciTransport::write_command(std::uint16_t value) {
  const bool had_master = (command_ & PCI_COMMAND_MASTER) != 0;
  command_ = value & kCommandBits;
  signals_->allow_intx((command_ & PCI_COMMAND_INTX_DISABLE) == 0);
  // A device without bus mastering reaches no memory; what it was doing is lost.
  if (had_master && (command_ & PCI_COMMAND_MASTER) == 0 && common_.running()) {
    common_.halt(Error::make(Errc::invalid, "Bus Master Enable was taken away"));
  }
  decode();
}

void VirtioPciTransport::write_msix_control(std::uint16_t value) {
  msix_.write_control(value);
  signals_->use_msix((msix_.control() & PCI_MSIX_FLAGS_ENABLE) != 0);
}

// An access to the BAR through configuration space (4.1.4.9), for firmware that cannot reach memory.
std::optional<std::uint32_t> VirtioPciTransport::window_offset(std::size_t length) const {
  const auto offset = config_u32(config_, window_ + VIRTIO_PCI_CAP_OFFSET);
  const bool possible = config_u8(config_, window_ + VIRTIO_PCI_CAP_BAR) == kBar &&
                        config_u32(config_, window_ + VIRTIO_PCI_CAP_LENGTH) == length && offset % length == 0 &&
                        fits(offset, length, kBarSize);
  return possible ? std::optional{offset} : std::nullopt;
}

void VirtioPciTransport::read_window(std::span<std::byte> data) {
  if (const auto offset = window_offset(data.size())) bar_read(*offset, data);
}

void VirtioPciTransport::write_window(std::span<const std::byte> data) {
  if (const auto offset = window_offset(data.size())) bar_write(*offset, data);
}

void VirtioPciTransport::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::scoped_lock lock{mutex_};
  bar_read(offset, data);
}

// A doorbell that KVM does not catch needs no lock: nothing but an eventfd is behind it.
void VirtioPciTransport::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kNotify && offset < kNotify + kStructure) {
    ring(offset - kNotify);
    return;
  }
  const std::scoped_lock lock{mutex_};
  bar_write(offset, data);
}

void VirtioPciTransport::bar_read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  const auto length = device_->identity().config_length;
  if (offset < kIsr) {
    common_.read(offset, data);
  } else if (offset == kIsr && data.size() == 1) {
    data.front() = std::byte{signals_->take_isr()};
  } else if (offset >= kDevice && offset < kNotify && fits(offset - kDevice, data.size(), length)) {
    device_->read_config(static_cast<std::uint32_t>(offset - kDevice), data);
  } else if (offset >= kTable && offset < kPending) {
    msix_.read_table(offset - kTable, data);
  } else if (offset >= kPending) {
    msix_.read_pending(offset - kPending, data);
  }
}

void VirtioPciTransport::bar_write(std::uint64_t offset, std::span<const std::byte> data) {
  const auto length = device_->identity().config_length;
  if (offset < kIsr) {
    common_.write(offset, data);
    follow_doorbells();
  } else if (offset >= kDevice && offset < kNotify && fits(offset - kDevice, data.size(), length)) {
    device_->write_config(static_cast<std::uint32_t>(offset - kDevice), data);
  } else if (offset >= kNotify && offset < kNotify + kStructure) {
    ring(offset - kNotify);
  } else if (offset >= kTable && offset < kPending) {
    msix_.write_table(offset - kTable, data);
  }
}

void VirtioPciTransport::ring(std::uint64_t offset) {
  const auto index = offset / kNotifyStep;
  if (offset % kNotifyStep == 0 && index < signals_->doorbells()) {
    signal_eventfd(signals_->doorbell(static_cast<unsigned>(index)));
  }
}

void VirtioPciTransport::decode() {
  bar_.decode((command_ & PCI_COMMAND_MEMORY) != 0, name());
  follow_doorbells();
}

// Attached when they matter: each costs KVM a grace period.
void VirtioPciTransport::follow_doorbells() {
  const auto wanted = common_.running() ? bar_.decoded() : std::nullopt;
  if (listening_ == wanted) return;
  const auto each = [this](std::uint64_t base, auto&& change) {
    for (unsigned index = 0; index < signals_->doorbells(); ++index) {
      report(change(Gpa{base + kNotify + index * kNotifyStep}, signals_->doorbell(index)));
    }
  };
  // One that is not attached traps, which works as well.
  if (listening_) each(*listening_, [this](Gpa at, FdRef event) { return wiring_.doorbells.detach(at, event); });
  if (wanted) each(*wanted, [this](Gpa at, FdRef event) { return wiring_.doorbells.attach(at, event); });
  listening_ = wanted;
}

void VirtioPciTransport::reset() {
  const std::scoped_lock lock{mutex_};
  common_.reset();
  msix_.reset();
  signals_->use_msix(false);
  write_command(0);
  bar_.reset();
  config_[PCI_INTERRUPT_LINE] = std::byte{0};
}

}  // namespace pcivm::vmm
