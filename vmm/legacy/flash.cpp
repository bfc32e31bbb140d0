// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/flash.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/units.hpp"

namespace pcivm::vmm {

namespace {

enum Command : std::uint8_t {
  program_old = 0x10,
  erase_block = 0x20,
  program_byte = 0x40,
  clear_status = 0x50,
  read_status = 0x70,
  erase_confirm = 0xd0,
  read_array = 0xff,
};

}  // namespace

void Flash::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::scoped_lock lock{mutex_};
  if (mode_ != Mode::array) {
    std::ranges::fill(data, std::byte{status_});
  } else if (fits(offset, data.size(), wiring_.contents.size())) {
    std::ranges::copy(wiring_.contents.subspan(offset, data.size()), data.begin());
  } else {
    std::ranges::fill(data, std::byte{0xff});
  }
}

void Flash::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::scoped_lock lock{mutex_};
  for (const auto byte : data) {
    const auto value = std::to_integer<std::uint8_t>(byte);
    switch (std::exchange(mode_, mode_ == Mode::array ? Mode::array : Mode::status)) {
      case Mode::array:
      case Mode::status: command(value); break;
      case Mode::program: program(offset, byte); break;
      case Mode::erase:
        if (value == erase_confirm) erase(offset);
        if (value == read_array) command(value);
        break;
    }
    ++offset;
  }
}

void Flash::command(std::uint8_t value) {
  switch (value) {
    case program_old:
    case program_byte: return enter(Mode::program);
    case erase_block: return enter(Mode::erase);
    // Firmware tells a chip from RAM and ROM by a status of zero after this, so the ready bit goes as well.
    case clear_status:
      save();
      status_ = 0;
      return enter(Mode::array);
    case read_status: return enter(Mode::status);
    default: save(); return enter(Mode::array);
  }
}

void Flash::enter(Mode mode) {
  const bool was_array = std::exchange(mode_, mode) == Mode::array;
  if (was_array != (mode == Mode::array) && wiring_.array_mode) wiring_.array_mode(mode == Mode::array);
}

// Takes any value, not only one with fewer bits set, as the chip does that firmware for virtual machines is tested
// with.
void Flash::program(std::uint64_t offset, std::byte value) {
  status_ |= kReady;
  if (offset >= wiring_.contents.size()) return;
  wiring_.contents[offset] = value;
  if (changed_begin_ >= changed_end_) changed_begin_ = changed_end_ = offset;
  changed_begin_ = std::min(changed_begin_, offset);
  changed_end_ = std::max(changed_end_, offset + 1);
}

void Flash::erase(std::uint64_t offset) {
  status_ |= kReady;
  save();
  const auto begin = align_down(offset, kBlock);
  if (begin >= wiring_.contents.size()) return;
  const auto length = std::min<std::uint64_t>(kBlock, wiring_.contents.size() - begin);
  std::ranges::fill(wiring_.contents.subspan(begin, length), std::byte{0xff});
  changed_begin_ = begin;
  changed_end_ = begin + length;
  save();
}

void Flash::save() {
  if (changed_begin_ >= changed_end_) return;
  const auto part = wiring_.contents.subspan(changed_begin_, changed_end_ - changed_begin_);
  auto done = pwrite_exact(wiring_.file.ref(), changed_begin_, part);
  if (done && ::fdatasync(wiring_.file.ref().number()) != 0) done = fail_errno(errno, "fdatasync");
  changed_begin_ = changed_end_ = 0;
  if (done) return;
  status_ |= kProgramFailed | kEraseFailed;
  if (wiring_.report) wiring_.report(std::move(done).error().within("the firmware's variables are not saved"));
}

void Flash::reset() {
  const std::scoped_lock lock{mutex_};
  save();
  mode_ = Mode::array;
  status_ = kReady;
}

}  // namespace pcivm::vmm
