// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/pic_chip.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint8_t bit(unsigned line) { return static_cast<std::uint8_t>(1U << line); }
constexpr std::uint8_t without(std::uint8_t lines, std::uint8_t removed) {
  return static_cast<std::uint8_t>(lines & ~removed);
}

constexpr std::uint8_t kIcw1 = 0x10;
constexpr std::uint8_t kIcw1Single = 0x02;
constexpr std::uint8_t kIcw1WantsIcw4 = 0x01;
constexpr std::uint8_t kIcw4AutoEoi = 0x02;
constexpr std::uint8_t kIcw4FullyNested = 0x10;
constexpr std::uint8_t kOcw3 = 0x08;
constexpr std::uint8_t kOcw3Poll = 0x04;
constexpr std::uint8_t kOcw3ReadRegister = 0x02;
constexpr std::uint8_t kOcw3InService = 0x01;
constexpr std::uint8_t kOcw3SetMaskMode = 0x40;
constexpr std::uint8_t kOcw3SpecialMask = 0x20;

}  // namespace

void PicChip::set(unsigned line, bool asserted) {
  const auto mask = bit(line % 8);
  const bool rises = asserted && (inputs_ & mask) == 0;
  inputs_ = asserted ? inputs_ | mask : without(inputs_, mask);
  if ((level_lines() & mask) != 0) {
    state_.requested = asserted ? state_.requested | mask : without(state_.requested, mask);
  } else if (rises) {
    // Kept when the line falls before INTA, where the chip would give a spurious IR7: an edge is never lost to a
    // guest that is slow to acknowledge.
    state_.requested |= mask;
  }
}

std::optional<unsigned> PicChip::highest(std::uint8_t lines) const {
  for (unsigned step = 1; step <= 8; ++step) {
    const unsigned line = (state_.lowest + step) % 8U;
    if ((lines & bit(line)) != 0) return line;
  }
  return std::nullopt;
}

std::optional<unsigned> PicChip::pending() const {
  const auto line = highest(without(state_.requested, state_.masked));
  if (!line || state_.init != Init::done) return std::nullopt;
  std::uint8_t blocking = state_.in_service;
  if (state_.special_mask) blocking = without(blocking, state_.masked);
  // Special fully nested mode: the slave may interrupt again while it is in service (231468, "Special Fully Nested").
  if (state_.special_fully_nested) blocking = without(blocking, fixed_level_);
  const auto current = highest(blocking);
  if (current && rank(*current) <= rank(*line)) return std::nullopt;
  return line;
}

std::uint8_t PicChip::acknowledge(unsigned line) {
  if ((level_lines() & bit(line)) == 0) state_.requested = without(state_.requested, bit(line));
  if (!state_.auto_eoi) {
    state_.in_service |= bit(line);
  } else if (state_.rotate_on_auto_eoi) {
    state_.lowest = static_cast<std::uint8_t>(line);
  }
  return static_cast<std::uint8_t>(state_.vector_base | line);
}

std::uint8_t PicChip::read_command() {
  if (state_.poll) {
    state_.poll = false;
    const auto line = pending();
    if (!line) return 0;
    acknowledge(*line);
    return static_cast<std::uint8_t>(0x80U | *line);
  }
  return state_.read_in_service ? state_.in_service : state_.requested;
}

void PicChip::write_command(std::uint8_t value) {
  if ((value & kIcw1) != 0) {
    start_init(value);
  } else if ((value & kOcw3) != 0) {
    state_.poll = (value & kOcw3Poll) != 0;
    if ((value & kOcw3ReadRegister) != 0) state_.read_in_service = (value & kOcw3InService) != 0;
    if ((value & kOcw3SetMaskMode) != 0) state_.special_mask = (value & kOcw3SpecialMask) != 0;
  } else {
    end_of_interrupt(value);
  }
}

void PicChip::start_init(std::uint8_t icw1) {
  // The edge latches are cleared: a line that stays high must fall and rise again (231468, "ICW1").
  state_ = {.requested = static_cast<std::uint8_t>(inputs_ & level_lines()),
            .elcr = state_.elcr,
            .vector_base = state_.vector_base,
            .init = Init::icw2,
            .single = (icw1 & kIcw1Single) != 0,
            .wants_icw4 = (icw1 & kIcw1WantsIcw4) != 0};
}

void PicChip::end_of_interrupt(std::uint8_t ocw2) {
  const auto named = static_cast<std::uint8_t>(ocw2 & 7U);
  const auto newest = highest(state_.special_mask ? without(state_.in_service, state_.masked) : state_.in_service);
  switch (ocw2 >> 5U) {
    case 0: state_.rotate_on_auto_eoi = false; break;
    case 4: state_.rotate_on_auto_eoi = true; break;
    case 1:
    case 5:
      if (!newest) break;
      state_.in_service = without(state_.in_service, bit(*newest));
      if (ocw2 >> 5U == 5) state_.lowest = static_cast<std::uint8_t>(*newest);
      break;
    case 3: state_.in_service = without(state_.in_service, bit(named)); break;
    case 7:
      state_.in_service = without(state_.in_service, bit(named));
      state_.lowest = named;
      break;
    case 6: state_.lowest = named; break;
    default: break;  // 2: no operation
  }
}

void PicChip::write_data(std::uint8_t value) {
  const auto after_icw3 = state_.wants_icw4 ? Init::icw4 : Init::done;
  switch (state_.init) {
    case Init::done: state_.masked = value; break;
    case Init::icw2:
      state_.vector_base = value & 0xf8U;
      state_.init = state_.single ? after_icw3 : Init::icw3;
      break;
    case Init::icw3: state_.init = after_icw3; break;  // the cascade is wired, not programmed
    case Init::icw4:
      state_.auto_eoi = (value & kIcw4AutoEoi) != 0;
      state_.special_fully_nested = (value & kIcw4FullyNested) != 0;
      state_.init = Init::done;
      break;
  }
}

void PicChip::write_elcr(std::uint8_t value) {
  state_.elcr = value & elcr_mask_;
  const auto levels = level_lines();
  state_.requested = without(state_.requested, levels) | (inputs_ & levels);
}

void PicChip::reset() {
  state_ = {};
  state_.requested = inputs_ & fixed_level_;
}

}  // namespace pcivm::vmm
