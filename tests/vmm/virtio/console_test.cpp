// SPDX-License-Identifier: GPL-2.0-or-later
// The console and its named ports: a driver that behaves, one that does not, and clients of all kinds.
#include "vmm/virtio/console.hpp"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <string>

#include "base/socket.hpp"
#include "tests/vmm/virtio/loop_devices.hpp"

namespace pcivm::vmm {
namespace {

using test::IsOk;
using test::SplitDriver;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kData = 16 * kMiB;
constexpr std::uint64_t kMultiport = 1ULL << VIRTIO_CONSOLE_F_MULTIPORT;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span{text}); }

std::string all_of(const Fd& fd) {
  std::string text;
  std::array<char, 65536> chunk{};
  for (;;) {
    const auto count = ::recv(fd.ref().number(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (count <= 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(count));
  }
}

/// A console, and ports "agent" and "data".
class ConsoleDevice : public test::LoopDevices {
 protected:
  void SetUp() override {
    (void)std::signal(SIGPIPE, SIG_IGN);
    make({.terminal = true, .ports = {}}, {"agent", "data"});
  }
  void make(ConsoleConfig config, const std::vector<std::string>& names) {
    device_.reset();
    channels_.clear();
    for (const auto& name : names) {
      auto [ours, vmms] = make_packet_sockets().value();
      channels_.push_back(std::move(ours));
      config.ports.push_back({.name = name, .channel = std::move(vmms)});
    }
    queues_ = static_cast<unsigned>(VirtioConsole::describe(config).queues.size());
    make_signals(queues_);
    device_ = VirtioConsole::create(std::move(config), *loop_, memory_, *signals_,
                                    {.output =
                                         [this](std::span<const std::byte> data) {
                                           for (const auto byte : data) said_ += static_cast<char>(byte);
                                         },
                                     .can_receive = [this] { ++room_; }})
                  .value();
  }
  SplitDriver& driver(unsigned queue) {
    auto& driver = drivers_[queue];
    if (!driver) driver = std::make_unique<SplitDriver>(memory_, std::uint16_t{8}, queue * 0x30000ULL);
    return *driver;
  }
  void start(unsigned queue, std::uint64_t features = kMultiport) {
    ASSERT_THAT(device_->start_queue(queue, driver(queue).setup(), features), IsOk());
    turns();
  }
  void turns() {
    for (int round = 0; round < 6; ++round) turn();
  }
  void ring() {
    signal_eventfd(signals_->doorbell(0));
    turns();
  }
  // The driver's side of a queue.
  std::uint64_t place(std::uint32_t length) {
    const auto at = next_;
    next_ += length;
    return at;
  }
  void give_room(unsigned queue, std::uint32_t length) {
    const auto at = place(length);
    rooms_[queue].push_back(at);
    driver(queue).offer({{at, length, true}}, false);
  }
  void say(unsigned queue, std::string_view text) {
    const auto at = place(static_cast<std::uint32_t>(text.size()));
    std::ranges::copy(bytes_of(text), memory_.window(Gpa{at}, text.size()).value().begin());
    driver(queue).offer({{at, static_cast<std::uint32_t>(text.size()), false}}, false);
    ring();
  }
  std::vector<std::string> heard(unsigned queue) {
    std::vector<std::string> texts;
    auto& rooms = rooms_[queue];
    for (const auto& used : driver(queue).collect()) {
      std::string text(used.length, '\0');
      const auto bytes = memory_.window(Gpa{rooms.front()}, used.length).value();
      std::ranges::copy(bytes, std::as_writable_bytes(std::span{text}).begin());
      rooms.erase(rooms.begin());
      texts.push_back(std::move(text));
    }
    return texts;
  }
  // The control queues.
  void control(std::uint32_t id, std::uint16_t event, std::uint16_t value) {
    const virtio_console_control message{.id = id, .event = event, .value = value};
    std::string text(sizeof message, '\0');
    std::memcpy(text.data(), &message, sizeof message);
    say(3, text);
    (void)driver(3).collect();
  }
  /// "add 1", "name 1 agent": what came, and as many new buffers.
  std::vector<std::string> messages() {
    static const std::map<unsigned, std::string> kNames{
        {1, "add"}, {4, "console"}, {5, "size"}, {6, "open"}, {7, "name"}};
    std::vector<std::string> texts;
    for (const auto& text : heard(2)) {
      virtio_console_control message{};
      std::memcpy(&message, text.data(), sizeof message);
      auto line = kNames.at(message.event) + " " + std::to_string(message.id);
      if (message.event == VIRTIO_CONSOLE_PORT_OPEN) line += " " + std::to_string(message.value);
      const auto rest = text.substr(sizeof message);
      if (message.event == VIRTIO_CONSOLE_RESIZE) {
        for (const char c : rest) line += " " + std::to_string(static_cast<int>(c));
      } else if (!rest.empty()) {
        line += " " + rest;
      }
      texts.push_back(std::move(line));
      give_room(2, 64);
    }
    ring();
    return texts;
  }
  /// A driver that knows of ports, up to where port 1 is open on its side.
  void bring_up() {
    for (int count = 0; count < 8; ++count) give_room(2, 64);
    for (unsigned queue = 2; queue < 6; ++queue) start(queue);
    control(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
    control(1, VIRTIO_CONSOLE_PORT_READY, 1);
    control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    (void)messages();
  }
  Fd connect(unsigned port = 0) {
    auto [ours, clients] = make_socket_pair(SOCK_NONBLOCK).value();
    const std::array files{ours.ref()};
    EXPECT_THAT(send_packet(channels_[port].ref(), kPortClient, files), IsOk());
    turns();
    return std::move(clients);
  }
  bool told_free(unsigned port = 0) {
    const auto packet = receive_packet(channels_[port].ref());
    return packet && *packet && (*packet)->text == kPortFree;
  }
  PortFigures figures() { return device_->ports().at(0); }

  std::string said_;
  unsigned room_{};
  unsigned queues_{};
  std::vector<Fd> channels_;
  std::map<unsigned, std::unique_ptr<SplitDriver>> drivers_;
  std::map<unsigned, std::vector<std::uint64_t>> rooms_;
  std::uint64_t next_{kData};
  std::unique_ptr<VirtioConsole> device_;
};

TEST_F(ConsoleDevice, SaysWhatTheGuestWrites) {
  driver(1).poke<std::uint32_t>(kData, 0x6c6c6568);
  driver(1).poke<std::uint8_t>(kData + 100, 'o');
  driver(1).offer({{kData, 4, false}, {kData + 100, 1, false}}, false);
  start(1, 0);
  EXPECT_EQ(said_, "hello");
  EXPECT_EQ(driver(1).collect().size(), 1U);
  EXPECT_TRUE(interrupted());
}

TEST_F(ConsoleDevice, TakesNoMoreInputThanThereAreBuffersFor) {
  EXPECT_EQ(device_->receive(bytes_of("xxxxxxxxxx")), 0U) << "no driver yet";
  EXPECT_FALSE(device_->open());
  give_room(0, 3);
  give_room(0, 4);
  start(0, 0);
  EXPECT_GE(room_, 1U);
  EXPECT_TRUE(device_->open());
  EXPECT_EQ(device_->receive(bytes_of("abcdefghij")), 7U);
  EXPECT_THAT(heard(0), ElementsAre("abc", "defg"));
  EXPECT_TRUE(interrupted());
}

TEST_F(ConsoleDevice, SaysEmergenciesWithoutAQueue) {
  device_->write_config(offsetof(virtio_console_config, emerg_wr), bytes_of(std::string_view{"!\0\0\0", 4}));
  device_->write_config(0, bytes_of(std::string_view{"?\0\0\0", 4}));
  EXPECT_EQ(said_, "!");
}

TEST_F(ConsoleDevice, TellsADriverOfItsPortsStepByStep) {
  for (int count = 0; count < 8; ++count) give_room(2, 64);
  start(2);
  start(3);
  EXPECT_THAT(messages(), IsEmpty());
  control(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
  EXPECT_THAT(messages(), ElementsAre("add 0", "add 1", "add 2"));
  control(0, VIRTIO_CONSOLE_PORT_READY, 1);
  control(2, VIRTIO_CONSOLE_PORT_READY, 1);
  EXPECT_THAT(messages(), ElementsAre("console 0", "open 0 1", "name 2 data"));
  std::uint32_t most = 0;
  device_->read_config(offsetof(virtio_console_config, max_nr_ports), std::as_writable_bytes(std::span{&most, 1}));
  EXPECT_EQ(most, 3U);
}

TEST_F(ConsoleDevice, WithPortsTakesInputOnceTheDriverHasOpenedIt) {
  give_room(0, 8);
  start(0);
  start(3);
  EXPECT_EQ(device_->receive(bytes_of("a")), 0U);
  control(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
  EXPECT_TRUE(device_->open());
  EXPECT_EQ(device_->receive(bytes_of("a")), 1U);
}

TEST_F(ConsoleDevice, WithoutATerminalHasPortsAlone) {
  make({}, {"agent"});
  for (int count = 0; count < 8; ++count) give_room(2, 64);
  for (const unsigned queue : {1U, 2U, 3U}) start(queue);
  control(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
  control(0, VIRTIO_CONSOLE_PORT_READY, 1);
  control(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
  EXPECT_THAT(messages(), ElementsAre("add 1"));
  say(1, "nobody listens");
  device_->write_config(offsetof(virtio_console_config, emerg_wr), bytes_of("!"));
  EXPECT_EQ(said_, "");
  EXPECT_EQ(driver(1).collect().size(), 1U);
  EXPECT_FALSE(device_->open());
}

TEST_F(ConsoleDevice, TellsTheSizeOfTheTerminal) {
  for (int count = 0; count < 8; ++count) give_room(2, 64);
  start(2);
  start(3);
  device_->resize(100, 40);
  EXPECT_THAT(messages(), IsEmpty()) << "the driver has no console yet";
  control(0, VIRTIO_CONSOLE_PORT_READY, 1);
  EXPECT_THAT(messages(), ElementsAre("console 0", "size 0 100 0 40 0", "open 0 1"));
  device_->resize(80, 24);
  EXPECT_THAT(messages(), ElementsAre("size 0 80 0 24 0"));
}

TEST_F(ConsoleDevice, TellsTheSizeInItsRegistersToADriverWithoutPorts) {
  start(0, 0);
  (void)interrupted();
  signals_->set_config_vector(1);
  device_->resize(100, 40);
  EXPECT_EQ(drain_eventfd(signals_->vector_event(1)), 1U);
  std::array<std::uint16_t, 2> size{};
  device_->read_config(0, std::as_writable_bytes(std::span{size}));
  EXPECT_THAT(size, ElementsAre(100, 40));
}

TEST_F(ConsoleDevice, TheHostSideOfAPortFollowsItsClient) {
  bring_up();
  auto client = connect();
  EXPECT_THAT(messages(), ElementsAre("open 1 1"));
  EXPECT_FALSE(told_free());
  client.close();
  turns();
  EXPECT_THAT(messages(), ElementsAre("open 1 0"));
  EXPECT_TRUE(told_free());
}

TEST_F(ConsoleDevice, AnotherClientIsAnotherOpenEvenWhenTheDriverIsLate) {
  bring_up();
  auto first = connect();
  EXPECT_THAT(messages(), ElementsAre("open 1 1"));
  // All buffers are taken while clients come and go.
  for (int count = 0; count < 8; ++count) control(1, VIRTIO_CONSOLE_PORT_READY, 1);
  first.close();
  turns();
  const auto second = connect();
  for (int round = 0; round < 3; ++round) (void)messages();
  control(1, VIRTIO_CONSOLE_PORT_READY, 1);
  EXPECT_THAT(messages(), ElementsAre("name 1 agent", "open 1 1"));
}

TEST_F(ConsoleDevice, BytesGoBothWays) {
  bring_up();
  const auto client = connect();
  say(5, "hello host");
  EXPECT_EQ(all_of(client), "hello host");
  EXPECT_EQ(driver(5).collect().size(), 1U);
  ASSERT_THAT(write_some(client.ref(), bytes_of("hello guest")), test::IsOkAnd(11U));
  turns();
  EXPECT_EQ(figures().to_guest, 0U) << "no buffers yet";
  give_room(4, 6);
  give_room(4, 100);
  ring();
  EXPECT_THAT(heard(4), ElementsAre("hello ", "guest"));
  EXPECT_EQ(figures().to_host, 10U);
  EXPECT_EQ(figures().to_guest, 11U);
  EXPECT_EQ(figures().dropped, 0U);
}

TEST_F(ConsoleDevice, AClientWaitsUntilTheGuestOpensThePort) {
  bring_up();
  give_room(4, 100);
  control(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
  const auto client = connect();
  ASSERT_THAT(write_some(client.ref(), bytes_of("early")), IsOk());
  turns();
  EXPECT_THAT(heard(4), IsEmpty());
  control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
  EXPECT_THAT(heard(4), ElementsAre("early"));
}

TEST_F(ConsoleDevice, WhatNobodyReadsIsDroppedAndCounted) {
  bring_up();
  say(5, "nobody");
  EXPECT_EQ(driver(5).collect().size(), 1U);
  EXPECT_EQ(figures().dropped, 6U);
  const auto client = connect();
  EXPECT_EQ(all_of(client), "");
}

TEST_F(ConsoleDevice, ASlowReaderKeepsTheGuestWaitingAndLosesNothing) {
  bring_up();
  const auto client = connect();
  std::string wanted;
  std::string got;
  unsigned waited = 0;
  for (unsigned count = 0; count < 20; ++count) {
    const std::string text(65536, static_cast<char>('a' + count));
    wanted += text;
    next_ = kData + 0x40000;  // the same buffer; it is not given back before it was read
    say(5, text);
    while (driver(5).collect().empty()) {
      ++waited;
      got += all_of(client);
      turns();
    }
  }
  got += all_of(client);
  EXPECT_GT(waited, 3U);
  EXPECT_EQ(got.size(), wanted.size());
  EXPECT_EQ(got, wanted);
  EXPECT_EQ(figures().dropped, 0U);
  EXPECT_EQ(figures().to_host, wanted.size());
}

TEST_F(ConsoleDevice, AReaderThatGoesFreesTheGuest) {
  bring_up();
  auto client = connect();
  driver(5).offer({{kData + 0x40000, 0x100000, false}}, false);
  ring();
  EXPECT_THAT(driver(5).collect(), IsEmpty());
  const auto carried = figures().to_host;
  client.close();
  turns();
  EXPECT_EQ(driver(5).collect().size(), 1U);
  EXPECT_EQ(figures().dropped, 0x100000 - carried);
  EXPECT_TRUE(told_free());
}

TEST_F(ConsoleDevice, WhatAClientSaidBeforeItWentIsDelivered) {
  bring_up();
  auto client = connect();
  ASSERT_THAT(write_some(client.ref(), bytes_of("last words")), IsOk());
  client.close();
  turns();
  EXPECT_FALSE(told_free());
  say(5, "too late");
  EXPECT_EQ(driver(5).collect().size(), 1U);
  give_room(4, 100);
  give_room(4, 100);
  ring();
  EXPECT_THAT(heard(4), ElementsAre("last words"));
  EXPECT_TRUE(told_free());
  EXPECT_EQ(figures().dropped, 8U);
}

TEST_F(ConsoleDevice, AGuestThatClosesThePortDoesNotKeepAClientThatWent) {
  bring_up();
  auto client = connect();
  ASSERT_THAT(write_some(client.ref(), bytes_of("unread")), IsOk());
  client.close();
  turns();
  EXPECT_FALSE(told_free());
  control(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
  EXPECT_TRUE(told_free());
}

TEST_F(ConsoleDevice, AClientThatSaysNoMoreMayStillRead) {
  bring_up();
  give_room(4, 100);
  auto client = connect();
  ASSERT_THAT(write_some(client.ref(), bytes_of("ping")), IsOk());
  ASSERT_EQ(::shutdown(client.ref().number(), SHUT_WR), 0);
  turns();
  EXPECT_THAT(heard(4), ElementsAre("ping"));
  EXPECT_FALSE(told_free());
  say(5, "pong");
  EXPECT_EQ(all_of(client), "pong");
  client.close();
  turns();
  EXPECT_TRUE(told_free());
}

TEST_F(ConsoleDevice, OneClientAtATimeAndNothingElseOnItsChannel) {
  bring_up();
  const auto client = connect();
  const auto second = connect();
  EXPECT_TRUE(hung_up(second.ref()));
  for (const auto* word : {"client", "free", "nonsense"}) {
    ASSERT_THAT(send_packet(channels_[0].ref(), word), IsOk());
    turns();
  }
  say(5, "still here");
  EXPECT_EQ(all_of(client), "still here");
}

TEST_F(ConsoleDevice, PortsDoNotStandInEachOthersWay) {
  bring_up();
  const auto slow = connect(0);
  const auto other = connect(1);
  start(7);
  driver(5).offer({{kData + 0x40000, 0x100000, false}}, false);
  say(7, "past the slow one");
  EXPECT_EQ(all_of(other), "past the slow one");
  EXPECT_THAT(driver(5).collect(), IsEmpty());
}

TEST_F(ConsoleDevice, AStoppedQueueIsNotTouchedAgain) {
  bring_up();
  const auto client = connect();
  driver(5).offer({{kData + 0x40000, 0x100000, false}}, false);
  give_room(4, 100);
  ring();
  device_->stop_queue(5);
  device_->stop_queue(4);
  const auto carried = figures().to_host;
  while (!all_of(client).empty()) turns();
  ASSERT_THAT(write_some(client.ref(), bytes_of("x")), IsOk());
  turns();
  EXPECT_EQ(figures().to_host, carried);
  EXPECT_EQ(figures().to_guest, 0U);
}

TEST_F(ConsoleDevice, AfterAResetTheNextDriverStartsFromTheBeginning) {
  bring_up();
  const auto client = connect();
  EXPECT_THAT(messages(), ElementsAre("open 1 1"));
  for (unsigned queue = 2; queue < 6; ++queue) device_->stop_queue(queue);
  device_->reset();
  drivers_.clear();
  rooms_.clear();
  for (unsigned queue = 2; queue < 6; ++queue) {  // rings as fresh as their driver
    for (const auto ring : {0x20000ULL, 0x30000ULL}) driver(queue).poke<std::uint32_t>(queue * 0x30000ULL + ring, 0);
  }
  for (int count = 0; count < 8; ++count) give_room(2, 64);
  for (unsigned queue = 2; queue < 6; ++queue) start(queue);
  EXPECT_FALSE(figures().open);
  EXPECT_THAT(messages(), IsEmpty());
  control(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
  control(1, VIRTIO_CONSOLE_PORT_READY, 1);
  EXPECT_THAT(messages(), ElementsAre("add 0", "add 1", "add 2", "name 1 agent", "open 1 1")) << "its client is there";
}

TEST_F(ConsoleDevice, ADriverThatTakesNoMessagesMakesNoHeapOfThem) {
  start(2);
  start(3);
  for (int count = 0; count < 300; ++count) {
    control(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    control(1, VIRTIO_CONSOLE_PORT_READY, 1);
    if (count % 16 == 0) next_ = kData;
  }
  for (int count = 0; count < 8; ++count) give_room(2, 64);
  ring();
  EXPECT_THAT(messages(), ElementsAre("add 0", "add 1", "name 1 agent", "add 2"));
}

TEST_F(ConsoleDevice, WordsThatMakeNoSenseAreIgnored) {
  bring_up();
  for (const std::uint32_t id : {3U, 1000U, 0xffffffffU}) {
    for (std::uint16_t event = 0; event < 12; ++event) control(id, event, event == 0 ? 0 : 1);
  }
  for (std::uint16_t event = 8; event < 1000; event = static_cast<std::uint16_t>(event * 2)) control(1, event, 7);
  say(3, "short");
  EXPECT_THAT(messages(), IsEmpty());
  EXPECT_FALSE(signals_->is_broken());
}

TEST_F(ConsoleDevice, ABufferWithoutRoomForAMessageIsABreach) {
  give_room(2, 7);
  start(2);
  start(3);
  control(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
  EXPECT_TRUE(signals_->is_broken());
}

TEST_F(ConsoleDevice, ANameThatDoesNotFitIsCut) {
  for (int count = 0; count < 4; ++count) give_room(2, 10);
  start(2);
  start(3);
  control(1, VIRTIO_CONSOLE_PORT_READY, 1);
  EXPECT_THAT(messages(), ElementsAre("name 1 ag"));
}

TEST_F(ConsoleDevice, BuffersThatCannotBeWrittenComeBackEmpty) {
  bring_up();
  const auto client = connect();
  for (int count = 0; count < 4; ++count) driver(4).offer({{kData, 64, false}}, false);
  ASSERT_THAT(write_some(client.ref(), bytes_of("x")), IsOk());
  ring();
  const auto used = driver(4).collect();
  ASSERT_EQ(used.size(), 4U);
  for (const auto& each : used) EXPECT_EQ(each.length, 0U);
  give_room(4, 64);
  ring();
  EXPECT_THAT(heard(4), ElementsAre("x")) << "no byte was lost";
  EXPECT_FALSE(told_free());
}

}  // namespace
}  // namespace pcivm::vmm
