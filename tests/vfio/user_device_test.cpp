// SPDX-License-Identifier: GPL-2.0-or-later
// vfio-user over a server that does as it should, and over one that misbehaves at each command.
#include "vfio/user_device.hpp"

#include <gmock/gmock.h>
#include <sys/un.h>

#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "base/socket.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "tests/support/user_edu.hpp"
#include "vfio/device.hpp"

namespace pcivm::vfio {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::FailsWith;
using test::IsOk;
using test::TempRoot;
using test::UserEdu;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using user::Command;

constexpr milliseconds kPatience{3000};
constexpr std::uint64_t kRam = 2 * kMiB;
constexpr Iova kBase{0x10000000};

class UserDevice : public testing::Test {
 protected:
  explicit UserDevice(bool by_messages = false) {
    auto [ours, theirs] = make_socket_pair().value();
    edu_ = std::make_unique<UserEdu>(std::move(theirs), by_messages);
    client_ = std::make_unique<UserClient>(std::move(ours), "edu", kPatience);
  }
  Result<std::unique_ptr<Device>> open() {
    edu_->start();
    TRY(client_->negotiate());
    TRY(client_->listen());
    return Device::adopt(make_user_port(*client_), "edu", UnprovenReset::allow);
  }
  [[nodiscard]] DmaRun run() const {
    return {.iova = kBase, .hva = ram_.hva(), .length = kRam, .file = file_.ref().number(), .file_offset = 0};
  }
  static Result<void> store(const Device& device, std::uint64_t offset, std::uint64_t value, std::size_t width = 4) {
    std::array<std::byte, 8> bytes{};
    std::memcpy(bytes.data(), &value, sizeof value);
    return device.write(0, offset, std::span{bytes}.first(width));
  }
  static std::uint32_t load(const Device& device, std::uint64_t offset, unsigned region = 0) {
    std::array<std::byte, 4> bytes{};
    EXPECT_THAT(device.read(region, offset, bytes), IsOk());
    return config_u32(bytes, 0);
  }
  static void copy(const Device& device, std::uint64_t from, std::uint64_t to, std::uint32_t count, unsigned how) {
    EXPECT_THAT(store(device, UserEdu::kSource, from, 8), IsOk());
    EXPECT_THAT(store(device, UserEdu::kTarget, to, 8), IsOk());
    EXPECT_THAT(store(device, UserEdu::kCount, count), IsOk());
    EXPECT_THAT(store(device, UserEdu::kStart, how), IsOk());
  }
  void check_dma(const Device& device) {
    for (std::size_t index = 0; index < 70'000; ++index) ram_.bytes()[index] = static_cast<std::byte>(index * 7);
    for (const unsigned how : {1U, 2U}) {
      const auto to = how * 512 * kKiB;
      copy(device, kBase.value, kBase.value + to, 70'000, how);
      EXPECT_EQ(load(device, UserEdu::kStatus), 0U);
      EXPECT_TRUE(std::ranges::equal(ram_.bytes().first(70'000), ram_.bytes().subspan(to, 70'000))) << how;
    }
    for (const auto outside : {kBase.value + kRam - 8, kBase.value - 8, std::uint64_t{0}, ~std::uint64_t{7}}) {
      copy(device, outside, kBase.value, 16, 1);
      EXPECT_EQ(load(device, UserEdu::kStatus), std::uint32_t{EFAULT}) << std::hex << outside;
    }
    EXPECT_FALSE(client_->loss()) << "it may go on";
  }

  Fd file_ = make_memfd("ram", kRam).value();
  Mapping ram_ = Mapping::shared(file_.ref(), 0, kRam, Access::read_write).value();
  std::unique_ptr<UserEdu> edu_;
  std::unique_ptr<UserClient> client_;
};

TEST_F(UserDevice, AgreesAndReadsAllFacts) {
  const auto device = open().value();
  EXPECT_EQ(client_->limits().files, 2U);
  EXPECT_EQ(client_->limits().transfer, kMiB);
  EXPECT_TRUE(device->resettable());
  EXPECT_EQ(device->config().size(), 256U);
  EXPECT_EQ(config_u32(device->config(), 0), 0x11e91234U);
  EXPECT_EQ(device->region(0).size, 4096U);
  EXPECT_THAT(device->region(0).areas, IsEmpty());
  EXPECT_THAT(device->region(4).areas, ElementsAre(Area{.offset = 4096, .length = 12288}));
  EXPECT_EQ(device->irq(Irq::msix).count, 4U);
}

TEST_F(UserDevice, ReadsWritesAndMapsItsBars) {
  const auto device = open().value();
  EXPECT_EQ(load(*device, UserEdu::kIdentity), 0x010000edU);
  ASSERT_THAT(store(*device, UserEdu::kInverse, 0x12345678), IsOk());
  EXPECT_EQ(load(*device, UserEdu::kInverse), ~0x12345678U);
  const auto mapping = device->map(4, {.offset = 4096, .length = 12288}).value();
  mapping.bytes()[5] = std::byte{42};
  EXPECT_EQ(edu_->memory()[4096 + 5], std::byte{42});
  EXPECT_EQ(load(*device, 4096 + 4, 4), 42U << 8U);
  EXPECT_THAT(device->reset(), IsOk());
  EXPECT_EQ(std::ranges::count(edu_->commands(), Command::reset), 1);
}

TEST_F(UserDevice, TransfersNoMoreAtATimeThanTheServerTakes) {
  edu_->capabilities = R"({"capabilities":{"max_data_xfer_size":100}})";
  const auto device = open().value();
  EXPECT_EQ(client_->limits().files, 1U) << "what it is when nothing is said";
  EXPECT_EQ(std::ranges::count(edu_->commands(), Command::region_read), 3) << "256 bytes";
  EXPECT_EQ(config_u32(device->config(), 0), 0x11e91234U);
}

TEST_F(UserDevice, MapsNoFileThatMayBecomeShorter) {
  edu_->sealed = false;
  const auto device = open().value();
  EXPECT_THAT(device->region(4).areas, IsEmpty());
  edu_->memory()[8192] = std::byte{9};
  EXPECT_EQ(load(*device, 8192, 4), 9U);
}

TEST_F(UserDevice, InterruptsAreEventfdsOfTheServer) {
  const auto device = open().value();
  const std::array events{make_eventfd().value(), make_eventfd().value(), make_eventfd().value()};
  const std::array none{-1};
  ASSERT_THAT(device->set_triggers(Irq::msix, 0, none), IsOk());
  EXPECT_THAT(edu_->armed(), IsEmpty());
  const std::array all{events[0].ref().number(), events[1].ref().number(), events[2].ref().number(), -1};
  ASSERT_THAT(device->set_triggers(Irq::msix, 0, all), IsOk());
  EXPECT_THAT(edu_->armed(), ElementsAre(0, 1, 2));
  EXPECT_EQ(std::ranges::count(edu_->commands(), Command::set_irqs), 4) << "two descriptors at a time";
  for (unsigned vector = 0; vector < 3; ++vector) {
    ASSERT_THAT(store(*device, UserEdu::kRaise, vector), IsOk());
    EXPECT_EQ(drain_eventfd(events.at(vector).ref()), 1U);
  }
  ASSERT_THAT(device->set_triggers(Irq::msix, 1, none), IsOk());
  EXPECT_THAT(edu_->armed(), ElementsAre(0, 2));
  ASSERT_THAT(device->disable(Irq::msix), IsOk());
  EXPECT_THAT(edu_->armed(), IsEmpty());
}

// The descriptor is one open file with ours: its flags are shared.
TEST_F(UserDevice, AServerThatMakesAnEventfdBlockingHoldsNobodyUp) {
  const auto device = open().value();
  const auto event = make_eventfd().value();
  const std::array events{event.ref().number()};
  ASSERT_THAT(device->set_triggers(Irq::msix, 0, events), IsOk());
  ASSERT_EQ(::fcntl(edu_->event(0), F_SETFL, 0), 0);
  EXPECT_EQ(drain_eventfd(event.ref()), 0U);
}

TEST_F(UserDevice, ReachesTheRamThatItIsShown) {
  const auto device = open().value();
  ASSERT_THAT(client_->map(run()), IsOk());
  check_dma(*device);
  EXPECT_EQ(std::ranges::count(edu_->commands(), Command::dma_map), 1);
  ASSERT_THAT(client_->unmap(kBase, kRam), IsOk());
  copy(*device, kBase.value, kBase.value, 16, 1);
  EXPECT_EQ(load(*device, UserEdu::kStatus), std::uint32_t{EFAULT});
}

class UserDeviceByMessages : public UserDevice {
 protected:
  UserDeviceByMessages() : UserDevice{true} {}
};

TEST_F(UserDeviceByMessages, ReachesTheRamThatItIsShownAndNothingElse) {
  const auto device = open().value();
  copy(*device, kBase.value, kBase.value, 16, 1);
  EXPECT_EQ(load(*device, UserEdu::kStatus), std::uint32_t{EFAULT}) << "nothing is shown yet";
  ASSERT_THAT(client_->map(run()), IsOk());
  check_dma(*device);
  copy(*device, kBase.value, kBase.value, 1U << 20U, 1);
  EXPECT_EQ(load(*device, UserEdu::kStatus), 0U) << "as much as a message takes";
}

TEST_F(UserDevice, ARefusalIsNoLoss) {
  edu_->become(Command::reset, UserEdu::Mood::refuses);
  edu_->become(Command::region_write, UserEdu::Mood::refuses);
  const auto device = open().value();
  EXPECT_THAT(device->reset(), FailsWith(Errc::denied, HasSubstr("refuses command 13")));
  EXPECT_FALSE(store(*device, 0, 0).has_value());
  EXPECT_FALSE(client_->loss());
  edu_->become(Command::dma_map, UserEdu::Mood::refuses);
  EXPECT_FALSE(client_->map(run()).has_value());
  EXPECT_TRUE(client_->loss()) << "a device without memory is none";
}

TEST_F(UserDevice, TheEndOfItsServerIsToldOnce) {
  const auto device = open().value();
  const auto alarm = make_eventfd().value();
  const std::array events{alarm.ref().number()};
  ASSERT_THAT(device->tell(Irq::request, FdRef{events.front()}), IsOk());
  ASSERT_THAT(device->tell(Irq::error, FdRef{events.front()}), IsOk()) << "which no process tells of";
  EXPECT_FALSE(client_->loss());
  edu_->leave();
  for (int attempt = 0; attempt < 100 && !client_->loss(); ++attempt) std::this_thread::sleep_for(milliseconds{10});
  ASSERT_TRUE(client_->loss());
  EXPECT_THAT(client_->loss()->text(), HasSubstr("edu: the server has closed the connection"));
  EXPECT_THAT(store(*device, UserEdu::kRaise, 0), IsOk()) << "as hardware that is gone";
  EXPECT_THAT(device->disable(Irq::msix), IsOk());
  std::array<std::byte, 4> bytes{};
  EXPECT_FALSE(device->read(0, 0, bytes).has_value());
  EXPECT_FALSE(device->reset().has_value());
  EXPECT_EQ(drain_eventfd(alarm.ref()), 1U);
  EXPECT_FALSE(device->tell(Irq::request, FdRef{events.front()}).has_value()) << "who comes too late learns of it";
}

TEST_F(UserDevice, TakesNoRubbishOutOfTurn) {
  for (const std::string_view text : {"this is nothing that anybody asked for", "x"}) {
    auto [ours, theirs] = make_socket_pair().value();
    UserClient client{std::move(ours), "edu", milliseconds{50}};
    ASSERT_THAT(client.listen(), IsOk());
    ASSERT_THAT(write_all(theirs.ref(), text), IsOk());
    for (int attempt = 0; attempt < 100 && !client.loss(); ++attempt) std::this_thread::sleep_for(milliseconds{10});
    EXPECT_TRUE(client.loss()) << text;
  }
}

using Mood = UserEdu::Mood;
class UserDeviceMoods : public UserDevice, public testing::WithParamInterface<Mood> {};
std::string mood_name(const testing::TestParamInfo<Mood>& each) {
  constexpr std::array kNames{"Good",       "Refuses",    "Silent",     "Gone",    "Rubbish",   "ShortAnswer",
                              "LongAnswer", "HugeAnswer", "HalfAnswer", "OtherId", "ManyFiles", "EndlessDma"};
  return kNames.at(static_cast<std::size_t>(each.param));
}
INSTANTIATE_TEST_SUITE_P(Mood, UserDeviceMoods,
                         testing::Values(Mood::silent, Mood::gone, Mood::rubbish, Mood::short_answer, Mood::long_answer,
                                         Mood::huge_answer, Mood::half_answer, Mood::other_id, Mood::many_files,
                                         Mood::endless_dma),
                         mood_name);

TEST_P(UserDeviceMoods, AtAnyCommandAreALossInTime) {
  for (const auto command :
       {Command::version, Command::get_info, Command::get_region_info, Command::get_irq_info, Command::region_read,
        Command::region_write, Command::set_irqs, Command::dma_map, Command::dma_unmap, Command::reset}) {
    auto [ours, theirs] = make_socket_pair().value();
    UserEdu edu{std::move(theirs)};
    edu.become(command, GetParam());
    edu.start();
    UserClient client{std::move(ours), "edu", milliseconds{100}};
    const auto event = make_eventfd().value();
    const std::array events{event.ref().number()};
    const auto start = steady_clock::now();
    const auto work = [&]() -> Result<void> {
      TRY(client.negotiate());
      TRY(client.listen());
      const auto device = TRY(Device::adopt(make_user_port(client), "edu", UnprovenReset::allow));
      TRY(client.map(run()));
      TRY(device->set_triggers(Irq::msix, 0, events));
      TRY(store(*device, UserEdu::kRaise, 0));
      TRY(device->reset());
      return client.unmap(kBase, kRam);
    };
    EXPECT_FALSE(work().has_value()) << static_cast<int>(command);
    EXPECT_TRUE(client.loss()) << static_cast<int>(command);
    EXPECT_LT(steady_clock::now() - start, milliseconds{2000});
    const auto again = steady_clock::now();
    EXPECT_FALSE(client.call(Command::reset, {}, 0, 0).has_value()) << "lost for good";
    EXPECT_LT(steady_clock::now() - again, milliseconds{50});
  }
}

TEST_F(UserDevice, SpeaksTheVersionThatIsWrittenDown) {
  edu_->version.major_number = 1;
  EXPECT_THAT(open(), FailsWith(Errc::kernel, HasSubstr("speaks version 1.1, wanted 0.1")));
}

TEST_F(UserDevice, NeedsAServerThatTakesARegisterAtOnce) {
  edu_->capabilities = R"({"capabilities":{"max_data_xfer_size":7,"max_msg_fds":1}})";
  EXPECT_THAT(open(), FailsWith(Errc::kernel, HasSubstr("takes 7 bytes")));
}

TEST_F(UserDevice, IsAPciDevice) {
  edu_->flags = 0;
  EXPECT_THAT(open(), FailsWith(Errc::refused, HasSubstr("a PCI device wanted")));
}

// As the privileged side sees it.
class UserDeviceSocket : public testing::Test {
 protected:
  UserDeviceSocket() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(path_, address.sun_path);
    const auto* const raw = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    EXPECT_EQ(::bind(listener_.ref().number(), raw, sizeof address), 0);
    EXPECT_EQ(::listen(listener_.ref().number(), 1), 0);
  }
  Result<OpenedDevice> open(const std::function<void(UserEdu&)>& change = {}) {
    std::jthread server{[&] {
      edu_ = std::make_unique<UserEdu>(Fd::adopt(::accept(listener_.ref().number(), nullptr, nullptr)));
      if (change) change(*edu_);
      edu_->start();
    }};
    return open_user_device(path_, 3, kPatience);
  }
  TempRoot root_;
  std::string path_ = root_.path("/socket").string();
  Fd listener_ = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  std::unique_ptr<UserEdu> edu_;
};

TEST_F(UserDeviceSocket, TellsTheBars) {
  auto opened = open().value();
  ASSERT_EQ(opened.bars.size(), 3U);
  EXPECT_EQ(opened.bars[0].size, 4096U);
  EXPECT_FALSE(opened.bars[0].wide);
  EXPECT_EQ(opened.bars[2].index, 4);
  EXPECT_EQ(opened.bars[2].size, UserEdu::kMemory);
  EXPECT_TRUE(opened.bars[2].wide && opened.bars[2].prefetchable);
  EXPECT_EQ(opened.name(), "vfio-user '" + path_ + "'");
  EXPECT_EQ(opened.server->limits.files, 2U);
  // Another process goes on over the same connection.
  UserClient client{std::move(opened.server->socket), "edu", kPatience};
  EXPECT_THAT(Device::adopt(make_user_port(client), "edu", UnprovenReset::refuse), IsOk());
}

TEST_F(UserDeviceSocket, BarsMustMakeSense) {
  EXPECT_THAT(open([](UserEdu& edu) { edu.sizes[0] = ~std::uint64_t{0}; }),
              FailsWith(Errc::kernel, HasSubstr("BAR 0 has 0xffffffffffffffff bytes")));
  EXPECT_THAT(open([](UserEdu& edu) { edu.sizes[4] = 1ULL << 41U; }), FailsWith(Errc::kernel, HasSubstr("BAR 4")));
  EXPECT_THAT(open([](UserEdu& edu) { edu.sizes[5] = 4096; }),
              FailsWith(Errc::kernel, HasSubstr("BAR 5 is the upper half of BAR 4")));
  EXPECT_THAT(open([](UserEdu& edu) { config_store(edu.config_, PCI_BASE_ADDRESS_0, 4, 1); }),
              FailsWith(Errc::kernel, HasSubstr("BAR 0 has 0x1000 bytes, wanted 0x100 at most")));
  const auto odd = open([](UserEdu& edu) { edu.sizes[2] = 100; });
  EXPECT_EQ(odd.value().bars[1].size, 128U) << "a power of two";
}

TEST(UserDeviceNobody, SaysThatTheServerMustRunFirst) {
  const TempRoot root;
  const auto nobody = open_user_device(root.path("/none").string(), 0);
  ASSERT_THAT(nobody, FailsWith(Errc::not_found, HasSubstr("/none")));
  EXPECT_THAT(nobody.error().hint(), HasSubstr("must run first"));
}

}  // namespace
}  // namespace pcivm::vfio
