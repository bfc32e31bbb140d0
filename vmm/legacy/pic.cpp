// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/pic.hpp"

#include <tuple>

#include "vmm/platform.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kCascade = 2;

bool is_elcr(std::uint16_t port) { return port == platform::port::kElcr || port == platform::port::kElcr + 1; }
bool is_data(std::uint16_t port) { return (port & 1U) != 0; }

}  // namespace

bool Pic::settle() {
  master_.set(kCascade, slave_.pending().has_value());
  const bool before = std::exchange(output_, master_.pending().has_value());
  return output_ && !before;
}

void Pic::notify(bool rose) const {
  if (rose && callbacks_.on_interrupt) callbacks_.on_interrupt();
}

void Pic::set(unsigned irq, bool asserted) {
  if (irq == kCascade || irq > 15) return;
  const bool rose = [&] {
    const std::scoped_lock lock{mutex_};
    (irq < 8 ? master_ : slave_).set(irq % 8, asserted);
    return settle();
  }();
  notify(rose);
}

bool Pic::pending() const {
  const std::scoped_lock lock{mutex_};
  return output_;
}

std::uint8_t Pic::acknowledge() {
  const std::scoped_lock lock{mutex_};
  const auto line = master_.pending();
  if (!line) return master_.spurious();
  auto vector = master_.acknowledge(*line);
  if (*line == kCascade) {
    const auto slave_line = slave_.pending();
    vector = slave_line ? slave_.acknowledge(*slave_line) : slave_.spurious();
  }
  // A request that is left raises INTR anew; the caller asks pending() and needs no call.
  std::ignore = settle();
  return vector;
}

bool Pic::masked(unsigned irq) const {
  const std::scoped_lock lock{mutex_};
  return (unsigned{(irq < 8 ? master_ : slave_).read_data()} >> (irq % 8) & 1U) != 0;
}

PicChip& Pic::chip(std::uint16_t port) {
  if (is_elcr(port)) return port == platform::port::kElcr ? master_ : slave_;
  return (port & 0x80U) == 0 ? master_ : slave_;
}

std::uint8_t Pic::read(std::uint16_t port) {
  std::uint8_t value{};
  const bool rose = [&] {
    const std::scoped_lock lock{mutex_};
    auto& target = chip(port);
    if (is_elcr(port)) {
      value = target.elcr();
    } else {
      value = is_data(port) ? target.read_data() : target.read_command();
    }
    return settle();  // a poll acknowledges
  }();
  notify(rose);
  return value;
}

void Pic::write(std::uint16_t port, std::uint8_t value) {
  bool masks_changed{};
  const bool rose = [&] {
    const std::scoped_lock lock{mutex_};
    auto& target = chip(port);
    const auto before = target.read_data();
    if (is_elcr(port)) {
      target.write_elcr(value);
    } else if (is_data(port)) {
      target.write_data(value);
    } else {
      target.write_command(value);
    }
    masks_changed = target.read_data() != before;
    return settle();
  }();
  notify(rose);
  if (masks_changed && callbacks_.on_mask_change) callbacks_.on_mask_change();
}

void Pic::reset() {
  const std::scoped_lock lock{mutex_};
  master_.reset();
  slave_.reset();
  output_ = false;
  std::ignore = settle();
}

}  // namespace pcivm::vmm
