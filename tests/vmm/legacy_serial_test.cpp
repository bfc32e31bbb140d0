// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/serial.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/vmm/legacy_fakes.hpp"

namespace pcivm::vmm {
namespace {

class SerialPort : public testing::Test {
 protected:
  void put(unsigned index, std::uint8_t value) { uart.write(static_cast<std::uint16_t>(0x3f8 + index), value); }
  std::uint8_t get(unsigned index) { return uart.read(static_cast<std::uint16_t>(0x3f8 + index)); }
  std::size_t type(std::string_view text) { return uart.receive(std::as_bytes(std::span{text})); }
  /// FIFO on with a trigger level of 8, OUT2 connects the interrupt, as Linux does.
  void open() {
    put(2, 0x81);
    put(4, 0x0b);
  }
  std::string sent;
  int notices{};
  test::FakeLine line;
  Serial uart{line,
              {.output =
                   [this](std::span<const std::byte> data) {
                     for (const auto byte : data) sent.push_back(static_cast<char>(byte));
                   },
               .can_receive = [this] { ++notices; }}};
};

TEST_F(SerialPort, SendsWhatIsWritten) {
  for (const char letter : {'h', 'i', '\n'}) put(0, static_cast<std::uint8_t>(letter));
  EXPECT_EQ(sent, "hi\n");
  EXPECT_EQ(get(5), 0x60);
}

TEST_F(SerialPort, DivisorLatchHidesDataAndInterruptEnable) {
  put(1, 0x05);
  put(3, 0x83);
  EXPECT_EQ(get(0), 12);
  put(0, 0x01);
  put(1, 0x02);
  EXPECT_EQ(get(0), 0x01);
  EXPECT_EQ(get(1), 0x02);
  put(3, 0x03);
  EXPECT_EQ(get(1), 0x05);
  EXPECT_EQ(sent, "");
}

TEST_F(SerialPort, InterruptEnableKeepsFourBits) {
  put(1, 0xff);
  EXPECT_EQ(get(1), 0x0f);
}

TEST_F(SerialPort, ScratchRegisterTellsThatThereIsAUart) {
  put(7, 0x5a);
  EXPECT_EQ(get(7), 0x5a);
}

TEST_F(SerialPort, FifoIsAnnouncedAs16550A) {
  EXPECT_EQ(get(2), 0x01);
  put(2, 0x01);
  EXPECT_EQ(get(2), 0xc1);
}

TEST_F(SerialPort, EnablingTransmitterEmptyInterruptRaisesIt) {
  open();
  put(1, 0x02);
  EXPECT_TRUE(line.asserted);
  EXPECT_EQ(get(2), 0xc2);
  EXPECT_FALSE(line.asserted) << "reading IIR ends it";
  EXPECT_EQ(get(2), 0xc1);
  put(0, 'x');
  EXPECT_TRUE(line.asserted);
}

TEST_F(SerialPort, ReceivesInOrderAndInterrupts) {
  open();
  put(1, 0x01);
  EXPECT_EQ(type("ab"), 2U);
  EXPECT_TRUE(line.asserted);
  EXPECT_EQ(get(2), 0xcc) << "below the trigger level: timeout";
  EXPECT_EQ(get(5), 0x61);
  EXPECT_EQ(get(0), 'a');
  EXPECT_TRUE(line.asserted);
  EXPECT_EQ(get(0), 'b');
  EXPECT_FALSE(line.asserted);
  EXPECT_EQ(get(5), 0x60);
}

TEST_F(SerialPort, ReachingTheTriggerLevelIsReceivedData) {
  open();
  put(1, 0x01);
  EXPECT_EQ(type("12345678"), 8U);
  EXPECT_EQ(get(2), 0xc4);
}

TEST_F(SerialPort, TakesSixteenBytesAndAsksForMoreWhenEmpty) {
  open();
  EXPECT_EQ(type("0123456789abcdefXYZ"), 16U);
  EXPECT_EQ(type("X"), 0U);
  for (int count = 0; count < 15; ++count) get(0);
  EXPECT_EQ(notices, 0);
  EXPECT_EQ(get(0), 'f');
  EXPECT_EQ(notices, 1);
  EXPECT_EQ(type("X"), 1U);
  EXPECT_EQ(get(0), 'X');
  EXPECT_EQ(notices, 1) << "nothing was refused since";
}

TEST_F(SerialPort, WithoutFifoHoldsOneByte) {
  EXPECT_EQ(type("ab"), 1U);
  EXPECT_EQ(get(0), 'a');
  EXPECT_EQ(get(0), 0);
}

TEST_F(SerialPort, ClearingTheFifoMakesRoom) {
  open();
  EXPECT_EQ(type("0123456789abcdefX"), 16U);
  put(2, 0x83);
  EXPECT_EQ(notices, 1);
  EXPECT_EQ(get(5), 0x60);
}

TEST_F(SerialPort, LoopbackReturnsDataAndModemOutputs) {
  put(4, 0x1a);  // as Linux' autoconfig: loop, OUT2, RTS
  EXPECT_EQ(get(6) & 0xf0, 0x90);
  put(0, 'z');
  EXPECT_EQ(sent, "");
  EXPECT_EQ(get(0), 'z');
  EXPECT_EQ(type("a"), 0U) << "the wire is disconnected";
  put(4, 0x0b);
  EXPECT_EQ(notices, 1);
}

TEST_F(SerialPort, LoopbackOverrunIsReportedOnce) {
  put(4, 0x10);
  put(0, 'a');
  put(0, 'b');
  EXPECT_EQ(get(5), 0x63);
  EXPECT_EQ(get(5), 0x61);
  EXPECT_EQ(get(0), 'a');
}

TEST_F(SerialPort, ModemStatusChangesInterruptAndClearWhenRead) {
  put(1, 0x08);
  put(4, 0x10);  // CTS, DSR, DCD fall
  put(4, 0x08);  // and rise
  EXPECT_TRUE(line.asserted);
  EXPECT_EQ(get(2), 0x00);
  EXPECT_EQ(get(6), 0xbb);
  EXPECT_EQ(get(6), 0xb0);
  EXPECT_FALSE(line.asserted);
}

TEST_F(SerialPort, InterruptNeedsOut2) {
  put(1, 0x02);
  EXPECT_FALSE(line.asserted);
  put(4, 0x08);
  EXPECT_TRUE(line.asserted);
}

TEST_F(SerialPort, ResetEmptiesEverything) {
  open();
  put(1, 0x03);
  EXPECT_EQ(type("abc"), 3U);
  uart.reset();
  EXPECT_FALSE(line.asserted);
  EXPECT_EQ(get(5), 0x60);
  EXPECT_EQ(get(1), 0x00);
}

}  // namespace
}  // namespace pcivm::vmm
