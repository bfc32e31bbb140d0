// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/ps2_mouse.hpp"

#include <utility>

namespace pcivm::vmm {

namespace {

enum MouseCommand : std::uint8_t {
  scaling_1_1 = 0xe6,
  scaling_2_1 = 0xe7,
  set_resolution = 0xe8,
  request_status = 0xe9,
  stream_mode = 0xea,
  read_data = 0xeb,
  end_wrap = 0xec,
  begin_wrap = 0xee,
  remote_mode = 0xf0,
  identify = 0xf2,
  set_rate = 0xf3,
  enable_reporting = 0xf4,
  disable_reporting = 0xf5,
  set_defaults = 0xf6,
  resend = 0xfe,
  reset_mouse = 0xff,
};
constexpr std::uint8_t kAck = 0xfa;
constexpr std::uint8_t kResend = 0xfe;
constexpr std::uint8_t kTestPassed = 0xaa;
constexpr std::uint8_t kStandardMouse = 0x00;
constexpr std::uint8_t kFirstByte = 0x08;  // of a movement: always 1

}  // namespace

std::uint8_t Ps2Mouse::status() const {
  return static_cast<std::uint8_t>((remote_ ? 0x40 : 0) | (reporting_ ? 0x20 : 0) | (scaling_ ? 0x10 : 0));
}

void Ps2Mouse::receive(std::uint8_t value, const std::function<void(std::uint8_t)>& reply) {
  if (wrap_ && value != end_wrap && value != reset_mouse) return reply(value);
  switch (std::exchange(waiting_, std::uint8_t{0})) {
    case set_resolution: resolution_ = value & 3U; return reply(kAck);
    case set_rate: rate_ = value; return reply(kAck);
    default: break;
  }
  switch (value) {
    case scaling_1_1:
    case scaling_2_1: scaling_ = value == scaling_2_1; return reply(kAck);
    case set_resolution:
    case set_rate: waiting_ = value; return reply(kAck);
    case request_status:
      reply(kAck);
      reply(status());
      reply(resolution_);
      return reply(rate_);
    case stream_mode:
    case remote_mode: remote_ = value == remote_mode; return reply(kAck);
    case read_data:
      for (const std::uint8_t each : {kAck, kFirstByte, std::uint8_t{0}, std::uint8_t{0}}) reply(each);
      return;
    case begin_wrap:
    case end_wrap: wrap_ = value == begin_wrap; return reply(kAck);
    case identify: reply(kAck); return reply(kStandardMouse);
    case enable_reporting:
    case disable_reporting: reporting_ = value == enable_reporting; return reply(kAck);
    case set_defaults: reset(); return reply(kAck);
    case reset_mouse:
      reset();
      for (const auto each : {kAck, kTestPassed, kStandardMouse}) reply(each);
      return;
    default: return reply(kResend);
  }
}

}  // namespace pcivm::vmm
